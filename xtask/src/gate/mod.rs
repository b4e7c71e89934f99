//! The gate that every change passes: `test`, `lint`, and `ci`, which is both.
//! Knows no faces and no training: it runs tools and reads sources.

mod emulated;
mod lint;
mod metadata;
mod process;
mod test;
mod tidy;

/// `cargo xtask test`: every test and doctest; needs cargo alone.
///
/// # Errors
/// If a test fails or cannot be built.
pub(crate) fn test() -> anyhow::Result<()> {
    test::run(&metadata::Workspace::load()?)
}

/// `cargo xtask lint`: format, lints, documentation, tidy, benches once, spelling, foreign targets.
///
/// # Errors
/// If a check fails; all of them run before.
pub(crate) fn lint() -> anyhow::Result<()> {
    lint::run(&metadata::Workspace::load()?)
}

/// `cargo xtask ci`: lint, then test, so that the closing lines are those of the tests.
///
/// # Errors
/// If either fails; both run.
pub(crate) fn ci() -> anyhow::Result<()> {
    let lint = lint();
    if let Err(error) = &lint {
        eprintln!("{error:#}");
    }
    test()?;
    lint
}
