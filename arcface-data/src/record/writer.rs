//! Writes faces as RecordIO in the layout that insightface's tools and trainers read.
//! Knows no source: it is given labels and encoded images, and puts its files under their names at the end.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arcface_core::checkpoint::atomic_write;
use arcface_core::{Error, Result};

use super::frame::{LONGEST, write};
use super::header::{LARGEST_LABEL, pack};
use super::names::{self, names_path};
use crate::image;

/// A `.rec` that is being written. Images come identity by identity: label 0 first, then 1, and so on.
///
/// Until [`finish`](Self::finish) nothing stands under the final names; dropped before it, nothing is left.
///
/// # Example
/// ```
/// use arcface_data::image::encode_png;
/// use arcface_data::record::RecordWriter;
/// use arcface_data::{Image, RecordSource, Source};
/// let folder = std::env::temp_dir().join(format!("arcface-record-{}", std::process::id()));
/// std::fs::create_dir_all(&folder).unwrap();
/// let mut writer = RecordWriter::create(folder.join("train.rec"))?;
/// for label in 0..3 {
///     writer.push(label, &encode_png(&Image::filled(8, 8, [label as u8; 3]))?)?;
/// }
/// writer.finish()?;
/// let source = RecordSource::open(folder.join("train.rec"))?;
/// assert_eq!((source.len(), source.label(2), source.image(1)?.pixel(0, 0)), (3, 2, [1, 1, 1]));
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug)]
pub struct RecordWriter {
    path: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
    /// Bytes written.
    length: u64,
    /// Keys and offsets in the order of the file.
    index: Vec<(u32, u64)>,
    /// Key of the next image or identity; 0 is kept for what tells how many there are.
    next: u32,
    /// Key of the first image of each identity.
    firsts: Vec<u32>,
    /// Width and height of all images.
    size: Option<(usize, usize)>,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Identities.
    pub identities: usize,
    /// Images.
    pub images: usize,
}

