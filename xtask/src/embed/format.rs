//! The heads of files that hold one matrix: numpy's `.npy` and `.safetensors`.
//! Knows no rows: they follow, little endian, one after the other.

use std::path::Path;

use anyhow::bail;
use serde_json::json;

use super::element::Element;

/// Digits of the largest number of rows or bytes.
const DIGITS: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Npy,
    Safetensors,
}

/// What a file says about its matrix, where it has room for it.
#[derive(Debug)]
pub(crate) struct About {
    /// Name of the tensor.
    pub(crate) name: &'static str,
    /// How its numbers are stored.
    pub(crate) element: Element,
    pub(crate) metadata: Vec<(&'static str, String)>,
}

impl Format {
    /// What the ending of a file's name says.
    ///
    /// # Errors
    /// If it says neither.
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            _ => bail!("expected a name that ends in .npy or .safetensors"),
        }
    }

    /// The head of a matrix (N, D) with `rows` N and `columns` D; its length does not depend on N.
    ///
    /// What is said about it goes into `.safetensors`; `.npy` has no place for it.
    pub(crate) fn head(self, rows: usize, columns: usize, about: &About) -> Vec<u8> {
        match self {
            Self::Npy => npy(rows, columns, about.element),
            Self::Safetensors => safetensors(rows, columns, about),
        }
    }
}

/// Version 1.0 of <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
fn npy(rows: usize, columns: usize, element: Element) -> Vec<u8> {
    const LENGTH: usize = 128;
    const BEFORE: usize = 10;
    let descr = element.npy();
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let width = LENGTH - BEFORE - 1;
    let mut head = b"\x93NUMPY\x01\x00".to_vec();
    head.extend(((LENGTH - BEFORE) as u16).to_le_bytes());
    head.extend(format!("{text:width$}\n").into_bytes());
    head
}

/// <https://github.com/huggingface/safetensors#format>: spaces may follow the JSON.
fn safetensors(rows: usize, columns: usize, about: &About) -> Vec<u8> {
    let metadata: serde_json::Map<_, _> =
        about.metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone().into())).collect();
    let bytes = about.element.bytes() * rows * columns;
    let text = json!({
        "__metadata__": metadata,
        about.name: { "dtype": about.element.safetensors(), "shape": [rows, columns], "data_offsets": [0, bytes] },
    });
    let text = text.to_string();
    let digits = rows.to_string().len() + bytes.to_string().len();
    let width = (text.len() - digits + 2 * DIGITS).next_multiple_of(8);
    let mut head = (width as u64).to_le_bytes().to_vec();
    head.extend(format!("{text}{}", " ".repeat(width - text.len())).into_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_have_one_length_for_any_number_of_rows() {
        let about = About {
            name: "embeddings",
            element: Element::Single,
            metadata: vec![("network", "a \"quoted\" name, ü".to_owned())],
        };
        for format in [Format::Npy, Format::Safetensors] {
            let lengths = [0, 1, 999, 12_345_678_901].map(|rows| format.head(rows, 512, &about).len());
            assert!(lengths.iter().all(|length| *length == lengths[0] && length % 8 == 0), "{lengths:?}");
        }
    }

    #[test]
    fn the_head_of_numpy_is_numpys() {
        let head = npy(3, 2, Element::Single);
        // `np.save` of np.zeros((3, 2), "<f4") begins with the same 128 bytes (numpy 2.4).
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
        assert_eq!(head[..10], *b"\x93NUMPY\x01\x00\x76\x00");
        assert_eq!(std::str::from_utf8(&head[10..]).unwrap(), format!("{text:117}\n"));
    }
}
