//! Whether a state dict fits a network, and if not, what exactly is wrong with it.
//! Knows no file; whoever read one adds its path.

use std::collections::BTreeSet;
use std::fmt::Write;

use arcface_core::candle::{DType, Tensor};
use arcface_core::{Error, Result};

use crate::plan::{Entry, Kind};
use crate::weights::StateDict;

/// Names that are listed of each fault; the number of all is always told.
const LISTED: usize = 3;

/// Checks that `state` holds exactly the `entries` of `network`.
///
/// # Errors
/// Listing missing, extra and misshaped tensors and those of another kind of type.
pub(crate) fn check(network: &str, entries: &[Entry], state: &StateDict) -> Result<()> {
    let found = || entries.iter().filter_map(|entry| Some((entry, state.get(&entry.file_name)?)));
    let faults = [
        ("missing", missing(entries, state)),
        ("extra", extra(entries, state)),
        ("misshaped", found().filter_map(|(entry, tensor)| misshaped(entry, tensor)).collect()),
        ("of the wrong type", found().filter_map(|(entry, tensor)| mistyped(entry, tensor)).collect()),
    ];
    let listed: Vec<String> = faults.iter().filter_map(|(fault, names)| list(fault, names)).collect();
    if listed.is_empty() {
        return Ok(());
    }
    let listed = listed.join("; ");
    Err(Error::Invalid(format!("weights do not fit {network}: {listed}; name the network they were made for")))
}

/// Counts of batches are younger than torch 0.4.1: a file without any is whole.
fn missing(entries: &[Entry], state: &StateDict) -> Vec<String> {
    let counted = entries.iter().any(|entry| entry.kind == Kind::Counter && state.contains_key(&entry.file_name));
    let asked = entries.iter().filter(|entry| counted || entry.kind != Kind::Counter);
    asked.filter(|entry| !state.contains_key(&entry.file_name)).map(|entry| format!("`{}`", entry.file_name)).collect()
}

/// Counts of batches may stand in the file of a network that was published before there were any.
fn extra(entries: &[Entry], state: &StateDict) -> Vec<String> {
    let known: BTreeSet<&str> = entries.iter().map(|entry| entry.file_name.as_str()).collect();
    let counts = |name: &str| {
        let module = name.strip_suffix(".num_batches_tracked");
        module.is_some_and(|module| known.contains(format!("{module}.running_mean").as_str()))
    };
    let unknown = state.keys().filter(|name| !known.contains(name.as_str()) && !counts(name));
    unknown.map(|name| format!("`{name}`")).collect()
}

fn misshaped(entry: &Entry, tensor: &Tensor) -> Option<String> {
    let fits = tensor.dims() == entry.shape;
    (!fits).then(|| format!("`{}` (expected {:?}, got {:?})", entry.file_name, entry.shape, tensor.dims()))
}

/// Floats of any width are converted; integers are not taken for floats, nor floats for counts.
fn mistyped(entry: &Entry, tensor: &Tensor) -> Option<String> {
    let (fits, expected) = match entry.kind {
        Kind::Values { .. } => (tensor.dtype().is_float(), "a float"),
        Kind::Counter => (tensor.dtype() == DType::I64, "i64"),
    };
    (!fits).then(|| format!("`{}` (expected {expected}, got {})", entry.file_name, tensor.dtype().as_str()))
}

/// "2 missing: `a`, `b`", shortened.
fn list(fault: &str, names: &[String]) -> Option<String> {
    let (first, rest) = names.split_at(names.len().min(LISTED));
    let mut text = format!("{} {fault}: {}", names.len(), first.join(", "));
    if !rest.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, " and {} more", rest.len());
    }
    (!names.is_empty()).then_some(text)
}
