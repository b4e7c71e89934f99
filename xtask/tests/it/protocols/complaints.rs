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
    assert_snapshot!(eval("e.npy", &listed), @"error: list: pair 2: `p9/0`: expected the end of a path in FILE.paths.txt, found none that ends so");
    list("a,b,same\np0/0,0.jpg,1\np0/0,p1/0,0\n");
    assert_snapshot!(eval("e.npy", &listed), @"error: list: pair 1: `0.jpg`: expected the end of one path, got that of several; write more of it");
    list("a,b,same\np0/0,p0/1,1\n");
    assert_snapshot!(eval("e.npy", &listed), @"error: list: folds: expected 2 <= folds <= 1 (the number of pairs), got 1");
    list("a,b\n");
    assert_snapshot!(eval("e.npy", &listed), @"error: list: line 1: expected `folds<TAB>pairs` as in LFW's lists, or the columns `a,b,same` of a CSV, got `a,b`");
    list("a\nb\n");
    assert_snapshot!(eval("e.npy", &["--labels", "list"]), @"error: list: expected a line for each of the 10 rows, found 2");
    list(&"a\n\n".repeat(5));
    assert_snapshot!(eval("e.npy", &["--labels", "list"]), @"error: list: line 2: expected whom the row shows, found nothing");
    list(&"a\n".repeat(10));
    assert_snapshot!(eval("e.npy", &["--labels", "list"]), @"error: pairs: expected at least one genuine and one impostor pair, got 45 genuine and 0 impostor pairs");
    assert_snapshot!(eval("e.npy", &["--all-pairs", "--far", "0"]), @"error: false accept rate: expected 0 < rate <= 1, got 0");
    assert_snapshot!(eval("nowhere.npy", &["--all-pairs"]), @"error: nowhere.npy: No such file or directory (os error 2)");
    assert_snapshot!(eval("list", &["--all-pairs"]), @"error: list: expected a name that ends in .npy or .safetensors");
    spoilt(folder.path(), 3, f32::NAN);
    assert_snapshot!(eval("spoilt.npy", &["--all-pairs"]), @"error: spoilt.npy: row 3: expected a finite embedding that is not zero (an untrained or diverged network gives others), got length NaN");
    spoilt(folder.path(), 0, 0.0);
    list("a,b,same\np0/0,p0/1,1\np0/0,p1/0,0\n");
    assert_snapshot!(eval("spoilt.npy", &listed), @"error: spoilt.npy: row 0: expected a finite embedding that is not zero (an untrained or diverged network gives others), got length 0");
    let whole = fs::read(folder.path().join("e.npy")).unwrap();
    fs::write(folder.path().join("cut.npy"), &whole[..whole.len() - 100]).unwrap();
    assert_snapshot!(eval("cut.npy", &["--all-pairs"]), @"error: cut.npy: (10, 16) needs a file of 768 bytes, found 668; it was cut short, write it anew");
    fs::copy(folder.path().join("e.npy"), folder.path().join("bare.npy")).unwrap();
    assert_snapshot!(eval("bare.npy", &["--all-pairs"]), @"error: bare.npy.paths.txt: expected the name of each row, a line for each (`embed` writes it), found no such file");
    list("a,b,same\n0,1,1\n0,10,0\n");
    assert_snapshot!(eval("bare.npy", &listed), @"error: list: pair 2: `10`: expected a row below 10 (there is no FILE.paths.txt with names)");
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
    assert_snapshot!(ijb("e.npy"), @"error: ./meta: expected meta/NAME_face_tid_mid.txt, NAME_template_pair_label.txt and NAME_name_5pts_score.txt as published with IJB-B and IJB-C, found no such folder");
    fs::create_dir(folder.path().join("meta")).unwrap();
    assert_snapshot!(ijb("e.npy"), @"error: ./meta: expected meta/NAME_face_tid_mid.txt, NAME_template_pair_label.txt and NAME_name_5pts_score.txt as published with IJB-B and IJB-C, found no list whose name ends so");
    lists(folder.path());
    let names = ten_lines(|row| format!("c/{}.jpg", row + 1));
    fs::write(folder.path().join("e.npy.paths.txt"), &names).unwrap();
    let spoil = |name: &str, text: &str| {
        lists(folder.path());
        list(folder.path(), name, text);
        ijb("e.npy")
    };
    assert_snapshot!(spoil("face_tid_mid.txt", "1.jpg 1\n"), @"error: ./meta/ijbb_face_tid_mid.txt: line 1 of the list of templates: expected IMAGE TEMPLATE MEDIA, such as `1.jpg 1 69544`, got `1.jpg 1`");
    assert_snapshot!(spoil("name_5pts_score.txt", "1.jpg 1 2 3 4 5 6 7 8 9 10 0.9\n"), @"error: ./meta/ijbb_name_5pts_score.txt: expected a line for each of the 10 images of ./meta/ijbb_face_tid_mid.txt, found 1");
    let swapped = ten_lines(|row| format!("{}.jpg 1 2 3 4 5 6 7 8 9 10 0.9", 10 - row));
    assert_snapshot!(spoil("name_5pts_score.txt", &swapped), @"error: ./meta/ijbb_name_5pts_score.txt: line 1: expected `1.jpg` as in the list of templates, got `10.jpg`");
    let zero = ten_lines(|row| format!("{}.jpg 1 2 3 4 5 6 7 8 9 10 0", row + 1));
    assert_snapshot!(spoil("name_5pts_score.txt", &zero), @"error: e.npy by ./meta/ijbb_face_tid_mid.txt, whose first line is image 0: detector score of image 0: expected a finite number above 0 (or ignore the scores), got 0");
    assert_snapshot!(spoil("template_pair_label.txt", "0 1 1\n0 77 0\n"), @"error: ./meta/ijbb_template_pair_label.txt: pair 1: expected templates that have images in the list of templates, got template 77, which has none");
    assert_snapshot!(spoil("template_pair_label.txt", "0 1 1\n0 2 1\n"), @"error: ./meta/ijbb_template_pair_label.txt: pairs: expected at least one genuine and one impostor pair, got 2 genuine and 0 impostor pairs");
    assert_snapshot!(spoil("1N_gallery_G1.csv", "0,0\n66,1\n"), @"error: ./meta/ijbb_1N_gallery_G1.csv: template 66: expected images of it in the list of templates, got none");
    assert_snapshot!(spoil("1N_gallery_G1.csv", "0,0\n1,1\n0,5\n"), @"error: ./meta/ijbb_1N_gallery_G1.csv: template 0 of the list of subjects: expected one subject, got 0 and 5");
    assert_snapshot!(spoil("1N_probe_mixed.csv", "2,9\n"), @"error: ./meta/ijbb_1N_gallery_G1.csv: probes: expected at least one whose identity is in the gallery, got 1 without");
    lists(folder.path());
    fs::remove_file(folder.path().join("meta/ijbb_template_pair_label.txt")).unwrap();
    assert_snapshot!(ijb("e.npy"), @"error: ./meta/ijbb_template_pair_label.txt: expected this list of the protocol as it was published, found no such file");
    lists(folder.path());
    spoilt(folder.path(), 6, f32::NAN);
    assert_snapshot!(ijb("spoilt.npy"), @"error: spoilt.npy by ./meta/ijbb_face_tid_mid.txt, whose first line is image 0: embedding of image 6: expected a finite vector that is not zero (an untrained or diverged network gives others), got length NaN");
    fs::write(folder.path().join("e.npy.paths.txt"), names.replace("c/7.jpg", "c/70.jpg")).unwrap();
    assert_snapshot!(ijb("e.npy"), @"error: e.npy: an image of ./meta/ijbb_face_tid_mid.txt: `7.jpg`: expected the end of a path in FILE.paths.txt, found none that ends so");
    fs::remove_file(folder.path().join("e.npy.paths.txt")).unwrap();
    assert_snapshot!(ijb("e.npy"), @"error: e.npy.paths.txt: expected the name of each row, a line for each (`embed` writes it), found no such file");
}

