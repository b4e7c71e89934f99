//! `cargo xtask synth`: from a network to faces: what a class, or an embedding, looks like to it.
//! Knows no step of an inversion and no pixel: it brings targets to those who make, and what was made to those who judge.

mod findings;
mod folder;
mod gallery;
mod head;
mod judge;
mod making;
mod memory;
mod people;
mod pixels;
mod settings;
mod targets;
mod vectors;
mod verdict;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_core::candle::Tensor;
use arcface_core::checkpoint::atomic_write;
use arcface_models::{Network, Watch};
use serde_json::{Value, json};

use crate::cli::SynthArguments;
use crate::config::Precision;
use crate::digest::Digest;
use crate::embed::element::Element;
use crate::embed::format::{About, Format};
use crate::net::{Net, Overrides, spelling};
use crate::run::{RunFolder, WEIGHTS};
use crate::{interrupt, output};
use findings::{Findings, OfBatch, OfImage, mean};
use folder::{Folder, Record, SUMMARY};
use head::Head;
use making::Making;
use memory::Memory;
use settings::Settings;
pub(crate) use settings::check as check_settings;
use targets::{Aim, Goal, Targets};
use vectors::Vectors;
use verdict::Verdict;

/// Frames of an animation, where nothing else is asked for.
const FRAMES: u64 = 20;

/// Makes images, judges them by the same network, and reports; what was stopped goes on where it was.
///
/// # Errors
/// If the network, a target or a value is not right, the folder holds something else, or the user interrupts.
pub(crate) fn run(arguments: &SynthArguments) -> anyhow::Result<()> {
    interrupt::listen()?;
    let checkpoint = if arguments.classes.is_empty() { None } else { Some(head::checkpoint_of(&arguments.net)?) };
    let net = net(arguments, checkpoint.as_deref())?;
    let judges = judges(arguments)?;
    let memory = checkpoint.as_deref().and_then(Memory::open);
    let settings = Settings::new(arguments, net.normalisation)?;
    if settings.config.statistics.is_some() {
        check_statistics(net.backbone.network())?;
    }
    let head = checkpoint.as_deref().map(|checkpoint| Head::load(checkpoint, arguments.computer.device)).transpose()?;
    let mut targets = Targets::of(arguments, &net, head, settings.distance)?;
    let against = arguments.against.as_deref().map(|path| against(path, &targets, memory.as_ref())).transpose()?;
    let out = arguments.out.clone().map_or_else(|| usual_folder(&arguments.net), Ok)?;
    let beginnings = arguments.beginnings.map_or(settings.beginnings, std::num::NonZeroU64::get);
    let frames = frames(arguments, beginnings * settings.config.steps);
    let folder = Folder::open(&out, &key(arguments, &net, &settings, &targets, (beginnings, &frames))?)?;
    let batches = making::batches(targets.list.len(), arguments.batch_size.get());
    let (config, seed) = (&settings.config, arguments.seed);
    let making = Making { net: &net, config, folder: &folder, seed, beginnings, batches, frames };
    let records = making.run(&mut targets)?;
    if arguments.animation {
        gallery::write_animations(&making)?;
    }
    if let Some(memory) = &memory {
        let classes = targets
            .list
            .iter()
            .filter_map(|target| if let Aim::Class(class) = target.aim { Some(class) } else { None });
        targets.references = Some(memory.references(classes));
    }
    let court = Court { judges, against };
    let findings = judged(&making, &targets, memory.as_ref(), &court, &records)?;
    output::file(&folder.path().join(SUMMARY), &(serde_json::to_string_pretty(&findings)? + "\n"))?;
    if arguments.json { output::json(&findings) } else { output::text(&findings.words()) }
}

/// Class centers belong to the weights beside them.
fn net(arguments: &SynthArguments, checkpoint: Option<&Path>) -> anyhow::Result<Net> {
    let overrides = Overrides {
        backbone: arguments.backbone.clone(),
        normalise: arguments.normalise.clone(),
        computer: arguments.computer,
    };
    let weights = checkpoint.map_or_else(|| arguments.net.clone(), |checkpoint| checkpoint.join(WEIGHTS));
    let net = Net::load(&weights, &overrides)?;
    net.notes.iter().for_each(|note| eprintln!("{note}"));
    Ok(net)
}

