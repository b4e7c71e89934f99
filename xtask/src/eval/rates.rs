//! TAR at FAR of evaluations with very many pairs, as tables, plots and figures.
//! Knows no pairs.

use arcface_eval::TarAtFar;
use arcface_eval::report::{FigureTable, det_plot, rates_plot};
use serde_json::{Value, json};

use super::page::{Drawn, Outcome, percent};

/// The false accept rates of the field's protocols.
pub(super) const FARS: [f64; 6] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1];

/// What was found, by name, such as that of the pooling; all over the same false accept rates.
pub(super) struct Rates {
    fars: Vec<f64>,
    found: Vec<(String, TarAtFar)>,
}

impl Rates {
    /// Nothing yet, at `fars`.
    pub(super) fn new(fars: &[f64]) -> Self {
        Self { fars: fars.to_vec(), found: Vec::new() }
    }

    /// Adds what was found under a name.
    pub(super) fn add(&mut self, name: &str, found: TarAtFar) {
        self.found.push((name.to_owned(), found));
    }

    /// Puts everything into `outcome`.
    ///
    /// # Errors
    /// If a plot cannot be drawn.
    pub(super) fn tell(&self, outcome: &mut Outcome) -> anyhow::Result<()> {
        outcome.tables.push(self.table());
        outcome.plots.extend(self.plots()?);
        outcome.figures.extend(self.figures());
        outcome.details["rates"] = self.document();
        Ok(())
    }

    fn table(&self) -> FigureTable {
        let row = |(name, found): &(String, TarAtFar)| {
            let rates = tars(found).map(percent);
            let counts = [found.genuine, found.impostors].map(|count| count.to_string());
            [name.clone()].into_iter().chain(rates).chain(counts).collect()
        };
        let rates = self.fars.iter().map(|far| format!("TAR@{far:e}"));
        let counts = ["genuine", "impostors"].map(str::to_owned);
        FigureTable {
            title: "1:1 verification, in %".to_owned(),
            head: [String::new()].into_iter().chain(rates).chain(counts).collect(),
            rows: self.found.iter().map(row).collect(),
            note: self.note(),
        }
    }

    /// Which rates the pairs are too few for.
    fn note(&self) -> String {
        let lowest = self.found.iter().map(|(_, found)| found.smallest_far()).fold(0.0, f64::max);
        if self.fars.iter().all(|far| lowest <= *far) {
            return String::new();
        }
        format!("The lowest FAR that so many impostor pairs can show is {lowest:.1e}; below it stands –.")
    }

    fn plots(&self) -> anyhow::Result<[Drawn; 2]> {
        let curves: Vec<(&str, &TarAtFar)> = self.found.iter().map(|(name, found)| (name.as_str(), found)).collect();
        let drawn = |name: &str, caption: &str, svg| Drawn { name: name.to_owned(), caption: caption.to_owned(), svg };
        Ok([
            drawn("roc", "True accept rate over false accept rate", rates_plot(&curves)?),
            drawn("det", "Genuine pairs rejected over impostor pairs accepted", det_plot(&curves)?),
        ])
    }

    fn figures(&self) -> Vec<(String, Option<f64>)> {
        let of = |(name, found): &(String, TarAtFar)| {
            let prefix = if self.found.len() == 1 { String::new() } else { format!("{name} ") };
            let named = self.fars.iter().map(|far| format!("{prefix}TAR@{far:e}"));
            named.zip(tars(found)).collect::<Vec<_>>()
        };
        self.found.iter().flat_map(of).collect()
    }

    fn document(&self) -> Value {
        self.found.iter().map(|(name, found)| self.entry(name, found)).collect()
    }

    fn entry(&self, name: &str, found: &TarAtFar) -> Value {
        let points = self.fars.iter().zip(&found.points).map(|(far, point)| match point {
            Some(point) => json!({
                "far": far,
                "tar": found.tar(point),
                "score": point.score,
                "true_accepts": point.true_accepts,
                "false_accepts": point.false_accepts,
            }),
            None => json!({ "far": far, "tar": null }),
        });
        json!({
            "name": name,
            "genuine": found.genuine,
            "impostors": found.impostors,
            "smallest_far": found.smallest_far(),
            "points": points.collect::<Vec<_>>(),
        })
    }
}

/// TAR at each rate.
fn tars(found: &TarAtFar) -> impl Iterator<Item = Option<f64>> {
    found.points.iter().map(|point| point.as_ref().map(|point| found.tar(point)))
}
