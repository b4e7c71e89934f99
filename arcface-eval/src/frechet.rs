//! The Fréchet distance between two sets of features: how far made images are from real ones as a whole.
//! Knows no network: with features of Inception it is the FID, with those of another network a figure of that network.

use arcface_core::{Error, Result};
use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2·(Σ₁^½·Σ₂·Σ₁^½)^½) of two sets of features, each taken for a normal distribution with its
/// mean μ and its unbiased covariance Σ.
///
/// The sample's own size makes it larger: compare sets of the same size, beside what two sets of real images give.
///
/// # Shapes
/// (N, D) and (M, D) row-major with D = `dimensions`.
///
/// # Errors
/// If a set has no more rows than dimensions, so that its covariance is singular, or holds a value that is not finite.
///
/// # Example
/// ```
/// use arcface_eval::frechet_distance;
/// let (near, far) = ([0.0, 1.0, 2.0], [3.0, 5.0, 7.0]);
/// // Means 1 and 5, deviations 1 and 2: 16 + (2 − 1)².
/// assert!((frechet_distance(&near, &far, 1)? - 17.0).abs() < 1e-12);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn frechet_distance(a: &[f32], b: &[f32], dimensions: usize) -> Result<f64> {
    let [(mean_a, of_a), (mean_b, of_b)] = [moments(a, dimensions)?, moments(b, dimensions)?];
    let root = square_root(&of_a);
    let mixed = SymmetricEigen::new(&root * &of_b * &root).eigenvalues;
    let shared: f64 = mixed.iter().map(|value| value.max(0.0).sqrt()).sum();
    Ok((mean_a - mean_b).norm_squared() + of_a.trace() + of_b.trace() - 2.0 * shared)
}

fn moments(features: &[f32], dimensions: usize) -> Result<(DVector<f64>, DMatrix<f64>)> {
    if dimensions == 0 || !features.len().is_multiple_of(dimensions) {
        let expected = format!("rows of {dimensions} values, at least one each");
        return Err(Error::value("features", expected, format!("{} values", features.len())));
    }
    let rows = features.len() / dimensions;
    if rows <= dimensions {
        let expected = format!("more rows than their {dimensions} dimensions, for a covariance that is not singular");
        return Err(Error::value("features", expected, rows));
    }
    if let Some(value) = features.iter().find(|value| !value.is_finite()) {
        return Err(Error::value("features", "finite values", value));
    }
    let mut centred = DMatrix::from_row_iterator(rows, dimensions, features.iter().copied().map(f64::from));
    let mean = centred.row_mean().transpose();
    for (mut column, mean) in centred.column_iter_mut().zip(mean.iter()) {
        column.add_scalar_mut(-mean);
    }
    Ok((mean, centred.tr_mul(&centred) / (rows - 1) as f64))
}

/// The root of a matrix without negative eigenvalues but for rounding.
fn square_root(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(matrix.clone());
    let roots = DMatrix::from_diagonal(&eigenvalues.map(|value| value.max(0.0).sqrt()));
    &eigenvectors * roots * eigenvectors.transpose()
}

#[cfg(test)]
mod tests {
    use arcface_core::seed::{Purpose, rng};
    use proptest::prelude::*;
    use rand::Rng;

    use super::*;

    fn drawn(rows: usize, dimensions: usize, seed: u64) -> Vec<f32> {
        let mut rng = rng(seed, Purpose::Testing, 0, 0);
        (0..rows * dimensions).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn it_is_symmetric_zero_of_itself_and_a_shift_counts_squared(d in 1_usize..6, seed in 0_u64..100, by in -3.0..3.0_f32) {
            let (a, b) = (drawn(4 * d + 3, d, seed), drawn(3 * d + 5, d, seed + 1000));
            let [forth, back] = [frechet_distance(&a, &b, d).unwrap(), frechet_distance(&b, &a, d).unwrap()];
            prop_assert!((forth - back).abs() < 1e-9 && -1e-9 < forth);
            prop_assert!(frechet_distance(&a, &a, d).unwrap().abs() < 1e-9);
            let shifted: Vec<f32> = a.iter().map(|x| x + by).collect();
            let expected = d as f64 * f64::from(by).powi(2);
            prop_assert!((frechet_distance(&a, &shifted, d).unwrap() - expected).abs() < 1e-4);
        }

        /// Along axes that do not mix, each counts (σ₁ − σ₂)².
        #[test]
        fn independent_axes_add_up(scales in prop::array::uniform3(0.2..3.0_f32)) {
            let corners = (0..8).flat_map(|corner| (0..3).map(move |axis| if corner >> axis & 1 == 0 { -1.0 } else { 1.0_f32 }));
            let corners: Vec<f32> = corners.collect();
            let scaled: Vec<f32> = corners.iter().enumerate().map(|(at, x)| x * scales[at % 3]).collect();
            let expected: f64 = scales.iter().map(|scale| 8.0 / 7.0 * (1.0 - f64::from(*scale)).powi(2)).sum();
            prop_assert!((frechet_distance(&corners, &scaled, 3).unwrap() - expected).abs() < 1e-5);
        }
    }

    /// `scipy.linalg.sqrtm` of the product, of two sets of sines that do mix.
    #[test]
    fn it_is_that_of_scipy() {
        let set =
            |rows: usize, of: f32| -> Vec<f32> { (0..3 * rows).map(|at| (of * (at * at) as f32).sin()).collect() };
        let found = frechet_distance(&set(9, 0.1), &set(11, 0.23), 3).unwrap();
        assert!((found - 0.170_125_283_794).abs() < 1e-6, "{found}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let words = |a: &[f32], d| frechet_distance(a, &[0.0; 20], d).unwrap_err().to_string();
        assert_eq!(
            words(&[0.0; 4], 2),
            "features: expected more rows than their 2 dimensions, for a covariance that is not singular, got 2"
        );
        assert_eq!(words(&[0.0; 5], 2), "features: expected rows of 2 values, at least one each, got 5 values");
        assert_eq!(words(&[0.0, f32::NAN, 1.0], 1), "features: expected finite values, got NaN");
    }
}
