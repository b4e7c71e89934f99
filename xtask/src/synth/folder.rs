//! The folder of what is made: what it was begun with, pictures, and how far each batch has come.
//! Knows no network.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_synth::Losses;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::difference::first_change;
use crate::output;

/// What everything in the folder depends on.
const BEGUN: &str = "begun.json";
/// What is written last.
pub(super) const SUMMARY: &str = "summary.json";

/// The folder, held by this process.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Locked as long as it is open.
    _begun: File,
}

/// The pictures called `names` in another folder that was begun for the same `targets`.
///
/// # Errors
/// If it was not, or has not come to its end.
pub(super) fn pictures_of<'a>(
    path: &Path,
    targets: &str,
    names: impl Iterator<Item = &'a str>,
) -> anyhow::Result<Vec<PathBuf>> {
    let begun = path.join(BEGUN);
    if !begun.is_file() {
        bail!("{}: expected a folder that `synth` has made, found no {BEGUN} in it", path.display());
    }
    let key = read(&begun).with_context(|| format!("{}: not written by `synth`", begun.display()))?;
    if key["targets"] != targets {
        bail!(
            "{}: expected images of the same targets by the same network, found those of others; make it by this command \
             with another --out and without --against",
            path.display()
        );
    }
    if !path.join(SUMMARY).is_file() {
        bail!("{}: not at its end, there is no {SUMMARY} in it; let the command that began it go on", path.display());
    }
    Ok(names.map(|name| image_in(path, name)).collect())
}

fn image_in(folder: &Path, name: &str) -> PathBuf {
    folder.join("images").join(format!("{name}.png"))
}

fn read(begun: &Path) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&fs::read(begun)?)?)
}

/// How far a batch has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Beginnings that are done; its pictures are the best of them.
    pub(super) beginnings: u64,
    /// Of each picture, to its target.
    pub(super) cosines: Vec<f64>,
    /// Seconds of all its steps.
    pub(super) seconds: f64,
    /// Of its last step.
    pub(super) losses: Terms,
}

/// The terms of a step, without their weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) objective: f64,
    pub(super) statistics: f64,
    pub(super) total_variation: f64,
    pub(super) l2: f64,
    pub(super) total: f64,
}

impl From<Losses> for Terms {
    fn from(losses: Losses) -> Self {
        let Losses { objective, statistics, total_variation, l2, total, .. } = losses;
        Self { objective, statistics, total_variation, l2, total }
    }
}

