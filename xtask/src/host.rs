//! What this process runs on and was made from: device, peak memory, commit.
//! Knows no experiment.

use std::process::Command;

use anyhow::bail;
use arcface_core::candle::Device;

use crate::config::DeviceChoice;

/// The device that a configuration asks for.
///
/// # Errors
/// If this build cannot use it.
pub(crate) fn device(choice: DeviceChoice) -> anyhow::Result<Device> {
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(number) => bail!(
            "device = \"cuda:{number}\": this build runs on the CPU only; set device = \"cpu\" or \"auto\", \
             or use a build with the feature `cuda`"
        ),
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
