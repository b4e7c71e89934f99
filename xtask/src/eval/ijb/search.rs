//! 1:N of IJB-B and IJB-C: the probes searched in each gallery.
//! Knows no image.

use std::borrow::Cow;
use std::ops::Range;

use anyhow::Context;
use arcface_core::Result;
use arcface_eval::identification::{Identification, identify};
use arcface_eval::report::{FigureTable, Lines, lines};
use arcface_eval::scores::Faces;
use arcface_eval::template::Templates;
use arcface_eval::template::meta::Enrolled;
use arcface_eval::{Embeddings, Rows};
use serde_json::{Value, json};

use super::super::page::{Drawn, Outcome, percent};
use super::lists::Lists;

const RANKS: [usize; 3] = [1, 5, 10];
const FPIRS: [f64; 2] = [0.01, 0.1];
/// Of the curve.
const MOST_RANKS: usize = 50;

/// Searches, and puts table, curve and figures into `outcome`; nothing without lists of galleries.
///
/// # Errors
/// If a list cannot be read, or names a template without images.
pub(super) fn tell(lists: &Lists<'_>, templates: &Templates, outcome: &mut Outcome) -> anyhow::Result<()> {
    let Some((galleries, probes)) = lists.searches()? else {
        outcome.facts.push(("1:N", format!("left out: no {}", lists.probes_path().display())));
        return Ok(());
    };
    let probes = Chosen::new(templates, &probes).with_context(|| lists.probes_path().display().to_string())?;
    let mut found = Vec::new();
    for gallery in &galleries {
        let path = || gallery.path.display().to_string();
        let enrolled = Chosen::new(templates, &gallery.enrolled).with_context(path)?;
        found.push((gallery.name, identify(probes.faces(), enrolled.faces()).with_context(path)?, enrolled.rows.len()));
    }
    outcome.tables.push(table(&found));
    outcome.plots.push(curve(&found)?);
    outcome.figures.extend(figures(&found));
    outcome.details["identification"] = found.iter().map(entry).collect();
    Ok(())
}

/// A gallery's name, what was found in it, and how many templates it has.
type Found = (&'static str, Identification, usize);

/// Every figure: its name and how it is read off.
fn read(found: &Identification) -> Vec<(String, Option<f64>)> {
    let ranks = RANKS.iter().map(|rank| (format!("rank {rank}"), Some(found.rank(*rank))));
    let rates = FPIRS.iter().map(|fpir| (format!("TPIR@FPIR={fpir}"), found.tpir_at_fpir(*fpir)));
    ranks.chain(rates).collect()
}

/// The mean over the galleries; `None` where one of them cannot tell.
fn mean(values: &[Option<f64>]) -> Option<f64> {
    let sum: Option<f64> = values.iter().copied().sum();
    sum.map(|sum| sum / values.len() as f64)
}

fn table(found: &[Found]) -> FigureTable {
    let columns: Vec<Vec<(String, Option<f64>)>> = found.iter().map(|(_, found, _)| read(found)).collect();
    let row = |index: usize| {
        let values: Vec<Option<f64>> = columns.iter().map(|column| column[index].1).collect();
        let cells = values.iter().map(|value| percent(*value)).chain([percent(mean(&values))]);
        [columns[0][index].0.clone()].into_iter().chain(cells).collect()
    };
    let lowest = found.iter().map(|(_, found, _)| found.smallest_fpir()).fold(0.0, f64::max);
    let note = if FPIRS.iter().all(|fpir| lowest <= *fpir) {
        String::new()
    } else {
        format!("The lowest FPIR that the probes without a mate can show is {lowest:.1e}; below it stands –.")
    };
    let names = found.iter().map(|(name, ..)| (*name).to_owned());
    FigureTable {
        title: "1:N identification, in %".to_owned(),
        head: [String::new()].into_iter().chain(names).chain(["mean".to_owned()]).collect(),
        rows: (0..columns[0].len()).map(row).collect(),
        note,
    }
}

fn curve(found: &[Found]) -> anyhow::Result<Drawn> {
    let line = |(name, found, templates): &Found| {
        let rates = found.cmc(MOST_RANKS.min(*templates));
        (*name, (1..).map(f64::from).zip(rates).collect::<Vec<(f64, f64)>>())
    };
    let curves: Vec<(&str, Vec<(f64, f64)>)> = found.iter().map(line).collect();
    let svg =
        lines(&Lines { title: "Cumulative match characteristic", x: "rank", y: "mated probes found", lines: &curves })?;
    Ok(Drawn { name: "cmc".to_owned(), caption: "Mated probes found by rank, in each gallery".to_owned(), svg })
}

fn figures(found: &[Found]) -> Vec<(String, Option<f64>)> {
    let columns: Vec<Vec<(String, Option<f64>)>> = found.iter().map(|(_, found, _)| read(found)).collect();
    let figure = |index: usize| {
        let values: Vec<Option<f64>> = columns.iter().map(|column| column[index].1).collect();
        (columns[0][index].0.clone(), mean(&values))
    };
    (0..columns[0].len()).map(figure).collect()
}

fn entry((name, found, templates): &Found) -> Value {
    let figures: serde_json::Map<String, Value> =
        read(found).into_iter().map(|(name, value)| (name, json!(value))).collect();
    json!({
        "gallery": name,
        "templates": templates,
        "mated_probes": found.mated(),
        "non_mated_probes": found.non_mated(),
        "figures": figures,
    })
}

/// Some of the templates, and whom they show.
struct Chosen<'a> {
    embeddings: &'a Embeddings,
    rows: Vec<usize>,
    subjects: Vec<u32>,
}

impl<'a> Chosen<'a> {
    fn new(templates: &'a Templates, enrolled: &[Enrolled]) -> Result<Self> {
        let numbers: Vec<u32> = enrolled.iter().map(|enrolled| enrolled.template).collect();
        let subjects = enrolled.iter().map(|enrolled| enrolled.subject).collect();
        Ok(Self { embeddings: templates.embeddings(), rows: templates.rows_of(&numbers)?, subjects })
    }

    fn faces(&self) -> Faces<'_> {
        Faces { rows: self, identities: &self.subjects }
    }
}

impl Rows for Chosen<'_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn width(&self) -> usize {
        self.embeddings.size()
    }

    fn read(&self, rows: Range<usize>) -> Result<Cow<'_, [f32]>> {
        let rows = self.rows[rows].iter().flat_map(|row| self.embeddings.row(*row));
        Ok(Cow::Owned(rows.copied().collect()))
    }
}
