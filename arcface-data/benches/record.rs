//! RecordIO: random reads against what disk and decoder give by themselves, and how long a long index takes to open.
//! Knows no network.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench that cannot go on has failed")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use arcface_core::seed::{Purpose, rng};
use arcface_data::convert::{Container, convert};
use arcface_data::image::{decode, encode_jpeg};
use arcface_data::record::RecordFile;
use arcface_data::{
    FileFormat, FolderOptions, FolderSource, ProceduralConfig, ProceduralSource, RecordSource, Source, generate,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::Rng;

/// Lines of the long index; `ARCFACE_BENCH_RECORDS` asks for another number.
const RECORDS: usize = 20_000;

/// Bytes of the header of a frame and of a record with one label.
const HEADERS: u64 = 8 + 24;

/// Faces as JPEG in a `.rec`, and where each image lies in it.
fn faces(place: &Path) -> (RecordSource, Vec<(u64, usize)>) {
    let config = ProceduralConfig { identities: 16, images_per_identity: 16, ..ProceduralConfig::default() };
    let (folder, target) = (place.join("faces"), place.join("records/train.rec"));
    generate(&ProceduralSource::new(config).unwrap(), &folder, FileFormat::Jpeg(90), 2, |_| ()).unwrap();
    convert(&FolderSource::open(folder, &FolderOptions::default()).unwrap(), &target, Container::Record, |_| true)
        .unwrap();
    let source = RecordSource::open(&target).unwrap();
    let index = fs::read_to_string(target.with_extension("idx")).unwrap();
    let offsets = index.lines().map(|line| line.split_once('\t').unwrap().1.parse::<u64>().unwrap());
    let lengths = (0..source.len()).map(|index| source.encoded(index).unwrap().unwrap().len());
    let places = offsets.zip(lengths).map(|(offset, length)| (offset + HEADERS, length)).collect();
    (source, places)
}

fn random_reads(criterion: &mut Criterion) {
    let place = tempfile::tempdir().unwrap();
    let (source, places) = faces(place.path());
    let mut file = File::open(source.path()).unwrap();
    let mut random = rng(0, Purpose::Testing, 0, 0);
    let order: Vec<usize> = (0..source.len()).map(|_| random.random_range(0..source.len())).collect();
    let mut group = criterion.benchmark_group("256 faces in random order");
    group.throughput(Throughput::Elements(order.len() as u64)).sample_size(20);
    group.bench_function("read and decoded without RecordIO", |bencher| {
        bencher.iter(|| {
            for index in &order {
                let (offset, length) = places[*index];
                let mut bytes = vec![0; length];
                file.seek(SeekFrom::Start(offset)).unwrap();
                file.read_exact(&mut bytes).unwrap();
                black_box(decode(&bytes).unwrap());
            }
        });
    });
    group.bench_function("of a RecordSource", |bencher| {
        bencher.iter(|| order.iter().for_each(|index| drop(black_box(source.image(*index).unwrap()))));
    });
    group.bench_function("of a RecordSource, not decoded", |bencher| {
        bencher.iter(|| order.iter().for_each(|index| drop(black_box(source.encoded(*index).unwrap()))));
    });
    group.finish();
}

/// A `.rec` with small records and a line of index for each.
fn long_index(place: &Path, records: usize) {
    let jpeg = encode_jpeg(&arcface_data::Image::filled(8, 8, [9; 3]), 50).unwrap();
    let mut writer = arcface_data::record::RecordWriter::create(place.join("train.rec")).unwrap();
    (0..records).for_each(|number| writer.push((number / 50) as u32, &jpeg).unwrap());
    writer.finish().unwrap();
    // Shuffled lines are harder than those that a writer leaves.
    let text = fs::read_to_string(place.join("train.idx")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let mut random = rng(0, Purpose::Testing, 0, 1);
    (1..lines.len()).for_each(|last| lines.swap(last, random.random_range(0..=last)));
    fs::create_dir(place.join("shuffled")).unwrap();
    fs::hard_link(place.join("train.rec"), place.join("shuffled/train.rec")).unwrap();
    let mut file = File::create(place.join("shuffled/train.idx")).unwrap();
    file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
}

fn opening(criterion: &mut Criterion) {
    let records = std::env::var("ARCFACE_BENCH_RECORDS").ok().and_then(|number| number.parse().ok()).unwrap_or(RECORDS);
    let place = tempfile::tempdir().unwrap();
    long_index(place.path(), records);
    let mut group = criterion.benchmark_group(format!("opening {records} records"));
    group.throughput(Throughput::Elements(records as u64)).sample_size(10);
    for (name, folder) in [("in order", "."), ("shuffled", "shuffled")] {
        let path = place.path().join(folder).join("train.rec");
        group.bench_function(format!("index {name}"), |bencher| {
            bencher.iter(|| black_box(RecordFile::open(&path).unwrap()));
        });
        group.bench_function(format!("index and labels {name}"), |bencher| {
            bencher.iter(|| black_box(RecordSource::open(&path).unwrap()));
        });
    }
    group.finish();
}

criterion_group!(benches, random_reads, opening);
criterion_main!(benches);
