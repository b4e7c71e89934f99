//! `cargo xtask eval`: pairs of faces verified with a trained network.
//! Knows no training.

use std::path::Path;

use anyhow::{Context, bail};
use arcface_data::{PairList, PairSet, read_bin};
use arcface_eval::report::{Hardest, table};
use serde_json::{Value, json};

use crate::cli::EvalArguments;
use crate::config::{self, Chosen, Config};
use crate::net::{Net, Overrides};
use crate::progress::Progress;
use crate::report::{self, Contents};
use crate::run::RunFolder;
use crate::verify::{Mirror, Presentation, Verified, Verifier};
use crate::{interrupt, output, sources};

/// Threads that read faces ahead.
const WORKERS: usize = 2;

/// Verifies and prints the figures.
///
/// # Errors
/// If the network, the list or a face cannot be read.
pub(crate) fn run(arguments: &EvalArguments) -> anyhow::Result<()> {
    interrupt::listen()?;
    let overrides = Overrides { backbone: arguments.backbone.clone(), normalise: arguments.normalise.clone() };
    let net = Net::load(&arguments.net, &overrides)?;
    net.notes.iter().for_each(|note| eprintln!("{note}"));
    let configuration = run_configuration(&arguments.net)?;
    let set = pairs(arguments, configuration.as_ref())?;
    let mirror = mirror(arguments, configuration.as_ref());
    let verifier = verifier(&net, set, mirror, arguments.batch_size)?;
    let verified = verify(&net, &verifier)?;
    if let Some(folder) = &arguments.out {
        write(&verified, &net, mirror, folder)?;
        report::write(folder, &contents(&verified, &net, mirror, &verifier.set, &verified.hardest()?))?;
    }
    if arguments.json {
        output::json(&document(&verified, &net, mirror))
    } else {
        output::text(&table(&verified.verification))
    }
}

fn verifier(net: &Net, set: PairSet, mirror: Mirror, batch_size: usize) -> anyhow::Result<Verifier> {
    let presentation = Presentation {
        mirror,
        normalisation: net.normalisation,
        batch_size,
        image_size: net.backbone.config().input_size,
        workers: WORKERS,
        cache_bytes: 0,
    };
    Verifier::new(set, presentation)
}

fn verify(net: &Net, verifier: &Verifier) -> anyhow::Result<Verified> {
    let progress = Progress::new("eval", "img", verifier.faces());
    let verified = verifier.verify(&net.backbone, |done| progress.at(done, ""))?;
    progress.finish();
    Ok(verified)
}

/// The configuration of the run that NET names or lies in, if it is one.
fn run_configuration(net: &Path) -> anyhow::Result<Option<Config>> {
    RunFolder::around(net).map(|run| config::resume(&run.config(), &[])).transpose()
}

fn pairs(arguments: &EvalArguments, configuration: Option<&Config>) -> anyhow::Result<PairSet> {
    if let Some(bin) = &arguments.bin {
        return Ok(read_bin(bin)?);
    }
    if let (Some(images), Some(pairs)) = (&arguments.images, &arguments.pairs) {
        return Ok(PairList::read(pairs)?.resolve(images)?);
    }
    let Some(config) = configuration else {
        bail!(
            "{}: not a run, which would say what to verify on; give --images and --pairs, or --bin",
            arguments.net.display()
        );
    };
    let faces = sources::open(&mut Chosen::resumed(config.clone(), String::new()))?;
    faces.pairs.context("the run held no identities out and names no pairs; give --images and --pairs, or --bin")
}

fn mirror(arguments: &EvalArguments, configuration: Option<&Config>) -> Mirror {
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
