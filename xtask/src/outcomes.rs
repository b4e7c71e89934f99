//! The pairs of a verification in a file of their own: what was measured of each, so that runs can be compared pair by pair.
//! Knows no network.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::checkpoint::{load_tensors, save_tensors, take};
use arcface_eval::comparison::Scored;

/// The file in the folder of a run or an evaluation.
pub(crate) const FILE: &str = "pairs.safetensors";

/// Writes the squared ℓ2 `distances` (P, f64), whether each pair is the `same` person (P, u32), and its `folds` (P, u32).
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write(folder: &Path, scored: &Scored) -> anyhow::Result<()> {
    let tensor = |values: Vec<u32>| Tensor::new(values, &Device::Cpu);
    let tensors = BTreeMap::from([
        ("distances".to_owned(), Tensor::new(scored.distances.as_slice(), &Device::Cpu)?),
        ("same".to_owned(), tensor(scored.same.iter().map(|same| u32::from(*same)).collect())?),
        ("folds".to_owned(), tensor(scored.folds.iter().map(|fold| *fold as u32).collect())?),
    ]);
    Ok(save_tensors(&folder.join(FILE), &tensors, &BTreeMap::new())?)
}

/// Reads what [`write`] wrote into `folder`.
///
/// # Errors
/// If it cannot be read or is not of that form.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Scored> {
    let path = folder.join(FILE);
    let (mut tensors, _) = load_tensors(&path)?;
    let number = tensors.get("distances").map_or(0, Tensor::elem_count);
    if number == 0 {
        bail!("{}: expected a tensor `distances` with one value per pair, found none", path.display());
    }
    let mut taken = |name: &str, dtype| take(&path, &mut tensors, name, &[number], dtype);
    let (distances, same, folds) =
        (taken("distances", DType::F64)?, taken("same", DType::U32)?, taken("folds", DType::U32)?);
    let place = || path.display().to_string();
    Ok(Scored {
        distances: distances.to_vec1().with_context(place)?,
        same: same.to_vec1::<u32>().with_context(place)?.into_iter().map(|same| same != 0).collect(),
        folds: folds.to_vec1::<u32>().with_context(place)?.into_iter().map(|fold| fold as usize).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored() -> Scored {
        Scored { distances: vec![0.25, 3.5, 1.0 / 3.0], same: vec![true, false, true], folds: vec![0, 0, 9] }
    }

    #[test]
    fn pairs_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &scored()).unwrap();
        assert_eq!(read(folder.path()).unwrap(), scored());
    }

    /// Each is read as it was or refused, and nothing panics.
    #[test]
    fn damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &scored()).unwrap();
        let whole = std::fs::read(folder.path().join(FILE)).unwrap();
        let check = |bytes: &[u8]| {
            std::fs::write(folder.path().join(FILE), bytes).unwrap();
            if let Ok(read) = read(folder.path()) {
                assert_eq!((read.distances.len(), read.same.len(), read.folds.len()), (3, 3, 3));
            }
        };
        for place in 0..whole.len() {
            check(&whole[..place]);
            let mut other = whole.clone();
            other[place] ^= 0x15;
            check(&other);
        }
    }
}
