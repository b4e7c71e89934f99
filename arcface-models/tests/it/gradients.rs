//! Gradients: by finite differences on single blocks, and that every trained parameter of every network has one.
//! Knows no formula.

use arcface_core::Role;
use arcface_core::candle::{DType, Device, Tensor};
use arcface_models::plan::{BatchNormSpec, ConvSpec, Plan, Spec};
use arcface_models::{Mode, Network, mobilefacenet, mobilefacenet_112x96, mobilefacenet_y1};

use crate::support::{TRAIN, distance, images, narrow_iresnet, network, noise, small_facenano, stir, values};

/// A weighted sum of what comes out, so that no symmetry hides a fault.
fn loss(network: &Network, images: &Tensor) -> Tensor {
    let out = network.forward(images, TRAIN).unwrap();
    let weights = noise(out.dims(), 9).to_dtype(out.dtype()).unwrap();
    (out * weights).unwrap().sum_all().unwrap()
}

fn scalar(tensor: &Tensor) -> f64 {
    values(tensor)[0]
}

/// Compares a few numbers of every trained parameter with central differences.
fn check_finite_differences(plan: &Plan) {
    let network = network(plan, DType::F64);
    stir(&network);
    let images = images(2, plan.input_size, DType::F64);
    let store = loss(&network, &images).backward().unwrap();
    for (name, parameter) in network.parameters().trained() {
        let gradient = values(store.get(&parameter.var).unwrap());
        let (shape, original) = (parameter.var.dims().to_vec(), values(&parameter.var));
        for index in (0..original.len()).step_by(original.len().div_ceil(3)) {
            let at = |offset: f64| {
                let mut moved = original.clone();
                moved[index] += offset;
                parameter.var.set(&Tensor::from_vec(moved, shape.as_slice(), &Device::Cpu).unwrap()).unwrap();
                scalar(&loss(&network, &images))
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            let close = (numeric - gradient[index]).abs() < 1e-6 * (1.0 + numeric.abs());
            assert!(close, "{name}[{index}]: {numeric} by differences, {} by the graph", gradient[index]);
        }
        parameter.var.set(&Tensor::from_vec(original, shape, &Device::Cpu).unwrap()).unwrap();
    }
}

#[test]
fn a_residual_block_by_finite_differences() {
    let mut plan = narrow_iresnet([1, 0, 0, 0], 8);
    plan.layers.truncate(4);
    check_finite_differences(&plan);
}

#[test]
fn a_grouped_bottleneck_by_finite_differences() {
    let layers = vec![
        Spec::Conv(ConvSpec::new("expand", 3, 4, 1, 1)),
        Spec::batch_norm("bn1", 4),
        Spec::prelu("prelu", 4),
        Spec::Conv(ConvSpec::new("depthwise", 4, 4, 3, 2).grouped(4)),
        Spec::Conv(ConvSpec::new("grouped", 4, 6, 3, 1).grouped(2)),
        Spec::batch_norm("bn2", 6),
    ];
    check_finite_differences(&Plan::new(layers, 6));
}

/// The tape's gradients are candle's, but for rounding where two meet.
fn check_tape(plan: &Plan) {
    let network = network(plan, DType::F64);
    stir(&network);
    let images = images(4, plan.input_size, DType::F64);
    let expected = loss(&network, &images).backward().unwrap();
    let pass = network.training_pass(&images, 0, 0).unwrap();
    let embeddings = pass.embeddings();
    let loss = (embeddings * noise(embeddings.dims(), 9)).unwrap().sum_all().unwrap();
    let got = pass.backward(&loss).unwrap();
    for (name, parameter) in network.parameters().trained() {
        let distance = distance(got.get(name).unwrap(), expected.get(&parameter.var).unwrap());
        assert!(distance < 1e-9, "{name}: {distance}");
    }
}

#[test]
fn the_tape_gives_the_gradients_of_candle() {
    check_tape(&narrow_iresnet([2, 1, 1, 1], 32));
    check_tape(&small_facenano(32));
}

#[test]
fn a_loss_of_something_else_is_refused() {
    let network = network(&small_facenano(16), DType::F64);
    let pass = network.training_pass(&images(2, 16, DType::F64), 0, 0).unwrap();
    let error = pass.backward(&noise(&[], 0)).unwrap_err().to_string();
    assert_eq!(error, "loss: expected a function of this pass's embeddings");
}

/// Every trained parameter has a finite gradient, which is not zero but for a bias that a batch norm takes away.
fn check_all_reached(plan: &Plan) {
    let network = network(plan, DType::F32);
    let pass = network.training_pass(&images(4, plan.input_size, DType::F32), 0, 0).unwrap();
    let weights = noise(pass.embeddings().dims(), 9).to_dtype(DType::F32).unwrap();
    let loss = (pass.embeddings() * weights).unwrap().sum_all().unwrap();
    let gradients = pass.backward(&loss).unwrap();
    for (name, parameter) in network.parameters().trained() {
        let gradient = gradients.get(name).unwrap_or_else(|| panic!("{name} has no gradient"));
        assert_eq!(gradient.dims(), parameter.var.dims(), "{name}");
        let values = values(gradient);
        assert!(values.iter().all(|x| x.is_finite()), "{name}");
        assert!(["fc.bias", "fc1.bias"].contains(&name) || values.iter().any(|x| 0.0 < x.abs()), "{name} is zero");
    }
}

#[test]
fn gradients_reach_every_trained_parameter() {
    for blocks in [[2, 2, 2, 2], [3, 4, 6, 3], [3, 4, 14, 3], [3, 13, 30, 3], [6, 26, 60, 6]] {
        check_all_reached(&narrow_iresnet(blocks, 32));
    }
    check_all_reached(&mobilefacenet(32, 8));
    check_all_reached(&mobilefacenet_y1(32, 8));
    check_all_reached(&mobilefacenet_112x96(32, 8));
    check_all_reached(&small_facenano(32));
}

#[test]
fn a_frozen_gamma_stays_out_of_the_graph_but_its_beta_does_not() {
    let norm = BatchNormSpec::new("bn", 3).frozen();
    let network = network(&Plan::new(vec![Spec::BatchNorm(norm)], 4), DType::F64);
    let store = loss(&network, &images(2, 4, DType::F64)).backward().unwrap();
    let parameter = |name: &str| network.parameters().get(name).unwrap();
    assert_eq!(parameter("bn.weight").role, Role::Frozen);
    assert!(store.get(&parameter("bn.weight").var).is_none());
    assert!(store.get(&parameter("bn.bias").var).is_some());
}

#[test]
fn a_frozen_stage_keeps_weights_and_statistics() {
    let plan = small_facenano(16);
    let freeze = ["stem".to_owned(), "stage1.down".to_owned()];
    let network = Network::new(&plan, &freeze, 7, DType::F64, &Device::Cpu).unwrap();
    let before = network.state_dict().unwrap();
    let store = loss(&network, &images(2, 16, DType::F64)).backward().unwrap();
    network.commit_statistics().unwrap();
    let after = network.state_dict().unwrap();
    for (name, parameter) in network.parameters().iter() {
        let frozen = name.starts_with("stem.") || name.starts_with("stage1.down.");
        assert_eq!(store.get(&parameter.var).is_some(), parameter.role.is_trained(), "{name}");
        assert!(!(frozen && parameter.role.is_trained()), "{name}");
        let moved = 0.0 < distance(&after[name], &before[name]);
        assert_eq!(moved, !frozen && parameter.role == Role::Statistic, "{name}");
    }
    let evaluated = network.forward(&images(1, 16, DType::F64), Mode::Eval).unwrap();
    assert!(values(&evaluated).iter().all(|x| x.is_finite()));
}