impl Folder {
    /// The folder at `path`, new or begun with the same `key`.
    ///
    /// # Errors
    /// If it holds something else, was begun with another key, is in use, or cannot be made.
    pub(super) fn open(path: &Path, key: &Value) -> anyhow::Result<Self> {
        let begun = path.join(BEGUN);
        if !begun.is_file() {
            refuse_filled(path)?;
            fs::create_dir_all(path).with_context(|| format!("--out {} cannot be made", path.display()))?;
            output::file(&begun, &(serde_json::to_string_pretty(key)? + "\n"))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&begun);
        let file = file.with_context(|| begun.display().to_string())?;
        if file.try_lock().is_err() {
            bail!("{}: another process works in this folder; wait for it", path.display());
        }
        refuse_other(&begun, key)?;
        let images = path.join("images");
        fs::create_dir_all(&images).with_context(|| format!("{} cannot be made", images.display()))?;
        Ok(Self { path: path.to_owned(), _begun: file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The picture called `name`.
    pub(super) fn image(&self, name: &str) -> PathBuf {
        image_in(&self.path, name)
    }

    /// Makes room for frames.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub(super) fn make_frames(&self) -> anyhow::Result<()> {
        let frames = self.path.join("frames");
        fs::create_dir_all(&frames).with_context(|| format!("{} cannot be made", frames.display()))
    }

    /// All pictures of a batch of `batches` after `step`.
    pub(super) fn frame(&self, batch: usize, batches: usize, step: u64) -> PathBuf {
        let place = if batches == 1 { String::new() } else { format!("batch-{batch}-") };
        self.path.join("frames").join(format!("{place}step-{step:06}.png"))
    }

    /// The animation of the frames of a batch of `batches`.
    pub(super) fn animation(&self, batch: usize, batches: usize) -> PathBuf {
        let place = if batches == 1 { String::new() } else { format!("-{batch}") };
        self.path.join(format!("animation{place}.png"))
    }

    /// What a beginning of a batch goes on from.
    pub(super) fn state(&self, batch: usize, beginning: u64) -> PathBuf {
        self.path.join(format!("state-{batch}-{beginning}.safetensors"))
    }

    /// How far a batch has come; `None` if it was not begun.
    ///
    /// # Errors
    /// If its record cannot be read.
    pub(super) fn record(&self, batch: usize) -> anyhow::Result<Option<Record>> {
        let path = self.record_path(batch);
        if !path.is_file() {
            return Ok(None);
        }
        let read = || anyhow::Ok(serde_json::from_slice(&fs::read(&path)?)?);
        read().map(Some).with_context(|| format!("{}: remove it to make its batch again", path.display()))
    }

    /// Keeps how far a batch has come.
    ///
    /// # Errors
    /// If the disk is full.
    pub(super) fn put_record(&self, batch: usize, record: &Record) -> anyhow::Result<()> {
        output::file(&self.record_path(batch), &(serde_json::to_string_pretty(record)? + "\n"))
    }

    fn record_path(&self, batch: usize) -> PathBuf {
        self.path.join(format!("batch-{batch}.json"))
    }
}

fn refuse_filled(path: &Path) -> anyhow::Result<()> {
    if path.exists() && !path.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        bail!(
            "--out {}: expected a new or empty folder, or one that the same command has begun, found other content; choose \
             another name",
            path.display()
        );
    }
    Ok(())
}

fn refuse_other(begun: &Path, key: &Value) -> anyhow::Result<()> {
    let before = read(begun).with_context(|| format!("{}: remove the folder and begin anew", begun.display()))?;
    let Some((name, before, now)) = first_change("", &before, key) else { return Ok(()) };
    bail!(
        "{}: begun with {name} {before}, and would go on with {now}; choose another --out, or remove the folder",
        begun.display()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_begun_so_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let words = |key: Value| {
            let error = format!("{:#}", Folder::open(&path, &key).unwrap_err());
            error.replace(&folder.path().display().to_string(), "DIR")
        };
        let key = json!({ "seed": 0, "configuration": { "steps": 20 } });
        let held = Folder::open(&path, &key).unwrap();
        assert_eq!(words(key.clone()), "DIR/out: another process works in this folder; wait for it");
        let losses = Terms { total: 0.1, ..Terms::default() };
        let record = Record { beginnings: 1, cosines: vec![0.5], seconds: 1.5, losses };
        held.put_record(3, &record).unwrap();
        drop(held);
        let again = Folder::open(&path, &key).unwrap();
        assert_eq!((again.record(3).unwrap(), again.record(0).unwrap()), (Some(record), None));
        fs::write(path.join("batch-0.json"), "torn").unwrap();
        assert!(again.record(0).is_err());
        drop(again);
        let other = json!({ "seed": 0, "configuration": { "steps": 30 } });
        let advice = "choose another --out, or remove the folder";
        let expected =
            format!("DIR/out/begun.json: begun with configuration.steps 20, and would go on with 30; {advice}");
        assert_eq!(words(other), expected);
        fs::write(path.join(BEGUN), "torn").unwrap();
        assert!(words(key.clone()).starts_with("DIR/out/begun.json: remove the folder and begin anew: "));
        fs::remove_file(path.join(BEGUN)).unwrap();
        assert!(words(key).contains("found other content; choose another name"));
    }

    #[test]
    fn only_what_shows_the_same_targets_is_compared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let pictures = |targets: &str| pictures_of(&path, targets, ["a", "b"].into_iter());
        let words = |targets: &str| {
            let error = format!("{:#}", pictures(targets).unwrap_err());
            error.replace(&folder.path().display().to_string(), "DIR")
        };
        assert_eq!(words("1f"), "DIR/out: expected a folder that `synth` has made, found no begun.json in it");
        let held = Folder::open(&path, &json!({ "targets": "1f" })).unwrap();
        assert!(words("2e").starts_with("DIR/out: expected images of the same targets by the same network, found"));
        let expected = "DIR/out: not at its end, there is no summary.json in it; let the command that began it go on";
        assert_eq!(words("1f"), expected);
        fs::write(path.join(SUMMARY), "").unwrap();
        assert_eq!(pictures("1f").unwrap(), [held.image("a"), held.image("b")]);
        fs::write(path.join(BEGUN), "torn").unwrap();
        assert!(words("1f").starts_with("DIR/out/begun.json: not written by `synth`: "));
    }
}
