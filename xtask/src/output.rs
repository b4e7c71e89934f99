//! Results: on stdout, where everything else that is said goes to stderr, or in a text file.
//! Knows no command.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use arcface_core::checkpoint::atomic_write;
use serde::Serialize;

/// Writes `text`; a reader who has seen enough and closed the pipe is no error.
///
/// # Errors
/// If stdout cannot be written otherwise.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("stdout"),
        _ => Ok(()),
    }
}

/// Writes `value` as one JSON document.
///
/// # Errors
/// As [`text`].
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    text(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Writes `text` into a file, whole or not at all.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn file(path: &Path, text: &str) -> anyhow::Result<()> {
    Ok(atomic_write(path, |file| file.write_all(text.as_bytes()))?)
}
