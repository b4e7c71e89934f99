//! MNIST's idx files as a source: grey images in one file, labels in another, each plain or packed with gzip.
//! Knows no network and no download; all pixels are held in memory, as bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use ::image::imageops::{FilterType, resize};
use arcface_core::{Error, Result};
use flate2::read::MultiGzDecoder;

use super::Source;
use super::labels::Labels;
use crate::image::{Image, MAX_PIXELS, unreadable};

/// Deflate makes no more of a byte than this, so a packed file cannot claim more either.
const MOST_OF_A_PACKED_BYTE: u64 = 1032;

/// Names of the image files that a folder may hold; the labels' have `labels` and `idx1` in place of `images` and `idx3`.
const TRAINING_IMAGES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "train-images.idx3-ubyte", "train-images.idx3-ubyte.gz"];

/// The images of an idx file; the classes are the identities, in the order of their numbers, which name them.
#[derive(Debug, Clone)]
pub struct IdxSource {
    path: PathBuf,
    width: usize,
    height: usize,
    /// Pixels along an edge that images are brought to; their own where absent.
    size: Option<usize>,
    pixels: Vec<u8>,
    labels: Labels,
}

impl IdxSource {
    /// Opens a file of images with its labels beside it, or the training images of a folder. Grey becomes RGB; `size`
    /// brings images to so many pixels along both edges.
    ///
    /// # Errors
    /// If a file cannot be read, is not of the form, is shorter or longer than its header says, holds no image, or
    /// images and labels are not equally many; the error names the file.
    pub fn open(path: impl Into<PathBuf>, size: Option<usize>) -> Result<Self> {
        let path = path.into();
        let path = if path.is_dir() { training_images(&path)? } else { path };
        let labels_path = labels_beside(&path)?;
        let ([images, height, width], pixels) = read_idx::<3>(&path)?;
        let ([labels], numbers) = read_idx::<1>(&labels_path)?;
        if images != labels {
            let message = format!("expected {images} labels, one per image of {}, got {labels}", path.display());
            return Err(Error::file(labels_path, message));
        }
        if images == 0 || width == 0 || height == 0 || MAX_PIXELS < width.saturating_mul(height) {
            return Err(Error::file(path, format!("expected images, got {images} of {width}×{height} pixels")));
        }
        let labels = Labels::new(numbers.into_iter().map(u32::from).collect());
        Ok(Self { path, width, height, size, pixels, labels })
    }
}

impl Source for IdxSource {
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
        let area = self.width * self.height;
        let grey = &self.pixels[index * area..(index + 1) * area];
        let rgb = grey.iter().flat_map(|value| [*value; 3]).collect();
        let image = Image::new(self.width, self.height, rgb)?;
        match self.size {
            Some(size) => resized(image, size),
            None => Ok(image),
        }
    }
    fn describe(&self, index: usize) -> String {
        format!("{}: image {index}", self.path.display())
    }
    fn dimensions(&self, _index: usize) -> Result<(usize, usize)> {
        Ok(self.size.map_or((self.width, self.height), |size| (size, size)))
    }
}

/// Whether a folder holds idx files of training images.
pub fn is_idx_folder(folder: &Path) -> bool {
    TRAINING_IMAGES.iter().any(|name| folder.join(name).is_file())
}

fn training_images(folder: &Path) -> Result<PathBuf> {
    let candidates = TRAINING_IMAGES.map(|name| folder.join(name));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::file(folder, format!("expected a file {} or {}, found none", TRAINING_IMAGES[0], TRAINING_IMAGES[1]))
    })
}

/// The file of labels that belongs to a file of images, packed or not.
fn labels_beside(images: &Path) -> Result<PathBuf> {
    let name = images.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    if labels == name {
        return Err(Error::file(images, "expected a name with `images` and `idx3`, as train-images-idx3-ubyte"));
    }
    let plain = labels.strip_suffix(".gz").unwrap_or(&labels);
    let candidates = [labels.clone(), plain.to_owned(), format!("{plain}.gz")].map(|name| images.with_file_name(name));
    let found = candidates.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| Error::file(images, format!("its labels are missing: expected {labels} beside it")))
}

/// The dimensions and bytes of an idx file of bytes with `N` dimensions.
fn read_idx<const N: usize>(path: &Path) -> Result<([usize; N], Vec<u8>)> {
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    let length = file.metadata().map_err(|error| Error::io(path, error))?.len();
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    let most = if is_packed { length.saturating_mul(MOST_OF_A_PACKED_BYTE) } else { length };
    let file = BufReader::new(file);
    let mut bytes: Box<dyn Read> = if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let torn = |error| Error::file(path, format!("it cannot be unpacked or is cut short: {error}; fetch it again"));
    let magic = read_word(&mut bytes).map_err(torn)?;
    let expected = 0x0800 + N as u32;
    if magic != expected {
        let message = format!("expected the magic number {expected} of bytes in {N} dimensions, got {magic}");
        return Err(Error::file(path, message));
    }
    let mut sides = [0; N];
    for side in &mut sides {
        *side = read_word(&mut bytes).map_err(torn)? as usize;
    }
    let count = sides.iter().fold(1_u64, |product, side| product.saturating_mul(*side as u64));
    if most < count {
        let message = format!("its header says {sides:?}, {count} bytes; a file of {length} bytes cannot hold them");
        return Err(Error::file(path, message));
    }
    // One byte more than there should be shows that there is more.
    let mut data = Vec::new();
    bytes.take(count + 1).read_to_end(&mut data).map_err(torn)?;
    if data.len() as u64 != count {
        let found = if data.len() as u64 <= count { data.len().to_string() } else { "more".to_owned() };
        let message = format!("its header says {sides:?}, {count} bytes, but it holds {found}; fetch it again");
        return Err(Error::file(path, message));
    }
    Ok((sides, data))
}

fn read_word(bytes: &mut impl Read) -> std::io::Result<u32> {
    let mut word = [0; 4];
    bytes.read_exact(&mut word)?;
    Ok(u32::from_be_bytes(word))
}

/// Bilinear, `size` pixels along both edges.
fn resized(image: Image, size: usize) -> Result<Image> {
    if (image.width, image.height) == (size, size) {
        return Ok(image);
    }
    let Image { width, height, rgb } = image;
    let Some(buffer) = ::image::RgbImage::from_raw(width as u32, height as u32, rgb) else {
        return Err(Error::value("pixels of an image", "width · height · 3 bytes", format!("{width}×{height}")));
    };
    Image::new(size, size, resize(&buffer, size as u32, size as u32, FilterType::Triangle).into_raw())
}
