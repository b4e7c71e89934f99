//! RecordIO as a source: which records are images, and of whom.
//! Knows keys and labels; how records lie in the file is `record`'s business.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use arcface_core::{Error, Result};

use super::Source;
use super::labels::Labels;
use crate::image::{self, Image};
use crate::record::{IndexOrigin, LARGEST_LABEL, RecordFile, names_path, read_names, read_property};

/// The faces of a `.rec`. Labels count its identities in the order of their numbers; their names are these numbers, or
/// the lines of the `.names` beside it.
///
/// Both layouts of the field are read: key 0 that tells which keys are images and which are identities, and records
/// that are all images. A label that is a vector counts by its first element.
#[derive(Debug)]
pub struct RecordSource {
    file: RecordFile,
    /// Place of the first image among the keys of the file; the others follow it.
    first: usize,
    labels: Labels,
}

impl RecordSource {
    /// Opens a `.rec`, or the `train.rec` of a folder. Images are looked at when they are asked for, their labels too
    /// where the identities' records tell them.
    ///
    /// # Errors
    /// As [`RecordFile::open`], if key 0 or the record of an identity is damaged, if labels that no identity's record
    /// tells are no whole numbers up to [`LARGEST_LABEL`], if `property` tells of fewer identities than there are, as
    /// [`read_names`], or if there are not as many names as identities.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open_counting_to(path.into(), LARGEST_LABEL)
    }

    /// `exact` is the largest number that labels count exactly, so that a test need not write so many images.
    fn open_counting_to(path: PathBuf, exact: u32) -> Result<Self> {
        let file = RecordFile::open(if path.is_dir() { path.join("train.rec") } else { path })?;
        let Layout { first, images, ranges } = layout(&file, exact)?;
        let mut labels = labels_of_ranges(&file, &ranges, exact);
        for key in &file.keys()[first + labels.len()..first + images] {
            labels.push(file.record(*key)?.class()?);
        }
        check_property(&file, &labels)?;
        let labels = named(&file, Labels::new(labels))?;
        Ok(Self { file, first, labels })
    }

    /// The `.rec`.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Where the index came from.
    pub fn origin(&self) -> IndexOrigin {
        self.file.origin()
    }

    fn key(&self, index: usize) -> u64 {
        self.file.keys()[self.first + index]
    }

    /// The bytes of image `index`, after a look whether it is of whom it should be.
    fn body(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let record = self.file.record(self.key(index))?;
        let (expected, found) = (self.labels.number(index), record.class()?);
        if expected != found {
            return Err(record.error(&format!(
                "label: expected {expected} as the identities' records say, got {found}; \
                 index and records do not belong together, or one of them is damaged"
            )));
        }
        if record.body().is_empty() {
            return Err(record.error("expected an image, the record holds none; the file is damaged"));
        }
        Ok(record.into_body())
    }

    fn look<T>(&self, index: usize, look: impl Fn(&[u8]) -> Result<T>) -> Result<T> {
        look(&self.body(index)?).map_err(|error| match error {
            Error::Invalid(message) => self.file.error(self.key(index), &message),
            other => other,
        })
    }
}

impl Source for RecordSource {
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn num_identities(&self) -> usize {
        self.labels.num_identities()
    }
    fn label(&self, index: usize) -> u32 {
        self.labels.label(index)
    }
    fn identity(&self, label: u32) -> String {
        self.labels.identity(label)
    }
    fn image(&self, index: usize) -> Result<Image> {
        self.look(index, image::decode)
    }
    fn describe(&self, index: usize) -> String {
        self.file.describe(self.key(index))
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        self.look(index, image::dimensions)
    }
    fn encoded(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        self.body(index).map(Some)
    }
}

/// Which records are images.
struct Layout {
    /// Place of the first image among the keys.
    first: usize,
    images: usize,
    /// Keys of the images of each identity; empty where no record tells.
    ranges: Vec<(u32, u32)>,
}

fn layout(file: &RecordFile, exact: u32) -> Result<Layout> {
    let keys = file.keys();
    let all = Layout { first: 0, images: keys.len(), ranges: Vec::new() };
    if keys.first() != Some(&0) {
        return Ok(all);
    }
    let zero = file.record(0)?;
    if !zero.has_vector() || !zero.body().is_empty() {
        return Ok(all);
    }
    let (told, end) = zero.range()?;
    let images = first_identity(file, told, exact);
    if images < 2 {
        return Err(zero.error("expected at least one image, the labels tell of none; the file is damaged"));
    }
    // Keys ascend without repeating: with key 0 in place 0, all before the last image's are there if it is in its place.
    let last = images - 1;
    if keys.get(last as usize) != Some(&u64::from(last)) {
        let message = format!("expected images with the keys 1 to {last}, the index lacks some of them; make it again");
        return Err(zero.error(&message));
    }
    let identities = if exact < end { keys.len() as u32 } else { end };
    let ranges = (images..identities).map(|key| identity(file, key, images, exact)).collect::<Result<_>>()?;
    Ok(Layout { first: 1, images: images as usize - 1, ranges })
}