impl RecordWriter {
    /// Begins `path`, a name that ends in `.rec`.
    ///
    /// # Errors
    /// If the name ends otherwise, the file, its `.idx`, its `.names` or a `property` is there already, or the folder is
    /// missing or not writable.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let name = path.file_name().filter(|_| path.extension().is_some_and(|extension| extension == "rec"));
        let Some(name) = name else {
            return Err(Error::file(path, "expected a name that ends in .rec; choose another name"));
        };
        if let Some(there) = files(&path).into_iter().find(|file| file.exists()) {
            return Err(Error::file(there, "expected a new file, found one; choose another folder"));
        }
        let partial = path.with_file_name(format!(".{}.partial-{}", name.to_string_lossy(), std::process::id()));
        let out = File::create(&partial).map_err(|error| Error::io(&path, error))?;
        let out = BufWriter::with_capacity(1 << 20, out);
        Ok(Self { path, partial, out, length: 0, index: Vec::new(), next: 1, firsts: Vec::new(), size: None })
    }

    /// Adds an image, a JPEG or PNG as it stands in its file.
    ///
    /// # Errors
    /// If the label is neither that of the last image nor the next one, the bytes are no image, of another size than
    /// those before or longer than a record can be, or the disk is full.
    pub fn push(&mut self, label: u32, encoded: &[u8]) -> Result<()> {
        let key = self.next;
        let size = image::dimensions(encoded);
        self.check_size(key, size.map_err(|error| Error::file(&self.path, format!("image {key}: {error}")))?)?;
        let identities = self.firsts.len() as u32;
        if label == identities {
            self.firsts.push(key);
        } else if label.checked_add(1) != Some(identities) {
            let expected = format!("that of the last image or the next one, {identities}, identity by identity");
            return Err(Error::value(format!("label of image {key}"), expected, label));
        }
        self.write_next(&[label as f32], encoded)
    }

    /// Writes what stands behind the images, then puts `.idx`, `property` and at last `.rec` under their names: where
    /// there is a `.rec`, it is whole and has its index.
    ///
    /// # Errors
    /// If there is no image or a file cannot be written.
    pub fn finish(self) -> Result<Written> {
        self.finish_as(None)
    }

    /// As [`finish`](Self::finish), with the identities' names in `.names` beside the records, which
    /// [`RecordSource`](crate::RecordSource) reads and other programs pass over.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), and if there is not one name for every identity, or one is empty, stands twice or
    /// has control characters.
    pub fn finish_named(self, names: &[String]) -> Result<Written> {
        self.finish_as(Some(names))
    }

    fn finish_as(mut self, names: Option<&[String]>) -> Result<Written> {
        let Some((width, height)) = self.size else {
            return Err(Error::file(&self.path, "expected at least one image, got none"));
        };
        let written = Written { identities: self.firsts.len(), images: self.index.len() };
        names.map_or(Ok(()), |names| names::check(names, written.identities))?;
        self.write_identities()?;
        let sync = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        sync.map_err(|error| self.failed(&error))?;
        let [list, property, names_file, _] = files(&self.path);
        let write_names = |names: &[String]| atomic_write(&names_file, |file| names::write(names, file));
        let named = atomic_write(&list, |file| self.write_index(file))
            .and_then(|()| atomic_write(&property, |file| writeln!(file, "{},{height},{width}", written.identities)))
            .and_then(|()| names.map_or(Ok(()), write_names))
            .and_then(|()| fs::rename(&self.partial, &self.path).map_err(|error| self.failed(&error)));
        named.inspect_err(|_| [list, property, names_file].iter().for_each(|file| drop(fs::remove_file(file))))?;
        Ok(written)
    }

    /// Key 0 with the ranges of the keys of images and identities, then every identity's range of images.
    fn write_identities(&mut self) -> Result<()> {
        let firsts = std::mem::take(&mut self.firsts);
        let end = self.next;
        self.write(0, &[end as f32, (end + firsts.len() as u32) as f32], &[])?;
        let ends = firsts.iter().skip(1).copied().chain([end]);
        firsts.iter().zip(ends).try_for_each(|(first, last)| self.write_next(&[*first as f32, last as f32], &[]))
    }

    fn write_index(&self, out: &mut impl Write) -> io::Result<()> {
        self.index.iter().try_for_each(|(key, offset)| writeln!(out, "{key}\t{offset}"))
    }

    fn write_next(&mut self, labels: &[f32], body: &[u8]) -> Result<()> {
        if LARGEST_LABEL <= self.next {
            let message =
                format!("expected fewer than {LARGEST_LABEL} records, more cannot be told apart; write several files");
            return Err(Error::file(&self.path, message));
        }
        self.write(self.next, labels, body)?;
        self.next += 1;
        Ok(())
    }

    fn write(&mut self, key: u32, labels: &[f32], body: &[u8]) -> Result<()> {
        let payload = [&pack(labels, u64::from(key)), body].concat();
        if LONGEST < payload.len() {
            let message = format!("record {key}: expected at most {LONGEST} bytes, got {}", payload.len());
            return Err(Error::file(&self.path, message));
        }
        let taken = write(&mut self.out, &payload).map_err(|error| self.failed(&error))?;
        self.index.push((key, self.length));
        self.length += taken;
        Ok(())
    }

    fn check_size(&mut self, key: u32, (width, height): (usize, usize)) -> Result<()> {
        let (w, h) = *self.size.get_or_insert((width, height));
        if (w, h) == (width, height) {
            return Ok(());
        }
        let expected = format!("{w}×{h} pixels as of those before it; align and resize the data set first");
        Err(Error::value(format!("size of image {key}"), expected, format!("{width}×{height}")))
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::io(&self.path, io::Error::new(error.kind(), format!("{error}; nothing was written under this name")))
    }
}

impl Drop for RecordWriter {
    /// After a rename there is nothing left to remove.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.partial);
    }
}

/// Index, property, names and records.
fn files(path: &Path) -> [PathBuf; 4] {
    [path.with_extension("idx"), path.with_file_name("property"), names_path(path), path.to_owned()]
}
