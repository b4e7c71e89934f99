//! What is said about bad input: what was expected and found, and what to do; nothing half-written is left.

use std::fs;
use std::path::Path;

use arcface_data::Image;
use arcface_data::image::{write_jpeg, write_png};
use insta::assert_snapshot;
use tempfile::tempdir;

use crate::tiny::{fail, succeed, train, xtask};

/// Three people with four noisy images each of 32×32 pixels.
fn faces(folder: &Path) {
    for (person, name) in ["anna", "ben", "cleo"].iter().enumerate() {
        let own = folder.join("faces").join(name);
        fs::create_dir_all(&own).unwrap();
        for number in 0..4_usize {
            let byte = |at: usize| ((at * 37 * (person + 2) + number * 11) % 251) as u8;
            let image = Image::new(32, 32, (0..32 * 32 * 3).map(byte).collect()).unwrap();
            write_png(&own.join(format!("{number}.png")), &image).unwrap();
        }
    }
}

/// A run on that folder.
const ON_FACES: [&str; 4] = ["data.source=folder", "data.path=faces", "data.holdout=1", "train.batch_size=4"];

fn complaint(set: &[&str]) -> String {
    let folder = tempdir().unwrap();
    faces(folder.path());
    let words = fail(&mut train(folder.path(), "one", set));
    let left = fs::read_dir(folder.path().join("runs")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "a run that cannot begin leaves no folder: {words}");
    words
}

/// As [`complaint`], for faults that are found when an image is read.
fn complaint_about_faces(spoil: impl FnOnce(&Path), set: &[&str]) -> String {
    let folder = tempdir().unwrap();
    faces(folder.path());
    spoil(&folder.path().join("faces"));
    let set: Vec<&str> = ON_FACES.iter().chain(set).copied().collect();
    fail(&mut train(folder.path(), "one", &set))
}

