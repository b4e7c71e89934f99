//! Whole networks against a second interpreter: torch's layouts, (B, C, H, W), candle's own operations in f64.
//! Knows the operators' layout only through the state dict.

use std::collections::BTreeMap;

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_models::plan::{BatchNormSpec, ConvSpec, LinearSpec, Plan, Spec};
use arcface_models::{Mode, Network, mobilefacenet, mobilefacenet_112x96, mobilefacenet_y1};

use crate::support::{TRAIN, distance, images, narrow_iresnet, network, noise, small_facenano, stir};

/// Parameters by torch's names, in torch's layouts.
type State = BTreeMap<String, Var>;

fn forward(specs: &[Spec], state: &State, x: &Tensor, mode: Mode) -> Tensor {
    specs.iter().fold(x.clone(), |x, spec| layer(spec, state, &x, mode))
}

fn layer(spec: &Spec, state: &State, x: &Tensor, mode: Mode) -> Tensor {
    match spec {
        Spec::Conv(conv) => {
            let weight = &state[&format!("{}.weight", conv.name)];
            x.conv2d(weight, conv.padding, conv.stride, 1, conv.groups).unwrap()
        }
        Spec::BatchNorm(norm) => batch_norm(norm, state, x, mode),
        Spec::Prelu(prelu) => {
            let slope = per_channel(&state[&format!("{}.weight", prelu.name)], x);
            let positive = x.relu().unwrap();
            (&positive + (x - &positive).unwrap().broadcast_mul(&slope).unwrap()).unwrap()
        }
        Spec::Dropout(_) => x.clone(),
        Spec::Linear(linear) => fully_connected(linear, state, x),
        Spec::Residual { main, shortcut } => {
            (forward(main, state, x, mode) + forward(shortcut, state, x, mode)).unwrap()
        }
    }
}

fn batch_norm(norm: &BatchNormSpec, state: &State, x: &Tensor, mode: Mode) -> Tensor {
    let of = |leaf: &str| per_channel(&state[&format!("{}.{leaf}", norm.name)], x);
    let (mean, variance) = match mode {
        Mode::Eval => (of("running_mean"), of("running_var")),
        Mode::Train { .. } | Mode::Repeat { .. } => statistics(x),
    };
    let root = (variance + norm.eps).unwrap().sqrt().unwrap();
    let normalised = x.broadcast_sub(&mean).unwrap().broadcast_div(&root).unwrap();
    normalised.broadcast_mul(&of("weight")).unwrap().broadcast_add(&of("bias")).unwrap()
}

fn statistics(x: &Tensor) -> (Tensor, Tensor) {
    let axes: &[usize] = if x.rank() == 4 { &[0, 2, 3] } else { &[0] };
    let mean = x.mean_keepdim(axes).unwrap();
    let variance = x.broadcast_sub(&mean).unwrap().sqr().unwrap().mean_keepdim(axes).unwrap();
    (mean, variance)
}

fn channels_last(x: &Tensor) -> Tensor {
    if x.rank() == 4 { x.permute((0, 2, 3, 1)).unwrap() } else { x.clone() }
}

fn per_channel(values: &Tensor, x: &Tensor) -> Tensor {
    let shape: &[usize] = if x.rank() == 4 { &[1, values.dims()[0], 1, 1] } else { &[1, values.dims()[0]] };
    values.reshape(shape).unwrap()
}

fn fully_connected(linear: &LinearSpec, state: &State, x: &Tensor) -> Tensor {
    let weight = state[&format!("{}.weight", linear.name)].flatten_from(1).unwrap();
    let product = x.flatten_from(1).unwrap().matmul(&weight.t().unwrap()).unwrap();
    match state.get(&format!("{}.bias", linear.name)) {
        Some(bias) => product.broadcast_add(bias).unwrap(),
        None => product,
    }
}

fn state(plan: &Plan, network: &Network) -> State {
    let state = network.state_dict().unwrap();
    let named = plan.entries().into_iter().map(|entry| (entry.name, state[&entry.file_name].clone()));
    let floats = named.filter(|(_, tensor)| tensor.dtype() == DType::F64);
    floats.map(|(name, tensor)| (name, Var::from_tensor(&tensor).unwrap())).collect()
}

/// Forward in both modes and the gradient of every trained parameter.
fn check(plan: &Plan, batch: usize) {
    let network = network(plan, DType::F64);
    stir(&network);
    let state = state(plan, &network);
    let images = images(batch, plan.input_size, DType::F64);
    let seen = images.narrow(3, plan.cut, plan.image_size()[1]).unwrap();
    for mode in [Mode::Eval, TRAIN] {
        let got = network.forward(&images, mode).unwrap();
        let expected = channels_last(&forward(&plan.layers, &state, &seen, mode));
        assert!(distance(&got, &expected) < 1e-10, "{mode:?}: {}", distance(&got, &expected));
    }
    check_gradients(plan, &network, &state, &seen);
}

