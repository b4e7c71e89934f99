//! The folder that figures go into: each as SVG, as PNG, and with the numbers that it shows.
//! Knows no figure.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use arcface_core::checkpoint::atomic_write;
use arcface_eval::report;
use serde::Serialize;

use crate::output;

/// The folder.
pub(super) struct Album {
    folder: PathBuf,
}

impl Album {
    /// The folder at `path`, made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("--out {} cannot be made", path.display()))?;
        Ok(Self { folder: path.to_owned() })
    }

    /// Writes `NAME.svg`, `NAME.png` and the numbers as `NAME.json`; a figure of before makes way.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(super) fn put(&self, name: &str, svg: &str, numbers: &impl Serialize) -> anyhow::Result<()> {
        let png = report::png(svg)?;
        output::file(&self.path(name, "svg"), svg)?;
        atomic_write(&self.path(name, "png"), |file| file.write_all(&png))?;
        self.numbers(name, numbers)?;
        eprintln!("{}, .png, .json", self.path(name, "svg").display());
        Ok(())
    }

    /// Writes numbers alone, as `NAME.json`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn numbers(&self, name: &str, numbers: &impl Serialize) -> anyhow::Result<()> {
        output::file(&self.path(name, "json"), &(serde_json::to_string_pretty(numbers)? + "\n"))
    }

    /// Where `NAME.ENDING` stands.
    pub(super) fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }
}
