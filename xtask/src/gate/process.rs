//! Running other programs: where, with what, and what became of them.
//! Knows no program in particular.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The cargo that runs us, or the one on the path.
pub(super) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Runs `command` to its end, its output being ours.
///
/// # Errors
/// If it cannot be started or fails.
pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{} could not be started", show(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", show(command));
    }
    Ok(())
}

/// Whether `command` can be started and succeeds, without showing what it says.
pub(super) fn works(command: &mut Command) -> bool {
    match command.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) => status.success(),
        Err(error) => error.kind() != ErrorKind::NotFound && error.kind() != ErrorKind::PermissionDenied,
    }
}

/// The command as one would type it.
pub(super) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
