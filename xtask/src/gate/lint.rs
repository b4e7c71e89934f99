//! `cargo xtask lint`: every check that is not a test.
//! Knows no rule of its own; those are in `tidy` and in the tools' configurations.

use std::process::Command;
use std::time::Instant;

use anyhow::bail;

use super::metadata::Workspace;
use super::{emulated, process, tidy};

/// Targets the code is type-checked for, where their standard library is installed.
const TARGETS: [&str; 4] =
    ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-pc-windows-gnu", "aarch64-apple-darwin"];

/// A tool that is not part of Rust's own distribution.
struct Tool {
    program: &'static str,
    arguments: &'static [&'static str],
    install: &'static str,
    /// What covers it where it is missing.
    without: &'static str,
}

const TOOLS: [Tool; 4] = [
    Tool { program: "typos", arguments: &[], install: "pip install typos", without: "spelling is not checked" },
    Tool {
        program: "taplo",
        arguments: &["fmt", "--check"],
        install: "pip install taplo",
        without: "the form of TOML files is not checked",
    },
    Tool {
        program: "cargo-deny",
        arguments: &["--workspace", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"],
        install: "cargo install --locked cargo-deny",
        without: "tidy checked licences, bans and sources",
    },
    Tool {
        program: "cargo-machete",
        arguments: &[],
        install: "cargo install --locked cargo-machete",
        without: "tidy looked for unused dependencies",
    },
];

/// Runs every check, then says which failed and which could not run.
///
/// # Errors
/// If a check fails.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut outcome = Outcome::default();
    outcome.check("rustfmt", || process::run(cargo(workspace).args(["fmt", "--all", "--check"])));
    outcome.check("tidy", || tidy::run(workspace));
    outcome.check("clippy", || {
        process::run(cargo(workspace).args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    outcome.check("rustdoc", || {
        process::run(cargo(workspace).env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--workspace", "--no-deps"]))
    });
    outcome.check("examples", || lint_examples(workspace));
    // Under `cargo test` criterion runs every benchmark once, in the profile that the tests share.
    outcome.check("benches, once", || process::run(cargo(workspace).args(["test", "--workspace", "--bench", "*"])));
    match emulated::missing() {
        None => outcome.check("clippy, feature cuda", || process::run(&mut emulated::clippy(workspace))),
        Some(why) => outcome.missing.push(why.to_owned()),
    }
    for tool in &TOOLS {
        outcome.tool(workspace, tool);
    }
    for target in TARGETS {
        outcome.target(workspace, target);
    }
    outcome.conclude()
}

/// Form and lints of the worked examples, which are workspaces of their own.
fn lint_examples(workspace: &Workspace) -> anyhow::Result<()> {
    for mut command in workspace.examples() {
        process::run(command.args(["fmt", "--all", "--check"]))?;
    }
    for mut command in workspace.examples() {
        process::run(command.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    }
    Ok(())
}

fn cargo(workspace: &Workspace) -> Command {
    process::cargo(&workspace.root)
}

/// What became of the checks so far.
#[derive(Debug, Default)]
struct Outcome {
    failed: Vec<String>,
    missing: Vec<String>,
}

impl Outcome {
    fn check(&mut self, name: &str, check: impl FnOnce() -> anyhow::Result<()>) {
        eprintln!("── {name}");
        let start = Instant::now();
        match check() {
            Ok(()) => eprintln!("   {name}: passed in {:.1} s", start.elapsed().as_secs_f64()),
            Err(error) => {
                eprintln!("   {name}: {error:#}");
                self.failed.push(name.to_owned());
            }
        }
    }

    fn tool(&mut self, workspace: &Workspace, tool: &Tool) {
        if !process::works(Command::new(tool.program).arg("--version")) {
            self.missing.push(format!("{} is not installed ({}): `{}`", tool.program, tool.without, tool.install));
            return;
        }
        let mut command = Command::new(tool.program);
        command.args(tool.arguments).current_dir(&workspace.root);
        self.check(tool.program, || process::run(&mut command));
    }

    /// Type-checks for `target`; the C code of dependencies is not compiled, since nothing is linked.
    fn target(&mut self, workspace: &Workspace, target: &str) {
        if host(workspace).is_some_and(|host| host == target) {
            return;
        }
        if !installed(workspace, target) {
            self.missing.push(format!("{target} is not type-checked: `rustup target add {target}`"));
            return;
        }
        let name = target.replace('-', "_");
        let mut command = cargo(workspace);
        command.args(["check", "--workspace", "--target", target]);
        command.env(format!("CC_{name}"), "true").env(format!("AR_{name}"), "true");
        self.check(target, || process::run(&mut command));
    }

    fn conclude(self) -> anyhow::Result<()> {
        for line in &self.missing {
            eprintln!("not run: {line}");
        }
        if !self.failed.is_empty() {
            bail!("lint failed: {}", self.failed.join(", "));
        }
        eprintln!("lint passed");
        Ok(())
    }
}

/// The target that rustc builds for unasked.
fn host(workspace: &Workspace) -> Option<String> {
    let output = Command::new("rustc").current_dir(&workspace.root).arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

/// Whether the standard library of `target` is there.
fn installed(workspace: &Workspace, target: &str) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(&workspace.root).args(["--print", "target-libdir", "--target", target]);
    let Ok(output) = rustc.output() else { return false };
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}
