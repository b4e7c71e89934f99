//! The frames of RecordIO: magic number, kind and length, data, padding to four bytes.
//! Knows bytes and offsets; no file, no label and no image.

use std::borrow::Cow;
use std::io::{self, Write};

use super::Said;

/// What every frame begins with.
const MAGIC: [u8; 4] = 0xced7_230a_u32.to_le_bytes();

/// The longest data of one frame: 29 bits hold its length.
pub(super) const LONGEST: usize = (1 << 29) - 1;

/// Bytes before the data.
const HEAD: usize = 8;

const WHOLE: u32 = 0;
const FIRST: u32 = 1;
const MIDDLE: u32 = 2;
const LAST: u32 = 3;

/// The record that begins at `offset`, and where the next one does.
///
/// A record that holds the magic number at a multiple of four is split there; its parts are joined again.
pub(super) fn read(bytes: &[u8], offset: usize) -> Said<(Cow<'_, [u8]>, usize)> {
    let first = frame(bytes, offset).map_err(|message| format!("{message}; {INDEX_IS_WRONG}"))?;
    match first.kind {
        WHOLE => Ok((Cow::Borrowed(first.data), first.next)),
        FIRST => join(bytes, &first),
        kind => Err(format!("expected the beginning of a record, found part {kind} of one; {INDEX_IS_WRONG}")),
    }
}

/// Writes `payload` as one record, split where it holds the magic number; returns the bytes that it took.
pub(super) fn write(out: &mut impl Write, payload: &[u8]) -> io::Result<u64> {
    let words = payload.as_chunks::<4>().0.iter().enumerate();
    let splits = words.filter(|(_, word)| **word == MAGIC).map(|(number, _)| 4 * number);
    let (mut start, mut written) = (0, 0);
    for split in splits {
        let kind = if start == 0 { FIRST } else { MIDDLE };
        written += write_frame(out, kind, &payload[start..split])?;
        start = split + MAGIC.len();
    }
    let kind = if start == 0 { WHOLE } else { LAST };
    Ok(written + write_frame(out, kind, &payload[start..])?)
}

const INDEX_IS_WRONG: &str = "the file is damaged or cut short, or the index is that of another";

struct Frame<'a> {
    kind: u32,
    data: &'a [u8],
    next: usize,
}

fn frame(bytes: &[u8], offset: usize) -> Said<Frame<'_>> {
    let head = bytes.get(offset..).and_then(<[u8]>::split_first_chunk::<HEAD>);
    let Some(([m0, m1, m2, m3, l0, l1, l2, l3], rest)) = head else {
        return Err(format!("expected a record, the file ends after {} bytes", bytes.len()));
    };
    let magic = [*m0, *m1, *m2, *m3];
    if magic != MAGIC {
        let [expected, found] = [MAGIC, magic].map(u32::from_le_bytes);
        return Err(format!("expected the magic number {expected:#010x}, found {found:#010x}"));
    }
    let word = u32::from_le_bytes([*l0, *l1, *l2, *l3]);
    let (kind, length) = (word >> 29, word as usize & LONGEST);
    if LAST < kind {
        return Err(format!("expected a record of kind 0 to 3, found {kind}"));
    }
    let padded = length.next_multiple_of(4);
    if rest.len() < padded {
        let left = rest.len();
        return Err(format!("it says that {padded} bytes follow, the file has {left} more"));
    }
    Ok(Frame { kind, data: &rest[..length], next: offset + HEAD + padded })
}

/// The parts from `first` to the last, with the magic number between them that the split took out.
fn join<'a>(bytes: &'a [u8], first: &Frame<'_>) -> Said<(Cow<'a, [u8]>, usize)> {
    let (mut payload, mut next) = (first.data.to_vec(), first.next);
    loop {
        let part = frame(bytes, next).and_then(continuation);
        let part = part
            .map_err(|message| format!("its part at offset {next}: {message}; the record is damaged or cut short"))?;
        payload.extend_from_slice(&MAGIC);
        payload.extend_from_slice(part.data);
        next = part.next;
        if part.kind == LAST {
            return Ok((Cow::Owned(payload), next));
        }
    }
}

fn continuation(part: Frame<'_>) -> Said<Frame<'_>> {
    match part.kind {
        MIDDLE | LAST => Ok(part),
        _ => Err("expected the middle or the end of a split record, found the beginning of another".to_owned()),
    }
}

fn write_frame(out: &mut impl Write, kind: u32, data: &[u8]) -> io::Result<u64> {
    let padding = data.len().next_multiple_of(4) - data.len();
    out.write_all(&MAGIC)?;
    out.write_all(&(kind << 29 | data.len() as u32).to_le_bytes())?;
    out.write_all(data)?;
    out.write_all(&[0; 3][..padding])?;
    Ok((HEAD + data.len() + padding) as u64)
}
