//! Time of the operators that are bound by memory, at sizes of mobilefacenet and iresnet; bytes count each tensor
//! that must be read or written once. Knows no convolution.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench that cannot go on has failed")]

use std::hint::black_box;

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_core::ops::{
    DropKey, add, batch_norm_add_train, batch_norm_eval, batch_norm_prelu_train, batch_norm_train, channel_statistics,
    dropout, prelu,
};
use arcface_core::optim::{AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig};
use arcface_core::testing::normal;
use arcface_core::{Gradients, Parameters, Role};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

/// As in the binaries: pages are kept, not returned to the system and cleared again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Batch 16 of mobilefacenet's widest early layer, of iresnet's second and third stages, and an embedding.
const SHAPES: [&[usize]; 4] = [&[16, 56, 56, 128], &[16, 28, 28, 128], &[16, 14, 14, 256], &[64, 512]];

fn elementwise(criterion: &mut Criterion) {
    for shape in SHAPES {
        let mut group = criterion.benchmark_group(format!("{shape:?}"));
        // Criterion's own test mode (`--test`) runs each once; else a second each is enough for a ratio.
        group.sample_size(10).measurement_time(std::time::Duration::from_millis(600));
        group.warm_up_time(std::time::Duration::from_millis(200));
        forward(&mut group, shape);
        backward(&mut group, shape);
        group.finish();
    }
}

/// Runs `work`, which touches `tensors` tensors of the shape.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    shape: &[usize],
    tensors: u64,
    mut work: impl FnMut(),
) {
    let bytes = 4 * shape.iter().product::<usize>() as u64;
    group.throughput(Throughput::Bytes(tensors * bytes));
    group.bench_function(name, |bencher| bencher.iter(&mut work));
}

fn forward(group: &mut BenchmarkGroup<'_, WallTime>, shape: &[usize]) {
    let channels = shape[shape.len() - 1];
    let x = normal(shape, DType::F32, 0).unwrap();
    let (affine, slope) = (normal(&[2, channels], DType::F32, 1).unwrap(), normal(&[channels], DType::F32, 2).unwrap());
    let statistics = channel_statistics(&x).unwrap();
    let key = DropKey { seed: 0, step: 0, layer: 0 };
    measure(group, "batch_norm_train", shape, 3, || drop(black_box(batch_norm_train(&x, &affine, 1e-5).unwrap())));
    measure(group, "batch_norm_prelu_train", shape, 3, || {
        drop(black_box(batch_norm_prelu_train(&x, &affine, &slope, 1e-5).unwrap()));
    });
    measure(group, "batch_norm_add_train", shape, 4, || {
        drop(black_box(batch_norm_add_train(&x, &affine, &x, 1e-5).unwrap()));
    });
    measure(group, "batch_norm_train_and_add", shape, 6, || {
        drop(black_box(add(&batch_norm_train(&x, &affine, 1e-5).unwrap().0, &x).unwrap()));
    });
    measure(group, "batch_norm_eval", shape, 2, || {
        drop(black_box(batch_norm_eval(&x, &affine, &statistics, 1e-5).unwrap()));
    });
    measure(group, "channel_statistics", shape, 1, || drop(black_box(channel_statistics(&x).unwrap())));
    measure(group, "prelu", shape, 2, || drop(black_box(prelu(&x, &slope).unwrap())));
    measure(group, "add", shape, 3, || drop(black_box(add(&x, &x).unwrap())));
    measure(group, "add_of_candle", shape, 3, || drop(black_box((&x + &x).unwrap())));
    measure(group, "dropout", shape, 2, || drop(black_box(dropout(&x, 0.4, key).unwrap())));
}

/// The backward pass alone is not to be had from candle: times include zeroing and adding in its gradient store.
fn backward(group: &mut BenchmarkGroup<'_, WallTime>, shape: &[usize]) {
    let channels = shape[shape.len() - 1];
    let x = Var::from_tensor(&normal(shape, DType::F32, 0).unwrap()).unwrap();
    let affine = Var::from_tensor(&normal(&[2, channels], DType::F32, 1).unwrap()).unwrap();
    let slope = Var::from_tensor(&normal(&[channels], DType::F32, 2).unwrap()).unwrap();
    let (y, _) = batch_norm_train(&x, &affine, 1e-5).unwrap();
    measure(group, "batch_norm_train_backward", shape, 5, || drop(black_box(y.backward().unwrap())));
    let (y, _) = batch_norm_prelu_train(&x, &affine, &slope, 1e-5).unwrap();
    measure(group, "batch_norm_prelu_train_backward", shape, 5, || drop(black_box(y.backward().unwrap())));
    let y: Tensor = prelu(&x, &slope).unwrap();
    measure(group, "prelu_backward", shape, 3, || drop(black_box(y.backward().unwrap())));
}

fn optimisers(criterion: &mut Criterion) {
    let shape = [2048, 2048];
    let mut parameters = Parameters::new(DType::F32, &Device::Cpu);
    parameters.add("weight", &normal(&shape, DType::F32, 0).unwrap(), Role::Trained).unwrap();
    let mut gradients = Gradients::default();
    gradients.insert("weight", normal(&shape, DType::F32, 1).unwrap());
    let mut group = criterion.benchmark_group("4 million parameters");
    group.sample_size(10).measurement_time(std::time::Duration::from_millis(600));
    let mut sgd = Sgd::new(SgdConfig::default(), &parameters).unwrap();
    measure(&mut group, "sgd", &shape, 5, || sgd.step(&parameters, &gradients, 1e-3).unwrap());
    let mut adamw = AdamW::new(AdamWConfig::default(), &parameters).unwrap();
    measure(&mut group, "adamw", &shape, 7, || adamw.step(&parameters, &gradients, 1e-3).unwrap());
    measure(&mut group, "norm", &shape, 1, || {
        black_box(gradients.norm().unwrap());
    });
    group.finish();
}

criterion_group!(benches, elementwise, optimisers);
criterion_main!(benches);
