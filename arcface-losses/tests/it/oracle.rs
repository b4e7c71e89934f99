//! Losses against plain loops over angles, written from the papers' formulas without regard to digits or speed.

use std::f64::consts::PI;

use arcface_core::candle::{Device, Tensor};
use arcface_losses::Objective;
use proptest::prelude::*;

use crate::table;

const CLASSES: usize = 4;
const SIZE: usize = 3;

/// A batch with its centers (C, K, D), as vectors.
#[derive(Debug, Clone)]
struct Case {
    embeddings: Vec<Vec<f64>>,
    centers: Vec<Vec<Vec<f64>>>,
    labels: Vec<u32>,
}

fn vectors(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Vec<f64>>> {
    let vector = proptest::collection::vec(-2.0..2.0, SIZE);
    let long_enough = vector.prop_filter("long enough", |v: &Vec<f64>| 0.1 < v.iter().map(|x| x * x).sum::<f64>());
    proptest::collection::vec(long_enough, count)
}

fn cases() -> impl Strategy<Value = Case> {
    let centers = (1..=3usize).prop_flat_map(|k| proptest::collection::vec(vectors(k..=k), CLASSES));
    (vectors(1..=5), centers, proptest::collection::vec(0..CLASSES as u32, 5)).prop_map(
        |(embeddings, centers, labels)| {
            let labels = labels[..embeddings.len()].to_vec();
            Case { embeddings, centers, labels }
        },
    )
}

fn angle(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).clamp(-1.0, 1.0).acos()
}

/// The angle to the nearest sub-center.
fn class_angle(x: &[f64], centers: &[Vec<f64>]) -> f64 {
    centers.iter().map(|center| angle(x, center)).fold(f64::INFINITY, f64::min)
}

/// The batch mean of −log softmax with `psi` on the target and s = 16.
fn margin_loss(case: &Case, psi: impl Fn(f64) -> f64) -> f64 {
    let mut sum = 0.0;
    for (x, label) in case.embeddings.iter().zip(&case.labels) {
        let angles: Vec<f64> = case.centers.iter().map(|centers| class_angle(x, centers)).collect();
        let logit = |j: usize| 16.0 * if j == *label as usize { psi(angles[j]) } else { angles[j].cos() };
        let total: f64 = (0..CLASSES).map(|j| logit(j).exp()).sum();
        sum += total.ln() - logit(*label as usize);
    }
    sum / case.embeddings.len() as f64
}

fn combined(m1: f64, m2: f64, m3: f64) -> impl Fn(f64) -> f64 {
    move |theta| {
        if m1 * theta + m2 <= PI {
            (m1 * theta + m2).cos() - m3
        } else if (m1 - 1.0).abs() < 1e-12 {
            theta.cos() - m2 * m2.sin() - m3
        } else {
            theta.cos() - ((PI - m2) / m1).cos() - 1.0 - m3
        }
    }
}

fn integer(lambda: f64) -> impl Fn(f64) -> f64 {
    move |theta| {
        let k = (4.0 * theta / PI).floor().min(3.0);
        let sign = if k as i32 % 2 == 0 { 1.0 } else { -1.0 };
        (lambda * theta.cos() + sign * (4.0 * theta).cos() - 2.0 * k) / (1.0 + lambda)
    }
}

/// The mean over the batch and over the other classes of minus the angle between centers by π, for K = 1.
fn inter(case: &Case) -> f64 {
    let mut sum = 0.0;
    for label in &case.labels {
        for class in 0..CLASSES {
            if class != *label as usize {
                sum -= angle(&case.centers[*label as usize][0], &case.centers[class][0]);
            }
        }
    }
    sum / (PI * (CLASSES - 1) as f64 * case.labels.len() as f64)
}

