//! Networks over every device: what a CUDA device works out is what the CPU does in f64.
//! Where there is no device the tests say so and pass.

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::device::{Choice, Opened, open};
use arcface_core::{Gradients, Result};
use arcface_models::plan::{ConvSpec, Plan, PreluSpec, Spec};
use arcface_models::{Network, Watch};

use crate::support::{TRAIN, distance, images, narrow_iresnet, noise, small_facenano, stir, values};

const BATCH: usize = 6;
const SIZE: usize = 32;

/// A device and what is between the layers there.
#[derive(Debug, Clone)]
struct Side {
    device: Device,
    activations: DType,
}

/// Both types of the first CUDA device, if there is one.
#[allow(clippy::print_stdout, reason = "so that nobody takes it for a pass")]
fn sides() -> Vec<Side> {
    match open(Choice::Cuda(0)) {
        Ok(Opened { device, .. }) => {
            [DType::F32, DType::BF16].map(|activations| Side { device: device.clone(), activations }).into()
        }
        Err(error) => {
            println!("skipped: no CUDA device ({error})");
            vec![]
        }
    }
}

impl Side {
    fn network(&self, plan: &Plan) -> Network {
        let network = Network::new(plan, &[], 7, DType::F32, &self.device).unwrap();
        network.with_activations(self.activations).unwrap()
    }

    fn brought(&self, tensor: &Tensor) -> Tensor {
        tensor.to_dtype(DType::F32).unwrap().to_device(&self.device).unwrap()
    }

    fn images(&self) -> Tensor {
        self.brought(&images(BATCH, SIZE, DType::F64))
    }

    /// That `got` are the `expected` numbers, as far as the type of the activations goes.
    fn check(&self, what: &str, got: &Tensor, expected: &Tensor) {
        let got = got.to_device(&Device::Cpu).unwrap();
        if self.activations == DType::F32 {
            let distance = distance(&got, expected);
            assert!(distance < 1e-4, "{what}: {distance} in f32");
        } else {
            let cosine = cosine(&values(&got), &values(expected));
            assert!(0.99 < cosine, "{what}: cosine {cosine} in bf16");
        }
    }
}

