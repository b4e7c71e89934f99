//! Optimisers and sums over gradients on a device against the CPU; states across devices.

use std::collections::BTreeMap;

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::checkpoint::{load_tensors, save_tensors};
use arcface_core::optim::{AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig, clip_norm};
use arcface_core::parameters::Accumulation;
use arcface_core::testing::{bits, difference, normal};
use arcface_core::{Gradients, Parameters, Role};

use super::{devices, home};

/// Whole vectors and not, more than a block takes, one value.
const SHAPES: [(&str, &[usize], Role); 6] = [
    ("a", &[16, 12], Role::Trained),
    ("b", &[7, 5, 3], Role::Undecayed),
    ("c", &[130, 129], Role::Trained),
    ("d", &[128, 96], Role::Trained),
    ("e", &[1], Role::Trained),
    ("f", &[9], Role::Frozen),
];

fn parameters(device: &Device) -> Parameters {
    let mut parameters = Parameters::new(DType::F32, device);
    for ((name, shape, role), index) in SHAPES.into_iter().zip(0..) {
        parameters.add(name, &normal(shape, DType::F32, index).unwrap(), role).unwrap();
    }
    parameters
}

fn drawn(shape: &[usize], index: u64, device: &Device) -> Tensor {
    normal(shape, DType::F32, index).unwrap().to_device(device).unwrap()
}

/// Of all parameters, of "a" and "c" of some rows in every second step, of "d" none in the third.
fn gradients(step: u64, device: &Device) -> Gradients {
    let mut gradients = Gradients::default();
    for ((name, shape, _), index) in SHAPES.into_iter().zip(100 + 10 * step..) {
        let rows: Option<&[u32]> = match (name, step % 2) {
            ("a", 1) => Some(&[0, 3, 15]),
            ("b", 1) => Some(&[]),
            ("c", 1) => Some(&[1, 2, 77, 129]),
            _ => None,
        };
        match rows {
            Some([]) => {}
            Some(rows) => {
                let shape = [&[rows.len()], &shape[1..]].concat();
                gradients.insert_rows(name, rows, drawn(&shape, index, device));
            }
            None if (name, step) == ("d", 2) => {}
            None => gradients.insert(name, drawn(shape, index, device)),
        }
    }
    gradients
}

type Make = fn(&Parameters) -> Box<dyn Optimizer>;

fn sgd(parameters: &Parameters) -> Box<dyn Optimizer> {
    Box::new(Sgd::new(SgdConfig { momentum: 0.9, weight_decay: 0.01 }, parameters).unwrap())
}

fn adamw(parameters: &Parameters) -> Box<dyn Optimizer> {
    let config = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
    Box::new(AdamW::new(config, parameters).unwrap())
}

const OPTIMIZERS: [Make; 2] = [sgd, adamw];

fn all_values(parameters: &Parameters) -> Vec<(String, Tensor)> {
    parameters.iter().map(|(name, parameter)| (name.to_owned(), home(parameter.var.as_tensor()))).collect()
}

fn same(got: &Parameters, expected: &Parameters, tolerance: f64) {
    for ((name, got), (_, expected)) in all_values(got).iter().zip(&all_values(expected)) {
        let far = difference(got, expected).unwrap();
        assert!(far <= tolerance, "`{name}` is off by {far:e}");
    }
}

/// Steps `steps` with `optimizer`.
fn go(optimizer: &mut dyn Optimizer, parameters: &Parameters, steps: std::ops::Range<u64>) {
    for step in steps {
        optimizer.step(parameters, &gradients(step, parameters.device()), 0.1 / (step + 1) as f64).unwrap();
    }
}

#[test]
fn steps_are_those_of_the_cpu() {
    for (device, make) in devices().into_iter().flat_map(|device| OPTIMIZERS.map(|make| (device.clone(), make))) {
        let [there, again, here] = [&device, &device, &Device::Cpu].map(parameters);
        for parameters in [&there, &again, &here] {
            go(&mut *make(parameters), parameters, 0..5);
        }
        same(&there, &here, 1e-5);
        same(&there, &again, 0.0);
    }
}

#[test]
fn a_state_goes_to_a_file_and_to_other_devices() {
    let folder = tempfile::tempdir().unwrap();
    for (device, make) in devices().into_iter().flat_map(|device| OPTIMIZERS.map(|make| (device.clone(), make))) {
        let expected = parameters(&device);
        go(&mut *make(&expected), &expected, 0..5);
        let devices = [&device, &Device::Cpu, &device];
        let (mut values, mut state): (Vec<(String, Tensor)>, BTreeMap<String, Tensor>) = Default::default();
        let mut last = None;
        for (on, steps) in devices.into_iter().zip([0..2, 2..3, 3..5]) {
            let parameters = parameters(on);
            for (name, value) in &values {
                let var = &parameters.get(name).unwrap().var;
                var.set(&value.to_device(on).unwrap()).unwrap();
            }
            let mut optimizer = make(&parameters);
            if !state.is_empty() {
                optimizer.load_state(state).unwrap();
            }
            go(&mut *optimizer, &parameters, steps);
            let path = folder.path().join("state.safetensors");
            save_tensors(&path, &optimizer.state(), &BTreeMap::new()).unwrap();
            state = load_tensors(&path).unwrap().0;
            values = all_values(&parameters);
            last = Some(parameters);
        }
        same(&last.unwrap(), &expected, 1e-5);
    }
}

