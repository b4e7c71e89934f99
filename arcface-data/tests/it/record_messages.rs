//! The text of every error that a damaged or impossible `.rec`, `.idx` or `property` gives.

use std::fs;
use std::path::Path;

use arcface_data::image::encode_png;
use arcface_data::record::RecordWriter;
use arcface_data::{Image, RecordSource, Source};
use insta::assert_snapshot;
use tempfile::{TempDir, tempdir};

use crate::reference::{self, Entry};
use crate::support::{message, noise};

fn png(number: u64) -> Vec<u8> {
    encode_png(&noise(4, number)).unwrap()
}

/// Keys 1 to 3 are images of two identities, 0 tells so, 4 and 5 are the identities.
fn entries() -> Vec<Entry> {
    reference::face_layout(&[vec![png(1)], vec![png(2), png(3)]])
}

fn saved(entries: &[Entry]) -> TempDir {
    let folder = tempdir().unwrap();
    reference::save(folder.path(), entries);
    folder
}

/// The first error of opening and of every image in turn.
fn first_error(folder: &Path) -> String {
    let read = RecordSource::open(folder).and_then(|source| {
        (0..source.len()).try_for_each(|index| {
            assert_eq!(source.dimensions(index).is_err(), source.image(index).is_err());
            source.image(index).map(drop)
        })
    });
    message(read, folder)
}

/// The first error after `spoil` changed the file `name`.
fn spoilt(name: &str, spoil: impl Fn(&mut Vec<u8>)) -> String {
    let folder = saved(&entries());
    let path = folder.path().join(name);
    let mut bytes = fs::read(&path).unwrap();
    spoil(&mut bytes);
    fs::write(path, bytes).unwrap();
    first_error(folder.path())
}

/// The first error with these names beside the records.
fn with_names(names: &[u8]) -> String {
    let folder = saved(&entries());
    fs::write(folder.path().join("train.names"), names).unwrap();
    first_error(folder.path())
}

/// The first error after the payload of one record became another.
fn with(key: u64, payload: &[u8]) -> String {
    let replaced = entries().into_iter().map(|(own, old)| (own, if own == key { payload.to_vec() } else { old }));
    first_error(saved(&replaced.collect::<Vec<_>>()).path())
}

fn labelled(key: u64, label: f32) -> String {
    with(key, &reference::payload(0, label, key, &[], &png(key)))
}

fn ranged(key: u64, labels: &[f32]) -> String {
    with(key, &reference::payload(labels.len() as u32, 0.0, key, labels, &[]))
}

#[test]
fn files_that_are_not_there_or_hold_nothing() {
    let folder = saved(&entries());
    let open = |name: &str| message(RecordSource::open(folder.path().join(name)), folder.path());
    assert_snapshot!(open("other.rec"), @"ROOT/other.rec: no such file; check the path");
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert_snapshot!(open("empty"), @"ROOT/empty/train.rec: no such file; check the path");
    fs::create_dir_all(folder.path().join("nested/train.rec")).unwrap();
    assert_snapshot!(open("nested"), @"ROOT/nested/train.rec: expected a .rec, found a folder; check the path");
    assert_snapshot!(spoilt("train.rec", Vec::clear), @"ROOT/train.rec: expected a .rec, the file is empty");
    assert_snapshot!(spoilt("train.idx", Vec::clear), @"ROOT/train.idx: expected one line per record, the index is empty");
}

#[test]
fn indices_that_do_not_fit() {
    let index = |text: &str| spoilt("train.idx", |bytes| *bytes = text.as_bytes().to_vec());
    assert_snapshot!(index("1 0\n"), @"ROOT/train.idx: line 1: expected `key<TAB>offset`, two whole numbers; this is no index of a .rec");
    assert_snapshot!(index("1\t0\n2\t"), @"ROOT/train.idx: line 2: expected `key<TAB>offset`, two whole numbers; this is no index of a .rec");
    assert_snapshot!(index("1\t0\n99999999999999999999\t4\n"), @"ROOT/train.idx: line 2: expected `key<TAB>offset`, two whole numbers; this is no index of a .rec");
    assert_snapshot!(index("1\t0\n1\t4\n"), @"ROOT/train.idx: key 1 is listed twice, with the offsets 0 and 4; make the index again");
    assert_snapshot!(index("1\t0\n2\t100000\n"), @"ROOT/train.idx: record 2: offset 100000 is no place of a record in ROOT/train.rec, which has 576 bytes; index and records do not belong together, or one of them is cut short");
    assert_snapshot!(index("1\t2\n"), @"ROOT/train.idx: record 1: offset 2 is no place of a record in ROOT/train.rec, which has 576 bytes; index and records do not belong together, or one of them is cut short");
    assert_snapshot!(index("1\t4\n"), @"ROOT/train.rec: record 1 at offset 4: expected the magic number 0xced7230a, found 0x00000090; the file is damaged or cut short, or the index is that of another");
    let (_, whole) = reference::write(&entries());
    let text = String::from_utf8(whole).unwrap();
    let without = |key: &str| {
        text.lines().filter(|line| !line.starts_with(key)).fold(String::new(), |text, line| text + line + "\n")
    };
    assert_snapshot!(index(&without("2\t")), @"ROOT/train.rec: record 0 at offset 456: expected images with the keys 1 to 3, the index lacks some of them; make it again");
    assert_snapshot!(index(&without("5\t")), @"ROOT/train.idx: its records end at offset 536 of ROOT/train.rec, which has 576 bytes; the index is cut short: make it again, or remove it to have the records walked through");
}

