//! The bytes of a pickle, taken from front to back and never beyond their end.
//! Knows no opcode.

/// What is wrong, to be put behind the byte where it was found.
pub(super) type Said<T> = Result<T, String>;

/// A place in the input.
pub(super) struct Bytes<'a> {
    all: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(all: &'a [u8], at: usize) -> Self {
        Self { all, at }
    }

    /// The length of the whole input.
    pub(super) fn total(&self) -> usize {
        self.all.len()
    }

    pub(super) fn left(&self) -> usize {
        self.all.len().saturating_sub(self.at)
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Said<&'a [u8]> {
        let left = self.left();
        if (left as u64) < count {
            return Err(format!(
                "expected a value of {count} bytes, found {left} to the end; the pickle is truncated or damaged"
            ));
        }
        let taken = &self.all[self.at..self.at + count as usize];
        self.at += count as usize;
        Ok(taken)
    }

    /// The next `N` bytes as they stand.
    pub(super) fn array<const N: usize>(&mut self) -> Said<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Said<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Said<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Said<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Said<i32> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Said<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The bytes up to the next line break, which is passed over.
    pub(super) fn line(&mut self) -> Said<&'a [u8]> {
        let rest = self.all.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n');
        let length = length.ok_or("expected a line, found no end of it; the pickle is truncated or damaged")?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    /// A line of ASCII.
    pub(super) fn ascii_line(&mut self) -> Said<&'a str> {
        let line = self.line()?;
        std::str::from_utf8(line)
            .map_err(|_| format!("expected a line of text, got {:02x?}…", &line[..line.len().min(8)]))
    }
}
