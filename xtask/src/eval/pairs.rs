//! `cargo xtask eval NET`: pairs of faces verified with a trained network.
//! Knows no training.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_data::{PairList, PairSet, read_bin};
use arcface_eval::report::{Hardest, table};
use serde_json::{Value, json};

use crate::cli::EvalPairsArguments;
use crate::config::{self, Chosen, Config};
use crate::net::{Net, Overrides};
use crate::progress::Progress;
use crate::report::{self, Contents};
use crate::run::RunFolder;
use crate::verify::{Mirror, Presentation, Verified, Verifier};
use crate::{output, sources};

/// Threads that read faces ahead.
const WORKERS: usize = 2;

/// Verifies and prints the figures.
///
/// # Errors
/// If the network, the list or a face cannot be read.
pub(super) fn run(arguments: &EvalPairsArguments, net: &Path) -> anyhow::Result<()> {
    let net = load(arguments, net)?;
    let configuration = run_configuration(&net.given)?;
    let set = pairs(arguments, &net.given, configuration.as_ref())?;
    let mirror = mirror(arguments, configuration.as_ref());
    let verifier = verifier(&net.net, set, mirror, arguments.batch_size)?;
    let verified = verify(&net.net, &verifier)?;
    if let Some(folder) = &arguments.output.out {
        write(&verified, &net.net, mirror, folder)?;
        report::write(folder, &contents(&verified, &net.net, mirror, &verifier.set, &verified.hardest()?))?;
    }
    if arguments.output.json {
        output::json(&document(&verified, &net.net, mirror))
    } else {
        output::text(&table(&verified.verification))
    }
}

/// A network and what the command line called it.
pub(super) struct Named {
    pub(super) net: Net,
    pub(super) given: PathBuf,
}

/// The network at `path`, with what had to be guessed said on stderr.
///
/// # Errors
/// As [`Net::load`].
pub(super) fn load(arguments: &EvalPairsArguments, path: &Path) -> anyhow::Result<Named> {
    let overrides = Overrides {
        backbone: arguments.backbone.clone(),
        normalise: arguments.normalise.clone(),
        computer: arguments.computer,
    };
    let net = Net::load(path, &overrides)?;
    net.notes.iter().for_each(|note| eprintln!("{note}"));
    Ok(Named { net, given: path.to_owned() })
}

/// Whether mirror images are added for the network that `path` leads to.
///
/// # Errors
/// If it lies in a run whose configuration cannot be read.
pub(super) fn mirror_of(arguments: &EvalPairsArguments, path: &Path) -> anyhow::Result<Mirror> {
    Ok(mirror(arguments, run_configuration(path)?.as_ref()))
}

/// Pairs to be verified by `net`.
///
/// # Errors
/// As [`Verifier::new`].
pub(super) fn verifier(net: &Net, set: PairSet, mirror: Mirror, batch_size: usize) -> anyhow::Result<Verifier> {
    Verifier::new(set, Presentation::to(net, mirror, batch_size, WORKERS))
}

/// Verifies with a bar of progress.
///
/// # Errors
/// As [`Verifier::verify`].
pub(super) fn verify(net: &Net, verifier: &Verifier) -> anyhow::Result<Verified> {
    let progress = Progress::new("eval", "img", verifier.faces());
    let verified = verifier.verify(&net.backbone, |done| progress.at(done, ""))?;
    progress.finish();
    Ok(verified)
}

/// The configuration of the run that NET names or lies in, if it is one.
///
/// # Errors
/// If it cannot be read.
pub(super) fn run_configuration(net: &Path) -> anyhow::Result<Option<Config>> {
    RunFolder::around(net).map(|run| config::resume(&run.config(), &[])).transpose()
}

/// The pairs that the command line names, else those of the run.
///
/// # Errors
/// If there are none, or they cannot be read.
pub(super) fn pairs(
    arguments: &EvalPairsArguments,
    net: &Path,
    configuration: Option<&Config>,
) -> anyhow::Result<PairSet> {
    if let Some(bin) = &arguments.bin {
        return Ok(read_bin(bin)?);
    }
    if let (Some(images), Some(pairs)) = (&arguments.images, &arguments.pairs) {
        return Ok(PairList::read(pairs)?.resolve(images)?);
    }
    let Some(config) = configuration else {
        bail!("{}: not a run, which would say what to verify on; give --images and --pairs, or --bin", net.display());
    };
    let faces = sources::open(&mut Chosen::resumed(config.clone(), String::new()))?;
    faces.pairs.context("the run held no identities out and names no pairs; give --images and --pairs, or --bin")
}

fn mirror(arguments: &EvalPairsArguments, configuration: Option<&Config>) -> Mirror {
    arguments.mirror.or(configuration.map(|config| config.eval.mirror)).unwrap_or(false).into()
}

fn document(verified: &Verified, net: &Net, mirror: Mirror) -> Value {
    let mut document = json!(verified.verification);
    document["net"] = json!(net.path);
    document["backbone"] = json!(net.backbone.config().architecture);
    document["mirror"] = json!(mirror == Mirror::With);
    document["pairs"] = json!(verified.same.len());
    document
}

fn contents<'a>(
    verified: &'a Verified,
    net: &Net,
    mirror: Mirror,
    set: &'a PairSet,
    hardest: &'a Hardest,
) -> Contents<'a> {
    let config = net.backbone.config();
    let yes_or_no = if mirror == Mirror::With { "yes" } else { "no" };
    Contents {
        title: net.path.display().to_string(),
        lead: format!("{} verified on {} pairs of {} faces", config.architecture, set.list.len(), set.images.len()),
        verification: Some(&verified.verification),
        compared: Vec::new(),
        facts: vec![
            ("network", config.to_string()),
            ("mirror images added", yes_or_no.to_owned()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ],
        plots: &["roc.svg", "histogram.svg"],
        hardest: Some((set, hardest)),
        configuration: None,
    }
}

fn write(verified: &Verified, net: &Net, mirror: Mirror, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    verified.keep(folder)?;
    verified.draw(folder)?;
    let text = serde_json::to_string_pretty(&document(verified, net, mirror))? + "\n";
    output::file(&folder.join("eval.json"), &text)
}
