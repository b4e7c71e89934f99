//! Sampled classes, Partial-FC: which they are, what they give, and that no other center moves.

use std::collections::BTreeSet;

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::optim::{AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig};
use arcface_core::testing::{bits, normal, values};
use arcface_losses::registry::Kind;
use arcface_losses::{Evaluation, HeadShape, Objective, losses};
use proptest::prelude::*;

use crate::table;

const CLASSES: usize = 60;
const SIZE: usize = 12;
const LABELS: [u32; 6] = [3, 59, 0, 3, 17, 40];

fn objective(name: &str, parameters: &str, centers: &Tensor) -> Objective {
    Objective::from_centers(name, &table(parameters), centers, None).unwrap()
}

fn centers(sub_centers: usize, dtype: DType) -> Tensor {
    normal(&[CLASSES, sub_centers, SIZE], dtype, 1).unwrap()
}

fn embeddings(dtype: DType, index: u64) -> Tensor {
    normal(&[LABELS.len(), SIZE], dtype, 100 + index).unwrap()
}

/// The classes that a step at `rate` meets.
fn sample(rate: f64, seed: u64, step: u64) -> Vec<u32> {
    let shape = HeadShape { num_classes: CLASSES, embedding_size: SIZE, dtype: DType::F32, device: &Device::Cpu, seed };
    let mut objective = Objective::build("arcface", &table(&format!("sample_rate = {rate:?}")), shape).unwrap();
    let output = objective.forward(&embeddings(DType::F32, 0), &LABELS, step).unwrap();
    output.gradients.rows("centers").unwrap().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_sample_is_the_batch_and_others_by_seed_and_step(rate in 0.001f64..0.999, seed in 0u64..9, step in 0u64..9) {
        let classes = sample(rate, seed, step);
        prop_assert_eq!(classes.len(), ((rate * 60.0).round() as usize).max(5));
        prop_assert!(classes.windows(2).all(|pair| pair[0] < pair[1]) && classes[classes.len() - 1] < 60);
        prop_assert!(LABELS.iter().all(|label| classes.contains(label)));
        prop_assert_eq!(sample(rate, seed, step), classes);
    }
}

#[test]
fn every_other_class_is_equally_likely() {
    let mut counts = [0; CLASSES];
    let steps = 4000;
    for step in 0..steps {
        for class in sample(0.25, 7, step) {
            counts[class as usize] += 1;
        }
    }
    // 15 classes, 5 of the batch: 10 of 55 others. The standard deviation of a count is 24.
    let expected = steps as f64 * 10.0 / 55.0;
    for (class, count) in counts.into_iter().enumerate() {
        if LABELS.contains(&(class as u32)) {
            assert_eq!(count, steps, "{class}");
        } else {
            assert!((f64::from(count as u32) - expected).abs() < 120.0, "class {class}: {count}, not {expected}");
        }
    }
    assert_ne!(sample(0.25, 7, 0), sample(0.25, 7, 1));
    assert_ne!(sample(0.25, 7, 0), sample(0.25, 8, 0));
}

#[test]
fn all_classes_are_the_whole_head_to_the_bit() {
    for name in ["arcface", "curricularface"] {
        let evaluate = |parameters: &str| {
            let mut objective = objective(name, parameters, &centers(3, DType::F32));
            let Evaluation { loss, d_embeddings, d_centers, .. } =
                objective.evaluate(&embeddings(DType::F32, 0), &LABELS, 0).unwrap();
            [loss, d_embeddings, d_centers].map(|tensor| bits(&tensor).unwrap())
        };
        // The second is all of the sixty, but found by sampling.
        assert_eq!(evaluate("chunk = 7; sample_rate = 1.0"), evaluate("chunk = 7; sample_rate = 0.9999"));
        assert_eq!(evaluate("chunk = 7; sample_rate = 1"), evaluate("chunk = 7"));
    }
}

#[test]
fn every_margin_meets_the_sample_as_if_there_were_no_more() {
    let all = losses().unwrap();
    for entry in all.into_iter().filter(|entry| entry.kind == Kind::Margin) {
        for (sub_centers, more) in [(1, ""), (3, ""), (3, "; chunk = 4"), (1, "; terms = [{ name = 'inter' }]")] {
            let whole = centers(sub_centers, DType::F64);
            let mut sampled = objective(entry.name, &format!("sample_rate = 0.3{more}"), &whole);
            let output = sampled.forward(&embeddings(DType::F64, 0), &LABELS, 5).unwrap();
            let rows = output.gradients.rows("centers").unwrap();
            let index = Tensor::new(rows, &Device::Cpu).unwrap();
            let labels: Vec<u32> =
                LABELS.iter().map(|label| rows.iter().position(|row| row == label).unwrap() as u32).collect();
            let mut alone =
                objective(entry.name, more.trim_start_matches("; "), &whole.index_select(&index, 0).unwrap());
            let expected = alone.forward(&embeddings(DType::F64, 0), &labels, 5).unwrap();
            let gradient = |output: &arcface_losses::Output| bits(output.gradients.get("centers").unwrap()).unwrap();
            assert_eq!(output.value.to_bits(), expected.value.to_bits(), "{} {more}", entry.name);
            assert_eq!(gradient(&output), gradient(&expected), "{} {more}", entry.name);
        }
    }
}