#[test]
fn keys_and_values() {
    assert_snapshot!(complaint(&["train.epoch=3"]), @"error: --set: train: unknown field `epoch`, expected one of `epochs`, `batch_size`, `accumulate`, `checkpoint_every`, `keep_checkpoints`, `log_every`");
    assert_snapshot!(complaint(&["trains.epochs=3"]), @"error: --set: unknown field `trains`, expected one of `seed`, `device`, `precision`, `data`, `model`, `loss`, `optimizer`, `schedule`, `train`, `eval`");
    assert_snapshot!(complaint(&["train.epochs=0"]), @"error: --set: train.epochs: expected at least 1, got 0");
    assert_snapshot!(complaint(&["train.epochs=many"]), @r#"error: --set: train.epochs: invalid type: string "many", expected u64"#);
    assert_snapshot!(complaint(&["train.checkpoint_every=never"]), @r#"error: --set: train.checkpoint_every: expected "epoch", "end" or a number of steps from 1, got `"never"`"#);
    assert_snapshot!(complaint(&["optimizer.momentum=1.5"]), @"error: --set: optimizer.momentum: expected 0 <= momentum < 1, got 1.5");
    assert_snapshot!(complaint(&["optimizer.learning_rate=nan"]), @"error: --set: optimizer.learning_rate: expected above 0, got NaN");
    assert_snapshot!(complaint(&["schedule.milestones=[3, 2]"]), @"error: --set: schedule.milestones: expected rising epochs, got [3.0, 2.0]");
    assert_snapshot!(complaint(&["data.augmentation.shift=99"]), @"error: --set: augmentation `shift`: expected 0 <= shift <= 32, got 99");
    assert_snapshot!(complaint(&["data.nuisance=2.0"]), @"error: [data]: nuisance: expected 0 <= nuisance <= 1, got 2");
    assert_snapshot!(complaint(&["model.input_size=30"]), @"error: [model]: input_size: expected a multiple of 16 from 16 to 1024, got 30");
    assert_snapshot!(complaint(&["model.backbone=resnet50"]), @"error: --set: model.backbone: no backbone named `resnet50`; known: facenano, iresnet100, iresnet18, iresnet200, iresnet34, iresnet50, mobilefacenet, mobilefacenet_112x96, mobilefacenet_y1");
    if !arcface_core::device::HAS_CUDA {
        assert_snapshot!(complaint(&["device=cuda:0"]), @r#"error: device = "cuda:0": this build runs on the CPU only; set device = "cpu" or "auto", or use a build with the feature `cuda`: cargo xtask-cuda"#);
    }
    assert_snapshot!(complaint(&["device=gpu"]), @r#"error: --set: device: expected "auto", "cpu" or "cuda:0", got "gpu""#);
    assert_snapshot!(complaint(&["precision=f16"]), @"error: --set: precision: unknown variant `f16`, expected one of `f32`, `f64`, `tf32`, `bf16`");
    assert_snapshot!(complaint(&["train.epochs"]), @"error: --set train.epochs: expected KEY=VALUE");
}

#[test]
fn the_width_of_vectors() {
    let folder = tempdir().unwrap();
    let words = fail(xtask(folder.path()).arg("losses").env("ARCFACE_SIMD", "sse9"));
    assert_snapshot!(words, @"error: no width of vectors in ARCFACE_SIMD named `sse9`; known: avx2, avx512, baseline");
    for width in ["avx512", "avx2", "baseline"] {
        succeed(xtask(folder.path()).arg("losses").env("ARCFACE_SIMD", width));
    }
}

#[test]
fn losses() {
    assert_snapshot!(complaint(&["loss.name=arcfase"]), @"error: --set: no loss named `arcfase`; known: adaface, arcface, combined, cosface, curricularface, elastic_arcface, elastic_cosface, inter, intra, magface, normface, softmax, sphereface, subcenter_arcface, triplet");
    assert_snapshot!(complaint(&["loss.margin=28.6"]), @"error: --set: loss `arcface`: `margin`: expected radians within [0, π] (28.6° would be 0.4992 rad), got 28.6");
    assert_snapshot!(complaint(&["loss.scale=0"]), @"error: --set: loss `arcface`: `scale`: expected 0 < scale <= 10000, got 0");
    assert_snapshot!(complaint(&["loss.marign=0.3"]), @"error: --set: loss `arcface` has no parameter `marign`; known: beyond_pi, chunk, gamma_pooling, gradient, margin, pooling, sample_rate, scale, sub_centers, terms, warmup_steps");
    assert_snapshot!(complaint(&["loss.terms=[{ name = \"arcface\" }]"]), @"error: --set: terms: expected the name of a term such as intra, inter or triplet, got `arcface`");
}

#[test]
fn sizes_of_data() {
    assert_snapshot!(complaint(&["train.batch_size=1000"]), @"error: [train]: batch_size: expected 1 <= batch_size <= 60 (the images of the data set), got 1000");
    assert_snapshot!(complaint(&["data.holdout=14"]), @"error: data.holdout: holdout: expected fewer than the 14 identities there are, got 14");
    assert_snapshot!(complaint(&["data.holdout=13"]), @"error: [train]: batch_size: expected 1 <= batch_size <= 6 (the images of the data set), got 10");
    assert_snapshot!(complaint(&["eval.count=100000"]), @"error: [eval]: genuine pairs to draw: expected at most 60, which is all there are, got 50000");
    assert_snapshot!(complaint(&["data.sampler=balanced", "train.batch_size=10"]), @"error: [train]: batch_size: expected 2 identities × 4 images = 8, got 10");
    assert_snapshot!(complaint(&["data.identities=faces.txt"]), @r#"error: --set: data.identities: expected how many identities to draw, for data.source = "procedural""#);
}

#[test]
fn folders_and_lists() {
    assert_snapshot!(complaint(&["data.source=folder"]), @r#"error: --set: data.path: expected the folder of faces, for data.source = "folder"; set data.path"#);
    assert_snapshot!(complaint(&["data.source=folder", "data.path=nowhere", "data.holdout=1"]), @"error: nowhere: no such folder; check the path");
    assert_snapshot!(complaint(&["data.source=joined"]), @r#"error: --set: data.sources: expected at least one [[data.sources]], for data.source = "joined""#);
    assert_snapshot!(complaint(&["eval.pairs=pairs.csv"]), @"error: --set: eval.pairs and eval.images: expected both or neither; the list names faces of that folder");
    assert_snapshot!(complaint(&["eval.pairs=pairs.csv", "eval.images=faces"]), @"error: pairs.csv: no such file; check the path");
    let empty = |faces: &Path| fs::create_dir(faces.join("dora")).unwrap();
    assert_snapshot!(complaint_about_faces(empty, &[]), @"error: faces/dora: this identity has no image; remove the folder or leave the identity out of the list");
}

#[test]
fn images() {
    let truncated = |faces: &Path| {
        let path = faces.join("anna/0.jpg");
        write_jpeg(&path, &Image::filled(32, 32, [90, 80, 70]), 90).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let listed = ["data.holdout=0"];
    assert_snapshot!(complaint_about_faces(truncated, &listed), @"error: faces/anna/0.jpg: corrupt JPEG: Premature end of JPEG file; fetch or export the file again");
    let large = |faces: &Path| write_png(&faces.join("ben/0.png"), &Image::filled(40, 40, [9, 9, 9])).unwrap();
    assert_snapshot!(complaint_about_faces(large, &listed), @"error: faces/ben/0.png: expected an image of 32×32 pixels, got 40×40; align the photographs first: cargo xtask data align IMAGES LANDMARKS.csv --out DIR --size 32");
    // Told from headers, before there is a run.
    let folder = tempdir().unwrap();
    faces(folder.path());
    large(&folder.path().join("faces"));
    fail(&mut train(folder.path(), "one", &[&ON_FACES[..], &listed[..]].concat()));
    assert!(!folder.path().join("runs").exists());
    let text = |faces: &Path| fs::write(faces.join("ben/0.png"), "not an image").unwrap();
    assert_snapshot!(complaint_about_faces(text, &listed), @"error: faces/ben/0.png: expected a JPEG or PNG image, the file begins with [6e, 6f, 74, 20]");
}

#[test]
fn skipped_images_are_counted_and_listed() {
    let folder = tempdir().unwrap();
    faces(folder.path());
    fs::write(folder.path().join("faces/ben/0.png"), "not an image").unwrap();
    let set: Vec<&str> =
        ON_FACES.iter().chain(&["data.holdout=0", "data.on_corrupt=skip", "train.batch_size=12"]).copied().collect();
    let output = succeed(&mut train(folder.path(), "one", &set));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("image replaced: faces/ben/0.png"), "{words}");
    let summary = crate::tiny::json(folder.path().join("runs/one/summary.json"));
    assert_eq!((&summary["replaced_images"], &summary["accuracy"]), (&2.into(), &serde_json::Value::Null));
}

#[test]
fn defaults_give_way_to_the_data_and_say_so() {
    let folder = tempdir().unwrap();
    faces(folder.path());
    let mut command = xtask(folder.path());
    command.args(["train", "--name", "one"]);
    for set in ["data.source=folder", "data.path=faces", "data.holdout=0", "model.input_size=32"] {
        command.args(["--set", set]);
    }
    let output = succeed(&mut command);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("train.batch_size: 12 instead of 64, all that the data can fill"), "{words}");
    assert!(words.contains("nothing to verify on"), "{words}");
}

#[test]
fn weights_that_do_not_fit() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    let weights = "model.weights=runs/one/weights.safetensors";
    let fault = |set: &[&str]| fail(&mut train(folder.path(), "two", set));
    assert_snapshot!(fault(&[weights, "model.embedding_size=64"]), @"error: model.weights: runs/one/weights.safetensors: weights do not fit facenano (embedding_size 64, input_size 32): 6 misshaped: `fc.weight` (expected [64, 384], got [128, 384]), `fc.bias` (expected [64], got [128]), `features.weight` (expected [64], got [128]) and 3 more; name the network they were made for");
    assert_snapshot!(fault(&[weights, "model.backbone=iresnet18"]), @"error: model.weights: runs/one/weights.safetensors: weights do not fit iresnet18 (embedding_size 512, input_size 32): 175 missing: `conv1.weight`, `bn1.weight`, `bn1.bias` and 172 more; 49 extra: `stage1.block.bn.bias`, `stage1.block.bn.num_batches_tracked`, `stage1.block.bn.running_mean` and 46 more; 10 misshaped: `bn2.weight` (expected [512], got [96]), `bn2.bias` (expected [512], got [96]), `bn2.running_mean` (expected [512], got [96]) and 7 more; name the network they were made for; the file looks like facenano (embedding_size 128, input_size 32)");
    assert_snapshot!(fault(&["model.weights=nowhere.safetensors"]), @"error: nowhere.safetensors: No such file or directory (os error 2)");
    fs::write(folder.path().join("broken.safetensors"), [7; 100]).unwrap();
    assert_snapshot!(fault(&["model.weights=broken.safetensors"]), @"error: broken.safetensors: expected a whole .safetensors file, but it is truncated, damaged or of another format (header too large)");
    succeed(&mut train(folder.path(), "two", &[weights, "train.epochs=1", "eval.baselines=false"]));
}

#[test]
fn a_run_that_diverges_skips_counts_and_ends_with_advice() {
    let folder = tempdir().unwrap();
    let set = ["optimizer.learning_rate=1e30", "optimizer.clip_norm=0", "schedule.warmup_epochs=0", "train.epochs=9"];
    let words =
        fail(&mut train(folder.path(), "one", &[&set[..], &["eval.every=end", "eval.baselines=false"]].concat()));
    assert!(
        words.contains("20 steps in a row were skipped") && words.contains("Lower optimizer.learning_rate"),
        "{words}"
    );
    let skipped = crate::tiny::metrics(folder.path(), "one").iter().filter(|line| line["kind"] == "skipped").count();
    assert_eq!(skipped, 20);
}

#[test]
fn evaluation() {
    let folder = tempdir().unwrap();
    faces(folder.path());
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    let eval = |arguments: &[&str]| fail(xtask(folder.path()).arg("eval").args(arguments));
    fs::write(folder.path().join("pairs.csv"), "a,b,same\nanna/0,anna/1,1\nanna/0,dora/1,0\n").unwrap();
    assert_snapshot!(eval(&["nowhere"]), @"error: nowhere: No such file or directory (os error 2)");
    assert_snapshot!(eval(&["faces"]), @"error: faces: expected a run, a checkpoint or a weights file, found a folder without weights.safetensors and without checkpoints");
    assert_snapshot!(eval(&["runs/one", "--images", "faces", "--pairs", "pairs.csv"]), @"error: pairs.csv: line 3: face `dora/1` is not in faces; check that list and folder belong together");
    assert_snapshot!(eval(&["runs/one", "--images", "nowhere", "--pairs", "pairs.csv"]), @"error: nowhere: no such folder of faces; check the path");
    write_png(&folder.path().join("faces/anna/0.png"), &Image::filled(40, 40, [9, 9, 9])).unwrap();
    fs::write(folder.path().join("pairs.csv"), "a,b,same\nanna/1,anna/0,1\nanna/0,ben/1,0\n").unwrap();
    assert_snapshot!(eval(&["runs/one", "--images", "faces", "--pairs", "pairs.csv"]), @"error: faces/anna/0.png: expected an image of 32×32 pixels, got 40×40; align the photographs first: cargo xtask data align IMAGES LANDMARKS.csv --out DIR --size 32");
    assert_snapshot!(eval(&["runs/one", "--normalise", "inverted"]), @"error: --normalise: no normalisation named `inverted`; known: 127.5, 128, imagenet");
    assert_snapshot!(eval(&["runs/one/weights.safetensors", "--backbone", "vgg"]), @"error: no backbone named `vgg`; known: facenano, iresnet100, iresnet18, iresnet200, iresnet34, iresnet50, mobilefacenet, mobilefacenet_112x96, mobilefacenet_y1");
}

/// A limit on the size of files stands in for a full disk.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_last_checkpoint_whole() {
    let folder = tempdir().unwrap();
    let limited = |command: &std::process::Command| {
        let mut shell = std::process::Command::new("sh");
        shell.current_dir(folder.path()).args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$@\"", "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        shell
    };
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    let before = crate::tiny::json(folder.path().join("runs/one/summary.json"));
    let words = fail(&mut limited(&crate::tiny::resume(folder.path(), "one", &["train.epochs=2"])));
    assert!(words.contains("nothing was overwritten"), "{words}");
    let names = |sub: &str| -> Vec<String> {
        let entries = fs::read_dir(folder.path().join("runs/one").join(sub)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("checkpoints"), ["step-00000006"]);
    assert!(names("").iter().all(|name| !name.starts_with('.')), "{:?}", names(""));
    assert_eq!(crate::tiny::json(folder.path().join("runs/one/summary.json")), before);
    succeed(&mut crate::tiny::resume(folder.path(), "one", &["train.epochs=2"]));
}
