//! How long the figures of a verification take, from embeddings to table.
//! Knows no files.

use std::hint::black_box;

use arcface_core::seed::{Purpose, rng};
use arcface_eval::{Embeddings, Roc, verify};
use criterion::{Criterion, criterion_group, criterion_main};
use rand::Rng;

const PAIRS: usize = 6000;
const SIZE: usize = 512;

fn figures(criterion: &mut Criterion) {
    let mut draws = rng(0, Purpose::Testing, 0, 0);
    let values: Vec<f32> = (0..2 * PAIRS * SIZE).map(|_| draws.random_range(-1.0..1.0)).collect();
    let pairs: Vec<(usize, usize)> = (0..PAIRS).map(|pair| (2 * pair, 2 * pair + 1)).collect();
    let same: Vec<bool> = (0..PAIRS).map(|pair| pair % 2 == 0).collect();
    let Ok(embeddings) = Embeddings::normalised(&values, SIZE) else { return };
    let Ok(distances) = embeddings.squared_distances(&pairs) else { return };

    let mut group = criterion.benchmark_group("lfw");
    group.sample_size(10);
    group.bench_function("distances", |b| b.iter(|| embeddings.squared_distances(black_box(&pairs))));
    group.bench_function("verify", |b| b.iter(|| verify(black_box(&distances), &same, 10)));
    group.bench_function("roc", |b| b.iter(|| Roc::from_distances(black_box(&distances), &same)));
    group.finish();
}

criterion_group!(benches, figures);
criterion_main!(benches);
