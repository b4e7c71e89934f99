//! What holds for every inversion: it gets nearer, and the same seed gives the same bytes, on any threads, stopped or not.
//! Knows no expected number.

use arcface_core::candle::{DType, Tensor};
use arcface_core::schedule::Curve;
use arcface_core::testing::{bits, values, with_threads};
use arcface_synth::{Inversion, InversionConfig, Losses, Reduction, StatisticsConfig};

use crate::support::{SIZE, backbone, everything, objective};

fn run(inversion: &mut Inversion, steps: u64) -> Losses {
    let backbone = backbone(DType::F32);
    (0..steps).map(|_| inversion.step(backbone.network(), objective).unwrap()).last().unwrap()
}

/// Any number of steps, none too.
fn advance(inversion: &mut Inversion, steps: u64) {
    if 0 < steps {
        run(inversion, steps);
    }
}

fn begun(seed: u64) -> Inversion {
    Inversion::new(&everything(), seed, 3, SIZE).unwrap()
}

fn bytes(images: &Tensor) -> Vec<u64> {
    bits(images).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_threads() {
    let made = |seed, threads| {
        with_threads(threads, || {
            let mut inversion = begun(seed);
            run(&mut inversion, 8);
            bytes(&inversion.images().unwrap())
        })
        .unwrap()
    };
    let one = made(0, 1);
    assert!(one == made(0, 2) && one == made(0, 3) && one != made(1, 1));
}

#[test]
fn one_that_was_stopped_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inversion.safetensors");
    let mut whole = begun(0);
    run(&mut whole, 8);
    // Before any step, within a resolution, at the end of one, and when all is done.
    for stopped in [0, 1, 2, 3, 4, 7, 8] {
        let mut inversion = begun(0);
        advance(&mut inversion, stopped);
        inversion.save(&path).unwrap();
        let mut resumed = Inversion::resume(&everything(), &path).unwrap();
        assert_eq!((resumed.steps_done(), resumed.is_done()), (stopped, stopped == 8));
        advance(&mut resumed, 8 - stopped);
        assert_eq!(bytes(&resumed.images().unwrap()), bytes(&whole.images().unwrap()), "stopped after {stopped}");
    }
}

#[test]
fn every_term_that_is_alone_gets_smaller() {
    let none = InversionConfig {
        steps: 60,
        learning_rate: 0.02,
        curve: Curve::Constant,
        statistics: None,
        total_variation: 0.0,
        l2: 0.0,
        jitter: 0.0,
        rotation: 0.0,
        zoom: 0.0,
        ..InversionConfig::paper()
    };
    let with = |change: &dyn Fn(&mut InversionConfig), term: fn(&Losses) -> f64| {
        let mut config = none.clone();
        change(&mut config);
        let mut inversion = Inversion::new(&config, 0, 2, SIZE).unwrap();
        let first = run(&mut inversion, 1);
        let last = run(&mut inversion, 59);
        assert!(term(&last) < 0.8 * term(&first), "{first:?}, {last:?}");
    };
    with(&|_| (), |losses| losses.objective);
    with(&|config| config.statistics = everything().statistics, |losses| losses.total);
    with(&|config| config.total_variation = 10.0, |losses| losses.total_variation);
    with(&|config| config.l2 = 1e4, |losses| losses.l2);
}

#[test]
fn the_total_is_the_weighted_sum() {
    for (reduction, images) in [(Reduction::Mean, 1.0), (Reduction::Sum, 3.0)] {
        let config = InversionConfig { reduction, ..everything() };
        let losses = run(&mut Inversion::new(&config, 0, 3, SIZE).unwrap(), 1);
        let weight = config.statistics.unwrap().weight;
        let of_image = losses.objective + config.total_variation * losses.total_variation + config.l2 * losses.l2;
        let expected = images * of_image + weight * losses.statistics;
        assert!((losses.total - expected).abs() < 1e-12 * expected);
    }
}

/// Adam does not mind how long a gradient is.
#[test]
fn the_sum_of_three_images_is_their_mean_with_a_third_of_the_statistics() {
    let made = |reduction, share: f64| {
        let statistics =
            everything().statistics.map(|prior| StatisticsConfig { weight: share * prior.weight, ..prior });
        let config = InversionConfig { reduction, statistics, ..everything() };
        let mut inversion = Inversion::new(&config, 0, 3, SIZE).unwrap();
        run(&mut inversion, 3);
        values(&inversion.images().unwrap()).unwrap()
    };
    let farthest =
        |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max);
    let sum = made(Reduction::Sum, 1.0);
    assert!(farthest(&sum, &made(Reduction::Mean, 1.0 / 3.0)) < 1e-3);
    assert!(1e-2 < farthest(&sum, &made(Reduction::Mean, 1.0)));
}

#[test]
fn pixels_stay_within_the_range() {
    let mut inversion = begun(0);
    run(&mut inversion, 3);
    assert!(values(&inversion.images().unwrap()).unwrap().iter().all(|x| -1.0 <= *x && *x <= 1.0));
}
