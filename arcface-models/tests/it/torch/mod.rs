//! Torch's own files, in both forms: read to the numbers that torch saved, written so that torch reads them.
//! Knows no network but the small one that it saves.

mod damage;
mod fixtures;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::checkpoint::load_tensors;
use arcface_models::Backbone;
use arcface_models::weights::{Metadata, WeightsFile, read, save_torch};

use crate::support::{backbone, config, values};
use fixtures::{LEGACY, ZIP};

/// What is read from a file of `bytes`, or the message, its folder shortened.
fn read_bytes(bytes: &[u8]) -> Result<WeightsFile, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.pth");
    std::fs::write(&path, bytes).unwrap();
    read(&path).map_err(|error| error.to_string().replace(&folder.path().display().to_string(), "DIR"))
}

#[test]
fn both_forms_hold_what_torch_saved() {
    for bytes in [ZIP, LEGACY] {
        let file = read_bytes(bytes).unwrap();
        let check = |name: &str, shape: &[usize], dtype: DType, expected: &[f64]| {
            let tensor = &file.state[name];
            assert_eq!((tensor.dims(), tensor.dtype()), (shape, dtype), "{name}");
            assert!(values(tensor) == expected && tensor.is_contiguous(), "{name}: {tensor}");
        };
        check("weight", &[2, 2], DType::F32, &[1.0, -2.0, 3.0, 4.5]);
        check("transposed", &[4, 3], DType::F32, &[0.0, 4.0, 8.0, 1.0, 5.0, 9.0, 2.0, 6.0, 10.0, 3.0, 7.0, 11.0]);
        check("row", &[4], DType::F32, &[4.0, 5.0, 6.0, 7.0]);
        check("scalar", &[], DType::F64, &[7.25]);
        check("bn.num_batches_tracked", &[], DType::I64, &[3.0]);
        check("half", &[2], DType::F16, &[0.5, -1.0]);
        check("bfloat", &[1], DType::BF16, &[1.5]);
        check("int", &[2], DType::I64, &[-5.0, 6.0]);
        check("short", &[1], DType::I64, &[-300.0]);
        check("char", &[1], DType::I64, &[-3.0]);
        check("byte", &[1], DType::U8, &[200.0]);
        check("bool", &[2], DType::U8, &[1.0, 0.0]);
        check("empty", &[0, 3], DType::F32, &[]);
        check("parameter", &[1], DType::F32, &[9.0]);
        assert_eq!((file.state.len(), file.order.len(), file.metadata.is_none()), (14, 14, true));
        assert_eq!(file.order[..3], ["weight", "transposed", "row"]);
    }
}

