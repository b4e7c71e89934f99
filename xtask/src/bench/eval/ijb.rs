//! Pooling, scoring and rates of IJB-C's shape, here and in numpy.
//! Knows no text: lists are numbers.

use std::time::Instant;

use anyhow::Context;
use arcface_eval::template::{Pooling, PoolingConfig, Templates, meta::Member};
use arcface_eval::{Pairs, tar_at_far};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::peer::Peer;
use super::super::scratch::Scratch;
use super::shape::{Lists, SIZE, Shape};
use super::{Bound, Row, median};
use crate::embed::stored::Stored;
use crate::{host, interrupt};

const FARS: [f64; 6] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1];

/// Images that are pooled at a time.
const BATCH: usize = 8192;

/// One side once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Run {
    /// Reading and pooling.
    pooling: f64,
    /// Scoring and rates.
    rates: f64,
    /// True and false accepts at each rate; `None` below what the pairs can show.
    accepts: Vec<Option<[usize; 2]>>,
}

impl Run {
    fn seconds(&self) -> f64 {
        self.pooling + self.rates
    }
}

/// What numpy finds in f64 of templates that were pooled here.
#[derive(Debug, Serialize, Deserialize)]
struct Exact {
    /// As those of a run.
    accepts: Vec<Option<[usize; 2]>>,
    /// The largest difference of a value from that of templates pooled in f64.
    farthest: f64,
}

/// Both sides in turns.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    shape: Shape,
    ours: Vec<Run>,
    numpy: Vec<Run>,
    exact: Exact,
    /// The most that we held, where the system tells.
    peak_bytes: Option<u64>,
}

/// Draws the set and measures both sides in turns.
///
/// # Errors
/// If the disk is full, a side fails, or the user interrupts.
pub(super) fn measure(shape: &Shape, rounds: usize, peer: &Peer, scratch: &Scratch) -> anyhow::Result<Measured> {
    eprintln!("drawing {} embeddings and {} pairs", shape.images, shape.pairs);
    shape.write_features(scratch)?;
    let lists = shape.lists();
    lists.write(scratch)?;
    let (mut ours, mut numpy) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        interrupt::check()?;
        ours.push(here(&lists, scratch)?);
        numpy.push(there(peer, scratch)?);
    }
    let peak_bytes = host::peak_memory_bytes();
    Ok(Measured { shape: *shape, ours, numpy, exact: exact(&lists, peer, scratch)?, peak_bytes })
}

fn here(lists: &Lists, scratch: &Scratch) -> anyhow::Result<Run> {
    let members = members(lists);
    let start = Instant::now();
    let templates = pooled(&members, lists, scratch)?;
    let pooling = start.elapsed().as_secs_f64();
    // Templates have the numbers 0, 1, …, which are their rows.
    let parts = [Pairs::Listed { embeddings: templates.embeddings(), pairs: &lists.pairs, same: &lists.same }];
    let found = tar_at_far(&parts, &FARS)?;
    let rates = start.elapsed().as_secs_f64() - pooling;
    let accepts = found.points.iter().map(|point| point.map(|point| [point.true_accepts, point.false_accepts]));
    Ok(Run { pooling, rates, accepts: accepts.collect() })
}

fn members(lists: &Lists) -> Vec<Member<'_>> {
    let member = |&(template, media): &(u32, u32)| Member { image: "", template, media };
    lists.members.iter().map(member).collect()
}

/// Scores in f32 are off by their roundings, so that of many pairs some near a threshold fall on its other side: numpy's
/// counts are exact only in f64, and of the very templates.
fn exact(lists: &Lists, peer: &Peer, scratch: &Scratch) -> anyhow::Result<Exact> {
    let templates = pooled(&members(lists), lists, scratch)?;
    let (name, embeddings) = ("templates.f32", templates.embeddings());
    let values = (0..embeddings.len()).flat_map(|row| embeddings.row(row));
    let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(scratch.file(name), bytes).with_context(|| scratch.file(name).display().to_string())?;
    answer(peer, scratch, json!({ "templates": name, "size": SIZE }))
}

