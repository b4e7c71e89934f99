//! Data sets converted there and back: the same bytes, the same order, the same checksum, and nothing half done.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arcface_data::convert::{Container, Summary, convert, summary};
use arcface_data::image::{encode_jpeg, write_png};
use arcface_data::source::{RecodedSource, keys};
use arcface_data::{FolderOptions, FolderSource, RecordSource, Source};
use insta::assert_snapshot;
use tempfile::{TempDir, tempdir};

use crate::support::{Noise, folder, message, noise};

fn open(root: &Path) -> FolderSource {
    FolderSource::open(root, &FolderOptions::default()).unwrap()
}

fn encoded(source: &dyn Source) -> Vec<(u32, Vec<u8>)> {
    let image = |index| (source.label(index), source.encoded(index).unwrap().unwrap().into_owned());
    (0..source.len()).map(image).collect()
}

fn sum(source: &dyn Source) -> Summary {
    summary(source, |_| true).unwrap().unwrap()
}

fn write(source: &dyn Source, target: &Path, container: Container) -> Summary {
    convert(source, target, container, |_| true).unwrap().unwrap()
}

/// Twelve identities, so that 10 and 11 stand between 1 and 2 where numbers are sorted as text; one image is a JPEG.
fn faces() -> TempDir {
    let names: Vec<String> = (0..12).map(|number| format!("person{number:02}")).collect();
    let counts: Vec<(&str, usize)> =
        names.iter().zip(1..).map(|(name, number)| (name.as_str(), number % 3 + 1)).collect();
    let root = folder(&counts, 6);
    fs::write(root.path().join("person03/person03_0000.jpg"), encode_jpeg(&noise(6, 9), 90).unwrap()).unwrap();
    root
}

/// What was encoded anew is smaller, is what comes back, and has a name of its own beside one of the same stem.
#[test]
fn a_set_is_made_smaller() {
    let (faces, place) = (folder(&[("ada", 2), ("bob", 1)], 40), tempdir().unwrap());
    fs::write(faces.path().join("ada/ada_0001.jpg"), encode_jpeg(&noise(40, 9), 95).unwrap()).unwrap();
    let source: Arc<dyn Source> = Arc::new(open(faces.path()));
    let small = RecodedSource::new(source.clone(), 40).unwrap();
    let target = place.path().join("small");
    assert_eq!(write(&small, &target, Container::Folder), sum(&open(&target)));
    let written = open(&target);
    assert_eq!(
        keys(&written),
        ["ada/ada_0001.jpg", "ada/ada_0001.png.jpg", "ada/ada_0002.png.jpg", "bob/bob_0001.png.jpg"]
    );
    for index in 0..written.len() {
        assert_eq!(written.image(index).unwrap(), small.image(index).unwrap());
        let [before, after] =
            [&*source, &written].map(|source: &dyn Source| source.encoded(index).unwrap().unwrap().len());
        assert!(after < before, "{before}, {after}");
    }
    assert_snapshot!(RecodedSource::new(source, 0).unwrap_err(), @"quality of a JPEG: expected 1 <= quality <= 100, got 0");
}

