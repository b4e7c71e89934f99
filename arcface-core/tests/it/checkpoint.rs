//! Files that are whole or untouched, and what a damaged one is answered with.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::checkpoint::{atomic_write, load_tensors, save_tensors, take};
use arcface_core::testing::{bits, normal};

fn sample() -> (BTreeMap<String, Tensor>, BTreeMap<String, String>) {
    let integers = Tensor::new(&[-1i64, 2, i64::MAX], &Device::Cpu).unwrap();
    let tensors = BTreeMap::from([
        ("conv.weight".to_owned(), normal(&[3, 5], DType::F32, 0).unwrap()),
        ("empty".to_owned(), Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap()),
        ("labels".to_owned(), Tensor::new(&[1u32, 2, 3], &Device::Cpu).unwrap()),
        ("momentum \"quoted\"".to_owned(), normal(&[2, 2, 2], DType::F64, 1).unwrap().t().unwrap()),
        ("scalar".to_owned(), Tensor::new(7i64, &Device::Cpu).unwrap()),
        ("steps".to_owned(), integers),
    ]);
    let metadata = (0..20).map(|i| (format!("key{i}"), format!("value \"{i}\"\nä"))).collect();
    (tensors, metadata)
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn tensors_come_back_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let (tensors, metadata) = sample();
    save_tensors(&path, &tensors, &metadata).unwrap();
    let (loaded, found) = load_tensors(&path).unwrap();
    assert_eq!(found, metadata);
    assert!(loaded.keys().eq(tensors.keys()));
    for (name, tensor) in &tensors {
        let loaded = &loaded[name];
        assert_eq!((loaded.dims(), loaded.dtype()), (tensor.dims(), tensor.dtype()), "{name}");
        assert_eq!(bits(loaded).unwrap(), bits(tensor).unwrap(), "{name}");
    }
    assert_eq!(loaded["steps"].to_vec1::<i64>().unwrap(), [-1, 2, i64::MAX]);
    assert_eq!(names(folder.path()), ["net.safetensors"]);
}

#[test]
fn equal_contents_give_equal_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (tensors, metadata) = sample();
    let save = |name| {
        let path = folder.path().join(name);
        save_tensors(&path, &tensors, &metadata).unwrap();
        fs::read(path).unwrap()
    };
    assert_eq!(save("a"), save("b"));
}

#[test]
fn candle_reads_the_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let (tensors, metadata) = sample();
    save_tensors(&path, &tensors, &metadata).unwrap();
    let loaded = arcface_core::candle::safetensors::load(&path, &Device::Cpu).unwrap();
    assert_eq!(loaded.len(), tensors.len());
    assert_eq!(bits(&loaded["conv.weight"]).unwrap(), bits(&tensors["conv.weight"]).unwrap());
}

#[test]
fn a_file_of_candle_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let tensor = normal(&[2, 3], DType::F32, 0).unwrap();
    let tensors = std::collections::HashMap::from([("w", tensor.clone())]);
    arcface_core::candle::safetensors::save(&tensors, &path).unwrap();
    let (loaded, metadata) = load_tensors(&path).unwrap();
    assert!(metadata.is_empty());
    assert_eq!(bits(&loaded["w"]).unwrap(), bits(&tensor).unwrap());
}

/// What `load_tensors` says about `bytes`, without the path.
fn complaint(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    fs::write(&path, bytes).unwrap();
    let message = load_tensors(&path).unwrap_err().to_string();
    message.strip_prefix(&format!("{}: ", path.display())).expect("the message begins with the path").to_owned()
}

fn whole() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let (tensors, metadata) = sample();
    save_tensors(&path, &tensors, &metadata).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn every_truncation_is_noticed() {
    let bytes = whole();
    for len in (0..bytes.len()).step_by(7) {
        let text = complaint(&bytes[..len]);
        assert!(text.starts_with("expected a whole .safetensors file, but it is "), "{len}: {text}");
    }
}

#[test]
fn a_flipped_bit_in_the_tensors_is_noticed() {
    let bytes = whole();
    for back in 1..40 {
        let mut damaged = bytes.clone();
        let at = bytes.len() - back;
        damaged[at] ^= 4;
        assert!(complaint(&damaged).starts_with("the tensors are damaged: checksum "));
    }
}

#[test]
fn foreign_files_are_recognised() {
    assert!(complaint(b"").contains("it is empty"));
    assert!(complaint(b"PK\x03\x04 and more and more").contains("zip archive (a torch `.pth`?)"));
    assert!(complaint(b"\x80\x02}q\x00 and more and more").contains("Python pickle"));
    assert!(complaint(b"just some text, long enough").contains("truncated, damaged or of another format"));
}

#[test]
fn a_missing_file_is_named() {
    let path = Path::new("/no/such/net.safetensors");
    let text = load_tensors(path).unwrap_err().to_string();
    assert!(text.starts_with("/no/such/net.safetensors: "), "{text}");
}

#[test]
fn a_writer_that_fails_half_way_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    atomic_write(&path, |file| file.write_all(b"old")).unwrap();
    let full = |file: &mut io::BufWriter<fs::File>| {
        file.write_all(&vec![0; 100_000])?;
        Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"))
    };
    let text = atomic_write(&path, full).unwrap_err().to_string();
    assert_eq!(text, format!("{}: no space left on device; nothing was overwritten", path.display()));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(folder.path()), ["weights"]);
}

#[test]
fn a_folder_in_place_of_the_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    fs::create_dir(&path).unwrap();
    let text = atomic_write(&path, |file| file.write_all(b"new")).unwrap_err().to_string();
    assert!(
        text.starts_with(&format!("{}: ", path.display())) && text.ends_with("; nothing was overwritten"),
        "{text}"
    );
    assert!(path.is_dir());
    assert_eq!(names(folder.path()), ["weights"]);
}

#[test]
fn a_missing_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("weights");
    let text = atomic_write(&path, |_| Ok(())).unwrap_err().to_string();
    assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    // Linux offers a device that is always full; other systems have the writer above.
    let full = Path::new("/dev/full");
    if full.exists() {
        let write = |file: &mut io::BufWriter<fs::File>| {
            file.write_all(b"begun")?;
            fs::OpenOptions::new().write(true).open(full)?.write_all(b"more")
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let error = atomic_write(&path, write).unwrap_err();
        assert!(matches!(error, arcface_core::Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull));
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn unsupported_types_and_reserved_keys_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net");
    let bytes = BTreeMap::from([("bytes".to_owned(), Tensor::new(&[1u8], &Device::Cpu).unwrap())]);
    let text = save_tensors(&path, &bytes, &BTreeMap::new()).unwrap_err().to_string();
    assert_eq!(text, format!("{}: tensor `bytes`: expected f32, f64, i64 or u32, got U8", path.display()));
    let reserved = BTreeMap::from([("checksum".to_owned(), String::new())]);
    assert!(save_tensors(&path, &BTreeMap::new(), &reserved).is_err());
    assert!(names(folder.path()).is_empty());
}

#[test]
fn taking_checks_presence_and_shape() {
    let (mut tensors, _) = sample();
    let path = Path::new("net");
    assert!(take(path, &mut tensors, "conv.weight", &[3, 5], DType::F64).is_ok());
    let text = |result: arcface_core::Result<Tensor>| result.unwrap_err().to_string();
    assert_eq!(
        text(take(path, &mut tensors, "conv.weight", &[3, 5], DType::F64)),
        "net: tensor `conv.weight` is missing"
    );
    assert_eq!(
        text(take(path, &mut tensors, "labels", &[4], DType::U32)),
        "net: tensor `labels`: expected shape [4], got [3]"
    );
}
