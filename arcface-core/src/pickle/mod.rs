//! Python pickles as data: one bounded interpreter of protocols 0 to 5, and a writer of plain ones.
//! Knows no file and runs nothing: names come from a closed list, and calls become values that others may read.
//!
//! The opcodes are those of Python's `Lib/pickletools.py`. Every value stands once, in one flat list; containers hold
//! numbers of values. So a value that is shared or contains itself costs nothing more, nothing recurses, each byte of
//! the pickle makes at most one value, and all values together take little more memory than the input is long.

mod builtins;
mod bytes;
mod globals;
mod machine;
mod numpy;
mod text;
mod value;
mod write;

pub use globals::{Global, Storage};
pub use numpy::{Array, Element, scalar};
pub use value::{Call, Entries, Items, Kind, Value};
pub use write::Writer;

use crate::{Error, Result};

use value::Slot;

/// Number of a value in its pickle.
type Id = u32;

/// What a pickle may cost, beside what its own length bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Values.
    pub values: usize,
    /// Values that are remembered to be used again.
    pub memo: usize,
    /// Containers that are open at the same time.
    pub depth: usize,
    /// Bytes of memory for the values, beyond the length of the input.
    pub memory: usize,
}

impl Default for Limits {
    /// Ten million values, which a verification set of five million images or any state dict stays below, and 16 MiB.
    fn default() -> Self {
        Self { values: 10_000_000, memo: 10_000_000, depth: 10_000, memory: 16 << 20 }
    }
}

/// The values of a pickle; its bytes and texts are those of the input where they stand there as they are.
#[derive(Debug)]
pub struct Pickle<'a> {
    slots: Vec<Slot<'a>>,
    root: Id,
    end: usize,
}

/// Reads the pickle at the beginning of `bytes`.
///
/// # Errors
/// If it is truncated or damaged, names anything that is not plain data, or exceeds the default [`Limits`]; the error
/// says at which byte.
///
/// # Example
/// ```
/// use arcface_core::pickle::load;
/// // pickle.dumps([1, "two"], 0)
/// let pickle = load(b"(lp0\nI1\naVtwo\np1\na.")?;
/// let items = pickle.root().items("a list")?;
/// assert_eq!((items.get(0).unwrap().int("a number")?, items.get(1).unwrap().text("a text")?), (1, "two"));
/// let refused = load(b"cos\nsystem\n(Vrm -r\ntR.").unwrap_err();
/// assert!(refused.to_string().contains("`os.system`"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn load(bytes: &[u8]) -> Result<Pickle<'_>> {
    load_from(bytes, 0, &Limits::default())
}

/// Reads the pickle that begins at byte `start` of `bytes`; what follows it is left alone.
///
/// # Errors
/// As [`load`].
pub fn load_from<'a>(bytes: &'a [u8], start: usize, limits: &Limits) -> Result<Pickle<'a>> {
    machine::run(bytes, start, *limits).map_err(|(at, message)| Error::Invalid(format!("pickle, byte {at}: {message}")))
}

impl<'a> Pickle<'a> {
    /// The value that the pickle stands for.
    pub fn root(&self) -> Value<'_> {
        self.value(self.root)
    }

    /// Every value that was made, in the order of their opcodes.
    pub fn values(&self) -> impl Iterator<Item = Value<'_>> {
        (0..self.slots.len()).map(|id| self.value(id as Id))
    }

    /// The first byte behind the pickle.
    pub fn end(&self) -> usize {
        self.end
    }

    /// The number of values that were made.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no value was made, which no pickle comes to.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn value(&self, id: Id) -> Value<'_> {
        Value::new(self, id)
    }

    fn slot(&self, id: Id) -> &Slot<'a> {
        &self.slots[id as usize]
    }
}
