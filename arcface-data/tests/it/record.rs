//! RecordIO read and written: against a writer of its own, split records, both layouts, and thousands of damaged files.

use std::fs;
use std::path::Path;

use arcface_core::seed::{Purpose, rng};
use arcface_data::image::{encode_jpeg, encode_png};
use arcface_data::record::{IndexOrigin, RecordWriter};
use arcface_data::source::images_by_identity;
use arcface_data::{RecordSource, Source};
use proptest::prelude::*;
use rand::Rng;
use tempfile::{TempDir, tempdir};

use crate::reference::{self, Entry, MAGIC};
use crate::support::noise;

fn png(number: u64) -> Vec<u8> {
    encode_png(&noise(6, number)).unwrap()
}

/// Noise images: identity `l` has `counts[l]` of them.
fn bodies(counts: &[usize]) -> Vec<Vec<Vec<u8>>> {
    let mut number = 0;
    let mut body = || {
        number += 1;
        png(number)
    };
    counts.iter().map(|count| (0..*count).map(|_| body()).collect()).collect()
}

fn saved(entries: &[Entry]) -> TempDir {
    let folder = tempdir().unwrap();
    reference::save(folder.path(), entries);
    folder
}

fn open(folder: &TempDir) -> RecordSource {
    RecordSource::open(folder.path()).unwrap()
}

fn encoded(source: &dyn Source) -> Vec<Vec<u8>> {
    (0..source.len()).map(|index| source.encoded(index).unwrap().unwrap().into_owned()).collect()
}

fn labels(source: &dyn Source) -> Vec<u32> {
    (0..source.len()).map(|index| source.label(index)).collect()
}

/// Writes with our writer.
fn write(folder: &Path, bodies: &[Vec<Vec<u8>>]) {
    let mut writer = RecordWriter::create(folder.join("train.rec")).unwrap();
    for (label, bodies) in (0..).zip(bodies) {
        for body in bodies {
            writer.push(label, body).unwrap();
        }
    }
    let written = writer.finish().unwrap();
    assert_eq!(written.identities, bodies.len());
    assert_eq!(written.images, bodies.iter().map(Vec::len).sum::<usize>());
}

#[test]
fn the_layout_of_the_field_is_read() {
    let bodies = bodies(&[2, 3, 1]);
    let source = open(&saved(&reference::face_layout(&bodies)));
    assert_eq!((source.len(), source.num_identities(), source.origin()), (6, 3, IndexOrigin::Read));
    assert_eq!(labels(&source), [0, 0, 1, 1, 1, 2]);
    assert_eq!(encoded(&source), bodies.concat());
    assert_eq!((source.identity(2), source.dimensions(4).unwrap()), ("2".to_owned(), (6, 6)));
    assert!((0..6).all(|index| source.image(index).unwrap() == noise(6, index as u64 + 1)));
}

