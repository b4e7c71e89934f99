//! What is said about sets that cannot be evaluated: file and record, what was expected, what was found.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use tempfile::{TempDir, tempdir};

use super::{face, write};
use crate::tiny::{fail, xtask};

/// Ten faces of five persons in `e.npy`, one after the other.
fn ten() -> TempDir {
    let folder = tempdir().unwrap();
    let rows: Vec<Vec<f32>> = (0..10).map(|row| face(row / 2, row % 2)).collect();
    let names: Vec<String> = (0..10).map(|row| format!("f/p{}/{}.jpg", row / 2, row % 2)).collect();
    write(&folder.path().join("e.npy"), &rows, &names);
    folder
}

/// The same with a row that is something else.
fn spoilt(folder: &Path, row: usize, value: f32) {
    let mut rows: Vec<Vec<f32>> = (0..10).map(|row| face(row / 2, row % 2)).collect();
    rows[row] = vec![value; rows[row].len()];
    write(&folder.join("spoilt.npy"), &rows, &[]);
    fs::copy(folder.join("e.npy.paths.txt"), folder.join("spoilt.npy.paths.txt")).unwrap();
}

fn words(folder: &TempDir, words: &[&str]) -> String {
    fail(xtask(folder.path()).arg("eval").args(words))
}

#[test]
fn of_embeddings() {
    let folder = ten();
    let eval = |file: &str, more: &[&str]| words(&folder, &[&["embeddings", file], more].concat());
    let list = |text: &str| fs::write(folder.path().join("list"), text).unwrap();
    let listed = ["--pairs", "list"];
    list("a,b,same\np0/0,p0/1,1\np0/0,p9/0,0\n");
    assert_snapshot!(eval("e.npy", &listed), @"");
    list("a,b,same\np0/0,0.jpg,1\np0/0,p1/0,0\n");
    assert_snapshot!(eval("e.npy", &listed), @"");
    list("a,b,same\np0/0,p0/1,1\n");
    assert_snapshot!(eval("e.npy", &listed), @"");
    list("a,b\n");
    assert_snapshot!(eval("e.npy", &listed), @"");
    list("a\nb\n");
    assert_snapshot!(eval("e.npy", &["--labels", "list"]), @"");
    list(&"a\n\n".repeat(5));
    assert_snapshot!(eval("e.npy", &["--labels", "list"]), @"");
    list(&"a\n".repeat(10));
    assert_snapshot!(eval("e.npy", &["--labels", "list"]), @"");
    assert_snapshot!(eval("e.npy", &["--all-pairs", "--far", "0"]), @"");
    assert_snapshot!(eval("nowhere.npy", &["--all-pairs"]), @"");
    assert_snapshot!(eval("list", &["--all-pairs"]), @"");
    spoilt(folder.path(), 3, f32::NAN);
    assert_snapshot!(eval("spoilt.npy", &["--all-pairs"]), @"");
    spoilt(folder.path(), 0, 0.0);
    list("a,b,same\np0/0,p0/1,1\np0/0,p1/0,0\n");
    assert_snapshot!(eval("spoilt.npy", &listed), @"");
    let whole = fs::read(folder.path().join("e.npy")).unwrap();
    fs::write(folder.path().join("cut.npy"), &whole[..whole.len() - 100]).unwrap();
    assert_snapshot!(eval("cut.npy", &["--all-pairs"]), @"");
    fs::copy(folder.path().join("e.npy"), folder.path().join("bare.npy")).unwrap();
    assert_snapshot!(eval("bare.npy", &["--all-pairs"]), @"");
    list("a,b,same\n0,1,1\n0,10,0\n");
    assert_snapshot!(eval("bare.npy", &listed), @"");
}

fn ten_lines(line: impl Fn(usize) -> String) -> String {
    (0..10).map(|row| line(row) + "\n").collect()
}

