//! A folder for files that two programs hand to each other: one that the user names and keeps, or one that goes again.
//! Knows no file in it.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The folder; removed in the end unless the user named it.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    keep: Keep,
}

/// What becomes of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

impl Scratch {
    /// The folder `kept`, made if need be, or else a new one among the system's temporary files.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn new(kept: Option<&Path>) -> anyhow::Result<Self> {
        let (path, keep) = match kept {
            Some(path) => (path.to_owned(), Keep::Yes),
            None => (std::env::temp_dir().join(format!("arcface-bench-{}", std::process::id())), Keep::No),
        };
        std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        Ok(Self { path, keep })
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep == Keep::No {
            // Whatever cannot be removed the system removes some day.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
