//! A matrix (N, D) of f32 in a `.safetensors`, read row by row: no more than a part of it is held.
//! Knows no network; `table` writes such files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

/// The longest head that the format allows.
const LONGEST_HEAD: u64 = 100_000_000;

/// The file, open at its first row.
#[derive(Debug)]
pub(crate) struct Matrix {
    path: PathBuf,
    file: BufReader<File>,
    rows: usize,
    columns: usize,
    metadata: BTreeMap<String, String>,
}

/// What the head says about a tensor.
#[derive(Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl Matrix {
    /// The file at `path`, whose only tensor is called `name`.
    ///
    /// # Errors
    /// If it cannot be read or is not of that form.
    pub(crate) fn open(path: &Path, name: &str) -> anyhow::Result<Self> {
        Self::opened(path, name).with_context(|| path.display().to_string())
    }

    fn opened(path: &Path, name: &str) -> anyhow::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if LONGEST_HEAD < length {
            bail!("expected a head of at most {LONGEST_HEAD} bytes, found {length}: this is no .safetensors");
        }
        let mut head = Vec::new();
        (&mut file).take(length).read_to_end(&mut head)?;
        let head: BTreeMap<String, Value> = serde_json::from_slice(&head).context("head of a .safetensors")?;
        let metadata = head.get("__metadata__").cloned().map(serde_json::from_value).transpose()?.unwrap_or_default();
        let entry = head.get(name).with_context(|| format!("tensor `{name}` is missing"))?;
        let Entry { dtype, shape, data_offsets } = serde_json::from_value(entry.clone())?;
        let (&[rows, columns], "F32") = (&shape[..], &*dtype) else {
            bail!("tensor `{name}`: expected (N, D) of F32, found {shape:?} of {dtype}")
        };
        let bytes = rows.checked_mul(columns).and_then(|values| values.checked_mul(4));
        let there = file.get_ref().metadata()?.len();
        if bytes != Some(data_offsets[1]) || data_offsets[0] != 0 || there != 8 + length + data_offsets[1] as u64 {
            bail!("tensor `{name}`: the file has not the length that (N, D) = ({rows}, {columns}) needs");
        }
        Ok(Self { path: path.to_owned(), file, rows, columns, metadata })
    }

    /// What the file says about itself.
    pub(crate) fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Shows every row with its number to `visit`, in their order.
    ///
    /// # Errors
    /// Those of `visit`, and if the file cannot be read.
    pub(crate) fn each(mut self, mut visit: impl FnMut(usize, &[f32]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let (mut bytes, mut row) = (vec![0; 4 * self.columns], vec![0.0; self.columns]);
        for number in 0..self.rows {
            self.file.read_exact(&mut bytes).with_context(|| self.path.display().to_string())?;
            for (value, bytes) in row.iter_mut().zip(bytes.as_chunks().0) {
                *value = f32::from_le_bytes(*bytes);
            }
            visit(number, &row)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::{About, Format};
    use super::*;

    fn bytes() -> Vec<u8> {
        let about = About { name: "rows", metadata: vec![("key", "k".to_owned())] };
        let values = [1.0_f32, -2.5, 3.0, 0.0, f32::NAN, 7.0];
        let head = Format::Safetensors.head(3, 2, &about);
        head.into_iter().chain(values.iter().flat_map(|value| value.to_le_bytes())).collect()
    }

    #[test]
    fn rows_come_back_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        std::fs::write(&path, bytes()).unwrap();
        let matrix = Matrix::open(&path, "rows").unwrap();
        assert_eq!((matrix.rows, matrix.columns, matrix.metadata()["key"].as_str()), (3, 2, "k"));
        let mut seen = Vec::new();
        let note = |number, row: &[f32]| {
            seen.push((number, row[1]));
            Ok(())
        };
        matrix.each(note).unwrap();
        assert_eq!(seen[..2], [(0, -2.5), (1, 0.0)]);
        assert!(Matrix::open(&path, "other").unwrap_err().to_string().contains("m.safetensors"));
    }

    /// Each is read or refused, and nothing panics.
    #[test]
    fn damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let whole = bytes();
        for place in 0..whole.len() {
            std::fs::write(&path, &whole[..place]).unwrap();
            assert!(Matrix::open(&path, "rows").is_err(), "cut at {place}");
            let mut other = whole.clone();
            other[place] ^= 0x15;
            std::fs::write(&path, other).unwrap();
            if let Ok(matrix) = Matrix::open(&path, "rows") {
                let (rows, mut seen) = (matrix.rows, 0);
                let count = |_, _: &[f32]| {
                    seen += 1;
                    Ok(())
                };
                matrix.each(count).unwrap();
                assert_eq!(seen, rows);
            }
        }
    }
}