#[test]
fn an_index_of_other_records() {
    let folder = saved(&reference::face_layout(&[vec![png(1); 5], vec![png(2); 5]]));
    let path = folder.path().join("train.idx");
    let text = fs::read_to_string(&path).unwrap();
    let swap = |line: &str| match line.split_once('\t').unwrap() {
        ("1", offset) => format!("6\t{offset}"),
        ("6", offset) => format!("1\t{offset}"),
        _ => line.to_owned(),
    };
    fs::write(path, text.lines().map(swap).collect::<Vec<_>>().join("\n")).unwrap();
    assert_snapshot!(first_error(folder.path()), @"ROOT/train.rec: record 1 at offset 760: label: expected 0 as the identities' records say, got 1; index and records do not belong together, or one of them is damaged");
}

#[test]
fn damaged_frames() {
    assert_snapshot!(spoilt("train.rec", |bytes| bytes[0] = 0), @"ROOT/train.rec: record 1 at offset 0: expected the magic number 0xced7230a, found 0xced72300; the file is damaged or cut short, or the index is that of another");
    assert_snapshot!(spoilt("train.rec", |bytes| bytes[7] = 0xa0), @"ROOT/train.rec: record 1 at offset 0: expected a record of kind 0 to 3, found 5; the file is damaged or cut short, or the index is that of another");
    assert_snapshot!(spoilt("train.rec", |bytes| bytes[7] = 0x40), @"ROOT/train.rec: record 1 at offset 0: expected the beginning of a record, found part 2 of one; the file is damaged or cut short, or the index is that of another");
    assert_snapshot!(spoilt("train.rec", |bytes| bytes[6] = 1), @"ROOT/train.rec: record 1 at offset 0: it says that 65680 bytes follow, the file has 568 more; the file is damaged or cut short, or the index is that of another");
    assert_snapshot!(spoilt("train.rec", |bytes| bytes.truncate(bytes.len() - 4)), @"ROOT/train.rec: record 5 at offset 536: it says that 32 bytes follow, the file has 28 more; the file is damaged or cut short, or the index is that of another");
}

#[test]
fn split_records_that_are_cut_short() {
    let body = [&png(1)[..], &[0; 3], &reference::MAGIC.repeat(2), b"tail"].concat();
    let body = [&body[..], &vec![0; 4 - body.len() % 4], &reference::MAGIC, b"end"].concat();
    let split = |spoil: fn(&mut Vec<u8>)| {
        let (mut records, index) = reference::write(&[reference::image(1, 0.0, &body)]);
        spoil(&mut records);
        let folder = tempdir().unwrap();
        fs::write(folder.path().join("train.rec"), records).unwrap();
        fs::write(folder.path().join("train.idx"), index).unwrap();
        first_error(folder.path())
    };
    assert_snapshot!(split(|bytes| bytes.truncate(bytes.len() - 12)), @"ROOT/train.rec: record 1 at offset 0: its part at offset 168: expected a record, the file ends after 168 bytes; the record is damaged or cut short");
    assert_snapshot!(split(|bytes| bytes.truncate(bytes.len() - 2)), @"ROOT/train.rec: record 1 at offset 0: its part at offset 168: it says that 4 bytes follow, the file has 2 more; the record is damaged or cut short");
    assert_snapshot!(split(|bytes| { let at = bytes.len() - 5; bytes[at] = 0x20; }), @"ROOT/train.rec: record 1 at offset 0: its part at offset 168: expected the middle or the end of a split record, found the beginning of another; the record is damaged or cut short");
}

