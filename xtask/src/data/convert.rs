//! `cargo xtask data convert`: a data set into another container, and the proof that all of it came.
//! Knows no format; reading and writing are `arcface-data`'s.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use arcface_data::Source;
use arcface_data::convert::{Container, Summary, convert, summary};
use arcface_data::source::RecodedSource;
use serde::Serialize;

use super::kind::{Kind, open};
use crate::cli::ConvertArguments;
use crate::progress::Progress;
use crate::{interrupt, output};

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    source: String,
    destination: String,
    #[serde(flatten)]
    summary: Summary,
}

/// Converts, reads what was written, and compares.
///
/// # Errors
/// If the source cannot be read, the destination exists or cannot be written, or does not hold what was written.
pub(super) fn run(arguments: &ConvertArguments) -> anyhow::Result<()> {
    let ConvertArguments { source: from, destination: to, identities, quality, json } = arguments;
    let container = container(to)?;
    let source = open(from, identities.as_deref())?;
    let (source, origin): (Arc<dyn Source>, String) = match *quality {
        Some(quality) => {
            let recoded = RecodedSource::new(source, quality).context("--quality")?;
            (Arc::new(recoded), format!("{} as JPEG of quality {quality}", place(from)))
        }
        None => (source, place(from)),
    };
    interrupt::listen()?;
    let written = followed("converting", &*source, |go_on| convert(&*source, to, container, go_on))?;
    let target = open(to, None)?;
    let found = followed("checking", &*target, |go_on| summary(&*target, go_on))?;
    if found != written {
        bail!("{}: expected {written:?}, read back {found:?}; disk or memory are at fault, remove it", to.display());
    }
    let report = Report { source: origin, destination: place(to), summary: written };
    if *json { output::json(&report) } else { output::text(&report.words()) }
}

/// How the destination is to be written, by its name.
fn container(path: &Path) -> anyhow::Result<Container> {
    match (Kind::of(path), path.extension().and_then(|extension| extension.to_str())) {
        (Kind::Record, _) => Ok(Container::Record),
        (Kind::Idx | Kind::Parquet | Kind::Bin, _) | (_, Some("idx" | "gz")) => {
            bail!("{}: expected the name of a folder or of a .rec to write", path.display())
        }
        (Kind::Folder, _) => Ok(Container::Folder),
    }
}

/// What converting comes to; nothing if it was stopped.
pub(crate) type Outcome = arcface_core::Result<Option<Summary>>;

/// Does `work` with a bar, until it is done or Ctrl-C ends it.
pub(crate) fn followed(
    what: &str,
    source: &dyn Source,
    work: impl FnOnce(&mut dyn FnMut(usize) -> bool) -> Outcome,
) -> anyhow::Result<Summary> {
    let progress = Progress::new(what, "img", source.len() as u64);
    let done = work(&mut |done| {
        progress.at(done as u64, "");
        interrupt::check().is_ok()
    });
    progress.finish();
    match done? {
        Some(summary) => Ok(summary),
        None => Err(interrupt::Interrupted.into()),
    }
}

impl Report {
    fn words(&self) -> String {
        let Summary { identities, images, checksum } = self.summary;
        format!(
            "identities  {identities}\nimages      {images}\nchecksum    {checksum:08x}, the same in {} and {}\n",
            self.source, self.destination
        )
    }
}

fn place(path: &Path) -> String {
    path.display().to_string()
}
