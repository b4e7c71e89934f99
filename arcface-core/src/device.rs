//! The device that everything is computed on: which one, and what is to be known of it.
//! Knows no operator and no network.
//!
//! A build without the feature `cuda` has the CPU alone. In one with it a device is opened once a process, with one
//! stream that all work goes through.

#[cfg(not(feature = "cuda"))]
#[path = "device/absent.rs"]
mod cuda;
#[cfg(feature = "cuda")]
mod cuda;

use std::fmt;
use std::str::FromStr;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Whether this build has CUDA.
pub const HAS_CUDA: bool = cfg!(feature = "cuda");

/// A device by name.
///
/// ```
/// use arcface_core::device::Choice;
/// let choice: Choice = "cuda:1".parse()?;
/// assert_eq!((choice, choice.to_string()), (Choice::Cuda(1), "cuda:1".to_owned()));
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Choice {
    /// The first CUDA device where there is one, else the CPU.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A CUDA device by number.
    Cuda(usize),
}

impl FromStr for Choice {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let cuda = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
        match (text, cuda) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            (_, Some(number)) => Ok(Self::Cuda(number)),
            _ => Err(Error::Invalid(format!("expected \"auto\", \"cpu\" or \"cuda:0\", got \"{text}\""))),
        }
    }
}

impl TryFrom<String> for Choice {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Cpu => f.pad("cpu"),
            Self::Cuda(number) => f.pad(&format!("cuda:{number}")),
        }
    }
}

impl From<Choice> for String {
    fn from(choice: Choice) -> Self {
        choice.to_string()
    }
}

/// A device that is ready.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The device.
    pub device: Device,
    /// Why it is not the one that one might expect.
    pub note: Option<String>,
}

/// Opens the device of `choice`; a CUDA device stays open, and is the same each time.
///
/// # Errors
/// If this build has no CUDA, there is no such device, or its driver is too old.
///
/// # Example
/// ```
/// use arcface_core::device::{Choice, open};
/// assert!(open(Choice::Cpu)?.device.is_cpu());
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn open(choice: Choice) -> Result<Opened> {
    match choice {
        Choice::Cpu => Ok(Opened { device: Device::Cpu, note: None }),
        Choice::Cuda(number) => Ok(Opened { device: cuda::open(number)?, note: None }),
        Choice::Auto => Ok(match cuda::open(0) {
            Ok(device) => Opened { device, note: None },
            Err(error) => Opened { device: Device::Cpu, note: cuda::note(&error) },
        }),
    }
}

/// What kernels a CUDA device can run, such as 9.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability {
    /// Before the point.
    pub major: i32,
    /// Behind it.
    pub minor: i32,
}

impl Capability {
    /// From here on there are bf16 and tf32.
    pub const AMPERE: Self = Self { major: 8, minor: 0 };
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The compute capability; `None` of the CPU.
///
/// # Errors
/// If the driver fails.
pub fn capability(device: &Device) -> Result<Option<Capability>> {
    cuda::capability(device)
}

/// The device for people: `cpu`, or `cuda:0 (NVIDIA H200)`.
pub fn name(device: &Device) -> String {
    match device {
        Device::Cpu => "cpu".to_owned(),
        other => cuda::name(other),
    }
}

/// The most memory of the device that tensors and workspaces of this process ever held, in bytes; `None` of the CPU,
/// and where the driver does not tell.
pub fn peak_bytes(device: &Device) -> Option<u64> {
    cuda::peak_bytes(device)
}

/// Keeps the shapes and strides of tensors on the device, as long as it is held: without it every operation of candle on
/// a tensor with gaps waits for a copy of them. Hold it where shapes repeat, and not where labels are brought over:
/// what is kept, small uploads of any kind, is never forgotten.
#[must_use]
pub fn keep_shapes(device: &Device) -> KeptShapes {
    KeptShapes { _guard: cuda::keep_shapes(device) }
}

/// Ends what [`keep_shapes`] began when it is dropped.
pub struct KeptShapes {
    _guard: Option<cuda::Guard>,
}

/// Brings batches from the host to a device, one after the other.
///
/// On the way to a CUDA device they lie in memory that the device reads by itself, in two parts in turns: one is filled
/// while the other is on its way.
pub struct Uploads {
    device: Device,
    staging: cuda::Staging,
}

impl Uploads {
    /// To `device`.
    pub fn to(device: &Device) -> Self {
        Self { device: device.clone(), staging: cuda::Staging::default() }
    }

    /// `values` as a tensor of the shape `dims`.
    ///
    /// # Errors
    /// If the shape does not fit, or the device has no more memory.
    ///
    /// # Example
    /// ```
    /// use arcface_core::candle::Device;
    /// use arcface_core::device::Uploads;
    /// let images = Uploads::to(&Device::Cpu).tensor(vec![1.0, 2.0], &[2, 1])?;
    /// assert_eq!(images.to_vec2::<f32>()?, [[1.0], [2.0]]);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn tensor(&mut self, values: Vec<f32>, dims: &[usize]) -> Result<Tensor> {
        if self.device.is_cpu() || values.len() != dims.iter().product::<usize>() {
            return Ok(Tensor::from_vec(values, dims, &self.device)?);
        }
        self.staging.tensor(values, dims, &self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for name in ["auto", "cpu", "cuda:0", "cuda:12"] {
            assert_eq!(name.parse::<Choice>().unwrap().to_string(), name);
        }
        for name in ["", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            let error = name.parse::<Choice>().unwrap_err().to_string();
            assert_eq!(error, format!("expected \"auto\", \"cpu\" or \"cuda:0\", got \"{name}\""));
        }
    }

    #[test]
    fn the_cpu_has_neither_capability_nor_memory_of_its_own() {
        let Opened { device, note } = open(Choice::Cpu).unwrap();
        assert!(device.is_cpu() && note.is_none());
        assert_eq!((capability(&device).unwrap(), peak_bytes(&device)), (None, None));
        assert_eq!(name(&device), "cpu");
    }

    #[test]
    fn a_build_without_cuda_says_how_to_get_one() {
        if HAS_CUDA {
            return;
        }
        insta::assert_snapshot!(open(Choice::Cuda(2)).unwrap_err(), @r#"device = "cuda:2": this build runs on the CPU only; set device = "cpu" or "auto", or use a build with the feature `cuda`: cargo xtask-cuda"#);
        assert!(open(Choice::Auto).unwrap().device.is_cpu());
    }

    #[test]
    fn capabilities_are_ordered() {
        let capability = |major, minor| Capability { major, minor };
        assert!(capability(7, 5) < Capability::AMPERE && Capability::AMPERE < capability(8, 6));
        assert_eq!(capability(9, 0).to_string(), "9.0");
    }
}
