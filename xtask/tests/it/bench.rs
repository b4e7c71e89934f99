//! Training beside PyTorch: run where `ARCFACE_PYTHON` names one, and what is said where it does not.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::tempdir;

use crate::tiny::{fail, succeed, xtask};

/// The Python to compare with.
fn python() -> Option<OsString> {
    let python = std::env::var_os("ARCFACE_PYTHON").filter(|python| !python.is_empty());
    if python.is_none() {
        println!("skipped: comparison with PyTorch, set ARCFACE_PYTHON to a Python with torch, numpy and pillow");
    }
    python
}

fn parity(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = xtask(folder);
    command.args(["bench", "parity"]).args(arguments);
    command
}

#[test]
fn quick_parity_holds() {
    let Some(_) = python() else { return };
    let folder = tempdir().unwrap();
    let output = succeed(&mut parity(folder.path(), &["--quick", "--json", "--out", "kept"]));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cases = document["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        // AdamW has no velocity whose first value would be compared.
        let rows = if case["first_update"].is_null() { 2 } else { 3 };
        assert_eq!(case["rows"].as_array().unwrap().len(), rows, "{case}");
        if let Some(update) = case["first_update"].as_object() {
            assert!(update["relative"].as_f64().unwrap() < 1e-12, "{update:?}");
        }
    }
    assert!(folder.path().join("kept/iresnet18-quick-torch-f64.safetensors").is_file());
}

#[test]
fn whole_runs_are_compared() {
    let Some(_) = python() else { return };
    let folder = tempdir().unwrap();
    let draw = |name: &str, first: &str| {
        let sizes = ["--identities", "12", "--images-per-identity", "6", "--size", "32", "--first-identity", first];
        succeed(xtask(folder.path()).args(["data", "generate", name]).args(sizes));
    };
    draw("train", "0");
    draw("test", "100");
    succeed(xtask(folder.path()).args([
        "data",
        "pairs",
        "test",
        "--out",
        "pairs.csv",
        "--count",
        "60",
        "--folds",
        "2",
    ]));
    let set = [
        "data.source=folder",
        "data.path=train",
        "data.holdout=0",
        "eval.images=test",
        "eval.pairs=pairs.csv",
        "model.input_size=32",
        "train.batch_size=12",
        "train.epochs=2",
        "loss.scale=16",
    ];
    let set = set.iter().flat_map(|set| ["--set", *set]);
    let arguments: Vec<&str> =
        ["--real", "--config", "default", "--seeds", "2", "--json"].into_iter().chain(set).collect();
    // So few pairs and steps prove nothing: whether the bound holds is left open.
    let output = parity(folder.path(), &arguments).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{words}"));
    let report = &document["report"];
    assert_eq!(report["pairs"], 60);
    assert_eq!(report["seeds"].as_array().unwrap().len(), 2);
    for difference in report["differences"].as_array().unwrap() {
        let [low, value, high] = ["low", "value", "high"].map(|end| {
            let found = if end == "value" { &difference[end] } else { &difference["interval"][end] };
            found.as_f64().unwrap()
        });
        assert!(low <= high && -1.0 <= low && high <= 1.0 && value.abs() <= 1.0, "{difference}");
    }
}

#[test]
fn a_missing_peer_is_explained() {
    let folder = tempdir().unwrap();
    let error = fail(parity(folder.path(), &["--quick"]).env_remove("ARCFACE_PYTHON"));
    insta::assert_snapshot!(error, @"error: ARCFACE_PYTHON: expected the path of a Python that has torch, numpy, found none; make one with `python3 -m venv peer && peer/bin/pip install torch numpy` and set ARCFACE_PYTHON=peer/bin/python");
    let error = fail(parity(folder.path(), &["--quick"]).env("ARCFACE_PYTHON", "no/such/python"));
    assert!(error.starts_with("error: ARCFACE_PYTHON=no/such/python: cannot be started; make one with"), "{error}");
    let error = fail(parity(folder.path(), &["--real"]).env_remove("ARCFACE_PYTHON"));
    assert!(error.contains("torch, numpy, PIL") && error.contains("pip install torch numpy pillow"), "{error}");
}

#[test]
fn a_peer_without_torch_is_explained() {
    let folder = tempdir().unwrap();
    // A program that fails at whatever it is asked.
    let error = fail(parity(folder.path(), &["--quick"]).env("ARCFACE_PYTHON", env!("CARGO_BIN_EXE_xtask")));
    assert!(error.contains("cannot import torch, numpy (") && error.contains("; make one with"), "{error}");
}

#[test]
fn an_unknown_case_is_answered_with_the_known_ones() {
    let Some(_) = python() else { return };
    let folder = tempdir().unwrap();
    let error = fail(&mut parity(folder.path(), &["--only", "resnet"]));
    insta::assert_snapshot!(error, @"error: --only resnet: no case of that name; known: mobilefacenet-exact, mobilefacenet-straight-through, iresnet18-exact");
}
