//! What a Parquet file claims about its lengths, weighed before a decoder believes it: Thrift's compact protocol.
//! Knows no columns and decodes nothing; fields that claim nothing are passed over.

use super::Said;

/// How deep structs and schemas may be nested; those of image sets are at most four deep.
const DEEPEST: usize = 16;

/// Kinds of fields in the compact protocol.
const I32: u8 = 5;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// What stands before every page.
#[derive(Debug, Default)]
pub(super) struct PageHeader {
    /// Bytes of the header itself.
    pub(super) length: usize,
    pub(super) kind: usize,
    pub(super) unpacked: usize,
    pub(super) packed: usize,
    pub(super) values: usize,
}

/// Reads the header that `bytes` begin with.
pub(super) fn page_header(bytes: &[u8]) -> Said<PageHeader> {
    let mut walk = Walk { bytes, at: 0 };
    let mut header = PageHeader::default();
    walk.fields(&mut |walk, id, kind| match (id, kind) {
        (1, I32) => walk.count().map(|count| header.kind = count),
        (2, I32) => walk.count().map(|count| header.unpacked = count),
        (3, I32) => walk.count().map(|count| header.packed = count),
        (1..=3, _) => Err(garbled()),
        (5 | 7 | 8, STRUCT) => walk.fields(&mut |walk, id, kind| match (id, kind) {
            (1, I32) => walk.count().map(|count| header.values = count),
            _ => walk.skip(kind, DEEPEST),
        }),
        _ => walk.skip(kind, DEEPEST),
    })?;
    header.length = walk.at;
    Ok(header)
}

/// Looks whether all lists of the metadata fit into them, and whether the schema is a tree of its own elements.
pub(super) fn check_metadata(bytes: &[u8]) -> Said<()> {
    let mut children = Vec::new();
    let mut walk = Walk { bytes, at: 0 };
    walk.fields(&mut |walk, id, kind| match (id, kind) {
        (2, LIST) => {
            let (elements, kind) = walk.list()?;
            if kind != STRUCT {
                return Err(garbled());
            }
            children = (0..elements).map(|_| schema_element(walk)).collect::<Said<_>>()?;
            Ok(())
        }
        (2, _) => Err(garbled()),
        _ => walk.skip(kind, DEEPEST),
    })?;
    check_tree(&children)
}

/// The number of an element's children.
fn schema_element(walk: &mut Walk<'_>) -> Said<usize> {
    let mut children = 0;
    walk.fields(&mut |walk, id, kind| match (id, kind) {
        (5, I32) => walk.count().map(|count| children = count),
        (5, _) => Err(garbled()),
        _ => walk.skip(kind, DEEPEST),
    })?;
    Ok(children)
}

/// Elements stand depth first, each before its children.
fn check_tree(children: &[usize]) -> Said<()> {
    let mut open: Vec<usize> = Vec::new();
    for (index, own) in children.iter().enumerate() {
        while open.last() == Some(&0) {
            open.pop();
        }
        match open.last_mut() {
            Some(left) => *left -= 1,
            None if index == 0 => {}
            None => return Err("its schema has more than one root".to_owned()),
        }
        if children.len() <= *own || DEEPEST <= open.len() {
            return Err("its schema is deeper or larger than it can be".to_owned());
        }
        open.push(*own);
    }
    if open.iter().any(|left| *left != 0) {
        return Err("its schema lacks elements".to_owned());
    }
    Ok(())
}

/// A place in bytes.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    /// Calls `field` with the number and kind of each field of a struct; it has to pass over the value.
    fn fields(&mut self, field: &mut dyn FnMut(&mut Self, i64, u8) -> Said<()>) -> Said<()> {
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            let kind = head & 15;
            if kind == 0 {
                return Ok(());
            }
            id = if head >> 4 == 0 { self.integer()? } else { id.saturating_add(i64::from(head >> 4)) };
            field(self, id, kind)?;
        }
    }

    /// Number and kind of the elements of a list, each of which takes at least a byte.
    fn list(&mut self) -> Said<(usize, u8)> {
        let head = self.byte()?;
        let size = if head >> 4 == 15 { self.length()? } else { usize::from(head >> 4) };
        self.check_left(size)?;
        Ok((size, head & 15))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Said<()> {
        let Some(depth) = depth.checked_sub(1) else { return Err(garbled()) };
        match kind {
            1 | 2 => Ok(()),
            3 => self.pass(1),
            4..=6 => self.integer().map(|_| ()),
            7 => self.pass(8),
            8 => {
                let length = self.length()?;
                self.pass(length)
            }
            LIST | 10 => {
                let (size, kind) = self.list()?;
                (0..size).try_for_each(|_| self.element(kind, depth))
            }
            11 => {
                let size = self.length()?;
                self.check_left(size)?;
                let kinds = if size == 0 { 0 } else { self.byte()? };
                (0..size).try_for_each(|_| {
                    self.element(kinds >> 4, depth)?;
                    self.element(kinds & 15, depth)
                })
            }
            STRUCT => self.fields(&mut |walk, _, kind| walk.skip(kind, depth)),
            13 => self.pass(16),
            _ => Err(garbled()),
        }
    }

    /// In a list, truth takes a byte; in a field it is the kind.
    fn element(&mut self, kind: u8, depth: usize) -> Said<()> {
        if kind == 1 || kind == 2 { self.pass(1) } else { self.skip(kind, depth) }
    }

    fn count(&mut self) -> Said<usize> {
        usize::try_from(self.integer()?).map_err(|_| garbled())
    }

    /// Zigzag: even numbers are positive.
    fn integer(&mut self) -> Said<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn length(&mut self) -> Said<usize> {
        usize::try_from(self.varint()?).map_err(|_| garbled())
    }

    fn varint(&mut self) -> Said<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte & 128 == 0 {
                return Ok(value);
            }
        }
        Err(garbled())
    }

    fn byte(&mut self) -> Said<u8> {
        let byte = *self.bytes.get(self.at).ok_or_else(garbled)?;
        self.at += 1;
        Ok(byte)
    }

    fn pass(&mut self, bytes: usize) -> Said<()> {
        self.check_left(bytes)?;
        self.at += bytes;
        Ok(())
    }

    fn check_left(&self, bytes: usize) -> Said<()> {
        if bytes <= self.bytes.len() - self.at { Ok(()) } else { Err(garbled()) }
    }
}

fn garbled() -> String {
    "its metadata or the header of a page is garbled".to_owned()
}
