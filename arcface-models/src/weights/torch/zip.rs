//! Zip archives as torch writes them: records stored as they are, aligned, with sizes of 32 or 64 bits.
//! Knows no pickle and no tensor.
//!
//! The format is PKWARE's APPNOTE 6.3. A record is a slice of the archive, so that nothing is allocated for it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};

use arcface_core::{Error, Result};

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
/// Lengths of the fixed parts.
const LOCAL_LENGTH: usize = 30;
const CENTRAL_LENGTH: usize = 46;
const END_LENGTH: usize = 22;
const LOCATOR_64_LENGTH: usize = 20;
/// The end may be followed by a comment of at most 65,535 bytes.
const LONGEST_END: usize = END_LENGTH + 65_535;
/// Where torch lets the data of a record begin: at multiples of this.
const ALIGNMENT: usize = 64;

/// An archive that is in memory.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    entries: BTreeMap<&'a str, Entry>,
    /// Bytes that may still be read: records of an honest archive do not overlap.
    left: Cell<usize>,
}

/// A record as the directory lists it.
#[derive(Debug)]
struct Entry {
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    local: u64,
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    ///
    /// # Errors
    /// If there is none, or it does not fit the archive.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let Directory { start, end } = directory(bytes)?;
        let mut entries = BTreeMap::new();
        let mut at = start;
        while at < end {
            let (name, entry, next) = Entry::read(bytes, at).ok_or_else(|| damaged("the directory is cut short"))?;
            entries.insert(name, entry);
            at = next;
        }
        Ok(Self { bytes, entries, left: Cell::new(bytes.len()) })
    }

    /// The names of all records, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.keys().copied()
    }

    /// The bytes of the record `name`, if there is one.
    ///
    /// # Errors
    /// If it is compressed, cut short or damaged.
    pub(super) fn get(&self, name: &str) -> Result<Option<&'a [u8]>> {
        self.entries.get(name).map(|entry| self.read(name, entry)).transpose()
    }

    fn read(&self, name: &str, entry: &Entry) -> Result<&'a [u8]> {
        let Entry { method, crc, compressed, size, .. } = entry;
        if *method != 0 || compressed != size {
            let advice = "unpack the archive and pack it with `zip -0`";
            return Err(Error::Invalid(format!("record `{name}` is compressed, which torch's own are not; {advice}")));
        }
        let bytes = self.data(entry).ok_or_else(|| damaged(&format!("record `{name}` is cut short")))?;
        let left = self.left.get().checked_sub(bytes.len());
        self.left.set(left.ok_or_else(|| damaged("its records overlap"))?);
        let found = crc32fast::hash(bytes);
        if found != *crc {
            let advice = "copy the file again, or save it with torch's checksums switched on";
            return Err(Error::Invalid(format!("record `{name}`: checksum {found:08x}, expected {crc:08x}; {advice}")));
        }
        Ok(bytes)
    }

    /// The data behind the local header, whose own lengths of name and padding count.
    fn data(&self, entry: &Entry) -> Option<&'a [u8]> {
        let local = usize::try_from(entry.local).ok()?;
        let header = part(self.bytes, local, LOCAL_LENGTH).filter(|header| header.starts_with(&LOCAL))?;
        let skipped = LOCAL_LENGTH + usize::from(u16_at(header, 26)?) + usize::from(u16_at(header, 28)?);
        part(self.bytes, local.checked_add(skipped)?, usize::try_from(entry.size).ok()?)
    }
}

impl Entry {
    /// Name and entry of the directory at byte `at`, and where the next begins.
    fn read(bytes: &[u8], at: usize) -> Option<(&str, Self, usize)> {
        let fixed = part(bytes, at, CENTRAL_LENGTH).filter(|fixed| fixed.starts_with(&CENTRAL))?;
        let lengths = [28, 30, 32].map(|at| u16_at(fixed, at).map(usize::from));
        let [Some(name), Some(extra), Some(comment)] = lengths else { return None };
        let names = at + CENTRAL_LENGTH;
        let mut entry = Self {
            method: u16_at(fixed, 10)?,
            crc: u32_at(fixed, 16)?,
            compressed: u32_at(fixed, 20)?.into(),
            size: u32_at(fixed, 24)?.into(),
            local: u32_at(fixed, 42)?.into(),
        };
        entry.widen(part(bytes, names + name, extra)?)?;
        let name_bytes = part(bytes, names, name)?;
        Some((std::str::from_utf8(name_bytes).ok()?, entry, names + name + extra + comment))
    }

    /// Numbers that do not fit 32 bits stand among the extra fields, in this order.
    fn widen(&mut self, mut extra: &[u8]) -> Option<()> {
        const ZIP_64: u16 = 1;
        while let (Some(id), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
            let mut field = part(extra, 4, length.into())?;
            extra = &extra[4 + field.len()..];
            if id != ZIP_64 {
                continue;
            }
            for number in [&mut self.size, &mut self.compressed, &mut self.local] {
                if *number == u64::from(u32::MAX) {
                    *number = u64_at(field, 0)?;
                    field = &field[8..];
                }
            }
        }
        Some(())
    }
}

