//! What the cells came to: figures, differences and tests, as Markdown, JSON and a page.
//! Knows no process; it reads what the runs left.

use std::collections::BTreeMap;

use arcface_eval::comparison::{Comparison, Variant, compare};
use arcface_eval::report::{ComparisonPage, comparison_html, comparison_table};
use serde_json::{Value, json};

use super::cells::{Cell, Plan};
use super::faces::{self, Made};
use super::file::Row;
use super::folder::{Cells, State};
use crate::{host, outcomes};

/// The comparison with what it was made of.
pub(super) struct Results<'a> {
    plan: &'a Plan,
    comparisons: Vec<Comparison>,
    /// Faces that were made of the networks.
    made: Vec<Made>,
}

/// What the networks were verified on: their own pairs, or a set of the ablation's.
struct Bench<'a> {
    name: &'a str,
    /// Which of the ablation's sets; `None` for the runs' own pairs.
    set: Option<usize>,
}

impl<'a> Results<'a> {
    /// Those of all cells that are finished; the others failed.
    ///
    /// # Errors
    /// If a file of a finished cell cannot be read, or rows met different pairs.
    pub(super) fn of(plan: &'a Plan, folder: &Cells, failures: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let own = Bench { name: &plan.verification, set: None };
        let sets = plan.benchmarks.iter().enumerate();
        let sets = sets.map(|(index, benchmark)| Bench { name: &benchmark.name, set: Some(index) });
        let mut benchmarks = Vec::new();
        for bench in [own].into_iter().chain(sets) {
            let variants = plan.rows.iter().map(|row| variant(plan, folder, failures, row, &bench));
            let variants = variants.collect::<anyhow::Result<Vec<_>>>()?;
            // Runs that hold nothing out have no pairs of their own.
            if bench.set.is_some() || plan.benchmarks.is_empty() || variants.iter().any(|v| !v.runs.is_empty()) {
                benchmarks.push((bench.name.to_owned(), variants));
            }
        }
        Ok(Self {
            plan,
            comparisons: compare(&plan.reference, &benchmarks)?,
            made: faces::made(plan, folder, failures)?,
        })
    }

    /// Writes `results.md`, `results.json` and `results.html` into the folder.
    ///
    /// # Errors
    /// If one cannot be made or written.
    pub(super) fn write(&self, folder: &Cells) -> anyhow::Result<()> {
        folder.write("results.md", &self.markdown())?;
        folder.write("results.json", &(serde_json::to_string_pretty(&self.document()?)? + "\n"))?;
        folder.write("results.html", &self.page()?)?;
        eprintln!("table, figures and page: {}/results.md, .json, .html", folder.path().display());
        Ok(())
    }

    /// A table for each benchmark, and how to read them.
    pub(super) fn markdown(&self) -> String {
        let tables: Vec<String> = self.comparisons.iter().map(comparison_table).collect();
        let mut sections = vec![self.lead() + "\n", tables.join("\n"), self.reading() + "\n"];
        sections.extend(self.made.iter().map(|made| made.markdown(&self.plan.reference)));
        sections.join("\n")
    }

    /// All figures; rates are fractions.
    ///
    /// # Errors
    /// If a figure is none.
    pub(super) fn document(&self) -> anyhow::Result<Value> {
        let Plan { name, about, base, reference, seeds, cells, .. } = self.plan;
        let configurations: BTreeMap<&str, &Value> =
            cells.iter().map(|cell| (cell.name.as_str(), &cell.resolved)).collect();
        Ok(json!({
            "name": name,
            "about": about,
            "base": base,
            "reference": reference,
            "seeds": seeds,
            "version": env!("CARGO_PKG_VERSION"),
            "commit": host::commit(),
            "comparisons": serde_json::to_value(&self.comparisons)?,
            "faces": serde_json::to_value(&self.made)?,
            "configurations": configurations,
        }))
    }

    fn page(&self) -> anyhow::Result<String> {
        let Plan { name, base, reference, seeds, rows, cells, .. } = self.plan;
        let facts = [
            ("base configuration", base.clone()),
            ("rows", rows.len().to_string()),
            ("seeds", seeds.len().to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("commit", host::commit().unwrap_or_else(|| "unknown".to_owned())),
        ];
        let of_rows = cells.iter().filter(|cell| cell.seed == 0);
        let texts = of_rows.map(|cell| Ok((cell.row.as_str(), toml::to_string(&cell.resolved)?)));
        let texts = texts.collect::<anyhow::Result<Vec<_>>>()?;
        let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        Ok(comparison_html(&ComparisonPage {
            title: name,
            lead: &self.lead(),
            comparisons: &self.comparisons,
            tables: &self.made.iter().map(|made| made.table(reference)).collect::<Vec<_>>(),
            faces: &self.made.iter().map(Made::faces).collect::<Vec<_>>(),
            facts: &facts,
            texts: &texts,
        })?)
    }

    fn lead(&self) -> String {
        let Plan { about, base, rows, seeds, .. } = self.plan;
        format!("{about}: {} rows and {} seeds of `{base}`", rows.len(), seeds.len())
    }

    fn reading(&self) -> String {
        let reference = &self.plan.reference;
        let one = if self.plan.seeds.len() < 2 { " One seed speaks of these networks alone." } else { "" };
        format!(
            "Mean ± standard deviation over the seeds. Differences to `{reference}` are in points, with the 95 % interval of \
             a test paired over seeds and pairs, all rows telling how far seeds differ; p is Holm's, beyond noise below \
             0.05.{one}"
        )
    }
}

fn variant(
    plan: &Plan,
    folder: &Cells,
    failures: &BTreeMap<String, String>,
    row: &Row,
    bench: &Bench<'_>,
) -> anyhow::Result<Variant> {
    let published = row.paper.get(bench.name).map(|percent| percent / 100.0);
    let mut variant = Variant { name: row.name.clone(), published, ..Variant::default() };
    for cell in plan.seeds.iter().filter_map(|seed| plan.cell(&row.name, *seed)) {
        let place = place(plan, folder, cell, bench);
        let is_verified = [State::Verified, State::Finished].contains(&folder.state(cell));
        if is_verified && place.join(outcomes::FILE).is_file() {
            variant.runs.insert(cell.seed, outcomes::read(&place)?);
        } else {
            let why = failures.get(&cell.name).map_or("it was not verified", String::as_str);
            variant.failures.insert(cell.seed, why.to_owned());
        }
    }
    Ok(variant)
}

/// The folder with the pairs of a cell.
fn place(plan: &Plan, folder: &Cells, cell: &Cell, bench: &Bench<'_>) -> std::path::PathBuf {
    bench.set.map_or_else(|| folder.run(cell), |index| folder.benchmark(cell, &plan.benchmarks[index]))
}
