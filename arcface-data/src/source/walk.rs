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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn images_are_found_at_any_depth_in_the_order_of_their_paths() {
        let root = tempfile::tempdir().unwrap();
        for path in ["b/2.PNG", "b/c/1.jpeg", "a.jpg", "b.jpg", "notes.txt", ".hidden/1.jpg", "b/.DS_Store", "b-/1.jpg"]
        {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        assert_eq!(image_files(root.path()).unwrap(), ["a.jpg", "b-/1.jpg", "b.jpg", "b/2.PNG", "b/c/1.jpeg"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_itself_ends() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        let words = image_files(root.path()).unwrap_err().to_string();
        assert!(words.contains("expected folders at most 16 deep"), "{words}");
    }
}
