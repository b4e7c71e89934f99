//! How many images per second this machine trains and embeds with a backbone: `throughput [NAME [BATCH [SIZE]]]`.
//! Knows no data: the images are noise.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::time::Instant;

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::{Gradients, Result};
use arcface_models::{Architecture, Backbone, BackboneConfig, Mode};

// Activations are large and short-lived: give their pages back to the system and each step waits for new ones.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let architecture = arguments.next().unwrap_or_else(|| "facenano".into()).parse()?;
    let mut number = |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (batch, input_size) = (number(32), number(112));
    report(architecture, batch, input_size)
}

fn report(architecture: Architecture, batch: usize, input_size: usize) -> Result<()> {
    let config = BackboneConfig { input_size, ..BackboneConfig::new(architecture) };
    let backbone = Backbone::new(&config, 0, DType::F32, &Device::Cpu)?;
    let images = Tensor::rand(-1f32, 1f32, (batch, 3, input_size, input_size), &Device::Cpu)?;
    let inference = backbone.inference()?;
    let embed = || inference.forward(&images).map(drop);
    println!("{architecture}, batch {batch}: embeds {:.1} img/s", rate(batch, embed)?);
    println!("{architecture}, batch {batch}: trains {:.1} img/s", rate(batch, || train(&backbone, &images))?);
    let by_candle = rate(batch, || train_by_candle(&backbone, &images))?;
    println!("{architecture}, batch {batch}: trains {by_candle:.1} img/s through candle's gradient store");
    Ok(())
}

/// Forward, backward and running statistics, with the mean square of the embeddings as loss.
fn train(backbone: &Backbone, images: &Tensor) -> Result<()> {
    let pass = backbone.training_pass(images, 0, 0)?;
    let loss = pass.embeddings().sqr()?.mean_all()?;
    drop(pass.backward(&loss)?);
    backbone.commit_statistics()
}

/// The same through candle's gradient store.
fn train_by_candle(backbone: &Backbone, images: &Tensor) -> Result<()> {
    let embeddings = backbone.forward(images, Mode::Train { seed: 0, step: 0 })?;
    let mut store = embeddings.sqr()?.mean_all()?.backward()?;
    drop(Gradients::from_store(backbone.parameters(), &mut store));
    backbone.commit_statistics()
}

/// Images per second over at least three passes and two seconds, after one to warm up.
fn rate(batch: usize, pass: impl Fn() -> Result<()>) -> Result<f64> {
    pass()?;
    let (start, mut passes) = (Instant::now(), 0);
    while passes < 3 || start.elapsed().as_secs_f64() < 2.0 {
        pass()?;
        passes += 1;
    }
    Ok((passes * batch) as f64 / start.elapsed().as_secs_f64())
}
