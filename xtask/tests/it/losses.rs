//! The list of losses, and `losses eval` against plain loops in f64 that are written from the formulas.

// Formulas read as on paper, cosθ_y or p_y, and are no code.
#![allow(clippy::doc_markdown)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::checkpoint::{load_tensors, save_tensors};
use insta::assert_snapshot;
use tempfile::tempdir;

use crate::tiny::{fail, succeed, xtask};

const BATCH: usize = 5;
const SIZE: usize = 6;
const CLASSES: usize = 4;
const LABELS: [i64; BATCH] = [0, 3, 1, 1, 2];

type Named = BTreeMap<String, Tensor>;

/// Numbers without a pattern, the same every time.
fn numbers(count: usize, phase: f64) -> Vec<f64> {
    (0..count).map(|i| (1.7 * i as f64 + phase).sin() + 0.3 * (0.9 * (i * i) as f64).cos()).collect()
}

fn tensor(values: Vec<f64>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn labels(labels: &[i64]) -> Tensor {
    Tensor::new(labels, &Device::Cpu).unwrap()
}

/// Embeddings, centers, labels and bias in f64.
fn inputs() -> Named {
    Named::from([
        ("embeddings".to_owned(), tensor(numbers(BATCH * SIZE, 0.2), &[BATCH, SIZE])),
        ("centers".to_owned(), tensor(numbers(CLASSES * SIZE, 4.0), &[CLASSES, SIZE])),
        ("labels".to_owned(), labels(&LABELS)),
        ("bias".to_owned(), tensor(numbers(CLASSES, 7.0), &[CLASSES])),
    ])
}

/// `inputs` with one tensor put in, another taken out, or both.
fn changed(put: &[(&str, Tensor)], out: &[&str]) -> Named {
    let mut inputs = inputs();
    inputs.retain(|name, _| !out.contains(&name.as_str()));
    inputs.extend(put.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())));
    inputs
}

fn command(folder: &Path, inputs: &Named, name: &str, arguments: &[&str]) -> std::process::Command {
    save_tensors(&folder.join("in.safetensors"), inputs, &BTreeMap::new()).unwrap();
    let mut command = xtask(folder);
    command.args(["losses", "eval", name, "--input", "in.safetensors", "--output", "out.safetensors"]).args(arguments);
    command
}

fn eval(inputs: &Named, name: &str, arguments: &[&str]) -> Named {
    let folder = tempdir().unwrap();
    let output = succeed(&mut command(folder.path(), inputs, name, arguments));
    assert!(output.stdout.is_empty(), "stdout is for documents");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("out.safetensors") && words.lines().count() == 1, "{words}");
    load_tensors(&folder.path().join("out.safetensors")).unwrap().0
}

#[test]
fn a_bias_that_the_loss_lacks_is_told() {
    let told = |name: &str, inputs: &Named| {
        let folder = tempdir().unwrap();
        let output = succeed(&mut command(folder.path(), inputs, name, &[]));
        String::from_utf8_lossy(&output.stderr).contains("`bias` was left aside")
    };
    assert!(told("arcface", &inputs()));
    assert!(!told("arcface", &changed(&[], &["bias"])));
    assert!(!told("softmax", &inputs()));
}

