//! How a source file begins, how long it and its functions get, and what must not be in it.
//! Knows no other file.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::gate::metadata::Workspace;

const LONGEST_FILE: usize = 600;
const LONGEST_FUNCTION: usize = 70;
/// Files this short need no second line of documentation, and tests neither.
const TINY_FILE: usize = 12;

/// A Rust file and what it holds.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Every Rust file of our packages and of the worked examples.
///
/// # Errors
/// If one cannot be read.
pub(super) fn read_all(workspace: &Workspace) -> anyhow::Result<Vec<Source>> {
    let mut paths = Vec::new();
    for member in workspace.members() {
        collect(member.folder(), &mut paths)?;
    }
    paths.sort();
    let root = &workspace.root;
    paths.into_iter().map(|path| read(root, &path)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("runs") {
            collect(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

fn read(root: &Path, path: &Path) -> anyhow::Result<Source> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(Source { path: path.strip_prefix(root).unwrap_or(path).to_owned(), text })
}

/// Every breach in one file.
pub(super) fn check(source: &Source) -> Vec<String> {
    let code = without_comments_and_strings(&source.text);
    let mut breaches = Vec::from_iter(beginning(&source.path, &source.text));
    breaches.extend(lengths(&source.text, &code));
    breaches.extend(words(&code));
    breaches.extend(places(&source.text));
    breaches.into_iter().map(|breach| format!("{}: {breach}", source.path.display())).collect()
}

fn beginning(path: &Path, text: &str) -> Option<String> {
    let documented = text.lines().take_while(|line| line.starts_with("//! ")).count();
    let is_shipped = path.iter().any(|part| part == "src");
    let wanted = if is_shipped && TINY_FILE < text.lines().count() { 2 } else { 1 };
    (documented < wanted).then(|| format!("must begin with {wanted} lines `//!`: what it is, what it does not know"))
}

fn lengths(text: &str, code: &str) -> Vec<String> {
    let lines = text.lines().count();
    let mut breaches = Vec::new();
    if LONGEST_FILE < lines {
        breaches.push(format!("{lines} lines, more than {LONGEST_FILE}; look for the second idea in it"));
    }
    for (name, start, length) in functions(code) {
        if LONGEST_FUNCTION < length {
            breaches.push(format!("{start}: `{name}` has {length} lines, more than {LONGEST_FUNCTION}"));
        }
    }
    breaches
}

/// (name, first line, number of lines) of every function, relying on rustfmt's indentation.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(index, line)| Some((index, function_name(line)?)));
    starts
        .filter_map(|(start, name)| {
            let indent = indentation(lines[start]);
            let closes = |line: &&str| indentation(line) == indent && line.trim_start().starts_with('}');
            let length = lines[start..].iter().position(closes)?;
            Some((name, start + 1, length + 1))
        })
        .collect()
}

fn function_name(line: &str) -> Option<String> {
    let before_name = line.find("fn ").filter(|at| *at == 0 || line[..*at].ends_with(' '))?;
    // One-line functions and declarations of traits end on their own line.
    if line.ends_with(';') || line.ends_with('}') {
        return None;
    }
    let name: String = line[before_name + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Words and signs that are not to be in our code.
fn words(code: &str) -> Vec<String> {
    const UNWANTED: [(&str, &str); 7] = [
        ("todo!(", "finish it or leave it out"),
        ("unimplemented!(", "finish it or leave it out"),
        ("dbg!(", "leave it out"),
        ("#[ignore", "a test that does not run is no test"),
        (">=", "compare with `<` and `<=` alone"),
        (" > ", "compare with `<` and `<=` alone"),
        ("HashMap<", "its order changes from run to run; use BTreeMap"),
    ];
    // Candle's identifiers of tensors have no order.
    let lines = code.lines().enumerate().filter(|(_, line)| !line.contains("HashMap<TensorId"));
    let found = lines.flat_map(|(index, line)| {
        let here = UNWANTED.iter().filter(move |(word, _)| line.contains(word));
        here.map(move |(word, advice)| format!("{}: `{}`: {advice}", index + 1, word.trim()))
    });
    found.collect()
}

/// Paths of one machine, and notes that work is left; in comments and strings too.
fn places(text: &str) -> Vec<String> {
    const NOTES: [&str; 6] = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
    ];
    let lines = text.lines().enumerate();
    let found = lines.flat_map(|(index, line)| {
        let here = NOTES.iter().filter(move |note| line.contains(**note));
        here.map(move |note| format!("{}: `{note}` does not belong in the project", index + 1))
    });
    found.collect()
}

/// The text with comments and the inside of strings left blank; line breaks stay.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (length, keep) = match next {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            '/' if rest.starts_with("/*") => (rest.find("*/").map_or(rest.len(), |end| end + 2), false),
            'r' if rest.starts_with("r\"") || rest.starts_with("r#") => raw_string(rest),
            '"' => (string(rest), false),
            '\'' => character(rest),
            _ if next.is_alphanumeric() || next == '_' => (word(rest), true),
            _ => (next.len_utf8(), true),
        };
        let (token, after) = rest.split_at(length);
        if keep {
            code.push_str(token);
        } else {
            code.extend(token.chars().filter(|c| *c == '\n'));
        }
        rest = after;
    }
    code
}

