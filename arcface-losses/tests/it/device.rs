//! Every loss on a CUDA device against the CPU in f64, and against itself.

use std::collections::BTreeMap;

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_core::testing::{bits, normal, values};
use arcface_losses::{Evaluation, HeadShape, LossEntry, Objective, Output, defaults, losses};
use toml::Table;

use crate::table;

/// What gradients and losses may be off by, relative to the largest.
const TOLERANCE: f64 = 1e-4;

/// The first CUDA device, if there is one.
#[allow(clippy::print_stderr, reason = "so that nobody takes it for a pass")]
fn device() -> Option<Device> {
    let device = Device::new_cuda_with_stream(0);
    if device.is_err() {
        eprintln!("skipped: no CUDA device");
    }
    device.ok()
}

/// A batch and its head, the same numbers in f32 on a device and in f64 on the CPU.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    classes: usize,
    sub_centers: usize,
    width: usize,
}

const fn sizes(batch: usize, classes: usize, sub_centers: usize, width: usize) -> Sizes {
    Sizes { batch, classes, sub_centers, width }
}

impl Sizes {
    /// Norms from 5 to 80, which margins by the norm tell apart.
    fn embeddings(&self, index: u64) -> Tensor {
        let directions = normal(&[self.batch, self.width], DType::F64, 10 + index).unwrap();
        let norms: Vec<f64> = (0..self.batch).map(|row| 5.0 + 75.0 * row as f64 / self.batch as f64).collect();
        let norms = Tensor::from_vec(norms, (self.batch, 1), &Device::Cpu).unwrap();
        let unit = directions.broadcast_div(&directions.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap());
        unit.unwrap().broadcast_mul(&norms).unwrap().to_dtype(DType::F32).unwrap()
    }

    fn centers(&self) -> Tensor {
        let dims = [self.classes, self.sub_centers, self.width];
        let centers = normal(&dims, DType::F32, 1000).unwrap();
        if self.sub_centers == 1 { centers.squeeze(1).unwrap() } else { centers }
    }

    fn bias(&self) -> Tensor {
        normal(&[self.classes], DType::F32, 2000).unwrap()
    }

    /// Some classes come twice and more.
    fn labels(&self) -> Vec<u32> {
        (0..self.batch as u32).map(|row| (row * row + 1) % self.classes as u32).collect()
    }

    fn objective(&self, entry: &LossEntry, parameters: &Table, kind: &Kind) -> Objective {
        let (centers, bias) = (kind.tensor(&self.centers()), kind.tensor(&self.bias()));
        Objective::from_centers(entry.name, parameters, &centers, Some(&bias)).unwrap()
    }
}

/// Where and in what type.
struct Kind {
    device: Device,
    dtype: DType,
}

impl Kind {
    fn exact() -> Self {
        Self { device: Device::Cpu, dtype: DType::F64 }
    }

    fn on(device: &Device) -> Self {
        Self { device: device.clone(), dtype: DType::F32 }
    }

    fn tensor(&self, of: &Tensor) -> Tensor {
        of.to_dtype(self.dtype).unwrap().to_device(&self.device).unwrap()
    }
}

fn host(tensor: &Tensor) -> Vec<f64> {
    values(&tensor.to_device(&Device::Cpu).unwrap()).unwrap()
}

/// Everything that a step gives, by name.
type Given = BTreeMap<String, Vec<f64>>;

/// Three steps.
fn run(sizes: &Sizes, entry: &LossEntry, parameters: &Table, kind: &Kind) -> Vec<Given> {
    let mut objective = sizes.objective(entry, parameters, kind);
    let step = |step: u64| {
        let embeddings = Var::from_tensor(&kind.tensor(&sizes.embeddings(step))).unwrap();
        let output = objective.forward(&embeddings, &sizes.labels(), step).unwrap();
        let store = objective.backward(&output).unwrap();
        let mut given = Given::from([
            ("loss".to_owned(), vec![output.value]),
            ("loss as a tensor".to_owned(), host(&output.loss)),
            ("target cosines".to_owned(), output.target_cosines.clone()),
            ("d_embeddings".to_owned(), host(store.get(&embeddings).unwrap())),
        ]);
        for (name, parameter) in objective.parameters().iter() {
            if let Some(gradient) = store.get(parameter.var.as_tensor()) {
                given.insert(format!("d_{name}"), host(gradient));
            }
        }
        given.extend(objective.state().into_iter().map(|(name, value)| (name, vec![value])));
        given
    };
    (0..3).map(step).collect()
}

/// max |a − b| relative to max |b|; NaN if a value is.
fn relative(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let size = b.iter().fold(f64::MIN_POSITIVE, |max, b| max.max(b.abs()));
    let errors = a.iter().zip(b).map(|(a, b)| (a - b).abs() / size);
    errors.fold(0.0, |worst, error| if error <= worst { worst } else { error })
}

