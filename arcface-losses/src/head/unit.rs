//! Rows of a matrix brought to unit length, and the way back for gradients.
//! Knows no classes.

use arcface_core::ops::element::Element;
use arcface_core::ops::matmul::MatRef;
use arcface_core::sphere::NORM_FLOOR;
use rayon::prelude::*;

/// Unit rows x̂ = x/max(‖x‖, floor) of a row-major matrix (rows, width).
#[derive(Debug)]
pub(crate) struct UnitRows<'a, T> {
    raw: &'a [T],
    /// x̂.
    pub(crate) unit: Vec<T>,
    /// ‖x‖, 0 for a zero row.
    pub(crate) norms: Vec<f64>,
    /// D.
    pub(crate) width: usize,
}

impl<'a, T: Element> UnitRows<'a, T> {
    pub(crate) fn new(raw: &'a [T], width: usize) -> Self {
        let norms: Vec<f64> = raw.par_chunks(width).map(|row| dot(row, row).sqrt()).collect();
        let mut unit = vec![T::ZERO; raw.len()];
        unit.par_chunks_mut(width).zip(raw.par_chunks(width)).zip(&norms).for_each(|((unit, row), norm)| {
            let norm = norm.max(NORM_FLOOR);
            unit.iter_mut().zip(row).for_each(|(unit, x)| *unit = T::from_f64(x.to_f64() / norm));
        });
        Self { raw, unit, norms, width }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.norms.len()
    }

    /// The unit rows as a matrix (rows, width).
    pub(crate) fn matrix(&self) -> MatRef<'_, T> {
        MatRef::new(&self.unit, self.len(), self.width)
    }

    /// Row `index` as it was.
    fn row(&self, index: usize) -> &[T] {
        &self.raw[index * self.width..][..self.width]
    }

    /// Unit row `index`, in f64.
    pub(crate) fn unit_f64(&self, index: usize) -> Vec<f64> {
        let norm = self.norms[index].max(NORM_FLOOR);
        self.row(index).iter().map(|x| x.to_f64() / norm).collect()
    }

    /// The cosine of row `index` and `other`, in f64 whatever T is and within [−1, 1].
    ///
    /// The margin's derivative grows as 1/sinθ, so that the target cosine must be better than the matrix product's.
    pub(crate) fn cosine(&self, index: usize, other: &[T]) -> f64 {
        let norms = self.norms[index].max(NORM_FLOOR) * dot(other, other).sqrt().max(NORM_FLOOR);
        (dot(self.row(index), other) / norms).clamp(-1.0, 1.0)
    }

    /// The gradient by the raw rows: (g − (g·x̂)x̂)/‖x‖ + (dL/d‖x‖)·x̂, where g is the gradient by x̂.
    ///
    /// `more` is added to g, `d_norms` are dL/d‖x‖; an empty slice stands for zeros.
    pub(crate) fn pull_back(&self, d_unit: &[T], more: &[f64], d_norms: &[f64]) -> Vec<T> {
        let mut gradient = vec![T::ZERO; self.raw.len()];
        gradient.par_chunks_mut(self.width).enumerate().for_each(|(index, gradient)| {
            let range = index * self.width..(index + 1) * self.width;
            let mut g: Vec<f64> = d_unit[range.clone()].iter().map(|g| g.to_f64()).collect();
            g.iter_mut().zip(more.get(range).unwrap_or_default()).for_each(|(g, more)| *g += more);
            self.pull_back_row(index, &g, d_norms.get(index).copied().unwrap_or_default(), gradient);
        });
        gradient
    }

    /// Adds d·(other − cosθ·x̂)/‖x‖, what `d` = dL/dcosθ gives to the gradient by row `index`; `other` has unit length.
    pub(crate) fn add_tangent(&self, index: usize, other: &[f64], cosine: f64, d: f64, gradient: &mut [T]) {
        let radial = if self.norms[index] < NORM_FLOOR { 0.0 } else { cosine };
        let step = d / self.norms[index].max(NORM_FLOOR);
        for ((out, other), unit) in gradient.iter_mut().zip(other).zip(self.unit_f64(index)) {
            *out = T::from_f64(out.to_f64() + step * (other - radial * unit));
        }
    }

    fn pull_back_row(&self, index: usize, g: &[f64], d_norm: f64, gradient: &mut [T]) {
        let norm = self.norms[index].max(NORM_FLOOR);
        let unit = self.unit_f64(index);
        // Below the floor x̂ = x/floor is linear in x: nothing to project out.
        let radial = if self.norms[index] < NORM_FLOOR { 0.0 } else { unit.iter().zip(g).map(|(u, g)| u * g).sum() };
        let rows = gradient.iter_mut().zip(g).zip(&unit);
        rows.for_each(|((out, g), u)| *out = T::from_f64((g - radial * u) / norm + d_norm * u));
    }
}

/// a·b in f64.
pub(crate) fn dot<T: Element>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}
