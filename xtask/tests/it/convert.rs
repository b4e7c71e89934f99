//! Data sets converted, looked at and trained on from the command line; small ones, in a temporary folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::tiny::{data, fail, succeed, train};

/// Fourteen identities with six faces each of 32×32 pixels in `faces`.
fn drawn() -> TempDir {
    let folder = tempdir().unwrap();
    let size = ["--identities", "14", "--images-per-identity", "6", "--size", "32"];
    succeed(data(folder.path(), &["generate", "faces"]).args(size));
    folder
}

fn document(command: &mut Command) -> Value {
    serde_json::from_slice(&succeed(command).stdout).unwrap()
}

/// Two images of the classes 3 and 8.
fn digits(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28][..], &[90; 2 * 784]].concat();
    fs::write(folder.join("train-images-idx3-ubyte"), images).unwrap();
    fs::write(folder.join("train-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 2, 8, 3]).unwrap();
}

#[test]
fn faces_come_back_with_the_same_checksum() {
    let folder = drawn();
    let there = document(&mut data(folder.path(), &["convert", "faces", "records/train.rec", "--json"]));
    assert_eq!((&there["identities"], &there["images"]), (&14.into(), &84.into()));
    assert_eq!(fs::read_to_string(folder.path().join("records/property")).unwrap(), "14,32,32\n");
    let back = document(&mut data(folder.path(), &["convert", "records", "back", "--json"]));
    assert_eq!((&back["checksum"], &back["images"]), (&there["checksum"], &84.into()));
    assert!(folder.path().join("back/procedural_000013/procedural_000013_0006.png").is_file(), "names come back");
    let [faces, records] = ["faces", "records/train.rec"]
        .map(|path| document(&mut data(folder.path(), &["inspect", path, "--depth", "pixels", "--json"])));
    assert_eq!(faces, records);
}

#[test]
fn a_set_is_made_smaller() {
    let folder = tempdir().unwrap();
    let size = ["--identities", "2", "--images-per-identity", "3", "--size", "112"];
    succeed(data(folder.path(), &["generate", "faces"]).args(size));
    let output = succeed(&mut data(folder.path(), &["convert", "faces", "small/train.rec", "--quality", "50"]));
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(
        words.contains("images      6\n")
            && words.ends_with(", the same in faces as JPEG of quality 50 and small/train.rec\n")
    );
    succeed(&mut data(folder.path(), &["convert", "faces", "whole/train.rec"]));
    let bytes = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
    assert!(bytes("small/train.rec") < bytes("whole/train.rec"));
    let error = fail(&mut data(folder.path(), &["convert", "faces", "none.rec", "--quality", "0"]));
    assert_snapshot!(error, @"error: --quality: quality of a JPEG: expected 1 <= quality <= 100, got 0");
}

#[test]
fn the_report_names_both() {
    let folder = tempdir().unwrap();
    digits(&folder.path().join("digits"));
    let output = succeed(&mut data(folder.path(), &["convert", "digits", "digits.rec"]));
    assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @"
    identities  2
    images      2
    checksum    49558c43, the same in digits and digits.rec
    ");
    let output = succeed(&mut data(folder.path(), &["inspect", "digits/train-images-idx3-ubyte"]));
    assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @"
    identities           2: 3, 8
    images               2
    images per identity  min 1, median 1, mean 1.0, max 1
                      1        2 ████████████████████████████████████████
    size                 28×28: 2 images
    ");
}

#[test]
fn records_are_trained_on_with_or_without_an_index() {
    let folder = drawn();
    succeed(&mut data(folder.path(), &["convert", "faces", "records/train.rec"]));
    let set = ["data.source=record", "data.path=records", "train.epochs=1", "eval.baselines=false"];
    succeed(&mut train(folder.path(), "indexed", &set));
    fs::remove_file(folder.path().join("records/train.idx")).unwrap();
    let output = succeed(&mut data(folder.path(), &["inspect", "records"]));
    assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @"records/train.rec: there is no .idx; its records were found by walking through");
}

#[test]
fn digits_are_brought_to_the_size_of_the_network() {
    let folder = tempdir().unwrap();
    digits(&folder.path().join("digits"));
    let set = ["data.source=idx", "data.path=digits", "data.holdout=0", "train.batch_size=2", "train.epochs=1"];
    succeed(&mut train(folder.path(), "digits", &set));
}

#[test]
fn complaints() {
    let folder = drawn();
    let words = |arguments: &[&str]| fail(&mut data(folder.path(), arguments));
    assert_snapshot!(words(&["convert", "nowhere", "new"]), @"error: nowhere: no such folder; check the path");
    assert_snapshot!(words(&["convert", "faces", "faces"]), @"error: faces: expected a new name, found something of that name; choose another");
    assert_snapshot!(words(&["convert", "faces", "pairs.bin"]), @"error: pairs.bin: expected the name of a folder or of a .rec to write");
    fs::write(folder.path().join("one.txt"), "procedural_000001\n").unwrap();
    succeed(&mut data(folder.path(), &["convert", "faces", "one.rec", "--identities", "one.txt"]));
    assert_snapshot!(words(&["inspect", "one.rec", "--identities", "one.txt"]), @"error: --identities one.txt: expected a folder of identities to choose from");
    assert_snapshot!(words(&["convert", "faces", "two.rec"]), @"error: property: expected a new file, found one; choose another folder");
    let bytes = fs::read(folder.path().join("one.rec")).unwrap();
    fs::write(folder.path().join("one.rec"), &bytes[..bytes.len() / 2]).unwrap();
    assert_snapshot!(words(&["convert", "one.rec", "new"]), @"error: one.idx: record 0: offset 14988 is no place of a record in one.rec, which has 7534 bytes; index and records do not belong together, or one of them is cut short");
    assert!(!folder.path().join("new").exists());
}
