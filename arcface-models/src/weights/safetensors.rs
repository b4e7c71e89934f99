//! Weights in files of any form, with metadata that make the file speak for itself.
//! Knows no training.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use arcface_core::candle::{DType, Device};
use arcface_core::checkpoint::{load_tensors, save_tensors};
use arcface_core::{Error, Result};

use crate::weights::torch::{self, Form, SNIFFED};
use crate::weights::{Guess, Metadata, StateDict, recognise};
use crate::{Backbone, BackboneConfig};

/// What a weights file holds.
#[derive(Debug)]
pub struct WeightsFile {
    /// Tensors under torch's names, in torch's layouts.
    pub state: StateDict,
    /// What the file says about itself; `None` in a foreign file.
    pub metadata: Option<Metadata>,
    /// The names in the order of the file, where its form has one; else sorted.
    pub order: Vec<String>,
    /// What was left out or renamed when reading.
    pub notes: Vec<String>,
}

/// Reads `path` without asking which network it holds: `.safetensors` or, in both forms, torch's own `.pth`.
///
/// The form is that of the content, whatever the name ends in. Nothing of a torch file is run.
///
/// # Errors
/// If the file cannot be read, is damaged, or its metadata cannot be understood.
pub fn read(path: &Path) -> Result<WeightsFile> {
    let form = form(path)?;
    if form == Form::Other {
        let (state, metadata) = load_tensors(path)?;
        let order = state.keys().cloned().collect();
        return Ok(WeightsFile { state, metadata: understood(path, metadata)?, order, notes: Vec::new() });
    }
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let file = torch::read(form, &bytes).map_err(|error| Error::file(path, error.to_string()))?;
    let order = file.tensors.iter().map(|(name, _)| name.clone()).collect();
    let state = file.tensors.into_iter().collect();
    Ok(WeightsFile { state, metadata: understood(path, file.metadata)?, order, notes: file.notes })
}

fn form(path: &Path) -> Result<Form> {
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SNIFFED as u64).read_to_end(&mut beginning));
    read.map_err(|error| Error::io(path, error))?;
    Ok(Form::of(&beginning))
}

fn understood(path: &Path, metadata: BTreeMap<String, String>) -> Result<Option<Metadata>> {
    Metadata::from_map(metadata).map_err(|error| Error::file(path, error.to_string()))
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
    pub fn load(path: &Path, dtype: DType, device: &Device) -> Result<(Self, Metadata)> {
        let file = read(path)?;
        let guess = file.guess().map_err(|error| Error::file(path, error.to_string()))?;
        let backbone = Self::load_as(path, &file, &guess.config, dtype, device)?;
        let metadata = file.metadata.unwrap_or_else(|| Metadata::new(&guess.config));
        Ok((backbone, metadata))
    }

    /// The network of `config` with the weights of a `file` that was read from `path`.
    ///
    /// # Errors
    /// If the weights do not fit.
    pub fn load_as(
        path: &Path,
        file: &WeightsFile,
        config: &BackboneConfig,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        Self::from_state_dict(config, &file.state, dtype, device).map_err(|error| Error::file(path, error.to_string()))
    }
}
