//! PyTorch and numpy as peers: the Python that `ARCFACE_PYTHON` names, and our scripts run by it.
//! Knows no case and no figure; files go in and come out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::output;

/// The environment variable that names the interpreter.
pub(super) const VARIABLE: &str = "ARCFACE_PYTHON";

/// Our definitions in PyTorch, which travel with the binary.
const SCRIPTS: [(&str, &str); 8] = [
    ("tensors.py", include_str!("../../peer/tensors.py")),
    ("networks.py", include_str!("../../peer/networks.py")),
    ("losses.py", include_str!("../../peer/losses.py")),
    ("recipe.py", include_str!("../../peer/recipe.py")),
    ("protocols.py", include_str!("../../peer/protocols.py")),
    ("speed.py", include_str!("../../peer/speed.py")),
    ("steps.py", include_str!("../../peer/steps.py")),
    ("train.py", include_str!("../../peer/train.py")),
];

/// A Python that has what the scripts import.
#[derive(Debug)]
pub(super) struct Peer {
    python: PathBuf,
    /// The version of the first of its modules.
    pub(super) version: String,
}

impl Peer {
    /// The peer that the environment names, which must be able to import `modules`.
    ///
    /// # Errors
    /// If none is named, or it lacks a module; the message says how to make one.
    pub(super) fn find(modules: &[&str]) -> anyhow::Result<Self> {
        let advice = advice(modules);
        let Some(python) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from) else {
            bail!("{VARIABLE}: expected the path of a Python that has {}, found none; {advice}", modules.join(", "));
        };
        let first = modules.first().unwrap_or(&"sys");
        let probe = format!("import {}; print({first}.__version__)", modules.join(", "));
        let place = format!("{VARIABLE}={}", python.display());
        let answer = Command::new(&python).args(["-c", &probe]).output();
        let answer = answer.with_context(|| format!("{place}: cannot be started; {advice}"))?;
        if !answer.status.success() {
            let said = String::from_utf8_lossy(&answer.stderr);
            let said = said.trim_end().lines().last().unwrap_or("it does not say why");
            bail!("{place}: cannot import {} ({said}); {advice}", modules.join(", "));
        }
        Ok(Self { python, version: String::from_utf8_lossy(&answer.stdout).trim().to_owned() })
    }

    /// Runs `script` on `jobs`, its words being ours; all files lie in `folder`.
    ///
    /// # Errors
    /// If a file cannot be written or the script fails.
    pub(super) fn run(&self, script: &str, jobs: &Value, folder: &Path) -> anyhow::Result<()> {
        let list = folder.join("jobs.json");
        output::file(&list, &serde_json::to_string_pretty(jobs)?)?;
        let mut command = self.command(script, folder)?;
        command.arg(&list).stdout(Stdio::null());
        // Threads that wait for each other give up their processors: on a busy machine spinning ones stop everything.
        command.env("OMP_WAIT_POLICY", "PASSIVE");
        let status = command.status().with_context(|| format!("{} could not be started", self.python.display()))?;
        if !status.success() {
            bail!("the peer's {script} failed ({status}); its own words stand above");
        }
        Ok(())
    }

    /// A command that runs `script`; it and what it imports are put into `folder`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(super) fn command(&self, script: &str, folder: &Path) -> anyhow::Result<Command> {
        for (name, text) in SCRIPTS {
            output::file(&folder.join(name), text)?;
        }
        let mut command = Command::new(&self.python);
        command.arg(folder.join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(command)
    }
}

fn advice(modules: &[&str]) -> String {
    let packages = modules.iter().map(|module| if *module == "PIL" { "pillow" } else { module });
    let packages = packages.collect::<Vec<_>>().join(" ");
    format!(
        "make one with `python3 -m venv peer && peer/bin/pip install {packages}` and set {VARIABLE}=peer/bin/python"
    )
}
