//! Weights as `.safetensors`, with metadata that make the file speak for itself.
//! Knows no training.

use std::path::Path;

use arcface_core::candle::DType;
use arcface_core::checkpoint::{load_tensors, save_tensors};
use arcface_core::{Error, Result};

use crate::weights::{Guess, Metadata, StateDict, recognise};
use crate::{Backbone, BackboneConfig};

/// What a weights file holds.
#[derive(Debug)]
pub struct WeightsFile {
    /// Tensors under torch's names, in torch's layouts.
    pub state: StateDict,
    /// What the file says about itself; `None` in a foreign file.
    pub metadata: Option<Metadata>,
}

/// Reads `path` without asking which network it holds.
///
/// # Errors
/// If the file cannot be read, is damaged, or its metadata cannot be understood.
pub fn read(path: &Path) -> Result<WeightsFile> {
    let (state, metadata) = load_tensors(path)?;
    let metadata = Metadata::from_map(metadata).map_err(|error| Error::file(path, error.to_string()))?;
    Ok(WeightsFile { state, metadata })
}

impl WeightsFile {
    /// What the file says it holds, else what its tensors look like.
    ///
    /// # Errors
    /// If a foreign file looks like no known network.
    pub fn guess(&self) -> Result<Guess> {
        match &self.metadata {
            Some(metadata) => Ok(Guess { config: metadata.config(), exact: true }),
            None => recognise(&self.state),
        }
    }
}

impl Backbone {
    /// Writes the weights and `metadata` to `path`, whole or not at all; the same network gives the same bytes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path, metadata: &Metadata) -> Result<()> {
        save_tensors(path, &self.state_dict()?, &metadata.to_map())
    }

    /// Reads the network that `path` says it holds, else the one its tensors look like.
    ///
    /// # Errors
    /// If the file cannot be read, looks like no known network, or does not fit the one it claims to hold.
    pub fn load(path: &Path, dtype: DType) -> Result<(Self, Metadata)> {
        let file = read(path)?;
        let guess = file.guess().map_err(|error| Error::file(path, error.to_string()))?;
        let backbone = Self::load_as(path, &file, &guess.config, dtype)?;
        let metadata = file.metadata.unwrap_or_else(|| Metadata::new(&guess.config));
        Ok((backbone, metadata))
    }

    /// The network of `config` with the weights of a `file` that was read from `path`.
    ///
    /// # Errors
    /// If the weights do not fit.
    pub fn load_as(path: &Path, file: &WeightsFile, config: &BackboneConfig, dtype: DType) -> Result<Self> {
        Self::from_state_dict(config, &file.state, dtype).map_err(|error| Error::file(path, error.to_string()))
    }
}
