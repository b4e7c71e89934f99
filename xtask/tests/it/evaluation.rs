//! `eval`: the figures of a run again, and pairs of the user's own.

use serde_json::Value;
use tempfile::tempdir;

use crate::tiny::{json, succeed, train, xtask};

#[test]
fn a_run_is_verified_again_with_the_same_figures() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &[]));
    let summary = json(folder.path().join("runs/one/summary.json"));
    let nets = ["runs/one", "runs/one/checkpoints/step-00000012", "runs/one/weights.safetensors"];
    for net in nets {
        let output = succeed(xtask(folder.path()).args(["eval", net, "--json"]));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        for figure in ["accuracy", "accuracy_std", "tar_at_far", "auc", "eer", "threshold", "pairs"] {
            assert_eq!(document[figure], summary[figure], "{net}: {figure}");
        }
        assert_eq!((&document["mirror"], &document["backbone"]), (&true.into(), &"facenano".into()));
    }
}

#[test]
fn folders_and_lists_are_verified_with_and_without_mirror_images() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    let sizes = ["--identities", "6", "--images-per-identity", "4", "--size", "32", "--first-identity", "100"];
    succeed(xtask(folder.path()).args(["data", "generate", "faces"]).args(sizes));
    succeed(xtask(folder.path()).args([
        "data",
        "pairs",
        "faces",
        "--out",
        "pairs.csv",
        "--count",
        "30",
        "--folds",
        "3",
    ]));
    let eval = |more: &[&str]| -> Value {
        let mut command = xtask(folder.path());
        command.args(["eval", "runs/one/weights.safetensors", "--images", "faces", "--pairs", "pairs.csv", "--json"]);
        serde_json::from_slice(&succeed(command.args(more)).stdout).unwrap()
    };
    let (with, without) = (eval(&["--mirror"]), eval(&["--mirror=false", "--out", "figures"]));
    assert_eq!((&with["mirror"], &without["mirror"]), (&true.into(), &false.into()));
    assert_eq!((&with["genuine"], &with["impostors"]), (&15.into(), &15.into()));
    assert_eq!(with["accuracies"].as_array().unwrap().len(), 3);
    assert_ne!(with["auc"], without["auc"]);
    for file in ["roc.svg", "histogram.svg", "eval.json"] {
        assert!(folder.path().join("figures").join(file).is_file(), "{file}");
    }
    assert_eq!(json(folder.path().join("figures/eval.json")), without);
}

#[test]
fn figures_do_not_depend_on_the_batch_size() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    let eval =
        |size: &str| succeed(xtask(folder.path()).args(["eval", "runs/one", "--json", "--batch-size", size])).stdout;
    assert_eq!(eval("3"), eval("50"));
}