fn check(case: &Case, name: &str, parameters: &str, expected: f64) {
    let (b, k) = (case.embeddings.len(), case.centers[0].len());
    let embeddings = Tensor::from_vec(case.embeddings.concat(), (b, SIZE), &Device::Cpu).unwrap();
    let centers = Tensor::from_vec(case.centers.concat().concat(), (CLASSES, k, SIZE), &Device::Cpu).unwrap();
    let mut parameters = table(parameters);
    if name != "triplet" {
        parameters.insert("scale".to_owned(), 16.0.into());
    }
    let mut objective = Objective::from_centers(name, &parameters, &centers, None).unwrap();
    let loss = objective.forward(&embeddings, &case.labels, 100).unwrap().value;
    assert!((loss - expected).abs() < 1e-9 * expected.abs().max(1.0), "{name} {parameters}: {loss}, not {expected}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn margins_are_their_formulas(case in cases(), m1 in 0.5f64..2.0, m2 in 0.0f64..1.5, m3 in 0.0f64..0.5) {
        check(&case, "normface", "", margin_loss(&case, f64::cos));
        check(&case, "arcface", &format!("margin = {m2:?}"), margin_loss(&case, combined(1.0, m2, 0.0)));
        check(&case, "subcenter_arcface", &format!("margin = {m2:?}"), margin_loss(&case, combined(1.0, m2, 0.0)));
        check(&case, "cosface", &format!("margin = {m3:?}"), margin_loss(&case, combined(1.0, 0.0, m3)));
        check(&case, "sphereface", &format!("margin = {m1:?}"), margin_loss(&case, combined(m1, 0.0, 0.0)));
        check(&case, "sphereface", "form = 'integer'", margin_loss(&case, integer(1000.0 / 13.0)));
        let all = format!("m1 = {m1:?}; m2 = {m2:?}; m3 = {m3:?}");
        check(&case, "combined", &all, margin_loss(&case, combined(m1, m2, m3)));
    }

    #[test]
    fn beyond_pi_is_as_chosen(case in cases(), m1 in 0.5f64..2.0, m2 in 0.0f64..1.5) {
        let all = format!("m1 = {m1:?}; m2 = {m2:?}; m3 = 0.1");
        let plain = |theta: f64| (m1 * theta + m2).cos() - 0.1;
        let easy = |theta: f64| if theta < PI / 2.0 { plain(theta) } else { theta.cos() };
        let clip = |theta: f64| (m1 * theta + m2).min(PI - 1e-3).cos() - 0.1;
        check(&case, "combined", &format!("{all}; beyond_pi = 'none'"), margin_loss(&case, plain));
        check(&case, "combined", &format!("{all}; beyond_pi = 'easy'"), margin_loss(&case, easy));
        check(&case, "combined", &format!("{all}; beyond_pi = 'clip'"), margin_loss(&case, clip));
    }

    #[test]
    fn warm_up_blends_the_margin_in(case in cases()) {
        let half = |theta: f64| 0.5 * theta.cos() + 0.5 * combined(1.0, 0.5, 0.0)(theta);
        check(&case, "arcface", "warmup_steps = 200", margin_loss(&case, half));
        check(&case, "arcface", "warmup_steps = 100", margin_loss(&case, combined(1.0, 0.5, 0.0)));
    }

    #[test]
    fn terms_are_their_formulas(case in cases()) {
        let mean = |f: &dyn Fn(&Vec<f64>, usize) -> f64| {
            let rows = case.embeddings.iter().zip(&case.labels);
            rows.map(|(x, label)| f(x, *label as usize)).sum::<f64>() / case.labels.len() as f64
        };
        let intra = mean(&|x, label| class_angle(x, &case.centers[label]) / PI);
        let normface = margin_loss(&case, f64::cos);
        check(&case, "intra", "", normface + intra);
        check(&case, "normface", "terms = [{ name = 'intra', weight = 2.5 }]", normface + 2.5 * intra);
        let dense = Case { centers: case.centers.iter().map(|k| k[..1].to_vec()).collect(), ..case };
        check(&dense, "inter", "", margin_loss(&dense, f64::cos) + inter(&dense));
    }

    #[test]
    fn triplets_are_averaged_as_mined(case in cases()) {
        let (mut semi_hard, mut all) = (Vec::new(), Vec::new());
        let count = case.labels.len();
        for (a, p, n) in (0..count * count * count).map(|i| (i / count / count, i / count % count, i % count)) {
            if a == p || case.labels[a] != case.labels[p] || case.labels[a] == case.labels[n] {
                continue;
            }
            let to = |other: usize| angle(&case.embeddings[a], &case.embeddings[other]);
            let loss = to(p) - to(n) + 0.35;
            all.push(loss.max(0.0));
            if to(p) < to(n) && to(n) < to(p) + 0.35 {
                semi_hard.push(loss);
            }
        }
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        check(&case, "triplet", "", mean(&semi_hard));
        check(&case, "triplet", "mining = 'all'", mean(&all));
    }
}
