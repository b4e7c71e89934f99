//! The newer form: a zip archive with the pickle of the objects and one record per storage.
//! Knows no older form.

use std::collections::BTreeMap;

use arcface_core::pickle::{Pickle, load};
use arcface_core::{Error, Result};

use super::tensor::Storages;
use super::zip::Archive;
use super::{TorchFile, search};

/// The record with the metadata of [`save_torch`](super::save_torch); torch looks at no record that it does not know.
pub(super) const METADATA: &str = "arcface.pkl";

/// Reads an archive.
///
/// # Errors
/// As [`read`](super::read).
pub(super) fn read(bytes: &[u8]) -> Result<TorchFile> {
    let archive = Archive::open(bytes)?;
    let folder = folder(&archive)?;
    let record = |name: &str| archive.get(&format!("{folder}{name}"));
    if archive.names().any(|name| name.strip_prefix(folder) == Some("constants.pkl")) {
        let advice = "save the state dict: torch.save(module.state_dict(), …)";
        return Err(Error::Invalid(format!("a TorchScript program, not the weights of a network; {advice}")));
    }
    if record("byteorder")?.is_some_and(|order| order != b"little") {
        return Err(Error::Invalid("expected numbers in little-endian order, got big-endian ones".to_owned()));
    }
    let objects = record("data.pkl")?.unwrap_or_default();
    let pickle = load(objects).map_err(|error| Error::Invalid(format!("record `{folder}data.pkl`: {error}")))?;
    let mut storages = BTreeMap::new();
    for (key, _) in super::tensor::storage_keys(&pickle)? {
        let name = format!("{folder}data/{key}");
        let missing = || Error::Invalid(format!("record `{name}`, the storage of a tensor, is missing"));
        storages.insert(key, archive.get(&name)?.ok_or_else(missing)?);
    }
    let metadata = record(METADATA)?.map(load).transpose()?.as_ref().map(metadata).transpose()?;
    let found = search::state_dict(pickle.root(), &Storages::new(storages, bytes.len()))?;
    Ok(TorchFile { metadata: metadata.unwrap_or_default(), ..found })
}

/// The folder of all records, which is the name under which the file was saved first.
fn folder<'a>(archive: &Archive<'a>) -> Result<&'a str> {
    let mut folders = archive.names().filter_map(|name| name.strip_suffix("data.pkl"));
    let missing = || "expected torch's weights, got a zip archive without `data.pkl`".to_owned();
    folders.find(|folder| folder.is_empty() || folder.ends_with('/')).ok_or_else(|| Error::Invalid(missing()))
}

fn metadata(pickle: &Pickle<'_>) -> Result<BTreeMap<String, String>> {
    const WHAT: &str = "metadata: a text for every key";
    let entries = pickle.root().entries(WHAT)?;
    entries.iter().map(|(key, value)| Ok((key.text(WHAT)?.to_owned(), value.text(WHAT)?.to_owned()))).collect()
}
