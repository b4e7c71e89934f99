//! What is said about bad input.

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::schedule::Curve;
use arcface_core::testing::normal;
use arcface_core::{Error, Result};
use arcface_models::Network;
use arcface_models::plan::{ConvSpec, Plan, Spec};
use arcface_synth::{Coarse, Distance, Inversion, InversionConfig, StatisticsConfig, Targets};

use crate::support::{SIZE, backbone, everything, objective};

fn text<T>(result: Result<T>) -> String {
    result.map(drop).as_ref().map_err(Error::to_string).unwrap_err()
}

fn of_config(change: impl Fn(&mut InversionConfig)) -> String {
    let mut config = InversionConfig::fast();
    change(&mut config);
    text(config.check())
}

#[test]
fn about_a_configuration() {
    insta::assert_snapshot!(of_config(|config| config.steps = 0), @"steps: expected 0 < steps, got 0");
    insta::assert_snapshot!(of_config(|config| config.learning_rate = f64::NAN), @"learning_rate: expected 0 <= learning_rate < ∞, got NaN");
    insta::assert_snapshot!(of_config(|config| config.curve = Curve::Cosine { floor: 2.0 }), @"floor: expected 0 <= floor <= 1, got 2");
    insta::assert_snapshot!(of_config(|config| config.betas = [0.9, 1.0]), @"betas: expected 0 <= beta < 1, got 1");
    insta::assert_snapshot!(of_config(|config| config.total_variation = -1.0), @"total_variation: expected 0 <= total_variation < ∞, got -1");
    insta::assert_snapshot!(of_config(|config| config.l2 = f64::INFINITY), @"l2: expected 0 <= l2 < ∞, got inf");
    insta::assert_snapshot!(of_config(|config| config.noise = -0.5), @"noise: expected 0 <= noise < ∞, got -0.5");
    insta::assert_snapshot!(of_config(|config| config.flip = 1.5), @"flip: expected 0 <= flip <= 1, got 1.5");
    insta::assert_snapshot!(of_config(|config| config.view_noise = -0.5), @"view_noise: expected 0 <= view_noise < ∞, got -0.5");
    insta::assert_snapshot!(of_config(|config| config.jitter = f64::NAN), @"jitter: expected 0 <= jitter < ∞, got NaN");
    insta::assert_snapshot!(of_config(|config| config.rotation = -3.0), @"rotation: expected 0 <= rotation < ∞, got -3");
    insta::assert_snapshot!(of_config(|config| config.zoom = 1.0), @"zoom: expected 0 <= zoom < 1, got 1");
    insta::assert_snapshot!(of_config(|config| config.levels = 0), @"levels: expected 1 <= levels, got 0");
    insta::assert_snapshot!(of_config(|config| config.range = Some([1.0, -1.0])), @"range: expected [least, largest] with least < largest, got [1.0, -1.0]");
    insta::assert_snapshot!(of_config(|config| config.coarse = vec![Coarse { factor: 1, share: 0.5 }]), @"coarse.factor: expected 2 <= factor, got 1");
    insta::assert_snapshot!(of_config(|config| config.coarse = vec![Coarse { factor: 2, share: 0.0 }]), @"coarse.share: expected 0 < share, got 0");
    insta::assert_snapshot!(of_config(|config| config.coarse = vec![Coarse { factor: 2, share: 1.0 }]), @"coarse: expected shares with a sum below 1, got 1");
    let weighted = |weight, layers| Some(StatisticsConfig { weight, layers, ..StatisticsConfig::paper() });
    insta::assert_snapshot!(of_config(|config| config.statistics = weighted(-1.0, vec![])), @"statistics.weight: expected 0 <= weight < ∞, got -1");
    insta::assert_snapshot!(of_config(|config| config.statistics = weighted(1.0, vec![1.0, -2.0])), @"statistics.layers: expected 0 <= weight < ∞ for every layer, got -2");
}

#[test]
fn about_the_batch() {
    insta::assert_snapshot!(text(Inversion::new(&InversionConfig::fast(), 0, 0, SIZE)), @"images: expected at least one to make, got 0");
    insta::assert_snapshot!(text(Inversion::new(&everything(), 0, 1, 6)), @"coarse.factor: expected at most half of the side 6, got 4");
}