#[test]
fn headers_and_labels_that_are_wrong() {
    assert_snapshot!(with(2, &[0; 23]), @"ROOT/train.rec: record 2 at offset 152: expected a header of 24 bytes, the record has 23; it holds no face");
    assert_snapshot!(with(2, &reference::payload(3, 0.0, 2, &[1.0], &[0; 7])), @"ROOT/train.rec: record 2 at offset 152: its flag says that 3 labels of 4 bytes follow, the record has 11 bytes more; the file is damaged");
    assert_snapshot!(with(2, &reference::payload(u32::MAX, 0.0, 2, &[], &png(2))), @"ROOT/train.rec: record 2 at offset 152: its flag says that 4294967295 labels of 4 bytes follow, the record has 120 bytes more; the file is damaged");
    assert_snapshot!(labelled(2, f32::NAN), @"ROOT/train.rec: record 2 at offset 152: label: expected a whole number from 0 to 16777216, got NaN");
    assert_snapshot!(labelled(2, -1.0), @"ROOT/train.rec: record 2 at offset 152: label: expected a whole number from 0 to 16777216, got -1");
    assert_snapshot!(labelled(2, 0.5), @"ROOT/train.rec: record 2 at offset 152: label: expected a whole number from 0 to 16777216, got 0.5");
    assert_snapshot!(labelled(2, 16_777_218.0), @"ROOT/train.rec: record 2 at offset 152: label: expected a whole number from 0 to 16777216, got 16777218");
    assert_snapshot!(labelled(2, f32::INFINITY), @"ROOT/train.rec: record 2 at offset 152: label: expected a whole number from 0 to 16777216, got inf");
    assert_snapshot!(labelled(2, 0.0), @"ROOT/train.rec: record 2 at offset 152: label: expected 1 as the identities' records say, got 0; index and records do not belong together, or one of them is damaged");
    let alone = reference::image(1, 16_777_218.0, &png(1));
    assert_snapshot!(first_error(saved(&[alone]).path()), @"ROOT/train.rec: record 1 at offset 0: label: expected a whole number from 0 to 16777216, got 16777218");
}

#[test]
fn bodies_that_are_no_images() {
    assert_snapshot!(with(2, &reference::payload(0, 1.0, 2, &[], b"")), @"ROOT/train.rec: record 2 at offset 152: expected an image, the record holds none; the file is damaged");
    assert_snapshot!(with(2, &reference::payload(0, 1.0, 2, &[], b"no image")), @"ROOT/train.rec: record 2 at offset 152: expected a JPEG or PNG image, the file begins with [6e, 6f, 20, 69]");
}

#[test]
fn what_tells_of_identities_is_wrong() {
    assert_snapshot!(ranged(0, &[4.0]), @"ROOT/train.rec: record 0 at offset 456: expected two labels, a range of keys, found one; the file is damaged");
    assert_snapshot!(ranged(0, &[f32::NAN, 6.0]), @"ROOT/train.rec: record 0 at offset 456: label: expected a whole number from 0 to 4294967295, got NaN");
    assert_snapshot!(ranged(0, &[1.0, 6.0]), @"ROOT/train.rec: record 0 at offset 456: expected at least one image, the labels tell of none; the file is damaged");
    assert_snapshot!(ranged(0, &[7.0, 9.0]), @"ROOT/train.rec: record 0 at offset 456: expected images with the keys 1 to 6, the index lacks some of them; make it again");
    assert_snapshot!(ranged(0, &[4.0, 9.0]), @"ROOT/train.rec: the index has no record 6; make it again");
    assert_snapshot!(ranged(0, &[1e9, 2e9]), @"ROOT/train.rec: record 0 at offset 456: expected images with the keys 1 to 999999999, the index lacks some of them; make it again");
    assert_snapshot!(ranged(4, &[1.0]), @"ROOT/train.rec: record 4 at offset 496: expected two labels, a range of keys, found one; the file is damaged");
    assert_snapshot!(ranged(4, &[2.0, 1.0]), @"ROOT/train.rec: record 4 at offset 496: expected a range of keys, got 2 to 1; the file is damaged");
    assert_snapshot!(ranged(4, &[1.0, 9.0]), @"ROOT/train.rec: record 4 at offset 496: expected a range of keys of images, within 1 to 4, got 1 to 9");
    assert_snapshot!(ranged(4, &[-1.0, 2.0]), @"ROOT/train.rec: record 4 at offset 496: label: expected a whole number from 0 to 4294967295, got -1");
}

#[test]
fn properties_that_do_not_fit() {
    let property = |text: &str| {
        let folder = saved(&entries());
        fs::write(folder.path().join("property"), text).unwrap();
        first_error(folder.path())
    };
    assert_snapshot!(property("1,112,112\n"), @"ROOT/property: expected more than 1 identities, the largest label in ROOT/train.rec, got 1");
    assert_snapshot!(property("many"), @"ROOT/property: expected `identities,height,width`, got `many`");
}

