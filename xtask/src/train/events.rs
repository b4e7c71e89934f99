//! TensorBoard's event file of a run: the scalars of `metrics.jsonl`, line by line, under the tags `kind/key`.
//! Knows no training; its bytes follow from those lines and the second in which the run began.

mod wire;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use arcface_core::checkpoint::atomic_write;
use serde_json::Value;

use crate::run::{PROVENANCE, RunFolder};

/// TensorBoard takes a file for one of events by this part of its name.
const NAME: &str = "events.out.tfevents";
/// Keys of a line that are no scalars over the steps.
const NOT_SCALARS: [&str; 2] = ["kind", "step"];

/// The event file of one run.
#[derive(Debug)]
pub(super) struct Events {
    path: PathBuf,
    /// When the run began, in seconds since 1970.
    started: u64,
}

impl Events {
    /// The event file of `run`, whether it is there or not.
    ///
    /// # Errors
    /// If what the run was made by cannot be read.
    pub(super) fn of(run: &RunFolder) -> anyhow::Result<Self> {
        let started = run.read_json(PROVENANCE)?["started_unix"].as_u64().unwrap_or(0);
        Ok(Self { path: run.path().join(format!("{NAME}.{started}.arcface")), started })
    }

    /// Writes the file anew with all `lines` of the metrics, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write<'a>(&self, lines: impl IntoIterator<Item = &'a Value>) -> anyhow::Result<()> {
        let mut bytes = wire::record(&wire::file_version(self.started as f64));
        lines.into_iter().for_each(|line| bytes.extend(self.record(line)));
        Ok(atomic_write(&self.path, |file| file.write_all(&bytes))?)
    }

    /// Adds one line of the metrics.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn append(&self, line: &Value) -> anyhow::Result<()> {
        let append = || fs::OpenOptions::new().append(true).open(&self.path)?.write_all(&self.record(line));
        append().with_context(|| self.path.display().to_string())
    }

    /// The record of a line; none, if it holds no scalar.
    fn record(&self, line: &Value) -> Vec<u8> {
        let scalars = scalars(line);
        if scalars.is_empty() {
            return Vec::new();
        }
        // Pauses between sittings are left out: a clock that follows from the line alone can be written again.
        let wall_time = self.started as f64 + line["seconds"].as_f64().unwrap_or(0.0);
        wire::record(&wire::scalars(wall_time, line["step"].as_u64().unwrap_or(0), &scalars))
    }
}

/// Tag and value of every number in a line; `null`, which stands for what was not measured, has none.
fn scalars(line: &Value) -> Vec<(String, f32)> {
    let mut found = Vec::new();
    let kind = line["kind"].as_str().unwrap_or("other");
    let fields = line.as_object().into_iter().flatten().filter(|(key, _)| !NOT_SCALARS.contains(&key.as_str()));
    fields.for_each(|(key, value)| collect(&format!("{kind}/{key}"), value, &mut found));
    found
}

fn collect(tag: &str, value: &Value, found: &mut Vec<(String, f32)>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| collect(&format!("{tag}/{key}"), value, found)),
        value => found.extend(value.as_f64().map(|value| (tag.to_owned(), value as f32))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(line: &Value, expected: &[(&str, f32)]) {
        let expected: Vec<(String, f32)> = expected.iter().map(|(tag, value)| ((*tag).to_owned(), *value)).collect();
        assert_eq!(scalars(line), expected, "{line}");
    }

    #[test]
    fn every_number_of_a_line_but_its_step_is_a_scalar() {
        check(
            &json!({ "kind": "train", "step": 3, "loss": 1.5, "target_angle": null, "skipped_steps": 0 }),
            &[("train/loss", 1.5), ("train/skipped_steps", 0.0)],
        );
        check(
            &json!({ "kind": "eval", "step": 9, "tar_at_far": { "1e-1": 0.5, "1e-4": null } }),
            &[("eval/tar_at_far/1e-1", 0.5)],
        );
        check(&json!({ "kind": "skipped", "step": 3, "reason": "the loss is NaN" }), &[]);
    }

    #[test]
    fn lines_that_were_appended_are_as_if_written_together() {
        let folder = tempfile::tempdir().unwrap();
        let lines = [
            json!({ "kind": "train", "step": 1, "loss": 2.0, "seconds": 0.5 }),
            json!({ "kind": "skipped", "step": 2, "reason": "" }),
            json!({ "kind": "eval", "step": 300, "auc": 0.9 }),
        ];
        let [apart, together] =
            ["a", "b"].map(|name| Events { path: folder.path().join(name), started: 1_700_000_000 });
        apart.write([]).unwrap();
        for line in &lines {
            apart.append(line).unwrap();
        }
        together.write(&lines).unwrap();
        assert_eq!(fs::read(apart.path).unwrap(), fs::read(together.path).unwrap());
    }
}
