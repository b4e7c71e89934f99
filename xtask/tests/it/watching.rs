//! What a run is watched by: TensorBoard's event file.
//! Knows the files of a run only; frames, checksums and messages are read here as their descriptions say.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::tempdir;

use crate::tiny::{json, resume, succeed, train};

/// Tag, step, value and wall time of a scalar.
type Scalar = (String, u64, f32, f64);

/// The event file of a run holds what its metrics say, no more and no less.
pub(crate) fn assert_events_are_the_metrics(folder: &Path, name: &str) {
    let run = folder.join("runs").join(name);
    let (version, scalars) = parse(&std::fs::read(event_file(&run)).unwrap()).unwrap();
    assert_eq!(version, "brain.Event:2");
    assert_eq!(scalars, of_metrics(&run));
}

#[test]
fn events_are_the_metrics_also_after_going_on() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["eval.every=5", "train.checkpoint_every=4", "schedule.name=constant"]));
    assert_events_are_the_metrics(folder.path(), "one");
    let run = folder.path().join("runs/one");
    // As if killed after the checkpoint of step 8, with a record half written.
    std::fs::remove_dir_all(run.join("checkpoints/step-00000012")).unwrap();
    let whole = std::fs::read(event_file(&run)).unwrap();
    std::fs::write(event_file(&run), &whole[..whole.len() - 7]).unwrap();
    succeed(&mut resume(folder.path(), "one", &["train.epochs=3"]));
    assert_events_are_the_metrics(folder.path(), "one");
    assert_eq!(of_metrics(&run).iter().filter(|(tag, ..)| tag == "train/loss").count(), 18);
}

#[test]
fn a_run_from_before_there_were_events_gets_all_of_them() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "schedule.name=constant"]));
    std::fs::remove_file(event_file(&folder.path().join("runs/one"))).unwrap();
    succeed(&mut resume(folder.path(), "one", &["train.epochs=2"]));
    assert_events_are_the_metrics(folder.path(), "one");
}

#[test]
fn tensorboard_reads_the_same_scalars() {
    let Some(python) = python() else { return };
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["eval.every=5"]));
    let run = folder.path().join("runs/one");
    let output = succeed(Command::new(python).args(["-c", READ_BACK]).arg(&run));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut read: Vec<Scalar> = serde_json::from_value(read).unwrap();
    let mut expected = of_metrics(&run);
    let by_tag_and_step = |a: &Scalar, b: &Scalar| (&a.0, a.1).cmp(&(&b.0, b.1));
    read.sort_by(by_tag_and_step);
    expected.sort_by(by_tag_and_step);
    assert_eq!(read.len(), expected.len());
    for (read, expected) in read.iter().zip(&expected) {
        assert_eq!((&read.0, read.1, read.2), (&expected.0, expected.1, expected.2));
        assert!((read.3 - expected.3).abs() < 1e-3, "{read:?}, {expected:?}");
    }
}

const READ_BACK: &str = "
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0}).Reload()
rows = [(tag, e.step, e.value, e.wall_time) for tag in events.Tags()['scalars'] for e in events.Scalars(tag)]
print(json.dumps(rows))
";

/// A Python that has TensorBoard.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("ARCFACE_PYTHON").map(PathBuf::from);
    let can_import = |python: &PathBuf| {
        Command::new(python).args(["-c", "import tensorboard"]).output().is_ok_and(|o| o.status.success())
    };
    let found = named.filter(can_import);
    if found.is_none() {
        // Written past the test harness, which would swallow it.
        let _ = writeln!(std::io::stderr(), "skipped: no Python that has tensorboard (set ARCFACE_PYTHON)");
    }
    found
}

fn event_file(run: &Path) -> PathBuf {
    let entries = std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().contains("tfevents")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// The scalars that the metrics hold, in their order.
fn of_metrics(run: &Path) -> Vec<Scalar> {
    let started = json(run.join("run.json"))["started_unix"].as_f64().unwrap();
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut scalars = Vec::new();
    for line in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let (kind, step) = (line["kind"].as_str().unwrap(), line["step"].as_u64().unwrap());
        let wall_time = started + line["seconds"].as_f64().unwrap();
        for (key, value) in line.as_object().unwrap() {
            let nested = value.as_object().into_iter().flatten();
            let nested = nested.map(|(inner, value)| (format!("{kind}/{key}/{inner}"), value));
            for (tag, value) in nested.chain([(format!("{kind}/{key}"), value)]) {
                if let (true, Some(value)) = (key != "step", value.as_f64()) {
                    scalars.push((tag, step, value as f32, wall_time));
                }
            }
        }
    }
    assert!(!scalars.is_empty());
    scalars
}

/// The version and the scalars of an event file; `None` if a length, a checksum or a field is not as described.
fn parse(mut bytes: &[u8]) -> Option<(String, Vec<Scalar>)> {
    let (mut version, mut scalars) = (String::new(), Vec::new());
    while !bytes.is_empty() {
        let data = frame(&mut bytes)?;
        let (mut wall_time, mut step, mut summary) = (0.0, 0, &[][..]);
        for (number, field) in fields(data)? {
            match (number, field) {
                (1, Field::Fixed64(bits)) => wall_time = f64::from_bits(bits),
                (2, Field::Varint(value)) => step = value,
                (3, Field::Bytes(text)) => version += std::str::from_utf8(text).ok()?,
                (5, Field::Bytes(message)) => summary = message,
                _ => return None,
            }
        }
        for (number, value) in fields(summary)? {
            let (1, Field::Bytes(message)) = (number, value) else { return None };
            match fields(message)?[..] {
                [(1, Field::Bytes(tag)), (2, Field::Fixed32(bits))] => {
                    let tag = std::str::from_utf8(tag).ok()?.to_owned();
                    scalars.push((tag, step, f32::from_bits(bits), wall_time));
                }
                _ => return None,
            }
        }
    }
    Some((version, scalars))
}

fn frame<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = checked(bytes, 8)?;
    checked(bytes, u64::from_le_bytes(length.try_into().ok()?) as usize)
}

/// The next bytes, if the checksum behind them is theirs.
fn checked<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let data = bytes.split_off(..length)?;
    let stored = u32::from_le_bytes(bytes.split_off(..4)?.try_into().ok()?);
    let unmasked = stored.wrapping_sub(0xa282_ead8).rotate_left(15);
    (unmasked == crc32c(data)).then_some(data)
}

/// Long division by the polynomial, bit by bit.
fn crc32c(data: &[u8]) -> u32 {
    let mut remainder = u32::MAX;
    for bit in data.iter().flat_map(|byte| (0..8).map(move |bit| u32::from(byte >> bit & 1))) {
        let odd = (remainder ^ bit) & 1 == 1;
        remainder /= 2;
        if odd {
            // 0x1edc6f41, its bits in reverse.
            remainder ^= 0x1edc_6f41_u32.reverse_bits();
        }
    }
    !remainder
}

#[derive(Clone, Copy)]
enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

fn fields(mut message: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut message)?),
            1 => Field::Fixed64(u64::from_le_bytes(message.split_off(..8)?.try_into().ok()?)),
            2 => {
                let length = varint(&mut message)? as usize;
                Field::Bytes(message.split_off(..length)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(message.split_off(..4)?.try_into().ok()?)),
            _ => return None,
        };
        fields.push((key >> 3, field));
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
