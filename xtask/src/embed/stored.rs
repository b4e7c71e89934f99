//! A matrix of embeddings in a file, read a few rows at a time, as it stands there or with rows of length 1.
//! Knows no protocol: rows are numbers.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use arcface_core::{Error, Result};
use arcface_eval::{Embeddings, Rows};
use rayon::prelude::*;

use super::element::Element;
use super::layout::Layout;

/// Name of the tensor of a `.safetensors`.
pub(crate) const NAME: &str = "embeddings";

/// The file; threads read it in turn.
#[derive(Debug)]
pub(crate) struct Stored {
    path: PathBuf,
    file: Mutex<File>,
    layout: Layout,
}

impl Stored {
    /// The matrix at `path`, a `.npy` or `.safetensors`.
    ///
    /// # Errors
    /// If it cannot be read, is not of that form, or is cut short.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let opened = || {
            let mut file = File::open(path)?;
            let layout = Layout::read(path, &mut file, NAME)?;
            anyhow::Ok(Self { path: path.to_owned(), file: Mutex::new(file), layout })
        };
        opened().with_context(|| path.display().to_string())
    }

    /// Number of rows N.
    pub(crate) fn len(&self) -> usize {
        self.layout.rows
    }

    /// Values per row D.
    pub(crate) fn columns(&self) -> usize {
        self.layout.columns
    }

    /// How the numbers are stored.
    pub(crate) fn element(&self) -> Element {
        self.layout.element
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the rows: the lines of FILE.paths.txt, which `embed` writes.
    ///
    /// # Errors
    /// If it is missing, or does not have a line for each row.
    pub(crate) fn names(&self) -> anyhow::Result<Vec<String>> {
        let mut path = self.path.as_os_str().to_owned();
        path.push(".paths.txt");
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!(
                "{}: expected the name of each row, a line for each (`embed` writes it), found no such file",
                path.display()
            );
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let names: Vec<String> = text.lines().map(str::to_owned).collect();
        if names.len() != self.len() {
            bail!("{}: expected a line for each of the {} rows, found {}", path.display(), self.len(), names.len());
        }
        Ok(names)
    }

    /// The values of `rows` as they stand there.
    ///
    /// # Shapes
    /// → (`rows.len()`, D) row by row.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn values(&self, rows: Range<usize>) -> Result<Vec<f32>> {
        let width = self.layout.row_bytes();
        let mut bytes = vec![0; rows.len() * width];
        // Whoever panicked has not left the place in the file that matters: it is sought each time.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let place = SeekFrom::Start(self.layout.offset + (rows.start * width) as u64);
        let read = file.seek(place).and_then(|_| file.read_exact(&mut bytes));
        drop(file);
        read.map_err(|error| Error::io(&self.path, error))?;
        Ok(self.layout.element.decoded(&bytes))
    }

    /// The values of the rows numbered `rows`, in that order; those that stand one behind the other are read at once.
    ///
    /// # Errors
    /// As [`Self::values`].
    pub(crate) fn gather(&self, rows: &[u32]) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(rows.len() * self.columns());
        for run in rows.chunk_by(|a, b| a + 1 == *b) {
            let first = run[0] as usize;
            values.extend(self.values(first..first + run.len())?);
        }
        Ok(values)
    }
}

/// Rows of a file in some order, each scaled to length 1 when it is read.
#[derive(Debug)]
pub(crate) struct UnitRows<'a> {
    stored: &'a Stored,
    rows: Vec<u32>,
}

impl<'a> UnitRows<'a> {
    /// The rows numbered `rows`.
    pub(crate) fn new(stored: &'a Stored, rows: Vec<u32>) -> Self {
        Self { stored, rows }
    }

    /// All rows.
    pub(crate) fn all(stored: &'a Stored) -> Self {
        Self::new(stored, (0..stored.len() as u32).collect())
    }

