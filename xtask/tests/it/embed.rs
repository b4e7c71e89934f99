//! `embed`: files of embeddings, whole, stopped and gone on with.

use std::fs;
use std::path::Path;
use std::process::Command;

use arcface_data::PairList;
use arcface_eval::{Embeddings, verify_folds};
use insta::assert_snapshot;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::tiny::{fail, succeed, train, xtask};

/// A run of one epoch, and five identities with three faces each in `faces`.
fn trained() -> TempDir {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    let sizes = ["--identities", "5", "--images-per-identity", "3", "--size", "32", "--first-identity", "100"];
    succeed(xtask(folder.path()).args(["data", "generate", "faces"]).args(sizes));
    folder
}

fn embed(folder: &Path, images: &[&str], out: &str, more: &[&str]) -> Command {
    let mut command = xtask(folder);
    command.args(["embed", "runs/one", "--images"]).args(images).args(["--out", out]).args(more);
    command
}

/// Rows of a file of 128 values each, behind the first `head` bytes.
fn rows(bytes: &[u8], head: usize) -> Vec<f32> {
    bytes[head..].chunks_exact(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect()
}

fn paths(folder: &Path, out: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(format!("{out}.paths.txt"))).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn both_forms_hold_the_same_rows_whatever_the_threads() {
    let folder = trained();
    let read = |out: &str| fs::read(folder.path().join(out)).unwrap();
    succeed(&mut embed(folder.path(), &["faces"], "a.npy", &["--batch-size", "4"]));
    let npy = read("a.npy");
    assert!(npy.starts_with(b"\x93NUMPY\x01\x00") && npy.len() == 128 + 4 * 15 * 128);
    assert!(String::from_utf8_lossy(&npy[..128]).contains("'shape': (15, 128)"));
    let listed = paths(folder.path(), "a.npy");
    assert_eq!((listed.len(), listed[0].as_str()), (15, "faces/procedural_000100/procedural_000100_0001.png"));
    assert!(listed.is_sorted());
    for (workers, threads) in [("0", "1"), ("3", "2")] {
        let out = format!("{workers}.npy");
        let mut command = embed(folder.path(), &["faces"], &out, &["--batch-size", "4", "--workers", workers]);
        succeed(command.env("RAYON_NUM_THREADS", threads));
        assert_eq!(read(&out), npy);
    }
    let singles: Vec<&str> = listed.iter().map(String::as_str).collect();
    succeed(&mut embed(folder.path(), &singles, "a.safetensors", &["--batch-size", "4"]));
    let (tensors, metadata) = arcface_core::checkpoint::load_tensors(&folder.path().join("a.safetensors")).unwrap();
    assert_eq!(tensors["embeddings"].dims(), [15, 128]);
    let values: Vec<f32> = tensors["embeddings"].flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(values, rows(&npy, 128));
    assert_eq!((metadata["length"].as_str(), metadata["mirror"].as_str()), ("raw", "false"));
    assert_eq!(paths(folder.path(), "a.safetensors"), listed);
}

/// The distances of rows are those that `eval` makes its figures of.
#[test]
fn figures_of_the_rows_are_those_of_eval() {
    let folder = trained();
    let draw = ["data", "pairs", "faces", "--out", "pairs.csv", "--count", "20", "--folds", "2"];
    succeed(xtask(folder.path()).args(draw));
    for mirror in ["--mirror", "--length=unit"] {
        let out = format!("{mirror}.npy");
        succeed(&mut embed(folder.path(), &["faces"], &format!("./{out}"), &[mirror]));
        let values = rows(&fs::read(folder.path().join(&out)).unwrap(), 128);
        let embeddings = Embeddings::normalised(&values, 128).unwrap();
        assert!(
            (0..15).all(|row| embeddings.row(row).iter().zip(&values[128 * row..]).all(|(a, b)| (a - b).abs() < 1e-6))
        );
        let listed = paths(folder.path(), &out);
        let list = PairList::read(&folder.path().join("pairs.csv")).unwrap();
        let place = |key: &str| listed.iter().position(|path| path.contains(&format!("faces/{key}"))).unwrap();
        let pairs: Vec<_> = list.pairs.iter().map(|pair| (place(&pair.a), place(&pair.b))).collect();
        let distances = embeddings.squared_distances(&pairs).unwrap();
        let figures = verify_folds(&distances, &list.same(), &list.folds()).unwrap();
        let mut eval = xtask(folder.path());
        eval.args(["eval", "runs/one", "--images", "faces", "--pairs", "pairs.csv", "--json"]);
        eval.arg(if mirror == "--mirror" { "--mirror" } else { "--mirror=false" });
        let document: Value = serde_json::from_slice(&succeed(&mut eval).stdout).unwrap();
        for (name, figure) in [("accuracy", figures.accuracy), ("threshold", figures.threshold), ("auc", figures.auc)] {
            assert!(
                (document[name].as_f64().unwrap() - figure).abs() < 1e-9,
                "{name}: {} and {figure}",
                document[name]
            );
        }
    }
}

#[test]
fn what_was_stopped_goes_on_to_the_same_bytes() {
    let folder = trained();
    let small = ["--batch-size", "4"];
    succeed(&mut embed(folder.path(), &["faces"], "whole.npy", &small));
    // The tenth image stops the first attempt in the third batch.
    let victim = folder.path().join(&paths(folder.path(), "whole.npy")[9]);
    let bytes = fs::read(&victim).unwrap();
    fs::write(&victim, "no image").unwrap();
    assert_snapshot!(fail(&mut embed(folder.path(), &["faces"], "part.npy", &small)), @"error: faces/procedural_000103/procedural_000103_0001.png: expected a JPEG or PNG image, the file begins with [6e, 6f, 20, 69]");
    assert!(!folder.path().join("part.npy").exists() && folder.path().join("part.npy.partial").is_file());
    let other = [&small[..], &["--mirror"]].concat();
    assert_snapshot!(fail(&mut embed(folder.path(), &["faces"], "part.npy", &other)), @"error: part.npy.partial.log: begun with other length, mirror; remove it and begin anew, or choose another --out");
    assert_snapshot!(fail(&mut embed(folder.path(), &["faces/procedural_000101"], "part.npy", &small)), @"error: part.npy.partial.log: begun with other images; remove it and begin anew, or choose another --out");
    fs::write(&victim, bytes).unwrap();
    succeed(&mut embed(folder.path(), &["faces"], "part.npy", &small));
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("part.npy"), read("whole.npy"));
    assert_eq!(read("part.npy.paths.txt"), read("whole.npy.paths.txt"));
    let left = fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("partial"));
    assert_eq!(left.count(), 0);
}

