//! The triplet term: angles between embeddings of a batch; the other identity is farther than the same by a margin.
//! Knows unit embeddings and labels only, no class centers.

use arcface_core::ops::matmul::{Accumulate, MatRef, matmul};
use arcface_core::{Margin as Radians, Result, sphere};
use serde::{Deserialize, Serialize};

use crate::register_loss;
use crate::registry::{About, Kind, Loss, Part};
use crate::term::{Term, TermBatch, TermOutput};
use crate::units::radians;

/// Which triplets of anchor a, positive p ≠ a of the same class and negative n of another are averaged over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mining {
    /// All with θ_ap < θ_an < θ_ap + m.
    #[default]
    SemiHard,
    /// All.
    All,
    /// Of each anchor the farthest positive with the nearest negative.
    Hardest,
}

/// mean relu(θ_ap − θ_an + m) over the mined triplets, 0 if there are none (Equation 10).
#[derive(Debug)]
pub struct Triplet(Parameters);

/// Parameters of [`Triplet`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// m in radians.
    pub margin: Radians,
    /// Which triplets are averaged over.
    pub mining: Mining,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { margin: radians(0.35), mining: Mining::default() }
    }
}

impl Loss for Triplet {
    const ABOUT: About = About::new(
        "triplet",
        Kind::Term,
        "angles between embeddings; as a loss, alone and without class centers",
        "mean relu(θ_ap − θ_an + m)",
    )
    .paper("Schroff et al., FaceNet, arXiv 1503.03832, by angles as in arXiv 1801.07698v4, Equation 10")
    .alone();
    type Parameters = Parameters;

    fn build(parameters: Parameters) -> Result<Part> {
        Ok(Part::term(Self(parameters)))
    }
}
register_loss!(Triplet);

impl Term for Triplet {
    fn evaluate(&self, batch: &TermBatch<'_>) -> TermOutput {
        let count = batch.labels.len();
        let x = MatRef::new(batch.embeddings(), count, batch.embedding_size);
        let mut cosines = vec![0.0; count * count];
        matmul(x, x.transposed(), &mut cosines, Accumulate::Replace);
        let arccos = |cosine: &f64| sphere::arccos(*cosine, batch.sine_floor);
        let (angles, slopes): (Vec<f64>, Vec<f64>) = cosines.iter().map(arccos).unzip();
        let mined = Mined::new(&angles, batch.labels, self.0);
        let by_cosine: Vec<f64> = mined.d_angles.iter().zip(&slopes).map(|(d, slope)| d * slope).collect();
        let by_cosine = MatRef::new(&by_cosine, count, count);
        let mut d_embeddings = vec![0.0; count * batch.embedding_size];
        // θ_ij is a function of both x_i and x_j.
        matmul(by_cosine, x, &mut d_embeddings, Accumulate::Replace);
        matmul(by_cosine.transposed(), x, &mut d_embeddings, Accumulate::Add);
        TermOutput { value: mined.mean, d_embeddings, ..TermOutput::default() }
    }
}

/// The mean over the mined triplets and its gradient by the angles (B, B).
struct Mined {
    mean: f64,
    d_angles: Vec<f64>,
}

impl Mined {
    fn new(angles: &[f64], labels: &[u32], parameters: Parameters) -> Self {
        let margin = parameters.margin.get();
        let mut d_angles = vec![0.0; angles.len()];
        let (mut sum, mut count) = (0.0, 0.0);
        for anchor in 0..labels.len() {
            let row = anchor * labels.len()..(anchor + 1) * labels.len();
            let (angles, d_angles) = (&angles[row.clone()], &mut d_angles[row]);
            for (positive, negative) in mine(anchor, angles, labels, parameters) {
                count += 1.0;
                let loss = angles[positive] - angles[negative] + margin;
                if 0.0 < loss {
                    sum += loss;
                    d_angles[positive] += 1.0;
                    d_angles[negative] -= 1.0;
                }
            }
        }
        // Without any triplet the sum is 0 and so is the mean.
        let share = 1.0 / f64::max(count, 1.0);
        for d in &mut d_angles {
            *d *= share;
        }
        Self { mean: share * sum, d_angles }
    }
}

/// The (positive, negative) pairs of an anchor with `angles` (B) to all.
fn mine(anchor: usize, angles: &[f64], labels: &[u32], parameters: Parameters) -> Vec<(usize, usize)> {
    let of = |same: bool| (0..labels.len()).filter(move |i| *i != anchor && (labels[*i] == labels[anchor]) == same);
    let nearer = |a: &usize, b: &usize| angles[*a].total_cmp(&angles[*b]);
    if parameters.mining == Mining::Hardest {
        return of(true).max_by(nearer).zip(of(false).min_by(nearer)).into_iter().collect();
    }
    let fits = |p: usize, n: usize| match parameters.mining {
        Mining::SemiHard => angles[p] < angles[n] && angles[n] < angles[p] + parameters.margin.get(),
        Mining::All | Mining::Hardest => true,
    };
    of(true).flat_map(|p| of(false).filter(move |n| fits(p, *n)).map(move |n| (p, n))).collect()
}
