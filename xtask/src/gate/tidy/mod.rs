//! The rules of this workspace that no tool knows: who may depend on whom, how files begin, how long they get.
//! Knows no Rust syntax beyond comments and strings.

mod arrows;
mod licences;
mod losses;
mod sources;
mod unused;

use anyhow::bail;

use super::metadata::Workspace;

/// Checks every rule and lists every breach.
///
/// # Errors
/// If a rule is broken or a source cannot be read.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let files = sources::read_all(workspace)?;
    let mut breaches = arrows::check(workspace);
    breaches.extend(licences::check(workspace));
    breaches.extend(losses::check(workspace)?);
    breaches.extend(files.iter().flat_map(sources::check));
    breaches.extend(unused::check(workspace, &files));
    if breaches.is_empty() {
        return Ok(());
    }
    bail!("{} breaches\n  {}", breaches.len(), breaches.join("\n  "));
}