/// The bytes that the directory takes.
struct Directory {
    start: usize,
    end: usize,
}

fn directory(bytes: &[u8]) -> Result<Directory> {
    let searched = bytes.len().saturating_sub(LONGEST_END);
    let end = bytes[searched..].windows(END_LENGTH).rposition(|window| window.starts_with(&END));
    let end = searched + end.ok_or_else(|| damaged("its end, with the directory, is missing"))?;
    let found = directory_at(bytes, end)
        .filter(|(start, size)| start.checked_add(*size).is_some_and(|last| last <= end as u64));
    let (start, size) = found.ok_or_else(|| damaged("the directory is not where its end says"))?;
    Ok(Directory { start: start as usize, end: (start + size) as usize })
}

/// Start and size of the directory by the record at byte `end`, or the wider one that stands before it.
fn directory_at(bytes: &[u8], end: usize) -> Option<(u64, u64)> {
    let (size, start) = (u32_at(bytes, end + 12)?, u32_at(bytes, end + 16)?);
    if size != u32::MAX && start != u32::MAX {
        return Some((start.into(), size.into()));
    }
    let locator = end.checked_sub(LOCATOR_64_LENGTH)?;
    let locator = part(bytes, locator, LOCATOR_64_LENGTH).filter(|locator| locator.starts_with(&LOCATOR_64))?;
    let wide = part(bytes, usize::try_from(u64_at(locator, 8)?).ok()?, 56).filter(|wide| wide.starts_with(&END_64))?;
    Some((u64_at(wide, 48)?, u64_at(wide, 40)?))
}

fn damaged(what: &str) -> Error {
    Error::Invalid(format!("zip archive: {what}; the file is truncated or damaged, copy it again"))
}

fn part(bytes: &[u8], start: usize, length: usize) -> Option<&[u8]> {
    bytes.get(start..start.checked_add(length)?)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    part(bytes, at, N)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// Writes an archive record by record; equal records give equal bytes.
pub(super) struct ArchiveWriter<W> {
    out: W,
    at: usize,
    directory: Vec<u8>,
    count: u16,
}

impl<W: Write> ArchiveWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, at: 0, directory: Vec::new(), count: 0 }
    }

    /// Adds a record; its data begin at a multiple of 64 bytes.
    ///
    /// # Errors
    /// If it cannot be written, or the archive grows beyond 4 GiB.
    pub(super) fn record(&mut self, name: &str, data: &[u8]) -> io::Result<()> {
        let [start, size] = [u32_of(self.at)?, u32_of(data.len())?];
        // "FB" is the padding that torch itself writes; a field of the zip format has four bytes before its data.
        let unpadded = self.at + LOCAL_LENGTH + name.len() + 4;
        let padding = unpadded.next_multiple_of(ALIGNMENT) - unpadded;
        let extra = [&b"FB"[..], &(padding as u16).to_le_bytes(), &vec![b'Z'; padding]].concat();
        let common = common_header(name, crc32fast::hash(data), size)?;
        self.write(&[&LOCAL, &common[..], &(extra.len() as u16).to_le_bytes(), name.as_bytes(), &extra, data])?;
        // Version of the writer; then no extra field, no comment, disk 0, no attributes.
        let entry = [&CENTRAL, &[0; 2][..], &common, &[0; 12], &start.to_le_bytes(), name.as_bytes()].concat();
        self.directory.extend(entry);
        self.count = self.count.checked_add(1).ok_or_else(too_large)?;
        Ok(())
    }

    /// Writes the directory.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub(super) fn finish(mut self) -> io::Result<()> {
        let [start, size] = [u32_of(self.at)?, u32_of(self.directory.len())?];
        let count = self.count.to_le_bytes();
        let directory = std::mem::take(&mut self.directory);
        self.write(&[&directory, &END, &[0; 4], &count, &count, &size.to_le_bytes(), &start.to_le_bytes(), &[0; 2]])
    }

    fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            self.out.write_all(part)?;
            self.at += part.len();
        }
        Ok(())
    }
}

/// What local and central headers have in common, from the version that is needed to the length of the name.
fn common_header(name: &str, crc: u32, size: u32) -> io::Result<Vec<u8>> {
    /// Stored, UTF-8 names, the first day of 1980: nothing that changes from run to run.
    const STORED: [u8; 10] = [10, 0, 0, 0x08, 0, 0, 0, 0, 0x21, 0];
    let length = u16::try_from(name.len()).map_err(|_| too_large())?;
    let sizes = [size.to_le_bytes(), size.to_le_bytes()].concat();
    Ok([&STORED[..], &crc.to_le_bytes(), &sizes, &length.to_le_bytes()].concat())
}

fn u32_of(length: usize) -> io::Result<u32> {
    u32::try_from(length).ok().filter(|length| *length != u32::MAX).ok_or_else(too_large)
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "more than 4 GiB or 65,535 tensors; write .safetensors instead")
}
