//! Names of the identities of a `.rec`: `.names` beside it, one name a line in the order of the identities' numbers.
//! Knows no records; how many names there should be is for the reader of the records to say.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use arcface_core::{Error, Result};

/// Where the names of the identities of `rec` stand.
pub(crate) fn names_path(rec: &Path) -> PathBuf {
    rec.with_extension("names")
}

/// The names that stand beside `rec`, or `None` where there is no such file; insightface's tools write none.
///
/// # Errors
/// If the file cannot be read, a line is empty, or a name stands there twice; the error names file and line.
pub fn read_names(rec: &Path) -> Result<Option<Vec<String>>> {
    let path = names_path(rec);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text).map(Some).map_err(|message| Error::file(path, message)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, error)),
    }
}

fn parse(text: &str) -> Result<Vec<String>, String> {
    let mut seen = HashSet::new();
    for (number, name) in (1..).zip(text.lines()) {
        if name.trim().is_empty() {
            return Err(format!("line {number}: expected the name of an identity, the line is empty"));
        }
        if !seen.insert(name) {
            return Err(format!("line {number}: `{name}` is named a second time; names tell identities apart"));
        }
    }
    Ok(text.lines().map(str::to_owned).collect())
}

/// Whether `names` can be written for `identities` of them and come back.
///
/// # Errors
/// If they are not equally many, one is empty, stands twice or does not fit into a line.
pub(super) fn check(names: &[String], identities: usize) -> Result<()> {
    if names.len() != identities {
        return Err(Error::value("names of identities", format!("one for each of {identities}"), names.len()));
    }
    if let Some(name) = names.iter().find(|name| name.contains(char::is_control)) {
        return Err(Error::value(
            "name of an identity",
            "a line of text without control characters",
            format!("{name:?}"),
        ));
    }
    parse(&names.join("\n")).map(drop).map_err(|message| Error::Invalid(format!("names of identities: {message}")))
}

pub(super) fn write(names: &[String], out: &mut impl Write) -> io::Result<()> {
    names.iter().try_for_each(|name| writeln!(out, "{name}"))
}
