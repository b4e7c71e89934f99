//! The pass to the images: by finite differences, and against the ordinary pass. Knows no formula.

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::ops::channel_statistics;
use arcface_core::testing::{bits, with_threads};
use arcface_models::plan::{ConvSpec, Plan, Spec};
use arcface_models::{
    ImagePass, LayerStatistics, Mode, Network, Watch, mobilefacenet, mobilefacenet_112x96, mobilefacenet_y1,
};

use crate::support::{distance, images, narrow_iresnet, network, noise, small_facenano, stir, values};

/// One network of every architecture, small.
fn plans() -> [Plan; 5] {
    let [iresnet, facenano] = [narrow_iresnet([2, 1, 1, 1], 32), small_facenano(32)];
    [iresnet, facenano, mobilefacenet(32, 8), mobilefacenet_y1(32, 8), mobilefacenet_112x96(32, 8)]
}

fn stirred(plan: &Plan, dtype: DType) -> Network {
    let network = network(plan, dtype);
    stir(&network);
    network
}

/// Weights for a sum, small where a network has many statistics.
fn weights(like: &Tensor) -> Tensor {
    noise(like.dims(), 9).to_dtype(like.dtype()).unwrap()
}

fn weighted(tensor: &Tensor) -> f64 {
    values(&(tensor * weights(tensor)).unwrap()).iter().sum()
}

fn batches(pass: &ImagePass) -> impl Iterator<Item = &Tensor> {
    pass.statistics().iter().map(|layer| &layer.batch)
}

/// A weighted sum of embeddings and statistics.
fn loss(pass: &ImagePass) -> f64 {
    weighted(pass.embeddings()) + batches(pass).map(weighted).sum::<f64>()
}

/// The gradient of [`loss`] by the images.
fn gradient(pass: ImagePass) -> Tensor {
    let by_statistics: Vec<Tensor> = batches(&pass).map(weights).collect();
    let by_embeddings = weights(pass.embeddings());
    pass.backward(&by_embeddings, &by_statistics).unwrap()
}

