//! `synth`: faces made from a tiny network, stopped and gone on with, and what is said where there is nothing to make.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use arcface_core::candle::{Device, Tensor};
use arcface_data::image;
use insta::assert_snapshot;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::tiny::{fail, json, succeed, train, xtask};

/// A run of one epoch on ten identities, and two others with three faces each in `faces`.
fn trained() -> TempDir {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    let sizes = ["--identities", "2", "--images-per-identity", "3", "--size", "32", "--first-identity", "100"];
    succeed(xtask(folder.path()).args(["data", "generate", "faces"]).args(sizes));
    folder
}

fn synth(folder: &Path, net: &str, arguments: &[&str]) -> Command {
    let mut command = xtask(folder);
    command.args(["synth", net]).args(arguments);
    command
}

/// What a command that must succeed prints.
fn document(command: &mut Command) -> Value {
    serde_json::from_slice(&succeed(command.arg("--json")).stdout).unwrap()
}

/// The embeddings (N, 128) of a `.npy` of ours.
fn rows(path: &Path) -> Vec<Vec<f32>> {
    Tensor::read_npy(path).unwrap().to_vec2().unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Files below a folder that do not tell times.
fn pictures(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() {
            all.extend(pictures(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else if name != "summary.json" && !name.starts_with("batch-") {
            all.insert(name, fs::read(path).unwrap());
        }
    }
    all
}

#[test]
fn faces_are_made_from_faces_and_judged_as_they_are_written() {
    let folder = trained();
    let at = |name: &str| folder.path().join(name);
    let arguments =
        ["--images", "faces", "--count", "4", "--set", "steps=10", "--beginnings", "3", "--animation", "--frames", "3"];
    let arguments = [&arguments[..], &["--out", "out"]].concat();
    let summary = document(&mut synth(folder.path(), "runs/one", &arguments));
    assert_eq!(summary, json(at("out/summary.json")));
    assert_eq!((summary["objective"].as_str(), summary["steps"].as_u64()), (Some("euclidean"), Some(10)));
    for (images, out) in [("out/images", "made.npy"), ("faces", "faces.npy")] {
        succeed(xtask(folder.path()).args(["embed", "runs/one", "--images", images, "--out", out]));
    }
    let (faces, made, kept) = (rows(&at("faces.npy")), rows(&at("made.npy")), rows(&at("out/embeddings.npy")));
    assert_eq!(made, kept);
    let images = summary["images"].as_array().unwrap();
    assert_eq!((images.len(), made.len()), (4, 4));
    for (number, image) in images.iter().enumerate() {
        let expected = cosine(&made[number], &faces[number]);
        assert!((image["cosine"].as_f64().unwrap() - expected).abs() < 1e-6, "{image} {expected}");
        assert!(image["recognised"].is_null() && image["nearest_training_image"].is_null());
        assert!(image["target"]["image"].as_str().unwrap().starts_with("faces/procedural_00010"));
    }
    assert_eq!(images[0]["name"], "procedural_000100_0001");
    let sheet = image::read(&at("out/sheet.png")).unwrap();
    // Four pairs of 32 pixels, with two lines of text and gaps of six pixels.
    assert_eq!((sheet.width, sheet.height), (6 + 4 * (64 + 6), 6 + 32 + 18 + 6));
    let frames: Vec<String> = pictures(&at("out")).into_keys().filter(|name| name.starts_with("frames/")).collect();
    assert_eq!(frames, ["frames/step-000010.png", "frames/step-000020.png", "frames/step-000030.png"]);
    assert_eq!(image::read(&at("out/animation.png")).unwrap(), image::read(&at("out").join(&frames[0])).unwrap());
    // The same command finds all of it done; another seed makes others.
    let before = pictures(&at("out"));
    assert_eq!(document(&mut synth(folder.path(), "runs/one", &arguments)), summary);
    assert_eq!(pictures(&at("out")), before);
    let other = [&arguments[..11], &["--out", "other", "--seed", "1"]].concat();
    succeed(&mut synth(folder.path(), "runs/one", &other));
    assert!(pictures(&at("other")).iter().all(|(name, bytes)| before[name] != *bytes));
}

/// Other noise for the same people, beside what there is in `people` as `judged` there.
fn compared(folder: &Path, work: &[&str], judged: &Value) {
    let arguments = [work, &["--out", "others", "--seed", "1", "--against", "people"]].concat();
    let summary = document(&mut synth(folder, "runs/one", &arguments));
    assert_eq!(summary["against"], "people");
    let value = |figure: &Value| figure["value"].as_f64().unwrap();
    for judge in summary["judges"].as_array().unwrap() {
        let against = &judge["against"];
        assert_eq!((&against["cosine"], &against["made"]), (&judged["cosine"], &judged["made"]));
        let gain = value(&judge["cosine"]) - value(&judged["cosine"]);
        assert!(1e-9 < gain.abs() && (value(&against["cosine_gain"]) - gain).abs() < 1e-9, "{against}, {gain}");
        let gain = value(&judge["made"]["verified"]) - value(&judged["made"]["verified"]);
        assert!((value(&against["verified_gain"]) - gain).abs() < 1e-9, "{against}, {gain}");
    }
    let words = |arguments: &[&str]| fail(&mut synth(folder, "runs/one", arguments));
    let fewer = ["--held-out", "--count", "2", "--against", "people", "--out", "fewer"];
    assert_snapshot!(words(&fewer), @"error: --against: people: expected images of the same targets by the same network, found those of others; make it by this command with another --out and without --against");
    assert_snapshot!(words(&["--images", "faces", "--against", "faces"]), @"error: --against: faces: expected a folder that `synth` has made, found no begun.json in it");
    assert!(!folder.join("fewer").exists() && !folder.join("synth").exists());
}

/// The judge is the network itself, so that both must say the same.
#[test]
fn networks_judge_whether_faces_pass_for_people() {
    let folder = trained();
    let weights = "runs/one/weights.safetensors";
    let work = ["--held-out", "--count", "3", "--set", "steps=20", "--beginnings", "1", "--judge", weights];
    let arguments = [&work[..], &["--out", "people"]].concat();
    let summary = document(&mut synth(folder.path(), "runs/one", &arguments));
    let judges = summary["judges"].as_array().unwrap();
    assert_eq!((judges.len(), &judges[0]["made"], &judges[0]["cosine"]), (2, &judges[1]["made"], &judges[1]["cosine"]));
    let value = |figure: &Value| figure["value"].as_f64().unwrap();
    let images = summary["images"].as_array().unwrap();
    let mean = images.iter().map(|image| image["cosine"].as_f64().unwrap()).sum::<f64>() / images.len() as f64;
    assert!((value(&judges[0]["cosine"]) - mean).abs() < 1e-6, "{judges:?}, {mean}");
    for who in ["made", "real"] {
        let (passing, people) = (&judges[0][who], images.len() as f64);
        let accepted = value(&passing["verified"]) * people;
        assert!((accepted - accepted.round()).abs() < 1e-9 && passing["false_accepts"].as_f64().unwrap() <= 1.0);
        assert!(passing["verified"]["interval"]["low"].as_f64().unwrap() <= value(&passing["verified"]));
    }
    // Too few for a covariance of 128 dimensions.
    assert!(judges[0]["frechet"].is_null() && judges[0]["against"].is_null());
    compared(folder.path(), &work, &judges[0]);
    // The same faces as files, with the pairs as a list.
    let pairs = ["data", "pairs", "faces", "--count", "6", "--folds", "1", "--out", "pairs.csv"];
    succeed(xtask(folder.path()).args(pairs));
    let listed = ["--images", "faces", "--pairs", "pairs.csv", "--set", "steps=2", "--out", "listed"];
    let output = succeed(&mut synth(folder.path(), weights, &listed));
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(words.contains("verified by it") && words.contains("taken for others"), "{words}");
    assert_eq!(json(folder.path().join("listed/summary.json"))["images"].as_array().unwrap().len(), 2);
}

#[test]
fn classes_are_made_by_the_loss_of_the_run() {
    let folder = trained();
    let of = |net: &str, arguments: &[&str]| document(&mut synth(folder.path(), net, arguments));
    // After one epoch the statistics of the batch norms are not yet those of faces.
    let alone =
        |more: &[&'static str]| [&["--classes", "7,0-1", "--without-prior", "--beginnings", "1"], more].concat();
    let short = of("runs/one", &alone(&["--set", "steps=1", "--out", "short"]));
    let long = of("runs/one", &alone(&["--set", "steps=80"]));
    let loss = |summary: &Value| summary["batches"][0]["losses"]["objective"].as_f64().unwrap();
    assert!(loss(&long) < 0.8 * loss(&short), "{} {}", loss(&long), loss(&short));
    assert_eq!((long["objective"].as_str(), long["folder"].as_str()), (Some("arcface"), Some("synth/one")));
    let images = long["images"].as_array().unwrap();
    assert_eq!(images.iter().map(|image| &image["target"]["class"]).collect::<Vec<_>>(), [7, 0, 1]);
    for image in images {
        let [own, best] = [&image["cosine"], &image["recognised"]["cosine"]].map(|cosine| cosine.as_f64().unwrap());
        assert!(own <= best);
        assert_eq!(image["is_right"], image["recognised"]["class"] == image["target"]["class"]);
        let nearest = &image["nearest_training_image"];
        assert_eq!(nearest["identity"], format!("procedural_{:06}", nearest_identity(nearest)));
        assert!(nearest["cosine"].as_f64().unwrap() <= 1.0);
    }
    assert!(folder.path().join("runs/one/embeddings-train.safetensors").is_file());
    assert!(folder.path().join("synth/one/images/class-7.png").is_file());
    let checkpoint = "runs/one/checkpoints/step-00000006";
    let several = of(checkpoint, &["--classes", "7", "--per-class", "2", "--set", "steps=2", "--out", "several"]);
    let names: Vec<&Value> = several["images"].as_array().unwrap().iter().map(|image| &image["name"]).collect();
    assert_eq!(names, ["class-7-1", "class-7-2"]);
    // Without the training set there is no nearest image, and the reason is said.
    let provenance = folder.path().join("runs/one/run.json");
    let text = fs::read_to_string(&provenance).unwrap();
    fs::write(&provenance, text.replace("\"identities\": 10", "\"identities\": 11")).unwrap();
    let output =
        succeed(&mut synth(folder.path(), "runs/one", &["--classes", "7", "--set", "steps=2", "--out", "lost"]));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(
        words.contains("nearest training images are not looked for: runs/one: the data set has changed"),
        "{words}"
    );
    assert_snapshot!(String::from_utf8(output.stdout).unwrap().lines().next().unwrap(), @"images                  1 in lost");
    assert!(json(folder.path().join("lost/summary.json"))["images"][0]["nearest_training_image"].is_null());
}

/// The number in the path of a drawn training image.
fn nearest_identity(nearest: &Value) -> u64 {
    let name = nearest["identity"].as_str().unwrap();
    name.strip_prefix("procedural_").unwrap().parse().unwrap()
}

/// By the cosines that the network itself gives them, from the same noise first.
#[test]
fn of_several_beginnings_the_best_is_kept() {
    let folder = trained();
    let made = |beginnings: &str| {
        let work = ["--images", "faces", "--count", "5", "--set", "steps=8", "--beginnings", beginnings];
        let out = folder.path().join(beginnings);
        let summary = document(&mut synth(folder.path(), "runs/one", &[&work[..], &["--out", beginnings]].concat()));
        assert_eq!(summary["beginnings"].to_string(), beginnings);
        let cosines: Vec<f64> = serde_json::from_value(json(out.join("batch-0.json"))["cosines"].clone()).unwrap();
        (cosines, pictures(&out.join("images")).into_values().collect::<Vec<_>>())
    };
    let ((cosines, images), (best, best_images)) = (made("1"), made("4"));
    for (place, (cosine, best)) in cosines.iter().zip(&best).enumerate() {
        assert!(cosine <= best, "{cosines:?} {best}");
        assert_eq!(cosine < best, images[place] != best_images[place]);
    }
    assert!(cosines.iter().zip(&best).any(|(cosine, best)| cosine < best), "{cosines:?}");
}

/// Wherever it was stopped and however many threads there are.
#[test]
fn stopped_and_gone_on_with_is_as_never_stopped() {
    let folder = trained();
    let arguments = |out: &'static str| {
        let work = ["--images", "faces", "--count", "5", "--batch-size", "3", "--set", "steps=200", "--frames", "100"];
        [&work[..], &["--beginnings", "2", "--out", out]].concat()
    };
    succeed(synth(folder.path(), "runs/one", &arguments("whole")).env("RAYON_NUM_THREADS", "1"));
    let at = |name: &str| folder.path().join(name);
    for frame in ["part/frames/batch-0-step-000040.png", "part/frames/batch-1-step-000240.png"] {
        let mut child = synth(folder.path(), "runs/one", &arguments("part"))
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while !at(frame).is_file() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        succeed(Command::new("kill").args(["-INT", &child.id().to_string()]));
        let output = child.wait_with_output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "stopped too late: {words}");
        assert!(words.contains("the same command goes on from there"), "{words}");
        assert!(!at("part/embeddings.npy").exists());
    }
    let states = ["0-0", "0-1", "1-0", "1-1"].map(|state| at(&format!("part/state-{state}.safetensors")).is_file());
    assert_eq!(states, [false, false, false, true]);
    let other = [&arguments("part")[..], &["--seed", "1"]].concat();
    assert_snapshot!(fail(&mut synth(folder.path(), "runs/one", &other)), @"error: part/begun.json: begun with seed 0, and would go on with 1; choose another --out, or remove the folder");
    succeed(&mut synth(folder.path(), "runs/one", &arguments("part")));
    let (whole, part) = (pictures(&at("whole")), pictures(&at("part")));
    assert_eq!(whole.keys().collect::<Vec<_>>(), part.keys().collect::<Vec<_>>());
    assert!(whole.iter().all(|(name, bytes)| part[name] == *bytes));
    let [first, second] = [0, 3].map(|place| json(at("part/summary.json"))["images"][place]["batch"].as_u64());
    assert_eq!((first, second), (Some(0), Some(1)));
}

#[test]
fn embeddings_of_length_one_are_directions() {
    let folder = trained();
    let embed = ["embed", "runs/one", "--images", "faces", "--length", "unit", "--out", "unit.npy"];
    succeed(xtask(folder.path()).args(embed));
    let of = |arguments: &[&str]| {
        let work = ["--embeddings", "unit.npy", "--count", "2", "--set", "steps=2"];
        succeed(&mut synth(folder.path(), "runs/one/weights.safetensors", &[&work[..], arguments].concat()))
    };
    let words = String::from_utf8(of(&[]).stderr).unwrap();
    assert!(
        words.contains("unit.npy: embeddings of length 1 tell directions only: their cosine is aimed at"),
        "{words}"
    );
    let summary = json(folder.path().join("synth/one/summary.json"));
    assert_eq!((&summary["objective"], &summary["images"][1]["name"]), (&"cosine".into(), &"row-0001".into()));
    let words = String::from_utf8(of(&["--set", "distance=euclidean", "--out", "forced"]).stderr).unwrap();
    assert!(!words.contains("directions"), "{words}");
    assert_eq!(json(folder.path().join("forced/summary.json"))["objective"], "euclidean");
}

#[test]
fn what_cannot_be_made() {
    let folder = trained();
    let words = |net: &str, arguments: &[&str]| fail(&mut synth(folder.path(), net, arguments));
    assert_snapshot!(words("runs/one", &["--classes", "3,10"]), @"error: --classes 10: there is no class 10; there are 10, 0 to 9");
    assert_snapshot!(words("runs/one/weights.safetensors", &["--classes", "3"]), @"error: runs/one/weights.safetensors: --classes needs class centers, which stand in a run's folder or a checkpoint and not in weights alone; give one of these, or aim at faces with --images");
    assert_snapshot!(words("runs/one", &["--classes", "3", "--set", "distance=cosine"]), @"error: --set distance: a class is aimed at by the loss of its run; a distance goes with --images or --embeddings");
    assert_snapshot!(words("runs/one", &["--classes", "3", "--set", "flip=2"]), @"error: --set: flip: expected 0 <= flip <= 1, got 2");
    assert_snapshot!(words("runs/one", &["--images", "nowhere"]), @"error: nowhere: no such file or folder; check the path");
    fs::write(folder.path().join("torn.png"), "no image").unwrap();
    assert_snapshot!(words("runs/one", &["--images", "torn.png"]), @"error: torn.png: expected a JPEG or PNG image, the file begins with [6e, 6f, 20, 69]");
    image::write_png(&folder.path().join("large.png"), &image::Image::filled(48, 40, [9; 3])).unwrap();
    assert_snapshot!(words("runs/one", &["--images", "large.png"]), @"error: large.png: expected an image of 32×32 pixels, got 48×40; align the photographs first: cargo xtask data align IMAGES LANDMARKS.csv --out DIR --size 32");
    let write = |name: &str, rows: &[f32], size: usize| {
        let rows = Tensor::from_slice(rows, (rows.len() / size, size), &Device::Cpu).unwrap();
        rows.write_npy(folder.path().join(name)).unwrap();
    };
    write("narrow.npy", &[1.0; 64], 64);
    assert_snapshot!(words("runs/one", &["--embeddings", "narrow.npy"]), @"error: narrow.npy: expected (N, D) with N >= 1 and D = 128 as the network has, found (1, 64)");
    write("zero.npy", &[[1.0; 128], [0.0; 128]].concat(), 128);
    assert_snapshot!(words("runs/one", &["--embeddings", "zero.npy"]), @"error: zero.npy: row 1: expected an embedding of finite length above 0, got length 0");
    assert_snapshot!(words("runs/one", &["--images", "faces", "--out", "faces"]), @"error: --out faces: expected a new or empty folder, or one that the same command has begun, found other content; choose another name");
    fs::copy(folder.path().join("runs/one/weights.safetensors"), folder.path().join("bare.safetensors")).unwrap();
    assert_snapshot!(words("bare.safetensors", &["--held-out"]), @"error: bare.safetensors: --held-out goes with a run, whose own pairs it means; give --images and --pairs");
    assert_snapshot!(words("runs/one", &["--images", "faces", "torn.png", "--pairs", "pairs.csv"]), @"error: --pairs: expected one folder of faces with it, --images DIR, got 2");
    assert_snapshot!(words("runs/one", &["--images", "faces", "--judge", "nowhere"]), @"error: --judge: nowhere: No such file or directory (os error 2)");
    assert!(!folder.path().join("synth").exists());
}
