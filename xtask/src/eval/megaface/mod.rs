//! `cargo xtask eval megaface`: faces searched among many distractors, and verified against them.
//! Knows no network; embeddings come from elsewhere.

mod features;
mod noise;
mod sets;

use std::path::Path;

use arcface_eval::identification::rank_1_among;
use arcface_eval::report::{FigureTable, Lines, lines};
use arcface_eval::scores::Faces;
use arcface_eval::{Embeddings, Pairs, tar_at_far};
use serde_json::json;

use self::sets::Sets;
use super::embeddings::numbered;
use super::page::{Drawn, Outcome, percent};
use super::rates::Rates;
use crate::cli::MegafaceArguments;

/// The rate of the protocol, and those that smaller sets can show.
const FARS: [f64; 6] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1];

/// Searches and verifies, and prints the figures.
///
/// # Errors
/// If a face, a list or an embedding cannot be read.
pub(super) fn run(arguments: &MegafaceArguments) -> anyhow::Result<()> {
    let sets = Sets::open(arguments)?;
    if let Some(folder) = &arguments.write_features {
        sets.write(folder)?;
    }
    let (probes, distractors) = (sets.probes(), sets.distractors());
    let identities = numbered(&probes.persons()?);
    let persons = identities.iter().max().map_or(0, |last| last + 1);
    let embeddings = Embeddings::normalised(&probes.rows.read(0..identities.len())?, probes.rows.width())?;
    let faces = Faces { rows: &embeddings, identities: &identities };
    let crowds = crowds(distractors.paths.len());
    let ranks = rank_1_among(faces, &*distractors.rows, &crowds)?;
    let mut outcome = Outcome {
        protocol: if arguments.refined { "MegaFace, refined" } else { "MegaFace" }.to_owned(),
        subject: sets.subject.clone(),
        lead: format!("{} faces of {persons} persons among {} distractors", identities.len(), distractors.paths.len()),
        facts: sets.facts.clone(),
        details: json!({ "probes": identities.len(), "persons": persons, "distractors": distractors.paths.len() }),
        ..Outcome::default()
    };
    tell_ranks(&crowds, &ranks, &mut outcome)?;
    let mut rates = Rates::new(&FARS);
    // Genuine are the pairs of two probes of one person, impostors those of a probe and a distractor.
    let mates = mates(&identities);
    let (same, nobody) = (vec![true; mates.len()], vec![u32::MAX; distractors.paths.len()]);
    let others = Faces { rows: &*distractors.rows, identities: &nobody };
    let parts = [Pairs::Listed { embeddings: &embeddings, pairs: &mates, same: &same }, Pairs::Between(faces, others)];
    rates.add("probes", tar_at_far(&parts, &FARS)?);
    rates.tell(&mut outcome)?;
    if sets.image(0, 0).is_some() {
        // Of the second part, distractors are the second set.
        let file = |part: usize, side: usize, row: usize| sets.image(part * side, row).unwrap_or(Path::new(""));
        outcome.look_for_hardest(&arguments.output, &parts, file)?;
    }
    outcome.tell(&arguments.output)
}

/// 10, 100, … and all of the distractors.
fn crowds(distractors: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(10_usize), |crowd| crowd.checked_mul(10));
    powers.take_while(|crowd| *crowd < distractors).chain([distractors]).collect()
}

/// Every pair of two rows of one identity.
fn mates(identities: &[u32]) -> Vec<(u32, u32)> {
    let mut order: Vec<u32> = (0..identities.len() as u32).collect();
    order.sort_by_key(|row| identities[*row as usize]);
    let persons = order.chunk_by(|a, b| identities[*a as usize] == identities[*b as usize]);
    let pairs = |rows: &[u32]| {
        let rows = rows.to_vec();
        (0..rows.len()).flat_map(move |b| (0..b).map(|a| (rows[a], rows[b])).collect::<Vec<_>>())
    };
    persons.flat_map(pairs).collect()
}

fn tell_ranks(crowds: &[usize], ranks: &[f64], outcome: &mut Outcome) -> anyhow::Result<()> {
    let row = |(crowd, rank): (&usize, &f64)| vec![crowd.to_string(), percent(Some(*rank))];
    outcome.tables.push(FigureTable {
        title: "Rank 1 by the number of distractors, in %".to_owned(),
        head: vec!["distractors".to_owned(), "rank 1".to_owned()],
        rows: crowds.iter().zip(ranks).map(row).collect(),
        note: "Each of two faces of a person looks for the other among the distractors.".to_owned(),
    });
    let points = crowds.iter().map(|crowd| (*crowd as f64).log10()).zip(ranks.iter().copied()).collect();
    let svg = lines(&Lines {
        title: "Rank 1 among distractors",
        x: "distractors, powers of ten",
        y: "rank 1",
        lines: &[("probes", points)],
    })?;
    let caption = "Faces found at rank 1 by the number of distractors".to_owned();
    outcome.plots.push(Drawn { name: "rank-1".to_owned(), caption, svg });
    let figures = crowds.iter().zip(ranks).map(|(crowd, rank)| (format!("rank 1 of {crowd}"), Some(*rank)));
    outcome.figures.extend(figures);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowds_are_powers_of_ten_and_all() {
        assert_eq!(crowds(7), [7]);
        assert_eq!(crowds(10), [10]);
        assert_eq!(crowds(1_027_060), [10, 100, 1000, 10_000, 100_000, 1_000_000, 1_027_060]);
    }

    #[test]
    fn every_two_of_one_person_are_mates() {
        assert_eq!(mates(&[4, 1, 4, 4, 2]), [(0, 2), (0, 3), (2, 3)]);
    }
}
