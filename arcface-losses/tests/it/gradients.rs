//! Gradients by hand against central finite differences in f64.

use arcface_core::candle::{DType, Tensor};
use arcface_core::testing::{gradient_error, normal, slice_difference, values};
use arcface_losses::Objective;
use toml::Table;

use crate::table;

const LABELS: [u32; 4] = [2, 0, 4, 2];

fn check(name: &str, parameters: &str) {
    let parameters = &table(parameters);
    for dims in [&[5, 6][..], &[5, 3, 6]] {
        if name == "softmax" && dims.len() == 3 {
            continue;
        }
        check_embeddings(name, parameters, dims);
        check_centers(name, parameters, dims);
    }
}

fn check_embeddings(name: &str, parameters: &Table, dims: &[usize]) {
    let (x, w) = (normal(&[4, 6], DType::F64, 2).unwrap(), normal(dims, DType::F64, 3).unwrap());
    let error = gradient_error(&[x], |x| {
        let mut objective = Objective::from_centers(name, parameters, &w, None)?;
        Ok(objective.forward(&x[0], &LABELS, 7)?.loss)
    });
    let error = error.unwrap();
    assert!(error < 1e-6, "{name} {dims:?}: d_embeddings differ by {error}");
}

fn check_centers(name: &str, parameters: &Table, dims: &[usize]) {
    let (x, w) = (normal(&[4, 6], DType::F64, 2).unwrap(), normal(dims, DType::F64, 3).unwrap());
    let evaluate =
        |w: &Tensor| Objective::from_centers(name, parameters, w, None).unwrap().evaluate(&x, &LABELS, 7).unwrap();
    let analytic = values(&evaluate(&w).d_centers).unwrap();
    let at = values(&w).unwrap();
    let moved = |index: usize, by: f64| {
        let mut changed = at.clone();
        changed[index] += by;
        values(&evaluate(&Tensor::from_vec(changed, dims, w.device()).unwrap()).loss).unwrap()[0]
    };
    let numeric: Vec<f64> = (0..at.len()).map(|i| (moved(i, 1e-5) - moved(i, -1e-5)) / 2e-5).collect();
    let error = slice_difference(&analytic, &numeric);
    assert!(error < 1e-6, "{name} {dims:?}: d_centers differ by {error}");
}

#[test]
fn arcface() {
    check("arcface", "");
    check("arcface", "margin = 2.5");
    check("arcface", "beyond_pi = 'none'; margin = 1.5");
    check("arcface", "beyond_pi = 'easy'");
    check("arcface", "beyond_pi = 'clip'; margin = 1.5");
    check("arcface", "pooling = 'soft'; gamma_pooling = 3.0; warmup_steps = 10");
}

#[test]
fn normface() {
    check("normface", "scale = 20");
}

#[test]
fn softmax() {
    check("softmax", "");
}
