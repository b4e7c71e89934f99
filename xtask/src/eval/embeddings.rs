//! `cargo xtask eval embeddings`: a benchmark of one's own on embeddings that are there already.
//! Knows no network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail};
use arcface_data::PairList;
use arcface_data::pairs::folder;
use arcface_eval::report::{HardPair, ShownPair};
use arcface_eval::scores::Faces;
use arcface_eval::{Pairs, tar_at_far, verify_folds};
use serde_json::json;

use super::entries::{self, Entry};
use super::names::Names;
use super::page::{self, Outcome};
use super::rates::Rates;
use crate::cli::EmbeddingsArguments;
use crate::embed::element::Element;
use crate::embed::stored::{Stored, UnitRows};
use crate::verify::Verified;

/// Compares listed pairs or all pairs, and prints the figures.
///
/// # Errors
/// If a file cannot be read, or a list does not fit it.
pub(super) fn run(arguments: &EmbeddingsArguments) -> anyhow::Result<()> {
    let stored = Stored::open(&arguments.file)?;
    let mut outcome = match (&arguments.pairs, &arguments.labels) {
        (Some(list), _) => listed(&stored, list)?,
        (None, Some(labels)) => all_pairs(&stored, &read_labels(&stored, labels)?, arguments)?,
        (None, None) => all_pairs(&stored, &folders(&stored)?, arguments)?,
    };
    outcome.facts.extend(facts(&stored));
    outcome.tell(&arguments.output)
}

/// What there is to know about a file of embeddings.
pub(super) fn facts(stored: &Stored) -> Vec<(&'static str, String)> {
    let precision = match stored.element() {
        Element::Single => "single",
        Element::Half => "half: cosines are within 0.001 of those of the embeddings before",
    };
    vec![
        ("embeddings", format!("{} of {} values", stored.len(), stored.columns())),
        ("precision", precision.to_owned()),
    ]
}

/// Pairs of a list, with the accuracy by its folds.
fn listed(stored: &Stored, path: &Path) -> anyhow::Result<Outcome> {
    let list = PairList::read(path)?;
    let paths = stored.names().ok();
    let names = paths.as_deref().map_or_else(|| Names::numbered(stored.len()), Names::new);
    let row =
        |index: usize, name: &str| names.row(name).with_context(|| format!("{}: pair {}", path.display(), index + 1));
    let rows = list.pairs.iter().enumerate().map(|(index, pair)| Ok([row(index, &pair.a)?, row(index, &pair.b)?]));
    let rows = rows.collect::<anyhow::Result<Vec<[u32; 2]>>>()?;
    let verified = verified(stored, &rows, &list, path)?;
    let hardest = verified.hardest()?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut outcome =
        entries::outcome("Embeddings", &[Entry::new(stored.path().display().to_string(), name, verified)?])?;
    if let Some(paths) = paths {
        let shown = |pairs: &[HardPair]| shown(&paths, &rows, pairs);
        (outcome.genuine, outcome.impostors) = (shown(&hardest.genuine)?, shown(&hardest.impostors)?);
    }
    Ok(outcome)
}

fn verified(stored: &Stored, rows: &[[u32; 2]], list: &PairList, path: &Path) -> anyhow::Result<Verified> {
    let rows_used: BTreeSet<u32> = rows.iter().flatten().copied().collect();
    let used: BTreeMap<u32, usize> = rows_used.into_iter().zip(0..).collect();
    let embeddings = UnitRows::new(stored, used.keys().copied().collect()).embeddings()?;
    let places: Vec<(usize, usize)> = rows.iter().map(|[a, b]| (used[a], used[b])).collect();
    let (distances, same, folds) = (embeddings.squared_distances(&places)?, list.same(), list.folds());
    let verification = verify_folds(&distances, &same, &folds).with_context(|| path.display().to_string())?;
    Ok(Verified { verification, distances, same, folds })
}

/// Pairs whose images are there; none if one is not.
fn shown(paths: &[String], rows: &[[u32; 2]], pairs: &[HardPair]) -> anyhow::Result<Vec<ShownPair>> {
    let files = |pair: &HardPair| rows[pair.index].map(|row| paths[row as usize].as_str());
    if pairs.iter().flat_map(files).any(|path| !Path::new(path).is_file()) {
        return Ok(Vec::new());
    }
    pairs.iter().map(|pair| page::shown(pair, files(pair))).collect()
}

/// Every pair of two rows.
fn all_pairs(stored: &Stored, identities: &[u32], arguments: &EmbeddingsArguments) -> anyhow::Result<Outcome> {
    let EmbeddingsArguments { far: fars, output, .. } = arguments;
    let rows = UnitRows::all(stored);
    let parts = [Pairs::Within(Faces { rows: &rows, identities })];
    let found = tar_at_far(&parts, fars)?;
    let identities = identities.iter().max().map_or(0, |last| last + 1);
    let mut outcome = Outcome {
        protocol: "All pairs".to_owned(),
        subject: stored.path().display().to_string(),
        lead: format!("All pairs of {} embeddings of {identities} identities", stored.len()),
        details: json!({ "embeddings": stored.len(), "identities": identities }),
        ..Outcome::default()
    };
    let mut rates = Rates::new(fars);
    rates.add("all pairs", found);
    rates.tell(&mut outcome)?;
    if let Ok(paths) = stored.names() {
        outcome.look_for_hardest(output, &parts, |_, _, row| Path::new(&paths[row]))?;
    }
    Ok(outcome)
}

/// The identity of each row by the lines of a file.
fn read_labels(stored: &Stored, path: &Path) -> anyhow::Result<Vec<u32>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let labels: Vec<&str> = text.lines().map(str::trim).collect();
    if labels.len() != stored.len() {
        bail!("{}: expected a line for each of the {} rows, found {}", path.display(), stored.len(), labels.len());
    }
    if let Some(line) = labels.iter().position(|label| label.is_empty()) {
        bail!("{}: line {}: expected whom the row shows, found nothing", path.display(), line + 1);
    }
    Ok(numbered(&labels))
}

/// The identity of each row by the folder of its image.
fn folders(stored: &Stored) -> anyhow::Result<Vec<u32>> {
    let names = stored.names()?;
    let folders: Option<Vec<String>> = names.iter().map(|name| folder(name).map(str::to_owned)).collect();
    let folders = folders.context("--all-pairs: expected images in a folder for each identity; else give --labels")?;
    Ok(numbered(&folders.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// A number for each name, in the order of the names.
pub(super) fn numbered(names: &[&str]) -> Vec<u32> {
    let mut distinct: Vec<&str> = names.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let numbers: BTreeMap<&str, u32> = distinct.into_iter().zip(0..).collect();
    names.iter().map(|name| numbers[name]).collect()
}
