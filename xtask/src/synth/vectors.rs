//! Embeddings from a file: the matrix (N, D) of a `.npy` or a `.safetensors`.
//! Knows no network.

use std::path::Path;

use anyhow::{Context, bail};
use arcface_core::candle::{DType, Tensor};
use arcface_core::checkpoint::load_tensors;
use arcface_eval::Embeddings;

/// The name under which `embed` writes them.
const USUAL: &str = "embeddings";

/// How far from 1 the length of an embedding may lie that was scaled to it.
const NEARLY: f64 = 1e-3;

/// Rows of `size` values.
#[derive(Debug)]
pub(super) struct Vectors {
    pub(super) values: Vec<f32>,
    pub(super) size: usize,
}

impl Vectors {
    /// Those in the file `path`, `size` values each.
    ///
    /// # Errors
    /// If it cannot be read, is no matrix of such rows, or a row is zero or not finite.
    pub(super) fn read(path: &Path, size: usize) -> anyhow::Result<Self> {
        let read = || {
            let vectors = Self { values: matrix(path, size)?, size };
            vectors.check()?;
            anyhow::Ok(vectors)
        };
        read().with_context(|| path.display().to_string())
    }

    pub(super) fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.size)
    }

    /// The same with every row brought to length 1.
    ///
    /// # Errors
    /// If a row is zero or not finite.
    pub(super) fn unit(&self) -> anyhow::Result<Embeddings> {
        Ok(Embeddings::normalised(&self.values, self.size)?)
    }

    /// Whether all rows have length 1.
    pub(super) fn are_unit(&self) -> bool {
        self.rows().all(|row| (length(row) - 1.0).abs() < NEARLY)
    }

    fn check(&self) -> anyhow::Result<()> {
        for (number, row) in self.rows().enumerate() {
            let length = length(row);
            if !(0.0 < length && length.is_finite()) {
                bail!("row {number}: expected an embedding of finite length above 0, got length {length}");
            }
        }
        Ok(())
    }
}

/// ‖v‖.
pub(super) fn length(row: &[f32]) -> f64 {
    row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

fn matrix(path: &Path, size: usize) -> anyhow::Result<Vec<f32>> {
    let tensor = match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => Tensor::read_npy(path)?,
        Some("safetensors") => only_tensor(path)?,
        _ => bail!("expected a name that ends in .npy or .safetensors"),
    };
    let (&[rows, columns], DType::F32) = (tensor.dims(), tensor.dtype()) else {
        bail!("expected a matrix (N, D) of f32, found {:?} of {}", tensor.dims(), tensor.dtype().as_str());
    };
    if rows == 0 || columns != size {
        bail!("expected (N, D) with N >= 1 and D = {size} as the network has, found ({rows}, {columns})");
    }
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// The one under the usual name, else the only one.
fn only_tensor(path: &Path) -> anyhow::Result<Tensor> {
    let (mut tensors, _) = load_tensors(path)?;
    if let Some(usual) = tensors.remove(USUAL) {
        return Ok(usual);
    }
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    if names.len() != 1 {
        bail!("expected one tensor or one called `{USUAL}`, found {}: {}", names.len(), names.join(", "));
    }
    tensors.pop_first().map(|(_, tensor)| tensor).context("expected a tensor")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arcface_core::candle::Device;
    use arcface_core::checkpoint::save_tensors;

    use super::*;

    fn words(path: &Path, size: usize) -> String {
        let folder = path.parent().unwrap().display().to_string();
        format!("{:#}", Vectors::read(path, size).unwrap_err()).replace(&folder, "DIR")
    }

    #[test]
    fn both_forms_are_read_under_any_single_name() {
        let folder = tempfile::tempdir().unwrap();
        let tensor = Tensor::new(&[[3f32, 4.0], [0.0, 1.0]], &Device::Cpu).unwrap();
        let [npy, file] = ["v.npy", "v.safetensors"].map(|name| folder.path().join(name));
        tensor.write_npy(&npy).unwrap();
        for names in [&["templates"][..], &["embeddings", "other"]] {
            let tensors = names.iter().map(|name| ((*name).to_owned(), tensor.clone())).collect();
            save_tensors(&file, &tensors, &BTreeMap::new()).unwrap();
            for path in [&npy, &file] {
                let vectors = Vectors::read(path, 2).unwrap();
                assert_eq!(vectors.values, [3.0, 4.0, 0.0, 1.0]);
                assert!(!vectors.are_unit());
            }
        }
        let both = ["a", "b"].map(|name| (name.to_owned(), tensor.clone())).into();
        save_tensors(&file, &both, &BTreeMap::new()).unwrap();
        assert_eq!(words(&file, 2), "DIR/v.safetensors: expected one tensor or one called `embeddings`, found 2: a, b");
    }

    #[test]
    fn what_is_no_target_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.npy");
        let write = |rows: &[f32]| {
            let rows = Tensor::from_slice(rows, (rows.len() / 2, 2), &Device::Cpu).unwrap();
            rows.write_npy(&path).unwrap();
        };
        write(&[0.6, 0.8]);
        assert!(Vectors::read(&path, 2).unwrap().are_unit());
        assert_eq!(
            words(&path, 3),
            "DIR/v.npy: expected (N, D) with N >= 1 and D = 3 as the network has, found (1, 2)"
        );
        write(&[0.6, 0.8, 0.0, 0.0]);
        assert_eq!(words(&path, 2), "DIR/v.npy: row 1: expected an embedding of finite length above 0, got length 0");
        write(&[f32::NAN, 0.8]);
        assert_eq!(words(&path, 2), "DIR/v.npy: row 0: expected an embedding of finite length above 0, got length NaN");
        let text = folder.path().join("v.txt");
        assert_eq!(words(&text, 2), "DIR/v.txt: expected a name that ends in .npy or .safetensors");
        Tensor::new(&[[1f64, 2.0]], &Device::Cpu).unwrap().write_npy(&path).unwrap();
        assert_eq!(words(&path, 2), "DIR/v.npy: expected a matrix (N, D) of f32, found [1, 2] of f64");
        std::fs::write(&path, "no numpy").unwrap();
        assert!(words(&path, 2).starts_with("DIR/v.npy: "));
    }
}
