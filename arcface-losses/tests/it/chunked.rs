//! The head that walks through the classes in chunks, against the dense one, finite differences and itself.

use arcface_core::candle::{DType, Tensor};
use arcface_core::testing::{bits, gradient_error, normal, slice_difference, values, with_threads};
use arcface_losses::registry::Kind;
use arcface_losses::{Evaluation, LossEntry, Objective, losses};
use proptest::prelude::*;
use toml::Table;

use crate::table;

/// Sizes of a batch, its head and a chunk.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    classes: usize,
    sub_centers: usize,
    width: usize,
    chunk: usize,
}

fn sizes() -> impl Strategy<Value = Sizes> {
    (1..24usize, 2..50usize, prop_oneof![Just(1usize), Just(3)], 2..24usize, 1..53usize)
        .prop_map(|(batch, classes, sub_centers, width, chunk)| Sizes { batch, classes, sub_centers, width, chunk })
}

impl Sizes {
    fn embeddings(&self, dtype: DType, seed: u64) -> Tensor {
        normal(&[self.batch, self.width], dtype, seed).unwrap()
    }

    fn centers(&self, dtype: DType, seed: u64) -> Tensor {
        normal(&[self.classes, self.sub_centers, self.width], dtype, seed + 1000).unwrap()
    }

    fn labels(&self, seed: u64) -> Vec<u32> {
        (0..self.batch as u64).map(|row| ((row * row + seed) % self.classes as u64) as u32).collect()
    }

    fn evaluate(&self, name: &str, parameters: &Table, dtype: DType, seed: u64) -> Evaluation {
        let mut objective = Objective::from_centers(name, parameters, &self.centers(dtype, seed), None).unwrap();
        objective.evaluate(&self.embeddings(dtype, seed), &self.labels(seed), 3).unwrap()
    }
}

fn margins() -> Vec<&'static LossEntry> {
    losses().unwrap().into_iter().filter(|entry| entry.kind == Kind::Margin).collect()
}

fn with(parameters: &str, chunk: impl Into<toml::Value>) -> Table {
    let mut parameters = table(parameters);
    parameters.insert("chunk".to_owned(), chunk.into());
    parameters
}

/// max |a − b| relative to max |b|.
fn relative(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (values(a).unwrap(), values(b).unwrap());
    let size = b.iter().fold(f64::MIN_POSITIVE, |max, b| max.max(b.abs()));
    a.iter().zip(&b).fold(0.0, |max, (a, b)| f64::max(max, (a - b).abs() / size))
}

