//! Rows of numbers for every image of a set, measured once and kept in a file beside the run.
//! Knows no network; what is measured comes as a function.

use std::path::Path;

use serde_json::Value;

use super::element::Element;
use super::format::{About, Format};
use super::matrix::Matrix;
use super::table::{Begun, Table};

/// Metadata that tells what the rows depend on.
const KEY: &str = "key";

/// What is kept, and what it depends on.
pub(crate) struct Kept<'a> {
    /// The file, whose name ends in `.safetensors`.
    pub(crate) path: &'a Path,
    /// Name of its tensor (N, D).
    pub(crate) name: &'static str,
    /// How its numbers are stored.
    pub(crate) element: Element,
    /// All that the rows depend on.
    pub(crate) key: Value,
    /// N.
    pub(crate) images: usize,
    /// Images of a batch.
    pub(crate) batch: usize,
    /// D.
    pub(crate) columns: usize,
}

impl Kept<'_> {
    /// Has the file filled by `fill` unless it is there; what was measured otherwise makes way, what was stopped goes on.
    ///
    /// `describe` names an image for the list beside the file.
    ///
    /// # Errors
    /// Those of `fill`, and if the disk is full.
    pub(crate) fn ensure(
        self,
        describe: impl Fn(usize) -> String,
        fill: impl FnOnce(&mut Table) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self { path, name, element, key, images, batch, columns } = self;
        if Matrix::open(path, name).is_ok_and(|matrix| matrix.metadata().get(KEY) == Some(&key.to_string())) {
            return Ok(());
        }
        Table::discard_other(path, &key)?;
        let about = About { name, element, metadata: vec![(KEY, key.to_string())] };
        let mut table = Table::open(path, Format::Safetensors, Begun { key, images, batch, columns }, about)?;
        fill(&mut table).inspect_err(|_| {
            eprintln!("{} of {images} images are done; the same command goes on from there", table.images());
        })?;
        // A path with a line break would be two lines.
        table.finish((0..images).map(|index| describe(index).replace(['\n', '\r'], " ")))
    }
}
