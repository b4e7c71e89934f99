//! `cargo xtask eval ijb`: templates of IJB-B and IJB-C verified 1:1 and identified 1:N.
//! Knows no network; embeddings come from elsewhere.

mod crops;
mod lists;
mod search;

use anyhow::Context;
use arcface_eval::report::{HardPair, Hardest, ShownFace, ShownPair, hardest_listed};
use arcface_eval::template::{DetectorScore, ListedPairs, Norm, Pooling, PoolingConfig, Templates};
use arcface_eval::{Pairs, tar_at_far};
use serde_json::json;

use self::crops::images;
use self::lists::{Lists, Texts};
use super::faces::{Embedded, Images, folder};
use super::names::Names;
use super::page::Outcome;
use super::rates::{FARS, Rates};
use crate::cli::{IjbArguments, NormChoice};
use crate::embed::stored::Stored;
use crate::report::{HARDEST, encoded};

/// Images that are pooled at a time.
const BATCH: usize = 8192;

/// Pools the images into templates, and prints the figures of both protocols.
///
/// # Errors
/// If a list, an image or an embedding cannot be read, or they do not fit each other.
pub(super) fn run(arguments: &IjbArguments) -> anyhow::Result<()> {
    let folder = folder(&arguments.faces)?;
    let texts = Texts::read(folder)?;
    let lists = Lists::new(&texts)?;
    let embedded = Embedded::open(&arguments.faces, "ijb", |folder, size| images(folder, &lists, size))?;
    let rows = rows(&lists, &embedded, arguments)?;
    let mut outcome = Outcome {
        protocol: lists.name(),
        subject: embedded.subject.clone(),
        facts: embedded.facts.clone(),
        details: json!({}),
        ..Outcome::default()
    };
    let mut rates = Rates::new(&FARS);
    for (index, config) in poolings(arguments).into_iter().enumerate() {
        let templates = templates(&lists, &embedded.stored, &rows, config)?;
        let listed = templates.listed(&lists.pairs()?).with_context(|| lists.pairs_path().display().to_string())?;
        let ListedPairs { pairs, same } = &listed;
        let parts = [Pairs::Listed { embeddings: templates.embeddings(), pairs, same }];
        let found = tar_at_far(&parts, &FARS).with_context(|| lists.pairs_path().display().to_string())?;
        rates.add(&name(config), found);
        if index == 0 {
            let number = templates.len();
            outcome.lead = format!("{} pairs of {number} templates made of {} images", pairs.len(), rows.len());
            search::tell(&lists, &templates, &mut outcome)?;
            if arguments.output.out.is_some() {
                show_hardest(
                    &mut outcome,
                    images(folder, &lists, embedded.image_size).ok().as_ref(),
                    &lists,
                    &templates,
                    &listed,
                )?;
            }
        }
    }
    let searched = std::mem::take(&mut outcome.tables);
    rates.tell(&mut outcome)?;
    outcome.tables.extend(searched);
    outcome.tell(&arguments.output)
}

/// The pooling that is asked for, and all others where they are too.
fn poolings(arguments: &IjbArguments) -> Vec<PoolingConfig> {
    let of = |norm, scores: bool| PoolingConfig {
        norm,
        detector_score: if scores { DetectorScore::Multiplied } else { DetectorScore::Ignored },
    };
    let norm = if arguments.norm == NormChoice::Unit { Norm::Unit } else { Norm::Kept };
    let asked = of(norm, arguments.detector_score);
    let mut all = vec![asked];
    if arguments.variants {
        let others = [Norm::Kept, Norm::Unit].into_iter().flat_map(|norm| [of(norm, true), of(norm, false)]);
        all.extend(others.filter(|other| *other != asked));
    }
    all
}

fn name(config: PoolingConfig) -> String {
    let norm = if config.norm == Norm::Kept { "norm kept" } else { "unit length" };
    let score = if config.detector_score == DetectorScore::Multiplied { "detector score" } else { "no score" };
    format!("{norm}, {score}")
}

/// The row of each image of the list.
fn rows(lists: &Lists<'_>, embedded: &Embedded, arguments: &IjbArguments) -> anyhow::Result<Vec<u32>> {
    let members = lists.members();
    if arguments.faces.features.is_none() {
        return Ok((0..members.len() as u32).collect());
    }
    let names = Names::new(&embedded.paths);
    let row = |member: &arcface_eval::template::meta::Member<'_>| names.row(member.image);
    let rows = members.iter().map(row).collect::<anyhow::Result<_>>();
    rows.with_context(|| {
        format!("{}: an image of {}", embedded.stored.path().display(), lists.members_path().display())
    })
}

fn templates(lists: &Lists<'_>, stored: &Stored, rows: &[u32], config: PoolingConfig) -> anyhow::Result<Templates> {
    let mut pooling = Pooling::new(lists.members(), stored.columns(), config)?;
    let scores = lists.scores();
    for (batch, rows) in rows.chunks(BATCH).enumerate() {
        let first = batch * BATCH;
        let values = stored.gather(rows)?;
        let added = pooling.add_all(first, &values, &scores[first..first + rows.len()]);
        let (file, list) = (stored.path(), lists.members_path());
        added.with_context(|| format!("{} by {}, whose first line is image 0", file.display(), list.display()))?;
    }
    Ok(pooling.finish()?)
}

/// The hardest pairs of templates, each shown by its first image, where the images are there.
fn show_hardest(
    outcome: &mut Outcome,
    images: Option<&Images>,
    lists: &Lists<'_>,
    templates: &Templates,
    listed: &ListedPairs,
) -> anyhow::Result<()> {
    let Some(images) = images else { return Ok(()) };
    let Hardest { genuine, impostors } = hardest_listed(templates.embeddings(), &listed.pairs, &listed.same, HARDEST)?;
    let numbers = templates.numbers();
    let shown = |pair: &HardPair| {
        let (a, b) = listed.pairs[pair.index];
        let faces = [a, b].map(|row| face(lists, images, numbers[row as usize]));
        let [a, b] = faces;
        anyhow::Ok(ShownPair { number: Some(pair.index + 1), distance: pair.distance, faces: [a?, b?] })
    };
    outcome.genuine = genuine.iter().map(shown).collect::<anyhow::Result<_>>()?;
    outcome.impostors = impostors.iter().map(shown).collect::<anyhow::Result<_>>()?;
    Ok(())
}

/// The first image of a template.
fn face(lists: &Lists<'_>, images: &Images, template: u32) -> anyhow::Result<ShownFace> {
    let first = lists.members().iter().position(|member| member.template == template);
    let first = first.with_context(|| format!("template {template} has no image"))?;
    let name = format!("template {template} ({})", lists.members()[first].image);
    Ok(ShownFace { name, picture: encoded(&images.source.image(first)?)? })
}
