//! The head of many classes: cosines, log-sum-exp and gradients chunk by chunk, never the whole matrix (B, C·K).
//! Knows no tensors and no term; the centers are neither copied nor normalised, only their cosines are.
//!
//! The classes are walked through twice. The first walk leaves of each row the largest logit and the sum of
//! exponentials; the second makes the gradients. A chunk's cosines and the inverse norms of its centers wait in between
//! where the chunk's gradient is going to be, if they find room there, which they do for B < D; else they are computed
//! again.
//!
//! Parts of the classes, cut by shape alone, are walked through in parallel, each in its order, and what they give is
//! added in theirs.

use std::ops::Range;

use arcface_core::ops::Panels;
use arcface_core::ops::element::Element;
use arcface_core::ops::matmul::{Accumulate, MatMut, MatRef, product};
use arcface_core::sphere::NORM_FLOOR;
use rayon::prelude::*;

use super::dense::{Input, Output, Rule, mean_loss};
use super::lanes::{
    Exponent, Hardness, dot, exponential_gradient, exponential_sum, harden, largest, multiply, take_away,
};
use super::meeting::{Centers, add_own_gradients, meet, row_rule};
use super::rows::{Finished, RowResult, RowRule, RowTarget, finish};
use super::unit::UnitRows;
use crate::margin::{Margin, NonTarget};
use crate::options::Chunk;

/// Most parts that the classes are cut into, each with a gradient of the embeddings of its own.
const PARTS: usize = 16;
/// Bytes that these gradients may take together; but [`FEWEST_PARTS`] there are, if there are chunks enough.
const PARTS_BYTES: usize = 4 << 20;
const FEWEST_PARTS: usize = 8;
/// Values of the centers of a chunk: they stay near the core between the products that read them.
const CHUNK_VALUES: usize = 1 << 18;
/// Classes below which a product is too narrow to be fast.
const NARROW: usize = 64;

/// The loss of a batch and its gradients.
pub(crate) fn forward<T: Element>(
    input: &Input<'_, T>,
    centers: Centers<'_, T>,
    rule: &Rule,
    chunk: Chunk,
    margin: &mut dyn Margin,
) -> Output<T> {
    let x = UnitRows::new(input.embeddings, input.embedding_size);
    let (rows, target_cosines) = meet(&x, &centers, input, rule, margin);
    let walk = Walk::new(&x, centers, &rows, row_rule(rule, margin.non_target(), rows.len()), chunk);
    let mut d_centers = vec![T::ZERO; centers.len() * centers.width];
    let sums = walk.log_sums(&mut d_centers);
    let finished: Vec<Finished> = rows.iter().zip(&sums).map(|(row, sum)| walk.finish(row, sum)).collect();
    let d_x = walk.gradients(&sums, &finished, &mut d_centers);
    let results: Vec<RowResult> = finished.iter().map(|row| row.result).collect();
    let d_norms: Vec<f64> = results.iter().map(|row| row.d_norm).collect();
    let mut d_embeddings = x.pull_back(&d_x, &[], &d_norms);
    add_own_gradients(&x, &centers, rule, (&rows, &results), &mut d_embeddings, &mut d_centers);
    Output { loss: mean_loss(&results), d_embeddings, d_centers, d_bias: Vec::new(), classes: None, target_cosines }
}

/// Classes in a chunk: those asked for, or as many as stay near the core and give every part one.
fn chunk_len(chunk: Chunk, classes: usize, width: usize) -> usize {
    match chunk {
        Chunk::Classes(len) => len.get().min(classes),
        Chunk::Auto | Chunk::Dense => (CHUNK_VALUES / width).min(classes.div_ceil(PARTS)).max(NARROW).min(classes),
    }
}

/// Σ_j e^{s·(v_j − top)} over the non-target classes of a row, v being the logits before the scale.
#[derive(Debug, Clone, Copy)]
struct LogSum {
    top: f64,
    sum: f64,
}

impl LogSum {
    const EMPTY: Self = Self { top: f64::NEG_INFINITY, sum: 0.0 };

