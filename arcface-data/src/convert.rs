//! Data sets from one container into another, images as they are encoded, with a checksum that tells whether all came.
//! Knows no command line; what a path holds is for the caller to say.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use arcface_core::{Error, Result};
use serde::Serialize;

use crate::image::{encode_png, jpeg};
use crate::record::RecordWriter;
use crate::source::{Source, images_by_identity, is_folder_name};

/// What to write a data set as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A folder with one sub-folder per identity, which [`FolderSource`](crate::FolderSource) reads.
    Folder,
    /// A `.rec` with `.idx`, `property` and, where the identities have names that are not their numbers, `.names`, which
    /// [`RecordSource`](crate::RecordSource) reads.
    Record,
}

/// What a data set holds; equal in two sets of the same images of the same identities in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Identities.
    pub identities: usize,
    /// Images.
    pub images: usize,
    /// CRC-32 over label, length and bytes of every encoded image, identity by identity.
    #[serde(serialize_with = "as_hexadecimal")]
    pub checksum: u32,
}

/// Writes every image of `source` to `target`, identity by identity, and sums up what was written.
///
/// JPEG and PNG files are passed on byte by byte, images that are none become PNG. `go_on` is called with the number of
/// images written so far; if it says no, nothing is left and the answer is `None`.
///
/// # Errors
/// If `target` exists, an image cannot be read or written, a name of an identity cannot be kept, a folder would have
/// them in another order, or the images differ in size where the container asks for one. Under the final name then
/// stands nothing.
///
/// # Example
/// ```
/// use arcface_data::convert::{Container, convert, summary};
/// use arcface_data::{ProceduralConfig, ProceduralSource, RecordSource};
/// let config = ProceduralConfig { identities: 2, images_per_identity: 2, image_size: 16, ..Default::default() };
/// let folder = std::env::temp_dir().join(format!("arcface-convert-{}", std::process::id()));
/// let target = folder.join("train.rec");
/// let written = convert(&ProceduralSource::new(config)?, &target, Container::Record, |_| true)?;
/// assert_eq!(written, summary(&RecordSource::open(target)?, |_| true)?);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn convert(
    source: &dyn Source,
    target: &Path,
    container: Container,
    go_on: impl FnMut(usize) -> bool,
) -> Result<Option<Summary>> {
    if target.exists() {
        return Err(Error::file(target, "expected a new name, found something of that name; choose another"));
    }
    match container {
        Container::Folder => write_folder(source, target, go_on),
        Container::Record => write_record(source, target, go_on),
    }
}

/// Sums up a source as [`convert`] does; `None` if `go_on` said no.
///
/// # Errors
/// If an image cannot be read.
pub fn summary(source: &dyn Source, go_on: impl FnMut(usize) -> bool) -> Result<Option<Summary>> {
    each_image(source, go_on, |_, _| Ok(()))
}

/// An image on its way.
struct Item<'a> {
    index: usize,
    label: u32,
    /// Its number within the identity, from 1.
    number: usize,
    /// Images of the identity.
    of: usize,
    source: &'a dyn Source,
}

/// Gives every encoded image to `write`, identity by identity.
fn each_image(
    source: &dyn Source,
    mut go_on: impl FnMut(usize) -> bool,
    mut write: impl FnMut(&Item<'_>, &[u8]) -> Result<()>,
) -> Result<Option<Summary>> {
    let by_identity = images_by_identity(source);
    let (mut hasher, mut images) = (crc32fast::Hasher::new(), 0);
    for (label, indices) in (0..).zip(&by_identity) {
        for (number, index) in (1..).zip(indices) {
            let item = Item { index: *index, label, number, of: indices.len(), source };
            let bytes = encoded(source, item.index)?;
            hasher.update(&label.to_le_bytes());
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(&bytes);
            write(&item, &bytes)?;
            images += 1;
            if !go_on(images) {
                return Ok(None);
            }
        }
    }
    Ok(Some(Summary { identities: by_identity.len(), images, checksum: hasher.finalize() }))
}

fn encoded(source: &dyn Source, index: usize) -> Result<Cow<'_, [u8]>> {
    match source.encoded(index)? {
        Some(bytes) => Ok(bytes),
        None => encode_png(&source.image(index)?).map(Cow::Owned),
    }
}

