//! A step of every registered loss: forward and both gradients of a batch of 64 against 1,000 classes. And a step of
//! the head of many classes with its centers' update, dense, in chunks and sampled.

use arcface_core::optim::{Optimizer, Sgd, SgdConfig};
use arcface_core::testing::normal;
use arcface_losses::{HeadShape, Objective, losses};
use candle_core::{DType, Device};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// As in the binaries: pages are kept, not returned to the system and cleared again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 64;
const CLASSES: usize = 1000;
const SIZE: usize = 128;

fn every_loss(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("losses");
    group.sample_size(10);
    let labels: Vec<u32> = (0..BATCH as u32).map(|row| row / 2 * 7 % CLASSES as u32).collect();
    let embeddings = normal(&[BATCH, SIZE], DType::F32, 0).expect("normal embeddings");
    for entry in losses().expect("no duplicates") {
        let shape =
            HeadShape { num_classes: CLASSES, embedding_size: SIZE, dtype: DType::F32, device: &Device::Cpu, seed: 0 };
        let mut objective = Objective::build(entry.name, &toml::Table::new(), shape).expect("its own defaults");
        group.bench_function(entry.name, |bencher| {
            bencher.iter(|| objective.forward(&embeddings, &labels, 0).expect("a fit batch"));
        });
    }
    group.finish();
}

/// Batch 128 of embeddings of 512; criterion's test mode (`--test`) looks only whether it runs.
fn many_classes(criterion: &mut Criterion) {
    let testing = std::env::args().any(|argument| argument == "--test");
    let (batch, size) = if testing { (8, 16) } else { (128, 512) };
    let mut group = criterion.benchmark_group("head");
    group.sample_size(10);
    for classes in if testing { vec![100] } else { vec![1_000, 10_000, 100_000] } {
        for (name, parameters) in
            [("dense", "chunk = 'dense'"), ("chunked", "chunk = 'auto'"), ("sampled", "sample_rate = 0.1")]
        {
            let mut step = head_step(parameters, classes, batch, size);
            group.bench_function(BenchmarkId::new(name, classes), |bencher| bencher.iter(&mut step));
        }
    }
    group.finish();
}

/// Loss, both gradients and the centers' update by `SGD`.
fn head_step(parameters: &str, num_classes: usize, batch: usize, embedding_size: usize) -> impl FnMut() {
    let shape = HeadShape { num_classes, embedding_size, dtype: DType::F32, device: &Device::Cpu, seed: 0 };
    let parameters = parameters.parse().expect("a table");
    let mut objective = Objective::build("arcface", &parameters, shape).expect("a fit head");
    let mut sgd = Sgd::new(SgdConfig::default(), objective.parameters()).expect("fit settings");
    let embeddings = normal(&[batch, embedding_size], DType::F32, 0).expect("normal embeddings");
    let labels: Vec<u32> = (0..batch).map(|row| (row / 2 * 7 % num_classes) as u32).collect();
    let mut step = 0;
    move || {
        let output = objective.forward(&embeddings, &labels, step).expect("a fit batch");
        // A small rate, so that the step stays one of training's beginning.
        sgd.step(objective.parameters(), &output.gradients, 1e-6).expect("fit gradients");
        step += 1;
    }
}

criterion_group!(benches, every_loss, many_classes);
criterion_main!(benches);
