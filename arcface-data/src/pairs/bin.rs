//! Verification sets in one file, insightface's `.bin`: a pickle of encoded images and of whether each pair is genuine.
//! Knows no folder of faces and no figures.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arcface_core::checkpoint::atomic_write;
use arcface_core::pickle::{Array, Items, Kind, Value, Writer, load, scalar};
use arcface_core::{Error, Result};

use super::{FOLDS, Pair, PairList, PairSet};
use crate::image::{self, Image, unreadable};
use crate::source::Source;

/// The first protocol with bytes, which every Python 3 reads.
const PROTOCOL: u8 = 3;

/// The images of a `.bin`, encoded as they stand in it.
#[derive(Debug)]
pub struct BinSource {
    path: PathBuf,
    /// One that several pairs share stands once in memory.
    images: Vec<Arc<[u8]>>,
}

/// Reads a pickle, of any protocol and from Python 2 or 3, of (images, whether each pair is genuine).
///
/// Images are bytes or numpy arrays of bytes; pair k is made of images 2k and 2k+1, which are its keys. The pairs are
/// cut into ten folds in their order, as insightface does. Nothing of the pickle is run.
///
/// # Errors
/// If the file cannot be read, is no such pickle, or the numbers of images and pairs do not fit; the error names the
/// file and the byte. Whether the bytes are images shows when they are decoded.
pub fn read_bin(path: &Path) -> Result<PairSet> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, error))?;
    let (images, same) = parse(&bytes).map_err(|error| Error::file(path, error.to_string()))?;
    let pair = |(index, same): (usize, bool)| {
        let [a, b] = [2 * index, 2 * index + 1].map(|image| image.to_string());
        Pair { a, b, same, fold: fold(index, images.len() / 2) }
    };
    let pairs = same.into_iter().enumerate().map(pair).collect();
    Ok(PairSet {
        list: PairList::new(pairs, path),
        images: (0..images.len()).collect(),
        positions: (0..images.len() / 2).map(|pair| [2 * pair, 2 * pair + 1]).collect(),
        source: Arc::new(BinSource { path: path.to_owned(), images }),
    })
}

/// Writes the faces of `set` pair by pair, as they stand in their files, else as PNG; whole or not at all.
///
/// The form has no folds but tenths in order: pairs are sorted by their fold, so that ten equal folds stay as they are.
/// Python reads `images, same = pickle.load(file)`.
///
/// # Errors
/// If a face cannot be read or is no JPEG or PNG, or the file cannot be written.
pub fn write_bin(path: &Path, set: &PairSet) -> Result<()> {
    let mut order: Vec<usize> = (0..set.list.len()).collect();
    order.sort_by_key(|pair| set.list.pairs[*pair].fold);
    atomic_write(path, |file| write(file, set, &order))
}

fn write(file: &mut impl Write, set: &PairSet, order: &[usize]) -> io::Result<()> {
    let mut writer = Writer::new(file, PROTOCOL)?;
    writer.empty_list()?;
    writer.mark()?;
    for place in order.iter().flat_map(|pair| set.positions[*pair]) {
        writer.bytes(&encoded(&*set.source, set.images[place]).map_err(io::Error::other)?)?;
    }
    writer.append()?;
    writer.empty_list()?;
    writer.mark()?;
    order.iter().try_for_each(|pair| writer.bool(set.list.pairs[*pair].same))?;
    writer.append()?;
    writer.pair()?;
    writer.finish()
}

fn encoded(source: &dyn Source, index: usize) -> Result<Cow<'_, [u8]>> {
    let Some(bytes) = source.encoded(index)? else { return Ok(image::encode_png(&source.image(index)?)?.into()) };
    let named = |error: Error| Error::Invalid(format!("{}: {error}", source.describe(index)));
    image::dimensions(&bytes).map_err(named)?;
    Ok(bytes)
}

type Parsed = (Vec<Arc<[u8]>>, Vec<bool>);

fn parse(bytes: &[u8]) -> Result<Parsed> {
    const WHAT: &str = "a list of images and a list of whether each pair is genuine";
    let pickle = load(bytes)?;
    let both = pickle.root().items(WHAT)?;
    let (Some(images), Some(same), 2) = (both.get(0), both.get(1), both.len()) else {
        return Err(pickle.root().unexpected(WHAT));
    };
    let (images, same) = (images.items("a list of images")?, flags(same)?);
    if images.len() != 2 * same.len() {
        let expected = format!("two for each of {} pairs", same.len());
        return Err(Error::value("images", expected, images.len()));
    }
    if same.is_empty() {
        return Err(Error::Invalid("expected at least one pair, found none".to_owned()));
    }
    Ok((encoded_images(images, bytes.len())?, same))
}

