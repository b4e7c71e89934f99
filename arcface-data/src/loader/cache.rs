//! Decoded images kept in memory up to a bound.
//! Knows no files: who asks for an image brings the way to make it.

use std::sync::OnceLock;

use arcface_core::Result;

use crate::image::Image;

/// Pixels of the first images of a source, as many as the bound holds; later images are made anew each time.
///
/// Which images are kept depends on their number alone, so that nothing depends on the order of threads.
#[derive(Debug)]
pub(super) struct Cache {
    size: usize,
    slots: Vec<OnceLock<Box<[u8]>>>,
}

impl Cache {
    pub(super) fn new(images: usize, size: usize, bytes: usize) -> Self {
        let bytes_per_image = size.saturating_mul(size).saturating_mul(3).max(1);
        let slots = images.min(bytes / bytes_per_image);
        Self { size, slots: std::iter::repeat_with(OnceLock::new).take(slots).collect() }
    }

    /// The image `index`, from memory or by `make`, which returns images of the cache's size.
    pub(super) fn get(&self, index: usize, make: impl FnOnce() -> Result<Image>) -> Result<Image> {
        let Some(slot) = self.slots.get(index) else { return make() };
        if let Some(rgb) = slot.get() {
            return Ok(Image { width: self.size, height: self.size, rgb: rgb.to_vec() });
        }
        let image = make()?;
        // Where two threads read the same image at once, either will do: they are equal.
        let _ = slot.set(image.rgb.clone().into());
        Ok(image)
    }
}
