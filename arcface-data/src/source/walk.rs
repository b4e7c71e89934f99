//! The images of a folder, however deep they lie.
//! Knows no identities: a path is all there is to an image.

use std::path::Path;

use arcface_core::{Error, Result};

use super::folder::{name_of, read_folder};
use crate::image::has_image_extension;

/// Folders within folders; a link to a folder above itself would have no end.
const DEEPEST: usize = 16;

/// Paths of all images below `root`, with `/` between the names, in the order of their bytes.
///
/// Hidden files and folders, and files that are not named like images, are passed over.
///
/// # Errors
/// If a folder is missing or cannot be read, a name is not UTF-8, or folders lie more than 16 deep.
///
/// # Example
/// ```
/// use arcface_data::source::image_files;
/// let none = std::env::temp_dir().join("arcface-doc-nothing-is-here");
/// assert!(image_files(&none).is_err());
/// ```
pub fn image_files(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    collect(root, "", DEEPEST, &mut paths)?;
    paths.sort_unstable();
    Ok(paths)
}

fn collect(folder: &Path, prefix: &str, depth: usize, paths: &mut Vec<String>) -> Result<()> {
    if depth == 0 {
        let message = format!("expected folders at most {DEEPEST} deep; does a link lead back to a folder above it?");
        return Err(Error::file(folder, message));
    }
    for entry in read_folder(folder)? {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, &format!("{prefix}{}/", name_of(&entry)?), depth - 1, paths)?;
        } else if has_image_extension(&path) {
            paths.push(format!("{prefix}{}", name_of(&entry)?));
        }
    }
    Ok(())
}
