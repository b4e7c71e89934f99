//! Single image files as a source: the faces that a pairs list names, or photographs on the command line.
//! Knows no identities; all files carry label 0.

use std::borrow::Cow;
use std::path::PathBuf;

use arcface_core::Result;

use super::Source;
use crate::image::{self, Image};

/// Image files in the order given.
#[derive(Debug, Clone)]
pub struct FileSource {
    paths: Vec<PathBuf>,
}

impl FileSource {
    /// A source of `paths`; none is opened yet.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths }
    }
}

impl Source for FileSource {
    fn len(&self) -> usize {
        self.paths.len()
    }
    fn num_identities(&self) -> usize {
        usize::from(!self.paths.is_empty())
    }
    fn label(&self, _index: usize) -> u32 {
        0
    }
    fn identity(&self, _label: u32) -> String {
        "unknown".to_owned()
    }
    fn image(&self, index: usize) -> Result<Image> {
        image::read(&self.paths[index])
    }
    fn describe(&self, index: usize) -> String {
        self.paths[index].display().to_string()
    }
    fn encoded(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        image::read_bytes(&self.paths[index]).map(|bytes| Some(bytes.into()))
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        image::read_dimensions(&self.paths[index])
    }
}
