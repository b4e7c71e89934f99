//! The arguments of commands that bring a network to a device.
//! Knows no device: whether it is there is that command's matter.

use clap::Args;

use crate::config::{DeviceChoice, Precision};

/// What computes, for commands without a configuration.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct ComputerArguments {
    /// What computes: auto, cpu or cuda:0.
    #[arg(long, default_value_t, value_name = "DEVICE")]
    pub(crate) device: DeviceChoice,
    /// How exactly: tf32 and bf16 on a CUDA device, f64 on the CPU.
    #[arg(long, value_enum, default_value_t, value_name = "NAME")]
    pub(crate) precision: Precision,
}
