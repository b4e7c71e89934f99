//! The feature files of `MegaFace`: one face each, four i32 (n, 1, 4, 5) and n f32, little endian.
//! Knows no faces.

use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arcface_core::checkpoint::atomic_write;
use arcface_core::{Error, Result};
use arcface_eval::Rows;
use rayon::prelude::*;

/// Columns, bytes of a number, and `OpenCV`'s name of f32.
const AFTER_LENGTH: [i32; 3] = [1, 4, 5];

/// The features of a file.
///
/// # Errors
/// If it cannot be read, or is not of that form.
pub(super) fn read(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let (words, _) = bytes.as_chunks::<4>();
    let head: Vec<i32> = words.iter().take(4).map(|word| i32::from_le_bytes(*word)).collect();
    let (Some(&length), true) = (head.first(), head.get(1..) == Some(&AFTER_LENGTH[..])) else {
        return Err(Error::file(path, format!("expected four i32 (n, 1, 4, 5) at the begin, found {head:?}")));
    };
    let expected = usize::try_from(length).ok().filter(|length| 0 < *length).map(|length| 16 + 4 * length);
    if expected != Some(bytes.len()) {
        let needs = expected.map_or_else(|| "at least one number".to_owned(), |bytes| format!("{bytes} bytes"));
        let message =
            format!("n = {length} needs {needs}, found {}; the file was cut short, write it anew", bytes.len());
        return Err(Error::file(path, message));
    }
    Ok(words[4..].iter().map(|word| f32::from_le_bytes(*word)).collect())
}

/// Writes the features of a face, whole or not at all.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn write(path: &Path, features: &[f32]) -> Result<()> {
    let head = [features.len() as i32].into_iter().chain(AFTER_LENGTH).flat_map(i32::to_le_bytes);
    let bytes: Vec<u8> = head.chain(features.iter().flat_map(|value| value.to_le_bytes())).collect();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    }
    atomic_write(path, |file| file.write_all(&bytes))
}

/// Feature files, read when they are asked for, each scaled to length 1.
#[derive(Debug)]
pub(super) struct FeatureFiles {
    paths: Vec<PathBuf>,
    width: usize,
}

impl FeatureFiles {
    /// Files of as many features as the first of them.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub(super) fn new(paths: Vec<PathBuf>) -> Result<Self> {
        let Some(first) = paths.first() else { return Err(Error::value("feature files", "at least one", 0)) };
        let width = read(first)?.len();
        Ok(Self { paths, width })
    }

    /// The files at `places` of these.
    pub(super) fn chosen(&self, places: &[usize]) -> Self {
        Self { paths: places.iter().map(|place| self.paths[*place].clone()).collect(), width: self.width }
    }

    fn unit(&self, path: &Path) -> Result<Vec<f32>> {
        let values = read(path)?;
        if values.len() != self.width {
            let expected = format!("expected {} features as in {}", self.width, self.paths[0].display());
            return Err(Error::file(path, format!("{expected}, found {}", values.len())));
        }
        let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        if !(0.0 < length && length < f64::INFINITY) {
            return Err(Error::file(
                path,
                format!("expected finite features that are not all zero, got length {length}"),
            ));
        }
        Ok(values.iter().map(|value| (f64::from(*value) / length) as f32).collect())
    }
}

impl Rows for &FeatureFiles {
    fn rows(&self) -> usize {
        self.paths.len()
    }

    fn width(&self) -> usize {
        self.width
    }

    fn read(&self, rows: Range<usize>) -> Result<Cow<'_, [f32]>> {
        let read = self.paths[rows].par_iter().map(|path| self.unit(path));
        Ok(Cow::Owned(read.collect::<Result<Vec<Vec<f32>>>>()?.concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_come_back_and_damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.jpg.bin");
        write(&path, &[0.5, -2.0, 0.0]).unwrap();
        assert_eq!(read(&path).unwrap(), [0.5, -2.0, 0.0]);
        let whole = std::fs::read(&path).unwrap();
        // As `struct.pack("<4i3f", 3, 1, 4, 5, 0.5, -2.0, 0.0)` of Python.
        assert_eq!(whole[..20], [3, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0x3f]);
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path).is_err(), "{length}");
        }
        std::fs::write(&path, &whole[..24]).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.ends_with("b.jpg.bin: n = 3 needs 28 bytes, found 24; the file was cut short, write it anew"));
        std::fs::write(&path, [255; 24]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("found [-1, -1, -1, -1]"));
    }

    #[test]
    fn files_that_do_not_fit_each_other_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c", "d"].map(|name| folder.path().join(name)).to_vec();
        for (path, features) in paths.iter().zip([&[3.0, 4.0][..], &[0.0, 1.0, 2.0], &[0.0, 0.0], &[f32::NAN, 1.0]]) {
            write(path, features).unwrap();
        }
        let files = FeatureFiles::new(paths).unwrap();
        assert_eq!((&files).read(0..1).unwrap()[..], [0.6, 0.8]);
        let words = |row: usize| (&files).read(row..row + 1).unwrap_err().to_string();
        assert!(words(1).contains("b: expected 2 features as in") && words(1).ends_with("found 3"));
        assert!(words(2).contains("c: expected finite features") && words(3).contains("d: expected finite features"));
    }
}