#[test]
fn there_and_back_all_bytes_are_the_same() {
    let (faces, place) = (faces(), tempdir().unwrap());
    let source = open(faces.path());
    let [records, back, again] = ["new/faces.rec", "back", "again/train.rec"].map(|name| place.path().join(name));
    let written = write(&source, &records, Container::Record);
    assert_eq!((written, written.identities, written.images), (sum(&source), 12, source.len()));
    let converted = RecordSource::open(&records).unwrap();
    assert_eq!(encoded(&converted), encoded(&source));
    assert_eq!(write(&converted, &back, Container::Folder), written);
    let folder = open(&back);
    assert_eq!(encoded(&folder), encoded(&source));
    assert_eq!(
        [&keys(&folder)[0], keys(&folder).last().unwrap()],
        ["person00/person00_0001.png", "person11/person11_0001.png"]
    );
    assert_eq!(write(&folder, &again, Container::Record), written);
    for ending in ["rec", "idx", "names"] {
        let bytes = |path: &Path| fs::read(path.with_extension(ending)).unwrap();
        assert_eq!(bytes(&records), bytes(&again), "{ending}");
    }
    let names: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn names_survive_records_and_their_loss_leaves_numbers() {
    let (faces, place) = (faces(), tempdir().unwrap());
    let source = open(faces.path());
    let names = |source: &dyn Source| (0..12).map(|label| source.identity(label)).collect::<Vec<_>>();
    let [records, back] = ["a.rec", "back"].map(|name| place.path().join(name));
    let written = write(&source, &records, Container::Record);
    assert_eq!(names(&RecordSource::open(&records).unwrap()), names(&source));
    let lines = fs::read_to_string(place.path().join("a.names")).unwrap();
    assert_eq!(lines, names(&source).join("\n") + "\n");
    fs::remove_file(place.path().join("a.names")).unwrap();
    let nameless = RecordSource::open(&records).unwrap();
    assert_eq!(names(&nameless), (0..12).map(|label| label.to_string()).collect::<Vec<_>>());
    // Numbers get zeros in front where the order of their texts is another; names that are their labels are not kept.
    assert_eq!(write(&nameless, &back, Container::Folder), written);
    assert_eq!(keys(&open(&back)).last().unwrap(), "11/11_0001.png");
    let records = place.path().join("again/a.rec");
    write(&nameless, &records, Container::Record);
    assert!(!records.with_extension("names").exists());
}

#[test]
fn folders_of_numbers_keep_their_names_and_order() {
    let (faces, place) = (folder(&[("1", 1), ("10", 2), ("2", 1)], 6), tempdir().unwrap());
    let [records, back] = ["a.rec", "back"].map(|name| place.path().join(name));
    let written = write(&open(faces.path()), &records, Container::Record);
    assert_eq!(write(&RecordSource::open(&records).unwrap(), &back, Container::Folder), written);
    assert_eq!(
        (keys(&open(&back)), sum(&open(&back))),
        (["1/1_0001.png", "10/10_0001.png", "10/10_0002.png", "2/2_0001.png"].map(str::to_owned).into(), written)
    );
}

#[test]
fn a_folder_keeps_its_names() {
    let (faces, place) = (faces(), tempdir().unwrap());
    let target = place.path().join("copy");
    write(&open(faces.path()), &target, Container::Folder);
    assert_eq!(keys(&open(&target)), keys(&open(faces.path())));
}

#[test]
fn images_that_are_drawn_become_png() {
    let (source, place) = (Noise::new(&[2, 1], 5), tempdir().unwrap());
    let target = place.path().join("faces");
    let written = write(&source, &target, Container::Folder);
    assert_eq!(written, sum(&open(&target)));
    assert!((0..3).all(|index| open(&target).image(index).unwrap() == noise(5, index as u64)));
}

#[test]
fn the_checksum_tells_bytes_labels_and_order() {
    let base = sum(&Noise::new(&[2, 1], 5)).checksum;
    let mut others = vec![sum(&Noise::new(&[1, 2], 5)), sum(&Noise::new(&[2, 1], 4)), sum(&Noise::new(&[3], 5))];
    let mut swapped = Noise::new(&[2, 1], 5);
    swapped.labels = vec![0, 1, 0];
    others.push(sum(&swapped));
    assert!(others.iter().all(|other| other.checksum != base));
    // CRC-32 by the definition, bit by bit.
    let mut crc = u32::MAX;
    for (label, index) in [(0_u32, 0), (0, 1), (1, 2)] {
        let bytes = arcface_data::image::encode_png(&noise(5, index)).unwrap();
        for byte in [&label.to_le_bytes()[..], &(bytes.len() as u64).to_le_bytes(), &bytes].concat() {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
    }
    assert_eq!(base, !crc);
}

#[test]
fn nothing_is_left_where_it_ends_early() {
    let place = tempdir().unwrap();
    let mut torn = Noise::new(&[2, 3], 5);
    torn.corrupt = vec![3];
    for (name, container) in [("faces", Container::Folder), ("new/train.rec", Container::Record)] {
        let target = place.path().join(name);
        assert_eq!(convert(&Noise::new(&[2, 3], 5), &target, container, |done| done < 3).unwrap(), None);
        assert_eq!(convert(&torn, &target, container, |_| true).unwrap_err().to_string(), "noise 3: torn");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}

#[test]
fn what_is_not_converted() {
    let place = tempdir().unwrap();
    let to = |source: &dyn Source, name: &str, container| {
        message(convert(source, &place.path().join(name), container, |_| true), place.path())
    };
    let source = Noise::new(&[1], 5);
    fs::create_dir(place.path().join("old")).unwrap();
    assert_snapshot!(to(&source, "old", Container::Folder), @"ROOT/old: expected a new name, found something of that name; choose another");
    assert_snapshot!(to(&source, "nowhere/new", Container::Folder), @"ROOT/nowhere/new: No such file or directory (os error 2)");
    assert_snapshot!(to(&source, "new.bin", Container::Record), @"ROOT/new.bin: expected a name that ends in .rec; choose another name");
    let records = place.path().join("two.rec");
    write(&Noise::new(&[1, 2], 5), &records, Container::Record);
    fs::write(place.path().join("two.names"), "bob\nada\n").unwrap();
    let reordered = RecordSource::open(&records).unwrap();
    assert_snapshot!(to(&reordered, "new", Container::Folder), @"names of identities: expected the order of their bytes, in which a folder has them, got `bob` before `ada`");
    for file in ["two.rec", "two.idx", "two.names", "property"] {
        fs::remove_file(place.path().join(file)).unwrap();
    }
    write_png(&place.path().join("old/wide.png"), &noise(6, 0)).unwrap();
    fs::create_dir(place.path().join("mixed")).unwrap();
    fs::rename(place.path().join("old"), place.path().join("mixed/a")).unwrap();
    write_png(&place.path().join("mixed/a/z.png"), &noise(7, 0)).unwrap();
    assert_snapshot!(to(&open(&place.path().join("mixed")), "new.rec", Container::Record), @"ROOT/mixed/a/z.png: size of image 2: expected 6×6 pixels as of those before it; align and resize the data set first, got 7×7");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}