    /// Of the classes of both. A sum that is not a number stays so.
    fn and(self, other: Self, scale: f64) -> Self {
        let top = self.top.max(other.top);
        let part = |of: Self| if of.top < top { of.sum * (scale * (of.top - top)).exp() } else { of.sum };
        Self { top, sum: part(self) + part(other) }
    }

    /// The largest logit before the scale; without one every difference would be ∞ − ∞.
    fn shift(self) -> f64 {
        shift(self.top)
    }
}

/// What is taken from every logit, of which `top` is the largest; −∞ of none.
pub(crate) fn shift(top: f64) -> f64 {
    if top.is_finite() { top } else { 0.0 }
}

/// A batch on its way through the classes.
struct Walk<'a, T> {
    x: &'a UnitRows<'a, T>,
    /// x̂ᵀ (D, B), which centers are multiplied with as they lie.
    columns: Panels<T>,
    centers: Centers<'a, T>,
    rows: &'a [RowTarget],
    rule: RowRule,
    /// Classes in a chunk; the last may have fewer.
    chunk: usize,
    /// Classes in a part; the last may have fewer.
    part: usize,
}

/// Memory for a chunk of n classes, of the calling thread.
struct Scratch<'a, T> {
    /// Centers (n, K, D) that do not lie together.
    centers: &'a mut [T],
    /// Cosines, and what becomes of them (B, n·K).
    cosines: &'a mut [T],
    /// Products (n·K, B).
    products: &'a mut [T],
    /// 1/‖W_jk‖ (n·K).
    inverses: &'a mut [T],
    /// One cosine per class (n).
    pooled: &'a mut [T],
}

/// The transpose of `products` (n, B), each row times its factor, in squares that stay in the first-level cache.
fn turn<T: Element>(products: &[T], factors: &[T], cosines: &mut [T]) {
    const SIDE: usize = 16;
    let (columns, rows) = (factors.len(), products.len() / factors.len().max(1));
    for first in (0..rows).step_by(SIDE) {
        for start in (0..columns).step_by(SIDE) {
            let end = columns.min(start + SIDE);
            for row in first..rows.min(first + SIDE) {
                let out = &mut cosines[row * columns..][start..end];
                for (out, column) in out.iter_mut().zip(start..end) {
                    *out = products[column * rows + row] * factors[column];
                }
            }
        }
    }
}

impl<'a, T: Element> Walk<'a, T> {
    fn new(
        x: &'a UnitRows<'a, T>,
        centers: Centers<'a, T>,
        rows: &'a [RowTarget],
        rule: RowRule,
        chunk: Chunk,
    ) -> Self {
        let chunk = chunk_len(chunk, centers.len(), centers.width);
        let parts = (PARTS_BYTES / (x.unit.len() * size_of::<T>())).clamp(FEWEST_PARTS, PARTS);
        let part = centers.len().div_ceil(chunk).div_ceil(parts) * chunk;
        let columns = Panels::new(x.matrix().transposed());
        Self { x, columns, centers, rows, rule, chunk, part }
    }

    /// The first walk; `regions` (C, K, D) keeps cosines and inverse norms for the second.
    fn log_sums(&self, regions: &mut [T]) -> Vec<LogSum> {
        let parts = regions.par_chunks_mut(self.part * self.centers.width).enumerate();
        let parts: Vec<Vec<LogSum>> = parts.map(|(part, regions)| self.part_log_sums(part, regions)).collect();
        let mut sums = vec![LogSum::EMPTY; self.rows.len()];
        for part in parts {
            sums.iter_mut().zip(part).for_each(|(sum, more)| *sum = sum.and(more, self.rule.scale));
        }
        sums
    }

    fn part_log_sums(&self, part: usize, regions: &mut [T]) -> Vec<LogSum> {
        let mut sums = vec![LogSum::EMPTY; self.rows.len()];
        self.each_chunk(part, regions, |classes, region, scratch| {
            let Scratch { centers, cosines, products, inverses, pooled } = scratch;
            self.cosines(self.centers.range(classes.clone(), centers), products, cosines, inverses);
            if self.keeps() {
                region[..cosines.len()].copy_from_slice(cosines);
                region[cosines.len()..][..inverses.len()].copy_from_slice(inverses);
            }
            for ((row, cosines), sum) in self.rows.iter().zip(cosines.chunks_exact(inverses.len())).zip(&mut sums) {
                *sum = sum.and(self.row_log_sum(row, cosines, &classes, pooled), self.rule.scale);
            }
        });
        sums
    }

