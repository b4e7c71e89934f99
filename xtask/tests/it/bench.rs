//! Training beside PyTorch: run where `ARCFACE_PYTHON` names one, and what is said where it does not.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
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

/// What our side of `bench peer` answers to `requests`.
fn worker(requests: &[Value]) -> Vec<Value> {
    let folder = tempdir().unwrap();
    let mut command = xtask(folder.path());
    command.args(["bench", "worker"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    for request in requests {
        writeln!(input, "{request}").unwrap();
    }
    drop(input);
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// The default configuration as JSON.
fn configuration() -> Value {
    let text = include_str!("../../configs/default.toml");
    let mut config: Value = toml::from_str(text).unwrap();
    config["data"]["holdout"] = json!(0);
    config["eval"]["batch_size"] = json!(1);
    config
}

#[test]
fn a_worker_does_what_it_is_told() {
    let task = json!({ "kind": "inference", "config": configuration() });
    let prepare = json!({ "do": "prepare", "side": "ours", "threads": 1, "task": task });
    let answers = worker(&[
        json!({ "do": "run", "repetitions": 1 }),
        prepare.clone(),
        json!({ "do": "run", "repetitions": 2 }),
        prepare,
        json!({ "do": "rest" }),
        json!({ "do": "run", "repetitions": 1 }),
    ]);
    assert_eq!(answers[0]["error"], "run: expected `prepare` before");
    assert_eq!(answers[1]["ready"]["items"], 1);
    assert_eq!(answers[3]["error"], "prepare: expected once, got it again; begin a new process for another task");
    assert!(answers[4]["error"].as_str().unwrap().contains("unknown variant `rest`"), "{}", answers[4]);
    for ran in [&answers[2], &answers[5]] {
        assert!(0.0 < ran["ran"]["seconds"].as_f64().unwrap(), "{ran}");
    }
    assert_eq!(answers.len(), 6);
}

#[test]
fn a_worker_says_why_it_cannot_do_a_task() {
    let answer = |side: &str, threads: usize, task: Value| {
        let prepare = json!({ "do": "prepare", "side": side, "threads": threads, "task": task });
        worker(&[prepare])[0]["error"].as_str().unwrap().to_owned()
    };
    let head = |classes: usize| json!({ "kind": "head", "config": configuration(), "classes": classes });
    insta::assert_snapshot!(answer("torch", 1, head(10)), @"side: expected `ours`, got `Torch`");
    insta::assert_snapshot!(answer("ours", 0, head(10)), @"threads: expected at least 1, got 0");
    insta::assert_snapshot!(answer("ours", 1, head(0)), @"[loss]: head: expected shape (C, D), none of them 0, got [0, 128]");
    let mut nowhere = configuration();
    nowhere["data"]["source"] = json!("folder");
    nowhere["data"]["path"] = json!("no/such/folder");
    let loading = json!({ "kind": "loading", "config": nowhere, "folder": "" });
    insta::assert_snapshot!(answer("ours", 1, loading), @"no/such/folder: no such folder; check the path");
}

#[test]
fn speed_is_compared_on_all_kinds_of_work() {
    let Some(_) = python() else { return };
    let folder = tempdir().unwrap();
    let mut command = xtask(folder.path());
    let only = "trial-train,trial-infer,trial-head,trial-invert,trial-loader";
    command.args(["bench", "peer", "--only", only, "--rounds", "1", "--threads", "1", "--json"]);
    let output = succeed(&mut command);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = document["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5, "{document}");
    for row in rows {
        let (ours, peer) = (row["ours"].as_f64().unwrap(), row["peer"]["value"].as_f64().unwrap());
        assert!((row["value"].as_f64().unwrap() - peer / ours).abs() < 1e-9 * peer / ours, "{row}");
    }
    for work in document["works"].as_array().unwrap() {
        let sides = work["sides"].as_array().unwrap();
        assert!(2 <= sides.len() && sides[0]["side"] == "ours", "{work}");
        assert!(sides.iter().all(|side| side["seconds"].as_array().unwrap().len() == 1), "{work}");
    }
    assert!(document["versions"]["torch"].is_string() && document["date"].is_string(), "{document}");
}

/// Both sides are ours, so that no Python is asked for.
#[test]
fn training_on_files_is_compared_with_training_on_a_batch_at_hand() {
    let folder = tempdir().unwrap();
    let mut command = xtask(folder.path());
    command.args(["bench", "peer", "--only", "trial-input", "--rounds", "2", "--threads", "1", "--json"]);
    let output = succeed(command.env_remove("ARCFACE_PYTHON"));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sides = document["works"][0]["sides"].as_array().unwrap();
    assert_eq!((sides.len(), &sides[0]["side"], &sides[1]["side"]), (2, &"ours".into(), &"ours_at_hand".into()));
    assert!(sides.iter().all(|side| side["items"] == 4 * 64), "{document}");
    let [row] = &document["rows"].as_array().unwrap()[..] else { panic!("{document}") };
    let (fed, at_hand) = (row["ours"].as_f64().unwrap(), row["peer"]["value"].as_f64().unwrap());
    assert_eq!(row["peer"]["side"], "ours_at_hand");
    assert!((row["value"].as_f64().unwrap() - at_hand / fed).abs() < 1e-9, "{row}");
}

#[test]
fn an_unknown_work_is_answered_with_the_known_ones() {
    let folder = tempdir().unwrap();
    let error = fail(xtask(folder.path()).args(["bench", "peer", "--only", "train-resnet"]));
    insta::assert_snapshot!(error, @"error: --only train-resnet: no work of that name; known: train-iresnet50-16, memory-iresnet50-16, train-iresnet18-32, train-mobilefacenet-32, train-mobilefacenet-128, infer-iresnet50-16, infer-iresnet50-1, infer-mobilefacenet-32, infer-mobilefacenet-1, head-100000, head-100000-memory, head-1000000, head-1000000-memory, invert-y1-16, invert-iresnet18-16, loader-folder, loader-record, trial-train, trial-infer, trial-head, trial-invert, trial-loader, trial-input");
    let error = fail(xtask(folder.path()).args(["bench", "peer", "--quick"]).env_remove("ARCFACE_PYTHON"));
    assert!(error.starts_with("error: ARCFACE_PYTHON: expected the path of a Python"), "{error}");
}

/// Counts and templates must be those of numpy in f64; how long it takes says nothing on so small a set.
#[test]
fn protocols_have_the_exact_counts_of_numpy() {
    let Some(_) = python() else { return };
    let folder = tempdir().unwrap();
    let output = succeed(xtask(folder.path()).args(["bench", "eval", "--quick", "--json"]));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = document["rows"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["figure"].as_str().unwrap().contains(name)).unwrap();
    assert_eq!((&row("other counts")["value"], &row("other counts")["holds"]), (&0.0.into(), &true.into()));
    assert_eq!(row("templates")["holds"], true);
    let accepts = &document["ijb"]["ours"][0]["accepts"];
    assert_eq!((&accepts[0], accepts[5].is_array()), (&Value::Null, true), "{accepts}");
    assert!(0.0 < row("matrix product")["value"].as_f64().unwrap());
}

#[test]
fn protocols_without_numpy_are_explained() {
    let folder = tempdir().unwrap();
    let error = fail(xtask(folder.path()).args(["bench", "eval", "--quick"]).env_remove("ARCFACE_PYTHON"));
    insta::assert_snapshot!(error, @"error: ARCFACE_PYTHON: expected the path of a Python that has numpy, found none; make one with `python3 -m venv peer && peer/bin/pip install numpy` and set ARCFACE_PYTHON=peer/bin/python");
}
