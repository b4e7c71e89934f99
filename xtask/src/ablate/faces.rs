//! Faces made of the networks of an ablation: what is aimed at, and what a network that had no part in them says.
//! Knows no process and no inversion; it reads what `cargo xtask synth` left.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use arcface_eval::rebuilt::Passing;
use arcface_eval::report::{FaceRows, FigureTable, ShownFace};
use arcface_eval::{Estimate, Interval};
use serde::{Deserialize, Serialize};

use super::cells::{Cell, Plan};
use super::file::Synth;
use super::folder::{Cells, SUMMARY};
use crate::config::dotted;

/// Faces of each row on the page.
const SHOWN: usize = 8;
/// Coverage of the intervals.
const LEVEL: f64 = 0.95;
/// The reach of it in a normal distribution.
const DEVIATIONS: f64 = 1.96;

/// What faces are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aims {
    /// Class centers: the closed set.
    Classes,
    /// Embeddings of people that the network has never seen: the open set.
    People,
}

impl Aims {
    /// Those that an ablation asks for.
    pub(crate) fn of(synth: &Synth) -> impl Iterator<Item = Self> + use<> {
        [(Self::Classes, synth.classes), (Self::People, synth.people)]
            .into_iter()
            .filter(|(_, count)| 0 < *count)
            .map(|(aims, _)| aims)
    }

    /// Of a folder.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Classes => "classes",
            Self::People => "people",
        }
    }

    /// Arguments of `synth`.
    pub(super) fn arguments(self, synth: &Synth) -> Vec<String> {
        let mut arguments = match self {
            Self::Classes => vec!["--classes".to_owned(), format!("0-{}", synth.classes - 1)],
            Self::People => vec!["--held-out".to_owned(), "--count".to_owned(), synth.people.to_string()],
        };
        for (key, value) in dotted(&synth.set) {
            arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        arguments
    }
}

/// The faces of all rows that were aimed at in one way.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    aims: Aims,
    /// The row whose networks judged.
    judge: String,
    rows: Vec<OfRow>,
    /// Why there is nothing of a cell, by its name.
    failures: BTreeMap<String, String>,
    /// The first faces of each row.
    #[serde(skip)]
    faces: Vec<(String, Vec<ShownFace>)>,
}

/// Figures over the seeds of a row.
#[derive(Debug, Serialize)]
struct OfRow {
    name: String,
    seeds: Vec<u64>,
    /// Of the classes, those that the own network recognises.
    recognised: Option<f64>,
    /// Mean cosine to the faces that were aimed at.
    cosine: Estimate,
    /// As another face of the person: accepted by the own network, accepted by the judge, and the judge's accuracy.
    own_verified: Option<Estimate>,
    verified: Option<Estimate>,
    accuracy: Option<Estimate>,
    frechet: Option<f64>,
}

/// What is read of a `summary.json` of `synth`: the own network's word first, then that of the judge.
#[derive(Debug, Clone, Deserialize)]
struct Summary {
    recognised: Option<f64>,
    judges: Vec<Verdict>,
    images: Vec<Picture>,
}

