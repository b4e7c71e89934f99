//! Runs that take a second: a few drawn faces of 32×32 pixels in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What makes a run tiny.
const TINY: [&str; 9] = [
    "data.identities=14",
    "data.images_per_identity=6",
    "data.holdout=4",
    "model.input_size=32",
    "train.batch_size=10",
    "train.epochs=2",
    "train.log_every=1",
    "eval.count=40",
    "eval.folds=2",
];

/// The command line, to be run in `folder`.
///
/// `ARCFACE_XTASK` names it where the tests run on another machine than they were built on.
pub(crate) fn xtask(folder: &Path) -> Command {
    let program = std::env::var_os("ARCFACE_XTASK").unwrap_or_else(|| env!("CARGO_BIN_EXE_xtask").into());
    let mut command = Command::new(program);
    command.current_dir(folder).env_remove("RUST_BACKTRACE");
    command
}

/// `data`, to be run in `folder`.
pub(crate) fn data(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = xtask(folder);
    command.arg("data").args(arguments);
    command
}

/// `train` with tiny settings and those of `set` over them.
pub(crate) fn train(folder: &Path, name: &str, set: &[&str]) -> Command {
    let mut command = xtask(folder);
    command.args(["train", "--name", name]);
    for assignment in TINY.iter().chain(set) {
        command.args(["--set", assignment]);
    }
    command
}

/// Goes on with a run.
pub(crate) fn resume(folder: &Path, name: &str, set: &[&str]) -> Command {
    let mut command = xtask(folder);
    command.args(["train", "--resume", "--name", name]);
    for assignment in set {
        command.args(["--set", assignment]);
    }
    command
}

/// Runs a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a command that must fail, and gives what it says last, with the temporary folder as `DIR`.
pub(crate) fn fail(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.status.code() != Some(101), "{command:?}\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    let folder = command.get_current_dir().unwrap().display().to_string();
    text.lines().last().unwrap_or_default().replace(&folder, "DIR")
}

/// A JSON document.
pub(crate) fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The lines of a run's metrics without their times.
pub(crate) fn metrics(folder: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("runs").join(name).join("metrics.jsonl")).unwrap();
    let without_times = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for time in ["seconds", "images_per_second"] {
            line.as_object_mut().unwrap().remove(time);
        }
        line
    };
    text.lines().map(without_times).collect()
}
