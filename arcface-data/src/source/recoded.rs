//! The images of a source as JPEG files of one quality, to make a set smaller.
//! Knows no container.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use arcface_core::{Error, Result};

use super::Source;
use crate::image::{Image, check_quality, decode, encode_jpeg};

/// A source whose images are encoded anew, and are what that leaves of them.
#[derive(Clone)]
pub struct RecodedSource {
    source: Arc<dyn Source>,
    quality: u8,
}

impl RecodedSource {
    /// The images of `source` as JPEG of `quality` within 1..=100.
    ///
    /// # Errors
    /// If `quality` is out of range.
    ///
    /// # Example
    /// ```
    /// use std::sync::Arc;
    /// use arcface_data::source::RecodedSource;
    /// use arcface_data::{ProceduralConfig, ProceduralSource, Source};
    /// let drawn: Arc<dyn Source> = Arc::new(ProceduralSource::new(ProceduralConfig::default())?);
    /// let bytes = |quality| Ok::<_, arcface_core::Error>(RecodedSource::new(drawn.clone(), quality)?.encoded(0)?.unwrap().len());
    /// assert!(bytes(30)? < bytes(90)?);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn new(source: Arc<dyn Source>, quality: u8) -> Result<Self> {
        check_quality(quality)?;
        Ok(Self { source, quality })
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        encode_jpeg(&self.source.image(index)?, self.quality)
            .map_err(|error| Error::Invalid(format!("{}: {error}", self.describe(index))))
    }
}

impl std::fmt::Debug for RecodedSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecodedSource({} images, quality {})", self.len(), self.quality)
    }
}

impl Source for RecodedSource {
    fn len(&self) -> usize {
        self.source.len()
    }
    fn num_identities(&self) -> usize {
        self.source.num_identities()
    }
    fn label(&self, index: usize) -> u32 {
        self.source.label(index)
    }
    fn identity(&self, label: u32) -> String {
        self.source.identity(label)
    }
    fn image(&self, index: usize) -> Result<Image> {
        decode(&self.bytes(index)?)
    }
    fn describe(&self, index: usize) -> String {
        self.source.describe(index)
    }
    /// A name that is another format's gets `.jpg` behind it, so that no two become one.
    fn file_name(&self, index: usize) -> Option<String> {
        let name = self.source.file_name(index)?;
        let extension = Path::new(&name).extension().unwrap_or_default();
        let is_jpeg = ["jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known));
        Some(if is_jpeg { name } else { name + ".jpg" })
    }
    fn encoded(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        Ok(Some(self.bytes(index)?.into()))
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        self.source.dimensions(index)
    }
}