fn assert_close(what: &str, found: &Evaluation, expected: &Evaluation, tolerance: f64) {
    let loss = relative(&found.loss, &expected.loss);
    let d_embeddings = relative(&found.d_embeddings, &expected.d_embeddings);
    let d_centers = relative(&found.d_centers, &expected.d_centers);
    for (part, error) in [("loss", loss), ("d_embeddings", d_embeddings), ("d_centers", d_centers)] {
        assert!(error < tolerance, "{what}: {part} is off by {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_margin_is_as_in_the_dense_head(sizes in sizes(), seed in 0u64..1000) {
        for entry in margins() {
            for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
                // Sixteen, so that the f32 rounding of a cosine is not the error of the logit.
                let dense = sizes.evaluate(entry.name, &with("scale = 16", "dense"), dtype, seed);
                let chunk = toml::Value::Integer(sizes.chunk as i64);
                for chunk in [chunk, "auto".into()] {
                    let what = format!("{} in {} by {chunk}", entry.name, dtype.as_str());
                    let chunked = sizes.evaluate(entry.name, &with("scale = 16", chunk), dtype, seed);
                    assert_close(&what, &chunked, &dense, tolerance);
                }
            }
        }
    }

    #[test]
    fn large_scales_and_soft_pooling_are_as_in_the_dense_head(sizes in sizes(), seed in 0u64..1000) {
        for parameters in ["scale = 64", "scale = 2000", "scale = 64; pooling = 'soft'"] {
            let dense = sizes.evaluate("curricularface", &with(parameters, "dense"), DType::F64, seed);
            let chunked = sizes.evaluate("curricularface", &with(parameters, sizes.chunk as i64), DType::F64, seed);
            // Rounding of a cosine is multiplied by the scale.
            assert_close(parameters, &chunked, &dense, 2e-11);
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_threads() {
    let sizes = Sizes { batch: 33, classes: 1301, sub_centers: 2, width: 40, chunk: 0 };
    for chunk in [toml::Value::from("auto"), 7.into(), 100.into()] {
        let run = |threads| {
            let evaluation =
                with_threads(threads, || sizes.evaluate("curricularface", &with("", chunk.clone()), DType::F32, 5))
                    .unwrap();
            [bits(&evaluation.loss), bits(&evaluation.d_embeddings), bits(&evaluation.d_centers)].map(Result::unwrap)
        };
        let alone = run(1);
        assert!(alone == run(2) && alone == run(5), "{chunk}");
    }
}

#[test]
fn gradients_agree_with_differences() {
    // Five rows find room for their cosines in gradients of width 6, seven do not.
    for batch in [5, 7] {
        for sub_centers in [1, 3] {
            let sizes = Sizes { batch, classes: 7, sub_centers, width: 6, chunk: 3 };
            check_differences(&sizes, "arcface", "");
            check_differences(&sizes, "curricularface", "momentum = 0.0");
        }
    }
}

fn check_differences(sizes: &Sizes, name: &str, parameters: &str) {
    let parameters = &with(parameters, sizes.chunk as i64);
    let (x, w) = (sizes.embeddings(DType::F64, 2), sizes.centers(DType::F64, 2));
    let by_embeddings = gradient_error(std::slice::from_ref(&x), |x| {
        let mut objective = Objective::from_centers(name, parameters, &w, None)?;
        Ok(objective.forward(&x[0], &sizes.labels(0), 7)?.loss)
    });
    assert!(by_embeddings.unwrap() < 1e-6, "{name}: d_embeddings of {sizes:?}");
    let evaluate = |w: &[f64]| {
        let w = Tensor::from_slice(w, (sizes.classes, sizes.sub_centers, sizes.width), x.device()).unwrap();
        let mut objective = Objective::from_centers(name, parameters, &w, None).unwrap();
        objective.evaluate(&x, &sizes.labels(0), 7).unwrap()
    };
    let at = values(&w).unwrap();
    let moved = |index: usize, by: f64| {
        let mut changed = at.clone();
        changed[index] += by;
        values(&evaluate(&changed).loss).unwrap()[0]
    };
    let numeric: Vec<f64> = (0..at.len()).map(|i| (moved(i, 1e-5) - moved(i, -1e-5)) / 2e-5).collect();
    let error = slice_difference(&values(&evaluate(&at).d_centers).unwrap(), &numeric);
    assert!(error < 1e-6, "{name}: d_centers of {sizes:?} differ by {error}");
}

#[test]
fn a_center_that_is_not_finite_gives_such_a_loss() {
    for broken in [f64::NAN, f64::INFINITY] {
        let sizes = Sizes { batch: 4, classes: 9, sub_centers: 1, width: 6, chunk: 2 };
        let mut centers = values(&sizes.centers(DType::F32, 0)).unwrap();
        centers[8 * 6] = broken;
        let centers = Tensor::from_vec(centers, (9, 6), &arcface_core::candle::Device::Cpu).unwrap();
        let centers = centers.to_dtype(DType::F32).unwrap();
        let mut objective = Objective::from_centers("arcface", &with("", 2), &centers, None).unwrap();
        let output = objective.forward(&sizes.embeddings(DType::F32, 0), &[0, 1, 2, 3], 0).unwrap();
        assert!(!output.value.is_finite(), "{broken}: {}", output.value);
    }
}