#[test]
fn a_state_is_a_copy() {
    for (device, make) in devices().into_iter().flat_map(|device| OPTIMIZERS.map(|make| (device.clone(), make))) {
        let parameters = parameters(&device);
        let mut optimizer = make(&parameters);
        go(&mut *optimizer, &parameters, 0..2);
        let state = optimizer.state();
        let seen = |state: &BTreeMap<String, Tensor>| -> Vec<Vec<u64>> {
            state.values().map(|tensor| bits(&tensor.to_device(&Device::Cpu).unwrap()).unwrap()).collect()
        };
        let before = seen(&state);
        go(&mut *optimizer, &parameters, 2..4);
        assert_eq!(seen(&state), before);
        let mut other = make(&parameters);
        other.load_state(state.clone()).unwrap();
        go(&mut *other, &parameters, 2..4);
        assert_eq!(seen(&state), before);
        assert_ne!(seen(&other.state()), before);
    }
}

#[test]
fn norms_and_scales() {
    for device in devices() {
        let (mut there, mut here) = (gradients(0, &device), gradients(0, &Device::Cpu));
        let norm = there.norm().unwrap();
        assert!((norm / here.norm().unwrap() - 1.0).abs() < 1e-9);
        assert!(norm.to_bits() == there.norm().unwrap().to_bits());
        assert!(there.all_finite().unwrap());
        assert!((clip_norm(&mut there, 2.0).unwrap() / clip_norm(&mut here, 2.0).unwrap() - 1.0).abs() < 1e-9);
        assert!((there.norm().unwrap() - 2.0).abs() < 1e-5);
        for ((name, there), (_, here)) in there.iter().zip(here.iter()) {
            assert!(difference(&home(there), here).unwrap() < 1e-6, "{name}");
        }
        for wrong in [f32::NAN, f32::INFINITY] {
            let mut values = vec![1f32; 20_000];
            values[19_998] = wrong;
            there.insert("c", Tensor::from_vec(values, 20_000, &device).unwrap());
            assert_eq!(there.first_non_finite().unwrap(), Some("c"));
            assert!(!there.all_finite().unwrap() && !clip_norm(&mut there, 1.0).unwrap().is_finite());
        }
        there.insert("c", Tensor::full(f32::MAX, 20_000, &device).unwrap());
        assert!(there.all_finite().unwrap());
    }
}

#[test]
fn gradients_of_several_passes() {
    for device in devices() {
        let mean = |device: &Device| {
            let mut accumulation = Accumulation::default();
            for step in [0, 2, 4] {
                accumulation.push(gradients(step, device)).unwrap();
            }
            accumulation.take_mean().unwrap()
        };
        let of_rows = |device: &Device| {
            let mut sum = gradients(1, device);
            let mut other = Gradients::default();
            other.insert_rows("a", [3, 4], drawn(&[2, 12], 5, device));
            sum.add(other).unwrap();
            assert_eq!(sum.rows("a"), Some(&[0, 3, 4, 15][..]));
            sum.whole("a", &[16, 12]).unwrap().unwrap()
        };
        for ((name, there), (_, here)) in mean(&device).iter().zip(mean(&Device::Cpu).iter()) {
            assert!(difference(&home(there), here).unwrap() < 1e-6, "{name}");
        }
        assert!(difference(&home(&of_rows(&device)), &of_rows(&Device::Cpu)).unwrap() < 1e-6);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for device in devices() {
        let parameters = parameters(&device);
        let refused =
            |gradients: &Gradients| sgd(&parameters).step(&parameters, gradients, 0.1).unwrap_err().to_string();
        let message = refused(&gradients(0, &Device::Cpu));
        assert!(message.starts_with("gradient of `a`: expected Cuda"), "{message}");
        let mut narrow = Gradients::default();
        narrow.insert("a", drawn(&[16, 12], 0, &device).to_dtype(DType::BF16).unwrap());
        assert_eq!(refused(&narrow), "gradient of `a`: expected F32, got BF16");
        assert_eq!(narrow.norm().unwrap_err().to_string(), "gradient: expected dtype f32 on a CUDA device, got bf16");
        let mut wide = Parameters::new(DType::F64, &device);
        wide.add("w", &drawn(&[2], 0, &Device::Cpu), Role::Trained).unwrap();
        assert!(Sgd::new(SgdConfig::default(), &wide).is_err());
    }
}
