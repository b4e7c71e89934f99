//! A matrix (N, D) in a `.safetensors`, read row by row: no more than a part of it is held.
//! Knows no network; `table` writes such files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::layout::Layout;

/// The file, open at its first row.
#[derive(Debug)]
pub(crate) struct Matrix {
    path: PathBuf,
    file: BufReader<File>,
    layout: Layout,
}

impl Matrix {
    /// The file at `path`, whose only tensor is called `name`.
    ///
    /// # Errors
    /// If it cannot be read or is not of that form.
    pub(crate) fn open(path: &Path, name: &str) -> anyhow::Result<Self> {
        let opened = || {
            let mut file = File::open(path)?;
            let layout = Layout::read(path, &mut file, name)?;
            anyhow::Ok(Self { path: path.to_owned(), file: BufReader::new(file), layout })
        };
        opened().with_context(|| path.display().to_string())
    }

    /// What the file says about itself.
    pub(crate) fn metadata(&self) -> &BTreeMap<String, String> {
        &self.layout.metadata
    }

    /// Shows every row with its number to `visit`, in their order.
    ///
    /// # Errors
    /// Those of `visit`, and if the file cannot be read.
    pub(crate) fn each(mut self, mut visit: impl FnMut(usize, &[f32]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut bytes = vec![0; self.layout.row_bytes()];
        for number in 0..self.layout.rows {
            self.file.read_exact(&mut bytes).with_context(|| self.path.display().to_string())?;
            visit(number, &self.layout.element.decoded(&bytes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::element::Element;
    use super::super::format::{About, Format};
    use super::*;

    fn bytes() -> Vec<u8> {
        let about = About { name: "rows", element: Element::Single, metadata: vec![("key", "k".to_owned())] };
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
        assert_eq!((matrix.layout.rows, matrix.layout.columns, matrix.metadata()["key"].as_str()), (3, 2, "k"));
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
                let (rows, mut seen) = (matrix.layout.rows, 0);
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
