//! Pairwise terms that are added to a loss: functions of unit embeddings, unit class centers and target cosines.
//! Knows no margin, no scale and no softmax.

use std::fmt::Debug;
use std::sync::LazyLock;

/// A term over a batch on the unit sphere.
pub trait Term: Debug + Send + Sync {
    /// The value and its gradients.
    fn evaluate(&self, batch: &TermBatch<'_>) -> TermOutput;
}

/// What a term looks at. All vectors are of unit length (a zero vector stays zero), row-major, in f64.
pub struct TermBatch<'a> {
    /// The class of each row.
    pub labels: &'a [u32],
    /// cosθ_y of each row; empty if the loss has no class centers.
    pub target_cosines: &'a [f64],
    /// D.
    pub embedding_size: usize,
    /// C; 0 if the loss has no class centers.
    pub num_classes: usize,
    /// The smallest sine that a derivative may be divided by.
    pub sine_floor: f64,
    pub(crate) embeddings: Lazy<'a>,
    pub(crate) centers: Lazy<'a>,
}

impl TermBatch<'_> {
    /// The unit embeddings (B, D).
    pub fn embeddings(&self) -> &[f64] {
        &self.embeddings
    }

    /// The unit class centers (C, D); with sub-centers the dominant one of each class.
    ///
    /// Dominant is the sub-center nearest to most of the class's samples in the batch, for a class without any the
    /// one nearest to most of all samples; among equals the lowest.
    pub fn centers(&self) -> &[f64] {
        &self.centers
    }
}

/// A term's value and its gradients by what it looked at; an empty gradient is zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TermOutput {
    /// The value.
    pub value: f64,
    /// By cosθ_y of each row (B).
    pub d_target_cosines: Vec<f64>,
    /// By the unit embeddings (B, D).
    pub d_embeddings: Vec<f64>,
    /// By the unit class centers (C, D).
    pub d_centers: Vec<f64>,
}

impl TermOutput {
    /// Adds `weight` times `other`.
    pub(crate) fn add(&mut self, weight: f64, other: &Self) {
        self.value += weight * other.value;
        add_scaled(&mut self.d_target_cosines, weight, &other.d_target_cosines);
        add_scaled(&mut self.d_embeddings, weight, &other.d_embeddings);
        add_scaled(&mut self.d_centers, weight, &other.d_centers);
    }
}

/// sum ← sum + weight·values, where an empty slice stands for zeros.
fn add_scaled(sum: &mut Vec<f64>, weight: f64, values: &[f64]) {
    if sum.is_empty() {
        sum.resize(values.len(), 0.0);
    }
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
}

/// Values that are made when they are first asked for.
pub(crate) type Lazy<'a> = LazyLock<Vec<f64>, Box<dyn FnOnce() -> Vec<f64> + Send + 'a>>;

/// Values that `make` makes when they are first asked for.
pub(crate) fn lazy<'a>(make: impl FnOnce() -> Vec<f64> + Send + 'a) -> Lazy<'a> {
    LazyLock::new(Box::new(make))
}
