//! Networks on sets of pairs: figures with intervals, as tables and plots.
//! Knows no file; verifications come in.

use arcface_eval::report::{FigureTable, roc_plot};
use arcface_eval::roc::Bootstrap;
use arcface_eval::verification::{FALSE_ACCEPT_RATES, contributions};
use arcface_eval::{Interval, Roc};
use serde_json::{Value, json};

use super::page::{Drawn, Outcome, percent};
use crate::verify::Verified;

/// One network on one set.
pub(super) struct Entry {
    pub(super) net: String,
    pub(super) benchmark: String,
    pub(super) verified: Verified,
    intervals: Intervals,
}

/// Where the figures lie when the pairs are drawn again.
struct Intervals {
    accuracy: Interval,
    /// At each of [`FALSE_ACCEPT_RATES`] that the pairs can show.
    tar_at_far: Vec<(&'static str, Interval)>,
}

impl Intervals {
    fn new(verified: &Verified) -> anyhow::Result<Self> {
        let bootstrap = Bootstrap::default();
        let Verified { verification, distances, same, folds } = verified;
        let judged = contributions(distances, same, folds)?;
        let kinds: Vec<usize> = same.iter().map(|same| usize::from(*same)).collect();
        let accuracy = |_: usize, counts: &[usize]| {
            let sum: f64 = judged.iter().zip(counts).map(|(judged, count)| judged * *count as f64).sum();
            Ok(sum / judged.len() as f64)
        };
        let accuracy = bootstrap.over_runs(1, &kinds, accuracy)?.interval;
        let scores: Vec<f64> = distances.iter().map(|distance| -distance).collect();
        let shown =
            FALSE_ACCEPT_RATES.iter().filter(|(key, _)| verification.tar_at_far.get(*key).is_some_and(Option::is_some));
        let interval = |&(key, far): &(&'static str, f64)| {
            // As many impostor pairs are drawn as there are, so that the rate can be told each time.
            Ok((key, bootstrap.interval(&scores, same, |roc| roc.tar_at_far(far).unwrap_or(f64::NAN))?))
        };
        Ok(Self { accuracy, tar_at_far: shown.map(interval).collect::<anyhow::Result<_>>()? })
    }

    fn of(&self, key: &str) -> Option<&Interval> {
        self.tar_at_far.iter().find(|(known, _)| *known == key).map(|(_, interval)| interval)
    }
}

impl Entry {
    /// The network `net` on the set `benchmark`, with intervals.
    ///
    /// # Errors
    /// If the figures cannot be drawn again.
    pub(super) fn new(net: String, benchmark: String, verified: Verified) -> anyhow::Result<Self> {
        let intervals = Intervals::new(&verified)?;
        Ok(Self { net, benchmark, verified, intervals })
    }

    /// Mean over the folds.
    pub(super) fn accuracy(&self) -> f64 {
        self.verified.verification.accuracy
    }

    fn tar(&self, key: &str) -> Option<f64> {
        self.verified.verification.tar_at_far.get(key).copied().flatten()
    }

