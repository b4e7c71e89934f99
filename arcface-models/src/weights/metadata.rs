//! What a weights file says about itself: network, input and whatever the writer added.
//! Knows no tensor.

use std::collections::BTreeMap;

use arcface_core::{Error, Result};

use crate::{Architecture, BackboneConfig};

/// Metadata of a weights file, from which the network can be used without any other knowledge.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// The network.
    pub architecture: Architecture,
    /// D.
    pub embedding_size: usize,
    /// Side of the square face.
    pub input_size: usize,
    /// Order of the colours in the input, `rgb` in ours.
    pub colour_order: String,
    /// How pixel values 0–255 become inputs, `(x-127.5)/127.5` as a rule.
    pub normalisation: String,
    /// How a face is cut out, `arcface-5-point` in ours: the five-point template of 112×112, scaled.
    pub crop: String,
    /// Anything else: calibrated thresholds, labels, the run's name.
    pub extra: BTreeMap<String, String>,
}

impl Metadata {
    /// What our own networks are trained with, and the others were where they were published.
    pub fn new(config: &BackboneConfig) -> Self {
        Self {
            architecture: config.architecture,
            embedding_size: config.embedding_size,
            input_size: config.input_size,
            colour_order: "rgb".into(),
            normalisation: config.architecture.normalisation().into(),
            crop: "arcface-5-point".into(),
            extra: BTreeMap::new(),
        }
    }

    /// The same with `value` under `key`.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.insert(key.into(), value.into());
        self
    }

    /// The network that the file is about, nothing frozen, no dropout.
    pub fn config(&self) -> BackboneConfig {
        BackboneConfig {
            embedding_size: self.embedding_size,
            input_size: self.input_size,
            ..BackboneConfig::new(self.architecture)
        }
    }

    /// As the key/value strings of a file.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let own = [
            ("architecture", self.architecture.to_string()),
            ("embedding_size", self.embedding_size.to_string()),
            ("input_size", self.input_size.to_string()),
            ("colour_order", self.colour_order.clone()),
            ("normalisation", self.normalisation.clone()),
            ("crop", self.crop.clone()),
        ];
        let own = own.map(|(key, value)| (key.to_owned(), value));
        self.extra.clone().into_iter().chain(own).collect()
    }

    /// From the key/value strings of a file; `None` if it does not name an architecture, as foreign files.
    ///
    /// # Errors
    /// If a key is missing beside `architecture`, or a value cannot be read.
    pub fn from_map(mut map: BTreeMap<String, String>) -> Result<Option<Self>> {
        let Some(architecture) = map.remove("architecture") else { return Ok(None) };
        let mut take =
            |key: &str| map.remove(key).ok_or_else(|| Error::value(format!("metadata `{key}`"), "a value", "none"));
        Ok(Some(Self {
            architecture: architecture.parse()?,
            embedding_size: number("embedding_size", &take("embedding_size")?)?,
            input_size: number("input_size", &take("input_size")?)?,
            colour_order: take("colour_order")?,
            normalisation: take("normalisation")?,
            crop: take("crop")?,
            extra: map,
        }))
    }
}

fn number(key: &str, text: &str) -> Result<usize> {
    text.parse().map_err(|_| Error::value(format!("metadata `{key}`"), "a whole number", format!("`{text}`")))
}
