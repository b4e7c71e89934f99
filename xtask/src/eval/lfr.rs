//! `cargo xtask eval lfr-image|lfr-video`: all pairs of faces, and of videos, as in the lightweight face recognition
//! challenge of 2019.
//! Knows no network; embeddings come from elsewhere.

use std::path::Path;

use anyhow::bail;
use arcface_eval::scores::Faces;
use arcface_eval::{Pairs, tar_at_far};
use serde_json::json;

use super::embeddings::numbered;
use super::faces::{Embedded, Images, paths_below};
use super::page::Outcome;
use super::rates::Rates;
use super::videos::Videos;
use crate::cli::{FaceArguments, LfrImageArguments, VideoArguments};
use crate::embed::stored::UnitRows;

/// The rate of LFR2019-Image, and those that smaller sets can show.
const IMAGE_FARS: [f64; 6] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3];

/// The rate of LFR2019-Video, and its neighbours.
const VIDEO_FARS: [f64; 5] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2];

const FACES: &str = "faces of known persons as faces/PERSON/IMAGE.jpg";
const DISTRACTORS: &str = "faces of others below distractors/";
const VIDEOS: &str = "frames as videos/PERSON/VIDEO/FRAME.jpg";

/// All pairs of the faces, and each of them with all distractors.
///
/// # Errors
/// If faces or embeddings cannot be read.
pub(super) fn images(arguments: &LfrImageArguments) -> anyhow::Result<()> {
    let embedded = Embedded::open(&arguments.faces, "lfr-image", |folder, _| {
        let mut paths = paths_below(&folder.join("faces"), FACES)?;
        paths.extend(paths_below(&folder.join("distractors"), DISTRACTORS)?);
        Ok(Images::aligned(paths))
    })?;
    let (faces, persons) = faces_of_persons(&embedded.paths)?;
    let others: Vec<u32> =
        (0..embedded.paths.len() as u32).filter(|row| is_distractor(&embedded.paths[*row as usize])).collect();
    let identities = numbered(&persons);
    let strangers = strangers(&identities, others.len());
    let rows = [faces.clone(), others.clone()];
    let (faces, others) = (UnitRows::new(&embedded.stored, faces), UnitRows::new(&embedded.stored, others));
    let own = Faces { rows: &faces, identities: &identities };
    let mut parts = vec![Pairs::Within(own)];
    if !strangers.is_empty() {
        parts.push(Pairs::Between(own, Faces { rows: &others, identities: &strangers }));
    }
    let found = tar_at_far(&parts, &IMAGE_FARS)?;
    let lead = format!(
        "All pairs of {} faces of {} persons, and each with {} distractors",
        identities.len(),
        count(&identities),
        strangers.len()
    );
    let mut outcome = outcome("LFR-Image", &embedded, lead);
    outcome.details =
        json!({ "faces": identities.len(), "persons": count(&identities), "distractors": strangers.len() });
    let mut rates = Rates::new(&IMAGE_FARS);
    rates.add("faces", found);
    rates.tell(&mut outcome)?;
    // Of the part with distractors, these are the second set.
    let file = |part: usize, side: usize, row: usize| Path::new(&embedded.paths[rows[part * side][row] as usize]);
    outcome.look_for_hardest(&arguments.output, &parts, file)?;
    outcome.tell(&arguments.output)
}

/// All pairs of videos.
///
/// # Errors
/// If frames or embeddings cannot be read.
pub(super) fn videos(arguments: &VideoArguments) -> anyhow::Result<()> {
    let embedded = frames(&arguments.faces, "lfr-video", "videos", VIDEOS)?;
    let videos = Videos::new(&arguments.faces, "lfr-video", &embedded, arguments.norm)?;
    let identities = numbered(&videos.persons());
    let rows = UnitRows::all(&videos.stored);
    let parts = [Pairs::Within(Faces { rows: &rows, identities: &identities })];
    let found = tar_at_far(&parts, &VIDEO_FARS)?;
    let frames = embedded.paths.len();
    let lead = format!("All pairs of {} videos of {} persons, {frames} frames", identities.len(), count(&identities));
    let mut outcome = outcome("LFR-Video", &embedded, lead);
    outcome.details = json!({ "videos": identities.len(), "persons": count(&identities), "frames": frames });
    let mut rates = Rates::new(&VIDEO_FARS);
    rates.add("videos", found);
    rates.tell(&mut outcome)?;
    // A video is shown by its first frame.
    let file = |_, _, video: usize| Path::new(&embedded.paths[videos.frames[video].start]);
    outcome.look_for_hardest(&arguments.output, &parts, file)?;
    outcome.tell(&arguments.output)
}

/// The frames of the folder `name` of the protocol's folder.
///
/// # Errors
/// As [`Embedded::open`].
pub(super) fn frames(arguments: &FaceArguments, protocol: &str, name: &str, layout: &str) -> anyhow::Result<Embedded> {
    Embedded::open(arguments, protocol, |folder: &Path, _| Images::below(&folder.join(name), layout))
}

fn outcome(protocol: &str, embedded: &Embedded, lead: String) -> Outcome {
    Outcome {
        protocol: protocol.to_owned(),
        subject: embedded.subject.clone(),
        lead,
        facts: embedded.facts.clone(),
        ..Outcome::default()
    }
}

/// Rows and persons of the faces that are no distractors.
fn faces_of_persons(paths: &[String]) -> anyhow::Result<(Vec<u32>, Vec<&str>)> {
    let mut faces = (Vec::new(), Vec::new());
    for (row, path) in (0..).zip(paths).filter(|(_, path)| !is_distractor(path)) {
        match path.rsplit('/').nth(1) {
            Some(person) if !person.is_empty() => {
                faces.0.push(row);
                faces.1.push(person);
            }
            _ => bail!("{path}: expected {FACES}"),
        }
    }
    Ok(faces)
}

fn is_distractor(path: &str) -> bool {
    path.split('/').any(|part| part == "distractors")
}

/// Identities of distractors: nobody's.
fn strangers(identities: &[u32], number: usize) -> Vec<u32> {
    vec![count(identities); number]
}

fn count(identities: &[u32]) -> u32 {
    identities.iter().max().map_or(0, |last| last + 1)
}