fn write_record(source: &dyn Source, target: &Path, go_on: impl FnMut(usize) -> bool) -> Result<Option<Summary>> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_new = !folder.exists();
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    let written = fill_record(source, target, go_on);
    if is_new && !matches!(written, Ok(Some(_))) {
        // It succeeds only where the folder is empty, so nothing of anybody's is lost.
        let _ = fs::remove_dir(folder);
    }
    written
}

fn fill_record(source: &dyn Source, target: &Path, go_on: impl FnMut(usize) -> bool) -> Result<Option<Summary>> {
    let mut writer = RecordWriter::create(target)?;
    let written = each_image(source, go_on, |item, bytes| {
        let pushed = writer.push(item.label, bytes);
        pushed.map_err(|error| Error::Invalid(format!("{}: {error}", item.source.describe(item.index))))
    })?;
    let names = identities(source);
    let has_names = (0..).zip(&names).any(|(label, name)| *name != u32::to_string(&label));
    match (&written, has_names) {
        (None, _) => {}
        (Some(_), true) => drop(writer.finish_named(&names)?),
        (Some(_), false) => drop(writer.finish()?),
    }
    Ok(written)
}

fn write_folder(source: &dyn Source, target: &Path, go_on: impl FnMut(usize) -> bool) -> Result<Option<Summary>> {
    let names = folder_names(source)?;
    let partial = Partial::create(target)?;
    for name in &names {
        let folder = partial.0.join(name);
        fs::create_dir(&folder).map_err(|error| Error::io(folder, error))?;
    }
    let written = each_image(source, go_on, |item, bytes| {
        let name = &names[item.label as usize];
        let file = partial.0.join(name).join(file_name(item, name, bytes));
        fs::write(&file, bytes).map_err(|error| Error::io(file, error))
    })?;
    if written.is_some() {
        fs::rename(&partial.0, target).map_err(|error| Error::io(target, error))?;
    }
    Ok(written)
}

fn identities(source: &dyn Source) -> Vec<String> {
    (0..source.num_identities() as u32).map(|label| source.identity(label)).collect()
}

/// The identities' names. A folder's identities are sorted by the bytes of names, so numbers that are not sorted so get
/// zeros in front.
fn folder_names(source: &dyn Source) -> Result<Vec<String>> {
    let mut names = identities(source);
    if let Some(name) = names.iter().find(|name| !is_folder_name(name)) {
        return Err(Error::value("name of an identity", "one that a folder can have", format!("`{name}`")));
    }
    let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    if !names.is_sorted() && names.iter().all(is_number) {
        let width = names.iter().map(String::len).max().unwrap_or(0);
        for name in &mut names {
            *name = format!("{name:0>width$}");
        }
    }
    if let Some([before, after]) = names.windows(2).find(|pair| pair[1] <= pair[0]) {
        let expected = "the order of their bytes, in which a folder has them";
        return Err(Error::value("names of identities", expected, format!("`{before}` before `{after}`")));
    }
    Ok(names)
}

/// The name that the image had, else `name_0007`, with so many digits that the order of names is that of images.
fn file_name(item: &Item<'_>, name: &str, bytes: &[u8]) -> String {
    let numbered = || {
        let width = item.of.to_string().len().max(4);
        let extension = if bytes.starts_with(&jpeg::START) { "jpg" } else { "png" };
        format!("{name}_{:0width$}.{extension}", item.number)
    };
    item.source.file_name(item.index).unwrap_or_else(numbered)
}

/// A folder of ours beside its final name; what is left of it when it is dropped is removed.
struct Partial(PathBuf);

impl Partial {
    fn create(target: &Path) -> Result<Self> {
        let name = target.file_name().ok_or_else(|| Error::file(target, "expected the name of a new folder"))?;
        let partial = target.with_file_name(format!(".{}.partial-{}", name.to_string_lossy(), std::process::id()));
        fs::create_dir(&partial).map_err(|error| Error::io(target, error))?;
        Ok(Self(partial))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn as_hexadecimal<S: serde::Serializer>(checksum: &u32, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{checksum:08x}"))
}
