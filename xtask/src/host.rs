//! What this process runs on and was made from: device, peak memory, commit.
//! Knows no experiment.

use std::process::Command;
use std::sync::Once;

use anyhow::bail;
use arcface_core::candle::{DType, Device};
use arcface_core::device::{self, Capability, Opened};
use arcface_core::ops;

use crate::config::{Config, DeviceChoice, Precision};

/// What computes, and how exactly.
#[derive(Debug, Clone)]
pub(crate) struct Computer {
    pub(crate) device: Device,
    pub(crate) precision: Precision,
}

impl Computer {
    /// What a configuration asks for.
    ///
    /// # Errors
    /// As [`Computer::open`].
    pub(crate) fn of(config: &Config) -> anyhow::Result<Self> {
        Self::open(config.device, config.precision)
    }

    /// The device of `choice`, which must have `precision`. Why another one than the fastest was taken is said once.
    ///
    /// # Errors
    /// If this build cannot use the device, or the device has not the precision.
    pub(crate) fn open(choice: DeviceChoice, precision: Precision) -> anyhow::Result<Self> {
        static SAID: Once = Once::new();
        // Only the CPU has it.
        let is_auto_f64 = (choice, precision) == (DeviceChoice::Auto, Precision::F64);
        let Opened { device, note } = device::open(if is_auto_f64 { DeviceChoice::Cpu } else { choice })?;
        check(&device, precision)?;
        if let Some(note) = note {
            SAID.call_once(|| eprintln!("{note}"));
        }
        ops::set_tf32(matches!(precision, Precision::Tf32 | Precision::Bf16));
        Ok(Self { device, precision })
    }

    /// Element type of images, weights, embeddings and losses.
    pub(crate) fn dtype(&self) -> DType {
        match self.precision {
            Precision::F32 | Precision::Tf32 | Precision::Bf16 => DType::F32,
            Precision::F64 => DType::F64,
        }
    }

    /// Element type between the layers of a network.
    pub(crate) fn activations(&self) -> DType {
        if self.precision == Precision::Bf16 { DType::BF16 } else { self.dtype() }
    }

    /// Device and precision, such as `cuda:0 (NVIDIA H200) in bf16`; nothing of the CPU, which is what one expects.
    pub(crate) fn words(&self) -> Option<String> {
        (!self.device.is_cpu()).then(|| format!("{} in {}", self.name(), self.precision.name()))
    }

    /// For people, such as `cuda:0 (NVIDIA H200)`.
    pub(crate) fn name(&self) -> String {
        device::name(&self.device)
    }
}

/// That the device has the precision.
fn check(device: &Device, precision: Precision) -> anyhow::Result<()> {
    match (device::capability(device)?, precision) {
        (Some(_), Precision::F64) => bail!(
            "precision = \"f64\": expected the CPU, got {}; set device = \"cpu\", or another precision",
            device::name(device)
        ),
        (None, Precision::Tf32 | Precision::Bf16) => {
            bail!(
                "precision = \"{}\": expected a CUDA device, got the CPU; set precision = \"f32\", or device = \"cuda:0\" \
                 in a build with the feature `cuda`: cargo xtask-cuda",
                precision.name()
            )
        }
        (Some(found), Precision::Bf16) if found < Capability::AMPERE => bail!(
            "precision = \"bf16\": expected compute capability {} or higher, got {found} of {}; set precision = \"tf32\"",
            Capability::AMPERE,
            device::name(device)
        ),
        (_, Precision::F32) | (None, Precision::F64) | (Some(_), Precision::Tf32 | Precision::Bf16) => Ok(()),
    }
}

/// The most memory that this process ever held, in bytes; `None` where the system does not tell.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The commit of the folder that we run in, with a `+` if files differ from it; `None` outside of a repository.
pub(crate) fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    Some(if changed { format!("{commit}+") } else { commit })
}
