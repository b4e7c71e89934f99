//! A `.rec` mapped into memory with its index: records by key, each checked when it is asked for.
//! Knows no data set; what the keys stand for is the source's business.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use arcface_core::{Error, Result};
use memmap2::Mmap;

use super::frame;
use super::header::{Header, LARGEST_LABEL, whole};
use super::index::Index;
use crate::image::unreadable;

/// Where the index of a file came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexOrigin {
    /// From the `.idx` beside it.
    Read,
    /// From a walk through all records, since there is no `.idx`.
    Scanned,
}

/// A `.rec` and where its records lie. The records stay on the disk; the system reads the pages that are asked for.
///
/// The file must not be cut short while it is open: the system then ends the program, as it does for every mapped file.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    bytes: Mmap,
    index: Index,
    origin: IndexOrigin,
}

impl RecordFile {
    /// Maps the file and reads the `.idx` of the same name beside it; without one the records are walked through.
    ///
    /// # Errors
    /// If the file cannot be read or is empty, the index is not of the form, lists a key twice or an offset past the
    /// end of the file; without an index, if a record is damaged. The error names file, key and offset.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let bytes = map(&path, "a .rec")?;
        let list = path.with_extension("idx");
        let (index, origin) = match fs::read(&list) {
            Ok(text) => (read_index(&list, &text, &path, &bytes)?, IndexOrigin::Read),
            Err(error) if error.kind() == ErrorKind::NotFound => (scan(&path, &bytes)?, IndexOrigin::Scanned),
            Err(error) => return Err(Error::io(list, error)),
        };
        Ok(Self { path, bytes, index, origin })
    }

    /// The `.rec`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys of all records, ascending.
    pub fn keys(&self) -> &[u64] {
        self.index.keys()
    }

    /// Where the index came from.
    pub fn origin(&self) -> IndexOrigin {
        self.origin
    }

    /// The record `key`.
    ///
    /// # Errors
    /// If there is no such key, or no whole record with a header lies where the index says.
    pub fn record(&self, key: u64) -> Result<Record<'_>> {
        let Some(offset) = self.index.offset(key) else {
            return Err(Error::file(&self.path, format!("the index has no record {key}; make it again")));
        };
        let record = || {
            let (payload, _) = frame::read(&self.bytes, offset as usize)?;
            let header = Header::parse(&payload)?;
            Ok(Record { file: self, key, payload, header })
        };
        record().map_err(|message: String| self.error(key, &message))
    }

    /// Where the record `key` lies, for messages.
    pub fn describe(&self, key: u64) -> String {
        format!("{}: {}", self.path.display(), self.place(key))
    }

    /// An error about the record `key`.
    pub(crate) fn error(&self, key: u64, message: &str) -> Error {
        Error::file(&self.path, format!("{}: {message}", self.place(key)))
    }

    fn place(&self, key: u64) -> String {
        let offset = self.index.offset(key).map_or_else(|| "nowhere".to_owned(), |offset| format!("offset {offset}"));
        format!("record {key} at {offset}")
    }
}

/// A record of a file: its labels and what follows them.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    file: &'a RecordFile,
    key: u64,
    payload: Cow<'a, [u8]>,
    header: Header,
}

impl<'a> Record<'a> {
    /// The number of the identity: the label, or the first of several.
    ///
    /// # Errors
    /// If it is no whole number from 0 to [`LARGEST_LABEL`].
    pub fn class(&self) -> Result<u32> {
        let label = self.header.labels(&self.payload).next().unwrap_or(f32::NAN);
        whole(label, LARGEST_LABEL).map_err(|message| self.error(&message))
    }

    /// Whether its labels are a vector, as those of key 0 and of identities are.
    pub fn has_vector(&self) -> bool {
        self.header.has_vector()
    }

    /// The encoded image, or nothing.
    pub fn body(&self) -> &[u8] {
        &self.payload[self.header.body()..]
    }