/// That the statistics of `got` are those of `expected`; means may be nothing but rounding.
fn check_statistics(side: &Side, got: &Network, expected: &Network) {
    let expected = expected.state_dict().unwrap();
    for (entry, got) in got.state_dict().unwrap() {
        assert!(got.device().is_cpu(), "{entry}");
        if !entry.contains("running") && !entry.contains("tracked") {
            continue;
        }
        let (got, expected) = (values(&got), values(&expected[&entry]));
        let differences: Vec<f64> = got.iter().zip(&expected).map(|(got, expected)| got - expected).collect();
        let distance = largest(&differences) / largest(&expected).max(0.1);
        let tolerance = if side.activations == DType::F32 { 1e-5 } else { 2e-2 };
        assert!(distance < tolerance, "{entry}: {distance} in {:?}", side.activations);
    }
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn reference(plan: &Plan) -> Network {
    Network::new(plan, &[], 7, DType::F64, &Device::Cpu).unwrap()
}

/// Depthwise layers, and a shortcut around them.
fn depthwise() -> Plan {
    let prelu = |name: &str, channels| Spec::Prelu(PreluSpec { name: name.into(), channels });
    let grouped = ConvSpec { groups: 8, ..ConvSpec::new("middle", 8, 8, 3, 1) };
    let main = vec![Spec::Conv(grouped), Spec::batch_norm("middle_bn", 8), prelu("middle_prelu", 8)];
    let layers = vec![
        Spec::Conv(ConvSpec::new("first", 3, 8, 3, 2)),
        Spec::batch_norm("first_bn", 8),
        prelu("first_prelu", 8),
        Spec::Residual { main, shortcut: vec![] },
        Spec::Conv(ConvSpec::global_depthwise("last", 8, [SIZE / 2; 2])),
        Spec::batch_norm("last_bn", 8),
    ];
    Plan::new(layers, SIZE)
}

fn plans() -> Vec<(&'static str, Plan)> {
    vec![
        ("facenano", small_facenano(SIZE)),
        ("iresnet", narrow_iresnet([1, 2, 1, 1], SIZE)),
        ("depthwise", depthwise()),
    ]
}

/// Embeddings and gradients of one step, towards other embeddings.
fn step(network: &Network, images: &Tensor) -> Result<(Tensor, Gradients)> {
    let pass = network.training_pass(images, 3, 5)?;
    let embeddings = pass.embeddings().detach();
    let aim = noise(embeddings.dims(), 9).to_dtype(embeddings.dtype())?.to_device(embeddings.device())?;
    let loss = (pass.embeddings() - aim)?.sqr()?.sum_all()?;
    Ok((embeddings, pass.backward(&loss)?))
}

#[test]
fn embeddings_are_those_of_the_cpu() {
    for side in sides() {
        for (name, plan) in plans() {
            let (network, reference) = (side.network(&plan), reference(&plan));
            stir(&network);
            stir(&reference);
            let expected = reference.forward(&images(BATCH, SIZE, DType::F64), arcface_models::Mode::Eval).unwrap();
            let got = network.forward(&side.images(), arcface_models::Mode::Eval).unwrap();
            assert_eq!(got.dtype(), DType::F32);
            side.check(name, &got, &expected);
            let inference = network.inference().unwrap();
            assert!(inference.device().same_device(&side.device));
            side.check(&format!("{name} made ready"), &inference.forward(&side.images()).unwrap(), &expected);
        }
    }
}

#[test]
fn a_training_step_is_that_of_the_cpu() {
    for side in sides() {
        for (name, plan) in plans() {
            let (network, reference) = (side.network(&plan), reference(&plan));
            let (expected, expected_gradients) = step(&reference, &images(BATCH, SIZE, DType::F64)).unwrap();
            let (got, gradients) = step(&network, &side.images()).unwrap();
            side.check(name, &got, &expected);
            check_gradients(&side, name, &gradients, &expected_gradients);
            network.commit_statistics().unwrap();
            reference.commit_statistics().unwrap();
            check_statistics(&side, &network, &reference);
        }
    }
}

/// One by one in f32; in bf16 the direction of all of them, and that each is f32.
fn check_gradients(side: &Side, name: &str, got: &Gradients, expected: &Gradients) {
    // A batch norm takes away what some biases add: their gradients are nothing but rounding.
    let least = 1e-3 * expected.iter().map(|(_, gradient)| largest(&values(gradient))).fold(0.0, f64::max);
    let mut both = [vec![], vec![]];
    for (parameter, expected) in expected.iter() {
        let got = got.get(parameter).unwrap().to_device(&Device::Cpu).unwrap();
        assert_eq!(got.dtype(), DType::F32, "{name} {parameter}");
        let (got, expected) = (values(&got), values(expected));
        let differences: Vec<f64> = got.iter().zip(&expected).map(|(got, expected)| got - expected).collect();
        let distance = largest(&differences) / largest(&expected).max(least);
        assert!(distance < 1e-4 || side.activations == DType::BF16, "{name} {parameter}: {distance}");
        both[0].extend(got);
        both[1].extend(expected);
    }
    let cosine = cosine(&both[0], &both[1]);
    assert!(0.98 < cosine, "{name}: {cosine}");
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

#[test]
fn several_batches_of_one_step_move_the_statistics_once() {
    for side in sides() {
        let plan = small_facenano(SIZE);
        let (network, reference) = (side.network(&plan), reference(&plan));
        for index in 0..2 {
            let images = noise(&[BATCH, 3, SIZE, SIZE], index);
            reference.forward(&images, TRAIN).unwrap();
            network.forward(&side.brought(&images), TRAIN).unwrap();
        }
        // What is forgotten does not count.
        network.commit_statistics().unwrap();
        reference.commit_statistics().unwrap();
        network.forward(&side.images(), TRAIN).unwrap();
        network.discard_statistics();
        network.commit_statistics().unwrap();
        check_statistics(&side, &network, &reference);
    }
}

#[test]
fn recomputed_blocks_and_repeated_steps_give_the_same_bytes() {
    for side in sides() {
        let plan = narrow_iresnet([1, 2, 1, 1], SIZE);
        let mut network = side.network(&plan);
        let (first, gradients) = step(&network, &side.images()).unwrap();
        for prefixes in [vec![], vec!["all".to_owned()]] {
            network.recompute(&prefixes).unwrap();
            let (again, repeated) = step(&network, &side.images()).unwrap();
            assert_eq!(values(&again), values(&first));
            for (name, gradient) in gradients.iter() {
                assert_eq!(values(repeated.get(name).unwrap()), values(gradient), "{name}, {prefixes:?}");
            }
        }
    }
}

#[test]
fn gradients_reach_the_images() {
    for side in sides() {
        for (name, plan) in plans() {
            let (network, reference) = (side.network(&plan), reference(&plan));
            stir(&network);
            stir(&reference);
            let back = |network: &Network, images: &Tensor| {
                let pass = network.image_pass(images, Watch::Statistics).unwrap();
                let embeddings = pass.embeddings().clone();
                let statistics = pass.statistics().iter().map(|layer| layer.batch.affine(0.1, 0.0));
                let statistics: Vec<Tensor> = statistics.collect::<Result<_, _>>().unwrap();
                (embeddings.clone(), pass.backward(&embeddings, &statistics).unwrap())
            };
            let (expected, expected_gradient) = back(&reference, &images(BATCH, SIZE, DType::F64));
            let (got, gradient) = back(&network, &side.images());
            assert_eq!(gradient.dtype(), DType::F32);
            side.check(name, &got, &expected);
            side.check(&format!("{name}'s images"), &gradient, &expected_gradient);
        }
    }
}

#[test]
fn weights_go_there_and_back() {
    for side in sides() {
        let plan = narrow_iresnet([1, 1, 1, 1], SIZE);
        let (network, at_home) = (side.network(&plan), Network::new(&plan, &[], 7, DType::F32, &Device::Cpu).unwrap());
        let state = at_home.state_dict().unwrap();
        for (name, got) in network.state_dict().unwrap() {
            assert!(got.device().is_cpu());
            assert_eq!(values(&got), values(&state[&name]), "{name}");
        }
        let other = Network::new(&plan, &[], 8, DType::F32, &Device::Cpu).unwrap().state_dict().unwrap();
        network.load_state_dict(&other).unwrap();
        let loaded = Network::from_state_dict(&plan, &[], &other, DType::F32, &side.device).unwrap();
        for (name, got) in network.state_dict().unwrap() {
            assert_eq!(values(&got), values(&other[&name]), "{name}");
            assert_eq!(values(&loaded.state_dict().unwrap()[&name]), values(&got), "{name}");
        }
        let error = network.forward(&images(BATCH, SIZE, DType::F32), TRAIN).unwrap_err().to_string();
        assert!(error.contains("the network's") && error.contains("got Cpu"), "{error}");
    }
}

#[test]
fn activations_go_with_the_weights_and_the_device() {
    let network = |dtype| Network::new(&small_facenano(SIZE), &[], 0, dtype, &Device::Cpu).unwrap();
    assert!(network(DType::F32).with_activations(DType::F32).is_ok());
    let error = network(DType::F32).with_activations(DType::BF16).unwrap_err();
    insta::assert_snapshot!(error, @"type of the activations: expected F32, that of the weights, or BF16 with weights of F32 on a CUDA device, got BF16");
    assert!(network(DType::F64).with_activations(DType::F32).is_err());
    for side in sides() {
        let double = Network::new(&small_facenano(SIZE), &[], 0, DType::F32, &side.device).unwrap();
        assert!(double.with_activations(DType::F16).is_err());
    }
}
