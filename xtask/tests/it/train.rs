//! Runs: what they leave, and that nothing but the configuration decides about it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use arcface_core::candle::{DType, Tensor};
use arcface_core::checkpoint::load_tensors;
use serde_json::Value;
use tempfile::tempdir;

use crate::tiny::{fail, json, metrics, resume, succeed, train, xtask};
use crate::watching::assert_events_are_the_metrics;

#[test]
fn a_run_leaves_its_figures_weights_and_pictures() {
    let folder = tempdir().unwrap();
    let output = succeed(&mut train(folder.path(), "one", &[]));
    let run = folder.path().join("runs/one");
    let summary = json(run.join("summary.json"));
    for rate in ["accuracy", "accuracy_raw_pixels", "accuracy_untrained", "accuracy_hog", "accuracy_pixel_differences"]
    {
        let value = summary[rate].as_f64().unwrap();
        assert!(0.0 <= value && value <= 1.0, "{rate} = {value}");
    }
    for positive in ["images_per_second", "seconds", "steps"] {
        assert!(0.0 < summary[positive].as_f64().unwrap(), "{positive}");
    }
    assert_eq!(summary["seed"], 0);
    assert_eq!(summary["pairs"], 40);
    if cfg!(target_os = "linux") {
        assert!(1_000_000 < summary["peak_memory_bytes"].as_u64().unwrap());
    }
    for file in ["config.toml", "run.json", "weights.safetensors", "best.safetensors", "curves.svg", "roc.svg"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("no use on photographs") && words.contains("cargo xtask train --name mine"), "{words}");
    let again = fail(&mut train(folder.path(), "one", &[]));
    assert!(again.contains("this run exists") && again.contains("--resume --name one"), "{again}");
}

#[test]
fn metrics_hold_every_step_and_verification() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["eval.every=5"]));
    let lines = metrics(folder.path(), "one");
    let steps = |kind: &str| -> Vec<u64> {
        lines.iter().filter(|line| line["kind"] == kind).map(|line| line["step"].as_u64().unwrap()).collect()
    };
    assert_eq!(steps("train"), (1..=12).collect::<Vec<_>>());
    assert_eq!(steps("eval"), [5, 10, 12]);
    assert_eq!(steps("baselines"), [0]);
    let losses: Vec<f64> = lines.iter().filter_map(|line| line["loss"].as_f64()).collect();
    assert!(losses.iter().all(|loss| loss.is_finite()));
}

#[test]
fn json_is_one_document_on_stdout() {
    let folder = tempdir().unwrap();
    let output = succeed(train(folder.path(), "one", &["train.epochs=1"]).arg("--json"));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary, json(folder.path().join("runs/one/summary.json")));
}

#[test]
fn runs_without_a_name_are_numbered() {
    let folder = tempdir().unwrap();
    let mut numbered = train(folder.path(), "unused", &["train.epochs=1", "eval.baselines=false"]);
    let arguments: Vec<_> = numbered.get_args().map(ToOwned::to_owned).collect();
    let named = ["--name", "unused"];
    for _ in 0..2 {
        numbered = xtask(folder.path());
        numbered.args(arguments.iter().filter(|argument| !named.iter().any(|name| *argument == name)));
        succeed(&mut numbered);
    }
    assert!(folder.path().join("runs/default-1/summary.json").is_file());
    assert!(folder.path().join("runs/default-2/summary.json").is_file());
}

/// Settings under which everything that training remembers matters: momentum, moving margins, dropout, accumulation.
const REMEMBERING: [&str; 7] = [
    "loss.name=curricularface",
    "model.dropout=0.3",
    "train.accumulate=2",
    "train.epochs=6",
    "train.log_every=4",
    "train.checkpoint_every=5",
    "data.augmentation.shift=2",
];

