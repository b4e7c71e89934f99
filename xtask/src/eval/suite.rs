//! `cargo xtask eval NET… --suite DIR`: several networks on several sets of pairs, in one table with intervals.
//! Knows no file of pairs but by its name.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_data::{PairSet, read_bin};
use arcface_eval::report::HardPair;

use super::entries::{self, Entry};
use super::page::Outcome;
use super::pairs::{self, Named};
use crate::cli::EvalPairsArguments;
use crate::report;

/// A set of pairs: its name, and the file that has it unless the command line names it otherwise.
struct Benchmark {
    name: String,
    file: Option<PathBuf>,
}

/// Verifies all networks on all sets and prints the table.
///
/// # Errors
/// If a network, a set or a face cannot be read.
pub(super) fn run(arguments: &EvalPairsArguments) -> anyhow::Result<()> {
    let benchmarks = benchmarks(arguments)?;
    let mut entries = Vec::new();
    let mut hardest = None;
    for path in &arguments.nets {
        let net = pairs::load(arguments, path)?;
        for benchmark in &benchmarks {
            let (entry, set) = verified(arguments, &net, benchmark)?;
            eprintln!("{} on {}: accuracy {:.2} %", entry.net, entry.benchmark, 100.0 * entry.accuracy());
            // The hardest pairs are shown of the first network's worst set.
            if *path == arguments.nets[0] && hardest.as_ref().is_none_or(|(worst, _)| entry.accuracy() < *worst) {
                hardest = Some((entry.accuracy(), set));
            }
            entries.push(entry);
        }
    }
    let mut outcome = entries::outcome("Pairs", &entries)?;
    if let (Some((_, set)), Some(_)) = (hardest, &arguments.output.out) {
        show_hardest(&mut outcome, &entries, &arguments.nets[0], &set)?;
    }
    outcome.tell(&arguments.output)
}

fn benchmarks(arguments: &EvalPairsArguments) -> anyhow::Result<Vec<Benchmark>> {
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let Some(folder) = &arguments.suite else {
        let named = arguments.bin.as_deref().or(arguments.pairs.as_deref());
        return Ok(vec![Benchmark { name: named.map_or_else(|| "pairs".to_owned(), name), file: None }]);
    };
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let files = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
    let mut files: Vec<PathBuf> =
        files.into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "bin")).collect();
    files.sort();
    if files.is_empty() {
        bail!("{}: expected verification sets (.bin), found none", folder.display());
    }
    Ok(files.into_iter().map(|file| Benchmark { name: name(&file), file: Some(file) }).collect())
}

fn verified(arguments: &EvalPairsArguments, net: &Named, benchmark: &Benchmark) -> anyhow::Result<(Entry, PairSet)> {
    let set = match &benchmark.file {
        Some(file) => read_bin(file)?,
        None => pairs::pairs(arguments, &net.given, pairs::run_configuration(&net.given)?.as_ref())?,
    };
    let mirror = pairs::mirror_of(arguments, &net.given)?;
    let verifier = pairs::verifier(&net.net, set, mirror, arguments.batch_size)?;
    let verified = pairs::verify(&net.net, &verifier).with_context(|| benchmark.name.clone())?;
    Ok((Entry::new(net.given.display().to_string(), benchmark.name.clone(), verified)?, verifier.set))
}

/// The hardest pairs of `set`, which is that of the worst accuracy of the network.
fn show_hardest(outcome: &mut Outcome, entries: &[Entry], net: &Path, set: &PairSet) -> anyhow::Result<()> {
    let own = entries.iter().filter(|entry| entry.net == net.display().to_string());
    let Some(worst) = own.min_by(|a, b| a.accuracy().total_cmp(&b.accuracy())) else { return Ok(()) };
    let hardest = worst.verified.hardest()?;
    let shown =
        |pairs: &[HardPair]| pairs.iter().map(|pair| report::shown_pair(set, *pair)).collect::<anyhow::Result<_>>();
    outcome.genuine = shown(&hardest.genuine)?;
    outcome.impostors = shown(&hardest.impostors)?;
    outcome.facts.push(("hardest pairs", format!("of {}, where {} is worst", worst.benchmark, worst.net)));
    Ok(())
}