    /// The second walk, which replaces `regions` by the gradient of the centers; returns that of x̂.
    fn gradients(&self, sums: &[LogSum], finished: &[Finished], regions: &mut [T]) -> Vec<T> {
        let parts = regions.par_chunks_mut(self.part * self.centers.width).enumerate();
        let parts = parts.map(|(part, regions)| self.part_gradients(part, sums, finished, regions));
        let mut total = vec![T::ZERO; self.x.unit.len()];
        for part in parts.collect::<Vec<Vec<T>>>() {
            total.iter_mut().zip(part).for_each(|(total, more)| *total += more);
        }
        total
    }

    fn part_gradients(&self, part: usize, sums: &[LogSum], finished: &[Finished], regions: &mut [T]) -> Vec<T> {
        let mut d_x = vec![T::ZERO; self.x.unit.len()];
        self.each_chunk(part, regions, |classes, region, scratch| {
            let Scratch { centers, cosines, products, inverses, pooled } = scratch;
            let centers = self.centers.range(classes.clone(), centers);
            if self.keeps() {
                cosines.copy_from_slice(&region[..cosines.len()]);
                inverses.copy_from_slice(&region[cosines.len()..][..inverses.len()]);
            } else {
                self.cosines(centers, products, cosines, inverses);
            }
            let rows = self.rows.iter().zip(sums).zip(finished);
            for (((row, sum), finished), cosines) in rows.zip(cosines.chunks_exact_mut(inverses.len())) {
                self.row_gradient((row, sum, finished), cosines, &classes, pooled);
                multiply(cosines, inverses);
            }
            self.products(cosines, centers, &mut d_x, region);
            self.project(region, centers, inverses);
        });
        d_x
    }

