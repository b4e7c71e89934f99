//! `purify`: a tiny run with planted noise, what it leaves, and what it says to what cannot be purified.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use arcface_core::checkpoint::load_tensors;
use arcface_data::{RecordSource, Source, image};
use insta::assert_snapshot;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::tiny::{data, fail, json, resume, succeed, train, xtask};

/// Ten identities of six images, a third of them noisy.
const NOISY: [&str; 6] = [
    "loss.name=subcenter_arcface",
    "data.noise.closed=0.2",
    "data.noise.open=0.2",
    "eval.baselines=false",
    "eval.every=end",
    "eval.batch_size=7",
];

fn trained(set: &[&str]) -> TempDir {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &[&NOISY[..], set].concat()));
    folder
}

fn purify(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = xtask(folder);
    command.args(["purify", "runs/one"]).args(arguments);
    command
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn a_run_tells_what_was_planted() {
    let folder = trained(&["train.epochs=1"]);
    let truth = rows(&folder.path().join("runs/one/noise.csv"));
    assert_eq!(truth.len(), 60);
    for (index, row) in truth.iter().enumerate() {
        let [image, label, identity, truth, shown] = &row[..] else { panic!("{row:?}") };
        assert_eq!(*image, index.to_string());
        assert!(label.parse::<usize>().unwrap() < 10);
        // Fourteen identities are drawn for the set; strangers come behind them.
        let number = |name: &str| name.strip_prefix("procedural_").unwrap().parse::<usize>().unwrap();
        assert!(number(identity) < 14);
        match truth.as_str() {
            "clean" => assert_eq!(identity, shown),
            "closed" => assert!(identity != shown && number(shown) < 14),
            "open" => assert!(14 <= number(shown)),
            other => panic!("{other}"),
        }
    }
    assert!(["clean", "closed", "open"].iter().all(|kind| truth.iter().any(|row| row[3] == *kind)));
    let provenance = json(folder.path().join("runs/one/run.json"));
    assert_eq!((&provenance["data"]["images"], &provenance["data"]["identities"]), (&60.into(), &10.into()));
}

#[test]
fn a_report_leaves_everything_else_as_it_was() {
    let folder = trained(&[]);
    let before = contents(folder.path());
    let output = succeed(&mut purify(folder.path(), &["--on-empty", "skip", "--json"]));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = folder.path().join("runs/one/purify-75");
    assert_eq!(document, json(report.join("purify.json")));
    let count = |key: &str| document[key]["images"].as_u64().unwrap() as usize;
    assert_eq!((count("kept") + count("dropped"), count("dominant") + count("non_dominant")), (60, 60));
    let groups = ["dominant_clean", "dominant_noisy", "non_dominant_clean", "non_dominant_noisy"];
    let of_groups: u64 = groups.iter().map(|key| document["truth"][key]["images"].as_u64().unwrap()).sum();
    assert_eq!(of_groups, 60);
    agrees_with_lists(&document, folder.path(), &report);
    for plot in ["angles-dominant.svg", "angles-other.svg"] {
        assert!(fs::read_to_string(report.join(plot)).unwrap().contains("noisy"), "{plot}");
    }
    image::decode(&fs::read(report.join("dropped.png")).unwrap()).unwrap();
    let page = fs::read_to_string(report.join("report.html")).unwrap();
    for words in ["one purified", "precision of the drop", "data:image/jpeg;base64,", "Angles to the dominant"] {
        assert!(page.contains(words), "{words}");
    }
    let after = contents(folder.path());
    let new = |name: &String| name.contains("purify-75") || name.contains("angles.safetensors");
    assert!(before.iter().all(|(name, bytes)| after.get(name) == Some(bytes)));
    assert!(after.keys().filter(|name| !before.contains_key(*name)).all(new));
}

/// Lists, truth and figures say the same.
fn agrees_with_lists(document: &Value, folder: &Path, report: &Path) {
    let truth = rows(&folder.join("runs/one/noise.csv"));
    let is_noisy = |row: &Vec<String>| truth[row[0].parse::<usize>().unwrap()][3] != "clean";
    let [kept, dropped] = ["kept.csv", "dropped.csv"].map(|list| rows(&report.join(list)));
    assert_eq!(kept.len() + dropped.len(), 60);
    let angle = |row: &Vec<String>| row[3].parse::<f64>().unwrap();
    assert!(kept.iter().all(|row| angle(row) <= 75.0) && dropped.iter().all(|row| 75.0 <= angle(row)));
    assert!(dropped.iter().all(|row| row[1].is_empty()));
    let noisy_dropped = dropped.iter().filter(|row| is_noisy(row)).count() as f64;
    let noisy = truth.iter().filter(|row| row[3] != "clean").count() as f64;
    assert_eq!(document["truth"]["recall"].as_f64(), Some(noisy_dropped / noisy));
    assert_eq!(document["truth"]["precision"].as_f64(), Some(noisy_dropped / dropped.len() as f64));
    let (tensors, _) = load_tensors(&report.join("centers.safetensors")).unwrap();
    assert_eq!(tensors["centers"].dims()[0] as u64, document["identities_kept"].as_u64().unwrap());
}

/// Every file of a folder.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn the_cleaned_set_is_written_and_trained_on() {
    let folder = trained(&[]);
    let arguments = ["--angle", "120", "--out", "clean", "--retrain", "--on-empty", "skip", "--json"];
    let output = succeed(&mut purify(folder.path(), &arguments));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kept = rows(&folder.path().join("clean/kept.csv"));
    let records = RecordSource::open(folder.path().join("clean/train.rec")).unwrap();
    assert_eq!(
        (records.len(), records.num_identities() as u64),
        (kept.len(), document["identities_kept"].as_u64().unwrap())
    );
    let mut labels: Vec<u32> = kept.iter().map(|row| row[1].parse().unwrap()).collect();
    labels.sort_unstable();
    assert_eq!((0..records.len()).map(|index| records.label(index)).collect::<Vec<_>>(), labels);
    assert_eq!(document["retrained"]["images"].as_u64(), Some(kept.len() as u64));
    assert_eq!(document["retrained"], json(folder.path().join("runs/one-purified-120/summary.json")));
    let config = fs::read_to_string(folder.path().join("runs/one-purified-120/config.toml")).unwrap();
    assert!(config.contains("sub_centers = 1\n") && config.contains("keep = \"clean/kept.csv\""), "{config}");
    let truth = rows(&folder.path().join("runs/one-purified-120/noise.csv"));
    assert_eq!(truth.len(), kept.len());
    let again = fail(&mut purify(folder.path(), &["--angle", "120", "--retrain"]));
    assert_snapshot!(again, @"error: runs/one-purified-120: this run exists; choose another name, or go on with it: cargo xtask train --resume --name one-purified-120");
    assert_snapshot!(fail(&mut purify(folder.path(), &["--out", "clean"])), @"error: --out clean: expected a new or empty folder; choose another name");
    assert_snapshot!(fail(xtask(folder.path()).args(["purify", "runs/one-purified-120"])), @"error: runs/one-purified-120: loss.sub_centers = 1: there is nothing to tell noise by; train with sub-centers: --set loss.sub_centers=3");
}

