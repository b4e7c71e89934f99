//! What a set of labelled faces is: images by index, each with the label of its identity.
//! Knows no order of training, no batches and no pairs.

mod files;
mod folder;
mod idx;
mod joined;
mod labels;
#[cfg(feature = "parquet")]
mod parquet;
pub mod procedural;
mod recoded;
mod record;
mod subset;
mod walk;

use std::borrow::Cow;
use std::sync::Arc;

use arcface_core::Result;

use crate::image::Image;

pub use files::FileSource;
pub(crate) use folder::is_folder_name;
pub use folder::{FolderOptions, FolderSource, read_identities};
pub use idx::{IdxSource, is_idx_folder};
pub use joined::{JoinedSource, SameName};
#[cfg(feature = "parquet")]
pub use parquet::{ParquetSource, is_parquet_folder};
pub use recoded::RecodedSource;
pub use record::RecordSource;
pub use subset::{Holdout, Subset, hold_out};
pub use walk::image_files;

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

    /// The name of the file of image `index` within the folder of its identity, where there is one.
    fn file_name(&self, _index: usize) -> Option<String> {
        None
    }

    /// The JPEG or PNG that image `index` is decoded from, as it stands in its file; `None` where there is none.
    ///
    /// # Errors
    /// If its file cannot be read; whether it holds an image is not looked at.
    fn encoded(&self, _index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        Ok(None)
    }

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
    fn file_name(&self, index: usize) -> Option<String> {
        (**self).file_name(index)
    }
    fn encoded(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        (**self).encoded(index)
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        (**self).dimensions(index)
    }
}

/// The images of each identity: element `label` lists them in ascending order.
pub fn images_by_identity(source: &dyn Source) -> Vec<Vec<usize>> {
    let mut images = vec![Vec::new(); source.num_identities()];
    for index in 0..source.len() {
        images[source.label(index) as usize].push(index);
    }
    images
}

/// A name for every image: `identity/file name`, or `identity/identity_%04d` counted from 1 where there are no files.
///
/// Pairs lists call images by these keys, and [`generate`](crate::generate()) writes its files under them.
pub fn keys(source: &dyn Source) -> Vec<String> {
    let mut counts = vec![0; source.num_identities()];
    let key = |index| {
        let label = source.label(index);
        let identity = source.identity(label);
        let count: &mut usize = &mut counts[label as usize];
        *count += 1;
        source.file_name(index).map_or_else(|| numbered(&identity, *count), |name| format!("{identity}/{name}"))
    };
    (0..source.len()).map(key).collect()
}

/// The key of image `number` of an identity as LFW writes it: `name/name_0007`.
pub(crate) fn numbered(identity: &str, number: usize) -> String {
    format!("{identity}/{identity}_{number:04}")
}