#[test]
fn walks_that_meet_damage() {
    let folder = saved(&entries());
    fs::remove_file(folder.path().join("train.idx")).unwrap();
    let path = folder.path().join("train.rec");
    let bytes = fs::read(&path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 20]).unwrap();
    assert_snapshot!(first_error(folder.path()), @"ROOT/train.rec: record number 5 at offset 536: it says that 32 bytes follow, the file has 12 more; the file is damaged or cut short, or the index is that of another (walking through, there is no .idx)");
}

#[test]
fn what_is_not_written() {
    let folder = tempdir().unwrap();
    let create = |name: &str| RecordWriter::create(folder.path().join(name));
    assert_snapshot!(message(create("train.bin"), folder.path()), @"ROOT/train.bin: expected a name that ends in .rec; choose another name");
    assert_snapshot!(message(create("nowhere/train.rec"), folder.path()), @"ROOT/nowhere/train.rec: No such file or directory (os error 2)");
    assert_snapshot!(message(create("train.rec").unwrap().finish(), folder.path()), @"ROOT/train.rec: expected at least one image, got none");
    let mut writer = create("train.rec").unwrap();
    assert_snapshot!(writer.push(1, &png(1)).unwrap_err(), @"label of image 1: expected that of the last image or the next one, 0, identity by identity, got 1");
    writer.push(0, &png(1)).unwrap();
    assert_snapshot!(writer.push(2, &png(1)).unwrap_err(), @"label of image 2: expected that of the last image or the next one, 1, identity by identity, got 2");
    assert_snapshot!(message(writer.push(0, b"no image"), folder.path()), @"ROOT/train.rec: image 2: expected a JPEG or PNG image, the file begins with [6e, 6f, 20, 69]");
    let larger = encode_png(&Image::filled(5, 4, [0; 3])).unwrap();
    assert_snapshot!(writer.push(0, &larger).unwrap_err(), @"size of image 2: expected 4×4 pixels as of those before it; align and resize the data set first, got 5×4");
    writer.finish().unwrap();
    assert_snapshot!(message(create("train.rec"), folder.path()), @"ROOT/train.idx: expected a new file, found one; choose another folder");
    assert_snapshot!(message(create("other.rec"), folder.path()), @"ROOT/property: expected a new file, found one; choose another folder");
}

#[test]
fn names_that_are_not_those_of_the_records() {
    assert_snapshot!(with_names(b"ada\n"), @"ROOT/train.names: expected 2 names, one per identity of ROOT/train.rec, got 1; remove the file to have numbers as names");
    assert_snapshot!(with_names(b""), @"ROOT/train.names: expected 2 names, one per identity of ROOT/train.rec, got 0; remove the file to have numbers as names");
    assert_snapshot!(with_names(b"ada\nbob\ncyd\n"), @"ROOT/train.names: expected 2 names, one per identity of ROOT/train.rec, got 3; remove the file to have numbers as names");
    assert_snapshot!(with_names(b"ada\n\n"), @"ROOT/train.names: line 2: expected the name of an identity, the line is empty");
    assert_snapshot!(with_names(b"ada\r\nada\r\n"), @"ROOT/train.names: line 2: `ada` is named a second time; names tell identities apart");
    assert_snapshot!(with_names(b"ada\n\xff\n"), @"ROOT/train.names: stream did not contain valid UTF-8");
    let folder = saved(&entries());
    fs::write(folder.path().join("train.names"), "Bob\r\nAda Lovelace").unwrap();
    let source = RecordSource::open(folder.path()).unwrap();
    assert_eq!([source.identity(0), source.identity(1)], ["Bob", "Ada Lovelace"]);
}

#[test]
fn names_that_are_not_written() {
    let told = |names: &[&str]| {
        let folder = tempdir().unwrap();
        let mut writer = RecordWriter::create(folder.path().join("a.rec")).unwrap();
        for label in 0..2 {
            writer.push(label, &png(1)).unwrap();
        }
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let words = message(writer.finish_named(&names), folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{words}");
        words
    };
    assert_snapshot!(told(&["ada"]), @"names of identities: expected one for each of 2, got 1");
    assert_snapshot!(told(&["ada", "ada"]), @"names of identities: line 2: `ada` is named a second time; names tell identities apart");
    assert_snapshot!(told(&["ada", " "]), @"names of identities: line 2: expected the name of an identity, the line is empty");
    assert_snapshot!(told(&["ada", "b\tob"]), @r#"name of an identity: expected a line of text without control characters, got "b/tob""#);
}
