//! What a set of labelled faces is: images by index, each with the label of its identity.
//! Knows no order of training, no batches and no pairs.

pub mod procedural;

use std::sync::Arc;

use arcface_core::Result;

use crate::image::Image;

/// A set of labelled faces, readable from any number of threads at once.
///
/// Images are numbered `0..len()` and labels `0..num_identities()`; both stay the same for the life of the source,
/// and reading an image twice gives the same pixels.
pub trait Source: Send + Sync {
    /// The number of images.
    fn len(&self) -> usize;

    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of identities; labels are smaller than it.
    fn num_identities(&self) -> usize;

    /// The label of image `index`, which is smaller than [`len`](Self::len).
    fn label(&self, index: usize) -> u32;

    /// The name of the identity with `label`.
    fn identity(&self, label: u32) -> String;

    /// Image `index`, decoded or drawn.
    ///
    /// # Errors
    /// If its file cannot be read or does not hold an image; the error names it.
    fn image(&self, index: usize) -> Result<Image>;

    /// The path or record of image `index`, for messages.
    fn describe(&self, index: usize) -> String;

    /// Width and height of image `index`, without decoding it where the source can.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        self.image(index).map(|image| (image.width, image.height))
    }
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn len(&self) -> usize {
        (**self).len()
    }
    fn num_identities(&self) -> usize {
        (**self).num_identities()
    }
    fn label(&self, index: usize) -> u32 {
        (**self).label(index)
    }
    fn identity(&self, label: u32) -> String {
        (**self).identity(label)
    }
    fn image(&self, index: usize) -> Result<Image> {
        (**self).image(index)
    }
    fn describe(&self, index: usize) -> String {
        (**self).describe(index)
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        (**self).dimensions(index)
    }
}
