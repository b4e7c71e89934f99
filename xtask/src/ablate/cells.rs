//! From an ablation and the command line to cells: a row and a seed with its whole configuration.
//! Knows no folder and starts nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::Value;
use toml::Table;

use super::file::{Ablation, Benchmark, Row, Synth};
use crate::cli::{AblateArguments, ConfigArguments};
use crate::config::{self, dotted};
use crate::sources;
use crate::synth::check_settings;

/// All that an ablation is going to do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What its folder is called after `ablate-`.
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) base: String,
    pub(crate) reference: String,
    pub(crate) verification: String,
    pub(crate) benchmarks: Vec<Benchmark>,
    pub(crate) synth: Option<Synth>,
    pub(crate) rows: Vec<Row>,
    pub(crate) seeds: Vec<u64>,
    /// Seed by seed, so that all rows of the first are done first.
    pub(crate) cells: Vec<Cell>,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// A row with a seed: one run.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    /// Name of its folder.
    pub(crate) name: String,
    pub(crate) row: String,
    pub(crate) seed: u64,
    pub(crate) work: Work,
    /// Name of the folder of the cell that judges the faces made of this one, if some are to be made.
    pub(crate) judge: Option<String>,
    /// The whole configuration, to tell whether it is the one of before.
    pub(crate) resolved: Value,
}

/// How the network of a cell comes about.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// `cargo xtask train` with these.
    Train(ConfigArguments),
    /// `cargo xtask purify` on another cell, and training again.
    Purify(Purified),
}

/// What is purified.
#[derive(Debug, Clone)]
pub(crate) struct Purified {
    /// Name of the folder of the other row's cell of the same seed.
    pub(crate) cell: String,
    /// In degrees.
    pub(crate) angle: f64,
}

impl Plan {
    /// The cells that `arguments` ask for.
    ///
    /// # Errors
    /// If a row is unknown, the configuration of a row is not right, or `--set` changes what the rows vary.
    pub(crate) fn new(ablation: &Ablation, arguments: &AblateArguments) -> anyhow::Result<Self> {
        let rows = chosen_rows(ablation, &arguments.only)?;
        if rows.iter().all(|row| Some(&row.name) == ablation.judge()) {
            bail!("--only: expected a row beside `{}`, which judges what is made of the others", rows[0].name);
        }
        check_names(&rows)?;
        if let Some(synth) = &ablation.synth {
            // A wrong value must not show only when all networks are trained.
            check_settings(&synth.set).context("[synth]")?;
        }
        let mut notes = Vec::new();
        let common = common(ablation, arguments, &mut notes);
        let few = ablation.quick.seeds.filter(|_| arguments.quick);
        let seeds = arguments.seeds.map_or(few.unwrap_or(ablation.seeds), std::num::NonZeroU64::get);
        let maker = Maker { ablation, arguments, common };
        let all = (0..seeds).flat_map(|seed| rows.iter().map(move |row| (row, seed)));
        let cells = all.map(|(row, seed)| maker.cell(row, seed)).collect::<anyhow::Result<_>>()?;
        if !rows.iter().any(|row| row.name == ablation.reference) {
            notes.push(format!(
                "without `{}`, which the others are compared with, there are no differences",
                ablation.reference
            ));
        }
        Ok(Self {
            name: arguments.name.clone().unwrap_or_else(|| folder_name(ablation, arguments)),
            about: ablation.about.clone(),
            base: maker.base().display().to_string(),
            reference: ablation.reference.clone(),
            verification: ablation.verification.clone(),
            benchmarks: benchmarks(ablation)?,
            synth: ablation.synth.clone(),
            rows,
            seeds: (0..seeds).collect(),
            cells,
            notes,
        })
    }

    /// The cell of a row and a seed.
    pub(crate) fn cell(&self, row: &str, seed: u64) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.row == row && cell.seed == seed)
    }
}

fn cell_name(row: &str, seed: u64) -> String {
    format!("{}-seed{seed}", slug(row))
}

/// Makes cells out of rows.
struct Maker<'a> {
    ablation: &'a Ablation,
    arguments: &'a AblateArguments,
    /// Assignments of all rows.
    common: Vec<String>,
}

