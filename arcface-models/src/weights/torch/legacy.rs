//! The older form: five pickles (magic number, protocol, machine, objects, keys of storages), then the storages raw.
//! Knows no newer form.

use std::collections::BTreeMap;

use arcface_core::pickle::{Limits, Pickle, load_from};
use arcface_core::{Error, Result};

use super::tensor::{Storages, element_size, storage_keys};
use super::{TorchFile, search};

/// `torch.serialization.MAGIC_NUMBER` and `PROTOCOL_VERSION`.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;

/// Reads the pickles and the storages behind them.
///
/// # Errors
/// As [`read`](super::read).
pub(super) fn read(bytes: &[u8]) -> Result<TorchFile> {
    let mut at = 0;
    let mut next = || -> Result<Pickle<'_>> {
        let pickle = load_from(bytes, at, &Limits::default())?;
        at = pickle.end();
        Ok(pickle)
    };
    if next()?.root().int("the magic number of torch").ok() != Some(MAGIC) {
        let advice = "expected torch's weights or .safetensors";
        return Err(Error::Invalid(format!("a pickle without the magic number of torch; {advice}")));
    }
    let protocol = next()?.root().int("torch's protocol")?;
    if protocol != PROTOCOL {
        return Err(Error::value("torch's protocol", PROTOCOL.to_string(), protocol));
    }
    check_byte_order(&next()?)?;
    let (objects, keys) = (next()?, next()?);
    let storages = storages(bytes, at, &keys, &sizes(&objects)?)?;
    search::state_dict(objects.root(), &Storages::new(storages, bytes.len()))
}

fn check_byte_order(machine: &Pickle<'_>) -> Result<()> {
    let entries = machine.root().entries("what torch says of its machine")?;
    match entries.get("little_endian").map(arcface_core::pickle::Value::kind) {
        Some(arcface_core::pickle::Kind::Bool(true)) => Ok(()),
        _ => Err(Error::Invalid("expected numbers in little-endian order, got big-endian ones".to_owned())),
    }
}

/// Bytes per element of every storage that the objects mention.
fn sizes<'p>(objects: &'p Pickle<'p>) -> Result<BTreeMap<&'p str, usize>> {
    Ok(storage_keys(objects)?.into_iter().map(|(key, storage)| (key, element_size(storage))).collect())
}

/// The storages in the order of their `keys`: a number of elements of eight bytes, then the elements.
fn storages<'a, 'p>(
    bytes: &'a [u8],
    start: usize,
    keys: &'p Pickle<'p>,
    sizes: &BTreeMap<&'p str, usize>,
) -> Result<BTreeMap<&'p str, &'a [u8]>> {
    let mut rest = &bytes[start..];
    let mut storages = BTreeMap::new();
    for key in keys.root().items("the keys of the storages")?.iter() {
        let key = key.text("the key of a storage")?;
        let unknown = || Error::Invalid(format!("storage `{key}` belongs to no tensor; the file is damaged"));
        let size = *sizes.get(key).ok_or_else(unknown)?;
        let at = bytes.len() - rest.len();
        let short = || Error::Invalid(format!("storage `{key}` at byte {at} is cut short; copy the file again"));
        let (count, after) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let length =
            u64::from_le_bytes(*count).checked_mul(size as u64).and_then(|length| usize::try_from(length).ok());
        let (storage, after) = length.and_then(|length| after.split_at_checked(length)).ok_or_else(short)?;
        storages.insert(key, storage);
        rest = after;
    }
    Ok(storages)
}
