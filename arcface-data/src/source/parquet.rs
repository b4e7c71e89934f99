//! Image sets in Parquet files, as hubs keep them, as a source: a column of encoded images, one of labels.
//! Knows no hub and no download; a page is unpacked when one of its images is asked for.

mod claims;
mod numbering;
mod shard;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::parquet::data_type::ByteArray;
use arcface_core::{Error, Result};

use super::Source;
use super::folder::read_folder;
use super::labels::Labels;
use crate::image::{self, Image};
use shard::Shard;

/// What is wrong with a file, to be put behind its name.
type Said<T> = std::result::Result<T, String>;

/// Unpacked pages are kept up to so many bytes, so that neighbours need not unpack the same page.
const KEPT_BYTES: usize = 64 << 20;

/// The faces of Parquet files. Labels count their identities in the order of their numbers; their names are these
/// numbers.
///
/// Files are mapped, not read: one that is cut short while it is open ends the program.
#[derive(Debug)]
pub struct ParquetSource {
    shards: Vec<Shard>,
    /// The number of the first image of each shard.
    starts: Vec<usize>,
    labels: Labels,
    kept: Mutex<VecDeque<Kept>>,
}

/// The images of an unpacked page.
#[derive(Debug)]
struct Kept {
    shard: usize,
    page: usize,
    bytes: usize,
    images: Arc<Vec<Option<ByteArray>>>,
}

impl ParquetSource {
    /// Opens a `.parquet`, or those of a folder in the order of their names; only the `train…` ones where there are
    /// some. `cargo xtask` has no download of its own: `hf download --repo-type dataset NAME --local-dir FOLDER` has.
    ///
    /// Images stand in a column `image` of bytes or with a field `bytes`, labels in `label`, `labels`, `identity` or
    /// `class`, all packed with snappy or not at all.
    ///
    /// # Errors
    /// If a file cannot be read, is damaged, lacks one of the columns, a label is missing or negative, or files of a folder
    /// count themselves, `train-00001-of-00005`, and some are missing.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let files = if path.is_dir() { whole_set(&path)? } else { vec![path.clone()] };
        let (mut shards, mut starts, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for file in files {
            let (shard, own) = Shard::open(file)?;
            starts.push(labels.len());
            labels.extend(own);
            shards.push(shard);
        }
        if labels.is_empty() {
            return Err(Error::file(path, "expected images, there is none"));
        }
        Ok(Self { shards, starts, labels: Labels::new(labels), kept: Mutex::default() })
    }

    /// The shard of an image, and the image's row in it.
    fn place(&self, index: usize) -> (usize, usize) {
        let shard = self.starts.partition_point(|start| *start <= index) - 1;
        (shard, index - self.starts[shard])
    }

    fn body(&self, index: usize) -> Result<ByteArray> {
        let (shard, row) = self.place(index);
        let (page, number) = self.shards[shard].page_of(row);
        let images = match self.kept(shard, page) {
            Some(images) => images,
            None => self.unpack(shard, page)?,
        };
        let none = || self.error(index, "expected an image, there is none; leave the row out");
        images.get(number).cloned().flatten().ok_or_else(none)
    }

    fn kept(&self, shard: usize, page: usize) -> Option<Arc<Vec<Option<ByteArray>>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|kept| (kept.shard, kept.page) == (shard, page)).map(|kept| kept.images.clone())
    }

    /// Unpacks without holding others up, and forgets the oldest pages.
    fn unpack(&self, shard: usize, page: usize) -> Result<Arc<Vec<Option<ByteArray>>>> {
        let file = &self.shards[shard];
        let images = file.images(page).map_err(|message| Error::file(file.path(), message))?;
        let (images, bytes) = (Arc::new(images), file.unpacked(page));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(Kept { shard, page, bytes, images: images.clone() });
        while KEPT_BYTES < kept.iter().map(|kept| kept.bytes).sum() {
            kept.pop_front();
        }
        Ok(images)
    }

    fn look<T>(&self, index: usize, look: impl Fn(&[u8]) -> Result<T>) -> Result<T> {
        look(self.body(index)?.data()).map_err(|error| self.error(index, &error.to_string()))
    }

    fn error(&self, index: usize, message: &str) -> Error {
        Error::Invalid(format!("{}: {message}", self.describe(index)))
    }
}

impl Source for ParquetSource {
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn num_identities(&self) -> usize {
        self.labels.num_identities()
    }
    fn label(&self, index: usize) -> u32 {
        self.labels.label(index)
    }
    fn identity(&self, label: u32) -> String {
        self.labels.identity(label)
    }
    fn image(&self, index: usize) -> Result<Image> {
        self.look(index, image::decode)
    }
    fn describe(&self, index: usize) -> String {
        let (shard, row) = self.place(index);
        format!("{}: row {row}", self.shards[shard].path().display())
    }
    fn encoded(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        Ok(Some(self.body(index)?.data().to_vec().into()))
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        self.look(index, image::dimensions)
    }
}

/// Whether a folder holds Parquet files.
pub fn is_parquet_folder(folder: &Path) -> bool {
    folder.is_dir() && files(folder).is_ok()
}

/// The files of a folder, none of which is missing as far as they count themselves.
fn whole_set(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = files(folder)?;
    let stems = files.iter().filter_map(|file| file.file_stem()?.to_str());
    if let Some(names) = numbering::missing(stems) {
        let message = format!("expected all shards that its files count, missing: {names}; fetch these too");
        return Err(Error::file(folder, message));
    }
    Ok(files)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_parquet = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "parquet");
    let mut files: Vec<_> = read_folder(folder)?.iter().map(std::fs::DirEntry::path).filter(is_parquet).collect();
    if files.is_empty() {
        return Err(Error::file(folder, "expected files *.parquet, found none"));
    }
    let trains = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("train"));
    if files.iter().any(trains) {
        files.retain(trains);
    }
    files.sort();
    Ok(files)
}
