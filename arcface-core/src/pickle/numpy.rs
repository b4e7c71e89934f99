//! Arrays and elements of numpy's, read out of the calls that a pickle leaves.
//! Knows no tensor; the numbers stay bytes until they are asked for.

use super::{Call, Global, Items, Kind, Value};
use crate::{Error, Result};

/// An array: type, shape, and its bytes in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array<'p> {
    /// The type of an element.
    pub element: Element,
    /// The lengths of the axes.
    pub shape: Vec<usize>,
    /// The bytes of the elements.
    pub bytes: &'p [u8],
}

/// The type of an element, such as `<i8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// numpy's letter: `b` bool, `i` integer, `u` unsigned integer, `f` float.
    pub letter: char,
    /// Bytes.
    pub size: usize,
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
}

const WHAT: &str = "a numpy array";

impl<'p> Array<'p> {
    /// The array that `value` is.
    ///
    /// # Errors
    /// If it is something else, an array of objects or records, or has not as many bytes as its shape says.
    pub fn of(value: Value<'p>) -> Result<Self> {
        let (element, shape, bytes) = match value.kind() {
            Kind::Call(Call { function: Global::NumpyReconstruct, state: Some(state), .. }) => {
                // (version, shape, dtype, whether in Fortran's order, bytes)
                let state = state.items("the state of a numpy array")?;
                let at = |index| argument(value, state, index);
                (at(2)?, at(1)?, at(4)?)
            }
            Kind::Call(Call { function: Global::NumpyFromBuffer, arguments, .. }) => {
                let at = |index| argument(value, arguments, index);
                (at(1)?, at(2)?, at(0)?)
            }
            _ => return Err(value.unexpected(WHAT)),
        };
        let shape = shape.items("the shape of a numpy array")?;
        let shape = shape.iter().map(|length| length.index("a length of a numpy array")).collect::<Result<Vec<_>>>()?;
        let array = Self { element: Element::of(element)?, shape, bytes: bytes.bytes("the bytes of a numpy array")? };
        array.check(value)
    }

    fn check(self, value: Value<'p>) -> Result<Self> {
        let count = self.shape.iter().try_fold(self.element.size, |product, length| product.checked_mul(*length));
        if count != Some(self.bytes.len()) {
            let (at, shape, size, got) = (value.at(), &self.shape, self.element.size, self.bytes.len());
            let message =
                format!("numpy array of shape {shape:?}, {size} bytes each: expected as many bytes, got {got}");
            return Err(Error::Invalid(format!("pickle, byte {at}: {message}")));
        }
        Ok(self)
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.element.size
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements as integers; `None` if they are not integers or bools.
    pub fn integers(&self) -> Option<impl Iterator<Item = i128>> {
        let element = self.element;
        element.is_integer().then(|| self.bytes.chunks_exact(element.size).map(move |bytes| element.integer(bytes)))
    }
}

impl Element {
    /// The type that the call of `numpy.dtype` in `value` is.
    ///
    /// # Errors
    /// If it is something else, or a type that is not a plain number.
    pub fn of(value: Value<'_>) -> Result<Self> {
        const WHAT: &str = "a numpy dtype of bools, integers or floats";
        let Kind::Call(Call { function: Global::NumpyDtype, arguments, state }) = value.kind() else {
            return Err(value.unexpected(WHAT));
        };
        let code = argument(value, arguments, 0)?;
        let element = Self::parse(code.text(WHAT)?).ok_or_else(|| code.unexpected(WHAT))?;
        // (version, byte order, …)
        let order = state.and_then(|state| state.items(WHAT).ok()?.get(1)).map(|order| order.text(WHAT)).transpose()?;
        Ok(Self { big_endian: order == Some(">"), ..element })
    }

    /// `u1` and its like; bare letters of strings and objects are none.
    fn parse(code: &str) -> Option<Self> {
        let code = code.trim_start_matches(['<', '|', '=']);
        let letter = code.chars().next().filter(|letter| "biuf".contains(*letter))?;
        let size = code[1..].parse().ok().filter(|size| [1, 2, 4, 8].contains(size))?;
        Some(Self { letter, size, big_endian: false })
    }

    /// Whether it is a byte, unsigned.
    pub fn is_byte(self) -> bool {
        (self.letter, self.size) == ('u', 1)
    }

    fn is_integer(self) -> bool {
        "biu".contains(self.letter)
    }

    fn integer(self, bytes: &[u8]) -> i128 {
        let signed = self.letter == 'i';
        let push = |number: i128, byte: &u8| (number << 8) | i128::from(*byte);
        let number = if self.big_endian { bytes.iter().fold(0, push) } else { bytes.iter().rev().fold(0, push) };
        let over = 1 << (8 * bytes.len());
        if signed && over / 2 <= number { number - over } else { number }
    }
}

/// The number that a scalar of numpy's is, if it is a bool or an integer.
///
/// # Errors
/// If `value` is something else.
pub fn scalar(value: Value<'_>) -> Result<i128> {
    const WHAT: &str = "a numpy bool or integer";
    let Kind::Call(Call { function: Global::NumpyScalar, arguments, .. }) = value.kind() else {
        return Err(value.unexpected(WHAT));
    };
    let element = Element::of(argument(value, arguments, 0)?)?;
    let bytes = argument(value, arguments, 1)?.bytes(WHAT)?;
    if !element.is_integer() || bytes.len() != element.size {
        return Err(value.unexpected(WHAT));
    }
    Ok(element.integer(bytes))
}

fn argument<'p>(value: Value<'p>, arguments: Items<'p>, index: usize) -> Result<Value<'p>> {
    arguments.get(index).ok_or_else(|| value.unexpected(&format!("{WHAT} with an argument {}", index + 1)))
}
