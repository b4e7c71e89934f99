//! The file of an ablation: a base configuration, what all rows change in it, and the rows.
//! Knows no run; unknown keys are refused, and values are proven where a configuration is made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use toml::Table;

/// The ablations that come with the binary.
pub(super) const BUILT_IN: [(&str, &str); 10] = [
    ("losses", include_str!("../../configs/ablate/losses.toml")),
    ("margins", include_str!("../../configs/ablate/margins.toml")),
    ("sub-centers", include_str!("../../configs/ablate/sub-centers.toml")),
    ("noise", include_str!("../../configs/ablate/noise.toml")),
    ("real-noise", include_str!("../../configs/ablate/real-noise.toml")),
    ("real-losses", include_str!("../../configs/ablate/real-losses.toml")),
    ("embedding", include_str!("../../configs/ablate/embedding.toml")),
    ("synth", include_str!("../../configs/ablate/synth.toml")),
    ("paper/table2", include_str!("../../configs/ablate/paper/table2.toml")),
    ("paper/table3", include_str!("../../configs/ablate/paper/table3.toml")),
];

/// An ablation as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ablation {
    /// A short name for folders of it: that of the file.
    #[serde(skip)]
    pub(crate) name: String,
    /// What it is, in a sentence.
    pub(crate) about: String,
    /// A configuration file or the name of a built-in one.
    #[serde(default = "default_base")]
    pub(crate) base: PathBuf,
    /// The row that the others are compared with.
    pub(crate) reference: String,
    /// Seeds 0, 1, … that each row is trained with.
    #[serde(default = "default_seeds")]
    pub(crate) seeds: u64,
    /// Losses that no row is named for become rows of their own.
    #[serde(default)]
    pub(crate) every_loss: bool,
    /// What the runs verify themselves on, by name.
    #[serde(default = "default_verification")]
    pub(crate) verification: String,
    /// What all rows change in `base`.
    #[serde(default)]
    pub(crate) set: Table,
    /// What `--quick` changes beside.
    #[serde(default)]
    pub(crate) quick: Quick,
    /// Further sets that the trained networks are verified on.
    #[serde(default)]
    pub(crate) benchmarks: Vec<Benchmark>,
    /// Faces that are made of the trained networks.
    pub(crate) synth: Option<Synth>,
    pub(crate) rows: Vec<Row>,
}

/// A short form of the ablation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quick {
    pub(crate) seeds: Option<u64>,
    #[serde(default)]
    pub(crate) set: Table,
}

/// A verification set in insightface's `.bin` form.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Benchmark {
    pub(crate) name: String,
    pub(crate) bin: PathBuf,
}

/// Faces made of every network and judged by one that had no part in them, as in Tables 10 and 11.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Synth {
    /// The row whose network of the same seed judges; nothing is made of it.
    pub(crate) judge: String,
    /// Classes whose faces are made, the first ones: the closed set. 0: none.
    #[serde(default)]
    pub(crate) classes: usize,
    /// People of the pairs that the runs verify themselves on, one face of each aimed at: the open set. 0: none.
    #[serde(default)]
    pub(crate) people: usize,
    /// Single values of an inversion, as `cargo xtask synth --set` takes them.
    #[serde(default)]
    pub(crate) set: Table,
}

/// One way to train.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// What it changes: it is this.
    #[serde(default)]
    pub(crate) set: Table,
    /// What suits it on `base`, such as a learning rate; left aside with another base.
    #[serde(default)]
    pub(crate) tuned: Table,
    /// Made from another row's network instead of from nothing.
    pub(crate) purify: Option<Purify>,
    /// What the paper reports, in percent, by benchmark.
    #[serde(default)]
    pub(crate) paper: BTreeMap<String, f64>,
}

/// The training set of the row `of` without what its network finds too far from the dominant center, trained again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Purify {
    pub(crate) of: String,
    /// In degrees.
    pub(crate) angle: f64,
}

fn default_base() -> PathBuf {
    "default".into()
}

fn default_seeds() -> u64 {
    3
}

fn default_verification() -> String {
    "verification".to_owned()
}

