//! What a side of a comparison is told and answers: one line of JSON each, over stdin and stdout.
//! Knows no process and no work; `xtask/peer/speed.py` speaks the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arcface_synth::InversionConfig;
use serde::{Deserialize, Serialize};

use crate::config::{Config, DeviceChoice};

/// Who does a work, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    /// What the command line does.
    Ours,
    /// The same on one batch that is there already, over and over.
    OursAtHand,
    /// PyTorch with images (B, C, H, W).
    Torch,
    /// PyTorch with its memory format `channels_last`.
    TorchChannelsLast,
    /// PyTorch as insightface trains: images (B, C, H, W), autocast to fp16, its losses scaled.
    TorchHalf,
    /// PyTorch at its best on a CUDA device: autocast to bf16, `channels_last`, `torch.compile`, a fused optimiser.
    TorchCompiled,
    /// ONNX Runtime on what PyTorch exports.
    OnnxRuntime,
    /// PyTorch's `DataLoader`, decoding with Pillow.
    Pillow,
    /// The same with OpenCV.
    OpenCv,
}

/// What is done over and over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Task {
    /// A step of training on one batch of `train.batch_size`.
    Training { config: Box<Config>, classes: usize },
    /// The embeddings of one batch of `eval.batch_size`.
    Inference { config: Box<Config> },
    /// Loss, gradients and update of a head on one batch of `train.batch_size` embeddings.
    Head { config: Box<Config>, classes: usize },
    /// A step of an inversion of one batch of `eval.batch_size` images, towards embeddings of noise.
    Inversion { config: Box<Config>, inversion: Box<InversionConfig> },
    /// [`STEPS`] steps of training on the batches of `data.path` as they come; at hand, on one batch.
    Input { config: Box<Config>, classes: usize },
    /// All batches of an epoch; `folder` holds the same images for whoever cannot read `data.path`.
    Loading { config: Box<Config>, folder: PathBuf },
}

/// Steps of a repetition of [`Task::Input`]: more than can be read while nobody asks for any.
pub(super) const STEPS: u64 = 64;

/// What a side is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Request {
    /// Make everything ready; comes once and first.
    Prepare { side: Side, threads: usize, task: Task },
    /// Do the task so many times.
    Run { repetitions: u64 },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// To [`Request::Prepare`].
    Ready(Ready),
    /// To [`Request::Prepare`] if what the side needs is not installed: what is missing.
    Missing(String),
    /// To [`Request::Run`].
    Ran(Ran),
    /// To whatever failed or was not understood: why.
    Error(String),
}

/// A side that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ready {
    /// Images, or embeddings, of one repetition.
    pub(super) items: u64,
    /// Peak memory before anything was prepared, where the system tells.
    pub(super) peak_bytes: Option<u64>,
    /// Versions of what does the work.
    pub(super) versions: BTreeMap<String, String>,
}

/// A timed sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Ran {
    /// Of all repetitions together.
    pub(super) seconds: f64,
    /// Peak memory until now, where the system tells.
    pub(super) peak_bytes: Option<u64>,
}

impl Side {
    /// Whether this program does it.
    pub(super) fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursAtHand)
    }

    /// Its name in tables.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursAtHand => "ours, one batch at hand",
            Self::Torch => "PyTorch",
            Self::TorchChannelsLast => "PyTorch, channels last",
            Self::TorchHalf => "PyTorch, fp16",
            Self::TorchCompiled => "PyTorch, bf16, compiled",
            Self::OnnxRuntime => "ONNX Runtime",
            Self::Pillow => "PyTorch, Pillow",
            Self::OpenCv => "PyTorch, OpenCV",
        }
    }
}

impl Task {
    /// All who can do it, ours first.
    pub(super) fn sides(&self) -> &'static [Side] {
        let is_cuda = matches!(self.config().device, DeviceChoice::Cuda(_));
        match self {
            Self::Input { .. } => &[Side::Ours, Side::OursAtHand],
            _ if is_cuda => &[Side::Ours, Side::TorchHalf, Side::TorchCompiled],
            Self::Training { .. } | Self::Inversion { .. } => &[Side::Ours, Side::Torch, Side::TorchChannelsLast],
            Self::Inference { .. } => &[Side::Ours, Side::Torch, Side::TorchChannelsLast, Side::OnnxRuntime],
            Self::Head { .. } => &[Side::Ours, Side::Torch],
            Self::Loading { .. } => &[Side::Ours, Side::Pillow, Side::OpenCv],
        }
    }

    /// What it is made of.
    pub(super) fn config(&self) -> &Config {
        match self {
            Self::Training { config, .. }
            | Self::Inference { config }
            | Self::Head { config, .. }
            | Self::Inversion { config, .. }
            | Self::Input { config, .. }
            | Self::Loading { config, .. } => config,
        }
    }

    /// Images, or embeddings, that are worked on together.
    pub(super) fn batch(&self) -> usize {
        match self {
            Self::Training { config, .. }
            | Self::Head { config, .. }
            | Self::Input { config, .. }
            | Self::Loading { config, .. } => config.train.batch_size,
            Self::Inference { config } | Self::Inversion { config, .. } => config.eval.batch_size,
        }
    }
}