#[derive(Debug, Clone, Deserialize)]
struct Picture {
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Verdict {
    cosine: Estimate,
    made: Option<Passing>,
    frechet: Option<f64>,
}

/// Everything that was made.
///
/// # Errors
/// If a summary cannot be read.
pub(super) fn made(plan: &Plan, folder: &Cells, failures: &BTreeMap<String, String>) -> anyhow::Result<Vec<Made>> {
    let Some(synth) = &plan.synth else { return Ok(Vec::new()) };
    let of = |aims| {
        let (mut rows, mut faces) = (Vec::new(), Vec::new());
        for row in plan.rows.iter().filter(|row| row.name != synth.judge) {
            let summaries = summaries(plan, folder, &row.name, aims)?;
            rows.extend(OfRow::over_seeds(&row.name, &summaries));
            if let Some((seed, summary)) = summaries.first_key_value()
                && let Some(cell) = plan.cell(&row.name, *seed)
            {
                faces.push((row.name.clone(), first_faces(&folder.faces(cell, aims), summary)?));
            }
        }
        let is_missing = |cell: &&Cell| cell.judge.is_some() && !folder.faces(cell, aims).join(SUMMARY).is_file();
        let missing = plan.cells.iter().filter(is_missing);
        let why = |cell: &Cell| failures.get(&cell.name).map_or("nothing was made of it", String::as_str).to_owned();
        Ok(Made {
            aims,
            judge: synth.judge.clone(),
            rows,
            faces,
            failures: missing.map(|cell| (cell.name.clone(), why(cell))).collect(),
        })
    };
    Aims::of(synth).map(of).collect()
}

/// Those of a row, by its seeds.
fn summaries(plan: &Plan, folder: &Cells, name: &str, aims: Aims) -> anyhow::Result<BTreeMap<u64, Summary>> {
    let mut summaries = BTreeMap::new();
    for cell in plan.seeds.iter().filter_map(|seed| plan.cell(name, *seed)) {
        let path = folder.faces(cell, aims).join(SUMMARY);
        if path.is_file() {
            summaries.insert(cell.seed, read(&path).with_context(|| path.display().to_string())?);
        }
    }
    Ok(summaries)
}

/// The first pictures in the folder of what was made.
fn first_faces(folder: &Path, summary: &Summary) -> anyhow::Result<Vec<ShownFace>> {
    let face = |Picture { name }: &Picture| {
        let path = folder.join("images").join(format!("{name}.png"));
        let picture = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(ShownFace { name: name.clone(), picture })
    };
    summary.images.iter().take(SHOWN).map(face).collect()
}

fn read(path: &Path) -> anyhow::Result<Summary> {
    let summary: Summary = serde_json::from_slice(&std::fs::read(path)?)?;
    anyhow::ensure!(
        summary.judges.len() == 2,
        "expected the words of two networks, found {}; remove the folder to have them judged again",
        summary.judges.len()
    );
    Ok(summary)
}

impl OfRow {
    fn over_seeds(name: &str, summaries: &BTreeMap<u64, Summary>) -> Option<Self> {
        let all: Vec<&Summary> = summaries.values().collect();
        let passing = |judge: usize, figure: fn(&Passing) -> Option<Estimate>| {
            let of_all = all.iter().map(|summary| summary.judges[judge].made.as_ref().and_then(figure));
            over_seeds(&of_all.collect::<Option<Vec<_>>>()?)
        };
        Some(Self {
            name: name.to_owned(),
            seeds: summaries.keys().copied().collect(),
            recognised: mean(all.iter().map(|summary| summary.recognised)),
            cosine: over_seeds(&all.iter().map(|summary| summary.judges[1].cosine).collect::<Vec<_>>())?,
            own_verified: passing(0, |made| Some(made.verified)),
            verified: passing(1, |made| Some(made.verified)),
            accuracy: passing(1, |made| made.accuracy),
            frechet: mean(all.iter().map(|summary| summary.judges[1].frechet)),
        })
    }
}

/// The mean of all, if all are known and there are some.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The mean of estimates of several seeds. Its interval is that of independent images, or that of seeds where they differ
/// by more than images make them.
fn over_seeds(estimates: &[Estimate]) -> Option<Estimate> {
    let value = mean(estimates.iter().map(|estimate| Some(estimate.value)))?;
    if let [only] = estimates {
        return Some(*only);
    }
    let count = estimates.len() as f64;
    let squares = estimates.iter().map(|estimate| (estimate.value - value).powi(2)).sum::<f64>();
    let by_seeds = DEVIATIONS * (squares / (count - 1.0) / count).sqrt();
    let reach = |end: &dyn Fn(&Interval) -> f64| {
        let by_images =
            estimates.iter().map(|estimate| (end(&estimate.interval) - estimate.value).powi(2)).sum::<f64>();
        by_seeds.max(by_images.sqrt() / count)
    };
    let [low, high] = [value - reach(&|interval| interval.low), value + reach(&|interval| interval.high)];
    Some(Estimate { value, interval: Interval { low, high, level: LEVEL } })
}

/// Its name, and what it says of a row.
type Column = (&'static str, fn(&OfRow) -> String);

impl Made {
    /// In Markdown.
    pub(super) fn markdown(&self, reference: &str) -> String {
        self.table(reference).markdown()
    }

    /// The first faces of each row.
    pub(super) fn faces(&self) -> FaceRows {
        FaceRows { title: format!("The first {}", self.title()), rows: self.faces.clone() }
    }

    fn title(&self) -> &'static str {
        match self.aims {
            Aims::Classes => "faces of classes (closed set)",
            Aims::People => "faces of people never seen (open set)",
        }
    }

    /// A row for each network, and where the reference stands.
    pub(super) fn table(&self, reference: &str) -> FigureTable {
        let columns = self.columns();
        FigureTable {
            title: self.title().to_owned(),
            head: columns.iter().map(|(head, _)| (*head).to_owned()).collect(),
            rows: self.rows.iter().map(|row| columns.iter().map(|(_, cell)| cell(row)).collect()).collect(),
            note: self.note(reference),
        }
    }

    /// What is known of some row.
    fn columns(&self) -> Vec<Column> {
        let all: [Column; 8] = [
            ("network", |row| row.name.clone()),
            ("seeds", |row| row.seeds.len().to_string()),
            ("recognised by itself, %", |row| plain(row.recognised, 100.0, 1)),
            ("verified by itself, %", |row| estimate(row.own_verified, 100.0, 1)),
            ("cosine", |row| estimate(Some(row.cosine), 1.0, 3)),
            ("verified, %", |row| estimate(row.verified, 100.0, 1)),
            ("accuracy, %", |row| estimate(row.accuracy, 100.0, 1)),
            ("Fréchet distance", |row| plain(row.frechet, 1.0, 4)),
        ];
        all.into_iter().filter(|(_, cell)| self.rows.iter().any(|row| cell(row) != UNKNOWN)).collect()
    }

    fn note(&self, reference: &str) -> String {
        let mut note = format!(
            "By the network of `{}`, which had no part in them, unless said; intervals of 95 % over images and seeds.",
            self.judge
        );
        if let Some(standing) = self.standing(reference) {
            // Writing to a String cannot fail.
            let _ = write!(note, " {standing}");
        }
        for (cell, why) in &self.failures {
            let _ = write!(note, " `{cell}` failed: {why}.");
        }
        note
    }

    /// Where a row stands by the cosine, and whom it cannot be told from.
    fn standing(&self, name: &str) -> Option<String> {
        let row = self.rows.iter().find(|row| row.name == name)?;
        let others = || self.rows.iter().filter(|other| other.name != name);
        let above = others().filter(|other| row.cosine.value < other.cosine.value).count();
        let meets = |other: &&OfRow| {
            let [a, b] = [row.cosine.interval, other.cosine.interval];
            a.low <= b.high && b.low <= a.high
        };
        let near: Vec<String> = others().filter(meets).map(|other| format!("`{}`", other.name)).collect();
        let near = match near.as_slice() {
            [] => "no other's interval meets its own".to_owned(),
            near => format!("its interval meets that of {}", near.join(", ")),
        };
        Some(format!("`{name}` is number {} of {} by the cosine; {near}.", above + 1, self.rows.len()))
    }
}

/// Of what is not known.
const UNKNOWN: &str = "–";

fn plain(value: Option<f64>, factor: f64, digits: usize) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| format!("{:.digits$}", factor * value))
}

