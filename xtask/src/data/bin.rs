//! `cargo xtask data bin` and `data inspect FILE.bin`: verification sets in one file.
//! Knows no network.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::bail;
use arcface_data::{Inspection, PairList, PairSet, read_bin, write_bin};
use serde::Serialize;

use crate::cli::{BinArguments, InspectArguments};
use crate::output;

/// What a verification set holds.
#[derive(Debug, Serialize)]
struct Contents {
    pairs: usize,
    genuine: usize,
    impostors: usize,
    folds: usize,
    images: usize,
    sizes: BTreeMap<String, usize>,
    unreadable: Vec<String>,
}

/// Packs pairs and their faces.
///
/// # Errors
/// If the list or a face cannot be read, or the file exists or cannot be written.
pub(super) fn pack(arguments: &BinArguments) -> anyhow::Result<()> {
    let BinArguments { pairs, images, out } = arguments;
    if out.exists() {
        bail!("{}: expected a new file, found one; choose another name", out.display());
    }
    let set = PairList::read(pairs)?.resolve(images)?;
    write_bin(out, &set)?;
    eprintln!("{} pairs of {} faces in {}", set.list.len(), set.images.len(), out.display());
    Ok(())
}

/// Looks through a verification set.
///
/// # Errors
/// If the file is none; unreadable images are listed.
pub(super) fn inspect(arguments: &InspectArguments) -> anyhow::Result<()> {
    if arguments.identities.is_some() {
        bail!("--identities: {} is one file, without identities", arguments.path.display());
    }
    let set = read_bin(&arguments.path)?;
    let inspection = Inspection::of(&*set.source, super::depth(arguments.depth), super::threads());
    let contents = contents(&set, inspection);
    if arguments.json { output::json(&contents) } else { output::text(&render(&contents)) }
}

fn contents(set: &PairSet, inspection: Inspection) -> Contents {
    let genuine = set.list.same().into_iter().filter(|same| *same).count();
    Contents {
        pairs: set.list.len(),
        genuine,
        impostors: set.list.len() - genuine,
        folds: set.list.folds().into_iter().max().map_or(0, |last| last + 1),
        images: set.images.len(),
        sizes: inspection.sizes,
        unreadable: inspection.unreadable,
    }
}

fn render(contents: &Contents) -> String {
    let Contents { pairs, genuine, impostors, folds, images, sizes, unreadable } = contents;
    let mut text = format!("pairs                {pairs} ({genuine} genuine, {impostors} impostors)\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "folds                {folds}, in the order of the file");
    let _ = writeln!(text, "images               {images}");
    for (size, images) in sizes {
        let _ = writeln!(text, "size                 {size}: {images} images");
    }
    if !unreadable.is_empty() {
        let _ = writeln!(text, "unreadable           {} images", unreadable.len());
    }
    for message in unreadable {
        let _ = writeln!(text, "  {message}");
    }
    text
}
