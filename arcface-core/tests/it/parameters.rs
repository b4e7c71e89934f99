//! Sets of parameters and gradients: sums, norms, and the numbers that must stop a step.

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::parameters::Accumulation;
use arcface_core::testing::{bits, difference, normal, values, with_threads};
use arcface_core::{Gradients, Parameters, Role};

fn gradients(index: u64) -> Gradients {
    let mut gradients = Gradients::default();
    gradients.insert("a", normal(&[3, 4], DType::F32, index).unwrap());
    gradients.insert("b", normal(&[200, 401], DType::F32, index + 100).unwrap());
    gradients.insert("c", normal(&[4, 6], DType::F64, index + 200).unwrap().t().unwrap());
    gradients
}

#[test]
fn norm_of_everything_together() {
    let gradients = gradients(0);
    let squares = gradients.iter().flat_map(|(_, gradient)| values(gradient).unwrap()).map(|x| x * x);
    let expected = squares.sum::<f64>().sqrt();
    assert!((gradients.norm().unwrap() - expected).abs() < 1e-10 * expected);
}

#[test]
fn norm_does_not_depend_on_the_number_of_threads() {
    let gradients = gradients(0);
    let norm = |threads| with_threads(threads, || gradients.norm().unwrap()).unwrap().to_bits();
    assert_eq!([norm(1), norm(1)], [norm(2), norm(3)]);
}

#[test]
fn non_finite_values_are_found_by_name() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut gradients = gradients(0);
        assert!(gradients.all_finite().unwrap());
        let mut values = vec![1.0f32; 100_000];
        values[99_999] = bad;
        gradients.insert("b", Tensor::from_vec(values, 100_000, &Device::Cpu).unwrap());
        assert_eq!(gradients.first_non_finite().unwrap(), Some("b"));
        assert!(!gradients.norm().unwrap().is_finite());
    }
}

#[test]
fn large_finite_values_are_finite() {
    let mut gradients = Gradients::default();
    gradients.insert("a", Tensor::new(&[f32::MAX, -f32::MAX], &Device::Cpu).unwrap());
    assert!(gradients.all_finite().unwrap() && gradients.norm().unwrap().is_finite());
}

#[test]
fn the_mean_of_micro_batches() {
    let mut accumulation = Accumulation::default();
    for index in 0..3 {
        accumulation.push(gradients(index)).unwrap();
    }
    let mean = accumulation.take_mean().unwrap();
    assert!(accumulation.is_empty());
    for (name, mean) in mean.iter() {
        let [a, b, c] = [0, 1, 2].map(|index| gradients(index).take(name).unwrap());
        let expected = (((a + b).unwrap() + c).unwrap() / 3.0).unwrap();
        assert!(difference(mean, &expected).unwrap() < 1e-6, "{name}");
    }
}

#[test]
fn one_micro_batch_is_its_own_mean() {
    let mut accumulation = Accumulation::default();
    accumulation.push(gradients(5)).unwrap();
    let mean = accumulation.take_mean().unwrap();
    assert_eq!(bits(mean.get("b").unwrap()).unwrap(), bits(gradients(5).get("b").unwrap()).unwrap());
}

#[test]
fn a_gradient_missing_in_one_micro_batch_counts_as_zero() {
    let mut accumulation = Accumulation::default();
    accumulation.push(gradients(0)).unwrap();
    accumulation.push(Gradients::default()).unwrap();
    let mean = accumulation.take_mean().unwrap();
    let expected = (gradients(0).take("a").unwrap() / 2.0).unwrap();
    assert!(difference(mean.get("a").unwrap(), &expected).unwrap() < 1e-7);
}

#[test]
fn merging_refuses_a_name_twice() {
    let mut all = gradients(0);
    let mut others = Gradients::default();
    others.insert("head", normal(&[2], DType::F32, 0).unwrap());
    all.merge(others).unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(all.merge(gradients(0)).unwrap_err().to_string(), "there are two gradients of `a`");
}

#[test]
fn groups_share_their_variables() {
    let mut parameters = Parameters::new(DType::F64, &Device::Cpu);
    let zeros = Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap();
    let var = parameters.add("head.a", &zeros, Role::Trained).unwrap();
    parameters.add("body.b", &zeros, Role::Statistic).unwrap();
    let head = parameters.select(|name| name.starts_with("head."));
    var.set(&Tensor::ones(3, DType::F64, &Device::Cpu).unwrap()).unwrap();
    assert_eq!(head.len(), 1);
    assert_eq!(values(&head.get("head.a").unwrap().var).unwrap(), [1.0; 3]);
    assert_eq!(parameters.num_values(), 3);
    let mut joined = parameters.select(|name| name.starts_with("body."));
    joined.merge(&head).unwrap();
    assert_eq!(joined.merge(&head).unwrap_err().to_string(), "parameter `head.a` is defined twice");
}