impl Ablation {
    /// The ablation in a file, or else the built-in one of that name.
    ///
    /// # Errors
    /// If there is none, it is no TOML, a key is unknown, or its rows contradict each other.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let place = path.display().to_string();
        let built_in = path.to_str().and_then(built_in);
        let text = match (std::fs::read_to_string(path), built_in) {
            (Ok(text), _) => text,
            (Err(_), Some(text)) => text.to_owned(),
            (Err(error), None) => {
                let known = BUILT_IN.map(|(name, _)| name).join(", ");
                bail!("{place}: {error}; expected the file of an ablation or the name of a built-in one: {known}")
            }
        };
        let name = path.file_stem().map_or_else(|| "ablation".to_owned(), |stem| stem.to_string_lossy().into_owned());
        Self::parse(&text, name).with_context(|| place)
    }

    pub(super) fn parse(text: &str, name: String) -> anyhow::Result<Self> {
        let mut ablation = Self { name, ..toml::from_str(text)? };
        if ablation.every_loss {
            ablation.add_losses()?;
        }
        ablation.check()?;
        Ok(ablation)
    }

    /// Losses that are linked in and that the file does not know, each with its own defaults.
    fn add_losses(&mut self) -> anyhow::Result<()> {
        let known: BTreeSet<String> = self.rows.iter().filter_map(loss_of).map(str::to_owned).collect();
        for loss in arcface_losses::losses()?.iter().filter(|loss| !known.contains(loss.name)) {
            let named = Table::from_iter([("name".to_owned(), loss.name.into())]);
            let set = Table::from_iter([("loss".to_owned(), named.into())]);
            self.rows.push(Row { name: loss.name.to_owned(), set, ..Row::default() });
        }
        Ok(())
    }

    fn check(&self) -> anyhow::Result<()> {
        let mut names = BTreeSet::new();
        if let Some(row) = self.rows.iter().find(|row| !names.insert(row.name.as_str())) {
            bail!("rows: two are called `{}`; a name stands for one row", row.name);
        }
        if !names.contains(self.reference.as_str()) {
            bail!("reference: expected the name of a row, got `{}`; rows: {}", self.reference, self.row_names());
        }
        if self.seeds < 1 || self.quick.seeds.is_some_and(|seeds| seeds < 1) {
            bail!("seeds: expected at least 1, got 0");
        }
        self.synth.as_ref().map_or(Ok(()), |synth| self.check_synth(synth))?;
        for row in &self.rows {
            let source = row.purify.as_ref().map(|purify| purify.of.as_str());
            if let Some(of) = source.filter(|of| !names.contains(of)) {
                bail!("row `{}`: purify.of: expected the name of a row, got `{of}`", row.name);
            }
        }
        Ok(())
    }

    /// The row whose network judges what is made of the others.
    pub(crate) fn judge(&self) -> Option<&String> {
        self.synth.as_ref().map(|synth| &synth.judge)
    }

    fn check_synth(&self, synth: &Synth) -> anyhow::Result<()> {
        if !self.rows.iter().any(|row| row.name == synth.judge) {
            bail!("synth.judge: expected the name of a row, got `{}`; rows: {}", synth.judge, self.row_names());
        }
        if synth.judge == self.reference {
            bail!("synth.judge: expected a row that no other is compared with, got the reference `{}`", synth.judge);
        }
        if synth.people == 1 || synth.classes + synth.people == 0 {
            bail!(
                "synth: expected classes = 1 or more, people = 2 or more, or both, got {} and {}",
                synth.classes,
                synth.people
            );
        }
        Ok(())
    }

    /// The names of all rows, in order.
    pub(crate) fn row_names(&self) -> String {
        self.rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

fn loss_of(row: &Row) -> Option<&str> {
    row.set.get("loss")?.get("name")?.as_str()
}

fn built_in(name: &str) -> Option<&'static str> {
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "about = 'two'\nreference = 'a'\n[[rows]]\nname = 'a'\n[[rows]]\nname = 'b'\n";

    fn complaint(text: &str) -> String {
        Ablation::parse(text, String::new()).unwrap_err().to_string().lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let ablation = Ablation::parse(TWO, "two".to_owned()).unwrap();
        assert_eq!((ablation.base, ablation.seeds, ablation.rows.len()), ("default".into(), 3, 2));
    }

    #[test]
    fn every_loss_becomes_a_row_once() {
        let text = "about = ''\nreference = 'mine'\nevery_loss = true\n[[rows]]\nname = 'mine'\nset = { loss.name = 'arcface' }\n";
        let rows = Ablation::parse(text, String::new()).unwrap().rows;
        let linked = arcface_losses::losses().unwrap().len();
        assert_eq!((rows.len(), rows[0].name.as_str()), (linked, "mine"));
        assert!(rows[1..].iter().all(|row| loss_of(row) == Some(row.name.as_str()) && row.name != "arcface"));
    }

    #[test]
    fn contradictions_are_refused() {
        assert_eq!(complaint(&TWO.replace("'b'", "'a'")), "rows: two are called `a`; a name stands for one row");
        let unknown = complaint(&TWO.replace("reference = 'a'", "reference = 'c'"));
        assert_eq!(unknown, "reference: expected the name of a row, got `c`; rows: a, b");
        assert_eq!(complaint(&format!("seeds = 0\n{TWO}")), "seeds: expected at least 1, got 0");
        let purified = complaint(&format!("{TWO}purify = {{ of = 'K', angle = 75 }}\n"));
        assert_eq!(purified, "row `b`: purify.of: expected the name of a row, got `K`");
        assert!(complaint(&format!("sedes = 2\n{TWO}")).contains("TOML parse error"));
        let synth = |table: &str| complaint(&format!("synth = {{ {table} }}\n{TWO}"));
        assert_eq!(synth("judge = 'c', classes = 1"), "synth.judge: expected the name of a row, got `c`; rows: a, b");
        assert_eq!(
            synth("judge = 'a', classes = 1"),
            "synth.judge: expected a row that no other is compared with, got the reference `a`"
        );
        assert_eq!(
            synth("judge = 'b', people = 1"),
            "synth: expected classes = 1 or more, people = 2 or more, or both, got 0 and 1"
        );
        assert_eq!(
            synth("judge = 'b'"),
            "synth: expected classes = 1 or more, people = 2 or more, or both, got 0 and 0"
        );
        assert_eq!(
            synth("judge = 'b', classes = 9, people = 1"),
            "synth: expected classes = 1 or more, people = 2 or more, or both, got 9 and 1"
        );
    }

    #[test]
    fn built_in_ablations_are_whole() {
        for (name, text) in BUILT_IN {
            let ablation = Ablation::parse(text, name.to_owned()).unwrap();
            assert!(!ablation.about.is_empty(), "{name}");
        }
    }
}
