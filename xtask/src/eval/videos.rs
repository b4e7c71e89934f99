//! Videos as the mean embeddings of their frames, kept in a file.
//! Knows no pairs.

use std::ops::Range;

use anyhow::{Context, bail};
use serde_json::json;

use super::faces::{Embedded, kept_path};
use crate::cli::{FaceArguments, NormChoice};
use crate::digest::Digest;
use crate::embed::element::Element;
use crate::embed::kept::Kept;
use crate::embed::stored::{NAME, Stored};
use crate::interrupt;

/// Videos whose frames are averaged between two writes.
const BATCH: usize = 256;

/// Videos with their embeddings, by rising name.
pub(super) struct Videos {
    pub(super) stored: Stored,
    /// `PERSON/VIDEO` of each.
    pub(super) names: Vec<String>,
    /// The rows of its frames among those of the faces.
    pub(super) frames: Vec<Range<usize>>,
}

impl Videos {
    /// The videos whose frames are `faces`: those of one folder are frames of one video.
    ///
    /// # Errors
    /// If a path has no person and video, the frames of a video do not follow each other, or cannot be read.
    pub(super) fn new(
        arguments: &FaceArguments,
        protocol: &str,
        faces: &Embedded,
        norm: NormChoice,
    ) -> anyhow::Result<Self> {
        let (names, frames) = divided(&faces.paths)?;
        let key = json!({
            "frames": Digest::of_file(faces.stored.path())?,
            "videos": Digest::of(names.join("\n").as_bytes()),
            "norm": format!("{norm:?}"),
        });
        let path = kept_path(arguments, &format!("{protocol}-videos"), &key.to_string())?;
        let kept = Kept {
            path: &path,
            name: NAME,
            element: Element::Single,
            key,
            images: names.len(),
            batch: BATCH,
            columns: faces.stored.columns(),
        };
        let describe = |video: usize| names[video].clone();
        kept.ensure(describe, |table| {
            for batch in frames[table.images()..].chunks(BATCH) {
                interrupt::check()?;
                let means = batch.iter().map(|frames| mean(&faces.stored, frames.clone(), norm));
                let means = means.collect::<anyhow::Result<Vec<Vec<f32>>>>()?;
                table.push(&means.concat(), Vec::new())?;
            }
            Ok(())
        })?;
        Ok(Self { stored: Stored::open(&path)?, names, frames })
    }

    /// The person of each video.
    pub(super) fn persons(&self) -> Vec<&str> {
        self.names.iter().map(|name| name.split_once('/').map_or("", |(person, _)| person)).collect()
    }
}

/// Names of the videos, and the rows of their frames.
fn divided(paths: &[String]) -> anyhow::Result<(Vec<String>, Vec<Range<usize>>)> {
    let mut videos: Vec<(String, Range<usize>)> = Vec::new();
    for (row, path) in paths.iter().enumerate() {
        let name = video_of(path)?;
        match videos.last_mut() {
            Some((last, frames)) if *last == name => frames.end = row + 1,
            _ => videos.push((name, row..row + 1)),
        }
    }
    videos.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(twice) = videos.windows(2).find(|two| two[0].0 == two[1].0) {
        bail!("video `{}`: expected its frames one behind the other, found them apart; embed one folder", twice[0].0);
    }
    Ok(videos.into_iter().unzip())
}

/// `PERSON/VIDEO` of a path `…/PERSON/VIDEO/FRAME.jpg`.
fn video_of(path: &str) -> anyhow::Result<String> {
    let mut parts = path.rsplit('/').skip(1);
    let (video, person) = (parts.next(), parts.next());
    let both = person.zip(video).filter(|(person, _)| !person.is_empty());
    let (person, video) = both.with_context(|| format!("{path}: expected a frame …/PERSON/VIDEO/FRAME.jpg"))?;
    Ok(format!("{person}/{video}"))
}

/// The mean of the frames' embeddings.
fn mean(stored: &Stored, frames: Range<usize>, norm: NormChoice) -> anyhow::Result<Vec<f32>> {
    let (first, number, width) = (frames.start, frames.len(), stored.columns());
    let values = stored.values(frames)?;
    let mut sum = vec![0.0_f64; width];
    for (frame, row) in (first..).zip(values.chunks_exact(width)) {
        let row: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        if !(0.0 < length && length < f64::INFINITY) {
            let path = stored.path().display();
            bail!("{path}: row {frame}: expected a finite embedding that is not zero, got one of length {length}");
        }
        let weight = if norm == NormChoice::Unit { 1.0 / length } else { 1.0 };
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
    }
    Ok(sum.into_iter().map(|sum| (sum / number as f64) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_divided_by_their_folders() {
        let paths = ["d/b/1/1.jpg", "d/b/1/2.jpg", "d/a/1/1.jpg", "d/a/2/7.jpg"].map(str::to_owned);
        let (names, frames) = divided(&paths).unwrap();
        assert_eq!(names, ["a/1", "a/2", "b/1"]);
        assert_eq!(frames, [2..3, 3..4, 0..2]);
        let words = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
            divided(&paths).unwrap_err().to_string()
        };
        assert!(
            words(&["a/1/1.jpg", "b/1/1.jpg", "a/1/2.jpg"]).contains("video `a/1`: expected its frames one behind")
        );
        assert!(words(&["1/1.jpg"]).contains("expected a frame …/PERSON/VIDEO/FRAME.jpg"));
    }
}
