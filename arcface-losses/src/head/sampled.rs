//! The head of sampled classes, Partial-FC (An et al., arXiv 2010.05222 and 2203.15565): the batch's classes and some
//! others, as if there were no more. Knows no chunk and no margin; the other heads do the work.

use arcface_core::ops::element::Element;
use arcface_core::seed::{Purpose, rng};
use rand::RngCore;

use super::dense::{self, Input, Output, Rule};
use super::meeting::Centers;
use super::{Choice, chunked};
use crate::margin::Margin;
use crate::options::{Chunk, WeightedTerm};

/// The loss of a batch among the sampled classes, and its gradients by their centers.
pub(crate) fn forward<T: Element>(
    input: &Input<'_, T>,
    rule: &Rule,
    choice: Choice,
    margin: &mut dyn Margin,
    terms: &[WeightedTerm],
) -> Output<T> {
    let width = rule.sub_centers * input.embedding_size;
    let all = Centers::all(input.centers, width);
    let Draw { classes, labels } = draw(input.labels, (input.seed, input.step), all.len(), choice.sample_rate);
    let input = Input { labels: &labels, ..*input };
    let output = if choice.chunk == Chunk::Dense || !terms.is_empty() {
        let centers: Vec<T> = classes.iter().flat_map(|class| all.of(*class as usize)).copied().collect();
        dense::forward(&Input { centers: &centers, ..input }, rule, margin, terms)
    } else {
        chunked::forward(&input, Centers::some(input.centers, &classes, width), rule, choice.chunk, margin)
    };
    Output { classes: Some(classes), ..output }
}

/// The classes of a step.
#[derive(Debug)]
pub(crate) struct Draw {
    /// Ascending.
    pub(crate) classes: Vec<u32>,
    /// The labels as places among them (B).
    pub(crate) labels: Vec<u32>,
}

/// Draws `rate` of `classes` for a batch by seed and step.
pub(crate) fn draw(labels: &[u32], seed_and_step: (u64, u64), classes: usize, rate: f64) -> Draw {
    let classes = sample(labels, seed_and_step, classes, rate);
    let place = |label: &u32| classes.partition_point(|class| class < label) as u32;
    Draw { labels: labels.iter().map(place).collect(), classes }
}

/// Every class of the batch and as many others, drawn by seed and step, as make round(rate·C) together; ascending.
///
/// All others are equally likely: a class is taken with probability (still wanted)/(still to come), Knuth's algorithm S.
fn sample(labels: &[u32], (seed, step): (u64, u64), classes: usize, rate: f64) -> Vec<u32> {
    let mut positives = labels.to_vec();
    positives.sort_unstable();
    positives.dedup();
    // A class alone could not be told from anything.
    let count = ((rate * classes as f64).round() as usize).clamp(2, classes).max(positives.len());
    let (mut wanted, mut to_come) = ((count - positives.len()) as u64, (classes - positives.len()) as u64);
    let mut rng = rng(seed, Purpose::Negatives, step, 0);
    let mut positives = positives.into_iter().peekable();
    let take = |class: &u32| {
        if positives.next_if_eq(class).is_some() {
            return true;
        }
        let taken = u64::from(rng.next_u32()) * to_come < wanted << 32;
        to_come -= 1;
        wanted -= u64::from(taken);
        taken
    };
    (0..classes as u32).filter(take).collect()
}