#[test]
fn of_distractors() {
    let folder = ten();
    let megaface = |more: &[&str]| words(&folder, &[&["megaface"], more].concat());
    assert_snapshot!(megaface(&["--features", "e.npy"]), @"error: f/p0/0.jpg: expected probes as facescrub/PERSON/IMAGE.jpg or distractors below megaface/");
    let names = |text: &dyn Fn(usize) -> String| {
        fs::write(folder.path().join("e.npy.paths.txt"), ten_lines(text)).unwrap();
    };
    names(&|row| format!("facescrub/p{}/{row}.jpg", row / 2));
    assert_snapshot!(megaface(&["--features", "e.npy"]), @"error: e.npy: expected distractors below megaface/, found none among its images");
    names(&|row| if row < 5 { format!("facescrub/p{row}/0.jpg") } else { format!("megaface/{row}.jpg") });
    assert_snapshot!(megaface(&["--features", "e.npy"]), @"error: probes: expected at least two of one identity, got none");
    names(&|row| if row < 5 { format!("facescrub/{row}.jpg") } else { format!("megaface/{row}.jpg") });
    assert_snapshot!(megaface(&["--features", "e.npy"]), @"error: facescrub/0.jpg: expected probes as facescrub/PERSON/IMAGE.jpg, found it in no folder of a person");
    names(&|row| if row < 5 { format!("facescrub/p/{row}.jpg") } else { format!("megaface/{row}.jpg") });
    assert_snapshot!(megaface(&["--features", "e.npy", "--dir", ".", "--refined"]), @"error: ./facescrub_noises.txt: expected the wrong faces, the end of a path in each line, found no such file");
    fs::write(folder.path().join("facescrub_noises.txt"), "other.jpg\n").unwrap();
    assert_snapshot!(megaface(&["--features", "e.npy", "--dir", ".", "--refined"]), @"error: ./facescrub_noises.txt: expected names of the 5 faces, found none among its 1");
    fs::create_dir(folder.path().join("bins")).unwrap();
    assert_snapshot!(megaface(&["--features", "bins"]), @"error: bins/facescrub: expected probes as facescrub/PERSON/IMAGE.jpg.bin: No such file or directory (os error 2)");
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
    assert_snapshot!(megaface(&["--features", "bins"]), @"error: bins/megaface/2.jpg.bin: n = 2 needs 24 bytes, found 20; the file was cut short, write it anew");
    feature("megaface/2.jpg.bin", &whole);
    feature("facescrub/p/2.jpg.bin", &[1, 1, 4, 5, 1]);
    assert_snapshot!(megaface(&["--features", "bins"]), @"error: bins/facescrub/p/2.jpg.bin: expected 2 features as in bins/facescrub/p/1.jpg.bin, found 1");
}