/// Files are copied as they are encoded, and the angles are measured once.
#[test]
fn photographs_keep_their_bytes_and_angles_are_kept() {
    let folder = tempdir().unwrap();
    let size = ["--identities", "10", "--images-per-identity", "6", "--size", "32", "--jpeg", "90"];
    succeed(data(folder.path(), &["generate", "faces"]).args(size));
    let set = ["data.source=folder", "data.path=faces", "data.holdout=0", "loss.sub_centers=2", "eval.baselines=false"];
    succeed(&mut train(folder.path(), "one", &set));
    let before = contents(&folder.path().join("faces"));
    let quiet = ["--on-empty", "skip", "--out", "wide", "--angle", "179"];
    let words = String::from_utf8(succeed(&mut purify(folder.path(), &quiet)).stdout).unwrap();
    assert_snapshot!(words.lines().next().unwrap(), @"images                  60 of 10 identities, 2 sub-centers each");
    assert!(!words.contains("precision"), "{words}");
    let measured = fs::metadata(folder.path().join("runs/one/angles.safetensors")).unwrap().modified().unwrap();
    let records = RecordSource::open(folder.path().join("wide/train.rec")).unwrap();
    let written: Vec<Vec<u8>> =
        (0..records.len()).map(|index| records.encoded(index).unwrap().unwrap().into_owned()).collect();
    assert_eq!(written, before.values().cloned().collect::<Vec<_>>());
    // Whatever the angle, a stop, or stale files.
    fs::write(folder.path().join("runs/one/angles.safetensors.partial.log"), "another key\n").unwrap();
    succeed(&mut purify(folder.path(), &["--on-empty", "skip", "--angle", "90"]));
    let again = fs::metadata(folder.path().join("runs/one/angles.safetensors")).unwrap().modified().unwrap();
    assert_eq!(measured, again);
    let angles = fs::read(folder.path().join("runs/one/angles.safetensors")).unwrap();
    fs::write(folder.path().join("runs/one/angles.safetensors"), "torn").unwrap();
    succeed(&mut purify(folder.path(), &["--on-empty", "skip", "--angle", "90"]));
    assert_eq!(fs::read(folder.path().join("runs/one/angles.safetensors")).unwrap(), angles);
    assert_eq!(contents(&folder.path().join("faces")), before);
}