/// Lists of five templates, of two images each.
fn lists(folder: &Path) {
    fs::create_dir_all(folder.join("meta")).unwrap();
    list(folder, "face_tid_mid.txt", &ten_lines(|row| format!("{}.jpg {} {row}", row + 1, row / 2)));
    list(folder, "name_5pts_score.txt", &ten_lines(|row| format!("{}.jpg 1 2 3 4 5 6 7 8 9 10 0.9", row + 1)));
    list(folder, "template_pair_label.txt", "0 1 1\n0 2 0\n");
    list(folder, "1N_gallery_G1.csv", "0,0\n1,1\n");
    list(folder, "1N_probe_mixed.csv", "2,0\n3,7\n");
}

fn list(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(format!("meta/ijbb_{name}")), text).unwrap();
}

#[test]
fn of_templates() {
    let folder = ten();
    let ijb = |features: &str| words(&folder, &["ijb", "--dir", ".", "--features", features]);
    assert_snapshot!(ijb("e.npy"), @"");
    fs::create_dir(folder.path().join("meta")).unwrap();
    assert_snapshot!(ijb("e.npy"), @"");
    lists(folder.path());
    let names = ten_lines(|row| format!("c/{}.jpg", row + 1));
    fs::write(folder.path().join("e.npy.paths.txt"), &names).unwrap();
    let spoil = |name: &str, text: &str| {
        lists(folder.path());
        list(folder.path(), name, text);
        ijb("e.npy")
    };
    assert_snapshot!(spoil("face_tid_mid.txt", "1.jpg 1\n"), @"");
    assert_snapshot!(spoil("name_5pts_score.txt", "1.jpg 1 2 3 4 5 6 7 8 9 10 0.9\n"), @"");
    let swapped = ten_lines(|row| format!("{}.jpg 1 2 3 4 5 6 7 8 9 10 0.9", 10 - row));
    assert_snapshot!(spoil("name_5pts_score.txt", &swapped), @"");
    let zero = ten_lines(|row| format!("{}.jpg 1 2 3 4 5 6 7 8 9 10 0", row + 1));
    assert_snapshot!(spoil("name_5pts_score.txt", &zero), @"");
    assert_snapshot!(spoil("template_pair_label.txt", "0 1 1\n0 77 0\n"), @"");
    assert_snapshot!(spoil("template_pair_label.txt", "0 1 1\n0 2 1\n"), @"");
    assert_snapshot!(spoil("1N_gallery_G1.csv", "0,0\n66,1\n"), @"");
    assert_snapshot!(spoil("1N_gallery_G1.csv", "0,0\n1,1\n0,5\n"), @"");
    assert_snapshot!(spoil("1N_probe_mixed.csv", "2,9\n"), @"");
    lists(folder.path());
    fs::remove_file(folder.path().join("meta/ijbb_template_pair_label.txt")).unwrap();
    assert_snapshot!(ijb("e.npy"), @"");
    lists(folder.path());
    spoilt(folder.path(), 6, f32::NAN);
    assert_snapshot!(ijb("spoilt.npy"), @"");
    fs::write(folder.path().join("e.npy.paths.txt"), names.replace("c/7.jpg", "c/70.jpg")).unwrap();
    assert_snapshot!(ijb("e.npy"), @"");
    fs::remove_file(folder.path().join("e.npy.paths.txt")).unwrap();
    assert_snapshot!(ijb("e.npy"), @"");
}