#[test]
fn our_writer_writes_the_same_bytes_as_the_reference() {
    let mut bodies = bodies(&[1, 4, 2]);
    // What follows the end of an image is kept: there the magic number stands, aligned and not.
    bodies[1][0] = [&png(1)[..], &MAGIC, &[0; 3], &MAGIC, &MAGIC].concat();
    bodies[2][1] = encode_jpeg(&noise(6, 3), 90).unwrap();
    let (folder, (records, index)) = (tempdir().unwrap(), reference::write(&reference::face_layout(&bodies)));
    write(folder.path(), &bodies);
    assert_eq!(fs::read(folder.path().join("train.rec")).unwrap(), records);
    assert_eq!(fs::read(folder.path().join("train.idx")).unwrap(), index);
    assert_eq!(fs::read_to_string(folder.path().join("property")).unwrap(), "3,6,6\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    assert_eq!(encoded(&open(&folder)), bodies.concat());
}

#[test]
fn the_magic_number_may_stand_anywhere() {
    let start = png(1);
    let mut bodies = vec![];
    for before in 0..9 {
        for after in 0..5 {
            for times in 1..4 {
                bodies.push([&start[..], &vec![7; before], &MAGIC.repeat(times), &vec![9; after]].concat());
            }
        }
    }
    let (theirs, ours) = (saved(&reference::face_layout(&[bodies.clone()])), tempdir().unwrap());
    write(ours.path(), &[bodies.clone()]);
    assert_eq!(encoded(&open(&theirs)), bodies);
    assert_eq!(encoded(&open(&ours)), bodies);
    assert_eq!(fs::read(ours.path().join("train.rec")).unwrap(), fs::read(theirs.path().join("train.rec")).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_comes_back(
        identities in prop::collection::vec(prop::collection::vec(prop::collection::vec(0_u8..5, 0..12), 1..4), 1..6)
    ) {
        // 0 stands for the magic number, so that it comes often and at every place.
        let tail = |words: &Vec<u8>| words.iter().flat_map(|word| match word {
            0 => MAGIC.to_vec(),
            length => vec![*length; usize::from(*length)],
        }).collect::<Vec<u8>>();
        let bodies: Vec<Vec<Vec<u8>>> = identities.iter()
            .map(|images| images.iter().map(|words| [png(3), tail(words)].concat()).collect()).collect();
        let folder = tempdir().unwrap();
        write(folder.path(), &bodies);
        let source = open(&folder);
        prop_assert_eq!(encoded(&source), bodies.concat());
        let counts: Vec<_> = images_by_identity(&source).iter().map(Vec::len).collect();
        prop_assert_eq!(counts, bodies.iter().map(Vec::len).collect::<Vec<_>>());
        let (records, _) = reference::write(&reference::face_layout(&bodies));
        prop_assert_eq!(fs::read(folder.path().join("train.rec")).unwrap(), records);
    }
}

#[test]
fn without_an_index_the_records_are_walked_through() {
    let bodies = bodies(&[2, 1, 3]);
    let folder = saved(&reference::face_layout(&bodies));
    fs::remove_file(folder.path().join("train.idx")).unwrap();
    let source = open(&folder);
    assert_eq!((source.origin(), labels(&source)), (IndexOrigin::Scanned, vec![0, 0, 1, 2, 2, 2]));
    assert_eq!(encoded(&source), bodies.concat());
    // Ids that tell nothing: the records are numbered.
    let same = |label| (0, reference::payload(0, label, 0, &[], &png(1)));
    let folder = saved(&[same(0.0), same(1.0), same(0.0)]);
    fs::remove_file(folder.path().join("train.idx")).unwrap();
    assert_eq!(labels(&open(&folder)), [0, 1, 0]);
}

#[test]
fn all_keys_are_images_where_key_0_is_one() {
    let image = |key, label| reference::image(key, label, &png(key));
    let source = open(&saved(&[image(0, 1.0), image(7, 0.0), image(3, 1.0)]));
    assert_eq!((labels(&source), source.image(1).unwrap()), (vec![1, 1, 0], noise(6, 3)));
    assert_eq!(labels(&open(&saved(&[image(5, 0.0), image(6, 1.0)]))), [0, 1]);
    // With a vector of labels it is one too: there is a body.
    let vector = |key, label| (key, reference::payload(2, 0.0, key, &[label, 1.0], &png(key)));
    assert_eq!(labels(&open(&saved(&[vector(0, 1.0), vector(1, 0.0)]))), [1, 0]);
}

#[test]
fn the_class_of_a_vector_is_its_first_element() {
    let mut entries = reference::face_layout(&bodies(&[1, 2]));
    for (key, label) in [(1, 0.0), (2, 1.0), (3, 1.0)] {
        entries[key as usize - 1].1 = reference::payload(2, 9.0, key, &[label, 1.0], &png(key));
    }
    let source = open(&saved(&entries));
    assert_eq!((labels(&source), source.image(2).unwrap()), (vec![0, 1, 1], noise(6, 3)));
}

#[test]
fn numbers_of_identities_become_labels_and_stay_names() {
    let image = |key, label| reference::image(key, label, &png(key));
    let source = open(&saved(&[image(1, 70.0), image(2, 5.0), image(3, 70.0)]));
    assert_eq!(labels(&source), [1, 0, 1]);
    assert_eq!([source.identity(0), source.identity(1)], ["5", "70"]);
    assert_eq!(source.image(0).unwrap(), noise(6, 1));
}

#[test]
fn labels_of_images_count_where_the_identities_records_are_in_another_order_or_leave_some_out() {
    let bodies = bodies(&[2, 2, 2]);
    let mut permuted = reference::face_layout(&bodies);
    for (place, label) in [2.0, 2.0, 0.0, 0.0, 1.0, 1.0].into_iter().enumerate() {
        permuted[place] = reference::image(place as u64 + 1, label, &bodies.concat()[place]);
    }
    assert_eq!(labels(&open(&saved(&permuted))), [2, 2, 0, 0, 1, 1]);
    let mut gap = reference::face_layout(&bodies);
    gap[8] = reference::labels(8, &[4.0, 5.0]);
    assert_eq!(labels(&open(&saved(&gap))), [0, 0, 1, 1, 2, 2]);
    let mut none = reference::face_layout(&bodies);
    none.truncate(6);
    none.push(reference::labels(0, &[7.0, 7.0]));
    assert_eq!(labels(&open(&saved(&none))), [0, 0, 1, 1, 2, 2]);
}

#[test]
fn nothing_is_left_of_a_writer_that_did_not_finish() {
    let folder = tempdir().unwrap();
    let mut writer = RecordWriter::create(folder.path().join("train.rec")).unwrap();
    writer.push(0, &png(1)).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(!folder.path().join("train.rec").exists());
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Everything that can be asked of a source; the number of images that could be read.
fn read_all(folder: &Path) -> arcface_core::Result<usize> {
    let source = RecordSource::open(folder)?;
    assert!(source.num_identities() <= source.len() && images_by_identity(&source).len() == source.num_identities());
    let readable = |index: &usize| {
        let _ = (source.describe(*index), source.identity(source.label(*index)), source.dimensions(*index));
        source.image(*index).is_ok()
    };
    Ok((0..source.len()).filter(readable).count())
}

#[test]
fn a_file_that_is_cut_short_anywhere_is_an_error() {
    let mut bodies = bodies(&[1, 2]);
    bodies[0][0].extend(MAGIC.repeat(3));
    let entries = reference::face_layout(&bodies);
    let (records, index) = reference::write(&entries);
    let folder = saved(&entries);
    assert_eq!(read_all(folder.path()).unwrap(), 3);
    for length in 0..records.len() {
        fs::write(folder.path().join("train.rec"), &records[..length]).unwrap();
        assert!(read_all(folder.path()).is_err(), "{length} of {} bytes", records.len());
    }
    fs::write(folder.path().join("train.rec"), &records).unwrap();
    // The last line break is the only thing that an index can do without.
    for length in 0..index.len() - 1 {
        fs::write(folder.path().join("train.idx"), &index[..length]).unwrap();
        assert!(read_all(folder.path()).is_err(), "{length} of {} bytes", index.len());
    }
}

#[test]
fn thousands_of_damaged_files_give_errors_and_nothing_worse() {
    let mut bodies = bodies(&[1, 2, 1]);
    bodies[1][1].extend(MAGIC.repeat(2));
    let entries = reference::face_layout(&bodies);
    let (records, index) = reference::write(&entries);
    let folder = saved(&entries);
    let mut damaged = 0;
    for copy in 0..4000 {
        let mut random = rng(0, Purpose::Testing, 0x7265_6364, copy);
        let [mut records, mut index] = [records.clone(), index.clone()];
        match copy % 3 {
            0 => damage(&mut records, &mut random),
            1 => damage(&mut index, &mut random),
            _ => [&mut records, &mut index].into_iter().for_each(|bytes| damage(bytes, &mut random)),
        }
        fs::write(folder.path().join("train.rec"), records).unwrap();
        fs::write(folder.path().join("train.idx"), index).unwrap();
        damaged += usize::from(read_all(folder.path()).map_or(true, |readable| readable < 4));
    }
    // The rest hit what the format has no check for: padding, second ids, bytes behind an image, lines of equal meaning.
    assert!(2000 < damaged, "{damaged} of 4000");
}

/// Flips, cuts, doubles, blanks or adds some bytes.
fn damage(bytes: &mut Vec<u8>, random: &mut impl Rng) {
    let at = random.random_range(0..bytes.len());
    let end = bytes.len().min(at + random.random_range(1..40));
    match random.random_range(0..6) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at..end].iter_mut().for_each(|byte| *byte = random.random()),
        2 => bytes[at..end].fill([0, 0xff][random.random_range(0..2)]),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        _ => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}
