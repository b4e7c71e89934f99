//! Verification by grey values: the cosine of two small pictures, and a linear classifier of their differences.
//! Knows no gradients of pictures and no networks.

use arcface_core::Result;
use rayon::prelude::*;

use super::{LogisticRegression, Picture, check_pairs, unit_distance};

/// Edge of the small pictures that are compared.
const EDGE: usize = 32;

/// Strength of the penalty on weights of standardised features, per training pair.
const PENALTY: f64 = 0.01;

/// Distance 2 − 2·cos of grey 32 × 32 pictures without their mean.
///
/// # Errors
/// If a pair names a picture that is not there.
pub fn raw_pixel_distances(pictures: &[Picture<'_>], pairs: &[(usize, usize)]) -> Result<Vec<f64>> {
    check_pairs(pairs, pictures.len())?;
    let features: Vec<_> = pictures.par_iter().map(|picture| centred(picture.grey().averaged(EDGE))).collect();
    Ok(pairs.par_iter().map(|&(a, b)| unit_distance(&features[a], &features[b])).collect())
}

fn centred(mut values: Vec<f64>) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    for value in &mut values {
        *value -= mean;
    }
    values
}

/// Logistic regression on the absolute differences of grey 32 × 32 pictures.
#[derive(Debug, Clone)]
pub struct PixelDifferences {
    regression: LogisticRegression,
}

impl PixelDifferences {
    /// Learns from pairs of which it is known whether they show the same identity.
    ///
    /// # Errors
    /// If a pair names a picture that is not there, `same` has another length than `pairs`, or one of the two kinds of
    /// pairs is missing.
    pub fn fit(pictures: &[Picture<'_>], pairs: &[(usize, usize)], same: &[bool]) -> Result<Self> {
        let rows = differences(pictures, pairs)?;
        Ok(Self { regression: LogisticRegression::fit(&rows, same, PENALTY)? })
    }

    /// Distance 4·(1 − p) where p is the probability that a pair shows the same identity.
    ///
    /// # Errors
    /// If a pair names a picture that is not there.
    pub fn distances(&self, pictures: &[Picture<'_>], pairs: &[(usize, usize)]) -> Result<Vec<f64>> {
        let rows = differences(pictures, pairs)?;
        rows.iter().map(|row| Ok(4.0 * (1.0 - self.regression.probability(row)?))).collect()
    }
}

fn differences(pictures: &[Picture<'_>], pairs: &[(usize, usize)]) -> Result<Vec<Vec<f64>>> {
    check_pairs(pairs, pictures.len())?;
    let features: Vec<_> = pictures.par_iter().map(|picture| picture.grey().averaged(EDGE)).collect();
    let difference =
        |&(a, b): &(usize, usize)| features[a].iter().zip(&features[b]).map(|(a, b)| (a - b).abs()).collect();
    Ok(pairs.par_iter().map(difference).collect())
}
