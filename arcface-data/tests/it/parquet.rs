//! Parquet files: what they hold, whoever wrote them, and what becomes of files that are damaged.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arcface_core::seed::{Purpose, rng};
use arcface_data::convert::{Container, convert, summary};
use arcface_data::image::encode_png;
use arcface_data::source::is_parquet_folder;
use arcface_data::{FolderOptions, FolderSource, Image, ParquetSource, RecordSource, Source};
use insta::assert_snapshot;
use parquet::basic::{Compression, Type};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::SchemaDescriptor;
use rand::Rng;
use tempfile::tempdir;

use crate::support::{message, noise};

// Written with pyarrow 26.0.1; `png(c)` is a PNG of 2×2 pixels of colour c:
//   images = [{"bytes": png([n, 2 * n, 3 * n]), "path": f"{n}.png"} for n in (10, 20, 30, 10)]
//   image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
//   table = pa.table({"image": pa.array(images, image), "label": pa.array([7, 3, 7, 90], pa.int64())})
//   pq.write_table(table, "hub.parquet", compression="snappy", row_group_size=3)
//   pq.write_table(table, "plain.parquet", compression="none", use_dictionary=False, data_page_version="2.0")
//   pq.write_table(table, "zstd.parquet", compression="zstd")
const HUB: &[u8] = include_bytes!("parquet/hub.parquet");
const PLAIN: &[u8] = include_bytes!("parquet/plain.parquet");
const ZSTD: &[u8] = include_bytes!("parquet/zstd.parquet");

const STRUCT: &str =
    "message m { optional group image { optional binary bytes; optional binary path (UTF8); } optional int64 label; }";
const BINARY: &str = "message m { required binary image; required int32 identity; }";

type Face = (Option<Vec<u8>>, Option<i64>);

