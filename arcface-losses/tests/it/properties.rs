//! Properties of heads and of single losses, beside those that conformance asks of all.

use std::f64::consts::PI;

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_core::testing::{bits, difference, normal, values, with_threads};
use arcface_losses::angular::{self, BeyondPi, GradientMode};
use arcface_losses::margin::Row;
use arcface_losses::{Evaluation, HeadShape, Objective};
use proptest::prelude::*;

use crate::table;

const LABELS: [u32; 5] = [2, 0, 4, 2, 6];

fn evaluate(name: &str, parameters: &str, centers: &Tensor, seed: u64) -> Evaluation {
    let embeddings = normal(&[5, 6], DType::F64, seed).unwrap();
    let mut objective = Objective::from_centers(name, &table(parameters), centers, None).unwrap();
    objective.evaluate(&embeddings, &LABELS, 0).unwrap()
}

fn assert_equal(a: &Evaluation, b: &Evaluation) {
    for (a, b) in [(&a.loss, &b.loss), (&a.d_embeddings, &b.d_embeddings), (&a.d_centers, &b.d_centers)] {
        assert!(difference(a, b).unwrap() < 1e-12, "{a} and {b}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_combined_margin_holds_the_others(m in 0.01..1.9, seed in 0u64..1000) {
        let w = normal(&[7, 6], DType::F64, seed + 1000).unwrap();
        let combined = |m1: f64, m2: f64, m3: f64| {
            evaluate("combined", &format!("m1 = {m1:?}; m2 = {m2:?}; m3 = {m3:?}"), &w, seed)
        };
        let parameters = format!("margin = {m:?}");
        assert_equal(&combined(1.0, m, 0.0), &evaluate("arcface", &parameters, &w, seed));
        assert_equal(&combined(1.0, 0.0, m), &evaluate("cosface", &parameters, &w, seed));
        assert_equal(&combined(m, 0.0, 0.0), &evaluate("sphereface", &parameters, &w, seed));
    }

    #[test]
    fn the_linear_target_falls_with_the_angle(m1 in 0.3f64..3.0, m2 in 0.0f64..2.3, m3 in 0.0f64..1.0, angle in 0.0f64..PI, more in 0.0f64..1.0) {
        for m1 in [1.0, m1] {
            let row = Row { m1, m2, m3, sine_floor: 1e-8 };
            let at = |angle: f64| angular::target(angle.cos(), &row, BeyondPi::Linear, GradientMode::Exact);
            let further = (angle + more).min(PI);
            prop_assert!(at(further).value <= at(angle).value + 1e-12, "{row:?} from {angle} to {further}");
            prop_assert!(0.0 <= at(angle).d_cosine);
        }
    }

    #[test]
    fn equal_sub_centers_are_one_and_the_lowest_gets_the_gradient(seed in 0u64..1000) {
        let w = normal(&[7, 1, 6], DType::F64, seed + 1000).unwrap();
        let tied = Tensor::cat(&[&w, &w, &w], 1).unwrap();
        let (one, three) = (evaluate("arcface", "", &w, seed), evaluate("arcface", "", &tied, seed));
        let part = |from: usize, len: usize| three.d_centers.narrow(1, from, len).unwrap();
        prop_assert!(difference(&three.loss, &one.loss).unwrap() < 1e-12);
        prop_assert!(difference(&part(0, 1), &one.d_centers).unwrap() < 1e-12);
        prop_assert!(values(&part(1, 2)).unwrap().iter().all(|gradient| gradient.abs() < f64::MIN_POSITIVE));
        let soft = evaluate("arcface", "pooling = 'soft'", &tied, seed);
        prop_assert!(difference(&soft.loss, &one.loss).unwrap() < 1e-12);
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_threads(seed in 0u64..1000) {
        let embeddings = normal(&[33, 24], DType::F32, seed).unwrap();
        let labels: Vec<u32> = (0..33).map(|row| row * 7 % 301).collect();
        let centers = normal(&[301, 2, 24], DType::F32, seed + 1000).unwrap();
        let parameters = table("terms = [{ name = 'inter' }, { name = 'triplet' }]");
        let run = |threads| {
            let evaluation = with_threads(threads, || {
                let mut objective = Objective::from_centers("curricularface", &parameters, &centers, None).unwrap();
                objective.evaluate(&embeddings, &labels, 0).unwrap()
            }).unwrap();
            [bits(&evaluation.loss), bits(&evaluation.d_embeddings), bits(&evaluation.d_centers)].map(Result::unwrap)
        };
        let alone = run(1);
        prop_assert!(alone == run(2) && alone == run(5));
    }
}

#[test]
fn two_sub_centers_take_part_in_inter_by_the_dominant_one() {
    // Sub-center 1 is far from every embedding, so that 0 is dominant.
    let w = normal(&[7, 6], DType::F64, 5).unwrap();
    let sum = normal(&[5, 6], DType::F64, 4).unwrap().sum_keepdim(0).unwrap();
    let far = sum.affine(-1.0, 0.0).unwrap().broadcast_as((7, 6)).unwrap();
    let both = Tensor::stack(&[&w, &far], 1).unwrap();
    let term = |centers: &Tensor| {
        let with = values(&evaluate("inter", "", centers, 4).loss).unwrap()[0];
        with - values(&evaluate("normface", "", centers, 4).loss).unwrap()[0]
    };
    let first_wins = values(&evaluate("normface", "", &both, 4).d_centers.narrow(1, 1, 1).unwrap()).unwrap();
    if first_wins.iter().all(|gradient| gradient.abs() < f64::MIN_POSITIVE) {
        assert!((term(&both) - term(&w)).abs() < 1e-9);
    }
}

fn shape(device: &Device, seed: u64) -> HeadShape<'_> {
    HeadShape { num_classes: 7, embedding_size: 6, dtype: DType::F32, device, seed }
}

#[test]
fn centers_are_drawn_by_the_seed() {
    let centers = |seed| {
        let objective = Objective::build("subcenter_arcface", &table(""), shape(&Device::Cpu, seed)).unwrap();
        let centers = objective.parameters().get("centers").unwrap().var.as_tensor().clone();
        assert_eq!(centers.dims(), [7, 3, 6]);
        values(&centers).unwrap()
    };
    assert_eq!(centers(1), centers(1));
    assert_ne!(centers(1), centers(2));
    let std = (centers(1).iter().map(|x| x * x).sum::<f64>() / 126.0).sqrt();
    assert!(0.008 < std && std < 0.012, "{std}");
}

#[test]
fn the_gradient_scales_with_the_incoming_one() {
    let mut objective = Objective::build("cosface", &table(""), shape(&Device::Cpu, 0)).unwrap();
    let embeddings = Var::from_tensor(&normal(&[5, 6], DType::F32, 0).unwrap()).unwrap();
    let mut gradient = |factor: f64| {
        let loss = objective.forward(&embeddings, &LABELS, 0).unwrap().loss.affine(factor, 0.0).unwrap();
        loss.backward().unwrap().get(&embeddings).unwrap().clone()
    };
    let tripled = gradient(1.0).affine(3.0, 0.0).unwrap();
    assert!(difference(&gradient(3.0), &tripled).unwrap() < 1e-6);
}

#[test]
fn a_batch_that_is_not_finite_gives_such_a_loss_and_leaves_the_state_alone() {
    for name in ["curricularface", "adaface"] {
        let mut objective = Objective::build(name, &table(""), shape(&Device::Cpu, 0)).unwrap();
        let before = objective.state();
        let embeddings = normal(&[5, 6], DType::F32, 0).unwrap();
        let broken = (&embeddings / 0.0).unwrap();
        assert!(!objective.forward(&broken, &LABELS, 0).unwrap().value.is_finite());
        assert_eq!(objective.state(), before);
        objective.forward(&embeddings, &LABELS, 0).unwrap();
        assert_ne!(objective.state(), before);
    }
}

#[test]
fn a_tiny_loss_keeps_its_digits() {
    // log(1 + 6·e⁻⁶⁴) is 9.6e-28; one minus a probability near 1 would be 0.
    let axes = Tensor::eye(7, DType::F64, &Device::Cpu).unwrap();
    let mut objective = Objective::from_centers("normface", &table(""), &axes, None).unwrap();
    let loss = objective.forward(&axes, &[0, 1, 2, 3, 4, 5, 6], 0).unwrap().value;
    assert!((loss / (6.0 * (-64f64).exp()) - 1.0).abs() < 1e-12, "{loss}");
}

#[test]
fn random_margins_follow_seed_and_step() {
    let embeddings = normal(&[5, 6], DType::F32, 0).unwrap();
    let loss = |seed, step| {
        let mut objective =
            Objective::build("elastic_arcface", &table("sigma = 0.1"), shape(&Device::Cpu, seed)).unwrap();
        let fixed = normal(&[7, 6], DType::F32, 9).unwrap();
        objective.parameters().get("centers").unwrap().var.set(&fixed).unwrap();
        objective.forward(&embeddings, &LABELS, step).unwrap().value.to_bits()
    };
    assert_eq!(loss(0, 5), loss(0, 5));
    assert_ne!(loss(0, 5), loss(0, 6));
    assert_ne!(loss(0, 5), loss(1, 5));
}

#[test]
fn sines_are_floored_at_1e_4_in_f32_and_1e_8_in_f64() {
    // The embedding is 1e-6 rad from its center, and another class has the same center, so that p_y is nearly 0.
    let gradient = |dtype| {
        let x = Tensor::new(&[[1f64, 1e-6]], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let w = Tensor::new(&[[1f64, 0.0], [1.0, 0.0]], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let mut objective = Objective::from_centers("arcface", &table(""), &w, None).unwrap();
        values(&objective.evaluate(&x, &[0], 0).unwrap().d_embeddings).unwrap()[1]
    };
    let slope = 64.0 * 0.5f64.sin();
    assert!((gradient(DType::F64) / slope - 1.0).abs() < 1e-2, "{}", gradient(DType::F64));
    assert!((gradient(DType::F32) / (0.01 * slope) - 1.0).abs() < 1e-2, "{}", gradient(DType::F32));
}
