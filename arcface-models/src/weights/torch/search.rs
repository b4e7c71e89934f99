//! The state dict within whatever was saved around it.
//! Knows no form of file and no network.

use std::collections::BTreeMap;

use arcface_core::pickle::{Entries, Kind, Value};
use arcface_core::{Error, Result};

use super::TorchFile;
use super::tensor::{Storages, is_tensor, tensor};

/// Keys under which training programs keep the state dict, the likelier first.
const KEYS: [&str; 10] = [
    "state_dict",
    "net_state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "backbone",
    "backbone_state_dict",
    "params",
];

/// How deep a state dict may be nested.
const DEPTH: usize = 3;

/// What `DataParallel` puts before every name.
const PREFIX: &str = "module.";

/// The tensors of the state dict that `root` is or has in it.
///
/// A dict with tensors is one; what else it has, such as a count of epochs, is left out with a note. Otherwise it is
/// looked for under the usual keys. A prefix `module.` that all names have is taken off.
///
/// # Errors
/// If there is none, a name is no text or a tensor is damaged.
pub(super) fn state_dict(root: Value<'_>, storages: &Storages<'_>) -> Result<TorchFile> {
    let mut notes = Vec::new();
    let entries = find(root, &mut notes)?;
    let mut tensors = Vec::new();
    let mut left_out = Vec::new();
    for (name, value) in last_of_equals(entries)? {
        if is_tensor(value) {
            tensors.push((name.to_owned(), tensor(value, storages).map_err(|error| named(name, &error))?));
        } else {
            left_out.push(format!("`{name}` ({})", value.describe()));
        }
    }
    if !left_out.is_empty() {
        notes.push(format!("left out, since they are no tensors: {}", listed(&left_out)));
    }
    while !tensors.is_empty() && tensors.iter().all(|(name, _)| name.starts_with(PREFIX)) {
        for (name, _) in &mut tensors {
            name.drain(..PREFIX.len());
        }
        notes.push(format!("`{PREFIX}`, which all names began with, is taken off"));
    }
    Ok(TorchFile { tensors, metadata: BTreeMap::new(), notes })
}

fn find<'p>(root: Value<'p>, notes: &mut Vec<String>) -> Result<Entries<'p>> {
    let mut path: Vec<&str> = Vec::new();
    let mut value = root;
    loop {
        let Kind::Dict(entries) = value.kind() else { return Err(value.unexpected("a state dict")) };
        if entries.iter().any(|(_, value)| is_tensor(value)) {
            if !path.is_empty() {
                notes.push(format!("the state dict stands under `{}`", path.join(".")));
            }
            return Ok(entries);
        }
        let inner = KEYS.iter().find_map(|key| Some((*key, dict(entries.get(key)?)?)));
        let Some((key, inner)) = inner.filter(|_| path.len() < DEPTH) else { return Err(none(&path, entries)) };
        path.push(key);
        value = inner;
    }
}

fn dict(value: Value<'_>) -> Option<Value<'_>> {
    matches!(value.kind(), Kind::Dict(_)).then_some(value)
}

fn none(path: &[&str], entries: Entries<'_>) -> Error {
    if entries.is_empty() {
        return Error::Invalid("expected a state dict, got an empty dict".to_owned());
    }
    let name = |(key, value): (Value<'_>, Value<'_>)| {
        format!(
            "{} ({})",
            key.text("a name").map_or_else(|_| key.describe(), |key| format!("`{key}`")),
            value.describe()
        )
    };
    let names: Vec<String> = entries.iter().take(LISTED + 1).map(name).collect();
    let place = if path.is_empty() { String::new() } else { format!(" under `{}`", path.join(".")) };
    let advice = "save the state dict alone: torch.save(model.state_dict(), …)";
    Error::Invalid(format!("expected a state dict, got a dict without tensors{place}: {}; {advice}", listed(&names)))
}

/// Names and values in order; as in Python the last of equal names counts, at the place of the first.
fn last_of_equals(entries: Entries<'_>) -> Result<Vec<(&str, Value<'_>)>> {
    let mut places = BTreeMap::new();
    let mut unique: Vec<(&str, Value<'_>)> = Vec::new();
    for (name, value) in entries.iter() {
        let name = name.text("the name of a tensor")?;
        let place = *places.entry(name).or_insert(unique.len());
        match unique.get_mut(place) {
            Some(known) => known.1 = value,
            None => unique.push((name, value)),
        }
    }
    Ok(unique)
}

fn named(name: &str, error: &Error) -> Error {
    Error::Invalid(format!("tensor `{name}`: {error}"))
}

const LISTED: usize = 3;

fn listed(names: &[String]) -> String {
    let more = if LISTED < names.len() { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(LISTED)].join(", "))
}
