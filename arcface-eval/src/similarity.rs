//! Embeddings as unit vectors, and how far the two of a pair lie apart.
//! Knows no labels and no thresholds.

use arcface_core::{Error, Result};
use rayon::prelude::*;

/// N embeddings of D values each, every one of length 1.
///
/// ```
/// use arcface_eval::Embeddings;
/// let embeddings = Embeddings::normalised(&[3.0, 4.0, -6.0, -8.0], 2)?;
/// assert!((embeddings.row(0)[0] - 0.6).abs() < 1e-6);
/// assert!((embeddings.squared_distances(&[(0, 1)])?[0] - 4.0).abs() < 1e-6);
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    values: Vec<f32>,
    size: usize,
}

impl Embeddings {
    /// Scales every row of `values` to length 1.
    ///
    /// # Shapes
    /// `values`: (N, D) row by row, D = `size`.
    ///
    /// # Errors
    /// If `values` is not whole rows, or a row is zero or not finite; the message names the row.
    pub fn normalised(values: &[f32], size: usize) -> Result<Self> {
        check_rows("embeddings", values.len(), size)?;
        let mut unit = Vec::with_capacity(values.len());
        for (index, row) in values.chunks_exact(size).enumerate() {
            let row: Vec<f64> = row.iter().map(|&value| f64::from(value)).collect();
            let length = length(|| format!("embedding {index}"), &row)?;
            unit.extend(row.iter().map(|value| (value / length) as f32));
        }
        Ok(Self { values: unit, size })
    }

    /// The embedding of each image plus that of its mirror image, scaled to length 1.
    ///
    /// # Shapes
    /// `values`, `mirrored`: (N, D) row by row, D = `size`.
    ///
    /// # Errors
    /// If the two differ in length or are not whole rows, or if a sum is zero or not finite; the message names the row.
    pub fn with_mirrors(values: &[f32], mirrored: &[f32], size: usize) -> Result<Self> {
        check_rows("embeddings", values.len(), size)?;
        if values.len() != mirrored.len() {
            let expected = format!("as many values as the embeddings, {}", values.len());
            return Err(Error::value("embeddings of the mirror images", expected, mirrored.len()));
        }
        let sums: Vec<f64> = values.iter().zip(mirrored).map(|(&a, &b)| f64::from(a) + f64::from(b)).collect();
        Self::from_rows(&sums, size)
    }

    /// The rows numbered `rows`, in that order.
    pub(crate) fn selected(&self, rows: &[usize]) -> Self {
        Self { values: rows.iter().flat_map(|row| self.row(*row)).copied().collect(), size: self.size }
    }

    fn from_rows(rows: &[f64], size: usize) -> Result<Self> {
        Self::from_named_rows(rows, size, |index| format!("embedding {index}"))
    }

    /// Scales every row to length 1; `name` is what a row that has no direction is called.
    pub(crate) fn from_named_rows(rows: &[f64], size: usize, name: impl Fn(usize) -> String) -> Result<Self> {
        let mut values = Vec::with_capacity(rows.len());
        for (index, row) in rows.chunks_exact(size).enumerate() {
            let length = length(|| name(index), row)?;
            values.extend(row.iter().map(|value| (value / length) as f32));
        }
        Ok(Self { values, size })
    }

    /// Number of embeddings N.
    pub fn len(&self) -> usize {
        self.values.len() / self.size
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values per embedding D.
    pub fn size(&self) -> usize {
        self.size
    }

    /// All of them, row by row.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The unit vector of row `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Self::len`].
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.size..(index + 1) * self.size]
    }

    /// Squared ℓ2 distance of each pair of rows, within [0, 4]; equal rows have exactly 0.
    ///
    /// # Errors
    /// If a pair names a row that is not there.
    pub fn squared_distances(&self, pairs: &[(usize, usize)]) -> Result<Vec<f64>> {
        self.check_pairs(pairs)?;
        Ok(pairs.par_iter().map(|&(a, b)| squared_distance(self.row(a), self.row(b))).collect())
    }

    /// Cosine of each pair of rows, within [−1, 1].
    ///
    /// # Errors
    /// If a pair names a row that is not there.
    pub fn cosines(&self, pairs: &[(usize, usize)]) -> Result<Vec<f64>> {
        self.check_pairs(pairs)?;
        Ok(pairs.par_iter().map(|&(a, b)| cosine(self.row(a), self.row(b))).collect())
    }

    fn check_pairs(&self, pairs: &[(usize, usize)]) -> Result<()> {
        let missing = pairs.iter().enumerate().find(|(_, (a, b))| self.len() <= *a.max(b));
        missing.map_or(Ok(()), |(index, (a, b))| {
            let expected = format!("rows below {}", self.len());
            Err(Error::value(format!("pair {index}"), expected, format!("({a}, {b})")))
        })
    }
}

/// That `values` values are whole rows of `size`.
pub(crate) fn check_rows(what: &str, values: usize, size: usize) -> Result<()> {
    if size == 0 || !values.is_multiple_of(size) {
        return Err(Error::value(what, format!("whole rows of {size} values"), format!("{values} values")));
    }
    Ok(())
}

/// The length of a vector that has a direction.
pub(crate) fn length(name: impl FnOnce() -> String, row: &[f64]) -> Result<f64> {
    let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
    if 0.0 < length && length < f64::INFINITY {
        return Ok(length);
    }
    let expected = "a finite vector that is not zero (an untrained or diverged network gives others)";
    Err(Error::value(name(), expected, format!("length {length}")))
}

/// Σ (a − b)², clamped because rounded unit vectors may lie a little more than 2 apart.
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    sum.min(4.0)
}

/// Σ a·b in f64, within [−1, 1]; the same for every caller, so that equal pairs tie wherever they are scored.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    // Eight sums side by side: one sum alone would wait for each addition.
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0_f64; 8];
    for (a, b) in a.iter().zip(b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f64::from(a) * f64::from(b);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    (sums.iter().sum::<f64>() + rest).clamp(-1.0, 1.0)
}

/// Σ a² in f64.
pub(crate) fn square(row: &[f32]) -> f64 {
    // Eight sums side by side: one sum alone would wait for each addition.
    let (whole, rest) = row.as_chunks::<8>();
    let mut sums = [0.0_f64; 8];
    for values in whole {
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>()
}
