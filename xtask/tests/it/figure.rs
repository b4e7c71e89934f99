//! `figure`: what is drawn of tiny runs, the numbers beside it, and what it says to what cannot be drawn.

use std::fs;
use std::path::Path;
use std::process::Command;

use arcface_core::checkpoint::load_tensors;
use arcface_data::image;
use insta::assert_snapshot;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::tiny::{fail, json, succeed, train, xtask};

const QUICK: [&str; 3] = ["eval.baselines=false", "eval.every=end", "eval.batch_size=7"];

fn trained(set: &[&str]) -> TempDir {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &[&QUICK[..], set].concat()));
    folder
}

fn figure(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = xtask(folder);
    command.arg("figure").args(arguments);
    command
}

/// The numbers of a figure whose picture opens in both forms.
fn drawn(folder: &Path, name: &str) -> Value {
    let place = |ending: &str| folder.join("figures").join(format!("{name}.{ending}"));
    let svg = fs::read_to_string(place("svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
    let png = image::decode(&fs::read(place("png")).unwrap()).unwrap();
    assert!(400 < png.width && 200 < png.height && png.rgb.iter().any(|value| *value < 100), "{name}");
    json(place("json"))
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn target_logits_are_those_of_the_formulas() {
    let folder = tempdir().unwrap();
    succeed(&mut figure(folder.path(), &["logits"]));
    let numbers = drawn(folder.path(), "logits");
    let degrees = floats(&numbers["degrees"]);
    assert_eq!((degrees.len(), degrees[0], degrees[160]), (161, 20.0, 100.0));
    let curve = |name: &str| {
        let curves = numbers["curves"].as_array().unwrap();
        floats(&curves.iter().find(|curve| curve["name"] == name).unwrap()["logits"])
    };
    let check = |name: &str, logit: &dyn Fn(f64) -> f64| {
        for (logit_drawn, degrees) in curve(name).iter().zip(&degrees) {
            assert!((logit_drawn - 64.0 * logit(degrees.to_radians())).abs() < 1e-4, "{name} at {degrees}°");
        }
    };
    check("normface", &f64::cos);
    check("arcface", &|angle| (angle + 0.5).cos());
    check("cosface", &|angle| angle.cos() - 0.35);
    check("sphereface", &|angle| (1.35 * angle).cos());
    let svg = fs::read_to_string(folder.path().join("figures/logits.svg")).unwrap();
    for loss in ["adaface", "arcface", "combined", "curricularface", "elastic_cosface", "magface", "subcenter_arcface"]
    {
        assert!(svg.contains(loss), "{loss}");
    }
}

#[test]
fn decision_margins_are_as_wide_as_the_margin() {
    let folder = tempdir().unwrap();
    succeed(&mut figure(folder.path(), &["margins", "--loss", "arcface", "--loss", "normface", "--out", "figures"]));
    let numbers = drawn(folder.path(), "margins");
    let width = |name: &str| {
        let all = numbers["boundaries"].as_array().unwrap();
        let boundary = all.iter().find(|boundary| boundary["name"] == name).unwrap()["boundary"].as_array().unwrap();
        boundary.iter().map(|point| point[1].as_f64().unwrap() - point[0].as_f64().unwrap()).fold(0.0, f64::max)
    };
    assert!((width("arcface") - 0.5_f64.to_degrees()).abs() < 1e-6);
    assert!(width("normface") < 1e-6);
}

#[test]
fn a_run_is_drawn_from_start_to_end() {
    let folder = trained(&["train.epochs=4", "train.keep_checkpoints=9"]);
    succeed(&mut figure(folder.path(), &["angles", "runs/one", "--images", "33"]));
    let numbers = drawn(folder.path(), "angles");
    let moments = numbers.as_array().unwrap();
    let of = |key: &str| moments.iter().map(|moment| moment[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("moment"), ["start", "middle", "end"]);
    assert_eq!(of("step"), [0, 12, 24]);
    assert_eq!(of("images"), [33, 33, 33]);
    // Centers and embeddings of a network that was not trained know nothing of each other.
    let means = moments.iter().map(|moment| moment["mean"].as_f64().unwrap()).collect::<Vec<_>>();
    assert!(80.0 < means[0] && means[0] < 100.0 && means[2] < means[0], "{means:?}");
    let per_degree: u64 = moments[0]["per_degree"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(per_degree, 33);
}

#[test]
fn without_a_checkpoint_of_the_middle_start_and_end_are_drawn() {
    let folder = trained(&["train.keep_checkpoints=1", "loss.name=subcenter_arcface"]);
    let output = succeed(&mut figure(folder.path(), &["angles", "runs/one"]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no checkpoint from the middle"));
    assert_eq!(drawn(folder.path(), "angles").as_array().unwrap().len(), 2);
}

/// The table against plain loops over the embeddings that it leaves.
#[test]
fn angle_statistics_are_those_of_the_embeddings() {
    let folder = trained(&[]);
    let output = succeed(&mut figure(folder.path(), &["statistics", "runs/one", "--json"]));
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows, json(folder.path().join("figures/statistics.json")));
    let row = &rows[0];
    let read = |name: &str, tensor: &str| -> Vec<Vec<f64>> {
        let (mut tensors, _) = load_tensors(&folder.path().join("runs/one").join(name)).unwrap();
        let tensor = tensors.remove(tensor).unwrap();
        tensor.to_dtype(arcface_core::candle::DType::F64).unwrap().to_vec2().unwrap()
    };
    let close = |key: &str, expected: f64| {
        assert!((row[key].as_f64().unwrap() - expected).abs() < 1e-4, "{key}: {} instead of {expected}", row[key]);
    };
    for (which, intra, inter) in [("train", "intra1", "inter1"), ("test", "intra2", "inter2")] {
        // Six images of each identity, one identity after the other.
        let embeddings = read(&format!("embeddings-{which}.safetensors"), "embeddings");
        let means: Vec<Vec<f64>> = embeddings.chunks(6).map(mean).collect();
        let own = embeddings.iter().enumerate().map(|(image, row)| degrees(row, &means[image / 6]));
        close(intra, own.sum::<f64>() / embeddings.len() as f64);
        close(inter, nearest(&means));
        if which == "train" {
            let checkpoint = "checkpoints/step-00000012/state.safetensors";
            let centers = read(checkpoint, "head.centers");
            close("w_inter", nearest(&centers));
            let to_means = centers.iter().zip(&means).map(|(center, mean)| degrees(center, mean));
            close("w_ec", to_means.sum::<f64>() / centers.len() as f64);
        }
    }
    assert_eq!((&row["train_images"], &row["test_identities"]), (&60.into(), &4.into()));
    let again = succeed(&mut figure(folder.path(), &["statistics", "runs/one"]));
    assert!(!String::from_utf8_lossy(&again.stderr).contains("embeddings of"), "they are kept");
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("| degrees | loss | W-EC |"));
}

fn length(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn degrees(a: &[f64], b: &[f64]) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    (dot / (length(a) * length(b))).clamp(-1.0, 1.0).acos().to_degrees()
}

fn mean(rows: &[Vec<f64>]) -> Vec<f64> {
    (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column] / length(row)).sum()).collect()
}

fn nearest(rows: &[Vec<f64>]) -> f64 {
    let smallest = |this: usize| {
        let others = (0..rows.len()).filter(|other| *other != this);
        others.map(|other| degrees(&rows[this], &rows[other])).fold(f64::INFINITY, f64::min)
    };
    (0..rows.len()).map(smallest).sum::<f64>() / rows.len() as f64
}

#[test]
fn pairs_are_drawn_by_their_angles() {
    let folder = trained(&[]);
    succeed(&mut figure(folder.path(), &["pairs", "runs/one", "runs/one"]));
    let numbers = drawn(folder.path(), "pairs");
    assert_eq!((numbers.as_array().unwrap().len(), &numbers[0]["genuine_pairs"]), (2, &20.into()));
    let (tensors, _) = load_tensors(&folder.path().join("runs/one/pairs.safetensors")).unwrap();
    let distances = tensors["distances"].to_vec1::<f64>().unwrap();
    let same = tensors["same"].to_vec1::<u32>().unwrap();
    let genuine = distances.iter().zip(&same).filter(|(_, same)| **same == 1);
    let mean = genuine.map(|(distance, _)| (1.0 - distance / 2.0).acos().to_degrees()).sum::<f64>() / 20.0;
    assert!((numbers[0]["genuine_mean"].as_f64().unwrap() - mean).abs() < 1e-4);
}

/// Eight identities of a few images, one epoch: what counts is that it ends, is kept and is drawn.
#[test]
fn the_toy_is_trained_once_and_drawn() {
    let folder = tempdir().unwrap();
    let set = ["data.images_per_identity=4", "model.input_size=32", "train.epochs=1", "train.batch_size=16"];
    let toy = [&["toy"][..], &set.map(|set| ["--set", set]).concat()].concat();
    succeed(&mut figure(folder.path(), &toy));
    let numbers = drawn(folder.path(), "toy");
    assert_eq!((&numbers[0]["run"], &numbers[1]["run"]), (&"toy-normface".into(), &"toy-arcface".into()));
    let classes = numbers[1]["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 8);
    assert!(
        classes.iter().all(|class| class["embeddings"].as_array().unwrap().len() == 4 && class["center"].is_array())
    );
    let weights = folder.path().join("runs/toy-arcface/weights.safetensors");
    let before = fs::metadata(&weights).unwrap().modified().unwrap();
    succeed(&mut figure(folder.path(), &toy));
    assert_eq!(fs::metadata(&weights).unwrap().modified().unwrap(), before);
    assert_snapshot!(fail(&mut figure(folder.path(), &["toy"])), @"error: runs/toy-normface: this run was trained with another configuration; take another --name, remove it, or draw it as it is: cargo xtask figure toy runs/toy-normface");
}

#[test]
fn what_cannot_be_drawn_is_told() {
    let folder = trained(&["loss.name=triplet", "data.sampler=balanced", "train.batch_size=8"]);
    let message = |arguments: &[&str]| fail(&mut figure(folder.path(), arguments));
    assert_snapshot!(message(&["angles", "runs/one"]), @r#"error: runs/one: loss.name = "triplet" has no class centers; expected a run of a loss with some"#);
    assert_snapshot!(message(&["angles", "runs/none"]), @"error: runs/none: expected the folder of a run, with config.toml and run.json");
    assert_snapshot!(message(&["pairs", "runs"]), @"error: runs: expected the folder of a run or an evaluation with pairs.safetensors, which a verification leaves");
    assert_snapshot!(message(&["toy", "runs/one"]), @"error: runs/one: expected a run whose embeddings have 2 values, found 128; train with --set model.embedding_size=2");
    assert_snapshot!(message(&["logits", "runs/one"]), @"error: one: loss: expected one whose target logit is a function of the angle to a class center, got `triplet`");
    assert_snapshot!(message(&["margins", "--loss", "softmax"]), @"error: softmax: loss: expected one whose target logit is a function of the angle to a class center, got `softmax`");
    assert_snapshot!(message(&["statistics", "figures"]), @"error: figures: expected the folder of a run, with config.toml and run.json");
    fs::write(folder.path().join("runs/one/summary.json"), "{}").unwrap();
    assert_snapshot!(message(&["statistics", "runs/one"]), @"error: runs/one: the run is not finished; go on with it: cargo xtask train --resume --name one --runs runs");
}
