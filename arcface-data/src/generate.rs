//! Writes the images of any source into a folder that [`FolderSource`](crate::FolderSource) reads.
//! Knows no data sets: what is written is what the source gives.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::image::{Image, write_jpeg, write_png};
use crate::source::{Source, is_folder_name, keys};

/// The form of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// PNG, which loses nothing.
    #[default]
    Png,
    /// JPEG of this quality, 1..=100.
    Jpeg(u8),
}

impl FileFormat {
    /// What names of such files end in.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg(_) => "jpg",
        }
    }

    /// Writes an image in this form, whole or not at all.
    ///
    /// # Errors
    /// As [`write_png`] and [`write_jpeg`].
    pub fn write(self, path: &Path, image: &Image) -> Result<()> {
        match self {
            Self::Png => write_png(path, image),
            Self::Jpeg(quality) => write_jpeg(path, image, quality),
        }
    }
}

/// Writes every image of `source` below `root` under its [key](keys), one folder per identity, with `threads` threads.
///
/// Every file is written whole or not at all. `progress` is called with the number of files written so far.
///
/// # Errors
/// If `root` exists and is not an empty folder, a name of an identity cannot be that of a folder, two images would get
/// the same name, or an image cannot be made or written. The first error ends the work; what was written stays.
pub fn generate(
    source: &dyn Source,
    root: &Path,
    format: FileFormat,
    threads: usize,
    mut progress: impl FnMut(usize),
) -> Result<()> {
    let paths = paths(source, root, format)?;
    make_folders(source, root)?;
    let next = AtomicUsize::new(0);
    let (sender, written) = channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (sender, next, paths) = (sender.clone(), &next, &paths);
            scope.spawn(move || write_images(source, paths, format, next, |result| sender.send(result).is_ok()));
        }
        drop(sender);
        // Leaving early drops the receiver; the threads then end after the file at hand.
        for (count, result) in (1..).zip(written) {
            result?;
            progress(count);
        }
        Ok(())
    })
}

fn write_images(
    source: &dyn Source,
    paths: &[PathBuf],
    format: FileFormat,
    next: &AtomicUsize,
    go_on: impl Fn(Result<()>) -> bool,
) {
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(path) = paths.get(index) else { return };
        let result = write_image(source, index, path, format);
        let failed = result.is_err();
        if !go_on(result) || failed {
            return;
        }
    }
}

fn write_image(source: &dyn Source, index: usize, path: &Path, format: FileFormat) -> Result<()> {
    format.write(path, &source.image(index)?)
}

/// The file of every image.
fn paths(source: &dyn Source, root: &Path, format: FileFormat) -> Result<Vec<PathBuf>> {
    let mut seen = HashSet::new();
    let mut paths = Vec::with_capacity(source.len());
    for (index, key) in keys(source).into_iter().enumerate() {
        let stem =
            if source.file_name(index).is_some() { key.rsplit_once('.').map_or(&*key, |(stem, _)| stem) } else { &key };
        let path = root.join(format!("{stem}.{}", format.extension()));
        if !seen.insert(path.clone()) {
            let message = format!("two images would be written here, one is {}; rename it", source.describe(index));
            return Err(Error::file(path, message));
        }
        paths.push(path);
    }
    Ok(paths)
}

fn make_folders(source: &dyn Source, root: &Path) -> Result<()> {
    if root.exists() && !root.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        return Err(Error::file(root, "expected a new or empty folder, found something in it; choose another name"));
    }
    for label in 0..source.num_identities() as u32 {
        let identity = source.identity(label);
        if !is_folder_name(&identity) {
            return Err(Error::value("name of an identity", "one that a folder can have", format!("`{identity}`")));
        }
        let folder = root.join(identity);
        std::fs::create_dir_all(&folder).map_err(|error| Error::io(folder, error))?;
    }
    Ok(())
}