impl Maker<'_> {
    fn cell(&self, row: &Row, seed: u64) -> anyhow::Result<Cell> {
        let arguments = self.configuration(row, seed)?;
        let chosen = config::choose(&arguments).with_context(|| format!("row `{}`", row.name))?;
        let mut resolved = serde_json::to_value(&chosen.config)?;
        let work = match &row.purify {
            None => Work::Train(arguments),
            Some(purify) => {
                resolved["purify"] = serde_json::to_value(purify)?;
                Work::Purify(Purified { cell: cell_name(&purify.of, seed), angle: purify.angle })
            }
        };
        let judge = self.ablation.judge().filter(|judge| **judge != row.name).map(|judge| cell_name(judge, seed));
        if judge.is_some() {
            resolved["synth"] = serde_json::to_value(&self.ablation.synth)?;
        }
        Ok(Cell { name: cell_name(&row.name, seed), row: row.name.clone(), seed, work, judge, resolved })
    }

    /// The base, what all rows change, what the row changes, what the user changes, the seed.
    fn configuration(&self, row: &Row, seed: u64) -> anyhow::Result<ConfigArguments> {
        self.refuse_what_varies(row)?;
        let tuned = if self.arguments.config.is_none() { assignments(&row.tuned) } else { Vec::new() };
        let mut set = self.common.clone();
        set.extend(assignments(&row.set).into_iter().chain(tuned));
        set.extend(self.arguments.set.iter().cloned());
        set.push(format!("seed={seed}"));
        Ok(ConfigArguments { config: Some(self.base()), set })
    }

    fn base(&self) -> PathBuf {
        self.arguments.config.clone().unwrap_or_else(|| self.ablation.base.clone())
    }

    fn refuse_what_varies(&self, row: &Row) -> anyhow::Result<()> {
        let varied: BTreeSet<String> = dotted(&row.set).into_iter().map(|(key, _)| key).collect();
        for text in &self.arguments.set {
            let key = crate::assign::parse(text)?.0.join(".");
            if key == "seed" {
                bail!("--set {text}: every row is trained with several seeds; say how many with --seeds");
            }
            if varied.contains(&key) {
                bail!(
                    "--set {text}: `{key}` is what row `{}` is; take other rows with --only, or copy the ablation's file \
                     and change it there",
                    row.name
                );
            }
        }
        Ok(())
    }
}

/// What all rows change: the ablation's own settings belong to its own base.
fn common(ablation: &Ablation, arguments: &AblateArguments, notes: &mut Vec<String>) -> Vec<String> {
    if let Some(config) = &arguments.config {
        let of = ablation.base.display();
        notes.push(format!(
            "{}: settings that suit `{of}` are left aside; the rows' own parameters hold",
            config.display()
        ));
        return Vec::new();
    }
    let mut set = assignments(&ablation.set);
    if arguments.quick {
        set.extend(assignments(&ablation.quick.set));
    }
    set
}

fn chosen_rows(ablation: &Ablation, only: &[String]) -> anyhow::Result<Vec<Row>> {
    // A name with a comma can be said as that of its folder.
    let is = |row: &Row, name: &String| row.name == *name || slug(&row.name) == *name;
    let known = |name: &&String| ablation.rows.iter().any(|row| is(row, name));
    if let Some(name) = only.iter().find(|name| !known(name)) {
        bail!("--only {name}: no such row; rows: {}", ablation.row_names());
    }
    // Nobody is judged without the judge.
    let is_chosen =
        |row: &&Row| only.is_empty() || Some(&row.name) == ablation.judge() || only.iter().any(|name| is(row, name));
    Ok(ablation.rows.iter().filter(is_chosen).cloned().collect())
}

/// The names of rows become those of folders.
fn check_names(rows: &[Row]) -> anyhow::Result<()> {
    let mut slugs = BTreeSet::new();
    for row in rows {
        let slug = slug(&row.name);
        if slug.is_empty() {
            bail!("row `{}`: expected a name with letters or digits, which its folder is called by", row.name);
        }
        if !slugs.insert(slug.clone()) {
            bail!("row `{}`: another row's folder is called `{slug}` too; choose another name", row.name);
        }
    }
    Ok(())
}

