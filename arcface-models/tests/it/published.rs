//! Networks that were trained elsewhere, against numbers that `PyTorch` computed from the same weights and pixels.
//! Knows no face: the picture is a formula, and so are the weights where the real ones are not at hand.

#![expect(clippy::unreadable_literal, reason = "numbers stand as they were printed")]

use std::io::Write;
use std::path::{Path, PathBuf};

use arcface_core::candle::{DType, Device, Tensor};
use arcface_models::weights::{StateDict, read};
use arcface_models::{Architecture, Backbone, BackboneConfig, Mode};

use crate::support::values;

/// A file of real weights, if it is there.
fn real_weights(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("ARCFACE_DATA").map_or_else(beside, PathBuf::from);
    let path = root.join("weights").join(name);
    if path.is_file() {
        return Some(path);
    }
    // Written past the test harness, which would swallow it.
    let _ = writeln!(std::io::stderr(), "skipped: no weights at {} (set ARCFACE_DATA)", path.display());
    None
}

/// u(i) = (i·2654435761 mod 2³²)/2³² − 1/2.
fn made_up_number(index: u64) -> f64 {
    (index * 2_654_435_761 % (1 << 32)) as f64 / 4_294_967_296.0 - 0.5
}

/// The weights of `made_up` in `xtask/peer/mobilefacenet_paper.py`.
fn made_up(architecture: Architecture) -> StateDict {
    let mut entries = BackboneConfig::new(architecture).plan().unwrap().entries();
    entries.sort_by(|a, b| a.file_name.cmp(&b.file_name));
    let mut first = 0;
    let tensors = entries.into_iter().map(|entry| {
        let (name, shape) = (entry.file_name.as_str(), entry.shape.as_slice());
        let per_output: usize = shape[1..].iter().product();
        let around_one = ["var", "gamma"].iter().any(|end| name.ends_with(end));
        let value = |u: f64| match (name, shape.len()) {
            ("fc1_gamma", _) => 1.0,
            (_, 1) if around_one || name.ends_with("weight") => 1.0 + 0.5 * u,
            (_, 1) => 0.2 * u,
            _ => u * (12.0 / per_output as f64).sqrt(),
        };
        let numbers = first..first + entry.elements() as u64;
        first = numbers.end;
        let values: Vec<f32> = numbers.map(|index| value(made_up_number(index)) as f32).collect();
        (entry.file_name.clone(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
    });
    tensors.collect()
}

/// (37·x + 101·y + 59·c + x·y) mod 256, normalised as both networks take it, (1, 3, 112, 112).
fn picture() -> Tensor {
    let byte = |index: usize| {
        let (c, y, x) = (index / (112 * 112), index / 112 % 112, index % 112);
        (37 * x + 101 * y + 59 * c + x * y) % 256
    };
    let values: Vec<f32> = (0..3 * 112 * 112).map(|index| (byte(index) as f32 - 127.5) / 128.0).collect();
    Tensor::from_vec(values, (1, 3, 112, 112), &Device::Cpu).unwrap()
}

/// Compares the embedding's first numbers and its length with those of `PyTorch` in f64.
fn check(backbone: &Backbone, first: [f64; 8], norm: f64) {
    let embedding = values(&backbone.forward(&picture(), Mode::Eval).unwrap());
    let own_norm = embedding.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((own_norm / norm - 1.0).abs() < 1e-5, "‖y‖ = {own_norm}, expected {norm}");
    for (index, (got, expected)) in embedding.iter().zip(first).enumerate() {
        assert!((got - expected).abs() < 1e-5 * norm, "y[{index}] = {got}, expected {expected}");
    }
}

// The numbers are printed by `python xtask/peer/mobilefacenet_paper.py` (torch 2.15, f64).
const Y1_MADE_UP: [f64; 8] = [0.439063, 0.000698, -0.666034, 0.747618, -0.916819, 0.34752, -0.334817, 0.565719];
const OF_112X96_MADE_UP: [f64; 8] =
    [-0.556264, 3.026349, -1.017534, 0.788343, -1.886476, -0.129062, -0.823885, -0.522114];
// … `y1 insightface_model-y1.safetensors`, and `112x96 xiaoccer_mobilefacenet_112x96.safetensors`.
const Y1_REAL: [f64; 8] = [0.392163, -0.027402, 0.303342, 0.619442, -0.141168, 0.247011, -0.061727, 0.489789];
const OF_112X96_REAL: [f64; 8] = [-0.076007, -0.173837, -0.219049, -0.038608, 0.177015, 0.067376, -0.054088, 0.173997];

#[test]
fn made_up_weights_embed_as_in_pytorch() {
    let backbone = |architecture| {
        let config = BackboneConfig::new(architecture);
        Backbone::from_state_dict(&config, &made_up(architecture), DType::F32, &Device::Cpu).unwrap()
    };
    check(&backbone(Architecture::MobileFaceNetY1), Y1_MADE_UP, 6.871_232_475_548_603);
    check(&backbone(Architecture::MobileFaceNet112x96), OF_112X96_MADE_UP, 17.246_058_614_497_397);
}

fn check_real(file: &str, architecture: Architecture, first: [f64; 8], norm: f64) {
    let Some(path) = real_weights(file) else { return };
    let (backbone, metadata) = Backbone::load(&path, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(backbone.config(), &BackboneConfig::new(architecture));
    assert_eq!((metadata.normalisation.as_str(), metadata.colour_order.as_str()), ("(x-127.5)/128", "rgb"));
    check(&backbone, first, norm);
    let state = backbone.state_dict().unwrap();
    let read = read(&path).unwrap().state;
    assert!(state.keys().eq(read.keys()));
    for (name, tensor) in &state {
        assert!((tensor.dims(), values(tensor)) == (read[name].dims(), values(&read[name])), "{name}");
    }
}

#[test]
fn y1_embeds_as_in_pytorch_and_is_written_as_it_was_read() {
    let file = "insightface_model-y1.safetensors";
    check_real(file, Architecture::MobileFaceNetY1, Y1_REAL, 3.207_905_863_326_608_7);
}

#[test]
fn the_112x96_network_embeds_as_in_pytorch_and_is_written_as_it_was_read() {
    let file = "xiaoccer_mobilefacenet_112x96.safetensors";
    check_real(file, Architecture::MobileFaceNet112x96, OF_112X96_REAL, 2.397_548_912_903_675);
}

#[test]
fn the_112x96_network_sees_the_middle_columns() {
    let config = BackboneConfig { input_size: 32, ..BackboneConfig::new(Architecture::MobileFaceNet112x96) };
    let backbone = Backbone::new(&config, 0, DType::F32, &Device::Cpu).unwrap();
    let face = crate::support::images(2, 32, DType::F32);
    let embed = |images: &Tensor| values(&backbone.forward(images, Mode::Eval).unwrap());
    let seen = face.narrow(3, 8, 16).unwrap();
    assert!(embed(&face) == embed(&seen));
    let black = |from| Tensor::zeros((2, 3, 32, 8), DType::F32, &Device::Cpu).map(|side| (from, side)).unwrap();
    let framed = Tensor::cat(&[&black(0).1, &seen, &black(24).1], 3).unwrap();
    assert!(embed(&face) == embed(&framed));
    let error = |width| {
        let images = Tensor::zeros((1, 3, 32, width), DType::F32, &Device::Cpu).unwrap();
        backbone.forward(&images, Mode::Eval).unwrap_err().to_string()
    };
    insta::assert_snapshot!(error(24), @"images: expected shape (B, 3, 32, 32) or (B, 3, 32, 16), got [1, 3, 32, 24]");
    let small = BackboneConfig { input_size: 16, ..config };
    insta::assert_snapshot!(small.plan().unwrap_err(), @"input_size: expected a multiple of 16 from 32 to 1024, got 16");
}

#[test]
fn counts_of_batches_may_be_absent_or_superfluous_but_not_in_part() {
    let state = crate::support::backbone(3).state_dict().unwrap();
    let load =
        |state: &StateDict| Backbone::from_state_dict(&crate::support::config(), state, DType::F32, &Device::Cpu);
    let mut uncounted = state.clone();
    uncounted.retain(|name, _| !name.ends_with("num_batches_tracked"));
    let loaded = load(&uncounted).unwrap().state_dict().unwrap();
    assert!(loaded.keys().eq(state.keys()));
    let mut partly = state;
    partly.remove("bn2.num_batches_tracked");
    assert!(load(&partly).unwrap_err().to_string().contains("1 missing: `bn2.num_batches_tracked`"));

    let of_new_torch = Architecture::MobileFaceNet112x96;
    let mut counted = made_up(of_new_torch);
    counted.insert("conv1.bn.num_batches_tracked".into(), Tensor::new(7_i64, &Device::Cpu).unwrap());
    Backbone::from_state_dict(&BackboneConfig::new(of_new_torch), &counted, DType::F32, &Device::Cpu).unwrap();
}
