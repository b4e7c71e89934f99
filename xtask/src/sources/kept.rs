//! Lists of training images that are kept or dropped: a line for each, with its old and its new label.
//! Knows no angle but as a number to write; why an image is kept is `purify`'s business.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use arcface_data::Source;
use arcface_data::source::Subset;

use super::Training;
use super::planted::quoted;

/// The first line of a list.
pub(crate) const HEADER: &str = "image,label,old_label,angle,path";

/// A line of a list.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Its number in the set it is taken from.
    pub(crate) image: usize,
    /// Absent for an image that is dropped.
    pub(crate) label: Option<u32>,
    pub(crate) old_label: u32,
    /// Degrees to the dominant sub-center of its class; absent for an image that cannot be read.
    pub(crate) angle: Option<f32>,
    pub(crate) path: String,
}

impl Listed {
    /// Writes the line.
    ///
    /// # Errors
    /// If the disk is full.
    pub(crate) fn write(self, file: &mut impl Write) -> io::Result<()> {
        let Self { image, label, old_label, angle, path } = self;
        let label = label.map(|label| label.to_string()).unwrap_or_default();
        let angle = angle.map(|angle| format!("{angle:.2}")).unwrap_or_default();
        writeln!(file, "{image},{label},{old_label},{angle},{}", quoted(path))
    }
}

/// The images of `training` that a list names.
///
/// # Errors
/// If the list cannot be read, is none, or was made of other data.
pub(super) fn keep(training: Training, list: &Path) -> anyhow::Result<Training> {
    let place = || format!("data.keep: {}", list.display());
    let text = std::fs::read_to_string(list).with_context(place)?;
    let lines = lines(&text).with_context(place)?;
    for (number, line) in (2..).zip(&lines) {
        check(line, &*training.source).with_context(|| format!("{}: line {number}", place()))?;
    }
    let images: Vec<usize> = lines.iter().map(|line| line.image).collect();
    if let Some(place_of) = images.windows(2).position(|pair| pair[1] <= pair[0]) {
        bail!("{}: line {}: expected images in rising order, each once", place(), place_of + 3);
    }
    let kept = Subset::of_images(training.source, &images)?;
    if let Some(index) = (0..kept.len()).find(|index| kept.label(*index) != lines[*index].label) {
        let (line, expected, found) = (index + 2, kept.label(index), lines[index].label);
        bail!("{}: line {line}: label: expected {expected}, as the list leaves identities, got {found}", place());
    }
    let planted = training.planted.map(|planted| planted.of_images(&images));
    Ok(Training { source: Arc::new(kept), planted })
}

/// The first three fields of a line.
struct Line {
    image: usize,
    label: u32,
    old_label: u32,
}

fn lines(text: &str) -> anyhow::Result<Vec<Line>> {
    let mut all = text.lines();
    let first = all.next().unwrap_or_default();
    if first.trim_end() != HEADER {
        bail!("expected the first line `{HEADER}`, got `{first}`; `cargo xtask purify` writes such lists");
    }
    let lines: Vec<Line> = (2..)
        .zip(all)
        .map(|(number, line)| parse(line).with_context(|| format!("line {number}: expected {HEADER}, got `{line}`")))
        .collect::<anyhow::Result<_>>()?;
    if lines.is_empty() {
        bail!("expected at least one image, found none");
    }
    Ok(lines)
}

fn parse(line: &str) -> Option<Line> {
    let mut fields = line.split(',');
    let mut next = || fields.next()?.parse::<u32>().ok();
    Some(Line { image: next()? as usize, label: next()?, old_label: next()? })
}

fn check(line: &Line, source: &dyn Source) -> anyhow::Result<()> {
    const ADVICE: &str = "the data set has changed since the list was written; purify again";
    if source.len() <= line.image {
        bail!("image {}: expected fewer than the {} there are; {ADVICE}", line.image, source.len());
    }
    let label = source.label(line.image);
    if label != line.old_label {
        bail!("image {}: expected label {}, it has {label}; {ADVICE}", line.image, line.old_label);
    }
    Ok(())
}