fn word(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// Length of the string literal at the start of `text`.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return index + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// Length of the raw string at the start of `text`; `r#name` is an identifier and kept.
fn raw_string(text: &str) -> (usize, bool) {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return (1 + hashes, true);
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let inside = 2 + hashes;
    (text[inside..].find(&end).map_or(text.len(), |at| inside + at + end.len()), false)
}

/// Length of the character at the start of `text`; a lifetime is kept.
fn character(text: &str) -> (usize, bool) {
    if text.starts_with("'\\") {
        return (text[3..].find('\'').map_or(text.len(), |end| end + 4), false);
    }
    let mut following = text.char_indices().skip(2);
    match following.next() {
        Some((at, '\'')) => (at + 1, false),
        _ => (1, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(text: &str) -> Vec<String> {
        check(&Source { path: "src/a.rs".into(), text: text.to_owned() })
    }

    fn check_line(line: &str, expected: &[&str]) {
        assert_eq!(breaches(&format!("//! What.\n//! What not.\n{line}\n")), expected, "{line}");
    }

    #[test]
    fn comparisons_point_one_way() {
        check_line("if a < b && b <= c {}", &[]);
        check_line("if a >= b {}", &["src/a.rs: 3: `>=`: compare with `<` and `<=` alone"]);
        check_line("if a > b {}", &["src/a.rs: 3: `>`: compare with `<` and `<=` alone"]);
        check_line("let f = |x: Vec<f32>| -> f32 { 0.0 }; // a > b, a >= b", &[]);
        check_line(
            "let text = \"a \\\" > b\"; let raw = r#\"a > \" >= b\"#; let c = '\"'; let d = '>'; let e = '\\'';",
            &[],
        );
        check_line("fn f<'a>(text: &'a str, r#type: u8) {} /* a >= b */", &[]);
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(breaches(concat!("//! A.\n//! B.\nfn a() { to", "do!() }\n")).len(), 1);
        assert_eq!(breaches(concat!("//! A.\n//! B.\n// FIX", "ME later\n")).len(), 1);
    }

    #[test]
    fn files_begin_with_two_lines() {
        let long = "fn a() {}\n".repeat(20);
        assert_eq!(breaches(&format!("//! What.\n//! What not.\n{long}")).len(), 0);
        assert_eq!(breaches(&format!("//! What.\n{long}")).len(), 1);
        assert_eq!(breaches(&long).len(), 1);
        assert_eq!(breaches("//! A tiny file.\nfn main() {}\n").len(), 0);
    }

    #[test]
    fn long_functions_and_files_are_found() {
        let long = format!(
            "//! A.\n//! B.\nimpl C {{\n    fn long() {{\n{}    }}\n}}\n",
            "        let a = \"{\";\n".repeat(80)
        );
        assert_eq!(breaches(&long), ["src/a.rs: 4: `long` has 82 lines, more than 70"]);
        assert_eq!(breaches(&format!("//! A.\n//! B.\n{}", "const A: u8 = 0;\n".repeat(700))).len(), 1);
    }
}