#[test]
fn images_that_cannot_be_used_are_skipped_and_listed() {
    let folder = trained();
    succeed(&mut embed(folder.path(), &["faces"], "whole.npy", &["--batch-size", "4"]));
    let listed = paths(folder.path(), "whole.npy");
    for place in [3, 4, 14] {
        fs::write(folder.path().join(&listed[place]), "no image").unwrap();
    }
    let output =
        succeed(&mut embed(folder.path(), &["faces"], "some.npy", &["--batch-size", "4", "--on-corrupt", "skip"]));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let skipped: Vec<_> = words.lines().filter(|line| line.starts_with("skipped: ")).collect();
    assert_eq!(skipped.len(), 3, "{words}");
    assert!(skipped.iter().zip([3, 4, 14]).all(|(line, place)| line.contains(&listed[place])), "{words}");
    let keep = |place: &usize| ![3, 4, 14].contains(place);
    let [whole, some] = ["whole.npy", "some.npy"].map(|out| rows(&fs::read(folder.path().join(out)).unwrap(), 128));
    let expected: Vec<f32> = (0..15).filter(keep).flat_map(|row| whole[128 * row..128 * (row + 1)].to_vec()).collect();
    assert_eq!(some, expected);
    let expected: Vec<String> = (0..15).filter(keep).map(|place| listed[place].clone()).collect();
    assert_eq!(paths(folder.path(), "some.npy"), expected);
}

#[test]
fn complaints() {
    let folder = trained();
    let words = |images: &[&str], out: &str, more: &[&str]| fail(&mut embed(folder.path(), images, out, more));
    assert_snapshot!(words(&["faces"], "a.txt", &[]), @"error: --out a.txt: expected a name that ends in .npy or .safetensors");
    assert_snapshot!(words(&["nowhere"], "a.npy", &[]), @"error: nowhere: no such file or folder; check the path");
    assert_snapshot!(words(&["runs"], "a.npy", &[]), @"error: runs: expected images (.jpg, .jpeg, .png), found none");
    assert_snapshot!(words(&["faces"], "a.npy", &["--batch-size", "0"]), @"error: --batch-size: expected at least 1, got 0");
    assert_snapshot!(words(&["faces"], "nowhere/a.npy", &[]), @"error: nowhere/a.npy.partial.log: No such file or directory (os error 2); nothing was overwritten");
    fs::write(folder.path().join("old.npy"), "mine").unwrap();
    assert_snapshot!(words(&["faces"], "old.npy", &[]), @"error: old.npy: expected a new file, found one; choose another name");
    succeed(xtask(folder.path()).args([
        "data",
        "generate",
        "large",
        "--identities",
        "1",
        "--images-per-identity",
        "1",
    ]));
    assert_snapshot!(words(&["large"], "a.npy", &[]), @"error: large/procedural_000000/procedural_000000_0001.png: expected an image of 32×32 pixels, got 112×112; align the photographs first: cargo xtask data align IMAGES LANDMARKS.csv --out DIR --size 32");
}
