//! `report.html`: what a run or an evaluation came to, on one page with the hardest pairs as pictures.
//! Knows no training; figures come in, plots are read from where they were drawn, faces from where they are kept.

use std::fs;
use std::path::Path;

use anyhow::Context;
use arcface_data::image::encode_jpeg;
use arcface_data::{Image, PairSet};
use arcface_eval::Verification;
use arcface_eval::report::{self, HardPair, Hardest, Page, Plot, ShownFace, ShownPair};

use crate::output;

/// Hardest pairs of each kind that are kept for a report.
pub(crate) const HARDEST: usize = 12;
/// Quality of the pictures as JPEG.
const QUALITY: u8 = 90;

/// The plots that a folder may hold, with what they show.
const PLOTS: [(&str, &str); 3] = [
    ("curves.svg", "Loss, target angle, learning rate and accuracy over the steps"),
    ("roc.svg", "Receiver operating characteristic: true accept rate over false accept rate"),
    ("histogram.svg", "Distances of genuine and impostor pairs, and the threshold between them"),
];

/// What a report is made of.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    pub(crate) title: String,
    /// What it is, in a sentence.
    pub(crate) lead: String,
    pub(crate) verification: Option<&'a Verification>,
    /// Accuracies on the same pairs without training.
    pub(crate) compared: Vec<(&'a str, f64)>,
    pub(crate) facts: Vec<(&'a str, String)>,
    /// Names of the plots in the folder; those that are not there are left out.
    pub(crate) plots: &'a [&'a str],
    /// The hardest of some pairs.
    pub(crate) hardest: Option<(&'a PairSet, &'a Hardest)>,
    pub(crate) configuration: Option<String>,
}

/// Writes `report.html` into `folder`.
///
/// # Errors
/// If a face or a plot cannot be read, or the page cannot be written.
pub(crate) fn write(folder: &Path, contents: &Contents<'_>) -> anyhow::Result<()> {
    let plots = plots(folder, contents.plots)?;
    let plots: Vec<Plot<'_>> = plots.iter().map(|(caption, svg)| Plot { caption, svg }).collect();
    let shown = |pairs: fn(&Hardest) -> &[HardPair]| match contents.hardest {
        Some((set, hardest)) => pairs(hardest).iter().map(|pair| shown_pair(set, *pair)).collect(),
        None => anyhow::Ok(Vec::new()),
    };
    let texts: Vec<(&str, &str)> = contents.configuration.iter().map(|text| ("Configuration", text.as_str())).collect();
    let page = report::html(&Page {
        title: &contents.title,
        lead: &contents.lead,
        verification: contents.verification,
        compared: &contents.compared,
        tables: &[],
        facts: &contents.facts,
        plots: &plots,
        genuine: &shown(|hardest| &hardest.genuine)?,
        impostors: &shown(|hardest| &hardest.impostors)?,
        texts: &texts,
    })?;
    output::file(&folder.join("report.html"), &page)
}

/// Caption and SVG of the plots called `names` that are there.
fn plots(folder: &Path, names: &[&str]) -> anyhow::Result<Vec<(&'static str, String)>> {
    let wanted = PLOTS.iter().filter(|(name, _)| names.contains(name));
    let there = wanted.map(|(name, caption)| (folder.join(name), *caption)).filter(|(path, _)| path.is_file());
    there.map(|(path, caption)| Ok((caption, fs::read_to_string(&path).context(path.display().to_string())?))).collect()
}

/// A pair of a set with its pictures.
///
/// # Errors
/// If a face cannot be read.
pub(crate) fn shown_pair(set: &PairSet, pair: HardPair) -> anyhow::Result<ShownPair> {
    let none = || format!("pair {} is not among the {} that are verified", pair.index + 1, set.list.len());
    let names = set.list.pairs.get(pair.index).with_context(none)?;
    let [a, b] = set.positions[pair.index].map(|position| set.images[position]);
    let faces = [shown_face(set, &names.a, a)?, shown_face(set, &names.b, b)?];
    Ok(ShownPair { number: Some(pair.index + 1), distance: pair.distance, faces })
}

fn shown_face(set: &PairSet, name: &str, image: usize) -> anyhow::Result<ShownFace> {
    Ok(ShownFace { name: name.to_owned(), picture: encoded(&set.source.image(image)?)? })
}

/// A picture as pages show it.
///
/// # Errors
/// If it cannot be encoded.
pub(crate) fn encoded(image: &Image) -> arcface_core::Result<Vec<u8>> {
    encode_jpeg(image, QUALITY)
}

/// A time span in the units that people would say it in.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..100 => format!("{seconds:.1} s"),
        100..6000 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// Bytes in mebibytes.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_said_as_people_do() {
        let said = [0.04, 99.0, 100.0, 3749.6, 5999.0, 7322.0].map(duration);
        assert_eq!(said, ["0.0 s", "99.0 s", "1 min 40 s", "62 min 30 s", "99 min 59 s", "2 h 02 min"]);
    }
}