/// The bytes of every image; different ones are together no longer than the file.
fn encoded_images(images: Items<'_>, length: usize) -> Result<Vec<Arc<[u8]>>> {
    let mut left = length;
    let mut known: BTreeMap<usize, Arc<[u8]>> = BTreeMap::new();
    let mut take = |value: Value<'_>| {
        if let Some(bytes) = known.get(&value.at()) {
            return Ok(bytes.clone());
        }
        let bytes: Arc<[u8]> = encoded_image(value)?.into();
        let rest = left.checked_sub(bytes.len());
        left = rest.ok_or_else(|| value.unexpected("images that are no longer than the file, together"))?;
        known.insert(value.at(), bytes.clone());
        Ok(bytes)
    };
    images.iter().map(&mut take).collect()
}

fn encoded_image(value: Value<'_>) -> Result<&[u8]> {
    const WHAT: &str = "an encoded image: bytes, or a numpy array of bytes";
    match value.kind() {
        Kind::Bytes(bytes) => Ok(bytes),
        Kind::Call(_) => {
            let array = Array::of(value)?;
            if array.element.is_byte() { Ok(array.bytes) } else { Err(value.unexpected(WHAT)) }
        }
        _ => Err(value.unexpected(WHAT)),
    }
}

/// Whether each pair is genuine: bools or 0 and 1, Python's or numpy's, or a numpy array of them.
fn flags(value: Value<'_>) -> Result<Vec<bool>> {
    const WHAT: &str = "a list of bools";
    match value.kind() {
        Kind::List(items) | Kind::Tuple(items) => items.iter().map(flag).collect(),
        _ => {
            let array = Array::of(value).map_err(|_| value.unexpected(WHAT))?;
            let integers = array.integers().ok_or_else(|| value.unexpected(WHAT))?;
            integers.map(|integer| bool_of(integer, value)).collect()
        }
    }
}

fn flag(value: Value<'_>) -> Result<bool> {
    match value.kind() {
        Kind::Bool(same) => Ok(same),
        Kind::Int(integer) => bool_of(integer, value),
        Kind::Call(_) => bool_of(scalar(value)?, value),
        _ => Err(value.unexpected("a bool")),
    }
}

fn bool_of(integer: i128, value: Value<'_>) -> Result<bool> {
    match integer {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(value.unexpected(&format!("a bool or 0 or 1 (found {other})"))),
    }
}

/// The fold of pair `index` of `pairs`: runs in order, the first of which may be one longer.
fn fold(index: usize, pairs: usize) -> usize {
    let folds = FOLDS.min(pairs);
    let (short, longer) = (pairs / folds, pairs % folds);
    let beginning = longer * (short + 1);
    if index < beginning { index / (short + 1) } else { longer + (index - beginning) / short }
}

impl Source for BinSource {
    fn len(&self) -> usize {
        self.images.len()
    }
    fn num_identities(&self) -> usize {
        usize::from(!self.images.is_empty())
    }
    fn label(&self, _index: usize) -> u32 {
        0
    }
    fn identity(&self, _label: u32) -> String {
        "unknown".to_owned()
    }
    fn image(&self, index: usize) -> Result<Image> {
        image::decode(&self.images[index]).map_err(|error| self.named(index, &error))
    }
    fn describe(&self, index: usize) -> String {
        format!("{}: image {index}", self.path.display())
    }
    fn encoded(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        Ok(Some(Cow::Borrowed(&self.images[index])))
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        image::dimensions(&self.images[index]).map_err(|error| self.named(index, &error))
    }
}

impl BinSource {
    fn named(&self, index: usize, error: &Error) -> Error {
        Error::Invalid(format!("{}: {error}", self.describe(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_runs_of_nearly_equal_length() {
        // sklearn.model_selection.KFold(10, shuffle=False) on 23 pairs: three folds of 3, seven of 2.
        let folds: Vec<usize> = (0..23).map(|index| fold(index, 23)).collect();
        assert_eq!(folds, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]);
        assert_eq!((0..4).map(|index| fold(index, 4)).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!((fold(599, 6000), fold(600, 6000), fold(5999, 6000)), (0, 1, 9));
    }
}
