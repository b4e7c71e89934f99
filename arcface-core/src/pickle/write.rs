//! Writes plain pickles, opcode by opcode, straight into a file.
//! Knows no value of ours; whoever calls it says what stands where.

use std::io::{self, Write};

/// A pickle being written; protocol 2 as long as no bytes are in it, which need 3.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Begins a pickle of `protocol`, 2 to 5.
    ///
    /// # Errors
    /// If `out` cannot be written, as in all that follows.
    ///
    /// # Example
    /// ```
    /// use arcface_core::pickle::{Writer, load};
    /// let mut bytes = Vec::new();
    /// let mut writer = Writer::new(&mut bytes, 3)?;
    /// writer.empty_list()?;
    /// writer.mark()?;
    /// writer.bytes(b"jpeg")?;
    /// writer.bool(true)?;
    /// writer.append()?;
    /// writer.finish()?;
    /// assert_eq!(load(&bytes).unwrap().root().describe(), "a list of 2");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(mut out: W, protocol: u8) -> io::Result<Self> {
        out.write_all(&[0x80, protocol])?;
        Ok(Self { out })
    }

    /// Ends the pickle.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.op(b'.')
    }
}

/// One opcode each.
#[expect(clippy::missing_errors_doc, reason = "as `new`: if it cannot be written")]
impl<W: Write> Writer<W> {
    /// An empty list.
    pub fn empty_list(&mut self) -> io::Result<()> {
        self.op(b']')
    }

    /// An empty dict.
    pub fn empty_dict(&mut self) -> io::Result<()> {
        self.op(b'}')
    }

    /// An empty tuple.
    pub fn empty_tuple(&mut self) -> io::Result<()> {
        self.op(b')')
    }

    /// Opens what `append`, `set_items` or `tuple` will close.
    pub fn mark(&mut self) -> io::Result<()> {
        self.op(b'(')
    }

    /// Adds everything from the mark to the list before it.
    pub fn append(&mut self) -> io::Result<()> {
        self.op(b'e')
    }

    /// Adds everything from the mark, keys and values in turn, to the dict before it.
    pub fn set_items(&mut self) -> io::Result<()> {
        self.op(b'u')
    }

    /// Makes a tuple of everything from the mark.
    pub fn tuple(&mut self) -> io::Result<()> {
        self.op(b't')
    }

    /// Makes a tuple of the last two values.
    pub fn pair(&mut self) -> io::Result<()> {
        self.op(b'\x86')
    }

    /// `True` or `False`.
    pub fn bool(&mut self, value: bool) -> io::Result<()> {
        self.op(if value { 0x88 } else { 0x89 })
    }

    /// An integer.
    pub fn int(&mut self, value: i64) -> io::Result<()> {
        match i32::try_from(value) {
            Ok(value) => self.with(b"J", &value.to_le_bytes()),
            Err(_) => self.with(b"\x8a\x08", &value.to_le_bytes()),
        }
    }

    /// A text; one of more than 4 GiB is refused.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.counted(b"X", text.as_bytes())
    }

    /// Bytes, from protocol 3; more than 4 GiB are refused.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.counted(b"B", bytes)
    }

    /// `module.name`.
    pub fn global(&mut self, module: &str, name: &str) -> io::Result<()> {
        self.with(b"c", format!("{module}\n{name}\n").as_bytes())
    }

    /// Calls the last value but one with the tuple that is the last.
    pub fn reduce(&mut self) -> io::Result<()> {
        self.op(b'R')
    }

    /// Makes the last value the name of something outside the pickle.
    pub fn persistent(&mut self) -> io::Result<()> {
        self.op(b'Q')
    }

    fn counted(&mut self, opcode: &[u8], bytes: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "more than 4 GiB in one value of a pickle");
        let length = u32::try_from(bytes.len()).map_err(too_long)?;
        self.with(opcode, &length.to_le_bytes())?;
        self.out.write_all(bytes)
    }

    fn op(&mut self, opcode: u8) -> io::Result<()> {
        self.out.write_all(&[opcode])
    }

    fn with(&mut self, opcode: &[u8], argument: &[u8]) -> io::Result<()> {
        self.out.write_all(opcode)?;
        self.out.write_all(argument)
    }
}
