//! The README's commands are commands that exist, with keys that exist.

use tempfile::tempdir;

use crate::tiny::{succeed, xtask};

/// Every `cargo xtask …` of the README's code blocks, as words.
fn commands() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let blocks = text.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines).filter_map(|line| line.trim().strip_prefix("cargo xtask "));
    let words = |line: &str| line.split('#').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    lines.map(words).collect()
}

#[test]
fn commands_of_the_readme_are_understood() {
    let folder = tempdir().unwrap();
    let commands = commands();
    assert!(7 <= commands.len(), "{commands:?}");
    for words in commands {
        // With `--help` behind them the words before are parsed, and nothing is done.
        succeed(xtask(folder.path()).args(&words).arg("--help"));
        let set: Vec<&String> =
            words.iter().zip(words.iter().skip(1)).filter(|(key, _)| *key == "--set").map(|(_, value)| value).collect();
        if words[0] == "train" && !words.contains(&"--resume".to_owned()) {
            let configuration = words.get(1).filter(|word| !word.starts_with('-'));
            let mut config = xtask(folder.path());
            config.arg("config").args(configuration).args(set.iter().flat_map(|value| ["--set", value.as_str()]));
            succeed(&mut config);
        }
    }
}
