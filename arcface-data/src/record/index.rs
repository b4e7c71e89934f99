//! Where each record lies: `.idx`, one line `key<TAB>offset` per record, or a walk through the records without it.
//! Knows no labels; holds keys and offsets, sixteen bytes per record.

use super::header::Header;
use super::{Said, frame};

/// Keys in ascending order with their offsets.
#[derive(Debug)]
pub(super) struct Index {
    keys: Vec<u64>,
    offsets: Vec<u64>,
}

impl Index {
    /// Reads the text of an `.idx`.
    pub(super) fn parse(text: &[u8]) -> Said<Self> {
        let mut entries = Vec::with_capacity(text.len() / 16);
        let mut rest = text;
        for line in 1_usize.. {
            if rest.is_empty() {
                break;
            }
            let entry = entry(&mut rest);
            entries.push(entry.ok_or_else(|| {
                format!("line {line}: expected `key<TAB>offset`, two whole numbers; this is no index of a .rec")
            })?);
        }
        Self::new(entries)
    }

    /// Walks through all records. Their ids are their keys where no two are the same, else their numbers are.
    pub(super) fn scan(bytes: &[u8]) -> Said<Self> {
        let (mut entries, mut offset) = (Vec::new(), 0);
        while offset < bytes.len() {
            let at = |message: String| format!("record number {} at offset {offset}: {message}", entries.len());
            let (payload, next) = frame::read(bytes, offset).map_err(at)?;
            let id = Header::parse(&payload).map_err(at)?.id;
            entries.push((id, offset as u64));
            offset = next;
        }
        let numbered = (0..).zip(&entries).map(|(number, (_, offset))| (number, *offset)).collect();
        Self::new(entries).or_else(|_| Self::new(numbered))
    }

    fn new(mut entries: Vec<(u64, u64)>) -> Said<Self> {
        if !entries.is_sorted() {
            entries.sort_unstable();
        }
        let twice = entries.windows(2).find(|pair| pair[0].0 == pair[1].0);
        if let Some([(key, first), (_, second)]) = twice {
            return Err(format!(
                "key {key} is listed twice, with the offsets {first} and {second}; make the index again"
            ));
        }
        let (keys, offsets) = entries.into_iter().unzip();
        Ok(Self { keys, offsets })
    }

    /// The keys, ascending.
    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Where the record `key` begins.
    pub(super) fn offset(&self, key: u64) -> Option<u64> {
        // Keys mostly count from the first one without a gap.
        let guess = key.checked_sub(*self.keys.first()?)? as usize;
        let place = match self.keys.get(guess) {
            Some(found) if *found == key => guess,
            _ => self.keys.binary_search(&key).ok()?,
        };
        Some(self.offsets[place])
    }

    /// Where the last record of the file begins.
    pub(super) fn last_offset(&self) -> Option<u64> {
        self.offsets.iter().max().copied()
    }

    /// The first record that cannot begin where the index says in a file of `length` bytes.
    pub(super) fn outside(&self, length: u64) -> Option<(u64, u64)> {
        let fits = |offset: u64| offset < length && offset.is_multiple_of(4);
        let place = self.offsets.iter().position(|offset| !fits(*offset))?;
        Some((self.keys[place], self.offsets[place]))
    }
}

/// Takes one line off `rest`.
fn entry(rest: &mut &[u8]) -> Option<(u64, u64)> {
    let key = number(rest)?;
    *rest = rest.strip_prefix(b"\t")?;
    let offset = number(rest)?;
    let after = rest.strip_prefix(b"\r").unwrap_or(rest);
    *rest = if after.is_empty() { after } else { after.strip_prefix(b"\n")? };
    Some((key, offset))
}

/// Takes the digits off `rest`.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let (mut value, mut digits) = (0_u64, 0);
    while let Some(digit) = rest.get(digits).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        digits += 1;
    }
    *rest = &rest[digits..];
    (0 < digits).then_some(value)
}
