//! MNIST's idx files: what they hold, and what becomes of files that are damaged.

use std::fs;
use std::io::Write;
use std::path::Path;

use arcface_core::seed::{Purpose, rng};
use arcface_data::{IdxSource, Source};
use flate2::Compression;
use flate2::write::GzEncoder;
use insta::assert_snapshot;
use rand::Rng;
use tempfile::{TempDir, tempdir};

use crate::support::message;

const IMAGES: &str = "train-images-idx3-ubyte";
const LABELS: &str = "train-labels-idx1-ubyte";

/// An idx file by its description: two zeros, 8 for bytes, the number of dimensions, each of them, the bytes.
fn idx(sides: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sides.len() as u8];
    bytes.extend(sides.iter().flat_map(|side| side.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Three images of 2 rows and 3 columns, of the classes 7, 2 and 7.
fn files() -> (Vec<u8>, Vec<u8>) {
    (idx(&[3, 2, 3], &(0..18).collect::<Vec<u8>>()), idx(&[3], &[7, 2, 7]))
}

fn saved(images: &[u8], labels: &[u8], ending: &str) -> TempDir {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join(format!("{IMAGES}{ending}")), images).unwrap();
    fs::write(folder.path().join(format!("{LABELS}{ending}")), labels).unwrap();
    folder
}

#[test]
fn grey_images_become_rgb_and_classes_identities() {
    let (images, labels) = files();
    for (folder, path) in [
        (saved(&images, &labels, ""), ""),
        (saved(&packed(&images), &packed(&labels), ".gz"), "train-images-idx3-ubyte.gz"),
    ] {
        let source = IdxSource::open(folder.path().join(path), None).unwrap();
        assert_eq!((source.len(), source.num_identities(), source.dimensions(0).unwrap()), (3, 2, (3, 2)));
        assert_eq!((0..3).map(|index| source.label(index)).collect::<Vec<_>>(), [1, 0, 1]);
        assert_eq!((source.identity(0), source.identity(1)), ("2".to_owned(), "7".to_owned()));
        assert_eq!(source.image(2).unwrap().rgb, (12..18).flat_map(|value| [value; 3]).collect::<Vec<u8>>());
    }
}

#[test]
fn images_are_brought_to_the_size_that_is_asked_for() {
    let folder = saved(&idx(&[1, 2, 2], &[0, 200, 0, 200]), &idx(&[1], &[0]), "");
    let source = IdxSource::open(folder.path(), Some(4)).unwrap();
    let image = source.image(0).unwrap();
    assert_eq!((image.width, image.height, source.dimensions(0).unwrap()), (4, 4, (4, 4)));
    // Pixel centers of the large image lie at −¼, ¼, ¾ and 1¼ of the small one's: the ends are its own values.
    let row: Vec<u8> = (0..4).map(|x| image.pixel(x, 1)[0]).collect();
    assert_eq!(row, [0, 50, 150, 200]);
}

/// The first error after the files were replaced.
fn complaint(images: &[u8], labels: &[u8], ending: &str) -> String {
    let folder = saved(images, labels, ending);
    message(IdxSource::open(folder.path(), None), folder.path())
}

#[test]
fn files_that_are_not_of_the_form() {
    let (images, labels) = files();
    assert_snapshot!(complaint(&labels, &labels, ""), @"ROOT/train-images-idx3-ubyte: expected the magic number 2051 of bytes in 3 dimensions, got 2049");
    assert_snapshot!(complaint(&images, b"", ""), @"ROOT/train-labels-idx1-ubyte: it cannot be unpacked or is cut short: failed to fill whole buffer; fetch it again");
    assert_snapshot!(complaint(&images[..30], &labels, ""), @"ROOT/train-images-idx3-ubyte: its header says [3, 2, 3], 18 bytes, but it holds 14; fetch it again");
    assert_snapshot!(complaint(&[&images[..], &[0]].concat(), &labels, ""), @"ROOT/train-images-idx3-ubyte: its header says [3, 2, 3], 18 bytes, but it holds more; fetch it again");
    assert_snapshot!(complaint(&idx(&[u32::MAX; 3], &[0; 9]), &labels, ""), @"ROOT/train-images-idx3-ubyte: its header says [4294967295, 4294967295, 4294967295], 18446744073709551615 bytes; a file of 25 bytes cannot hold them");
    assert_snapshot!(complaint(&images, &idx(&[2], &[0, 1]), ""), @"ROOT/train-labels-idx1-ubyte: expected 3 labels, one per image of ROOT/train-images-idx3-ubyte, got 2");
    assert_snapshot!(complaint(&idx(&[0, 2, 3], &[]), &idx(&[0], &[]), ""), @"ROOT/train-images-idx3-ubyte: expected images, got 0 of 3×2 pixels");
    assert_snapshot!(complaint(&images, &labels, ".gz"), @"ROOT/train-images-idx3-ubyte.gz: it cannot be unpacked or is cut short: invalid gzip header; fetch it again");
    let cut = packed(&images);
    assert_snapshot!(complaint(&cut[..cut.len() - 12], &packed(&labels), ".gz"), @"ROOT/train-images-idx3-ubyte.gz: it cannot be unpacked or is cut short: incomplete deflate stream; fetch it again");
    assert_snapshot!(complaint(&packed(&idx(&[u32::MAX; 3], &[0; 9])), &labels, ".gz"), @"ROOT/train-images-idx3-ubyte.gz: its header says [4294967295, 4294967295, 4294967295], 18446744073709551615 bytes; a file of 29 bytes cannot hold them");
}

#[test]
fn files_that_are_not_there() {
    let folder = tempdir().unwrap();
    let open = |path: &Path| message(IdxSource::open(path, None), folder.path());
    assert_snapshot!(open(folder.path()), @"ROOT: expected a file train-images-idx3-ubyte or train-images-idx3-ubyte.gz, found none");
    assert_snapshot!(open(&folder.path().join("mnist")), @"ROOT/mnist: expected a name with `images` and `idx3`, as train-images-idx3-ubyte");
    fs::write(folder.path().join(IMAGES), "").unwrap();
    assert_snapshot!(open(folder.path()), @"ROOT/train-images-idx3-ubyte: its labels are missing: expected train-labels-idx1-ubyte beside it");
}

#[test]
fn thousands_of_damaged_files_give_errors_and_nothing_worse() {
    let (images, labels) = files();
    let sets = [(images.clone(), labels.clone(), ""), (packed(&images), packed(&labels), ".gz")];
    for (images, labels, ending) in sets {
        let folder = saved(&images, &labels, ending);
        for copy in 0..1500 {
            let mut random = rng(0, Purpose::Testing, 0x6964_7800, copy);
            let (name, mut bytes) = if copy % 2 == 0 { (IMAGES, images.clone()) } else { (LABELS, labels.clone()) };
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[at] ^= 1 << random.random_range(0..8),
                1 => bytes.truncate(at),
                2 => bytes.insert(at, random.random()),
                _ => bytes[at..].fill(random.random()),
            }
            fs::write(folder.path().join(format!("{name}{ending}")), &bytes).unwrap();
            if let Ok(source) = IdxSource::open(folder.path(), None) {
                assert!(source.len() <= 1032 * images.len());
                assert!((0..source.len()).all(|index| source.image(index).is_ok()));
            }
            fs::write(folder.path().join(format!("{IMAGES}{ending}")), &images).unwrap();
            fs::write(folder.path().join(format!("{LABELS}{ending}")), &labels).unwrap();
        }
    }
}