/// A name as that of a folder: what is neither letter nor digit becomes one hyphen.
pub(crate) fn slug(name: &str) -> String {
    let kept = name.chars().map(|c| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' });
    let parts: String = kept.collect();
    let parts = parts.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    parts.trim_start_matches('.').to_owned()
}

fn folder_name(ablation: &Ablation, arguments: &AblateArguments) -> String {
    let base = arguments.config.as_ref().and_then(|config| config.file_stem());
    let base = base.map_or(String::new(), |stem| format!("-{}", slug(&stem.to_string_lossy())));
    let quick = if arguments.quick { "-quick" } else { "" };
    format!("{}{base}{quick}", slug(&ablation.name))
}

/// With their paths as they are found here.
fn benchmarks(ablation: &Ablation) -> anyhow::Result<Vec<Benchmark>> {
    let expanded = ablation
        .benchmarks
        .iter()
        .map(|benchmark| Ok(Benchmark { name: benchmark.name.clone(), bin: sources::expand(&benchmark.bin)? }));
    expanded.collect()
}

/// `KEY=VALUE` for every value of a table.
fn assignments(table: &Table) -> Vec<String> {
    dotted(table).into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::file::BUILT_IN;
    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn folders_are_called_by_letters_and_digits() {
        let slugs = ["ArcFace (m = 0.5)", "K = 3↓1 at 75°", "NS+intra", "..", "_a.b"].map(slug);
        assert_eq!(slugs, ["ArcFace-m-0.5", "K-3-1-at-75", "NS-intra", "", "_a.b"]);
    }

    fn arguments(more: &[&str]) -> AblateArguments {
        match Cli::parse_from(["xtask", "ablate", "any"].iter().chain(more)).command {
            Command::Ablate(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    /// Without the sets that only some machines have.
    fn built_in(name: &str) -> Ablation {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name).unwrap();
        Ablation { benchmarks: Vec::new(), ..Ablation::parse(text, name.to_owned()).unwrap() }
    }

    #[test]
    fn every_cell_of_ours_resolves() {
        for (name, _) in BUILT_IN {
            let ablation = built_in(name);
            for form in [&[][..], &["--quick"]] {
                let plan = Plan::new(&ablation, &arguments(form)).unwrap();
                assert_eq!(plan.cells.len(), ablation.rows.len() * plan.seeds.len(), "{name}");
            }
        }
    }

    #[test]
    fn every_registered_loss_has_a_row_with_parameters_of_its_own() {
        let rows = built_in("losses").rows;
        for loss in arcface_losses::losses().unwrap() {
            let row = rows.iter().find(|row| row.set["loss"]["name"].as_str() == Some(loss.name)).unwrap();
            assert!(row.tuned["optimizer"]["learning_rate"].is_float(), "{}", loss.name);
        }
    }

    /// A learning rate that suits drawn faces says nothing about other people's.
    #[test]
    fn values_of_an_inversion_are_proven_before_anything_is_trained() {
        let complaint = |set: &str| {
            let mut ablation = built_in("synth");
            ablation.synth.as_mut().unwrap().set = set.parse().unwrap();
            Plan::new(&ablation, &arguments(&["--quick"])).map(|_| ()).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(complaint("steps = 3\nstatistics = 'none'"), Ok(()));
        assert_eq!(complaint("steps = 0").unwrap_err(), "[synth]: --set: steps: expected 0 < steps, got 0");
        assert!(complaint("step = 3").unwrap_err().starts_with("[synth]: --set: unknown field `step`"));
    }

    #[test]
    fn with_another_base_only_what_a_row_is_holds() {
        let ablation = built_in("losses");
        let rate = |more: &[&str]| {
            let plan = Plan::new(&ablation, &arguments(more)).unwrap();
            let resolved = &plan.cell("softmax", 0).unwrap().resolved;
            (resolved["loss"]["name"].clone(), resolved["optimizer"]["learning_rate"].as_f64().unwrap(), plan.name)
        };
        let check = |more: &[&str], expected, name: &str| {
            assert_eq!(rate(more), ("softmax".into(), expected, name.to_owned()), "{more:?}");
        };
        check(&[], 0.1, "losses");
        check(&["--quick", "--set", "optimizer.learning_rate=0.2"], 0.2, "losses-quick");
        check(&["default"], 0.03, "losses-default");
    }

    #[test]
    fn rows_go_by_their_names_or_those_of_their_folders() {
        let rows = |more: &[&str]| {
            let plan = Plan::new(&built_in("paper/table2"), &arguments(more)).unwrap();
            plan.rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
        };
        assert_eq!(rows(&["--only", "Softmax,CM1-1-0.3-0.2"]), ["CM1 (1, 0.3, 0.2)", "Softmax"]);
    }

    #[test]
    fn tables_become_assignments_that_give_them_back() {
        let text =
            "a = 1\nb = { c = \"x y\", d = [0.5, 2] }\nloss = { terms = [{ name = \"intra\", weight = 2.0 }] }\n";
        let table: Table = toml::from_str(text).unwrap();
        let set = assignments(&table);
        assert_eq!(set.len(), 4);
        for text in set {
            let (key, value) = crate::assign::parse(&text).unwrap();
            let found = key.iter().skip(1).fold(&table[&key[0]], |value, key| &value[key.as_str()]);
            assert_eq!(&value, found, "{text}");
        }
    }
}