    /// The encoded image; copied only if it was split in the file.
    pub fn into_body(self) -> Cow<'a, [u8]> {
        match self.payload {
            Cow::Borrowed(payload) => Cow::Borrowed(&payload[self.header.body()..]),
            Cow::Owned(payload) => Cow::Owned(payload[self.header.body()..].to_vec()),
        }
    }

    /// Two labels that are a range of keys: the first one and one past the last.
    ///
    /// # Errors
    /// If there are fewer than two labels, one is no whole number, or the range ends before it begins.
    pub fn range(&self) -> Result<(u32, u32)> {
        let labels: Vec<f32> = self.header.labels(&self.payload).take(2).collect();
        let [first, end] = labels[..] else {
            return Err(self.error("expected two labels, a range of keys, found one; the file is damaged"));
        };
        let bound = |label| whole(label, u32::MAX).map_err(|message| self.error(&message));
        let (first, end) = (bound(first)?, bound(end)?);
        if end < first {
            return Err(self.error(&format!("expected a range of keys, got {first} to {end}; the file is damaged")));
        }
        Ok((first, end))
    }

    pub(crate) fn error(&self, message: &str) -> Error {
        self.file.error(self.key, message)
    }
}

/// The number of identities that the `property` in `folder` tells, where there is one: `identities,height,width`.
///
/// # Errors
/// If the file cannot be read or is of another form.
pub fn read_property(folder: &Path) -> Result<Option<u32>> {
    let path = folder.join("property");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path, error)),
    };
    let fields: Vec<Option<u32>> = text.trim().split(',').map(|field| field.trim().parse().ok()).collect();
    if let [Some(identities), Some(_), Some(_)] = fields[..] {
        return Ok(Some(identities));
    }
    let line: String = text.trim().chars().take(40).collect();
    Err(Error::file(path, format!("expected `identities,height,width`, got `{line}`")))
}

/// Maps a file, `what` by its kind.
#[allow(unsafe_code)]
pub(crate) fn map(path: &Path, what: &str) -> Result<Mmap> {
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    let meta = file.metadata().map_err(|error| Error::io(path, error))?;
    if meta.is_dir() {
        return Err(Error::file(path, format!("expected {what}, found a folder; check the path")));
    }
    if meta.len() == 0 {
        return Err(Error::file(path, format!("expected {what}, the file is empty")));
    }
    // SAFETY: the bytes are read only, as bytes, in which every value is valid. That nobody changes the file meanwhile
    // cannot be proven; whoever does gets other bytes, and whoever cuts it short is warned in the documentation.
    unsafe { Mmap::map(&file) }.map_err(|error| Error::io(path, error))
}

fn read_index(list: &Path, text: &[u8], path: &Path, bytes: &[u8]) -> Result<Index> {
    let index = Index::parse(text).map_err(|message| Error::file(list, message))?;
    if index.keys().is_empty() {
        return Err(Error::file(list, "expected one line per record, the index is empty"));
    }
    if let Some((key, offset)) = index.outside(bytes.len() as u64) {
        let message = format!(
            "record {key}: offset {offset} is no place of a record in {}, which has {} bytes; \
             index and records do not belong together, or one of them is cut short",
            path.display(),
            bytes.len()
        );
        return Err(Error::file(list, message));
    }
    // A last record that cannot be read is an error when it is asked for, not now.
    let end = index.last_offset().and_then(|offset| frame::read(bytes, offset as usize).ok());
    if let Some((_, end)) = end.filter(|(_, end)| *end < bytes.len()) {
        let message = format!(
            "its records end at offset {end} of {}, which has {} bytes; the index is cut short: make it again, or \
             remove it to have the records walked through",
            path.display(),
            bytes.len()
        );
        return Err(Error::file(list, message));
    }
    Ok(index)
}

fn scan(path: &Path, bytes: &[u8]) -> Result<Index> {
    Index::scan(bytes).map_err(|message| Error::file(path, format!("{message} (walking through, there is no .idx)")))
}