fn estimate(estimate: Option<Estimate>, factor: f64, digits: usize) -> String {
    let Some(Estimate { value, interval }) = estimate else { return UNKNOWN.to_owned() };
    let [value, low, high] = [value, interval.low, interval.high].map(|value| factor * value);
    format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(low: f64, value: f64, high: f64) -> Estimate {
        Estimate { value, interval: Interval { low, high, level: LEVEL } }
    }

    #[test]
    fn an_interval_is_that_of_images_or_of_seeds_whichever_is_wider() {
        let same = over_seeds(&[between(0.3, 0.5, 0.8); 4]).unwrap();
        assert!((same.value - 0.5).abs() < 1e-12);
        // Four times as many images: half as wide.
        assert!((same.interval.low - 0.4).abs() < 1e-12 && (same.interval.high - 0.65).abs() < 1e-12);
        // s = 0.2·√2, of the mean 0.2.
        let far = over_seeds(&[between(0.29, 0.3, 0.31), between(0.69, 0.7, 0.71)]).unwrap();
        assert!((far.value - 0.5).abs() < 1e-12);
        assert!((far.interval.high - 0.5 - DEVIATIONS * 0.2).abs() < 1e-12);
        assert_eq!(over_seeds(&[between(0.1, 0.2, 0.4)]), Some(between(0.1, 0.2, 0.4)));
        assert_eq!(over_seeds(&[]), None);
    }

    #[test]
    fn the_reference_is_told_from_those_whose_intervals_it_does_not_meet() {
        let row = |name: &str, cosine| OfRow {
            name: name.to_owned(),
            seeds: vec![0],
            recognised: Some(1.0),
            cosine,
            own_verified: None,
            verified: None,
            accuracy: None,
            frechet: None,
        };
        let rows = vec![
            row("softmax", between(0.1, 0.2, 0.3)),
            row("arcface", between(0.4, 0.5, 0.6)),
            row("cosface", between(0.5, 0.55, 0.7)),
        ];
        let failures = BTreeMap::from([("sphereface-seed0".to_owned(), "no space".to_owned())]);
        let made = Made { aims: Aims::Classes, judge: "judge".to_owned(), rows, failures, faces: Vec::new() };
        let expected = "`arcface` is number 2 of 3 by the cosine; its interval meets that of `cosface`.";
        assert_eq!(made.standing("arcface").as_deref(), Some(expected));
        let expected = "`softmax` is number 3 of 3 by the cosine; no other's interval meets its own.";
        assert_eq!(made.standing("softmax").as_deref(), Some(expected));
        assert_eq!(made.standing("nobody"), None);
        let markdown = made.markdown("arcface");
        assert!(
            markdown.starts_with("| faces of classes (closed set) | seeds | recognised by itself, % | cosine |\n"),
            "{markdown}"
        );
        assert!(markdown.contains("| arcface | 1 | 100.0 | 0.500 [0.400, 0.600] |"), "{markdown}");
        assert!(markdown.contains("`sphereface-seed0` failed: no space."), "{markdown}");
    }
}