    /// All of them in memory.
    ///
    /// # Errors
    /// If they cannot be read, or one is zero or not finite; the message names it.
    pub(crate) fn embeddings(&self) -> Result<Embeddings> {
        let embeddings = Embeddings::normalised(&self.stored.gather(&self.rows)?, self.stored.columns());
        // Reading them as unit vectors names the file and the row that is at fault.
        embeddings.or_else(|error| self.read(0..self.rows.len()).and(Err(error)))
    }
}

impl Rows for UnitRows<'_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn width(&self) -> usize {
        self.stored.columns()
    }

    fn read(&self, rows: Range<usize>) -> Result<Cow<'_, [f32]>> {
        let numbers = &self.rows[rows];
        let (mut values, width) = (self.stored.gather(numbers)?, self.width());
        let unit = |(row, number): (&mut [f32], &u32)| {
            let length = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            if !(0.0 < length && length < f64::INFINITY) {
                let expected = "a finite embedding that is not zero (an untrained or diverged network gives others)";
                let what = format!("{}: row {number}", self.stored.path.display());
                return Err(Error::value(what, expected, format!("length {length}")));
            }
            for value in row {
                *value = (f64::from(*value) / length) as f32;
            }
            Ok(())
        };
        values.par_chunks_exact_mut(width).zip(numbers).try_for_each(unit)?;
        Ok(Cow::Owned(values))
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::{About, Format};
    use super::*;

    /// A file of 5 rows (row, 3, 4) but for the last, which is zero.
    fn written(folder: &Path, name: &str, element: Element) -> PathBuf {
        let path = folder.join(name);
        let about = About { name: NAME, element, metadata: vec![] };
        let values: Vec<f32> =
            (0..5).flat_map(|row| if row == 4 { [0.0; 3] } else { [row as f32, 3.0, 4.0] }).collect();
        let mut bytes = Format::of(&path).unwrap().head(5, 3, &about);
        bytes.extend(element.encoded(&values));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn rows_of_every_form_are_read_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.npy", "a.safetensors"] {
            for element in [Element::Single, Element::Half] {
                let stored = Stored::open(&written(folder.path(), name, element)).unwrap();
                assert_eq!((stored.len(), stored.columns(), stored.element()), (5, 3, element));
                assert_eq!(stored.values(1..3).unwrap(), [1.0, 3.0, 4.0, 2.0, 3.0, 4.0]);
                assert_eq!(stored.gather(&[3, 0, 1]).unwrap(), [3.0, 3.0, 4.0, 0.0, 3.0, 4.0, 1.0, 3.0, 4.0]);
                let rows = UnitRows::new(&stored, vec![1, 0]);
                assert_eq!(rows.read(1..2).unwrap()[..], [0.0, 0.6, 0.8]);
                let error = UnitRows::all(&stored).read(0..5).unwrap_err().to_string();
                assert!(error.contains(&format!("{name}: row 4: expected a finite embedding")), "{error}");
            }
        }
    }

    #[test]
    fn files_that_are_cut_short_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.npy", "a.safetensors"] {
            let path = written(folder.path(), name, Element::Single);
            let whole = std::fs::read(&path).unwrap();
            for length in 0..whole.len() {
                std::fs::write(&path, &whole[..length]).unwrap();
                assert!(Stored::open(&path).is_err(), "{name}, {length} bytes");
            }
            std::fs::write(&path, &whole[..whole.len() - 4]).unwrap();
            let (error, length) = (format!("{:#}", Stored::open(&path).unwrap_err()), whole.len());
            let expected = format!("(5, 3) needs a file of {length} bytes, found {}; it was cut short", length - 4);
            assert!(error.contains(&expected), "{error}");
        }
    }

    #[test]
    fn other_arrays_of_numpy_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), "a.npy", Element::Single);
        let whole = std::fs::read(&path).unwrap();
        for (from, to) in [("<f4", "<f8"), ("False", "True "), ("(5, 3)", "(15,) "), ("\u{1}", "\u{1}")] {
            let text: Vec<u8> = whole.clone();
            let at = text.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            let changed = [&text[..at], to.as_bytes(), &text[at + from.len()..]].concat();
            std::fs::write(&path, changed).unwrap();
            assert_eq!(Stored::open(&path).is_ok(), from == to, "{from}");
        }
    }
}
