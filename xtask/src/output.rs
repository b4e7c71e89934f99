//! Results on stdout; everything else that is said goes to stderr.
//! Knows no command.

use std::io::{ErrorKind, Write};

use anyhow::Context;
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