#[test]
fn what_was_left_out_and_renamed_is_told() {
    let notes = [ZIP, LEGACY].map(|bytes| read_bytes(bytes).unwrap().notes.join("\n"));
    assert_eq!(notes[0], notes[1]);
    insta::assert_snapshot!(notes[0], @r"
    the state dict stands under `model.state_dict`
    left out, since they are no tensors: `module.epoch` (the integer 12)
    `module.`, which all names began with, is taken off
    ");
}

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

fn mixed() -> Vec<(&'static str, Tensor)> {
    let matrix = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
    let whole = |values: &[i64], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
    vec![
        ("z.weight", matrix.clone()),
        ("a.weight", matrix.t().unwrap()),
        ("a.count", whole(&[5], &[])),
        ("a.wide", whole(&[1 << 40, -1], &[2])),
        ("half", matrix.to_dtype(DType::F16).unwrap()),
        ("bfloat", matrix.to_dtype(DType::BF16).unwrap()),
        ("double", matrix.to_dtype(DType::F64).unwrap()),
        ("byte", matrix.to_dtype(DType::U8).unwrap()),
        ("empty", tensor(&[], &[0, 2])),
    ]
}

fn saved(path: &Path, tensors: &[(&'static str, Tensor)], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let tensors: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    save_torch(path, &tensors, metadata).unwrap();
    std::fs::read(path).unwrap()
}

/// That torch itself loads such a file with `weights_only=True`, to the same numbers, was tried with 2.15.0.
#[test]
fn what_is_saved_is_read_again_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mixed.pth");
    let bytes = saved(&path, &mixed(), &BTreeMap::new());
    assert!(bytes == saved(&path, &mixed(), &BTreeMap::new()), "equal tensors give equal bytes");
    let file = read(&path).unwrap();
    for (name, tensor) in mixed() {
        let found = &file.state[name];
        assert_eq!((found.dims(), found.dtype()), (tensor.dims(), tensor.dtype()), "{name}");
        assert!(values(found) == values(&tensor), "{name}");
    }
    assert_eq!(file.order, mixed().iter().map(|(name, _)| *name).collect::<Vec<_>>());
    assert!(file.notes.is_empty() && file.metadata.is_none());
}

#[test]
fn storages_begin_at_multiples_of_64_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mark = [1.5_f32, -2.5, 3.25];
    for name in ["a", "a.longer.name.of.a.tensor"] {
        let bytes = saved(&folder.path().join("net.pth"), &[(name, tensor(&mark, &[3]))], &BTreeMap::new());
        let mark: Vec<u8> = mark.iter().flat_map(|value| value.to_le_bytes()).collect();
        let at = bytes.windows(mark.len()).position(|window| window == mark).unwrap();
        assert_eq!(at % 64, 0, "{name}");
    }
}

#[test]
fn a_network_in_torch_s_form_speaks_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.pth");
    let (network, metadata) = (backbone(3), Metadata::new(&config()).with("threshold", "1.25"));
    let state = network.state_dict().unwrap();
    let tensors: Vec<(&str, &Tensor)> = state.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    save_torch(&path, &tensors, &metadata.to_map()).unwrap();
    let (loaded, found) = Backbone::load(&path, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(found, metadata);
    let loaded = loaded.state_dict().unwrap();
    assert!(state.iter().all(|(name, tensor)| values(tensor) == values(&loaded[name])));
}

#[test]
fn types_that_torch_lacks_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let count = Tensor::from_slice(&[1_u32], 1, &Device::Cpu).unwrap();
    let error = save_torch(&folder.path().join("net.pth"), &[("count", &count)], &BTreeMap::new()).unwrap_err();
    let error = error.to_string().replace(&folder.path().display().to_string(), "DIR");
    insta::assert_snapshot!(error, @"DIR/net.pth: tensor `count`: expected a type that torch has, got u32");
}

/// The folder of weights of others, if it is there.
fn weights() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("ARCFACE_DATA").map_or_else(beside, PathBuf::from).join("weights");
    if root.is_dir() {
        return Some(root);
    }
    // Written past the test harness, which would swallow it.
    let _ = writeln!(std::io::stderr(), "skipped: no weights at {} (set ARCFACE_DATA)", root.display());
    None
}

/// The same network, published as a torch checkpoint of the older form and converted elsewhere.
#[test]
fn a_real_checkpoint_holds_the_tensors_of_its_conversion() {
    let Some(weights) = weights() else { return };
    let file = read(&weights.join("xiaoccer_068.ckpt")).unwrap();
    let (expected, _) = load_tensors(&weights.join("xiaoccer_mobilefacenet_112x96.safetensors")).unwrap();
    insta::assert_snapshot!(file.notes.join("\n"), @"the state dict stands under `net_state_dict`");
    assert!(200 < expected.len(), "{} tensors", expected.len());
    for (name, tensor) in &expected {
        let found = &file.state[name];
        assert_eq!(found.dims(), tensor.dims(), "{name}");
        assert!(values(found) == values(tensor), "{name}");
    }
    let extra: Vec<&String> = file.state.keys().filter(|name| !expected.contains_key(*name)).collect();
    assert!(extra.iter().all(|name| name.ends_with("num_batches_tracked")), "{extra:?}");
}
