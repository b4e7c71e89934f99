//! Devices and precisions on the command line; what runs on a CUDA device where there is one, else what is said.

use std::path::Path;

use arcface_core::device::{Choice, HAS_CUDA, open};
use serde_json::Value;
use tempfile::tempdir;

use crate::tiny::{fail, json, metrics, resume, succeed, train, xtask};

/// Whether there is a CUDA device; if not, a word.
fn has_device() -> bool {
    let found = open(Choice::Cuda(0));
    if let Err(error) = &found {
        println!("skipped: no CUDA device ({error})");
    }
    found.is_ok()
}

/// Without verifications before the end, which have tests of their own, and in small steps: large ones drive apart what
/// differs by rounding. With this seed nothing lies so near to the kink of a `PReLU` that rounding decides its gradient.
const SHORT: [&str; 5] =
    ["eval.baselines=false", "eval.every=end", "train.epochs=1", "seed=3", "optimizer.learning_rate=0.002"];

fn trained(folder: &Path, name: &str, set: &[&str]) {
    succeed(&mut train(folder, name, &[&SHORT[..], set].concat()));
}

fn losses(folder: &Path, name: &str) -> Vec<f64> {
    let lines = metrics(folder, name);
    lines.iter().filter(|line| line["kind"] == "train").map(|line| line["loss"].as_f64().unwrap()).collect()
}

fn check_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    assert!(3 <= got.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < tolerance * expected.abs(), "{got} instead of {expected}");
    }
}

