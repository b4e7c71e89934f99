//! Terms and Adam against plain f64 loops over the formulas.
//! Knows nothing of how the crate goes about it.

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::schedule::Curve;
use arcface_core::testing::{normal, values};
use arcface_models::LayerStatistics;
use arcface_synth::prior::{l2, total_variation};
use arcface_synth::statistics::statistics_prior;
use arcface_synth::{Compared, Differences, Distance, Inversion, InversionConfig, StatisticsConfig, Targets};
use proptest::prelude::*;

use crate::support::{SIZE, backbone};

fn numbers(shape: &[usize], index: u64) -> Vec<f64> {
    values(&normal(shape, DType::F64, index).unwrap()).unwrap()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9 * (1.0 + expected.abs())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn total_variation_and_length(side in 1_usize..7, index in 0_u64..1000) {
        let image = numbers(&[3, side, side], index);
        let at = |c: usize, y: usize, x: usize| image[(c * side + y) * side + x];
        let mut neighbours = vec![];
        for (c, y, x) in (0..3).flat_map(|c| (0..side).flat_map(move |y| (0..side).map(move |x| (c, y, x)))) {
            neighbours.extend((y + 1 < side).then(|| at(c, y + 1, x) - at(c, y, x)));
            neighbours.extend((x + 1 < side).then(|| at(c, y, x + 1) - at(c, y, x)));
        }
        let mut gradient = vec![0.0; image.len()];
        let mut variation = |differences| total_variation(&image, side, differences, 1.0, &mut gradient);
        prop_assert!(close(variation(Differences::Squared), neighbours.iter().map(|d| d.powi(2)).sum()));
        prop_assert!(close(variation(Differences::Absolute), neighbours.iter().map(|d| d.abs()).sum()));
        let length = image.iter().map(|x| x * x).sum::<f64>().sqrt();
        prop_assert!(close(l2(&image, 1.0, &mut gradient), length));
    }

    #[test]
    fn the_prior_of_the_batch_norms(channels in 1_usize..5, index in 0_u64..1000, weight in 0.1..3.0) {
        let [batch, running] = [0, 1].map(|part| {
            let numbers = numbers(&[2 * channels], index + part);
            numbers.into_iter().map(|x| x.abs() + 0.1).collect::<Vec<f64>>()
        });
        let tensor = |values: &[f64]| Tensor::from_slice(values, (2, channels), &Device::Cpu).unwrap();
        let layer = LayerStatistics { name: "bn".to_owned(), batch: tensor(&batch), running: tensor(&running) };
        let (mut plain, mut relative) = (0.0, 0.0);
        for c in 0..channels {
            let (mean, running_mean) = (batch[c], running[c]);
            let (deviation, running_deviation) = (batch[channels + c].sqrt(), running[channels + c].sqrt());
            plain += (mean - running_mean).powi(2) + (deviation - running_deviation).powi(2);
            let of_mean = ((mean - running_mean) / running_deviation).powi(2);
            relative += (of_mean + (deviation / running_deviation - 1.0).powi(2)) / channels as f64;
        }
        for (compared, expected) in [(Compared::Values, plain), (Compared::Relative, relative)] {
            let config = StatisticsConfig { weight: 0.05, compared, layers: vec![weight] };
            let term = statistics_prior(std::slice::from_ref(&layer), &config).unwrap();
            prop_assert!(close(term.value, weight * expected));
        }
    }

    #[test]
    fn distances_from_targets(batch in 1_usize..4, index in 0_u64..1000) {
        let [embeddings, targets] = [0, 1].map(|part| normal(&[batch, 5], DType::F64, index + part).unwrap());
        let (found, aims) = (values(&embeddings).unwrap(), values(&targets).unwrap());
        let (mut euclidean, mut cosine) = (0.0, 0.0);
        for (f, t) in found.chunks(5).zip(aims.chunks(5)) {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            euclidean += f.iter().zip(t).map(|(f, t)| (f - t).powi(2)).sum::<f64>() / batch as f64;
            cosine += 2.0 * 5.0 * (1.0 - dot(f, t) / (dot(f, f) * dot(t, t)).sqrt()) / batch as f64;
        }
        for (distance, expected) in [(Distance::Euclidean, euclidean), (Distance::Cosine, cosine)] {
            let loss = Targets::new(&targets, distance).unwrap().loss(&embeddings).unwrap();
            prop_assert!(close(loss.to_scalar().unwrap(), expected));
        }
    }
}

/// Only the length counts, whose gradient is x/‖x‖, so that a few steps of Adam can be written down.
#[test]
fn a_few_steps_of_adam() {
    let only = InversionConfig { statistics: None, total_variation: 0.0, l2: 3.0, ..InversionConfig::paper() };
    let config = InversionConfig { steps: 2000, curve: Curve::Cosine { floor: 0.0 }, range: None, ..only };
    let mut inversion = Inversion::new(&config, 5, 2, SIZE).unwrap();
    let mut images: Vec<Vec<f64>> =
        values(&inversion.images().unwrap()).unwrap().chunks(3 * SIZE * SIZE).map(<[f64]>::to_vec).collect();
    let zeros = vec![vec![0.0; 3 * SIZE * SIZE]; 2];
    let (mut mean, mut square) = (zeros.clone(), zeros);
    let network = backbone(DType::F32);
    for step in 0..5 {
        inversion.step(network.network(), |embeddings| Ok(embeddings.sum_all()?.affine(1e-20, 0.0)?)).unwrap();
        let rate = 0.25 * (1.0 + (std::f64::consts::PI * f64::from(step) / 2000.0).cos()) / 2.0;
        for ((image, mean), square) in images.iter_mut().zip(&mut mean).zip(&mut square) {
            let length = image.iter().map(|x| x * x).sum::<f64>().sqrt();
            for ((x, m), v) in image.iter_mut().zip(mean).zip(square) {
                let gradient = 3.0 * *x / length;
                *m = 0.9 * *m + 0.1 * gradient;
                *v = 0.999 * *v + 0.001 * gradient * gradient;
                let (m_hat, v_hat) = (*m / (1.0 - 0.9_f64.powi(step + 1)), *v / (1.0 - 0.999_f64.powi(step + 1)));
                *x -= rate * m_hat / (v_hat.sqrt() + 1e-8);
            }
        }
    }
    for (found, expected) in values(&inversion.images().unwrap()).unwrap().iter().zip(images.concat()) {
        assert!((found - expected).abs() < 1e-3, "{found}, expected {expected}");
    }
}