    /// Calls `work` with the classes of each chunk of a part, in order, their region and memory of the right size.
    fn each_chunk(&self, part: usize, regions: &mut [T], mut work: impl FnMut(Range<usize>, &mut [T], Scratch<'_, T>)) {
        let most = self.chunk * self.rule.sub_centers;
        let cosines = self.rows.len() * most;
        let sizes = [self.centers.scratch_len(self.chunk), cosines, cosines, most, self.chunk];
        T::with_scratch(sizes.iter().sum(), |scratch| {
            let (centers, rest) = scratch.split_at_mut(sizes[0]);
            let (cosines, rest) = rest.split_at_mut(sizes[1]);
            let (products, rest) = rest.split_at_mut(sizes[2]);
            let (inverses, pooled) = rest.split_at_mut(sizes[3]);
            for (index, region) in regions.chunks_mut(self.chunk * self.centers.width).enumerate() {
                let (first, len) = (part * self.part + index * self.chunk, region.len() / self.centers.width);
                let columns = len * self.rule.sub_centers;
                let scratch = Scratch {
                    centers: &mut *centers,
                    cosines: &mut cosines[..self.rows.len() * columns],
                    products: &mut products[..self.rows.len() * columns],
                    inverses: &mut inverses[..columns],
                    pooled: &mut pooled[..len],
                };
                work(first..first + len, region, scratch);
            }
        });
    }

    /// Whether a chunk's cosines (B, n·K) and inverse norms (n·K) find room in its gradient (n·K, D).
    fn keeps(&self) -> bool {
        self.rows.len() < self.x.width
    }

    /// Cosines (B, n·K) and inverse norms (n·K) of `centers` (n, K, D), with room for products (n·K, B).
    fn cosines(&self, centers: &[T], products: &mut [T], cosines: &mut [T], inverses: &mut [T]) {
        let width = self.x.width;
        // First, since reading row after row brings the centers near the core faster than a product does.
        for (inverse, center) in inverses.iter_mut().zip(centers.chunks_exact(width)) {
            *inverse = T::from_f64(1.0 / dot(center, center).sqrt().max(NORM_FLOOR));
        }
        self.columns.multiply(centers, products);
        turn(products, inverses, cosines);
    }

    fn row_log_sum(&self, row: &RowTarget, cosines: &[T], classes: &Range<usize>, pooled: &mut [T]) -> LogSum {
        let lowest = T::from_f64(f64::NEG_INFINITY);
        self.pool(cosines, pooled);
        if self.rule.non_target != NonTarget::Plain {
            harden(pooled, self.hardness(row));
        }
        if classes.contains(&row.label) {
            pooled[row.label - classes.start] = lowest;
        }
        let mut sum = LogSum { top: largest(pooled, lowest).to_f64(), sum: 0.0 };
        sum.sum = exponential_sum(pooled, self.exponent(sum));
        sum
    }

    fn finish(&self, row: &RowTarget, sum: &LogSum) -> Finished {
        finish(row, &self.rule, self.rule.scale * sum.shift(), sum.sum)
    }

    /// Replaces a row's cosines (n·K) by the gradients of the batch's mean loss by them.
    fn row_gradient(
        &self,
        (row, sum, finished): (&RowTarget, &LogSum, &Finished),
        cosines: &mut [T],
        classes: &Range<usize>,
        pooled: &mut [T],
    ) {
        let k = self.rule.sub_centers;
        let (hardness, exponent, factor) = (self.hardness(row), self.exponent(*sum), T::from_f64(finished.factor));
        if k == 1 {
            exponential_gradient(cosines, hardness, exponent, factor);
        } else {
            self.pool(cosines, pooled);
            exponential_gradient(pooled, hardness, exponent, factor);
            let classes = cosines.chunks_exact_mut(k).zip(&*pooled);
            classes.for_each(|(cosines, gradient)| self.rule.pool.spread(gradient.to_f64(), cosines));
        }
        if classes.contains(&row.label) {
            // `add_own_gradients` has them.
            cosines[(row.label - classes.start) * k..][..k].fill(T::ZERO);
        }
    }

    /// One cosine per class (n) of `cosines` (n·K).
    fn pool(&self, cosines: &[T], pooled: &mut [T]) {
        match self.rule.sub_centers {
            1 => pooled.copy_from_slice(cosines),
            k => pooled.iter_mut().zip(cosines.chunks_exact(k)).for_each(|(pooled, cosines)| {
                *pooled = T::from_f64(self.rule.pool.pool(cosines));
            }),
        }
    }

    fn hardness(&self, row: &RowTarget) -> Hardness<T> {
        let (above, t) = match self.rule.non_target {
            NonTarget::Plain => (f64::INFINITY, 0.0),
            NonTarget::Curricular { t } => (row.target.value, t),
        };
        Hardness { above: T::from_f64(above), t: T::from_f64(t) }
    }

    fn exponent(&self, sum: LogSum) -> Exponent<T> {
        Exponent { scale: T::from_f64(self.rule.scale), top: T::from_f64(sum.shift()) }
    }

    /// d_x ← d_x + g·W and `region` ← gᵀ·x̂, where g (B, n·K) are the gradients by W·x̂.
    fn products(&self, gradients: &[T], centers: &[T], d_x: &mut [T], region: &mut [T]) {
        let (batch, width) = (self.rows.len(), self.x.width);
        let columns = centers.len() / width;
        let (g, w) = (MatRef::new(gradients, batch, columns), MatRef::new(centers, columns, width));
        product(g, w, MatMut::new(d_x, batch, width), Accumulate::Add);
        product(g.transposed(), self.x.matrix(), MatMut::new(region, columns, width), Accumulate::Replace);
    }

    /// Takes from each center's gradient what points along the center, which normalisation undoes.
    fn project(&self, gradients: &mut [T], centers: &[T], inverses: &[T]) {
        let width = self.x.width;
        // Below the floor ŵ = w/floor is linear in w: nothing to project out.
        let linear = T::from_f64(1.0 / NORM_FLOOR);
        let rows = gradients.chunks_exact_mut(width).zip(centers.chunks_exact(width)).zip(inverses);
        for ((gradient, center), &inverse) in rows {
            if inverse < linear {
                let radial = dot(gradient, center) * inverse.to_f64() * inverse.to_f64();
                take_away(gradient, T::from_f64(radial), center);
            }
        }
    }
}