/// A file of images and labels, `rows` to a row group and two to a page; `None` is null.
fn write(path: &Path, schema: &str, faces: &[Face], rows: usize, version: WriterVersion) {
    let properties = WriterProperties::builder()
        .set_writer_version(version)
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(version == WriterVersion::PARQUET_1_0)
        .set_data_page_row_count_limit(2)
        .set_write_batch_size(2)
        .build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let columns = SchemaDescriptor::new(schema.clone());
    let mut writer = SerializedFileWriter::new(fs::File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    for faces in faces.chunks(rows) {
        let mut group = writer.next_row_group().unwrap();
        for column in columns.columns() {
            let mut writer = group.next_column().unwrap().unwrap();
            let whole = column.max_def_level();
            let levels = |has: &dyn Fn(&Face) -> bool| -> Vec<i16> {
                faces.iter().map(|face| if has(face) { whole } else { 0 }).collect()
            };
            let labels = faces.iter().filter_map(|face| face.1);
            match column.physical_type() {
                Type::INT32 => {
                    let labels: Vec<i32> = labels.map(|label| label as i32).collect();
                    writer.typed::<Int32Type>().write_batch(&labels, None, None).unwrap()
                }
                Type::INT64 => {
                    let (labels, levels) = (labels.collect::<Vec<_>>(), levels(&|face| face.1.is_some()));
                    writer.typed::<Int64Type>().write_batch(&labels, Some(&levels), None).unwrap()
                }
                _ if column.name() == "path" => {
                    writer.typed::<ByteArrayType>().write_batch(&[], Some(&levels(&|_| false)), None).unwrap()
                }
                _ => {
                    let images: Vec<_> = faces.iter().filter_map(|face| face.0.clone()).map(ByteArray::from).collect();
                    let levels = levels(&|face| face.0.is_some());
                    writer.typed::<ByteArrayType>().write_batch(&images, Some(&levels), None).unwrap()
                }
            };
            writer.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// Thirteen faces of noise, of the identities 5, 0 and 9.
fn faces() -> Vec<Face> {
    let face = |index: u64| (Some(encode_png(&noise(6, index)).unwrap()), Some([5, 0, 9][index as usize % 3]));
    (0..13).map(face).collect()
}

#[test]
fn what_python_wrote_is_read() {
    let folder = tempdir().unwrap();
    for (name, bytes) in [("hub.parquet", HUB), ("plain.parquet", PLAIN)] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let source = ParquetSource::open(&path).unwrap();
        assert_eq!((0..4).map(|index| source.label(index)).collect::<Vec<_>>(), [1, 0, 1, 2], "{name}");
        assert_eq!((0..3).map(|label| source.identity(label)).collect::<Vec<_>>(), ["3", "7", "90"]);
        for (index, n) in (0..).zip([10, 20, 30, 10]) {
            assert_eq!(source.image(index).unwrap(), Image::filled(2, 2, [n, 2 * n, 3 * n]));
            assert_eq!(source.dimensions(index).unwrap(), (2, 2));
        }
    }
}

#[test]
fn images_come_from_any_page_row_group_and_layout() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        for (schema, rows) in [(STRUCT, 1), (STRUCT, 5), (STRUCT, 13), (BINARY, 4), (BINARY, 13)] {
            write(&path, schema, &faces(), rows, version);
            let source = ParquetSource::open(&path).unwrap();
            assert_eq!((source.len(), source.num_identities()), (13, 3));
            for index in [12, 0, 7, 1, 11, 2, 6, 3, 10, 4, 9, 5, 8] {
                assert_eq!(source.identity(source.label(index)), ["5", "0", "9"][index % 3]);
                assert_eq!(source.image(index).unwrap(), noise(6, index as u64), "{schema} {rows} {version:?}");
            }
        }
    }
}

#[test]
fn a_folder_is_its_shards_to_train_on() {
    let folder = tempdir().unwrap();
    let [first, second, test] = ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"]
        .map(|name| folder.path().join(format!("{name}.parquet")));
    assert!(!is_parquet_folder(folder.path()));
    write(&test, STRUCT, &faces()[..2], 9, WriterVersion::PARQUET_1_0);
    assert_eq!(ParquetSource::open(folder.path()).unwrap().len(), 2);
    write(&second, STRUCT, &faces()[8..], 9, WriterVersion::PARQUET_1_0);
    assert_snapshot!(message(ParquetSource::open(folder.path()), folder.path()), @"ROOT: expected all shards that its files count, missing: train-00000-of-00002; fetch these too");
    assert_eq!(ParquetSource::open(&second).unwrap().len(), 5, "a file that is named is opened alone");
    write(&first, STRUCT, &faces()[..8], 9, WriterVersion::PARQUET_1_0);
    assert!(is_parquet_folder(folder.path()));
    let source = ParquetSource::open(folder.path()).unwrap();
    assert_eq!(source.len(), 13);
    assert!((0..13).all(|index| source.image(index).unwrap() == noise(6, index as u64)));
    assert_eq!(source.describe(8), format!("{}: row 0", second.display()));
}

#[test]
fn sets_convert_into_folders_and_records_and_stay_the_same() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write(&path, STRUCT, &faces(), 5, WriterVersion::PARQUET_1_0);
    let source = ParquetSource::open(&path).unwrap();
    let [records, images] = ["a.rec", "images"].map(|name| folder.path().join(name));
    let there = convert(&source, &records, Container::Record, |_| true).unwrap();
    convert(&source, &images, Container::Folder, |_| true).unwrap();
    assert_eq!(there, summary(&RecordSource::open(records).unwrap(), |_| true).unwrap());
    assert_eq!(there, summary(&FolderSource::open(images, &FolderOptions::default()).unwrap(), |_| true).unwrap());
    assert_eq!(there, summary(&source, |_| true).unwrap());
}

#[test]
fn many_threads_read_the_same_images() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write(&path, STRUCT, &faces(), 5, WriterVersion::PARQUET_1_0);
    let source = ParquetSource::open(&path).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let source = &source;
            scope.spawn(move || {
                for index in (0..130).map(|step| (step * 7 + thread) % 13) {
                    assert_eq!(source.image(index).unwrap(), noise(6, index as u64));
                }
            });
        }
    });
}

/// What opening a file of `bytes` answers.
fn complaint(bytes: &[u8]) -> String {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    fs::write(&path, bytes).unwrap();
    message(ParquetSource::open(&path), folder.path())
}

/// What opening a file of these faces answers, or else its first image.
fn answer(schema: &str, faces: &[Face]) -> String {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write(&path, schema, faces, 9, WriterVersion::PARQUET_1_0);
    message(ParquetSource::open(&path).and_then(|source| source.image(0)), folder.path())
}

