//! Pooling, scoring and rates of IJB-C's shape, here and in numpy.
//! Knows no text: lists are numbers.

use std::time::Instant;

use anyhow::Context;
use arcface_eval::template::{Pooling, PoolingConfig, Templates, meta::Member};
use arcface_eval::{Pairs, tar_at_far};
use serde::{Deserialize, Serialize};
use serde_json::json;

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

/// Both sides in turns.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    shape: Shape,
    ours: Vec<Run>,
    numpy: Vec<Run>,
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
    Ok(Measured { shape: *shape, ours, numpy, peak_bytes: host::peak_memory_bytes() })
}

fn here(lists: &Lists, scratch: &Scratch) -> anyhow::Result<Run> {
    let member = |&(template, media): &(u32, u32)| Member { image: "", template, media };
    let members: Vec<Member<'_>> = lists.members.iter().map(member).collect();
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
    let out = scratch.file("numpy.json");
    let jobs = json!({ "folder": scratch.path(), "fars": FARS, "out": out });
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
        let differ = self.ours.iter().zip(&self.numpy).map(|(ours, numpy)| {
            let both = ours.accepts.iter().zip(&numpy.accepts);
            both.filter(|(ours, numpy)| ours != numpy).count()
        });
        let mut rows = vec![
            Row::new("IJB-C: pooling, scoring and rates", ours, "s", Bound::AtMost(20.0)),
            Row::new("IJB-C: times as fast as numpy", numpy / ours, "×", Bound::AtLeast(5.0)),
            Row::new(
                "IJB-C: rates with other counts than numpy's",
                differ.sum::<usize>() as f64,
                "",
                Bound::AtMost(0.0),
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
        format!("{images} images, {templates} templates, {pairs} pairs\nhere:  {ours}\nnumpy: {numpy}\n")
    }
}