#[test]
fn what_cannot_be_purified() {
    let folder = trained(&["train.epochs=1"]);
    let words = |arguments: &[&str]| fail(&mut purify(folder.path(), arguments));
    assert_snapshot!(words(&["--angle", "0"]), @"error: --angle: angle: expected 0 < degrees <= 180, got 0");
    assert_snapshot!(words(&["--angle", "1"]), @"error: identity `procedural_000000` loses all of its 7 images beyond 1° (and 9 more identities lose theirs); raise --angle, or leave such identities out with --on-empty skip");
    assert_snapshot!(fail(xtask(folder.path()).args(["purify", "runs/two"])), @"error: runs/two: expected the folder of a run, with config.toml and run.json");
    succeed(&mut train(folder.path(), "two", &["train.epochs=1", "eval.baselines=false", "loss.name=softmax"]));
    assert_snapshot!(fail(xtask(folder.path()).args(["purify", "runs/two"])), @r#"error: runs/two: loss.name = "softmax" has no sub-centers; train with others: --set loss.name=subcenter_arcface"#);
    let summary = folder.path().join("runs/one/summary.json");
    let text = fs::read_to_string(&summary).unwrap();
    fs::remove_file(&summary).unwrap();
    assert_snapshot!(words(&[]), @"error: runs/one: the run is not finished; go on with it: cargo xtask train --resume --name one --runs runs");
    fs::write(&summary, text.replace("\"steps\": 6", "\"steps\": 3")).unwrap();
    assert_snapshot!(words(&[]), @"error: runs/one: the run is not finished; go on with it: cargo xtask train --resume --name one --runs runs");
}

/// Numbers of sixteen hexadecimal digits as `…`.
fn without_digests(words: &str) -> String {
    let is_digest = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pieces = words.split_inclusive([' ', '(', ')']);
    let shown = |piece: &str| match piece.trim_end_matches([' ', '(', ')']) {
        word if is_digest(word) => piece.replace(word, "…"),
        _ => piece.to_owned(),
    };
    pieces.map(shown).collect()
}

#[test]
fn a_data_set_that_changed_is_refused() {
    let folder = tempdir().unwrap();
    let size = ["--identities", "10", "--images-per-identity", "6", "--size", "32"];
    succeed(data(folder.path(), &["generate", "faces"]).args(size));
    let set = ["data.source=folder", "data.path=faces", "data.holdout=0", "loss.sub_centers=2", "eval.baselines=false"];
    succeed(&mut train(folder.path(), "one", &[&set[..], &["train.epochs=1"]].concat()));
    succeed(&mut purify(folder.path(), &["--on-empty", "skip"]));
    let face = folder.path().join("faces/procedural_000004/procedural_000004_0002.png");
    fs::rename(&face, face.with_file_name("renamed.png")).unwrap();
    let words = || without_digests(&fail(&mut purify(folder.path(), &["--on-empty", "skip"])));
    assert_snapshot!(words(), @"error: runs/one: the data set has changed since the run: expected 60 images of 10 identities (digest …), found 60 of 10 (…); bring it back, or train again");
    fs::remove_file(face.with_file_name("renamed.png")).unwrap();
    assert_snapshot!(words(), @"error: runs/one: the data set has changed since the run: expected 60 images of 10 identities (digest …), found 59 of 10 (…); bring it back, or train again");
    // The list of what was kept is held to the data too.
    let keep = "data.keep=runs/one/purify-75/kept.csv";
    let train_on = |keep: &str| fail(&mut train(folder.path(), "two", &[&set[..], &[keep]].concat()));
    let list = folder.path().join("runs/one/purify-75/kept.csv");
    let header = "image,label,old_label,angle,path\n";
    fs::write(&list, format!("{header}58,0,9,20.00,x\n59,0,9,20.00,x\n")).unwrap();
    assert_snapshot!(train_on(keep), @"error: data.keep: runs/one/purify-75/kept.csv: line 3: image 59: expected fewer than the 59 there are; the data set has changed since the list was written; purify again");
    fs::write(&list, format!("{header}0,0,3,20.00,x\n")).unwrap();
    assert_snapshot!(train_on(keep), @"error: data.keep: runs/one/purify-75/kept.csv: line 2: image 0: expected label 3, it has 0; the data set has changed since the list was written; purify again");
    fs::write(&list, format!("{header}0,0,0,20.00,x\n0,0,0,20.00,x\n")).unwrap();
    assert_snapshot!(train_on(keep), @"error: data.keep: runs/one/purify-75/kept.csv: line 3: expected images in rising order, each once");
    fs::write(&list, format!("{header}6,1,1,20.00,x\n")).unwrap();
    assert_snapshot!(train_on(keep), @"error: data.keep: runs/one/purify-75/kept.csv: line 2: label: expected 0, as the list leaves identities, got 1");
    fs::write(&list, format!("{header}one\n")).unwrap();
    assert_snapshot!(train_on(keep), @"error: data.keep: runs/one/purify-75/kept.csv: line 2: expected image,label,old_label,angle,path, got `one`");
    fs::write(&list, header).unwrap();
    assert_snapshot!(train_on(keep), @"error: data.keep: runs/one/purify-75/kept.csv: expected at least one image, found none");
    fs::write(&list, "a,b\n").unwrap();
    assert_snapshot!(train_on(keep), @"error: data.keep: runs/one/purify-75/kept.csv: expected the first line `image,label,old_label,angle,path`, got `a,b`; `cargo xtask purify` writes such lists");
    assert_snapshot!(train_on("data.keep=nowhere.csv"), @"error: data.keep: nowhere.csv: No such file or directory (os error 2)");
}

#[test]
fn noise_that_cannot_be_planted() {
    let folder = tempdir().unwrap();
    let size = ["--identities", "8", "--images-per-identity", "2", "--size", "32"];
    succeed(data(folder.path(), &["generate", "faces"]).args(size));
    let on_faces = ["data.source=folder", "data.path=faces", "data.holdout=0", "train.batch_size=4", "train.epochs=1"];
    let words = |set: &[&str]| fail(&mut train(folder.path(), "two", &[&on_faces[..], set].concat()));
    assert_snapshot!(words(&["data.noise.closed=1.5"]), @"error: --set: data.noise: noise `closed` and `open`: expected shares of the images, both 0 or more and at most 1 together, got 1.5 and 0");
    assert_snapshot!(words(&["data.noise.open=0.5"]), @"error: --set: data.noise.strangers: expected how many identities to hold out as strangers, or the path of a set of other people's faces, for data.noise.open = 0.5");
    assert_snapshot!(words(&["data.noise.open=0.5", "data.noise.strangers=0"]), @"error: --set: data.noise.strangers: expected a number of identities from 1 or the path of a data set, got `0`");
    assert_snapshot!(words(&["data.noise.open=0.5", "data.noise.strangers=8"]), @"error: data.noise.strangers: holdout: expected fewer than the 8 identities there are, got 8");
    assert_snapshot!(words(&["data.noise.open=0.5", "data.noise.strangers=nowhere"]), @"error: data.noise.strangers: nowhere: no such folder; check the path");
    assert_snapshot!(words(&["data.noise.open=0.5", "data.noise.strangers=faces"]), @"error: data.noise: strangers: expected faces of people who are not in the data set, got `procedural_000000`");
    // Two identities are held out of the eight, and no other file is opened for strangers.
    let set = ["data.noise.open=0.5", "data.noise.strangers=2"];
    succeed(&mut train(folder.path(), "two", &[&on_faces[..], &set].concat()));
    assert_eq!(json(folder.path().join("runs/two/run.json"))["data"]["identities"], 6);
}

#[test]
fn a_run_of_an_older_version_is_purified_on_trust() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["loss.sub_centers=2", "train.epochs=1", "eval.baselines=false"]));
    let config = folder.path().join("runs/one/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (before, after) = text.split_once("[data.noise]").unwrap();
    fs::write(&config, format!("{before}{}", &after[after.find("\n[").unwrap()..])).unwrap();
    let provenance = folder.path().join("runs/one/run.json");
    let mut document = json(provenance.clone());
    document.as_object_mut().unwrap().remove("data");
    fs::write(&provenance, document.to_string()).unwrap();
    succeed(&mut resume(folder.path(), "one", &["train.epochs=2"]));
    let output = succeed(&mut purify(folder.path(), &["--on-empty", "skip"]));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.starts_with("runs/one: run.json does not tell what the data set was"), "{words}");
}
