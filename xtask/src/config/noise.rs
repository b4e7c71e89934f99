//! `[data.noise]`: label noise to be planted in the training images, and where strangers come from.
//! Knows no source; what is planted where is `arcface-data`'s.

use std::path::PathBuf;

use anyhow::{Context, bail};
use arcface_data::NoiseConfig;
use serde::{Deserialize, Serialize};
use toml::Value;

use super::SourceKind;

/// How much noise, and of whom.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Noise {
    pub(crate) closed: f64,
    pub(crate) open: f64,
    pub(crate) seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strangers: Option<Strangers>,
}

impl Noise {
    /// How much, without of whom.
    pub(crate) fn rates(&self) -> NoiseConfig {
        NoiseConfig { closed: self.closed, open: self.open, seed: self.seed }
    }

    pub(super) fn check(&self, source: SourceKind) -> anyhow::Result<()> {
        self.rates().check().context("data.noise")?;
        if 0.0 < self.open && self.strangers.is_none() && source != SourceKind::Procedural {
            bail!(
                "data.noise.strangers: expected how many identities to hold out as strangers, or the path of a set of \
                 other people's faces, for data.noise.open = {}",
                self.open
            );
        }
        Ok(())
    }
}

/// Where faces of strangers come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub(crate) enum Strangers {
    /// So many identities: drawn ones beyond the set, or held out of it.
    Count(usize),
    /// A data set of other people.
    Set(PathBuf),
}

impl TryFrom<Value> for Strangers {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::Integer(count) if 1 <= *count => Ok(Self::Count(*count as usize)),
            Value::String(path) => Ok(Self::Set(path.into())),
            _ => Err(format!("expected a number of identities from 1 or the path of a data set, got `{value}`")),
        }
    }
}

impl From<Strangers> for Value {
    fn from(strangers: Strangers) -> Self {
        match strangers {
            Strangers::Count(count) => Self::Integer(count as i64),
            Strangers::Set(path) => Self::String(path.to_string_lossy().into_owned()),
        }
    }
}
