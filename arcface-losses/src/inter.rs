//! The inter term: minus the mean angle between the classes of a batch and all other classes, as a part of π.
//! Knows unit class centers and labels only.

use std::collections::BTreeMap;
use std::f64::consts::PI;

use arcface_core::ops::matmul::{Accumulate, MatRef, matmul};
use arcface_core::{Result, sphere};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::register_loss;
use crate::registry::{About, Kind, Loss, Part};
use crate::term::{Term, TermBatch, TermOutput};

/// −(1/B)·Σ_i 1/(π(C−1))·Σ_{j≠y_i} arccos(W_{y_i}·W_j) (Equation 9).
#[derive(Debug)]
pub struct Inter;

/// The inter term has no parameters.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Parameters {}

impl Loss for Inter {
    const ABOUT: About = About::new(
        "inter",
        Kind::Term,
        "pushes class centers apart; as a loss, beside normface",
        "normface − 1/(π(C−1))·Σ_{j≠y} arccos(W_y·W_j)",
    )
    .paper("Deng et al., ArcFace, arXiv 1801.07698v4, Equation 9");
    type Parameters = Parameters;

    fn build(_: Parameters) -> Result<Part> {
        Ok(Part::term(Self))
    }
}
register_loss!(Inter);

impl Term for Inter {
    fn evaluate(&self, batch: &TermBatch<'_>) -> TermOutput {
        let (classes, width) = (batch.num_classes, batch.embedding_size);
        let present = Present::new(batch);
        let all = MatRef::new(batch.centers(), classes, width);
        let own = MatRef::new(&present.centers, present.labels.len(), width);
        let mut cosines = vec![0.0; own.rows * classes];
        matmul(own, all.transposed(), &mut cosines, Accumulate::Replace);
        let value = present.replace_by_gradient(&mut cosines, batch);
        let by_cosine = MatRef::new(&cosines, own.rows, classes);
        let mut d_centers = vec![0.0; classes * width];
        matmul(by_cosine.transposed(), own, &mut d_centers, Accumulate::Replace);
        let mut d_own = vec![0.0; own.rows * width];
        matmul(by_cosine, all, &mut d_own, Accumulate::Replace);
        present.add_to(&mut d_centers, &d_own, width);
        TermOutput { value, d_centers, ..TermOutput::default() }
    }
}

/// The classes of a batch (U of them), each once.
struct Present {
    labels: Vec<usize>,
    /// How many rows each has.
    counts: Vec<f64>,
    /// (U, D).
    centers: Vec<f64>,
}

impl Present {
    fn new(batch: &TermBatch<'_>) -> Self {
        let mut rows: BTreeMap<usize, f64> = BTreeMap::new();
        for label in batch.labels {
            *rows.entry(*label as usize).or_default() += 1.0;
        }
        let (labels, counts): (Vec<usize>, Vec<f64>) = rows.into_iter().unzip();
        let center = |label: &usize| &batch.centers()[label * batch.embedding_size..][..batch.embedding_size];
        let centers = labels.iter().flat_map(center).copied().collect();
        Self { labels, counts, centers }
    }

    /// Replaces cosines (U, C) by the term's gradient by them; returns the term's value.
    fn replace_by_gradient(&self, cosines: &mut [f64], batch: &TermBatch<'_>) -> f64 {
        let share = -1.0 / (PI * (batch.num_classes - 1) as f64 * batch.labels.len() as f64);
        let rows = cosines.par_chunks_mut(batch.num_classes).zip(&self.labels).zip(&self.counts);
        let angles = rows.map(|((row, label), count)| angle_row(row, *label, share * count, batch.sine_floor));
        angles.collect::<Vec<f64>>().iter().sum()
    }

    /// Adds the gradients of the present classes (U, D) to those of all (C, D).
    fn add_to(&self, all: &mut [f64], own: &[f64], width: usize) {
        for (gradient, label) in own.chunks_exact(width).zip(&self.labels) {
            all[label * width..][..width].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
        }
    }
}

/// weight·Σ_{j≠y} θ_j of a row of cosines, which are replaced by the gradient.
fn angle_row(row: &mut [f64], label: usize, weight: f64, sine_floor: f64) -> f64 {
    let mut sum = 0.0;
    for (class, cosine) in row.iter_mut().enumerate() {
        let (angle, slope) = sphere::arccos(*cosine, sine_floor);
        let weight = if class == label { 0.0 } else { weight };
        sum += weight * angle;
        *cosine = weight * slope;
    }
    sum
}