#[test]
fn files_that_are_not_of_the_form() {
    assert_snapshot!(complaint(b""), @"ROOT/a.parquet: expected a .parquet, the file is empty");
    assert_snapshot!(complaint(b"PAR1 and no more"), @"ROOT/a.parquet: expected a Parquet file, from PAR1 to PAR1; it is another, or cut short");
    assert_snapshot!(complaint(b"PAR1\xff\xff\xff\x7fPAR1"), @"ROOT/a.parquet: it claims 2147483647 bytes of metadata; a file of 12 bytes cannot hold them");
    assert_snapshot!(complaint(&HUB[..HUB.len() - 20]), @"ROOT/a.parquet: expected a Parquet file, from PAR1 to PAR1; it is another, or cut short");
    assert_snapshot!(complaint(ZSTD), @"ROOT/a.parquet: column `label` is packed with ZSTD, expected snappy or none; write it again with snappy");
    let label = [(None, Some(1))];
    assert_snapshot!(answer("message m { required binary picture; required int64 label; }", &[(Some(vec![1]), Some(1))]), @"ROOT/a.parquet: expected a column of images (image.bytes, image; BYTE_ARRAY), found picture (BYTE_ARRAY), label (INT64)");
    assert_snapshot!(answer("message m { required binary image; required binary label; }", &[(Some(vec![1]), Some(1))]), @"ROOT/a.parquet: expected a column of labels (label, labels, identity, class; INT32 or INT64), found image (BYTE_ARRAY), label (BYTE_ARRAY)");
    assert_snapshot!(answer(STRUCT, &label), @"ROOT/a.parquet: row 0: expected an image, there is none; leave the row out");
    assert_snapshot!(answer(STRUCT, &[(Some(b"GIF89a".to_vec()), Some(1))]), @"ROOT/a.parquet: row 0: expected a JPEG or PNG image, the file begins with [47, 49, 46, 38]");
    assert_snapshot!(answer(STRUCT, &[(None, None)]), @"ROOT/a.parquet: row 0: expected a label from 0 to 4294967295, got none; leave the row out");
    assert_snapshot!(answer(STRUCT, &[(None, Some(-1))]), @"ROOT/a.parquet: row 0: expected a label from 0 to 4294967295, got -1; leave the row out");
    assert_snapshot!(answer(STRUCT, &[]), @"ROOT/a.parquet: expected images, there is none");
}

#[test]
fn files_that_are_not_there() {
    let folder = tempdir().unwrap();
    let open = |path: &Path| message(ParquetSource::open(path), folder.path());
    assert_snapshot!(open(folder.path()), @"ROOT: expected files *.parquet, found none");
    assert_snapshot!(open(&folder.path().join("train.parquet")), @"ROOT/train.parquet: no such file; check the path");
}

/// A dictionary, levels, indices: all kinds of pages are hit, the metadata too.
#[test]
fn thousands_of_damaged_files_give_errors_and_nothing_worse() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let mut wholes = vec![HUB.to_vec(), PLAIN.to_vec()];
    for (schema, version) in [(STRUCT, WriterVersion::PARQUET_2_0), (BINARY, WriterVersion::PARQUET_1_0)] {
        write(&path, schema, &faces()[..4], 3, version);
        wholes.push(fs::read(&path).unwrap());
    }
    for (kind, whole) in (0..).zip(&wholes) {
        for copy in 0..1000 {
            let mut random = rng(0, Purpose::Testing, 0x7061_7200 + kind, copy);
            let mut bytes = whole.clone();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..5) {
                    0 => bytes[at] ^= 1 << random.random_range(0..8),
                    1 => bytes[at] = random.random(),
                    2 => bytes[at] = 0xff,
                    3 => bytes.insert(at, random.random()),
                    _ => drop(bytes.remove(at)),
                }
            }
            fs::write(&path, &bytes).unwrap();
            if let Ok(source) = ParquetSource::open(&path) {
                assert!(source.len() <= bytes.len());
                for index in 0..source.len() {
                    // An error is as good as an image: there is none to compare with.
                    let _ = source.image(index);
                }
            }
        }
    }
}