#[test]
fn of_faces_and_videos() {
    let folder = ten();
    let eval = |more: &[&str]| words(&folder, more);
    let names = |text: &dyn Fn(usize) -> String| {
        fs::write(folder.path().join("e.npy.paths.txt"), ten_lines(text)).unwrap();
    };
    names(&|row| format!("{row}.jpg"));
    assert_snapshot!(eval(&["lfr-image", "--features", "e.npy"]), @"error: 0.jpg: expected faces of known persons as faces/PERSON/IMAGE.jpg");
    assert_snapshot!(eval(&["lfr-video", "--features", "e.npy"]), @"error: 0.jpg: expected a frame …/PERSON/VIDEO/FRAME.jpg");
    names(&|row| format!("p{}/{}/{row}.jpg", row % 2, row % 3));
    assert_snapshot!(eval(&["lfr-video", "--features", "e.npy"]), @"error: video `p0/0`: expected its frames one behind the other, found them apart; embed one folder");
    names(&|row| format!("p{}/0/{row}.jpg", row / 2));
    assert_snapshot!(eval(&["ytf", "--features", "e.npy"]), @"error: --dir: expected the folder of the protocol, laid out as `--help` says");
    assert_snapshot!(eval(&["ytf", "--features", "e.npy", "--dir", "."]), @"error: ./splits.txt: expected lines `1, PERSON/VIDEO, PERSON/VIDEO, 1`, found no such file");
    let splits = |text: &str| {
        fs::write(folder.path().join("splits.txt"), text).unwrap();
        eval(&["ytf", "--features", "e.npy", "--dir", "."])
    };
    assert_snapshot!(splits("1, p0/0, p0/0, 1\n1, p0/0, p1/0\n"), @"error: ./splits.txt: line 2: expected `FOLD, PERSON/VIDEO, PERSON/VIDEO, SAME` with 1 or 0 in the end, got `1, p0/0, p1/0`");
    assert_snapshot!(splits("1, p0/0, p0/0, 1\n1, p0/0, p7/0, 0\n"), @"error: ./splits.txt: pair 2: expected a video that has frames, got `p7/0`");
    assert_snapshot!(splits("split number, first name\n"), @"error: ./splits.txt: expected at least one pair, found none");
    spoilt(folder.path(), 4, 0.0);
    let spoilt = eval(&["lfr-video", "--features", "spoilt.npy"]);
    assert_snapshot!(spoilt, @"error: spoilt.npy: row 4: expected a finite embedding that is not zero, got one of length 0");
}

#[test]
fn of_folders() {
    let folder = tempdir().unwrap();
    crate::tiny::succeed(&mut crate::tiny::train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    fs::create_dir_all(folder.path().join("set/faces")).unwrap();
    let eval = |protocol: &str| words(&folder, &[protocol, "runs/one", "--dir", "set"]);
    assert_snapshot!(eval("lfr-image"), @"error: set/faces: expected faces of known persons as faces/PERSON/IMAGE.jpg, found no image (.jpg, .jpeg, .png) in it");
    super::drawn_faces(folder.path(), "set/faces", "0", "2", "2");
    assert_snapshot!(eval("lfr-image"), @"error: set/distractors: expected faces of others below distractors/, found no such folder");
    assert_snapshot!(eval("lfr-video"), @"error: set/videos: expected frames as videos/PERSON/VIDEO/FRAME.jpg, found no such folder");
    assert_snapshot!(eval("megaface"), @"error: set/facescrub: expected probes as facescrub/PERSON/IMAGE.jpg, found no such folder");
    lists(&folder.path().join("set"));
    assert_snapshot!(eval("ijb"), @"error: set: expected the images of set/meta/ijbb_face_tid_mid.txt in loose_crop/ as published or, cut to the size of the network, in aligned/; found neither folder");
    fs::create_dir(folder.path().join("set/loose_crop")).unwrap();
    assert_snapshot!(eval("ijb"), @"error: set/loose_crop/1.jpg: line 1 of set/meta/ijbb_face_tid_mid.txt names it, found no such file; 10 are missing");
    super::drawn_faces(folder.path(), "drawn", "0", "1", "1");
    let image = super::files(&folder.path().join("drawn"))[0].clone();
    for number in 1..11 {
        fs::copy(&image, folder.path().join(format!("set/loose_crop/{number}.jpg"))).unwrap();
    }
    // The landmarks lie on a line.
    assert_snapshot!(eval("ijb"), @"error: set/meta/ijbb_name_5pts_score.txt: line 1: landmarks: expected five points of a face, got five points on a line, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 10.0]]");
}
