//! All pairs of two sets, in the shape of LFR2019-Image, beside the bare matrix product.
//! Knows no file.

use std::hint::black_box;
use std::time::Instant;

use arcface_core::ops::matmul::{Accumulate, MatRef, matmul};
use arcface_eval::scores::Faces;
use arcface_eval::{Embeddings, Pairs, tar_at_far};
use serde::Serialize;

use super::shape::{SIZE, uniform};
use super::{Bound, Row, median};
use crate::interrupt;

/// Faces of known persons of LFR2019-Image, and its distractors.
const FACES: usize = 274_000;
const DISTRACTORS: usize = 1_580_000;

/// Rows of a block of the bare product.
const BLOCK: usize = 4096;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    faces: usize,
    distractors: usize,
    /// Of the bare product of all pairs, a value per round.
    product: Vec<f64>,
    /// Of the rates over all pairs.
    rates: Vec<f64>,
}

/// Measures `faces` faces and as many distractors as belong to them, in turns with the product.
///
/// # Errors
/// If the rates cannot be told, or the user interrupts.
pub(super) fn measure(faces: usize, rounds: usize) -> anyhow::Result<Measured> {
    let distractors = faces * DISTRACTORS / FACES;
    eprintln!("all pairs of {faces} faces and {distractors} distractors");
    let side = |rows: usize, from: usize| {
        let values: Vec<f32> = (0..rows * SIZE).map(|index| uniform(from + index)).collect();
        Embeddings::normalised(&values, SIZE).map(|embeddings| (embeddings, values))
    };
    let ((a, a_values), (b, b_values)) = (side(faces, 0)?, side(distractors, 1 << 30)?);
    // A few of the second set are the same persons, so that there is something to find.
    let identities: Vec<u32> = (0..distractors as u32).collect();
    let parts = [Pairs::Between(
        Faces { rows: &a, identities: &identities[..faces] },
        Faces { rows: &b, identities: &identities },
    )];
    let (mut product, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        interrupt::check()?;
        product.push(bare_product(&a_values, &b_values));
        let start = Instant::now();
        black_box(tar_at_far(black_box(&parts), &[1e-8, 1e-6])?);
        rates.push(start.elapsed().as_secs_f64());
    }
    Ok(Measured { faces, distractors, product, rates })
}

/// Seconds of the products of all blocks.
fn bare_product(a: &[f32], b: &[f32]) -> f64 {
    let mut out = vec![0.0; BLOCK * BLOCK];
    let start = Instant::now();
    for a in a.chunks(BLOCK * SIZE) {
        for b in b.chunks(BLOCK * SIZE) {
            let (rows, cols) = (a.len() / SIZE, b.len() / SIZE);
            let (a, b) = (MatRef::new(black_box(a), rows, SIZE), MatRef::new(b, cols, SIZE));
            matmul(a, b.transposed(), &mut out[..rows * cols], Accumulate::Replace);
        }
    }
    black_box(&out);
    start.elapsed().as_secs_f64()
}

impl Measured {
    fn pairs(&self) -> f64 {
        self.faces as f64 * self.distractors as f64
    }

    /// What is asked of it.
    pub(super) fn rows(&self) -> Vec<Row> {
        let share = median(&self.product) / median(&self.rates);
        vec![Row::new("all pairs: rate by that of the matrix product", share, "×", Bound::AtLeast(0.7))]
    }

    /// The rate, and what it comes to for the whole protocol.
    pub(super) fn words(&self) -> String {
        let rate = self.pairs() / median(&self.rates);
        let all = FACES as f64 * DISTRACTORS as f64 + FACES as f64 * (FACES as f64 - 1.0) / 2.0;
        format!(
            "all pairs: {:.0} million per second; {FACES} faces and {DISTRACTORS} distractors of LFR2019-Image would take \
             {:.1} h",
            rate / 1e6,
            all / rate / 3600.0
        )
    }
}
