//! What a build without CUDA says of CUDA devices.
//! Knows none.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::Capability;
use crate::{Error, Result};

/// Where the driver of a card shows that it is there.
const DRIVER: &str = "/proc/driver/nvidia/version";

pub(super) fn open(number: usize) -> Result<Device> {
    Err(Error::Invalid(format!(
        "device = \"cuda:{number}\": this build runs on the CPU only; set device = \"cpu\" or \"auto\", or use a build \
         with the feature `cuda`: cargo xtask-cuda"
    )))
}

/// A word only where there is a card that a build with CUDA would use.
pub(super) fn note(_error: &Error) -> Option<String> {
    let words = "device = \"auto\": the CPU, since this build runs on it only; cargo xtask-cuda uses the graphics card";
    Path::new(DRIVER).exists().then(|| words.to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "with CUDA the driver may fail")]
pub(super) fn capability(_device: &Device) -> Result<Option<Capability>> {
    Ok(None)
}

pub(super) fn name(device: &Device) -> String {
    format!("{:?}", device.location())
}

pub(super) fn peak_bytes(_device: &Device) -> Option<u64> {
    None
}

/// There is none.
pub(super) enum Guard {}

pub(super) fn keep_shapes(_device: &Device) -> Option<Guard> {
    None
}

/// Nothing to keep.
#[derive(Default)]
pub(super) struct Staging {}

impl Staging {
    #[expect(clippy::unused_self, reason = "with CUDA it has what it keeps")]
    pub(super) fn tensor(&mut self, values: Vec<f32>, dims: &[usize], device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_vec(values, dims, device)?)
    }
}
