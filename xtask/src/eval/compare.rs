//! `cargo xtask eval compare`: evaluations that were written before, side by side.
//! Knows no network; it reads the figures that others left.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_eval::report::FigureTable;
use serde::Deserialize;
use serde_json::Value;

use super::page::{Outcome, percent};
use crate::cli::CompareArguments;

/// What is read of an `eval.json`.
#[derive(Debug, Deserialize)]
struct Evaluation {
    protocol: String,
    subject: String,
    figures: Vec<Figure>,
}

#[derive(Debug, Deserialize)]
struct Figure {
    name: String,
    value: Option<f64>,
}

/// Reads the evaluations and prints one table for each protocol.
///
/// # Errors
/// If one cannot be read.
pub(super) fn run(arguments: &CompareArguments) -> anyhow::Result<()> {
    let evaluations: Vec<Evaluation> =
        arguments.evaluations.iter().map(|path| read(path)).collect::<anyhow::Result<_>>()?;
    let outcome = Outcome {
        protocol: "Comparison".to_owned(),
        subject: format!("{} evaluations", evaluations.len()),
        lead: "Figures of several networks on the same protocols, rates in percent".to_owned(),
        tables: tables(&evaluations),
        figures: figures(&evaluations),
        details: Value::Null,
        ..Outcome::default()
    };
    outcome.tell(&arguments.output)
}

fn read(path: &Path) -> anyhow::Result<Evaluation> {
    let file: PathBuf = if path.is_dir() { path.join("eval.json") } else { path.to_owned() };
    if !file.is_file() {
        bail!(
            "{}: expected the folder of an evaluation (`eval … --out DIR`), found no eval.json in it",
            path.display()
        );
    }
    let read = || {
        let document: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
        if document["protocol"].is_null() { of_one_network(&document) } else { Ok(serde_json::from_value(document)?) }
    };
    read().with_context(|| format!("{}: not written by `eval … --out`", file.display()))
}

/// What one network on one set of pairs leaves.
fn of_one_network(document: &Value) -> anyhow::Result<Evaluation> {
    let subject = document["net"].as_str().context("expected the name of a network, found none")?.to_owned();
    let figure = |name: &str, value: &Value| Figure { name: name.to_owned(), value: value.as_f64() };
    let mut figures = vec![figure("accuracy", &document["accuracy"])];
    let rates = document["tar_at_far"].as_object().into_iter().flatten();
    figures.extend(rates.map(|(far, tar)| figure(&format!("TAR@{far}"), tar)));
    Ok(Evaluation { protocol: "Pairs".to_owned(), subject, figures })
}

/// A table for each protocol: a row for each evaluation, a column for each figure that one of them has.
fn tables(evaluations: &[Evaluation]) -> Vec<FigureTable> {
    let protocols = distinct(evaluations.iter().map(|evaluation| evaluation.protocol.as_str()));
    protocols.into_iter().map(|protocol| table(protocol, evaluations)).collect()
}

fn table(protocol: &str, evaluations: &[Evaluation]) -> FigureTable {
    let own: Vec<&Evaluation> = evaluations.iter().filter(|evaluation| evaluation.protocol == protocol).collect();
    let names = distinct(own.iter().flat_map(|evaluation| &evaluation.figures).map(|figure| figure.name.as_str()));
    let row = |evaluation: &&Evaluation| {
        let cell = |name: &&str| percent(evaluation.figure(name));
        [evaluation.subject.clone()].into_iter().chain(names.iter().map(cell)).collect()
    };
    FigureTable {
        title: format!("{protocol}, in %"),
        head: [""].iter().chain(&names).map(ToString::to_string).collect(),
        rows: own.iter().map(row).collect(),
        note: String::new(),
    }
}

fn figures(evaluations: &[Evaluation]) -> Vec<(String, Option<f64>)> {
    let of = |evaluation: &Evaluation| {
        let named = |figure: &Figure| format!("{} · {} · {}", evaluation.protocol, evaluation.subject, figure.name);
        evaluation.figures.iter().map(|figure| (named(figure), figure.value)).collect::<Vec<_>>()
    };
    evaluations.iter().flat_map(of).collect()
}

impl Evaluation {
    fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name)?.value
    }
}

/// Each name once, in the order of their first appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.fold(Vec::new(), |mut seen, name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
        seen
    })
}
