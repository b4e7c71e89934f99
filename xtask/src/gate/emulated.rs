//! The CUDA side where there is no GPU: its lints, and its tests over a driver that the CPU plays.
//! Knows no kernel; `xtask/cuda` has the emulator and the way to build with it.

use std::process::Command;

use super::metadata::Workspace;
use super::process;

/// Names a folder with NVIDIA's runtime compiler, which needs no GPU.
const NVRTC: &str = "ARCFACE_NVRTC";

/// Why the CUDA side cannot be built here; `None` if it can.
pub(super) fn missing() -> Option<&'static str> {
    if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        return Some("the CUDA side is built on 64-bit Linux alone");
    }
    let has = |program: &str| process::works(Command::new(program).arg("--version"));
    (!has("bash") || !has("c++"))
        .then_some("the CUDA side is neither built nor tested: it needs bash and a C++ compiler")
}

/// Clippy over everything that the feature `cuda` adds.
pub(super) fn clippy(workspace: &Workspace) -> Command {
    let mut command = build(workspace, &["clippy"]);
    command.args(["--all-targets", "--", "-D", "warnings"]);
    command
}

/// The tests that run over every device, on the emulated one.
pub(super) fn tests(workspace: &Workspace) -> Command {
    let mut command = build(workspace, &["test", "--no-fail-fast"]);
    command.env_remove(NVRTC);
    command.args(["--lib", "--test", "it", "--", "--show-output", "device", "cuda"]);
    command
}

/// The kernels as NVIDIA's own compiler takes them, where `ARCFACE_NVRTC` names the folder that it is in.
pub(super) fn kernels(workspace: &Workspace) -> Option<Command> {
    std::env::var_os(NVRTC).filter(|folder| !folder.is_empty())?;
    let mut command = build(workspace, &["test"]);
    command.args(["--lib", "--", "--show-output", "kernels_compile"]);
    Some(command)
}

fn build(workspace: &Workspace, cargo: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.current_dir(&workspace.root).args(["xtask/cuda/build.sh", "--emulated"]).args(cargo);
    // Nothing of the other crates is of CUDA's; with them the build takes twice as long.
    for package in ["arcface-core", "arcface-losses", "arcface-models"] {
        command.args(["--package", package]);
    }
    command.args(["--features", "cuda", "--profile", "emulated"]);
    command
}
