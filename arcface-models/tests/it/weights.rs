//! Weights to files and back, foreign files, and every way in which weights can be wrong.
//! Knows no training.

use std::path::Path;

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::checkpoint::save_tensors;
use arcface_models::weights::{Metadata, StateDict, read, recognise};
use arcface_models::{Architecture, Backbone, BackboneConfig, Mode};

use crate::support::{TRAIN, backbone, config, images, values};

fn saved(folder: &Path) -> (Backbone, std::path::PathBuf) {
    let backbone = backbone(3);
    backbone.forward(&images(4, 32, DType::F32), TRAIN).unwrap();
    backbone.commit_statistics().unwrap();
    let path = folder.join("net.safetensors");
    backbone.save(&path, &Metadata::new(&config()).with("threshold", "1.25").with("run", "a")).unwrap();
    (backbone, path)
}

#[test]
fn saved_and_loaded_a_network_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (backbone, path) = saved(folder.path());
    let (loaded, metadata) = Backbone::load(&path, DType::F32, &Device::Cpu).unwrap();
    let images = images(3, 32, DType::F32);
    let embed = |backbone: &Backbone| values(&backbone.forward(&images, Mode::Eval).unwrap());
    assert!(embed(&loaded) == embed(&backbone));
    assert_eq!((metadata.config(), metadata.extra["threshold"].as_str()), (config(), "1.25"));
    let again = folder.path().join("again.safetensors");
    loaded.save(&again, &metadata).unwrap();
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&again).unwrap());
}

#[test]
fn a_state_dict_is_a_copy_that_training_does_not_change() {
    let backbone = backbone(3);
    let state = backbone.state_dict().unwrap();
    let before: Vec<Vec<f64>> = state.values().map(values).collect();
    for (_, parameter) in backbone.parameters().iter() {
        parameter.var.set(&parameter.var.affine(2.0, 1.0).unwrap()).unwrap();
    }
    assert!(before == state.values().map(values).collect::<Vec<_>>());
}

#[test]
fn a_file_holds_torch_names_shapes_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = read(&saved(folder.path()).1).unwrap();
    assert_eq!(file.state["stage1.down.conv.weight"].dims(), [32, 16, 3, 3]);
    assert_eq!(file.state["fc.weight"].dims(), [8, 96 * 2 * 2]);
    assert_eq!(file.state["stem.bn.num_batches_tracked"].to_scalar::<i64>().unwrap(), 1);
    assert_eq!(file.state.len(), 61);
}

