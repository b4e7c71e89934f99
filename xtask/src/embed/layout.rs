//! Where the rows of a matrix (N, D) lie in a `.npy` or `.safetensors`, by the head of the file.
//! Knows no rows; `format` writes such heads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

use super::element::Element;
use super::format::Format;

/// The longest head that `.safetensors` allows.
const LONGEST_HEAD: u64 = 100_000_000;

/// What the head says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Bytes before the first row.
    pub(crate) offset: u64,
    /// N.
    pub(crate) rows: usize,
    /// D.
    pub(crate) columns: usize,
    pub(crate) element: Element,
    /// What the file says about itself, where it has room for it.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What the head of a `.safetensors` says about a tensor.
#[derive(Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl Layout {
    /// The layout of the file at `path`, open at its begin; the only tensor of a `.safetensors` is called `name`.
    ///
    /// # Errors
    /// If it is not of that form, or has not the length that its head says.
    pub(crate) fn read(path: &Path, file: &mut File, name: &str) -> anyhow::Result<Self> {
        let layout = match Format::of(path)? {
            Format::Npy => Self::npy(file)?,
            Format::Safetensors => Self::safetensors(file, name)?,
        };
        layout.check_length(file.metadata()?.len())?;
        Ok(layout)
    }

    /// Bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        self.columns * self.element.bytes()
    }

    fn check_length(&self, there: u64) -> anyhow::Result<()> {
        let (rows, columns) = (self.rows, self.columns);
        let bytes = rows.checked_mul(columns).and_then(|values| values.checked_mul(self.element.bytes()));
        let expected = bytes.and_then(|bytes| self.offset.checked_add(bytes as u64));
        if columns == 0 || rows == 0 {
            bail!("expected (N, D) with at least one row and one value, found ({rows}, {columns})");
        }
        if expected != Some(there) {
            let length = expected.map_or_else(|| "more than there can be".to_owned(), |bytes| format!("{bytes} bytes"));
            bail!("({rows}, {columns}) needs a file of {length}, found {there}; it was cut short, write it anew");
        }
        Ok(())
    }

    /// Versions 1 to 3 of <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
    fn npy(file: &mut File) -> anyhow::Result<Self> {
        let start: [u8; 8] = bytes(file).context("head of a .npy")?;
        let (b"\x93NUMPY", major) = (&start[..6], start[6]) else {
            bail!("expected numpy's `\\x93NUMPY` at the begin: this is no .npy");
        };
        let length = if major == 1 {
            u64::from(u16::from_le_bytes(bytes(file)?))
        } else {
            u64::from(u32::from_le_bytes(bytes(file)?))
        };
        let before = if major == 1 { 10 } else { 12 };
        let head = text(file, length).context("head of a .npy")?;
        let words: String = head.chars().filter(|c| !c.is_whitespace()).collect();
        let Some((element, rows, columns)) = described(&words) else {
            bail!("expected a matrix (N, D) of <f4 or <f2 in rows, found {}", head.trim_end());
        };
        Ok(Self { offset: before + length, rows, columns, element, metadata: BTreeMap::new() })
    }

    fn safetensors(file: &mut File, name: &str) -> anyhow::Result<Self> {
        let length = u64::from_le_bytes(bytes(file).context("head of a .safetensors")?);
        if LONGEST_HEAD < length {
            bail!("expected a head of at most {LONGEST_HEAD} bytes, found {length}: this is no .safetensors");
        }
        let head = text(file, length)?;
        let mut head: BTreeMap<String, Value> = serde_json::from_str(&head).context("head of a .safetensors")?;
        let metadata = head.remove("__metadata__").map(serde_json::from_value).transpose()?.unwrap_or_default();
        let entry = head.remove(name).with_context(|| format!("tensor `{name}` is missing"))?;
        let Entry { dtype, shape, data_offsets } = serde_json::from_value(entry)?;
        let (&[rows, columns], Some(element)) = (&shape[..], Element::named(&dtype)) else {
            bail!("tensor `{name}`: expected (N, D) of F32 or F16, found {shape:?} of {dtype}")
        };
        if !head.is_empty() || data_offsets[0] != 0 {
            bail!("tensor `{name}`: expected the only one of its file, found {} others", head.len());
        }
        Ok(Self { offset: 8 + length, rows, columns, element, metadata })
    }
}

/// Type and shape of numpy's description, from which blanks were taken.
fn described(words: &str) -> Option<(Element, usize, usize)> {
    let after = |key: &str| words.split_once(key).map(|(_, rest)| rest);
    let element = Element::named(after("'descr':'")?.split('\'').next()?)?;
    after("'fortran_order':False")?;
    let shape = after("'shape':(")?.split(')').next()?;
    let mut sides = shape.split(',').filter(|side| !side.is_empty()).map(str::parse);
    let (rows, columns) = (sides.next()?.ok()?, sides.next()?.ok()?);
    sides.next().is_none().then_some((element, rows, columns))
}

fn bytes<const N: usize>(file: &mut File) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(file: &mut File, length: u64) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        bail!("expected a head of {length} bytes, found {}", bytes.len());
    }
    Ok(String::from_utf8(bytes)?)
}
