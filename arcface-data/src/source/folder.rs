//! A folder of faces: one sub-folder per identity, named after it, with JPEG and PNG files.
//! Knows no alignment and no sizes; files are opened when their image is asked for.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use arcface_core::{Error, Result};

use super::Source;
use crate::image::{self, Image, has_image_extension};

/// What file managers leave behind; never taken for faces, never an error.
const DROPPINGS: [&str; 2] = ["Thumbs.db", "desktop.ini"];

/// Which identities of a folder to take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderOptions {
    /// A file with one identity per line; every sub-folder without it.
    pub identities: Option<PathBuf>,
}

/// The faces of a folder. Labels count the identities in the order of their names' bytes, images likewise within them.
#[derive(Debug, Clone)]
pub struct FolderSource {
    root: PathBuf,
    identities: Vec<String>,
    images: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    label: u32,
    file: Box<str>,
}

impl FolderSource {
    /// Lists the files of `root`; none is opened yet.
    ///
    /// Hidden files and the droppings of file managers are passed over, as are files beside the sub-folders that are
    /// not images. Everything else that does not fit is an error.
    ///
    /// # Errors
    /// If the folder is missing or cannot be read, holds no identity, an identity has no image, holds something that
    /// is not an image, images lie beside the sub-folders, or the list names an identity that is not there.
    pub fn open(root: impl Into<PathBuf>, options: &FolderOptions) -> Result<Self> {
        let root = root.into();
        let identities = match &options.identities {
            Some(list) => listed_identities(&root, list)?,
            None => all_identities(&root)?,
        };
        let mut images = Vec::new();
        for (label, identity) in (0..).zip(&identities) {
            let files = files_of_identity(&root.join(identity))?;
            images.extend(files.into_iter().map(|file| Entry { label, file: file.into() }));
        }
        Ok(Self { root, identities, images })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of image `index`.
    pub fn path(&self, index: usize) -> PathBuf {
        let Entry { label, file } = &self.images[index];
        self.root.join(&self.identities[*label as usize]).join(&**file)
    }
}

impl Source for FolderSource {
    fn len(&self) -> usize {
        self.images.len()
    }
    fn num_identities(&self) -> usize {
        self.identities.len()
    }
    fn label(&self, index: usize) -> u32 {
        self.images[index].label
    }
    fn identity(&self, label: u32) -> String {
        self.identities[label as usize].clone()
    }
    fn image(&self, index: usize) -> Result<Image> {
        image::read(&self.path(index))
    }
    fn describe(&self, index: usize) -> String {
        self.path(index).display().to_string()
    }
    fn file_name(&self, index: usize) -> Option<String> {
        Some(self.images[index].file.to_string())
    }
    fn encoded(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        image::read_bytes(&self.path(index)).map(|bytes| Some(bytes.into()))
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        image::read_dimensions(&self.path(index))
    }
}

/// The identities of a list, one per line, in the order of the file; blank lines and `#` comments are left out.
///
/// # Errors
/// If the file cannot be read, lists nothing or one identity twice, or a line cannot be the name of a folder.
pub fn read_identities(list: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(list).map_err(|error| image::unreadable(list, error))?;
    let mut seen = HashSet::new();
    let mut identities = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let name = line.trim();
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        check_name(list, number, name)?;
        if !seen.insert(name) {
            return Err(Error::file(list, format!("line {number}: `{name}` is listed a second time, remove it")));
        }
        identities.push(name.to_owned());
    }
    if identities.is_empty() {
        return Err(Error::file(list, "expected one identity per line, the list is empty"));
    }
    Ok(identities)
}

fn check_name(list: &Path, number: usize, name: &str) -> Result<()> {
    if is_folder_name(name) {
        return Ok(());
    }
    let message = format!("line {number}: expected the name of an identity's folder, got `{name}`");
    Err(Error::file(list, message))
}

/// Whether `name` can name one folder on every system we run on, and no other place than a folder of that name.
pub(crate) fn is_folder_name(name: &str) -> bool {
    let forbidden = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
    !name.is_empty() && !name.starts_with('.') && !name.contains(forbidden)
}

fn listed_identities(root: &Path, list: &Path) -> Result<Vec<String>> {
    let mut identities = read_identities(list)?;
    read_folder(root)?;
    if let Some(missing) = identities.iter().find(|name| !root.join(name).is_dir()) {
        let count = identities.iter().filter(|name| !root.join(name).is_dir()).count();
        let message = format!(
            "identity `{missing}` has no folder in {} ({count} of {} listed are missing); correct the list or the path",
            root.display(),
            identities.len()
        );
        return Err(Error::file(list, message));
    }
    identities.sort();
    Ok(identities)
}

fn all_identities(root: &Path) -> Result<Vec<String>> {
    let mut identities = Vec::new();
    let mut stray = None;
    for entry in read_folder(root)? {
        let path = entry.path();
        match path.is_dir() {
            true => identities.push(name_of(&entry)?),
            false if has_image_extension(&path) => stray = Some(path),
            false => {}
        }
    }
    if let Some(stray) = stray {
        let message = format!(
            "an image beside the folders of the identities in {}; move it into the folder of its identity",
            root.display()
        );
        return Err(Error::file(stray, message));
    }
    if identities.is_empty() {
        return Err(Error::file(root, "expected one sub-folder with images per identity, found no sub-folder"));
    }
    identities.sort();
    Ok(identities)
}

fn files_of_identity(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in read_folder(folder)? {
        let path = entry.path();
        if path.is_dir() {
            return Err(Error::file(path, "expected an image, found a folder; identities are folders one level deep"));
        }
        if !has_image_extension(&path) {
            return Err(Error::file(path, "expected an image (.jpg, .jpeg, .png); move the file elsewhere"));
        }
        files.push(name_of(&entry)?);
    }
    if files.is_empty() {
        let message = "this identity has no image; remove the folder or leave the identity out of the list";
        return Err(Error::file(folder, message));
    }
    files.sort();
    Ok(files)
}

/// The entries of a folder without hidden ones and droppings.
pub(super) fn read_folder(folder: &Path) -> Result<Vec<DirEntry>> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| unreadable(folder, error))?;
    Ok(entries.into_iter().filter(|entry| !is_dropping(entry)).collect())
}

fn unreadable(folder: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::file(folder, "no such folder; check the path"),
        ErrorKind::NotADirectory => Error::file(folder, "expected a folder, found a file; check the path"),
        _ => Error::io(folder, error),
    }
}

fn is_dropping(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    name.as_encoded_bytes().starts_with(b".") || DROPPINGS.iter().any(|dropping| name == *dropping)
}

pub(super) fn name_of(entry: &DirEntry) -> Result<String> {
    let not_unicode = |_| Error::file(entry.path(), "the name is not UTF-8; rename it");
    entry.file_name().into_string().map_err(not_unicode)
}
