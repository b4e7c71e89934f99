//! The binary of the command line.
fn main() -> std::process::ExitCode {
    xtask::run()
}
