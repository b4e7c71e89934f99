//! How fast faces come: drawn, decoded from JPEG, and read from a folder into normalised batches.
//! Knows no network.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench that cannot go on has failed")]

use std::hint::black_box;
use std::sync::Arc;

use arcface_data::image::{decode, encode_jpeg};
use arcface_data::{
    FileFormat, FolderOptions, FolderSource, Loader, LoaderConfig, ProceduralConfig, ProceduralSource, Source, generate,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const BATCH: usize = 32;

fn faces() -> ProceduralSource {
    let config = ProceduralConfig { identities: 8, images_per_identity: 8, ..ProceduralConfig::default() };
    ProceduralSource::new(config).unwrap()
}

fn single(criterion: &mut Criterion) {
    let source = faces();
    let jpeg = encode_jpeg(&source.image(0).unwrap(), 90).unwrap();
    let mut group = criterion.benchmark_group("one face of 112x112");
    group.throughput(Throughput::Elements(1));
    let mut index = 0;
    group.bench_function("drawn", |bencher| {
        bencher.iter(|| {
            index = (index + 1) % source.len();
            black_box(source.image(index).unwrap())
        });
    });
    group.bench_function("decoded", |bencher| bencher.iter(|| black_box(decode(&jpeg).unwrap())));
    group.finish();
}

fn folder(criterion: &mut Criterion) {
    let place = tempfile::tempdir().unwrap();
    generate(&faces(), &place.path().join("faces"), FileFormat::Jpeg(90), 2, |_| ()).unwrap();
    let source: Arc<dyn Source> =
        Arc::new(FolderSource::open(place.path().join("faces"), &FolderOptions::default()).unwrap());
    let mut group = criterion.benchmark_group("batches of 32 from a folder");
    group.throughput(Throughput::Elements(8 * BATCH as u64)).sample_size(10);
    for (name, cache_bytes) in [("decoded", 0), ("cached", 1 << 30)] {
        let config = LoaderConfig { batch_size: BATCH, cache_bytes, ..LoaderConfig::default() };
        let loader = Loader::new(source.clone(), &config).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| loader.batches(0, 8).for_each(|batch| drop(black_box(batch.unwrap()))));
        });
    }
    group.finish();
}

criterion_group!(benches, single, folder);
criterion_main!(benches);
