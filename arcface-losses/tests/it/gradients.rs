//! Gradients by hand against central finite differences in f64.

use arcface_core::candle::{DType, Tensor};
use arcface_core::testing::{gradient_error, normal, slice_difference, values};
use arcface_losses::{Objective, defaults};
use toml::Table;

use crate::table;

const LABELS: [u32; 4] = [2, 0, 4, 2];

fn check(name: &str, parameters: &str) {
    let parameters = &table(parameters);
    for dims in [&[5, 6][..], &[5, 3, 6]] {
        if !defaults(name).unwrap().contains_key("sub_centers") && dims.len() == 3 {
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
    check("arcface", "pooling = 'soft'; gamma_pooling = 3.0");
    check("arcface", "warmup_steps = 10");
}

#[test]
fn normface_and_softmax() {
    check("normface", "scale = 20");
    check("softmax", "");
}

#[test]
fn combined() {
    check("combined", "");
    check("combined", "m1 = 0.9; m2 = 0.4; m3 = 0.15");
    for beyond_pi in ["linear", "none", "easy", "clip"] {
        check("combined", &format!("m1 = 1.7; m2 = 0.9; m3 = 0.15; beyond_pi = '{beyond_pi}'"));
    }
}

#[test]
fn cosface_and_sphereface() {
    check("cosface", "");
    check("cosface", "beyond_pi = 'easy'");
    check("sphereface", "");
    check("sphereface", "form = 'integer'; lambda_0 = 5.0; lambda_min = 0.0");
    check("sphereface", "form = 'integer'; margin = 3");
}

#[test]
fn magface() {
    // Norms of the embeddings are about 2.4, so that they lie within these bounds.
    check("magface", "lower_norm = 0.1; upper_norm = 9.0");
    check("magface", "lower_norm = 0.1; upper_norm = 9.0; lower_margin = 1.5; upper_margin = 2.5");
    check("magface", "");
}

#[test]
fn margins_with_statistics_at_rest() {
    check("curricularface", "momentum = 0.0");
    check("adaface", "h = 0.0; momentum = 0.0");
    check("elastic_arcface", "sigma = 0.2");
    check("elastic_cosface", "sigma = 0.2");
}

#[test]
fn terms() {
    check("intra", "");
    check("inter", "");
    check("arcface", "terms = [{ name = 'intra', weight = 3.0 }, { name = 'inter', weight = 30.0 }]");
    check("normface", "scale = 20; terms = [{ name = 'triplet', margin = 0.5 }]");
    for mining in ["semi_hard", "all", "hardest"] {
        check("triplet", &format!("mining = '{mining}'"));
    }
}