#[test]
fn of_distractors() {
    let folder = ten();
    let megaface = |more: &[&str]| words(&folder, &[&["megaface"], more].concat());
    assert_snapshot!(megaface(&["--features", "e.npy"]), @"");
    let names = |text: &dyn Fn(usize) -> String| {
        fs::write(folder.path().join("e.npy.paths.txt"), ten_lines(text)).unwrap();
    };
    names(&|row| format!("facescrub/p{}/{row}.jpg", row / 2));
    assert_snapshot!(megaface(&["--features", "e.npy"]), @"");
    names(&|row| if row < 5 { format!("facescrub/p{row}/0.jpg") } else { format!("megaface/{row}.jpg") });
    assert_snapshot!(megaface(&["--features", "e.npy"]), @"");
    names(&|row| if row < 5 { format!("facescrub/{row}.jpg") } else { format!("megaface/{row}.jpg") });
    assert_snapshot!(megaface(&["--features", "e.npy"]), @"");
    names(&|row| if row < 5 { format!("facescrub/p/{row}.jpg") } else { format!("megaface/{row}.jpg") });
    assert_snapshot!(megaface(&["--features", "e.npy", "--dir", ".", "--refined"]), @"");
    fs::write(folder.path().join("facescrub_noises.txt"), "other.jpg\n").unwrap();
    assert_snapshot!(megaface(&["--features", "e.npy", "--dir", ".", "--refined"]), @"");
    fs::create_dir(folder.path().join("bins")).unwrap();
    assert_snapshot!(megaface(&["--features", "bins"]), @"");
    let feature = |name: &str, words: &[u8]| {
        let path = folder.path().join("bins").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, words.iter().flat_map(|word| [*word, 0, 0, 0]).collect::<Vec<u8>>()).unwrap();
    };
    let whole = [2, 1, 4, 5, 1, 2];
    feature("facescrub/p/1.jpg.bin", &whole);
    feature("facescrub/p/2.jpg.bin", &whole);
    feature("megaface/1.jpg.bin", &whole);
    feature("megaface/2.jpg.bin", &whole[..5]);
    assert_snapshot!(megaface(&["--features", "bins"]), @"");
    feature("megaface/2.jpg.bin", &[1, 1, 4, 5, 1]);
    assert!(megaface(&["--features", "bins"]).contains("features as in"));
}

#[test]
fn of_faces_and_videos() {
    let folder = ten();
    let eval = |more: &[&str]| words(&folder, more);
    let names = |text: &dyn Fn(usize) -> String| {
        fs::write(folder.path().join("e.npy.paths.txt"), ten_lines(text)).unwrap();
    };
    names(&|row| format!("{row}.jpg"));
    assert_snapshot!(eval(&["lfr-image", "--features", "e.npy"]), @"");
    assert_snapshot!(eval(&["lfr-video", "--features", "e.npy"]), @"");
    names(&|row| format!("p{}/{}/{row}.jpg", row % 2, row % 3));
    assert_snapshot!(eval(&["lfr-video", "--features", "e.npy"]), @"");
    names(&|row| format!("p{}/0/{row}.jpg", row / 2));
    assert_snapshot!(eval(&["ytf", "--features", "e.npy"]), @"");
    assert_snapshot!(eval(&["ytf", "--features", "e.npy", "--dir", "."]), @"");
    let splits = |text: &str| {
        fs::write(folder.path().join("splits.txt"), text).unwrap();
        eval(&["ytf", "--features", "e.npy", "--dir", "."])
    };
    assert_snapshot!(splits("1, p0/0, p0/0, 1\n1, p0/0, p1/0\n"), @"");
    assert_snapshot!(splits("1, p0/0, p0/0, 1\n1, p0/0, p7/0, 0\n"), @"");
    assert_snapshot!(splits("split number, first name\n"), @"");
    spoilt(folder.path(), 4, 0.0);
    let spoilt = eval(&["lfr-video", "--features", "spoilt.npy"]);
    assert_snapshot!(spoilt, @"");
}

#[test]
fn of_folders() {
    let folder = tempdir().unwrap();
    crate::tiny::succeed(&mut crate::tiny::train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    fs::create_dir_all(folder.path().join("set/faces")).unwrap();
    let eval = |protocol: &str| words(&folder, &[protocol, "runs/one", "--dir", "set"]);
    assert_snapshot!(eval("lfr-image"), @"");
    super::drawn_faces(folder.path(), "set/faces", "0", "2", "2");
    assert_snapshot!(eval("lfr-image"), @"");
    assert_snapshot!(eval("lfr-video"), @"");
    assert_snapshot!(eval("megaface"), @"");
    lists(&folder.path().join("set"));
    assert_snapshot!(eval("ijb"), @"");
    fs::create_dir(folder.path().join("set/loose_crop")).unwrap();
    assert_snapshot!(eval("ijb"), @"");
    super::drawn_faces(folder.path(), "drawn", "0", "1", "1");
    let image = super::files(&folder.path().join("drawn"))[0].clone();
    for number in 1..11 {
        fs::copy(&image, folder.path().join(format!("set/loose_crop/{number}.jpg"))).unwrap();
    }
    // The landmarks lie on a line.
    assert_snapshot!(eval("ijb"), @"");
}