#[test]
fn about_targets() {
    let new = |rows: Vec<Vec<f64>>| Targets::new(&Tensor::new(rows, &Device::Cpu).unwrap(), Distance::Cosine);
    insta::assert_snapshot!(text(new(vec![vec![1.0, 0.0], vec![0.0, 0.0]])), @"target 1: expected an embedding of finite length above 0, got 0");
    insta::assert_snapshot!(text(new(vec![vec![1.0, f64::NAN]])), @"target 0: expected an embedding of finite length above 0, got NaN");
    insta::assert_snapshot!(text(Targets::new(&normal(&[4], DType::F64, 0).unwrap(), Distance::Cosine)), @"targets: expected shape (B, D), got [4]");
    let of_others = new(vec![vec![1.0, 0.0]]).unwrap().loss(&normal(&[1, 3], DType::F64, 0).unwrap());
    insta::assert_snapshot!(text(of_others), @"targets: expected shape (B, D) of the images and the network = [1, 3], got [1, 2]");
}

#[test]
fn about_a_step() {
    let begun = |config: &InversionConfig| Inversion::new(config, 0, 2, SIZE).unwrap();
    let (backbone, config) = (backbone(DType::F32), everything());
    let elsewhere = |_: &Tensor| Ok(Tensor::new(1f32, &Device::Cpu)?);
    insta::assert_snapshot!(text(begun(&config).step(backbone.network(), elsewhere)), @"objective: expected a function of the embeddings that it was given");
    let infinite = |embeddings: &Tensor| Ok(embeddings.sum_all()?.affine(f64::INFINITY, 0.0)?);
    insta::assert_snapshot!(text(begun(&config).step(backbone.network(), infinite)), @"objective: expected a finite value in step 0 (a lower learning rate may help), got -inf");
    let mut other_size = Inversion::new(&config, 0, 2, 16).unwrap();
    insta::assert_snapshot!(text(other_size.step(backbone.network(), objective)), @"images: expected shape (B, 3, 32, 32), got [2, 3, 16, 16]");
    let weights = StatisticsConfig { layers: vec![1.0], ..StatisticsConfig::paper() };
    let config = InversionConfig { statistics: Some(weights), ..config };
    insta::assert_snapshot!(text(begun(&config).step(backbone.network(), objective)), @"statistics.layers: expected 9 weights, one for each batch norm, or none, got 1");
}

#[test]
fn about_a_network_without_batch_norm() {
    let plan = Plan::new(vec![Spec::Conv(ConvSpec::global_depthwise("conv", 3, [SIZE; 2]))], SIZE);
    let network = Network::new(&plan, &[], 0, DType::F32, &Device::Cpu).unwrap();
    let objective = |embeddings: &Tensor| Ok(embeddings.sqr()?.mean_all()?);
    let with_prior = Inversion::new(&everything(), 0, 2, SIZE).unwrap().step(&network, objective);
    insta::assert_snapshot!(text(with_prior), @"batch-norm prior: expected a network with batch norms, got one without any, or with all of them folded into its convolutions: there are no statistics to come near to; go without the prior");
    let without = InversionConfig { statistics: None, ..everything() };
    let losses = Inversion::new(&without, 0, 2, SIZE).unwrap().step(&network, objective).unwrap();
    assert!(0.0 < losses.total && losses.statistics <= 0.0);
}

#[test]
fn about_a_saved_inversion() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inversion");
    let hidden = |message: String| message.replace(&path.display().to_string(), "FILE");
    Inversion::new(&everything(), 0, 2, SIZE).unwrap().save(&path).unwrap();
    insta::assert_snapshot!(hidden(text(Inversion::resume(&InversionConfig::paper(), &path))), @"FILE: tensor `images`: expected shape [2, 3, 32, 32], got [2, 3, 8, 8]");
    arcface_core::checkpoint::save_tensors(&path, &[].into(), &[].into()).unwrap();
    insta::assert_snapshot!(hidden(text(Inversion::resume(&everything(), &path))), @"FILE: expected a saved inversion, got no number `seed`");
}