    fn document(&self) -> Value {
        let mut document = json!(self.verified.verification);
        document["net"] = json!(self.net);
        document["benchmark"] = json!(self.benchmark);
        document["accuracy_interval"] = json!(self.intervals.accuracy);
        let intervals = self.intervals.tar_at_far.iter();
        document["tar_at_far_intervals"] =
            intervals.map(|(key, interval)| ((*key).to_owned(), json!(interval))).collect::<Value>();
        document["smallest_far"] = json!(1.0 / self.verified.verification.impostors as f64);
        document
    }
}

/// What the entries came to together; those of one network follow each other.
///
/// # Errors
/// If a plot cannot be drawn.
pub(super) fn outcome(protocol: &str, entries: &[Entry]) -> anyhow::Result<Outcome> {
    let nets: Vec<&str> = by_net(entries).map(|own| own[0].net.as_str()).collect();
    let mut tables = Vec::new();
    if 1 < nets.len() {
        tables.push(accuracies(entries));
    }
    tables.extend(by_net(entries).map(table));
    Ok(Outcome {
        protocol: protocol.to_owned(),
        subject: nets.join(", "),
        lead: format!("Pairs of faces verified: {}", lead(entries)),
        tables,
        plots: plots(entries)?,
        facts: vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
        figures: figures(entries),
        details: json!({ "benchmarks": entries.iter().map(Entry::document).collect::<Vec<_>>() }),
        ..Outcome::default()
    })
}

/// The sets and how large they are.
fn lead(entries: &[Entry]) -> String {
    let sets = by_net(entries).next().unwrap_or_default();
    let set = |entry: &Entry| format!("{} ({} pairs)", entry.benchmark, entry.verified.same.len());
    sets.iter().map(set).collect::<Vec<_>>().join(", ")
}

/// The entries of each network.
fn by_net(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    entries.chunk_by(|a, b| a.net == b.net)
}

/// Networks by sets.
fn accuracies(entries: &[Entry]) -> FigureTable {
    let benchmarks = by_net(entries).next().unwrap_or_default();
    let row = |own: &[Entry]| {
        [own[0].net.clone()].into_iter().chain(own.iter().map(|entry| percent(Some(entry.accuracy())))).collect()
    };
    FigureTable {
        title: "Accuracy, in %".to_owned(),
        head: [String::new()].into_iter().chain(benchmarks.iter().map(|entry| entry.benchmark.clone())).collect(),
        rows: by_net(entries).map(row).collect(),
        note: String::new(),
    }
}

/// One network by sets.
fn table(entries: &[Entry]) -> FigureTable {
    let head = ["", "accuracy", "± std", "95 % interval"].map(str::to_owned).to_vec();
    let rates = FALSE_ACCEPT_RATES.iter().flat_map(|(key, _)| [format!("TAR@{key}"), "95 % interval".to_owned()]);
    let rest = ["AUC", "EER", "pairs"].map(str::to_owned);
    FigureTable {
        title: format!("{}, in %", entries[0].net),
        head: head.into_iter().chain(rates).chain(rest).collect(),
        rows: entries.iter().map(row).collect(),
        note: note(entries),
    }
}

fn row(entry: &Entry) -> Vec<String> {
    let v = &entry.verified.verification;
    let mut cells = vec![
        entry.benchmark.clone(),
        percent(Some(v.accuracy)),
        percent(Some(v.accuracy_std)),
        interval(Some(&entry.intervals.accuracy)),
    ];
    for (key, _) in FALSE_ACCEPT_RATES {
        cells.extend([percent(entry.tar(key)), interval(entry.intervals.of(key))]);
    }
    cells.extend([format!("{:.4}", v.auc), percent(Some(v.eer)), entry.verified.same.len().to_string()]);
    cells
}

fn interval(interval: Option<&Interval>) -> String {
    let text = |interval: &Interval| format!("{:.2} to {:.2}", 100.0 * interval.low, 100.0 * interval.high);
    interval.map_or_else(|| "–".to_owned(), text)
}

/// What the intervals are, and which rates the pairs are too few for.
fn note(entries: &[Entry]) -> String {
    let lowest = |entry: &Entry| {
        let smallest = 1.0 / entry.verified.verification.impostors as f64;
        format!("{} {smallest:.1e}", entry.benchmark)
    };
    let few: Vec<String> = entries
        .iter()
        .filter(|entry| FALSE_ACCEPT_RATES.iter().any(|(key, _)| entry.tar(key).is_none()))
        .map(lowest)
        .collect();
    let lowest = match &few[..] {
        [] => String::new(),
        few => format!(" The lowest FAR that the impostor pairs can show: {}.", few.join(", ")),
    };
    format!("Intervals by 1000 resamples of the pairs, the thresholds of the folds held.{lowest}")
}

/// A plot for each set, a curve for each network.
fn plots(entries: &[Entry]) -> anyhow::Result<Vec<Drawn>> {
    let sets = by_net(entries).next().unwrap_or_default();
    let plot = |set: &Entry| {
        let own: Vec<&Entry> = entries.iter().filter(|entry| entry.benchmark == set.benchmark).collect();
        let roc = |entry: &&Entry| Roc::from_distances(&entry.verified.distances, &entry.verified.same);
        let rocs = own.iter().map(roc).collect::<arcface_core::Result<Vec<Roc>>>()?;
        let curves: Vec<(&str, &Roc)> = own.iter().map(|entry| entry.net.as_str()).zip(&rocs).collect();
        let caption = format!("{}: true accept rate over false accept rate", set.benchmark);
        Ok(Drawn { name: format!("roc-{}", set.benchmark), caption, svg: roc_plot(&curves)? })
    };
    sets.iter().map(plot).collect()
}

fn figures(entries: &[Entry]) -> Vec<(String, Option<f64>)> {
    let several = 1 < by_net(entries).count();
    let of = |entry: &Entry| {
        let name = |figure: &str| {
            let name = format!("{} {figure}", entry.benchmark);
            if several { format!("{} · {name}", entry.net) } else { name }
        };
        [(name("accuracy"), Some(entry.accuracy())), (name("TAR@1e-3"), entry.tar("1e-3"))]
    };
    entries.iter().flat_map(of).collect()
}
