//! Every linked loss says what it is, and stands in the README's table of losses.
//! Knows no formula.

use anyhow::Context;
use arcface_losses::LossEntry;

use crate::gate::metadata::Workspace;

/// Every loss that lacks a summary, a formula or a row with that formula in the README.
///
/// # Errors
/// If the README cannot be read or two losses have one name.
pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let path = workspace.root.join("README.md");
    let readme = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(arcface_losses::losses()?.into_iter().flat_map(|loss| check_loss(loss, &readme)).collect())
}

fn check_loss(loss: &LossEntry, readme: &str) -> Vec<String> {
    let row = format!("| `{}` | {} |", loss.name, loss.formula);
    let mut breaches = Vec::new();
    if loss.summary.is_empty() || loss.formula.is_empty() {
        breaches.push(format!("loss `{}` has no summary or no formula", loss.name));
    }
    if !readme.contains(&row) {
        breaches.push(format!("loss `{}` has no row in the README's table of losses: `{row}`", loss.name));
    }
    breaches
}