/// Other networks that are to judge.
fn judges(arguments: &SynthArguments) -> anyhow::Result<Vec<Net>> {
    let overrides = Overrides { computer: arguments.computer, ..Overrides::default() };
    let judges = arguments.judge.iter().map(|path| Net::load(path, &overrides).context("--judge"));
    judges.collect()
}

/// The pictures of the same targets in the folder at `path`.
fn against<'a>(path: &'a Path, targets: &Targets, memory: Option<&Memory>) -> anyhow::Result<Against<'a>> {
    if targets.references.is_none() && memory.is_none() {
        bail!("--against: expected targets with faces to compare with, and the run's training images cannot be opened");
    }
    let names = targets.list.iter().map(|target| target.name.as_str());
    let pictures = folder::pictures_of(path, &targets.digest(), names).context("--against")?;
    Ok(Against { folder: path, pictures })
}

/// Who judges beside the own network, and what is judged beside what was made.
struct Court<'a> {
    judges: Vec<Net>,
    against: Option<Against<'a>>,
}

/// Another folder's pictures of the same targets.
struct Against<'a> {
    folder: &'a Path,
    pictures: Vec<PathBuf>,
}

impl Court<'_> {
    /// What the own network says, which embeds the pictures at `paths` as `own`, and the others.
    fn verdicts(&self, net: &Net, targets: &Targets, paths: &[PathBuf], own: &Vectors) -> anyhow::Result<Vec<Verdict>> {
        let mut verdicts = vec![self.verdict(net, targets, own)?];
        for judge in &self.judges {
            let verdict = || self.verdict(judge, targets, &judge::of_files("results", judge, paths.to_vec())?);
            verdicts.push(verdict().with_context(|| judge.path.display().to_string())?);
        }
        Ok(verdicts.into_iter().flatten().collect())
    }

    fn verdict(&self, net: &Net, targets: &Targets, made: &Vectors) -> anyhow::Result<Option<Verdict>> {
        let before = |against: &Against<'_>| judge::of_files("results compared with", net, against.pictures.clone());
        let before = self.against.as_ref().map(before).transpose()?;
        verdict::verdict(net, targets, made, before.as_ref())
    }
}

/// Before anything is begun.
fn check_statistics(network: &Network) -> anyhow::Result<()> {
    let size = network.input_size();
    let parameters = network.parameters();
    let black = Tensor::zeros((1, 3, size, size), parameters.dtype(), parameters.device())?;
    match network.image_pass(&black, Watch::Statistics) {
        Ok(_) => Ok(()),
        Err(error) => bail!("{error}: --without-prior"),
    }
}

/// `synth/NAME`: the run's name, else that of the file.
fn usual_folder(net: &Path) -> anyhow::Result<PathBuf> {
    let net = net.canonicalize().with_context(|| net.display().to_string())?;
    let named = RunFolder::around(&net).map(|run| run.path().to_owned()).unwrap_or(net);
    let name = if named.is_dir() { named.file_name() } else { named.file_stem() };
    let name = name
        .with_context(|| format!("{}: it has no name to call a folder by; choose one with --out", named.display()))?;
    Ok(Path::new("synth").join(name))
}

fn frames(arguments: &SynthArguments, steps: u64) -> Vec<u64> {
    let usual = if arguments.animation { FRAMES } else { 0 };
    making::frames(arguments.frames.unwrap_or(usual), steps)
}

/// All that the pictures depend on.
fn key(
    arguments: &SynthArguments,
    net: &Net,
    settings: &Settings,
    targets: &Targets,
    (beginnings, frames): (u64, &[u64]),
) -> anyhow::Result<Value> {
    let mut key = json!({
        "weights": Digest::of_file(&net.path)?,
        "network": net.backbone.config().to_string(),
        "normalisation": spelling(net.normalisation),
        "objective": targets.goal.word(),
        "targets": targets.digest(),
        "images": targets.list.len(),
        "configuration": settings.config,
        "seed": arguments.seed,
        "beginnings": beginnings,
        "batch_size": arguments.batch_size,
        "frames": frames,
    });
    // The usual one is not said, so that folders from before there were others go on.
    if net.computer.precision != Precision::F32 {
        key["computed in"] = json!(net.computer.precision);
    }
    Ok(key)
}

