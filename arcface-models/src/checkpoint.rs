//! Stand-in.
//! To be deleted.
use std::collections::BTreeMap;
use std::path::Path;

use arcface_core::candle::{self, Device, Tensor};
use arcface_core::{Error, Result};

pub(crate) fn save_tensors(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    _: &BTreeMap<String, String>,
) -> Result<()> {
    let map: std::collections::HashMap<String, Tensor> = tensors.clone().into_iter().collect();
    Ok(candle::safetensors::save(&map, path)?)
}

pub(crate) fn load_tensors(path: &Path) -> Result<(BTreeMap<String, Tensor>, BTreeMap<String, String>)> {
    let map = candle::safetensors::load(path, &Device::Cpu).map_err(|error| Error::file(path, error.to_string()))?;
    Ok((map.into_iter().collect(), BTreeMap::new()))
}
