//! `cargo xtask test`: every test and doctest of the workspace and of the worked examples.
//! Knows no test in particular; a test that lacks its data prints a line that begins with `skipped`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use arcface_core::ops::simd::{self, Width};

use super::metadata::Workspace;
use super::{emulated, process};

/// Runs the tests, then says which were skipped for want of data.
///
/// # Errors
/// If a test fails or cannot be built.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut skipped = Vec::new();
    let mut failed = Vec::new();
    for mut command in commands(workspace) {
        eprintln!("── {}{}", process::show(&command), place(&command));
        if let Err(error) = watch(&mut command, &mut skipped) {
            failed.push(format!("{error:#}"));
        }
    }
    skipped.extend(emulated::missing().map(|why| format!("skipped: {why}")));
    report_skipped(skipped);
    if !failed.is_empty() {
        bail!("tests failed: {}", failed.join("; "));
    }
    println!("all tests passed");
    Ok(())
}

/// Modules of tests that the operators' kernels decide.
const OF_KERNELS: [&str; 6] = ["ops::", "conv::", "linear::", "gradients::", "oracle::", "properties::"];

/// The worked examples first, so that the closing lines are those of the workspace; the kernels once more as narrower
/// processors run them, and on an emulated CUDA device.
fn commands(workspace: &Workspace) -> Vec<Command> {
    let mut whole: Vec<Command> = workspace.examples().chain([process::cargo(&workspace.root)]).collect();
    for command in &mut whole {
        command.args(["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    }
    let at = whole.len() - 1;
    let narrower = [(Width::Baseline, "baseline", "1"), (Width::Avx2, "avx2", "2")];
    let narrower = narrower.into_iter().filter(|(width, ..)| *width < simd::width());
    let narrower = narrower.map(|(_, width, threads)| narrow(workspace, width, threads));
    let emulated = emulated::missing().is_none().then(|| emulated::tests(workspace));
    let kernels = emulated.as_ref().and_then(|_| emulated::kernels(workspace));
    whole.splice(at..at, narrower.chain(emulated).chain(kernels));
    whole
}

/// The tests of the kernels with vectors of one width.
fn narrow(workspace: &Workspace, width: &str, threads: &str) -> Command {
    let mut command = process::cargo(&workspace.root);
    command.env(simd::LIMIT, width).env("RAYON_NUM_THREADS", threads);
    command
        .args(["test", "--workspace", "--no-fail-fast", "--lib", "--test", "it", "--", "--show-output"])
        .args(OF_KERNELS);
    command
}

fn place(command: &Command) -> String {
    let folder = command.get_current_dir().and_then(|folder| folder.file_name());
    folder.map(|name| format!(" ({})", name.to_string_lossy())).unwrap_or_default()
}

/// Runs `command` and passes on what it prints, except for the output of passing tests, of which it keeps what was skipped.
fn watch(command: &mut Command, skipped: &mut Vec<String>) -> anyhow::Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cargo test could not be started")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut filter = Filter::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("output of cargo test")?;
        if let Some(line) = filter.pass(line) {
            println!("{line}");
        }
    }
    skipped.append(&mut filter.skipped);
    let status = child.wait().context("cargo test")?;
    if !status.success() {
        bail!("{}{} ({status})", process::show(command), place(command));
    }
    Ok(())
}

/// Tells libtest's own lines from what passing tests printed.
#[derive(Debug, Default)]
struct Filter {
    within_successes: bool,
    skipped: Vec<String>,
}

impl Filter {
    /// The line if it is to be shown.
    fn pass(&mut self, line: String) -> Option<String> {
        if line == "successes:" {
            self.within_successes = true;
        } else if line == "failures:" || line.starts_with("test result:") {
            self.within_successes = false;
        }
        if !self.within_successes {
            return Some(line);
        }
        if line.starts_with("skipped") {
            self.skipped.push(line);
        }
        None
    }
}

fn report_skipped(mut skipped: Vec<String>) {
    skipped.sort();
    skipped.dedup();
    for line in &skipped {
        println!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_passing_tests_is_left_out_except_for_what_was_skipped() {
        let printed = "running 2 tests\ntest a ... ok\n\nsuccesses:\n\n---- a stdout ----\nnoise\nskipped: no faces\n\n\
                       successes:\n    a\n\nfailures:\n\n---- b stdout ----\nwhy\n\ntest result: FAILED. 1 passed";
        let mut filter = Filter::default();
        let shown: Vec<String> = printed.lines().filter_map(|line| filter.pass(line.to_owned())).collect();
        assert_eq!(filter.skipped, ["skipped: no faces"]);
        let expected = [
            "running 2 tests",
            "test a ... ok",
            "",
            "failures:",
            "",
            "---- b stdout ----",
            "why",
            "",
            "test result: FAILED. 1 passed",
        ];
        assert_eq!(shown, expected);
    }
}
