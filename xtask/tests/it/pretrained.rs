//! Runs that begin with weights, ours and other people's: what follows the file, what stays frozen, what is said.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use arcface_core::candle::{DType, Tensor};
use arcface_core::checkpoint::load_tensors;
use arcface_data::Image;
use arcface_data::image::write_png;
use insta::assert_snapshot;
use serde_json::Value;
use tempfile::tempdir;

use crate::tiny::{fail, resume, succeed, train, xtask};

const QUICK: [&str; 2] = ["train.epochs=1", "eval.baselines=false"];
const FIRST: &str = "model.weights=runs/one/weights.safetensors";

/// The values of every tensor, bit by bit.
fn bits(folder: &Path, run: &str) -> BTreeMap<String, Vec<u64>> {
    let (tensors, _) = load_tensors(&folder.join("runs").join(run).join("weights.safetensors")).unwrap();
    let bits = |tensor: Tensor| {
        let values: Vec<f64> = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        values.into_iter().map(f64::to_bits).collect()
    };
    tensors.into_iter().map(|(name, tensor)| (name, bits(tensor))).collect()
}

fn words(command: &mut Command) -> String {
    String::from_utf8_lossy(&succeed(command).stderr).into_owned()
}

fn check_frozen(freeze: &str, is_frozen: impl Fn(&str) -> bool) {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &QUICK));
    // A decay that would be seen, and a seed of another order and another head.
    let set = [FIRST, freeze, "seed=1", "optimizer.weight_decay=0.1", "train.epochs=2", "eval.baselines=false"];
    succeed(&mut train(folder.path(), "two", &set));
    succeed(&mut resume(folder.path(), "two", &["train.epochs=3"]));
    let (before, after) = (bits(folder.path(), "one"), bits(folder.path(), "two"));
    assert!(before.keys().eq(after.keys()));
    for (name, before) in before {
        // A γ that is frozen by the network itself stays as well.
        assert_eq!(before == after[&name], is_frozen(&name) || name == "features.weight", "{name}");
    }
}

#[test]
fn frozen_stages_stay_as_they_are_to_the_last_bit() {
    check_frozen("model.freeze=[\"stem\", \"stage1\"]", |name| {
        name.starts_with("stem.") || name.starts_with("stage1.")
    });
}

#[test]
fn a_backbone_frozen_as_a_whole_stays_as_it_is_to_the_last_bit() {
    check_frozen("model.freeze=[\"all\"]", |_| true);
}

#[test]
fn what_is_not_said_about_the_network_follows_the_weights() {
    let folder = tempdir().unwrap();
    let shape = ["model.embedding_size=48", "data.normalise=\"128\""];
    succeed(&mut train(folder.path(), "one", &[&QUICK[..], &shape].concat()));
    let said = words(&mut train(folder.path(), "two", &[&QUICK[..], &[FIRST]].concat()));
    let note = "model.backbone = \"facenano\", model.embedding_size = 48, data.normalise = \"128\": as the weights in \
                runs/one/weights.safetensors are";
    assert!(said.contains(note), "{said}");
    let (before, after) = (bits(folder.path(), "one"), bits(folder.path(), "two"));
    assert!(before.keys().eq(after.keys()));
    let error = fail(&mut train(folder.path(), "three", &[FIRST, "model.embedding_size=64"]));
    assert!(error.contains("weights do not fit facenano (embedding_size 64, input_size 32)"), "{error}");
    let error = fail(&mut train(folder.path(), "three", &[FIRST, "model.freeze=[\"stage9\"]"]));
    assert_snapshot!(error, @"error: [model]: no stage named `stage9`; known: all, backbone, bn2, fc, features, stage1, stage2, stage3, stem");
}

