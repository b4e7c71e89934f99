//! `cargo xtask eval ytf`: pairs of videos in folds, as of YouTube Faces.
//! Knows no network; embeddings come from elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use arcface_data::{Pair, PairList};
use arcface_eval::report::HardPair;
use arcface_eval::verify_folds;

use super::entries::{self, Entry};
use super::faces::folder;
use super::lfr::frames;
use super::page;
use super::videos::Videos;
use crate::cli::VideoArguments;
use crate::embed::stored::UnitRows;
use crate::verify::Verified;

const FRAMES: &str = "frames as frames/PERSON/VIDEO/FRAME.jpg";

/// Verifies the pairs of `splits.txt` and prints the figures.
///
/// # Errors
/// If the list, frames or embeddings cannot be read, or a pair names a video that is not there.
pub(super) fn run(arguments: &VideoArguments) -> anyhow::Result<()> {
    let path = folder(&arguments.faces)?.join("splits.txt");
    let list = read(&path)?;
    let embedded = frames(&arguments.faces, "ytf", "frames", FRAMES)?;
    let videos = Videos::new(&arguments.faces, "ytf", &embedded, arguments.norm)?;
    let places = places(&list, &videos).with_context(|| path.display().to_string())?;
    let verified = verified(&list, &videos, &places)?;
    let hardest = verified.hardest()?;
    let mut outcome =
        entries::outcome("YTF", &[Entry::new(embedded.subject.clone(), "splits.txt".to_owned(), verified)?])?;
    outcome.facts.extend(embedded.facts.clone());
    if arguments.faces.features.is_none() {
        // A video is shown by the frame in its middle.
        let face = |video: usize| {
            let frames = &videos.frames[video];
            embedded.paths[usize::midpoint(frames.start, frames.end - 1)].as_str()
        };
        let shown = |pair: &HardPair| page::shown(pair, [places[pair.index].0, places[pair.index].1].map(face));
        outcome.genuine = hardest.genuine.iter().map(shown).collect::<anyhow::Result<_>>()?;
        outcome.impostors = hardest.impostors.iter().map(shown).collect::<anyhow::Result<_>>()?;
    }
    outcome.tell(&arguments.output)
}

/// Lines `FOLD, PERSON/VIDEO, PERSON/VIDEO, SAME`, as of the published `splits.txt`; further columns and a line of their
/// names may be there.
fn read(path: &Path) -> anyhow::Result<PairList> {
    if !path.is_file() {
        bail!("{}: expected lines `1, PERSON/VIDEO, PERSON/VIDEO, 1`, found no such file", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).peekable();
    lines.next_if(|(_, line)| !line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    let pairs = lines.map(|(number, line)| {
        let form = "`FOLD, PERSON/VIDEO, PERSON/VIDEO, SAME` with 1 or 0 in the end";
        pair(line).with_context(|| format!("{}: line {number}: expected {form}, got `{line}`", path.display()))
    });
    let pairs = pairs.collect::<anyhow::Result<Vec<Pair>>>()?;
    if pairs.is_empty() {
        bail!("{}: expected at least one pair, found none", path.display());
    }
    Ok(PairList::new(pairs, path))
}

fn pair(line: &str) -> Option<Pair> {
    let mut fields = line.split(',').map(str::trim);
    let fold: usize = fields.next()?.parse().ok()?;
    let (a, b) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    let same = match fields.next()? {
        "1" => true,
        "0" => false,
        _ => return None,
    };
    Some(Pair { a, b, same, fold })
}

/// The videos of each pair.
fn places(list: &PairList, videos: &Videos) -> anyhow::Result<Vec<(usize, usize)>> {
    let known: BTreeMap<&str, usize> = videos.names.iter().map(String::as_str).zip(0..).collect();
    let place = |index: usize, name: &str| {
        let place = known.get(name).copied();
        place.with_context(|| format!("pair {}: expected a video that has frames, got `{name}`", index + 1))
    };
    let pairs = list.pairs.iter().enumerate();
    pairs.map(|(index, pair)| Ok((place(index, &pair.a)?, place(index, &pair.b)?))).collect()
}

fn verified(list: &PairList, videos: &Videos, places: &[(usize, usize)]) -> anyhow::Result<Verified> {
    let embeddings = UnitRows::all(&videos.stored).embeddings()?;
    let (distances, same, folds) = (embeddings.squared_distances(places)?, list.same(), list.folds());
    let verification = verify_folds(&distances, &same, &folds)?;
    Ok(Verified { verification, distances, same, folds })
}