/// The key of the first record that is no image, which key 0 tells. Where it is larger than a label can count, the
/// record is looked for around the rounded number.
fn first_identity(file: &RecordFile, told: u32, exact: u32) -> u32 {
    let mut near = told.saturating_sub(4)..=told.saturating_add(4);
    let is_identity = |key: &u32| file.record(u64::from(*key)).is_ok_and(|record| record.body().is_empty());
    match told {
        told if told <= exact => told,
        rounded => near.find(is_identity).unwrap_or(rounded),
    }
}

/// The keys of the images of an identity.
fn identity(file: &RecordFile, key: u32, images: u32, exact: u32) -> Result<(u32, u32)> {
    let record = file.record(u64::from(key))?;
    let (first, end) = record.range()?;
    if 1 <= first && (end <= images || exact < end) {
        return Ok((first, end));
    }
    Err(record.error(&format!("expected a range of keys of images, within 1 to {images}, got {first} to {end}")))
}

/// Labels of the images from the first one on, as far as the identities' records tell them: each its place among them.
///
/// Nothing is told where the ranges leave keys out or overlap, where most of some images say otherwise, or beyond what
/// a label can count.
fn labels_of_ranges(file: &RecordFile, ranges: &[(u32, u32)], exact: u32) -> Vec<u32> {
    let mut labels = Vec::new();
    for (label, (first, end)) in (0..).zip(ranges).take_while(|(_, (_, end))| *end <= exact) {
        if labels.len() + 1 != *first as usize {
            return Vec::new();
        }
        labels.resize(*end as usize - 1, label);
    }
    if most_agree(file, &labels) { labels } else { Vec::new() }
}

/// Whether most of five images have the labels that were told; what cannot be read has no say.
fn most_agree(file: &RecordFile, labels: &[u32]) -> bool {
    const ASKED: usize = 5;
    let vote = |number: usize| {
        let place = number * labels.len().saturating_sub(1) / (ASKED - 1);
        let class = file.record(place as u64 + 1).and_then(|record| record.class());
        class.ok().zip(labels.get(place)).map(|(found, told)| found == *told)
    };
    let votes: Vec<bool> = (0..ASKED).filter_map(vote).collect();
    votes.len() <= 2 * votes.iter().filter(|agrees| **agrees).count()
}

fn check_property(file: &RecordFile, labels: &[u32]) -> Result<()> {
    let folder = file.path().parent().unwrap_or(Path::new(""));
    let (told, largest) = (read_property(folder)?, labels.iter().max().copied());
    let (Some(told), Some(largest)) = (told, largest) else { return Ok(()) };
    if largest < told {
        return Ok(());
    }
    let message =
        format!("expected more than {largest} identities, the largest label in {}, got {told}", file.path().display());
    Err(Error::file(folder.join("property"), message))
}

/// The labels with the names that stand beside the file, if any do.
fn named(file: &RecordFile, labels: Labels) -> Result<Labels> {
    let Some(names) = read_names(file.path())? else { return Ok(labels) };
    if names.len() == labels.num_identities() {
        return Ok(labels.named(names));
    }
    let (identities, found) = (labels.num_identities(), names.len());
    let message = format!(
        "expected {identities} names, one per identity of {}, got {found}; remove the file to have numbers as names",
        file.path().display()
    );
    Err(Error::file(names_path(file.path()), message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::encode_png;
    use crate::record::RecordWriter;

    #[test]
    fn where_labels_no_longer_count_exactly_the_records_themselves_are_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.rec");
        let mut writer = RecordWriter::create(&path).unwrap();
        let labels: Vec<u32> = [3, 1, 4, 2].into_iter().zip(0..).flat_map(|(n, label)| vec![label; n]).collect();
        let image = |label| encode_png(&Image::filled(4, 4, [label as u8; 3])).unwrap();
        for label in &labels {
            writer.push(*label, &image(*label)).unwrap();
        }
        writer.finish().unwrap();
        // Key 0 tells of 10 images and identities up to key 14; let both be rounded.
        let [told, rounded] = [[11_f32, 15.0], [12.0, 16.0]].map(|labels| labels.map(f32::to_le_bytes).concat());
        let mut bytes = std::fs::read(&path).unwrap();
        let place = bytes.windows(8).position(|window| window == told).unwrap();
        bytes[place..place + 8].copy_from_slice(&rounded);
        std::fs::write(&path, bytes).unwrap();
        assert!(RecordSource::open(&path).is_err());
        for exact in [3, 5, 6, 10] {
            let source = RecordSource::open_counting_to(path.clone(), exact).unwrap();
            assert_eq!((0..source.len()).map(|index| source.label(index)).collect::<Vec<_>>(), labels, "{exact}");
            assert!((0..10).all(|index| source.image(index).is_ok()));
        }
    }
}
