//! Folders of faces drawn, looked at and paired by the command line; small ones, in a temporary folder.

use std::fs;
use std::path::Path;

use arcface_data::image::write_png;
use arcface_data::{Image, PairList};
use insta::assert_snapshot;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::tiny::{data, fail, succeed};

/// Six identities with four faces each of 32×32 pixels in `faces`.
fn drawn() -> TempDir {
    let folder = tempdir().unwrap();
    let size = ["--identities", "6", "--images-per-identity", "4", "--size", "32"];
    let output = succeed(data(folder.path(), &["generate", "faces"]).args(size));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.stdout.is_empty() && words.contains("cargo xtask data inspect faces"), "{words}");
    folder
}

fn inspect(folder: &Path, arguments: &[&str]) -> Value {
    let output = succeed(data(folder, &["inspect", "faces", "--json"]).args(arguments));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn faces_are_drawn_counted_and_paired() {
    let folder = drawn();
    let found = inspect(folder.path(), &["--depth", "pixels"]);
    assert_eq!((&found["identities"], &found["images"]), (&6.into(), &24.into()));
    assert_eq!((&found["sizes"]["32×32"], &found["unreadable"]), (&24.into(), &serde_json::json!([])));
    for (file, folds) in [("pairs.csv", "2"), ("pairs.txt", "2"), ("one.csv", "1")] {
        let draw = ["pairs", "faces", "--out", file, "--count", "20", "--folds", folds];
        let output = succeed(&mut data(folder.path(), &draw));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains("20 pairs") && words.contains("no identity is in two folds"), "{words}");
        let list = PairList::read(&folder.path().join(file)).unwrap();
        assert_eq!(list.same().iter().filter(|same| **same).count(), 10);
        assert_eq!(list.resolve(&folder.path().join("faces")).unwrap().positions.len(), 20);
    }
}

#[test]
fn the_same_seed_draws_the_same_faces_and_pairs() {
    let bytes = |folder: &Path, file: &str| fs::read(folder.join(file)).unwrap();
    let [a, b] = [drawn(), drawn()];
    for folder in [&a, &b] {
        let draw = ["pairs", "faces", "--out", "pairs.csv", "--count", "20", "--folds", "2"];
        succeed(&mut data(folder.path(), &draw));
    }
    for file in ["pairs.csv", "faces/procedural_000003/procedural_000003_0002.png"] {
        assert_eq!(bytes(a.path(), file), bytes(b.path(), file), "{file}");
    }
}

#[test]
fn folds_that_must_share_identities_say_so() {
    let folder = drawn();
    let draw = ["pairs", "faces", "--out", "pairs.csv", "--count", "20", "--folds", "10"];
    let output = succeed(&mut data(folder.path(), &draw));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("identities are in several folds"), "{words}");
}

#[test]
fn listed_identities_alone_are_taken() {
    let folder = drawn();
    fs::write(folder.path().join("two.txt"), "procedural_000004\nprocedural_000001\n").unwrap();
    assert_eq!(inspect(folder.path(), &["--identities", "two.txt"])["images"], 8);
}