/// Judges the pictures as they stand in the folder, and shows them.
fn judged<'a>(
    making: &Making<'a>,
    targets: &Targets,
    memory: Option<&Memory>,
    court: &Court<'_>,
    records: &[Record],
) -> anyhow::Result<Findings<'a>> {
    let paths: Vec<PathBuf> = targets.list.iter().map(|target| making.folder.image(&target.name)).collect();
    let embeddings = judge::of_files("results", making.net, paths.clone())?;
    write_embeddings(&making.folder.path().join("embeddings.npy"), &embeddings)?;
    let images = images(making, targets, memory, &embeddings)?;
    gallery::write_sheet(making, targets, &images, memory)?;
    let judges = court.verdicts(making.net, targets, &paths, &embeddings)?;
    let against = court.against.as_ref().map(|against| against.folder.display().to_string());
    Ok(Findings { judges, against, ..findings(making, targets, records, images)? })
}

fn findings<'a>(
    making: &Making<'a>,
    targets: &Targets,
    records: &[Record],
    images: Vec<OfImage>,
) -> anyhow::Result<Findings<'a>> {
    let net = making.net;
    let right: Vec<f64> = images.iter().filter_map(|image| image.is_right).map(|is| f64::from(u8::from(is))).collect();
    let batches = making.batches.iter().zip(records);
    Ok(Findings {
        net: net.path.display().to_string(),
        weights: Digest::of_file(&net.path)?,
        network: net.backbone.config().to_string(),
        normalisation: spelling(net.normalisation).to_owned(),
        objective: targets.goal.word().to_owned(),
        seed: making.seed,
        configuration: making.config,
        cosine: mean(images.iter().map(|image| image.cosine)),
        recognised: (!right.is_empty()).then(|| mean(right.into_iter())),
        steps: making.config.steps,
        beginnings: making.beginnings,
        seconds: records.iter().map(|record| record.seconds).sum(),
        batches: batches.map(|(places, record)| OfBatch::new(places.len(), record)).collect(),
        judges: Vec::new(),
        against: None,
        images,
        folder: making.folder.path().display().to_string(),
    })
}

/// The figures of every image.
fn images(
    making: &Making<'_>,
    targets: &Targets,
    memory: Option<&Memory>,
    embeddings: &Vectors,
) -> anyhow::Result<Vec<OfImage>> {
    let nearest = memory.map(|memory| memory.nearest(making.net, embeddings)).transpose()?;
    let mut nearest = nearest.into_iter().flatten();
    let images = targets.list.iter().zip(embeddings.rows()).enumerate().map(|(place, (target, embedding))| {
        let recognised = match &targets.goal {
            Goal::Class(head) => Some(head.recognised(embedding)),
            Goal::Embedding(..) => None,
        };
        OfImage {
            name: target.name.clone(),
            batch: making.batches.iter().position(|places| places.contains(&place)).unwrap_or_default(),
            target: described(&target.aim),
            cosine: targets.goal.cosine(target, place, embedding),
            is_right: recognised.map(|recognised| target.aim == Aim::Class(recognised.class)),
            recognised,
            nearest_training_image: nearest.next(),
        }
    });
    Ok(images.collect())
}

fn described(aim: &Aim) -> Value {
    match aim {
        Aim::Class(class) => json!({ "class": class }),
        Aim::Face(face) => json!({ "image": face }),
        Aim::Row(row) => json!({ "row": row }),
    }
}

/// As `embed` writes them.
fn write_embeddings(path: &Path, embeddings: &Vectors) -> anyhow::Result<()> {
    let about = About { name: "embeddings", element: Element::default(), metadata: Vec::new() };
    let head = Format::Npy.head(embeddings.rows().len(), embeddings.size, &about);
    let values: Vec<u8> = embeddings.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok(atomic_write(path, |file| file.write_all(&head).and_then(|()| file.write_all(&values)))?)
}

#[cfg(test)]
mod tests {
    use arcface_core::candle::{DType, Device};
    use arcface_models::plan::{ConvSpec, Plan, Spec};

    use super::*;

    #[test]
    fn a_network_without_batch_norm_is_told_how_to_go_without() {
        let plan = Plan::new(vec![Spec::Conv(ConvSpec::global_depthwise("conv", 3, [8; 2]))], 8);
        let network = Network::new(&plan, &[], 0, DType::F32, &Device::Cpu).unwrap();
        let words = check_statistics(&network).unwrap_err().to_string();
        assert!(words.starts_with("batch-norm prior: expected a network with batch norms"), "{words}");
        assert!(words.ends_with("go without the prior: --without-prior"), "{words}");
    }
}
