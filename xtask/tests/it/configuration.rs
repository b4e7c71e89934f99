//! Configurations: what is printed is what runs, and nothing in a file is without effect.

use std::collections::BTreeSet;
use std::process::Command;

use tempfile::tempdir;
use toml::{Table, Value};

use crate::tiny::{succeed, xtask};

fn config(arguments: &[&str]) -> Command {
    let mut command = xtask(&std::env::temp_dir());
    command.arg("config").args(arguments);
    command
}

fn text(command: &mut Command) -> String {
    String::from_utf8(succeed(command).stdout).unwrap()
}

fn keys(table: &Table) -> BTreeSet<String> {
    let of = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) => keys(inner).into_iter().map(|rest| format!("{key}.{rest}")).collect(),
        _ => vec![key.clone()],
    };
    table.iter().flat_map(of).collect()
}

#[test]
fn the_default_file_holds_every_key_and_is_what_runs() {
    let printed = text(&mut config(&[]));
    let default: Table = printed.parse().unwrap();
    let resolved: Table = text(&mut config(&["--set", "seed=0"])).parse().unwrap();
    let own = |table: &Table| keys(table).into_iter().filter(|key| !key.starts_with("loss.")).collect::<BTreeSet<_>>();
    assert_eq!(own(&default), own(&resolved));
    for (key, value) in &resolved {
        if key != "loss" {
            assert_eq!(&default[key], value, "{key}");
        }
    }
    for optional in ["# path =", "# embedding_size =", "# weights =", "# images =", "# pairs ="] {
        assert!(printed.contains(optional), "{optional}");
    }
}

#[test]
fn what_a_run_writes_resolves_to_itself() {
    let folder = tempdir().unwrap();
    let first =
        text(&mut config(&["--set", "loss.name=subcenter_arcface", "--set", "loss.terms=[{ name = \"intra\" }]"]));
    let path = folder.path().join("again.toml");
    std::fs::write(&path, &first).unwrap();
    assert_eq!(text(&mut config(&[path.to_str().unwrap()])), first);
}

#[test]
fn every_configuration_that_comes_with_us_resolves() {
    for folder in ["", "paper/"] {
        let configs = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/").to_owned() + folder;
        let paths = std::fs::read_dir(configs).unwrap().map(|entry| entry.unwrap().path());
        for path in paths.filter(|path| path.is_file()) {
            let name = folder.to_owned() + path.file_stem().unwrap().to_str().unwrap();
            let by_path = text(&mut config(&[path.to_str().unwrap(), "--set", "seed=1"]));
            let by_name = text(&mut config(&[&name, "--set", "seed=1"]));
            assert_eq!(by_path, by_name, "{}", path.display());
        }
    }
}

#[test]
fn another_loss_brings_its_own_defaults_and_says_so() {
    let output = succeed(&mut config(&["--set", "loss.name=cosface", "--set", "loss.scale=20"]));
    let table: Table = String::from_utf8(output.stdout).unwrap().parse().unwrap();
    assert_eq!(table["loss"]["margin"].as_float(), Some(0.35));
    assert_eq!(table["loss"]["scale"].as_float(), Some(20.0));
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(note.starts_with("loss.name = \"cosface\": its own defaults apply:"), "{note}");
    assert!(note.contains("margin = 0.35") && !note.contains("scale = 64"), "{note}");
}

#[test]
fn the_name_that_is_there_already_resets_nothing() {
    let output = succeed(&mut config(&["--set", "loss.name=arcface"]));
    let table: Table = String::from_utf8(output.stdout).unwrap().parse().unwrap();
    let default: Table = text(&mut config(&[])).parse().unwrap();
    assert_eq!(table["loss"]["margin"], default["loss"]["margin"]);
}

#[test]
fn as_many_identities_are_held_out_as_are_needed() {
    let pairs = ["--set", "eval.pairs=p.csv", "--set", "eval.images=faces"];
    let table: Table = text(&mut config(&pairs)).parse().unwrap();
    assert_eq!(table["data"]["holdout"].as_integer(), Some(0));
    let folder: Table =
        text(&mut config(&["--set", "data.source=folder", "--set", "data.path=faces"])).parse().unwrap();
    assert_eq!(folder["data"]["holdout"].as_float(), Some(0.1));
    let explicit = [&pairs[..], &["--set", "data.holdout=7"]].concat();
    let table: Table = text(&mut config(&explicit)).parse().unwrap();
    assert_eq!(table["data"]["holdout"].as_integer(), Some(7));
}

#[test]
fn optimisers_go_by_the_names_of_the_default_file() {
    for name in ["sgd", "adamw"] {
        let resolved: Table = text(&mut config(&["--set", &format!("optimizer.name={name}")])).parse().unwrap();
        assert_eq!(resolved["optimizer"]["name"].as_str(), Some(name));
    }
}