fn check_finite_differences(network: &Network, watch: Watch) {
    let size = network.input_size();
    let images = images(2, size, DType::F64);
    let at = values(&images);
    let pass = |values: &[f64]| {
        let images = Tensor::from_slice(values, images.dims(), &Device::Cpu).unwrap();
        network.image_pass(&images, watch).unwrap()
    };
    let gradient = values(&gradient(pass(&at)));
    let largest = gradient.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    // A few pixels of both images and every colour, a step in which hardly an activation crosses its kink.
    let step = 1e-5;
    let rounding = 1e-13 * loss(&pass(&at)).abs() / step;
    for index in (0..at.len()).step_by(at.len() / 23) {
        let moved = |by: f64| {
            let mut at = at.clone();
            at[index] += by;
            loss(&pass(&at))
        };
        let numeric = (moved(step) - moved(-step)) / (2.0 * step);
        let close = (numeric - gradient[index]).abs() < 1e-4 * largest + rounding;
        assert!(close, "{watch:?}, {index}: {numeric} by differences, {} by the pass", gradient[index]);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for plan in plans() {
        let network = stirred(&plan, DType::F64);
        check_finite_differences(&network, Watch::Statistics);
        check_finite_differences(&network, Watch::Nothing);
    }
}

#[test]
fn embeddings_are_those_of_evaluation() {
    for plan in plans() {
        for dtype in [DType::F32, DType::F64] {
            let network = stirred(&plan, dtype);
            let images = images(3, 32, dtype);
            let expected = network.forward(&images, Mode::Eval).unwrap();
            for watch in [Watch::Statistics, Watch::Nothing] {
                let pass = network.image_pass(&images, watch).unwrap();
                assert_eq!(bits(pass.embeddings()).unwrap(), bits(&expected).unwrap());
            }
        }
    }
}

#[test]
fn statistics_stand_beside_those_of_training_for_every_batch_norm() {
    for plan in plans() {
        let network = stirred(&plan, DType::F64);
        let pass = network.image_pass(&images(3, 32, DType::F64), Watch::Statistics).unwrap();
        let is_mean = |name: &&str| name.ends_with(".running_mean");
        let count = network.parameters().iter().map(|(name, _)| name).filter(is_mean).count();
        assert_eq!(pass.statistics().len(), count);
        for LayerStatistics { name, batch, running } in pass.statistics() {
            let entry = |leaf: &str| values(&network.parameters().get(&format!("{name}.{leaf}")).unwrap().var);
            assert_eq!(values(running), [entry("running_mean"), entry("running_var")].concat());
            assert_eq!(batch.dims(), running.dims());
        }
    }
}

#[test]
fn the_first_statistics_are_those_of_the_first_convolution() {
    let network = stirred(&small_facenano(32), DType::F64);
    let images = images(3, 32, DType::F64);
    let first = Plan::new(vec![Spec::Conv(ConvSpec::new("stem.conv", 3, 16, 3, 2))], 32);
    let alone = self::network(&first, DType::F64);
    let [own, whole] = [&alone, &network].map(|network| &network.parameters().get("stem.conv.weight").unwrap().var);
    own.set(whole).unwrap();
    let expected = channel_statistics(&alone.forward(&images, Mode::Eval).unwrap()).unwrap();
    let pass = network.image_pass(&images, Watch::Statistics).unwrap();
    assert!(distance(&pass.statistics()[0].batch, &expected) < 1e-12);
}

#[test]
fn what_a_network_does_not_see_has_no_gradient() {
    let network = stirred(&mobilefacenet_112x96(112, 8), DType::F32);
    let gradient = gradient(network.image_pass(&images(1, 112, DType::F32), Watch::Nothing).unwrap());
    let columns = values(&gradient.abs().unwrap().sum((0, 1, 2)).unwrap());
    for (column, sum) in columns.iter().enumerate() {
        assert_eq!(0.0 < *sum, (8..104).contains(&column), "column {column}");
    }
}

#[test]
fn one_and_more_threads_give_the_same_bytes() {
    for plan in plans() {
        let network = stirred(&plan, DType::F32);
        let images = images(5, 32, DType::F32);
        let pass = || bits(&gradient(network.image_pass(&images, Watch::Statistics).unwrap())).unwrap();
        let with = |threads| with_threads(threads, pass).unwrap();
        assert!(with(1) == with(2) && with(1) == with(3));
    }
}

#[test]
fn blocks_that_are_recomputed_in_training_change_nothing() {
    let mut network = stirred(&small_facenano(32), DType::F64);
    let images = images(2, 32, DType::F64);
    let pass = |network: &Network| gradient(network.image_pass(&images, Watch::Statistics).unwrap());
    let before = pass(&network);
    network.recompute(&["all".to_owned()]).unwrap();
    assert_eq!(bits(&pass(&network)).unwrap(), bits(&before).unwrap());
}

#[test]
fn a_network_without_batch_norm_has_no_prior_but_a_gradient() {
    let plan = Plan::new(vec![Spec::Conv(ConvSpec::new("conv", 3, 4, 3, 2)), Spec::prelu("prelu", 4)], 8);
    let network = network(&plan, DType::F64);
    let error = network.image_pass(&images(2, 8, DType::F64), Watch::Statistics).map(drop).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"batch-norm prior: expected a network with batch norms, got one without any, or with all of them folded into its convolutions: there are no statistics to come near to; go without the prior");
    check_finite_differences(&network, Watch::Nothing);
}

#[test]
fn messages() {
    let network = stirred(&small_facenano(32), DType::F32);
    let pass = || network.image_pass(&images(2, 32, DType::F32), Watch::Statistics).unwrap();
    let text = |by_embeddings: &Tensor, by_statistics: &[Tensor]| {
        pass().backward(by_embeddings, by_statistics).unwrap_err().to_string()
    };
    let embeddings = pass().embeddings().clone();
    insta::assert_snapshot!(text(&embeddings.get(0).unwrap(), &[]), @"gradient of the embeddings: expected shape (B, D) = [2, 16], got [16]");
    insta::assert_snapshot!(text(&embeddings, std::slice::from_ref(&embeddings)), @"gradients of batch statistics: expected 9 of them, one for each batch norm, or none, got 1");
}