#[test]
fn a_run_goes_on_without_the_file_that_it_began_with() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &QUICK));
    let [with, without, anew] = ["two", "three", "four"];
    for name in [with, without, anew] {
        succeed(&mut train(folder.path(), name, &[&QUICK[..], &[FIRST]].concat()));
    }
    succeed(&mut resume(folder.path(), with, &["train.epochs=2"]));
    std::fs::remove_file(folder.path().join("runs/one/weights.safetensors")).unwrap();
    succeed(&mut resume(folder.path(), without, &["train.epochs=2"]));
    assert_eq!(bits(folder.path(), with), bits(folder.path(), without));
    // Without a checkpoint the run begins anew, which takes the file.
    std::fs::remove_dir_all(folder.path().join("runs").join(anew).join("checkpoints")).unwrap();
    let error = fail(&mut resume(folder.path(), anew, &["train.epochs=2"]));
    assert_snapshot!(error, @"error: runs/one/weights.safetensors: No such file or directory (os error 2)");
}

#[test]
fn weights_of_no_known_network_are_refused_with_the_known_ones() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let tensor = Tensor::zeros((), DType::F32, &arcface_core::candle::Device::Cpu).unwrap();
    let state = ["a", "b"].map(|name| (name.to_owned(), tensor.clone()));
    arcface_core::checkpoint::save_tensors(&path, &state.into(), &BTreeMap::new()).unwrap();
    assert_snapshot!(fail(&mut train(folder.path(), "one", &["model.weights=other.safetensors"])), @"error: model.weights: other.safetensors: tensor names: expected those of a known network (iresnet18, iresnet34, iresnet50, iresnet100, iresnet200, mobilefacenet, mobilefacenet_y1, mobilefacenet_112x96, facenano), got 2 others (`a`, `b`, …); name the network if you know it, or convert the file to torch's names");
}

#[test]
fn few_images_are_better_fine_tuned() {
    let folder = tempdir().unwrap();
    for name in ["anna/0", "anna/1", "ben/0", "ben/1"] {
        let path = folder.path().join("faces").join(name).with_extension("png");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_png(&path, &Image::filled(32, 32, [name.len() as u8, 9, 200])).unwrap();
    }
    let on_faces = ["data.source=folder", "data.path=faces", "data.holdout=0", "train.batch_size=4"];
    let advice = "4 images are few to train a network from nothing: below 1000, fine-tune a trained one with --set \
                  model.weights=FILE";
    let said = words(&mut train(folder.path(), "one", &on_faces));
    assert!(said.contains(advice), "{said}");
    let said = words(&mut train(folder.path(), "two", &[&on_faces[..], &[FIRST]].concat()));
    assert!(!said.contains("are few"), "{said}");
    let drawn = words(&mut train(folder.path(), "three", &QUICK));
    assert!(!drawn.contains("are few"), "{drawn}");
}

/// The folder of real faces and weights, if it is there.
fn data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("ARCFACE_DATA").map_or_else(beside, PathBuf::from);
    if root.join("weights").is_dir() {
        return Some(root);
    }
    // Written past the test harness, which would swallow it.
    let _ = writeln!(std::io::stderr(), "skipped: no weights at {} (set ARCFACE_DATA)", root.display());
    None
}

/// The figures of the 144 pairs of `fixture-tiny`.
fn evaluate(root: &Path, weights: &str) -> Value {
    let folder = tempdir().unwrap();
    let fixture = root.join("fixture-tiny");
    let mut command = xtask(folder.path());
    command.arg("eval").arg(root.join("weights").join(weights)).arg("--json");
    command.arg("--images").arg(fixture.join("lfw112")).arg("--pairs").arg(fixture.join("pairs.csv"));
    let output = succeed(&mut command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("images are normalised as (x-127.5)/128"), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn networks_trained_elsewhere_tell_faces_apart() {
    let Some(root) = data() else { return };
    for (weights, backbone) in [
        ("insightface_model-y1.safetensors", "mobilefacenet_y1"),
        ("xiaoccer_mobilefacenet_112x96.safetensors", "mobilefacenet_112x96"),
    ] {
        let figures = evaluate(&root, weights);
        assert_eq!((&figures["backbone"], &figures["pairs"]), (&backbone.into(), &144.into()));
        let auc = figures["auc"].as_f64().unwrap();
        assert!(0.999 < auc, "{weights}: {auc}");
    }
}
