//! Sources and folders for tests, made of noise.

use std::path::Path;

use arcface_core::seed::{Purpose, rng};
use arcface_core::{Error, Result};
use arcface_data::image::write_png;
use arcface_data::{Image, LoaderConfig, Source};
use rand::Rng;

/// Noise images in memory: identity `l` has `counts[l]` of them.
#[derive(Debug)]
pub(crate) struct Noise {
    pub(crate) labels: Vec<u32>,
    pub(crate) size: usize,
    /// Images that fail to read.
    pub(crate) corrupt: Vec<usize>,
    /// Images that panic.
    pub(crate) panics: Vec<usize>,
}

impl Noise {
    pub(crate) fn new(counts: &[usize], size: usize) -> Self {
        let labels = (0..).zip(counts).flat_map(|(label, count)| std::iter::repeat_n(label, *count)).collect();
        Self { labels, size, corrupt: vec![], panics: vec![] }
    }
}

impl Source for Noise {
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn num_identities(&self) -> usize {
        self.labels.iter().max().map_or(0, |most| *most as usize + 1)
    }
    fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }
    fn identity(&self, label: u32) -> String {
        format!("person{label}")
    }
    fn image(&self, index: usize) -> Result<Image> {
        assert!(!self.panics.contains(&index), "image {index} bites");
        if self.corrupt.contains(&index) {
            return Err(Error::Invalid(format!("{}: torn", self.describe(index))));
        }
        Ok(noise(self.size, index as u64))
    }
    fn describe(&self, index: usize) -> String {
        format!("noise {index}")
    }
}

pub(crate) fn noise(size: usize, index: u64) -> Image {
    let mut rgb = vec![0; 3 * size * size];
    rng(0, Purpose::Testing, 0, index).fill(&mut rgb[..]);
    Image::new(size, size, rgb).unwrap()
}

/// A folder of noise: (identity, number of images).
pub(crate) fn folder(identities: &[(&str, usize)], size: usize) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (identity, count) in identities {
        std::fs::create_dir(root.path().join(identity)).unwrap();
        for number in 1..=*count {
            let path = root.path().join(format!("{identity}/{identity}_{number:04}.png"));
            write_png(&path, &noise(size, number as u64)).unwrap();
        }
    }
    root
}

pub(crate) fn config(batch_size: usize, image_size: usize) -> LoaderConfig {
    LoaderConfig { batch_size, image_size, seed: 5, ..LoaderConfig::default() }
}

/// The message of an error with the temporary folder replaced by `ROOT`.
pub(crate) fn message<T: std::fmt::Debug>(result: Result<T>, root: &Path) -> String {
    result.unwrap_err().to_string().replace(&root.display().to_string(), "ROOT").replace('\\', "/")
}
