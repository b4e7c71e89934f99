//! `cargo xtask data`: sets of faces looked at, converted, drawn, and paired.
//! Knows no network.

mod align;
mod bin;
pub(crate) mod convert;
pub(crate) mod kind;

use std::path::Path;

use anyhow::{Context, bail};
use arcface_data::pairs::Folds;
use arcface_data::{
    Depth, DrawPairs, FileFormat, FolderOptions, FolderSource, Inspection, ProceduralConfig, ProceduralSource, Source,
    draw_pairs, generate,
};

use crate::cli::{DataArguments, DataCommand, GenerateArguments, InspectArguments, InspectDepth, PairsArguments};
use crate::output;
use crate::progress::Progress;

/// Runs one of the commands.
///
/// # Errors
/// If a folder or file cannot be read or written, or is not what the command needs.
pub(crate) fn run(arguments: &DataArguments) -> anyhow::Result<()> {
    match &arguments.command {
        DataCommand::Inspect(arguments) => inspect(arguments),
        DataCommand::Align(arguments) => align::run(arguments),
        DataCommand::Convert(arguments) => convert::run(arguments),
        DataCommand::Generate(arguments) => draw(arguments),
        DataCommand::Pairs(arguments) => pair(arguments),
        DataCommand::Bin(arguments) => bin::pack(arguments),
    }
}

fn inspect(arguments: &InspectArguments) -> anyhow::Result<()> {
    if kind::Kind::of(&arguments.path) == kind::Kind::Bin {
        return bin::inspect(arguments);
    }
    let source = kind::open(&arguments.path, arguments.identities.as_deref())?;
    let inspection = Inspection::of(&*source, depth(arguments.depth), threads());
    if arguments.json { output::json(&inspection) } else { output::text(&inspection.to_string()) }
}

fn depth(depth: InspectDepth) -> Depth {
    match depth {
        InspectDepth::Names => Depth::Names,
        InspectDepth::Headers => Depth::Headers,
        InspectDepth::Pixels => Depth::Pixels,
    }
}

/// Draws faces into a folder.
fn draw(arguments: &GenerateArguments) -> anyhow::Result<()> {
    let GenerateArguments { folder, identities, images_per_identity, size, first_identity, nuisance, seed, jpeg } =
        arguments;
    let source = ProceduralSource::new(ProceduralConfig {
        seed: *seed,
        identities: *identities,
        images_per_identity: *images_per_identity,
        image_size: *size,
        first_identity: *first_identity,
        nuisance: *nuisance,
    })?;
    let format = format(*jpeg)?;
    let progress = Progress::new("drawing", "img", source.len() as u64);
    let drawn = generate(&source, folder, format, threads(), |done| progress.at(done as u64, ""));
    progress.finish();
    drawn?;
    let place = folder.display();
    eprintln!("{} images of {identities} identities in {place}", source.len());
    eprintln!("look at them:  cargo xtask data inspect {place}");
    eprintln!("train on them: cargo xtask train --name mine --set data.source=folder --set data.path={place}{}", {
        if *size == 112 { String::new() } else { format!(" --set model.input_size={size}") }
    });
    Ok(())
}

/// Checked before any folder is made: one that holds something is refused the next time.
fn format(jpeg: Option<u8>) -> anyhow::Result<FileFormat> {
    match jpeg {
        None => Ok(FileFormat::Png),
        Some(quality @ 1..=100) => Ok(FileFormat::Jpeg(quality)),
        Some(other) => bail!("--jpeg: expected a quality from 1 to 100, got {other}"),
    }
}

/// Draws pairs of a folder's faces into a list.
fn pair(arguments: &PairsArguments) -> anyhow::Result<()> {
    let PairsArguments { folder: root, out, identities, count, folds, seed } = arguments;
    if out.exists() {
        bail!("{}: expected a new file, found one; choose another name", out.display());
    }
    let source = folder(root, identities.as_deref())?;
    let draw = DrawPairs { count: *count, folds: *folds, seed: *seed };
    let drawn = draw_pairs(std::sync::Arc::new(source), draw);
    let (set, kind) = drawn.with_context(|| format!("--count {count} --folds {folds}"))?;
    set.list.write(out)?;
    let kind = match kind {
        Folds::Disjoint => "no identity is in two folds",
        Folds::Sharing => "identities are in several folds, since there are too few for disjoint ones",
    };
    eprintln!("{count} pairs of {} faces in {}, {folds} folds: {kind}", set.images.len(), out.display());
    Ok(())
}

fn folder(root: &Path, identities: Option<&Path>) -> anyhow::Result<FolderSource> {
    Ok(FolderSource::open(root, &FolderOptions { identities: identities.map(Path::to_owned) })?)
}

/// As many as the machine runs at once.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