fn pooled(members: &[Member<'_>], lists: &Lists, scratch: &Scratch) -> anyhow::Result<Templates> {
    let stored = Stored::open(&scratch.file("features.npy"))?;
    let mut pooling = Pooling::new(members, SIZE, PoolingConfig::default())?;
    for first in (0..members.len()).step_by(BATCH) {
        let batch = first..members.len().min(first + BATCH);
        pooling.add_all(first, &stored.values(batch.clone())?, &lists.scores[batch])?;
    }
    Ok(pooling.finish()?)
}

fn there(peer: &Peer, scratch: &Scratch) -> anyhow::Result<Run> {
    answer(peer, scratch, json!({}))
}

/// What numpy says of the set, asked for with more than where it lies.
fn answer<T: DeserializeOwned>(peer: &Peer, scratch: &Scratch, more: Value) -> anyhow::Result<T> {
    let out = scratch.file("numpy.json");
    let mut jobs = json!({ "folder": scratch.path(), "fars": FARS, "out": out });
    if let (Value::Object(jobs), Value::Object(more)) = (&mut jobs, more) {
        jobs.extend(more);
    }
    peer.run("protocols.py", &jobs, scratch.path())?;
    let text = std::fs::read_to_string(&out).with_context(|| out.display().to_string())?;
    serde_json::from_str(&text).with_context(|| out.display().to_string())
}

impl Measured {
    fn seconds(runs: &[Run]) -> f64 {
        median(&runs.iter().map(Run::seconds).collect::<Vec<_>>())
    }

    /// What is asked of the protocol.
    pub(super) fn rows(&self) -> Vec<Row> {
        let (ours, numpy) = (Self::seconds(&self.ours), Self::seconds(&self.numpy));
        let differ: usize = self.ours.iter().map(|ours| differing(&ours.accepts, &self.exact.accepts)).sum();
        let mut rows = vec![
            Row::new("IJB-C: pooling, scoring and rates", ours, "s", Bound::AtMost(20.0)),
            Row::new("IJB-C: times as fast as numpy", numpy / ours, "×", Bound::AtLeast(5.0)),
            Row::new("IJB-C: rates with other counts than exact ones", differ as f64, "", Bound::AtMost(0.0)),
            Row::new(
                "IJB-C: templates from those of numpy in f64",
                1e6 * self.exact.farthest,
                "e-6",
                Bound::AtMost(1.0),
            ),
        ];
        if let Some(bytes) = self.peak_bytes {
            rows.push(Row::new("IJB-C: peak memory", bytes as f64 / f64::from(1 << 30), "GiB", Bound::AtMost(2.0)));
        }
        rows
    }

    /// What was measured on, and the parts of it.
    pub(super) fn words(&self) -> String {
        let Shape { images, templates, pairs, .. } = self.shape;
        let part = |runs: &[Run], of: fn(&Run) -> f64| median(&runs.iter().map(of).collect::<Vec<_>>());
        let parts = |runs: &[Run]| {
            let (pooling, rates) = (part(runs, |run| run.pooling), part(runs, |run| run.rates));
            format!("{pooling:.2} s pooling, {rates:.2} s scoring and rates")
        };
        let (ours, numpy) = (parts(&self.ours), parts(&self.numpy));
        let differ = self.numpy.first().map_or(0, |numpy| differing(&numpy.accepts, &self.exact.accepts));
        let inexact = format!("in f32, {differ} of {} counts differ from the exact ones", FARS.len());
        format!("{images} images, {templates} templates, {pairs} pairs\nhere:  {ours}\nnumpy: {numpy} ({inexact})\n")
    }
}

/// Rates whose counts are not the same.
fn differing(a: &[Option<[usize; 2]>], b: &[Option<[usize; 2]>]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}
