//! Training steps of whole networks beside the same networks written with candle-nn's own layers.
//! Knows no loss and no optimiser: the embeddings' squares stand for one.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![expect(clippy::unwrap_used, reason = "a bench says by panicking what went wrong")]

use std::hint::black_box;

use arcface_core::candle::{self, DType, Device, ModuleT, Tensor};
use arcface_core::testing::normal;
use arcface_models::plan::{Bias, ConvSpec, Spec};
use arcface_models::{Architecture, Backbone, BackboneConfig};
use candle_nn::{BatchNormConfig, Conv2d, Conv2dConfig, VarBuilder, VarMap};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// As in the binaries: pages are kept, not returned to the system and cleared again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NETWORKS: [(Architecture, usize); 3] =
    [(Architecture::FaceNano, 16), (Architecture::MobileFaceNet, 4), (Architecture::IResNet18, 2)];

/// A layer of candle-nn's, or two branches whose results are added.
enum Layer {
    One(Box<dyn ModuleT>),
    Flatten,
    Residual { main: Vec<Layer>, shortcut: Vec<Layer> },
}

/// The layers of a plan, without dropout.
fn layers(specs: &[Spec], builder: &VarBuilder) -> Vec<Layer> {
    specs.iter().flat_map(|spec| layer(spec, builder)).collect()
}

fn layer(spec: &Spec, builder: &VarBuilder) -> Vec<Layer> {
    let one = |layer| Layer::One(layer);
    match spec {
        Spec::Conv(spec) => vec![one(Box::new(convolution(spec, builder)))],
        Spec::BatchNorm(spec) => {
            let config = BatchNormConfig::default();
            vec![one(Box::new(candle_nn::batch_norm(spec.channels, config, builder.pp(&spec.name)).unwrap()))]
        }
        Spec::Prelu(spec) => {
            vec![one(Box::new(candle_nn::prelu(Some(spec.channels), builder.pp(&spec.name)).unwrap()))]
        }
        Spec::Dropout(_) => vec![],
        Spec::Linear(spec) => {
            let (inputs, builder) = (spec.inputs(), builder.pp(&spec.name));
            let linear = match spec.bias {
                Bias::With => candle_nn::linear(inputs, spec.outputs, builder),
                Bias::Without => candle_nn::linear_no_bias(inputs, spec.outputs, builder),
            };
            vec![Layer::Flatten, one(Box::new(linear.unwrap()))]
        }
        Spec::Residual { main, shortcut } => {
            vec![Layer::Residual { main: layers(main, builder), shortcut: layers(shortcut, builder) }]
        }
    }
}

fn convolution(spec: &ConvSpec, builder: &VarBuilder) -> Conv2d {
    let config =
        Conv2dConfig { padding: spec.padding, stride: spec.stride, groups: spec.groups, ..Conv2dConfig::default() };
    // candle's kernels are square, as are those of the networks compared.
    let [size, _] = spec.kernel;
    candle_nn::conv2d_no_bias(spec.inputs, spec.outputs, size, config, builder.pp(&spec.name)).unwrap()
}

/// # Shapes
/// (B, 3, S, S) → (B, D)
fn forward(layers: &[Layer], x: &Tensor) -> candle::Result<Tensor> {
    layers.iter().try_fold(x.clone(), |x, layer| match layer {
        Layer::One(layer) => layer.forward_t(&x, true),
        Layer::Flatten => x.flatten_from(1),
        Layer::Residual { main, shortcut } => forward(main, &x)? + forward(shortcut, &x)?,
    })
}

fn candles_step(layers: &[Layer], images: &Tensor) {
    let loss = forward(layers, images).unwrap().sqr().unwrap().mean_all().unwrap();
    drop(black_box(loss.backward().unwrap()));
}

fn our_step(backbone: &Backbone, images: &Tensor) {
    let pass = backbone.training_pass(images, 0, 0).unwrap();
    let loss = pass.embeddings().sqr().unwrap().mean_all().unwrap();
    backbone.commit_statistics().unwrap();
    drop(black_box(pass.backward(&loss).unwrap()));
}

fn networks(criterion: &mut Criterion) {
    for (architecture, batch) in NETWORKS {
        let mut group = criterion.benchmark_group(architecture.to_string());
        group.sample_size(10).throughput(Throughput::Elements(batch as u64));
        let images = normal(&[batch, 3, 112, 112], DType::F32, 0).unwrap();
        let config = BackboneConfig::new(architecture);
        let ours = Backbone::new(&config, 0, DType::F32, &Device::Cpu).unwrap();
        let candles =
            layers(&config.plan().unwrap().layers, &VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu));
        group.bench_function(BenchmarkId::new("training_step", "ours"), |bencher| {
            bencher.iter(|| our_step(&ours, &images));
        });
        group.bench_function(BenchmarkId::new("training_step", "candle"), |bencher| {
            bencher.iter(|| candles_step(&candles, &images));
        });
        group.finish();
    }
}

criterion_group!(benches, networks);
criterion_main!(benches);