#[test]
fn the_cpu_has_f32_and_f64() {
    let folder = tempdir().unwrap();
    let complaint = |set: &[&str]| fail(&mut train(folder.path(), "refused", set));
    insta::assert_snapshot!(complaint(&["device=cpu", "precision=bf16"]), @r#"error: precision = "bf16": expected a CUDA device, got the CPU; set precision = "f32", or device = "cuda:0" in a build with the feature `cuda`: cargo xtask-cuda"#);
    insta::assert_snapshot!(complaint(&["device=cpu", "precision=tf32"]), @r#"error: precision = "tf32": expected a CUDA device, got the CPU; set precision = "f32", or device = "cuda:0" in a build with the feature `cuda`: cargo xtask-cuda"#);
    insta::assert_snapshot!(complaint(&["precision=f16"]), @"error: --set: precision: unknown variant `f16`, expected one of `f32`, `f64`, `tf32`, `bf16`");
    // What cannot begin leaves no folder.
    assert!(!folder.path().join("runs/refused").exists());
}

#[test]
fn a_run_says_what_computed_it() {
    let folder = tempdir().unwrap();
    trained(folder.path(), "single", &["device=cpu"]);
    let run = folder.path().join("runs/single");
    for document in [json(run.join("run.json")), json(run.join("summary.json"))] {
        assert_eq!((&document["device"], &document["precision"]), (&"cpu".into(), &"f32".into()), "{document}");
    }
    assert_eq!(
        json(run.join("run.json"))["features"],
        if HAS_CUDA { serde_json::json!(["cuda"]) } else { serde_json::json!([]) }
    );
    assert!(json(run.join("summary.json"))["peak_device_memory_bytes"].is_null());
}

#[test]
fn commands_without_a_configuration_take_a_device_too() {
    let folder = tempdir().unwrap();
    trained(folder.path(), "net", &["device=cpu"]);
    let refused = |arguments: &[&str]| {
        fail(xtask(folder.path()).args(arguments).args(["--device", "cpu", "--precision", "bf16"]))
    };
    let words = r#"error: precision = "bf16": expected a CUDA device, got the CPU"#;
    assert!(refused(&["eval", "runs/net"]).starts_with(words));
    assert!(refused(&["synth", "runs/net", "--classes", "0"]).starts_with(words));
    assert!(refused(&["embed", "runs/net", "--images", "runs", "--out", "e.npy"]).starts_with(words));
    let error = fail(xtask(folder.path()).args(["eval", "runs/net", "--device", "gpu"]));
    assert!(error.contains("--help"), "{error}");
    if !HAS_CUDA {
        let error = fail(xtask(folder.path()).args(["bench", "peer", "--device", "cuda:0"]));
        assert!(error.contains("cargo xtask-cuda"), "{error}");
    }
    let error = fail(xtask(folder.path()).args(["bench", "peer", "--device", "auto"]));
    insta::assert_snapshot!(error, @"error: --device auto: expected cpu or cuda:0, as all sides are to compute on the same");
}

#[test]
fn device_numbers_are_those_that_there_are() {
    if !has_device() {
        return;
    }
    let folder = tempdir().unwrap();
    let error = fail(&mut train(folder.path(), "refused", &["device=cuda:99"]));
    assert!(error.starts_with("error: device: expected cuda:0") && error.ends_with("got cuda:99"), "{error}");
    let error = fail(&mut train(folder.path(), "refused", &["device=cuda:0", "precision=f64"]));
    assert!(error.starts_with(r#"error: precision = "f64": expected the CPU, got cuda:0"#), "{error}");
}

#[test]
fn training_on_a_device_is_that_of_the_cpu() {
    if !has_device() {
        return;
    }
    let folder = tempdir().unwrap();
    let folder = folder.path();
    trained(folder, "home", &["device=cpu"]);
    let expected = losses(folder, "home");
    for (precision, tolerance) in [("f32", 1e-3), ("tf32", 1e-2), ("bf16", 5e-2)] {
        trained(folder, precision, &["device=cuda:0", &format!("precision={precision}")]);
        check_close(&losses(folder, precision), &expected, tolerance);
        let made_by = json(folder.join("runs").join(precision).join("run.json"));
        assert!(made_by["device"].as_str().unwrap().starts_with("cuda:0"), "{made_by}");
        assert_eq!(made_by["precision"], precision);
    }
    // The same seed gives the same bytes.
    trained(folder, "again", &["device=cuda:0", "precision=bf16"]);
    assert_eq!(losses(folder, "again"), losses(folder, "bf16"));
    // Behind the names of the runs.
    let weights = |name: &str| {
        let bytes = std::fs::read(folder.join("runs").join(name).join("weights.safetensors")).unwrap();
        bytes[bytes.len() - 100_000..].to_vec()
    };
    assert_eq!(weights("again"), weights("bf16"));
}

#[test]
fn a_run_goes_on_on_another_device() {
    if !has_device() {
        return;
    }
    let folder = tempdir().unwrap();
    let folder = folder.path();
    for (name, device) in [("home", "device=cpu"), ("moved", "device=cuda:0")] {
        trained(folder, name, &[device]);
    }
    // The other way round, and back again.
    for (epochs, device) in [("train.epochs=2", "device=cpu"), ("train.epochs=3", "device=cuda:0")] {
        succeed(&mut resume(folder, "home", &["device=cpu", epochs]));
        succeed(&mut resume(folder, "moved", &[device, epochs]));
        let made_by = json(folder.join("runs/moved/run.json"))["device"].as_str().unwrap().to_owned();
        assert!(made_by.starts_with(device.trim_start_matches("device=")), "{made_by}");
    }
    check_close(&losses(folder, "moved"), &losses(folder, "home"), 1e-2);
    succeed(&mut resume(folder, "moved", &["precision=bf16", "train.epochs=4"]));
    let made_by = json(folder.join("runs/moved/run.json"));
    assert!(made_by["device"].as_str().unwrap().starts_with("cuda:0") && made_by["precision"] == "bf16", "{made_by}");
}

#[test]
fn a_network_embeds_and_is_inverted_on_a_device() {
    if !has_device() {
        return;
    }
    let folder = tempdir().unwrap();
    let folder = folder.path();
    trained(folder, "net", &["device=cpu"]);
    succeed(xtask(folder).args([
        "data",
        "generate",
        "faces",
        "--identities",
        "2",
        "--images-per-identity",
        "3",
        "--size",
        "32",
    ]));
    let embed = |device: &str, precision: &str, out: &str| {
        let command =
            ["embed", "runs/net", "--images", "faces", "--out", out, "--device", device, "--precision", precision];
        succeed(xtask(folder).args(command).args(["--length", "unit"]));
        let bytes = std::fs::read(folder.join(out)).unwrap();
        // 6 rows of 128 numbers behind the head.
        let numbers = bytes[bytes.len() - 4 * 6 * 128..].chunks_exact(4);
        numbers.map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect::<Vec<f32>>()
    };
    let expected = embed("cpu", "f32", "cpu.npy");
    for (precision, least) in [("f32", 0.99999), ("bf16", 0.99)] {
        let got = embed("cuda:0", precision, &format!("{precision}.npy"));
        for (a, b) in got.chunks_exact(128).zip(expected.chunks_exact(128)) {
            let cosine: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            assert!(least < cosine, "{precision}: {cosine}");
        }
    }
    let synth = ["synth", "runs/net", "--classes", "0,1", "--set", "steps=3", "--beginnings", "1", "--json"];
    let on = |device: &str| {
        let output = succeed(xtask(folder).args(synth).args(["--device", device, "--out", &device.replace(':', "-")]));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let [home, moved] = [on("cpu"), on("cuda:0")].map(|document| {
        ["objective", "statistics"].map(|term| document["batches"][0]["losses"][term].as_f64().unwrap())
    });
    for (moved, home) in moved.iter().zip(home) {
        assert!((moved - home).abs() < 1e-2 * home.abs(), "{moved} instead of {home}");
    }
}