fn check_gradients(plan: &Plan, network: &Network, state: &State, images: &Tensor) {
    let backward = |embeddings: Tensor| {
        let weights = noise(embeddings.dims(), 9);
        (embeddings * weights).unwrap().sum_all().unwrap().backward().unwrap()
    };
    let got = backward(network.forward(images, TRAIN).unwrap());
    let expected = backward(channels_last(&forward(&plan.layers, state, images, TRAIN)));
    let entries = plan.entries();
    for (name, parameter) in network.parameters().trained() {
        let layout = entries.iter().find(|entry| entry.name == name).unwrap().layout;
        let got = layout.to_torch(got.get(&parameter.var).unwrap()).unwrap();
        let distance = distance(&got, expected.get(&state[name]).unwrap());
        assert!(distance < 1e-8, "{name}: {distance}");
    }
}

#[test]
fn iresnet18_of_few_channels() {
    check(&narrow_iresnet([2, 2, 2, 2], 32), 3);
}

#[test]
fn facenano() {
    check(&small_facenano(32), 3);
}

/// Its first six parts: every kind of block, and the head on them.
#[test]
fn mobilefacenet_blocks() {
    let mut plan = mobilefacenet(32, 8);
    plan.layers.truncate(14);
    check(&plan, 2);
}

/// The stem, the first bottlenecks and residuals of both older networks, and their embeddings.
#[test]
fn older_mobilefacenets() {
    for mut plan in [mobilefacenet_y1(32, 8), mobilefacenet_112x96(48, 8)] {
        let embedding = plan.layers.split_off(plan.layers.len() - 7);
        check(&plan_of(&plan, &plan.layers[..17]), 2);
        // The embedding takes a map of its own, 512 channels in two or three rows.
        check(
            &plan_of(
                &plan,
                &[vec![Spec::Conv(ConvSpec { padding: 0, ..ConvSpec::new("widen", 3, 128, 16, 16) })], embedding]
                    .concat(),
            ),
            3,
        );
    }
}

fn plan_of(plan: &Plan, layers: &[Spec]) -> Plan {
    Plan { layers: layers.to_vec(), ..plan.clone() }
}

#[test]
fn evaluation_builds_no_graph() {
    let plan = small_facenano(16);
    let network = network(&plan, DType::F64);
    assert!(!network.forward(&images(1, 16, DType::F64), Mode::Eval).unwrap().track_op());
    let image = Var::from_tensor(&images(1, 16, DType::F64)).unwrap();
    let store = network.forward(&image, Mode::Eval).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(store.get(&image).is_some(), "the image itself may ask for a gradient");
}

#[test]
fn running_statistics_follow_torch() {
    let plan = Plan::new(vec![Spec::batch_norm("bn", 3)], 4);
    let network = network(&plan, DType::F64);
    stir(&network);
    let running = |leaf: &str| network.parameters().get(&format!("bn.{leaf}")).unwrap().var.copy().unwrap();
    let (old_mean, old_variance) = (running("running_mean"), running("running_var"));
    let batches = [images(2, 4, DType::F64), images(2, 4, DType::F64).affine(2.0, 0.5).unwrap()];
    for batch in &batches {
        network.forward(batch, TRAIN).unwrap();
    }
    assert!(distance(&running("running_mean"), &old_mean) <= 0.0, "nothing moves before the commit");
    network.commit_statistics().unwrap();
    network.commit_statistics().unwrap();
    let [first, second] = batches.map(|batch| statistics(&batch));
    // 32 values per channel; the mean over the two micro-batches counts as one batch.
    let mix = |old: &Tensor, a: &Tensor, b: &Tensor, unbias: f64| {
        let batch = ((a + b).unwrap().flatten_all().unwrap() * (0.1 * 0.5 * unbias)).unwrap();
        ((old * 0.9).unwrap() + batch).unwrap()
    };
    assert!(distance(&running("running_mean"), &mix(&old_mean, &first.0, &second.0, 1.0)) < 1e-12);
    assert!(distance(&running("running_var"), &mix(&old_variance, &first.1, &second.1, 32.0 / 31.0)) < 1e-12);
    let count = network.state_dict().unwrap()["bn.num_batches_tracked"].to_scalar::<i64>().unwrap();
    assert_eq!(count, 1, "the second commit had nothing to fold in");
}

#[test]
fn discarded_statistics_leave_no_trace() {
    let network = network(&small_facenano(16), DType::F32);
    let before = network.parameters().get("stem.bn.running_mean").unwrap().var.copy().unwrap();
    network.forward(&images(2, 16, DType::F32), TRAIN).unwrap();
    network.discard_statistics();
    network.commit_statistics().unwrap();
    assert!(distance(network.parameters().get("stem.bn.running_mean").unwrap().var.as_tensor(), &before) <= 0.0);
}

#[test]
fn zero_images_make_zero_before_the_first_bias() {
    let network = network(&small_facenano(16), DType::F32);
    let images = Tensor::zeros((2, 3, 16, 16), DType::F32, &Device::Cpu).unwrap();
    let embeddings = network.forward(&images, Mode::Eval).unwrap();
    assert!(distance(&embeddings.get(0).unwrap(), &embeddings.get(1).unwrap()) <= 0.0);
}
