//! The command line knows our loss as it knows its own: listed, computed, configured and trained with.

// A test that cannot go on says where.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use arcface_core::candle::{Device, Tensor};
use arcface_core::checkpoint::{load_tensors, save_tensors};
use serde_json::Value;
use tempfile::tempdir;

/// Runs our binary in `folder`, which must succeed, and gives what it prints.
fn my_cli(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_my_cli"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn our_loss_is_listed_beside_the_built_in_ones() {
    let folder = tempdir().unwrap();
    let list: Vec<Value> = serde_json::from_str(&my_cli(folder.path(), &["losses", "--json"])).unwrap();
    let listed: BTreeSet<&str> = list.iter().map(|loss| loss["name"].as_str().unwrap()).collect();
    let mut expected: BTreeSet<&str> = arcface_losses::losses().unwrap().iter().map(|loss| loss.name).collect();
    expected.insert("x2softmax");
    assert_eq!(listed, expected);
}

#[test]
fn our_loss_is_computed_on_given_embeddings() {
    let folder = tempdir().unwrap();
    let (input, output) = (folder.path().join("in.safetensors"), folder.path().join("out.safetensors"));
    // One embedding at 0.2 radians from the center of its own class, at π/2 − 0.2 from the other one.
    let tensors = BTreeMap::from([
        ("embeddings".to_owned(), Tensor::new(&[[0.2f64.cos(), 0.2f64.sin()]], &Device::Cpu).unwrap()),
        ("centers".to_owned(), Tensor::new(&[[1f64, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap()),
        ("labels".to_owned(), Tensor::new(&[0u32], &Device::Cpu).unwrap()),
    ]);
    save_tensors(&input, &tensors, &BTreeMap::new()).unwrap();
    let arguments = ["losses", "eval", "x2softmax", "--set", "scale=8", "--input", "in.safetensors"];
    my_cli(folder.path(), &[&arguments[..], &["--output", "out.safetensors"]].concat());

    let (results, _) = load_tensors(&output).unwrap();
    let loss: f64 = results["loss"].to_scalar().unwrap();
    let (target, other) = (8.0 * (0.65 - 0.9 * 0.2 * 0.2), 8.0 * 0.2f64.sin());
    let expected = (1.0 + f64::exp(other - target)).ln();
    assert!((loss - expected).abs() < 1e-12, "{loss}, not {expected}");
    assert_eq!(results["d_embeddings"].dims(), [1, 2]);
    assert_eq!(results["d_centers"].dims(), [2, 2]);
}

#[test]
fn a_configuration_shows_the_parameters_of_our_loss() {
    let folder = tempdir().unwrap();
    let arguments = ["config", "--set", "loss.name=x2softmax", "--set", "loss.curvature=0.7"];
    let config: toml::Table = my_cli(folder.path(), &arguments).parse().unwrap();
    let expected = toml::toml! {
        name = "x2softmax"
        margin = 0.35
        curvature = 0.7
        scale = 64.0
    };
    for (key, value) in &expected {
        assert_eq!(config["loss"].get(key), Some(value), "{key}");
    }
}

#[test]
fn a_network_is_trained_with_our_loss() {
    let folder = tempdir().unwrap();
    let mut arguments = vec!["train", "--name", "mine", "--set", "loss.name=x2softmax"];
    // A second's work: drawn faces of 32×32 pixels.
    let tiny = [
        "data.identities=14",
        "data.images_per_identity=6",
        "data.holdout=4",
        "model.input_size=32",
        "train.batch_size=10",
        "train.epochs=1",
        "eval.count=40",
        "eval.folds=2",
        "eval.baselines=false",
    ];
    arguments.extend(tiny.iter().flat_map(|assignment| ["--set", assignment]));
    my_cli(folder.path(), &arguments);

    let run = folder.path().join("runs/mine");
    let summary: Value = serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap();
    let accuracy = summary["accuracy"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&accuracy), "{accuracy}");
    let config: toml::Table = std::fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["loss"]["name"].as_str(), Some("x2softmax"));
}