#[test]
fn half_precision_is_converted() {
    let mut state = backbone(3).state_dict().unwrap();
    for tensor in state.values_mut().filter(|tensor| tensor.dtype().is_float()) {
        *tensor = tensor.to_dtype(DType::F16).unwrap();
    }
    let loaded = Backbone::from_state_dict(&config(), &state, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(loaded.parameters().get("fc.weight").unwrap().var.dtype(), DType::F32);
}

/// The names and shapes of an architecture, all numbers zero.
fn blank(architecture: Architecture, input_size: usize) -> StateDict {
    let config = BackboneConfig { input_size, ..BackboneConfig::new(architecture) };
    // One number seen as many: only names and shapes matter.
    let zeros = |shape: &[usize]| Tensor::zeros((), DType::F32, &Device::Cpu).unwrap().broadcast_as(shape).unwrap();
    config.plan().unwrap().entries().into_iter().map(|entry| (entry.file_name, zeros(&entry.shape))).collect()
}

#[test]
fn foreign_files_are_recognised_by_their_names() {
    for architecture in Architecture::ALL {
        for input_size in [112, 64] {
            let guess = recognise(&blank(architecture, input_size)).unwrap();
            assert_eq!(guess.config, BackboneConfig { input_size, ..BackboneConfig::new(architecture) });
            assert!(guess.exact);
        }
    }
}

#[test]
fn a_file_with_a_few_names_missing_is_still_recognised_but_not_exact() {
    let mut state = blank(Architecture::IResNet34, 112);
    state.retain(|name, _| !name.ends_with("num_batches_tracked"));
    let guess = recognise(&state).unwrap();
    assert_eq!((guess.config.architecture, guess.exact), (Architecture::IResNet34, false));
}

/// What loading says about the small network's state dict after `change`.
fn refusal(change: impl FnOnce(&mut StateDict)) -> String {
    let mut state = backbone(3).state_dict().unwrap();
    change(&mut state);
    Backbone::from_state_dict(&config(), &state, DType::F32, &Device::Cpu).unwrap_err().to_string()
}

fn zeros(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::zeros(shape, dtype, &Device::Cpu).unwrap()
}

#[test]
fn weights_that_do_not_fit_are_told_by_name() {
    insta::assert_snapshot!(refusal(|state| drop(state.remove("fc.bias"))), @"weights do not fit facenano (embedding_size 8, input_size 32): 1 missing: `fc.bias`; name the network they were made for");
    insta::assert_snapshot!(refusal(|state| state.retain(|name, _| !name.starts_with("stage1"))), @"weights do not fit facenano (embedding_size 8, input_size 32): 14 missing: `stage1.down.conv.weight`, `stage1.down.bn.weight`, `stage1.down.bn.bias` and 11 more; name the network they were made for");
    insta::assert_snapshot!(refusal(|state| drop(state.insert("head.weight".into(), zeros(&[2], DType::F32)))), @"weights do not fit facenano (embedding_size 8, input_size 32): 1 extra: `head.weight`; name the network they were made for");
    insta::assert_snapshot!(refusal(|state| drop(state.insert("fc.weight".into(), zeros(&[8, 24], DType::F32)))), @"weights do not fit facenano (embedding_size 8, input_size 32): 1 misshaped: `fc.weight` (expected [8, 384], got [8, 24]); name the network they were made for");
    insta::assert_snapshot!(refusal(|state| drop(state.insert("fc.bias".into(), zeros(&[8], DType::U32)))), @"weights do not fit facenano (embedding_size 8, input_size 32): 1 of the wrong type: `fc.bias` (expected a float, got u32); name the network they were made for");
    insta::assert_snapshot!(refusal(|state| drop(state.insert("bn2.num_batches_tracked".into(), zeros(&[], DType::F32)))), @"weights do not fit facenano (embedding_size 8, input_size 32): 1 of the wrong type: `bn2.num_batches_tracked` (expected i64, got f32); name the network they were made for");
    insta::assert_snapshot!(refusal(|state| {
        state.remove("fc.bias");
        state.insert("head.weight".into(), zeros(&[2], DType::F32));
        state.insert("fc.weight".into(), zeros(&[8, 24], DType::F32));
    }), @"weights do not fit facenano (embedding_size 8, input_size 32): 1 missing: `fc.bias`; 1 extra: `head.weight`; 1 misshaped: `fc.weight` (expected [8, 384], got [8, 24]); name the network they were made for");
}

#[test]
fn a_refused_state_dict_changes_nothing() {
    let backbone = backbone(3);
    let mut other = self::backbone(4).state_dict().unwrap();
    other.remove("fc.bias");
    let before = values(&backbone.state_dict().unwrap()["stem.conv.weight"]);
    assert!(backbone.load_state_dict(&other).is_err());
    assert!(before == values(&backbone.state_dict().unwrap()["stem.conv.weight"]));
}

/// What loading a file says, its path shortened.
fn file_refusal(write: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    write(&path);
    let error = Backbone::load(&path, DType::F32, &Device::Cpu).unwrap_err().to_string();
    error.replace(&folder.path().display().to_string(), "DIR")
}

fn save(path: &Path, state: &StateDict, metadata: &[(&str, &str)]) {
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    save_tensors(path, state, &metadata).unwrap();
}

#[test]
fn files_that_hold_no_network_are_refused() {
    insta::assert_snapshot!(file_refusal(|_| ()), @"DIR/net.safetensors: No such file or directory (os error 2)");
    insta::assert_snapshot!(file_refusal(|path| {
        let state = ["a.weight", "b.weight", "c.weight", "d.weight"].map(|name| (name.to_owned(), zeros(&[1], DType::F32)));
        save(path, &state.into(), &[]);
    }), @"DIR/net.safetensors: tensor names: expected those of a known network (iresnet18, iresnet34, iresnet50, iresnet100, iresnet200, mobilefacenet, mobilefacenet_y1, mobilefacenet_112x96, facenano), got 4 others (`a.weight`, `b.weight`, `c.weight`, …); name the network if you know it, or convert the file to torch's names");
    insta::assert_snapshot!(file_refusal(|path| {
        let mut state = backbone(3).state_dict().unwrap();
        state.remove("fc.bias");
        save(path, &state, &[]);
    }), @"DIR/net.safetensors: weights do not fit facenano (embedding_size 8, input_size 32): 1 missing: `fc.bias`; name the network they were made for");
    insta::assert_snapshot!(file_refusal(|path| save(path, &StateDict::new(), &[("architecture", "resnet")])), @"DIR/net.safetensors: no backbone named `resnet`; known: facenano, iresnet100, iresnet18, iresnet200, iresnet34, iresnet50, mobilefacenet, mobilefacenet_112x96, mobilefacenet_y1");
    insta::assert_snapshot!(file_refusal(|path| save(path, &StateDict::new(), &[("architecture", "facenano")])), @"DIR/net.safetensors: metadata `embedding_size`: expected a value, got none");
    insta::assert_snapshot!(file_refusal(|path| {
        save(path, &StateDict::new(), &[("architecture", "facenano"), ("embedding_size", "many")]);
    }), @"DIR/net.safetensors: metadata `embedding_size`: expected a whole number, got `many`");
}

#[test]
fn a_file_cut_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path) = saved(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = Backbone::load(&path, DType::F32, &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("net.safetensors"), "{error}");
}
