//! How long the protocols take at IJB-C's shape (templates, pairs, rates) and over all pairs of two sets.
//! Knows no files; a hundredth of the shape as a rule, all of it with `ARCFACE_BENCH_FULL=1`.

use std::hint::black_box;

use arcface_core::ops::matmul::{Accumulate, MatRef, matmul};
use arcface_eval::scores::Faces;
use arcface_eval::template::{Pooling, PoolingConfig, Templates, meta::Member};
use arcface_eval::{Embeddings, Pairs, tar_at_far};
use criterion::{Criterion, criterion_group, criterion_main};

const SIZE: usize = 512;

const FARS: [f64; 6] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1];

/// Numbers of a protocol.
struct Shape {
    images: usize,
    templates: usize,
    subjects: usize,
    genuine: usize,
    pairs: usize,
}

const IJB_C: Shape = Shape { images: 469_375, templates: 23_124, subjects: 3_531, genuine: 19_557, pairs: 15_658_489 };

impl Shape {
    fn chosen() -> Self {
        let part = if std::env::var_os("ARCFACE_BENCH_FULL").is_some() { 1 } else { 100 };
        let Self { images, templates, subjects, genuine, pairs } = IJB_C;
        Self {
            images: images / part,
            templates: templates / part,
            subjects: subjects / part,
            genuine: genuine / part,
            pairs: pairs / part,
        }
    }

    fn template(&self, image: usize) -> usize {
        image * self.templates / self.images
    }

    fn members(&self) -> Vec<Member<'static>> {
        let member = |image| Member { image: "", template: self.template(image) as u32, media: (image / 3 % 4) as u32 };
        (0..self.images).map(member).collect()
    }

    /// Of each image its subject's direction and as much of its own.
    fn embeddings(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.images * SIZE);
        for image in 0..self.images {
            let subject = self.template(image) % self.subjects;
            let value = |at| uniform(subject * SIZE + at + (1 << 31)) + uniform(image * SIZE + at);
            values.extend((0..SIZE).map(value));
        }
        values
    }

    fn pairs(&self) -> (Vec<(u32, u32)>, Vec<bool>) {
        let pair = |index: usize| {
            if index < self.genuine {
                let first = index % (self.templates - self.subjects);
                (first as u32, (first + self.subjects) as u32)
            } else {
                let template = |index| hash(index) % self.templates as u32;
                (template(index), template(index + (1 << 31)))
            }
        };
        let subject = |template: u32| template as usize % self.subjects;
        let pairs: Vec<(u32, u32)> = (0..self.pairs).map(pair).collect();
        let same = pairs.iter().map(|&(a, b)| subject(a) == subject(b)).collect();
        (pairs, same)
    }
}

/// A number that looks drawn.
fn hash(index: usize) -> u32 {
    let x = index as u32;
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// A number within [−1, 1) that looks drawn.
fn uniform(index: usize) -> f32 {
    (hash(index) >> 8) as f32 / 8_388_608.0 - 1.0
}

fn templates(members: &[Member<'_>], embeddings: &[f32], scores: &[f32]) -> arcface_core::Result<Templates> {
    let batch = 8192;
    let mut pooling = Pooling::new(members, SIZE, PoolingConfig::default())?;
    for (index, (rows, scores)) in embeddings.chunks(batch * SIZE).zip(scores.chunks(batch)).enumerate() {
        pooling.add_all(index * batch, rows, scores)?;
    }
    pooling.finish()
}

fn ijb(criterion: &mut Criterion) {
    let shape = Shape::chosen();
    let (members, embeddings) = (shape.members(), shape.embeddings());
    let scores: Vec<f32> = (0..shape.images).map(|image| 0.5 + (image % 50) as f32 / 128.0).collect();
    let (pairs, same) = shape.pairs();
    let Ok(pooled) = templates(&members, &embeddings, &scores) else { return };
    let listed = Pairs::Listed { embeddings: pooled.embeddings(), pairs: &pairs, same: &same };

    let mut group = criterion.benchmark_group("ijb-c");
    group.sample_size(10);
    group.bench_function("templates", |b| b.iter(|| templates(&members, black_box(&embeddings), &scores)));
    group.bench_function("rates", |b| b.iter(|| tar_at_far(&[black_box(listed)], &FARS)));
    group.finish();
}

/// All pairs of two sets beside the matrix product alone.
fn sets(criterion: &mut Criterion) {
    let rows = if std::env::var_os("ARCFACE_BENCH_FULL").is_some() { 16_384 } else { 2048 };
    let side = |from: usize| {
        let values: Vec<f32> = (0..rows * SIZE).map(|index| uniform(from + index)).collect();
        Embeddings::normalised(&values, SIZE)
    };
    let (Ok(probes), Ok(gallery)) = (side(0), side(1 << 30)) else { return };
    let identities: Vec<u32> = (0..rows as u32).collect();
    let faces = |embeddings| Faces { rows: embeddings, identities: &identities };
    let pairs = Pairs::Between(faces(&probes), faces(&gallery));
    let block = rows.min(4096);
    let flat =
        |embeddings: &Embeddings| -> Vec<f32> { (0..block).flat_map(|row| embeddings.row(row).to_vec()).collect() };
    let (a, b) = (flat(&probes), flat(&gallery));
    let mut product = vec![0.0; block * block];

    let mut group = criterion.benchmark_group("sets");
    group.sample_size(10);
    group.bench_function("all pairs", |bench| bench.iter(|| tar_at_far(&[black_box(pairs)], &[1e-6])));
    group.bench_function("matrix product", |bench| {
        bench.iter(|| {
            for _ in 0..(rows / block).pow(2) {
                let (a, b) = (MatRef::new(black_box(&a), block, SIZE), MatRef::new(&b, block, SIZE));
                matmul(a, b.transposed(), &mut product, Accumulate::Replace);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, ijb, sets);
criterion_main!(benches);
