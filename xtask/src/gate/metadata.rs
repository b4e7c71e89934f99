//! The workspace as `cargo metadata` describes it: packages, their dependencies and licences.
//! Knows no rule.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::process;

/// All packages that a build may see, ours among them.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Workspace {
    /// Every package of the resolved graph.
    pub(super) packages: Vec<Package>,
    /// Identifiers of our own packages.
    #[serde(rename = "workspace_members")]
    member_ids: Vec<String>,
    /// The folder of the workspace's `Cargo.toml`.
    #[serde(rename = "workspace_root")]
    pub(super) root: PathBuf,
    /// Where builds go.
    #[serde(rename = "target_directory")]
    pub(super) target: PathBuf,
}

/// One package.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) manifest_path: PathBuf,
    /// `None` for packages of a local path.
    pub(super) source: Option<String>,
    /// SPDX expression.
    pub(super) license: Option<String>,
    pub(super) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(super) metadata: serde_json::Value,
}

/// A dependency as the manifest asks for it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// The name in code, where it differs.
    pub(super) rename: Option<String>,
    /// `None`, `dev` or `build`.
    pub(super) kind: Option<String>,
    /// Whether a feature turns it on.
    #[serde(default)]
    pub(super) optional: bool,
}

impl Workspace {
    /// The workspace around the current folder.
    ///
    /// # Errors
    /// If cargo cannot be asked or answers otherwise than expected.
    pub(super) fn load() -> anyhow::Result<Self> {
        let mut command = process::cargo(Path::new("."));
        let output = command.args(["metadata", "--format-version", "1"]).output().context("cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("cargo metadata: unexpected answer")
    }

    /// Our own packages.
    pub(super) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.member_ids.contains(&package.id))
    }

    /// A cargo in each folder of `xtask/examples` that is a workspace of its own, sharing our target folder: the
    /// third-party crates are then built once.
    pub(super) fn examples(&self) -> impl Iterator<Item = Command> {
        let entries = std::fs::read_dir(self.root.join("xtask").join("examples")).into_iter().flatten();
        let mut folders: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        folders.retain(|folder| folder.join("Cargo.toml").is_file());
        folders.sort();
        folders.into_iter().map(|folder| {
            let mut command = process::cargo(&folder);
            command.env("CARGO_TARGET_DIR", &self.target);
            command
        })
    }
}

impl Package {
    /// The folder of its manifest.
    pub(super) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

impl Dependency {
    /// The name it has in code.
    pub(super) fn identifier(&self) -> String {
        self.rename.as_deref().unwrap_or(&self.name).replace('-', "_")
    }
}
