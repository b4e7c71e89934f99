//! Single values of a configuration whose range is part of their type.
//! Knows no section and no file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Value;

/// Where faces come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceKind {
    /// Drawn.
    Procedural,
    /// One folder.
    Folder,
    /// RecordIO.
    Record,
    /// MNIST's idx files.
    Idx,
    /// Parquet files of a hub.
    Parquet,
    /// Several folders.
    Joined,
}

/// How batches are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SamplerChoice {
    /// Every epoch a permutation.
    Shuffle,
    /// Every batch so many images of each identity.
    Balanced,
}

/// The optimiser by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    /// With momentum, in torch's form.
    Sgd,
    /// With decoupled weight decay.
    #[serde(rename = "adamw")]
    AdamW,
}

/// The course of the learning rate by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Curve {
    /// Never falls.
    Constant,
    /// Falls at milestones.
    Step,
    /// Falls as a power of what is left.
    Polynomial,
    /// Falls as half a cosine.
    Cosine,
}

/// How exactly is computed; weights, statistics and losses are of double precision or single.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Precision {
    /// Single.
    #[default]
    F32,
    /// Double, to compare with; on the CPU.
    F64,
    /// Single, but the factors of products have 10 bits behind the point; on a CUDA device.
    Tf32,
    /// As tf32, and what is between the layers of a network has 7 bits behind the point; on a CUDA device.
    Bf16,
}

impl Precision {
    /// As configurations spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }
}

/// How many identities, or which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub(crate) enum Identities {
    /// So many drawn ones.
    Count(usize),
    /// Those listed in a file.
    List(PathBuf),
}

impl TryFrom<Value> for Identities {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::Integer(count) if 1 <= *count => Ok(Self::Count(*count as usize)),
            Value::String(path) => Ok(Self::List(path.into())),
            _ => Err(format!("expected a number of identities from 1 or the path of a list of them, got `{value}`")),
        }
    }
}

impl From<Identities> for Value {
    fn from(identities: Identities) -> Self {
        match identities {
            Identities::Count(count) => Self::Integer(count as i64),
            Identities::List(path) => Self::String(path.to_string_lossy().into_owned()),
        }
    }
}

/// When something is done again and again; it is always done at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub(crate) enum Every {
    /// After each epoch.
    Epoch,
    /// Only at the end.
    End,
    /// After so many steps.
    Steps(u64),
}

impl Every {
    /// Whether it is due after `done` of `total` steps.
    pub(crate) fn is_due(self, done: u64, steps_per_epoch: u64, total: u64) -> bool {
        done == total
            || match self {
                Self::Epoch => done.is_multiple_of(steps_per_epoch),
                Self::End => false,
                Self::Steps(steps) => done.is_multiple_of(steps),
            }
    }
}

impl TryFrom<Value> for Every {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::Integer(steps) if 1 <= *steps => Ok(Self::Steps(*steps as u64)),
            Value::String(word) if word == "epoch" => Ok(Self::Epoch),
            Value::String(word) if word == "end" => Ok(Self::End),
            _ => Err(format!("expected \"epoch\", \"end\" or a number of steps from 1, got `{value}`")),
        }
    }
}

impl From<Every> for Value {
    fn from(every: Every) -> Self {
        match every {
            Every::Epoch => "epoch".into(),
            Every::End => "end".into(),
            Every::Steps(steps) => Self::Integer(steps as i64),
        }
    }
}