fn assert_close(what: &str, found: &[Given], expected: &[Given], tolerance: f64) {
    for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(found.keys().eq(expected.keys()), "{what}: {:?} and {:?}", found.keys(), expected.keys());
        for (name, expected) in expected {
            let tolerance = if name == "target cosines" { 1e-12 } else { tolerance };
            let error = relative(&found[name], expected);
            assert!(error < tolerance, "{what}: {name} of step {step} is off by {error}");
        }
    }
}

/// All losses that take `parameters`.
fn taking(parameters: &Table) -> Vec<&'static LossEntry> {
    let takes = |entry: &&LossEntry| {
        let known = defaults(entry.name).unwrap();
        parameters.keys().all(|key| known.contains_key(key))
    };
    losses().unwrap().into_iter().filter(takes).collect()
}

/// Every loss that takes `parameters` gives on the device what it gives on the CPU in f64.
fn check(sizes: Sizes, parameters: &str) {
    let Some(device) = device() else { return };
    let parameters = table(parameters);
    for entry in taking(&parameters) {
        if 1 < sizes.sub_centers && !defaults(entry.name).unwrap().contains_key("sub_centers") {
            continue;
        }
        let what = format!("{} with {parameters} of {sizes:?}", entry.name);
        let found = run(&sizes, entry, &parameters, &Kind::on(&device));
        assert_close(&what, &found, &run(&sizes, entry, &parameters, &Kind::exact()), TOLERANCE);
    }
}

#[test]
fn every_loss_is_as_on_the_cpu() {
    check(sizes(6, 7, 1, 8), "");
    check(sizes(1, 2, 1, 3), "");
    check(sizes(33, 101, 1, 16), "");
    check(sizes(7, 45, 1, 131), "");
}

#[test]
fn every_chunk_is_as_on_the_cpu() {
    for chunk in ["chunk = 1", "chunk = 10", "chunk = 101", "chunk = 'dense'"] {
        // Products of four rows find room in gradients of width six, those of eight do not.
        check(sizes(4, 23, 1, 6), chunk);
        check(sizes(8, 23, 1, 6), chunk);
    }
}

#[test]
fn sub_centers_are_as_on_the_cpu() {
    for more in ["", "pooling = 'soft'", "chunk = 4", "chunk = 4; pooling = 'soft'; gamma_pooling = 3"] {
        check(sizes(9, 13, 3, 7), more);
        check(sizes(5, 13, 2, 7), more);
    }
}

#[test]
fn samples_are_as_on_the_cpu() {
    for more in ["sample_rate = 0.4", "sample_rate = 0.4; chunk = 5", "sample_rate = 0.3; chunk = 'dense'"] {
        check(sizes(9, 40, 1, 12), more);
        check(sizes(6, 40, 3, 12), more);
    }
}

#[test]
fn terms_are_as_on_the_cpu() {
    let all = "terms = [{ name = 'intra', weight = 0.5 }, { name = 'inter' }, { name = 'triplet', weight = 2.0 }]";
    for more in [all, "terms = [{ name = 'intra' }]", &format!("sample_rate = 0.5; {all}")] {
        check(sizes(9, 11, 1, 7), more);
        check(sizes(9, 11, 3, 7), more);
    }
}

#[test]
fn a_margin_warms_up_as_on_the_cpu() {
    check(sizes(5, 9, 1, 6), "warmup_steps = 2; scale = 30.3");
}

#[test]
fn many_classes_are_as_on_the_cpu() {
    let Some(device) = device() else { return };
    // More than a block takes, and more than a chunk.
    for (sizes, parameters) in [(sizes(3, 17_003, 1, 5), ""), (sizes(4, 9001, 2, 3), "chunk = 8500")] {
        let parameters = table(parameters);
        for name in ["arcface", "curricularface", "softmax"] {
            let entry = arcface_losses::find(name).unwrap();
            if name == "softmax" && !parameters.is_empty() {
                continue;
            }
            let found = run(&sizes, entry, &parameters, &Kind::on(&device));
            assert_close(name, &found, &run(&sizes, entry, &parameters, &Kind::exact()), TOLERANCE);
        }
    }
}

#[test]
fn chunks_agree_and_bytes_stay() {
    let Some(device) = device() else { return };
    let sizes = sizes(21, 67, 2, 10);
    for name in ["arcface", "curricularface", "adaface"] {
        let entry = arcface_losses::find(name).unwrap();
        let run = |chunk: &str| run(&sizes, entry, &table(&format!("scale = 16; {chunk}")), &Kind::on(&device));
        let dense = run("chunk = 'dense'");
        for chunk in ["chunk = 1", "chunk = 9", "chunk = 'auto'"] {
            let found = run(chunk);
            assert_close(&format!("{name} with {chunk}"), &found, &dense, 1e-5);
            assert!(found == run(chunk), "{name} with {chunk}");
        }
    }
}