#[test]
fn killed_and_resumed_is_as_never_stopped() {
    let folder = tempdir().unwrap();
    succeed(train(folder.path(), "whole", &REMEMBERING).env("RAYON_NUM_THREADS", "1"));
    let mut child = train(folder.path(), "cut", &REMEMBERING).spawn().unwrap();
    wait_for_line(folder.path(), "cut", 8);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.path().join("runs/cut/summary.json").exists(), "killed too late");
    succeed(resume(folder.path(), "cut", &["data.workers=1"]).env("RAYON_NUM_THREADS", "2"));
    assert_same_run(folder.path(), "whole", "cut");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "whole", &REMEMBERING));
    let mut command = train(folder.path(), "cut", &REMEMBERING);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_for_line(folder.path(), "cut", 4);
    let pid = child.id().to_string();
    succeed(std::process::Command::new("kill").args(["-INT", &pid]));
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{words}");
    assert!(words.contains("go on with: cargo xtask train --resume --name cut"), "{words}");
    succeed(&mut resume(folder.path(), "cut", &[]));
    assert_same_run(folder.path(), "whole", "cut");
}

#[test]
fn a_finished_run_goes_on_for_more_epochs_and_nothing_else() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["schedule.name=constant"]));
    succeed(&mut resume(folder.path(), "one", &["train.epochs=3"]));
    assert_eq!(json(folder.path().join("runs/one/summary.json"))["steps"], 18);
    let error = fail(&mut resume(folder.path(), "one", &["loss.margin=0.1"]));
    insta::assert_snapshot!(error, @"error: --set loss.margin: a run goes on as it was configured; only train.epochs, device, precision, data.workers may change. Start a new run for other values");
    let error = fail(&mut resume(folder.path(), "one", &["train.epochs=1"]));
    insta::assert_snapshot!(error, @"error: train.epochs: the run has come to step 18, 1 epochs end at step 6; expected more epochs");
    let error = fail(&mut resume(folder.path(), "two", &[]));
    insta::assert_snapshot!(error, @"error: runs/two: no run to go on with; expected a folder with the files config.toml and run.json of a run");
}

#[test]
fn training_learns() {
    let folder = tempdir().unwrap();
    let longer = ["train.epochs=25", "data.nuisance=0.2", "eval.baselines=false", "eval.every=end", "loss.scale=16"];
    succeed(&mut train(folder.path(), "one", &longer));
    let losses: Vec<f64> = metrics(folder.path(), "one").iter().filter_map(|line| line["loss"].as_f64()).collect();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&losses[..5]), mean(&losses[losses.len() - 5..]));
    assert!(last < 0.3 * first, "the loss went from {first} to {last}");
}

#[test]
fn last_checkpoints_are_kept_and_others_removed() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.checkpoint_every=3", "train.keep_checkpoints=2"]));
    let entries = std::fs::read_dir(folder.path().join("runs/one/checkpoints")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["step-00000009", "step-00000012"]);
}

/// Waits until a run has logged a training line at `step` or later.
fn wait_for_line(folder: &Path, name: &str, step: u64) {
    let path = folder.join("runs").join(name).join("metrics.jsonl");
    let start = Instant::now();
    let reached = || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.into_iter().any(|line| line["kind"] == "train" && step <= line["step"].as_u64().unwrap())
    };
    while !reached() {
        assert!(start.elapsed() < Duration::from_mins(2), "no line of step {step} in {}", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The same weights, optimiser, margin, and metrics less their times.
fn assert_same_run(folder: &Path, a: &str, b: &str) {
    for file in ["weights.safetensors", "state.safetensors"] {
        let [a, b] = [a, b].map(|name| load(folder, name, file));
        // Not `assert_eq`, which would print a million numbers.
        assert!(a.0 == b.0, "{file} differ");
        assert_eq!(a.1.get("margin"), b.1.get("margin"));
    }
    assert_eq!(metrics(folder, a), metrics(folder, b));
    assert_events_are_the_metrics(folder, a);
    assert_events_are_the_metrics(folder, b);
}

type Loaded = (BTreeMap<String, Vec<u64>>, BTreeMap<String, String>);

/// Bits of all values, and the metadata.
fn load(folder: &Path, name: &str, file: &str) -> Loaded {
    let (tensors, metadata) = load_tensors(&last_checkpoint(folder, name).join(file)).unwrap();
    let bits = |tensor: Tensor| {
        let values: Vec<f64> = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        values.into_iter().map(f64::to_bits).collect()
    };
    (tensors.into_iter().map(|(name, tensor)| (name, bits(tensor))).collect(), metadata)
}

fn last_checkpoint(folder: &Path, name: &str) -> std::path::PathBuf {
    let entries = std::fs::read_dir(folder.join("runs").join(name).join("checkpoints")).unwrap();
    entries.map(|entry| entry.unwrap().path()).max().unwrap()
}