/// The message of a run that must leave no output.
fn complaint(inputs: &Named, name: &str, arguments: &[&str]) -> String {
    let folder = tempdir().unwrap();
    let words = fail(&mut command(folder.path(), inputs, name, arguments));
    assert!(!folder.path().join("out.safetensors").exists(), "{words}");
    words
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_near(what: &str, found: &Tensor, expected: &[f64], tolerance: f64) {
    let found = flat(found);
    assert_eq!(found.len(), expected.len(), "{what}");
    let farthest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(farthest <= tolerance, "{what}: off by {farthest}\n{found:?}\n{expected:?}");
}

/// Loss and gradients by embeddings, centers and bias.
struct Expected {
    loss: f64,
    d_embeddings: Vec<f64>,
    d_centers: Vec<f64>,
    d_bias: Vec<f64>,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// −log p_y and p − 1_y.
fn cross_entropy(logits: &[f64], label: usize) -> (f64, Vec<f64>) {
    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
    let slopes = logits.iter().enumerate().map(|(j, logit)| logit.exp() / sum - f64::from(u8::from(j == label)));
    (sum.ln() - logits[label], slopes.collect())
}

/// Mean −log softmax_y of s·ψ(cosθ_y) and s·cosθ_j, where `psi` gives ψ and dψ/dcosθ; everything normalised.
fn by_cosines(inputs: &Named, scale: f64, psi: impl Fn(f64) -> (f64, f64)) -> Expected {
    let (x, w) = (flat(&inputs["embeddings"]), flat(&inputs["centers"]));
    let (mut loss, mut d_x, mut d_w) = (0.0, vec![0.0; x.len()], vec![0.0; w.len()]);
    for (i, label) in LABELS.iter().enumerate() {
        let (label, x) = (*label as usize, &x[i * SIZE..(i + 1) * SIZE]);
        let x_norm = dot(x, x).sqrt();
        let center = |j: usize| &w[j * SIZE..(j + 1) * SIZE];
        let w_norm = |j: usize| dot(center(j), center(j)).sqrt();
        let cosines: Vec<f64> = (0..CLASSES).map(|j| dot(x, center(j)) / x_norm / w_norm(j)).collect();
        let (target, slope) = psi(cosines[label]);
        let logit = |j: usize| scale * if j == label { target } else { cosines[j] };
        let (row, by_logit) = cross_entropy(&(0..CLASSES).map(logit).collect::<Vec<_>>(), label);
        loss += row / BATCH as f64;
        for j in 0..CLASSES {
            let by_cosine = by_logit[j] * scale / BATCH as f64 * if j == label { slope } else { 1.0 };
            for d in 0..SIZE {
                let (unit_x, unit_w) = (x[d] / x_norm, center(j)[d] / w_norm(j));
                d_x[i * SIZE + d] += by_cosine * (unit_w - cosines[j] * unit_x) / x_norm;
                d_w[j * SIZE + d] += by_cosine * (unit_x - cosines[j] * unit_w) / w_norm(j);
            }
        }
    }
    Expected { loss, d_embeddings: d_x, d_centers: d_w, d_bias: Vec::new() }
}

/// Mean −log softmax_y of W·x + b.
fn by_softmax(inputs: &Named, bias: &[f64]) -> Expected {
    let (x, w) = (flat(&inputs["embeddings"]), flat(&inputs["centers"]));
    let (mut loss, mut d_x, mut d_w) = (0.0, vec![0.0; x.len()], vec![0.0; w.len()]);
    let mut d_bias = vec![0.0; CLASSES];
    for (i, label) in LABELS.iter().enumerate() {
        let logit = |j: usize| dot(&x[i * SIZE..(i + 1) * SIZE], &w[j * SIZE..(j + 1) * SIZE]) + bias[j];
        let (row, by_logit) = cross_entropy(&(0..CLASSES).map(logit).collect::<Vec<_>>(), *label as usize);
        loss += row / BATCH as f64;
        for (j, slope) in by_logit.iter().enumerate() {
            let slope = slope / BATCH as f64;
            d_bias[j] += slope;
            for d in 0..SIZE {
                d_x[i * SIZE + d] += slope * w[j * SIZE + d];
                d_w[j * SIZE + d] += slope * x[i * SIZE + d];
            }
        }
    }
    Expected { loss, d_embeddings: d_x, d_centers: d_w, d_bias }
}

fn check(found: &Named, expected: &Expected, tolerance: f64) {
    assert_near("loss", &found["loss"], &[expected.loss], tolerance);
    assert_near("d_embeddings", &found["d_embeddings"], &expected.d_embeddings, tolerance);
    assert_near("d_centers", &found["d_centers"], &expected.d_centers, tolerance);
    match found.get("d_bias") {
        Some(d_bias) => assert_near("d_bias", d_bias, &expected.d_bias, tolerance),
        None => assert!(expected.d_bias.is_empty(), "d_bias is missing"),
    }
}

/// cos(θ + m) and its derivative by cosθ, where θ + m ≤ π.
fn arcface(margin: f64) -> impl Fn(f64) -> (f64, f64) {
    move |cosine| {
        let theta = cosine.acos();
        assert!(theta + margin < std::f64::consts::PI, "the plain formula holds below π only");
        ((theta + margin).cos(), (theta + margin).sin() / theta.sin())
    }
}

#[test]
fn the_list_is_one_document() {
    let folder = tempdir().unwrap();
    let output = succeed(xtask(folder.path()).args(["losses", "--json"]));
    let list: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = list.iter().map(|loss| loss["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted(), "{names:?}");
    for name in [
        "arcface",
        "combined",
        "cosface",
        "inter",
        "intra",
        "normface",
        "softmax",
        "sphereface",
        "subcenter_arcface",
        "triplet",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    for loss in &list {
        for key in ["kind", "summary", "formula", "paper"] {
            assert!(loss[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {loss}");
        }
        assert!(loss["exceptions"].is_array() && loss["parameters"].is_object(), "{loss}");
    }
    let arcface = &list[names.iter().position(|name| *name == "arcface").unwrap()]["parameters"];
    assert_eq!((&arcface["margin"], &arcface["scale"]), (&0.5.into(), &64.0.into()));
}

#[test]
fn the_table_has_every_formula() {
    let folder = tempdir().unwrap();
    let output = succeed(xtask(folder.path()).arg("losses"));
    let table = String::from_utf8(output.stdout).unwrap();
    for words in ["arcface", "margin", "s·cos(θ_y + m)", "additive angular margin", "term", "head"] {
        assert!(table.contains(words), "{words} is not in\n{table}");
    }
}

#[test]
fn arcface_is_its_formula() {
    check(&eval(&inputs(), "arcface", &[]), &by_cosines(&inputs(), 64.0, arcface(0.5)), 1e-10);
    let set = ["--set", "margin=0.2", "--set", "scale=20"];
    check(&eval(&inputs(), "arcface", &set), &by_cosines(&inputs(), 20.0, arcface(0.2)), 1e-10);
}

#[test]
fn cosface_is_its_formula() {
    let psi = |cosine| (cosine - 0.35, 1.0);
    check(&eval(&inputs(), "cosface", &[]), &by_cosines(&inputs(), 64.0, psi), 1e-10);
}

#[test]
fn softmax_is_its_formula_with_and_without_bias() {
    let bias = flat(&inputs()["bias"]);
    check(&eval(&inputs(), "softmax", &[]), &by_softmax(&inputs(), &bias), 1e-10);
    check(&eval(&changed(&[], &["bias"]), "softmax", &[]), &by_softmax(&inputs(), &[0.0; CLASSES]), 1e-10);
}

#[test]
fn combined_margins_are_given_one_by_one() {
    let psi = |cosine: f64| {
        let theta = cosine.acos();
        ((0.9 * theta + 0.4).cos() - 0.15, 0.9 * (0.9 * theta + 0.4).sin() / theta.sin())
    };
    let set = ["--set", "m1=0.9", "--set", "m2=0.4", "--set", "m3=0.15"];
    check(&eval(&inputs(), "combined", &set), &by_cosines(&inputs(), 64.0, psi), 1e-10);
}

#[test]
fn integer_sphereface_follows_the_step() {
    let loss = |step: &str| {
        let set = ["--set", "form=integer", "--step", step];
        flat(&eval(&inputs(), "sphereface", &set)["loss"])[0]
    };
    assert!(loss("0") < loss("100000"), "λ falls with the step, and the margin grows");
}

#[test]
fn the_element_type_is_that_of_the_embeddings_or_as_asked() {
    let single = inputs()["embeddings"].to_dtype(DType::F32).unwrap();
    let mixed = changed(&[("embeddings", single)], &[]);
    let dtype = |found: &Named| found.values().map(Tensor::dtype).collect::<Vec<_>>();
    let expected = by_cosines(&inputs(), 64.0, arcface(0.5));
    let of_embeddings = eval(&mixed, "arcface", &[]);
    assert_eq!(dtype(&of_embeddings), [DType::F32; 3]);
    check(&of_embeddings, &expected, 1e-3);
    assert_eq!(dtype(&eval(&mixed, "arcface", &["--dtype", "f64"])), [DType::F64; 3]);
    assert_eq!(dtype(&eval(&inputs(), "arcface", &["--dtype", "f32"])), [DType::F32; 3]);
}

#[test]
fn labels_are_whole_numbers_of_any_type() {
    let expected = eval(&inputs(), "arcface", &[]);
    for dtype in [DType::U8, DType::I16, DType::I32, DType::U32] {
        let found = eval_foreign(&changed(&[("labels", labels(&LABELS).to_dtype(dtype).unwrap())], &[]));
        assert_eq!(flat(&found["loss"]), flat(&expected["loss"]), "{dtype:?}");
    }
}

#[test]
fn half_precision_is_computed_in_single() {
    for dtype in [DType::F16, DType::BF16] {
        let half = inputs()["embeddings"].to_dtype(dtype).unwrap();
        let rounded = changed(&[("embeddings", half.to_dtype(DType::F64).unwrap())], &[]);
        let found = eval_foreign(&changed(&[("embeddings", half)], &[]));
        assert_eq!(found["loss"].dtype(), DType::F32);
        check(&found, &by_cosines(&rounded, 64.0, arcface(0.5)), 1e-3);
    }
}

/// arcface of tensors in types that other programs write and ours do not.
fn eval_foreign(inputs: &Named) -> Named {
    let folder = tempdir().unwrap();
    let mut command = command(folder.path(), &self::inputs(), "arcface", &[]);
    let foreign = inputs.clone().into_iter().collect();
    arcface_core::candle::safetensors::save(&foreign, folder.path().join("in.safetensors")).unwrap();
    succeed(&mut command);
    load_tensors(&folder.path().join("out.safetensors")).unwrap().0
}

#[test]
fn sub_centers_are_as_many_as_the_centers_have() {
    let centers = tensor(numbers(CLASSES * 3 * SIZE, 4.0), &[CLASSES, 3, SIZE]);
    let three = changed(&[("centers", centers)], &[]);
    let found = eval(&three, "cosface", &[]);
    assert_eq!(found["d_centers"].dims(), [CLASSES, 3, SIZE]);
    assert_eq!(flat(&eval(&three, "cosface", &["--set", "sub_centers=3"])["loss"]), flat(&found["loss"]));
    assert_snapshot!(complaint(&three, "cosface", &["--set", "sub_centers=2"]), @"error: in.safetensors: sub_centers: expected 3 as the centers have, got 2");
    assert_snapshot!(complaint(&three, "softmax", &[]), @"error: in.safetensors: centers: expected (C, D) for a head without sub-centers, got 3 sub-centers");
}

/// So that a batch of five has triplets, and a loss that is not 0.
const ALL_TRIPLETS: [&str; 4] = ["--set", "mining=all", "--set", "margin=2"];

#[test]
fn triplet_needs_no_centers() {
    let alone = eval(&changed(&[], &["centers", "bias"]), "triplet", &ALL_TRIPLETS);
    let beside = eval(&inputs(), "triplet", &ALL_TRIPLETS);
    assert_eq!(flat(&alone["d_embeddings"]), flat(&beside["d_embeddings"]));
    assert!(0.0 < flat(&alone["loss"])[0], "a loss of nothing would show nothing");
    assert!(!alone.contains_key("d_centers"), "no centers, no gradient of them");
    assert_eq!(flat(&beside["d_centers"]), [0.0; CLASSES * SIZE]);
}

/// Labels of a loss without centers are names of persons and may be large; that costs no memory.
#[test]
fn triplet_takes_large_labels() {
    let large = LABELS.map(|label| label + 4_000_000_000);
    let large = changed(&[("labels", labels(&large))], &["centers", "bias"]);
    let small = changed(&[], &["centers", "bias"]);
    assert_eq!(
        flat(&eval(&large, "triplet", &ALL_TRIPLETS)["loss"]),
        flat(&eval(&small, "triplet", &ALL_TRIPLETS)["loss"])
    );
}

#[test]
fn complaints_about_tensors() {
    let wrong = |name: &str, tensor: Tensor| complaint(&changed(&[(name, tensor)], &[]), "arcface", &[]);
    let missing = |name: &str| complaint(&changed(&[], &[name]), "arcface", &[]);
    assert_snapshot!(missing("embeddings"), @"error: in.safetensors: tensor `embeddings` (B, D) is missing");
    assert_snapshot!(missing("centers"), @"error: in.safetensors: tensor `centers` (C, D) or (C, K, D) is missing; `arcface` needs class centers");
    assert_snapshot!(missing("labels"), @"error: in.safetensors: tensor `labels` (B) is missing");
    assert_snapshot!(wrong("weights", tensor(vec![1.0], &[1])), @"error: in.safetensors: tensor `weights`: expected no others than embeddings, centers, labels, bias");
    assert_snapshot!(wrong("embeddings", tensor(numbers(BATCH, 0.0), &[BATCH])), @"error: in.safetensors: embeddings: expected shape (B, D), got [5]");
    assert_snapshot!(wrong("embeddings", tensor(numbers(BATCH * 3, 0.0), &[BATCH, 3])), @"error: in.safetensors: embeddings: expected shape (B, D) with B >= 1 and D = 6, got [5, 3]");
    assert_snapshot!(wrong("centers", tensor(numbers(SIZE, 0.0), &[SIZE])), @"error: in.safetensors: centers: expected shape (C, D) or (C, K, D), got [6]");
    assert_snapshot!(wrong("embeddings", labels(&LABELS)), @"error: in.safetensors: tensor `embeddings`: expected floating-point numbers, got i64");
    assert_snapshot!(wrong("embeddings", tensor(vec![f64::NAN; BATCH * SIZE], &[BATCH, SIZE])), @"error: in.safetensors: embeddings: row 0: expected finite values, got NaN");
    assert_snapshot!(wrong("embeddings", tensor(Vec::new(), &[0, SIZE])), @"error: in.safetensors: embeddings: expected shape (B, D) with B >= 1 and D = 6, got [0, 6]");
    assert_snapshot!(wrong("centers", tensor(Vec::new(), &[0, SIZE])), @"error: in.safetensors: centers: expected shape without a zero, got [0, 6]");
    assert_snapshot!(wrong("centers", tensor(Vec::new(), &[CLASSES, 0, SIZE])), @"error: in.safetensors: centers: expected shape without a zero, got [4, 0, 6]");
    let flat = [("embeddings", tensor(Vec::new(), &[BATCH, 0])), ("centers", tensor(Vec::new(), &[CLASSES, 0]))];
    assert_snapshot!(complaint(&changed(&flat, &[]), "arcface", &[]), @"error: in.safetensors: centers: expected shape without a zero, got [4, 0]");
    let bias = changed(&[("bias", tensor(numbers(3, 0.0), &[3]))], &[]);
    assert_snapshot!(complaint(&bias, "softmax", &[]), @"error: in.safetensors: bias: expected shape (C) = [4], got [3]");
}

#[test]
fn complaints_about_labels() {
    let wrong = |tensor: Tensor| complaint(&changed(&[("labels", tensor)], &[]), "arcface", &[]);
    assert_snapshot!(wrong(labels(&[0, 1, 2, 4, 3])), @"error: in.safetensors: label of row 3: expected below 4 classes, got 4");
    assert_snapshot!(wrong(labels(&[0, 1, -1, 2, 3])), @"error: in.safetensors: tensor `labels`: row 2: expected a class from 0 to 4294967295, got -1");
    assert_snapshot!(wrong(labels(&[0, 1, 1 << 40, 2, 3])), @"error: in.safetensors: tensor `labels`: row 2: expected a class from 0 to 4294967295, got 1099511627776");
    assert_snapshot!(wrong(labels(&[0, 1])), @"error: in.safetensors: labels: expected shape (B) with B = 5, got [2]");
    assert_snapshot!(wrong(labels(&LABELS).reshape((BATCH, 1)).unwrap()), @"error: in.safetensors: tensor `labels`: expected shape (B), got [5, 1]");
    assert_snapshot!(wrong(tensor(vec![0.0, 1.0, 1.5, 2.0, 3.0], &[BATCH])), @"error: in.safetensors: tensor `labels`: expected whole numbers, got f64");
}

#[test]
fn complaints_about_parameters() {
    let wrong = |name: &str, arguments: &[&str]| complaint(&inputs(), name, arguments);
    assert_snapshot!(wrong("arcfase", &[]), @"error: no loss named `arcfase`; known: adaface, arcface, combined, cosface, curricularface, elastic_arcface, elastic_cosface, inter, intra, magface, normface, softmax, sphereface, subcenter_arcface, triplet");
    assert_snapshot!(wrong("arcface", &["--set", "marign=0.3"]), @"error: loss `arcface` has no parameter `marign`; known: beyond_pi, chunk, gamma_pooling, gradient, margin, pooling, sample_rate, scale, sub_centers, terms, warmup_steps");
    assert_snapshot!(wrong("arcface", &["--set", "margin=28.6"]), @"error: loss `arcface`: `margin`: expected radians within [0, π] (28.6° would be 0.4992 rad), got 28.6");
    assert_snapshot!(wrong("arcface", &["--set", "margin"]), @"error: --set margin: expected KEY=VALUE");
    assert_snapshot!(wrong("arcface", &["--set", "head.margin=0.3"]), @"error: --set head.margin=0.3: expected a parameter of the loss, such as margin=0.3");
    assert_snapshot!(wrong("sphereface", &["--set", "form=whole"]), @"error: loss `sphereface`: `form`: unknown variant `whole`, expected `real` or `integer`");
    assert_snapshot!(wrong("arcface", &["--dtype", "f16"]), @"error: in.safetensors: --dtype: expected f32 or f64, got `f16`");
}

#[test]
fn complaints_about_files() {
    let folder = tempdir().unwrap();
    let words = |input: &str, output: &str| {
        let mut command = xtask(folder.path());
        fail(command.args(["losses", "eval", "arcface", "--input", input, "--output", output]))
    };
    save_tensors(&folder.path().join("in.safetensors"), &inputs(), &BTreeMap::new()).unwrap();
    fs::write(folder.path().join("text.safetensors"), "not tensors at all").unwrap();
    let whole = fs::read(folder.path().join("in.safetensors")).unwrap();
    fs::write(folder.path().join("cut.safetensors"), &whole[..whole.len() - 9]).unwrap();
    assert_snapshot!(words("nowhere.safetensors", "out.safetensors"), @"error: nowhere.safetensors: No such file or directory (os error 2)");
    assert_snapshot!(words("text.safetensors", "out.safetensors"), @"error: text.safetensors: expected a whole .safetensors file, but it is truncated, damaged or of another format (header too large)");
    assert_snapshot!(words("cut.safetensors", "out.safetensors"), @"error: cut.safetensors: expected a whole .safetensors file, but it is truncated, damaged or of another format (incomplete metadata, file not fully covered)");
    assert_snapshot!(words("in.safetensors", "nowhere/out.safetensors"), @"error: nowhere/out.safetensors: No such file or directory (os error 2); nothing was overwritten");
    assert_snapshot!(words(".", "out.safetensors"), @"error: .: Is a directory (os error 21)");
    assert_snapshot!(words("in.safetensors", "."), @"error: .: expected the name of a file, got a folder");
}

#[test]
fn the_input_is_never_replaced() {
    let folder = tempdir().unwrap();
    command(folder.path(), &inputs(), "arcface", &[]);
    let before = fs::read(folder.path().join("in.safetensors")).unwrap();
    let eval = ["losses", "eval", "arcface", "--input", "in.safetensors", "--output", "./in.safetensors"];
    assert_snapshot!(fail(xtask(folder.path()).args(eval)), @"error: --output ./in.safetensors: is the input; choose another name");
    assert_eq!(fs::read(folder.path().join("in.safetensors")).unwrap(), before);
}

#[test]
fn a_reader_that_closes_the_pipe_is_no_error() {
    let folder = tempdir().unwrap();
    let mut child =
        xtask(folder.path()).args(["losses", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
