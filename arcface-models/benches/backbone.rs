//! Forward pass and training step of the small networks, in images per second.
//! Knows no loss: the embeddings' squares stand for one.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![expect(clippy::unwrap_used, reason = "a bench says by panicking what went wrong")]

use arcface_core::Gradients;
use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::testing::normal;
use arcface_models::{Architecture, Backbone, BackboneConfig};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NETWORKS: [(Architecture, usize); 2] = [(Architecture::FaceNano, 16), (Architecture::MobileFaceNet, 4)];

fn network(architecture: Architecture, batch: usize) -> (Backbone, Tensor) {
    let backbone = Backbone::new(&BackboneConfig::new(architecture), 0, DType::F32, &Device::Cpu).unwrap();
    (backbone, normal(&[batch, 3, 112, 112], DType::F32, 0).unwrap())
}

fn training_step(backbone: &Backbone, images: &Tensor) -> Gradients {
    let pass = backbone.training_pass(images, 0, 0).unwrap();
    let loss = pass.embeddings().sqr().unwrap().mean_all().unwrap();
    backbone.commit_statistics().unwrap();
    pass.backward(&loss).unwrap()
}

fn networks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("backbone");
    group.sample_size(10);
    for (architecture, batch) in NETWORKS {
        let (backbone, images) = network(architecture, batch);
        group.throughput(Throughput::Elements(batch as u64));
        let inference = backbone.inference().unwrap();
        group.bench_function(BenchmarkId::new("inference", architecture), |bencher| {
            bencher.iter(|| inference.forward(&images).unwrap());
        });
        group.bench_function(BenchmarkId::new("training_step", architecture), |bencher| {
            bencher.iter(|| training_step(&backbone, &images));
        });
    }
}

criterion_group!(benches, networks);
criterion_main!(benches);
