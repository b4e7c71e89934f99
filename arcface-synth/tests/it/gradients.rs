//! Gradients by finite differences: of every term, and of a whole step through everything that it does.
//! Knows no formula.

use std::path::Path;

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::checkpoint::{load_tensors, save_tensors};
use arcface_core::testing::{gradient_error, normal, values};
use arcface_models::LayerStatistics;
use arcface_synth::prior::{l2, total_variation};
use arcface_synth::statistics::statistics_prior;
use arcface_synth::{
    Compared, Differences, Distance, Inversion, InversionConfig, Reduction, StatisticsConfig, Targets,
};

use crate::support::{SIZE, backbone, check_gradient, everything, objective};

fn numbers(shape: &[usize], index: u64) -> Vec<f64> {
    values(&normal(shape, DType::F64, index).unwrap()).unwrap()
}

#[test]
fn of_the_terms_of_an_image() {
    let image = numbers(&[2, 4, 4], 0);
    let gradient_of = |term: &dyn Fn(&[f64], &mut [f64]) -> f64| {
        let mut gradient = vec![0.25; image.len()];
        term(&image, &mut gradient);
        // What was there before stays.
        gradient.iter().map(|gradient| (gradient - 0.25) / 0.5).collect::<Vec<f64>>()
    };
    let [absolute, squared] = [Differences::Absolute, Differences::Squared].map(|differences| {
        move |image: &[f64], gradient: &mut [f64]| total_variation(image, 4, differences, 0.5, gradient)
    });
    let length = |image: &[f64], gradient: &mut [f64]| l2(image, 0.5, gradient);
    for term in [&absolute as &dyn Fn(&[f64], &mut [f64]) -> f64, &squared, &length] {
        check_gradient(&image, &gradient_of(term), |image| term(image, &mut vec![0.0; image.len()]));
    }
}

#[test]
fn a_black_image_has_a_finite_gradient() {
    let mut gradient = [0.0; 12];
    assert!(l2(&[0.0; 12], 1.0, &mut gradient) < 1e-5);
    assert!(total_variation(&[0.0; 12], 2, Differences::Absolute, 1.0, &mut gradient) < 1e-12);
    assert!(gradient.iter().all(|x: &f64| x.abs() < 1e-12));
}

/// Two layers' statistics, the batch's from `at`: 3 and 2 channels, means and log variances.
fn layers(at: &[f64]) -> Vec<LayerStatistics> {
    let tensor = |values: Vec<f64>| Tensor::from_vec(values.clone(), (2, values.len() / 2), &Device::Cpu).unwrap();
    let layer = |batch: &[f64], index| {
        let running: Vec<f64> = numbers(&[batch.len()], index).into_iter().map(|x| x.abs() + 0.1).collect();
        LayerStatistics { name: "bn".to_owned(), batch: tensor(batch.to_vec()), running: tensor(running) }
    };
    vec![layer(&at[..6], 50), layer(&at[6..], 51)]
}

#[test]
fn of_the_prior_of_the_batch_norms() {
    let at: Vec<f64> = numbers(&[10], 0).into_iter().map(|x| x.abs() + 0.2).collect();
    for compared in [Compared::Values, Compared::Relative] {
        for weights in [vec![], vec![0.5, 2.0]] {
            let config = StatisticsConfig { weight: 1.0, compared, layers: weights };
            let term = |at: &[f64]| statistics_prior(&layers(at), &config).unwrap();
            let gradient: Vec<f64> = term(&at).gradients.iter().flat_map(|g| values(g).unwrap()).collect();
            check_gradient(&at, &gradient, |at| term(at).value);
        }
    }
}

#[test]
fn a_batch_without_deviation_has_a_finite_gradient() {
    let term = statistics_prior(&layers(&[0.0; 10]), &StatisticsConfig::paper()).unwrap();
    let gradient: Vec<f64> = term.gradients.iter().flat_map(|g| values(g).unwrap()).collect();
    assert!(term.value.is_finite() && gradient.iter().all(|x| x.is_finite()));
}

#[test]
fn of_the_distance_from_targets() {
    let [embeddings, targets] = [0, 1].map(|index| normal(&[3, 5], DType::F64, index).unwrap());
    for distance in [Distance::Euclidean, Distance::Cosine] {
        let targets = Targets::new(&targets, distance).unwrap();
        assert!(gradient_error(std::slice::from_ref(&embeddings), |x| targets.loss(&x[0])).unwrap() < 1e-6);
    }
}

/// The total loss of the step that follows what `path` holds, with pixel `index` moved by `by`.
fn total(config: &InversionConfig, path: &Path, index: usize, by: f32) -> f64 {
    let (mut tensors, metadata) = load_tensors(path).unwrap();
    let images = &tensors["images"];
    let mut pixels = images.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    pixels[index] += by;
    let moved = Tensor::from_vec(pixels, images.shape(), &Device::Cpu).unwrap();
    tensors.insert("images".to_owned(), moved);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moved.safetensors");
    save_tensors(&path, &tensors, &metadata).unwrap();
    let mut inversion = Inversion::resume(config, &path).unwrap();
    inversion.step(backbone(DType::F64).network(), objective).unwrap().total
}

#[test]
fn of_a_whole_step() {
    check_whole_step(&everything());
    let (reduction, differences) = (Reduction::Mean, Differences::Squared);
    check_whole_step(&InversionConfig { reduction, differences, ..everything() });
}

/// Enlarged, shifted, mirrored, with every term: Adam's mean of the first step is a tenth of the gradient.
fn check_whole_step(config: &InversionConfig) {
    let folder = tempfile::tempdir().unwrap();
    let [before, after] = ["before", "after"].map(|name| folder.path().join(name));
    let mut inversion = Inversion::new(config, 3, 2, SIZE).unwrap();
    inversion.save(&before).unwrap();
    inversion.step(backbone(DType::F64).network(), objective).unwrap();
    inversion.save(&after).unwrap();
    let gradient = values(&load_tensors(&after).unwrap().0["mean.0"]).unwrap();
    let largest = gradient.iter().fold(0.0, |largest: f64, x| largest.max(x.abs())) * 10.0;
    for index in (0..gradient.len()).step_by(29) {
        let step = 1e-4;
        let numeric =
            (total(config, &before, index, step) - total(config, &before, index, -step)) / f64::from(2.0 * step);
        let found = 10.0 * gradient[index];
        assert!((numeric - found).abs() < 1e-2 * largest, "{index}: {numeric} by differences, got {found}");
    }
}
