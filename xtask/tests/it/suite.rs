//! `eval --suite` and `eval compare`: several sets and networks in one table.

use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::report::assert_shown;
use crate::tiny::{fail, json, succeed, train, xtask};

/// Two runs, and two verification sets of drawn faces in `suite`.
fn trained() -> TempDir {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    succeed(&mut train(folder.path(), "two", &["train.epochs=2", "eval.baselines=false"]));
    std::fs::create_dir(folder.path().join("suite")).unwrap();
    bin(folder.path(), "first", "100", "30");
    bin(folder.path(), "second", "200", "24");
    folder
}

fn bin(folder: &Path, name: &str, first: &str, count: &str) {
    let run = |words: &[&str]| succeed(xtask(folder).arg("data").args(words));
    let (pairs, out) = (format!("{name}.csv"), format!("suite/{name}.bin"));
    let sizes = ["--identities", "6", "--images-per-identity", "4", "--size", "32", "--first-identity", first];
    run(&[&["generate", name], &sizes[..]].concat());
    run(&["pairs", name, "--out", &pairs, "--count", count, "--folds", "3"]);
    run(&["bin", &pairs, "--images", name, "--out", &out]);
}

fn document(folder: &Path, words: &[&str]) -> Value {
    serde_json::from_slice(&succeed(xtask(folder).arg("eval").args(words).arg("--json")).stdout).unwrap()
}

#[test]
fn sets_stand_in_one_table_with_the_figures_that_each_has_alone() {
    let folder = trained();
    let suite = document(folder.path(), &["runs/one", "runs/two", "--suite", "suite", "--out", "both"]);
    let entries = suite["details"]["benchmarks"].as_array().unwrap();
    assert_eq!(entries.len(), 4);
    for entry in entries {
        let (net, set) = (entry["net"].as_str().unwrap(), entry["benchmark"].as_str().unwrap());
        let alone = document(folder.path(), &[net, "--bin", &format!("suite/{set}.bin")]);
        for figure in ["accuracy", "accuracy_std", "tar_at_far", "auc", "eer", "threshold"] {
            assert_eq!(entry[figure], alone[figure], "{net}, {set}: {figure}");
        }
        let [low, high] = ["low", "high"].map(|end| entry["accuracy_interval"][end].as_f64().unwrap());
        let accuracy = entry["accuracy"].as_f64().unwrap();
        assert!(low <= accuracy && accuracy <= high && low < high, "{entry}");
    }
    assert_eq!(json(folder.path().join("both/eval.json")), suite);
    assert_shown(folder.path(), &folder.path().join("both/report.html"), 2, 48);
}

#[test]
fn rates_that_the_pairs_cannot_show_are_told() {
    let folder = trained();
    let output = succeed(xtask(folder.path()).args(["eval", "runs/one", "--suite", "suite"]));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0] == "runs/one, in %" && lines[2].starts_with("first") && lines[3].starts_with("second"), "{text}");
    assert!(lines[1].contains("TAR@1e-1") && lines[2].matches('–').count() == 6, "{text}");
    assert!(lines[4].ends_with("can show: first 6.7e-2, second 8.3e-2."), "{text}");
}

#[test]
fn evaluations_are_compared_by_what_they_left() {
    let folder = trained();
    for net in ["one", "two"] {
        document(folder.path(), &[&format!("runs/{net}"), "--suite", "suite", "--out", net]);
    }
    let [one, two] = ["one", "two"].map(|net| json(folder.path().join(net).join("eval.json")));
    let output = succeed(xtask(folder.path()).args(["eval", "compare", "one", "two/eval.json"]));
    let text = String::from_utf8(output.stdout).unwrap();
    let percent = |document: &Value| format!("{:.2}", 100.0 * document["figures"][0]["value"].as_f64().unwrap());
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((lines[0].join(" "), &lines[1][..2]), ("Pairs, in %".to_owned(), &["first", "accuracy"][..]));
    assert_eq!((lines[2][0], lines[2][1]), ("runs/one", &*percent(&one)));
    assert_eq!((lines[3][0], lines[3][1]), ("runs/two", &*percent(&two)));
}

#[test]
fn a_single_network_is_compared_too() {
    let folder = trained();
    for set in ["first", "second"] {
        document(folder.path(), &["runs/one", "--bin", &format!("suite/{set}.bin"), "--out", set]);
    }
    let compared = document(folder.path(), &["compare", "first", "second"]);
    let [first, second] = ["first", "second"].map(|set| json(folder.path().join(set).join("eval.json")));
    let figures = compared["figures"].as_array().unwrap();
    // The accuracy and TAR at four rates of each.
    assert_eq!(
        (figures.len(), &figures[0]["value"], &figures[5]["value"]),
        (10, &first["accuracy"], &second["accuracy"])
    );
}

#[test]
fn complaints() {
    let folder = tempdir().unwrap();
    let words = |words: &[&str]| fail(xtask(folder.path()).arg("eval").args(words));
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    std::fs::write(folder.path().join("other.json"), "{}").unwrap();
    assert_snapshot!(words(&["net", "--suite", "empty"]), @"error: empty: expected verification sets (.bin), found none");
    assert_snapshot!(words(&["net", "--suite", "nowhere"]), @"error: nowhere: No such file or directory (os error 2)");
    assert_snapshot!(words(&["compare", "empty"]), @"error: empty: expected the folder of an evaluation (`eval … --out DIR`), found no eval.json in it");
    assert_snapshot!(words(&["compare", "other.json"]), @"error: other.json: not written by `eval … --out`: expected the name of a network, found none");
}