/// A head with an optimiser.
struct Training {
    objective: Objective,
    optimizer: Box<dyn Optimizer>,
}

impl Training {
    fn new(adamw: &str) -> Self {
        let objective = objective("curricularface", "sample_rate = 0.2; chunk = 5", &centers(2, DType::F32));
        let parameters = objective.parameters();
        let optimizer: Box<dyn Optimizer> = match adamw {
            "adamw" => Box::new(AdamW::new(AdamWConfig::default(), parameters).unwrap()),
            _ => Box::new(Sgd::new(SgdConfig { momentum: 0.9, weight_decay: 0.1 }, parameters).unwrap()),
        };
        Self { objective, optimizer }
    }

    /// Returns the rows that moved.
    fn step(&mut self, step: u64) -> BTreeSet<usize> {
        let output = self.objective.forward(&embeddings(DType::F32, step), &LABELS, step).unwrap();
        self.optimizer.step(self.objective.parameters(), &output.gradients, 0.1).unwrap();
        output.gradients.rows("centers").unwrap().iter().map(|row| *row as usize).collect()
    }

    /// Rows of the centers, and of every moment.
    fn rows(&self) -> Vec<Vec<Vec<u64>>> {
        let centers = self.objective.parameters().get("centers").unwrap().var.as_tensor().clone();
        let moments = self.optimizer.state().into_values().filter(|tensor| tensor.dims().len() == 3);
        let rows = |tensor: Tensor| bits(&tensor).unwrap().chunks(2 * SIZE).map(<[u64]>::to_vec).collect();
        std::iter::once(centers).chain(moments).map(rows).collect()
    }
}

#[test]
fn other_rows_and_their_moments_stay_to_the_bit() {
    for optimizer in ["sgd", "adamw"] {
        let mut training = Training::new(optimizer);
        for step in 0..6 {
            let before = training.rows();
            let touched = training.step(step);
            assert_eq!(touched.len(), 12);
            for (before, after) in before.into_iter().zip(training.rows()) {
                for row in 0..CLASSES {
                    assert_eq!(before[row] != after[row], touched.contains(&row), "{optimizer}: row {row} at {step}");
                }
            }
        }
    }
}

#[test]
fn a_run_goes_on_as_if_it_had_not_stopped() {
    for optimizer in ["sgd", "adamw"] {
        let mut going = Training::new(optimizer);
        (0..3).for_each(|step| drop(going.step(step)));
        let mut resumed = Training::new(optimizer);
        let centers = |training: &Training| training.objective.parameters().get("centers").unwrap().var.clone();
        centers(&resumed).set(&centers(&going).as_tensor().copy().unwrap()).unwrap();
        resumed.optimizer.load_state(going.optimizer.state()).unwrap();
        resumed.objective.load_state(&going.objective.state()).unwrap();
        for step in 3..6 {
            assert_eq!(going.step(step), resumed.step(step));
        }
        assert!(going.rows() == resumed.rows(), "{optimizer}");
    }
}

#[test]
fn the_gradient_of_all_centers_is_zero_elsewhere() {
    let mut objective = objective("arcface", "sample_rate = 0.2", &centers(1, DType::F64));
    let output = objective.forward(&embeddings(DType::F64, 0), &LABELS, 0).unwrap();
    let var = objective.vars().remove(0);
    let whole = values(objective.backward(&output).unwrap().get(var.as_tensor()).unwrap()).unwrap();
    let evaluated = values(&objective.evaluate(&embeddings(DType::F64, 0), &LABELS, 0).unwrap().d_centers).unwrap();
    assert_eq!(whole, evaluated);
    let rows = output.gradients.rows("centers").unwrap();
    for (row, gradient) in whole.chunks(SIZE).enumerate() {
        let is_zero = gradient.iter().all(|g| g.abs() < f64::MIN_POSITIVE);
        assert_eq!(is_zero, !rows.contains(&(row as u32)), "{row}");
    }
}
