//! `cargo xtask bench parity`: the same weights, batches and configuration trained here and in PyTorch, step by step.
//! Knows no network; the losses of both sides are compared.

use anyhow::bail;
use serde_json::{Value, json};

use super::case::{Case, Extent};
use super::ours::{Beginning, Steps};
use super::peer::Peer;
use super::scratch::Scratch;
use super::verdict::{Both, Verdict, table};
use crate::cli::ParityArguments;
use crate::config::Precision;
use crate::output;

/// What the scripts import.
const MODULES: [&str; 2] = ["torch", "numpy"];
const DTYPES: [&str; 2] = ["f32", "f64"];

/// Trains every case on both sides and prints how far they lie apart.
///
/// # Errors
/// If there is no PyTorch, a side fails, or a bound is broken.
pub(super) fn run(arguments: &ParityArguments) -> anyhow::Result<()> {
    let peer = Peer::find(&MODULES)?;
    let cases = cases(arguments)?;
    let scratch = Scratch::new(arguments.out.as_deref())?;
    let verdicts = compare(&cases, &peer, &scratch)?;
    if arguments.json {
        output::json(&json!({ "torch": peer.version, "cases": verdicts }))?;
    } else {
        output::text(&table(&verdicts))?;
    }
    conclude(&verdicts)
}

fn cases(arguments: &ParityArguments) -> anyhow::Result<Vec<&'static Case>> {
    let all = Case::all(if arguments.quick { Extent::Quick } else { Extent::Full });
    if let Some(name) = arguments.only.iter().find(|name| all.iter().all(|case| case.name != **name)) {
        let known: Vec<&str> = all.iter().map(|case| case.name).collect();
        bail!("--only {name}: no case of that name; known: {}", known.join(", "));
    }
    let wanted = |case: &&Case| arguments.only.is_empty() || arguments.only.iter().any(|name| name == case.name);
    Ok(all.iter().filter(wanted).collect())
}

/// PyTorch first, all cases in one process, then ours: neither takes the other's processors.
fn compare(cases: &[&Case], peer: &Peer, scratch: &Scratch) -> anyhow::Result<Vec<Verdict>> {
    let mut beginnings = Vec::new();
    for case in cases {
        let beginning = Beginning::draw(case)?;
        beginning.write(&scratch.file(&input(case)))?;
        beginnings.push(beginning);
    }
    eprintln!("training {} cases in f32 and f64 with PyTorch {}", cases.len(), peer.version);
    let jobs = cases.iter().flat_map(|case| DTYPES.map(|dtype| job(case, dtype, scratch)));
    peer.run("steps.py", &jobs.collect(), scratch.path())?;
    let sides = cases.iter().zip(beginnings).map(|(case, beginning)| verdict(case, &beginning, scratch));
    sides.collect()
}

fn verdict(case: &Case, beginning: &Beginning, scratch: &Scratch) -> anyhow::Result<Verdict> {
    eprintln!("training {} here", case.name);
    let ours = Both { f32: beginning.train(Precision::F32)?, f64: beginning.train(Precision::F64)? };
    let read = |dtype| Steps::read(&scratch.file(&result(case, dtype)));
    Verdict::new(case, ours, Both { f32: read("f32")?, f64: read("f64")? })
}

fn conclude(verdicts: &[Verdict]) -> anyhow::Result<()> {
    let rows = verdicts.iter().flat_map(|verdict| &verdict.rows);
    let (all, broken) = (rows.clone().count(), rows.filter(|row| !row.holds()).count());
    verdicts.iter().filter_map(Verdict::hint).for_each(|hint| eprintln!("{hint}"));
    if 0 < broken {
        bail!("parity: {broken} of {all} bounds are broken");
    }
    Ok(())
}

fn job(case: &Case, dtype: &str, scratch: &Scratch) -> Value {
    json!({ "input": scratch.file(&input(case)), "output": scratch.file(&result(case, dtype)), "dtype": dtype })
}

fn input(case: &Case) -> String {
    format!("{}.safetensors", case.name)
}

fn result(case: &Case, dtype: &str) -> String {
    format!("{}-torch-{dtype}.safetensors", case.name)
}
