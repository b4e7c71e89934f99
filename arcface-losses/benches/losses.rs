//! A step of every registered loss: forward and both gradients of a batch of 64 against 1,000 classes.

use arcface_core::testing::normal;
use arcface_losses::{HeadShape, Objective, losses};
use candle_core::{DType, Device};
use criterion::{Criterion, criterion_group, criterion_main};

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

criterion_group!(benches, every_loss);
criterion_main!(benches);