#[test]
fn unreadable_files_are_listed() {
    let folder = drawn();
    fs::write(folder.path().join("faces/procedural_000002/procedural_000002_0003.png"), "no image").unwrap();
    let found = inspect(folder.path(), &[]);
    assert_eq!(found["unreadable"].as_array().unwrap().len(), 1);
    assert_eq!(inspect(folder.path(), &["--depth", "names"])["unreadable"], serde_json::json!([]));
    let table = succeed(&mut data(folder.path(), &["inspect", "faces"]));
    assert_snapshot!(String::from_utf8(table.stdout).unwrap(), @"
    identities           6: procedural_000000, procedural_000001, procedural_000002, …
    images               24
    images per identity  min 4, median 4, mean 4.0, max 4
                      1        0
                    2–3        0
                    4–7        6 ████████████████████████████████████████
    size                 32×32: 23 images
    unreadable           1 images
      faces/procedural_000002/procedural_000002_0003.png: expected a JPEG or PNG image, the file begins with [6e, 6f, 20, 69]
    ");
}

#[test]
fn jpeg_is_written_where_asked() {
    let folder = tempdir().unwrap();
    let small =
        ["generate", "faces", "--identities", "2", "--images-per-identity", "2", "--size", "32", "--jpeg", "90"];
    succeed(&mut data(folder.path(), &small));
    assert!(folder.path().join("faces/procedural_000000/procedural_000000_0001.jpg").is_file());
    assert_eq!(inspect(folder.path(), &["--depth", "pixels"])["sizes"]["32×32"], 4);
}

#[test]
fn complaints_about_folders() {
    let folder = drawn();
    let words = |arguments: &[&str]| fail(&mut data(folder.path(), arguments));
    assert_snapshot!(words(&["inspect", "nowhere"]), @"error: nowhere: no such folder; check the path");
    assert_snapshot!(words(&["pairs", "nowhere", "--out", "pairs.csv"]), @"error: nowhere: no such folder; check the path");
    assert_snapshot!(words(&["generate", "faces", "--size", "32"]), @"error: faces: expected a new or empty folder, found something in it; choose another name");
    fs::write(folder.path().join("none.txt"), "nobody\n").unwrap();
    assert_snapshot!(words(&["inspect", "faces", "--identities", "none.txt"]), @"error: none.txt: identity `nobody` has no folder in faces (1 of 1 listed are missing); correct the list or the path");
    assert_snapshot!(words(&["inspect", "faces", "--identities", "nowhere.txt"]), @"error: nowhere.txt: no such file; check the path");
    fs::create_dir(folder.path().join("faces/dora")).unwrap();
    assert_snapshot!(words(&["inspect", "faces"]), @"error: faces/dora: this identity has no image; remove the folder or leave the identity out of the list");
    fs::remove_dir(folder.path().join("faces/dora")).unwrap();
    write_png(&folder.path().join("faces/stray.png"), &Image::filled(8, 8, [1, 2, 3])).unwrap();
    assert_snapshot!(words(&["inspect", "faces"]), @"error: faces/stray.png: an image beside the folders of the identities in faces; move it into the folder of its identity");
}

#[test]
fn complaints_about_what_to_draw() {
    let folder = tempdir().unwrap();
    let words = |arguments: &[&str]| {
        let words = fail(data(folder.path(), &["generate", "new"]).args(arguments));
        assert!(!folder.path().join("new").exists(), "{words}");
        words
    };
    assert_snapshot!(words(&["--size", "8"]), @"error: image_size: expected 16 to 1024 pixels, got 8");
    assert_snapshot!(words(&["--identities", "0"]), @"error: identities: expected 1 to 4294967295, got 0");
    assert_snapshot!(words(&["--images-per-identity", "0"]), @"error: images_per_identity: expected 1 to 184467440737095516, got 0");
    assert_snapshot!(words(&["--nuisance", "1.5"]), @"error: nuisance: expected 0 <= nuisance <= 1, got 1.5");
    assert_snapshot!(words(&["--jpeg", "0", "--identities", "1", "--size", "32"]), @"error: --jpeg: expected a quality from 1 to 100, got 0");
    assert_snapshot!(words(&["--jpeg", "101", "--identities", "1", "--size", "32"]), @"error: --jpeg: expected a quality from 1 to 100, got 101");
}

#[test]
fn complaints_about_pairs() {
    let folder = drawn();
    let words = |arguments: &[&str]| {
        let words = fail(data(folder.path(), &["pairs", "faces", "--out", "new.csv"]).args(arguments));
        assert!(!folder.path().join("new.csv").exists(), "{words}");
        words
    };
    assert_snapshot!(words(&[]), @"error: --count 6000 --folds 10: genuine pairs to draw: expected at most 36, which is all there are, got 3000");
    assert_snapshot!(words(&["--count", "7"]), @"error: --count 7 --folds 10: number of drawn pairs: expected an even number of at least 20 (2 per fold), got 7");
    assert_snapshot!(words(&["--count", "20", "--folds", "0"]), @"error: --count 20 --folds 0: folds of drawn pairs: expected at least 1, got 0");
    fs::write(folder.path().join("old.csv"), "mine").unwrap();
    let existing = ["pairs", "faces", "--out", "old.csv", "--count", "20", "--folds", "2"];
    assert_snapshot!(fail(&mut data(folder.path(), &existing)), @"error: old.csv: expected a new file, found one; choose another name");
    assert_eq!(fs::read_to_string(folder.path().join("old.csv")).unwrap(), "mine");
    let nowhere = ["pairs", "faces", "--out", "nowhere/new.csv", "--count", "20", "--folds", "2"];
    assert_snapshot!(fail(&mut data(folder.path(), &nowhere)), @"error: nowhere/new.csv: No such file or directory (os error 2); nothing was overwritten");
    let uneven = ["pairs", "faces", "--out", "new.txt", "--count", "10", "--folds", "2"];
    assert_snapshot!(fail(&mut data(folder.path(), &uneven)), @"error: new.txt: LFW's form wants equally many pairs of both kinds in every fold, fold 1 has 3 genuine ones; write a CSV");
}