/// Embeddings on, opposite to and at right angles to their centers, and of no length.
fn extreme() -> (Tensor, Tensor) {
    let axis = |class: usize, length: f32| (0..6).map(move |i| if i == class { length } else { 0.0 });
    let rows = [(0, 2.0), (1, -3.0), (5, 1.0), (4, 0.0), (0, 7.0), (0, 1e-30)];
    let rows: Vec<f32> = rows.into_iter().flat_map(|(class, length)| axis(class, length)).collect();
    let centers: Vec<f32> = (0..5).flat_map(|class| axis(class, 0.5)).collect();
    let tensor = |values: Vec<f32>| {
        let count = values.len() / 6;
        Tensor::from_vec(values, (count, 6), &Device::Cpu).unwrap()
    };
    (tensor(rows), tensor(centers))
}

#[test]
fn extreme_cosines_are_as_on_the_cpu() {
    let Some(device) = device() else { return };
    let (embeddings, centers) = extreme();
    for entry in losses().unwrap() {
        let evaluate = |device: &Device| {
            let centers = centers.to_device(device).unwrap();
            let mut objective = Objective::from_centers(entry.name, &Table::new(), &centers, None).unwrap();
            let embeddings = embeddings.to_device(device).unwrap();
            let Evaluation { loss, d_embeddings, d_centers, .. } =
                objective.evaluate(&embeddings, &[0, 1, 2, 3, 0, 0], 0).unwrap();
            // Those of no length have huge gradients.
            let rows: Vec<Vec<f64>> = host(&d_embeddings).chunks(6).map(<[f64]>::to_vec).collect();
            [vec![host(&loss), host(&d_centers)], rows].concat()
        };
        for (found, expected) in evaluate(&device).iter().zip(evaluate(&Device::Cpu)) {
            assert!(found.iter().all(|value| value.is_finite()), "{}: {found:?}", entry.name);
            let error = found.iter().zip(&expected).fold(0.0, |worst: f64, (a, b)| {
                worst.max((a - b).abs() / expected.iter().fold(1e-3, |max: f64, b| max.max(b.abs())))
            });
            assert!(error < TOLERANCE, "{}: {found:?}, not {expected:?}", entry.name);
        }
    }
}

#[test]
fn what_is_not_finite_gives_such_a_loss() {
    let Some(device) = device() else { return };
    let sizes = sizes(4, 9, 1, 6);
    // Without centers nothing but the triplets that are found is looked at.
    for entry in losses().unwrap().into_iter().filter(|entry| entry.has_centers()) {
        for broken in [f32::NAN, f32::INFINITY] {
            let mut embeddings = sizes.embeddings(0).flatten_all().unwrap().to_vec1::<f32>().unwrap();
            embeddings[8] = broken;
            let embeddings = Tensor::from_vec(embeddings, (4, 6), &device).unwrap();
            let mut objective = sizes.objective(entry, &Table::new(), &Kind::on(&device));
            let state = objective.state();
            let Output { value, .. } = objective.forward(&embeddings, &[0, 1, 0, 1], 0).unwrap();
            assert!(!value.is_finite(), "{}: {value} by {broken}", entry.name);
            assert_eq!(objective.state(), state);
            let error = objective.evaluate(&embeddings, &[0, 1, 0, 1], 0).unwrap_err().to_string();
            assert!(error.starts_with("embeddings: row 1: expected finite values"), "{error}");
        }
    }
}

#[test]
fn a_head_on_a_device_begins_as_on_the_cpu() {
    let Some(device) = device() else { return };
    let build = |device: &Device| {
        let shape = HeadShape { num_classes: 5, embedding_size: 4, dtype: DType::F32, device, seed: 3 };
        Objective::build("softmax", &Table::new(), shape).unwrap()
    };
    let (there, here) = (build(&device), build(&Device::Cpu));
    for (name, parameter) in there.parameters().iter() {
        assert!(parameter.var.device().is_cuda());
        let host = parameter.var.to_device(&Device::Cpu).unwrap();
        assert_eq!(bits(&host).unwrap(), bits(here.parameters().get(name).unwrap().var.as_tensor()).unwrap());
    }
}

#[test]
fn tensors_elsewhere_are_refused() {
    let Some(device) = device() else { return };
    let sizes = sizes(4, 9, 1, 6);
    let entry = arcface_losses::find("arcface").unwrap();
    let refused = |head: &Kind, embeddings: &Tensor| {
        let mut objective = sizes.objective(entry, &Table::new(), head);
        objective.forward(embeddings, &sizes.labels(), 0).unwrap_err().to_string()
    };
    let (there, here) = (Kind::on(&device), Kind { device: Device::Cpu, dtype: DType::F32 });
    let embeddings = sizes.embeddings(0);
    insta::assert_snapshot!(refused(&there, &embeddings), @"embeddings: expected a tensor on a CUDA device, got Cpu");
    insta::assert_snapshot!(refused(&here, &there.tensor(&embeddings)), @"centers: expected a tensor on a CUDA device, got Cpu");
}
