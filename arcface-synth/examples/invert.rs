//! Images of drawn faces made again from their embeddings alone, and how long a step takes:
//! `invert [NAME|WEIGHTS [IMAGES [STEPS]]]`. A network by name is random, but for its statistics.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::path::Path;
use std::time::Instant;

use arcface_core::Result;
use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::seed::{Purpose, rng};
use arcface_models::{Architecture, Backbone, BackboneConfig, Mode};
use arcface_synth::{Distance, Inversion, InversionConfig, Targets};
use rand::Rng;

// Activations are large and short-lived: give their pages back to the system and each step waits for new ones.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "facenano".into());
    let mut number = |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (count, steps) = (number(16), number(50));
    let backbone = network(&name)?;
    let faces = drawn(count, backbone.config().input_size)?;
    let targets = Targets::new(&backbone.forward(&faces, Mode::Eval)?, Distance::Euclidean)?;
    let config = InversionConfig { steps: steps as u64, ..InversionConfig::fast() };
    let mut inversion = Inversion::new(&config, 0, count, backbone.config().input_size)?;
    report(&mut inversion, &backbone, &targets)
}

fn report(inversion: &mut Inversion, backbone: &Backbone, targets: &Targets) -> Result<()> {
    let mut times = vec![];
    while !inversion.is_done() {
        let start = Instant::now();
        let losses = inversion.step(backbone.network(), |embeddings| targets.loss(embeddings))?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        if inversion.steps_done().is_multiple_of(10) {
            println!("step {}: {losses:?}", inversion.steps_done());
        }
    }
    times.sort_by(f64::total_cmp);
    println!("{} images: {:.1} ms per step (median), {:.1} (least)", targets.count(), times[times.len() / 2], times[0]);
    Ok(())
}

/// Weights from a file, or random ones with the statistics of drawn faces.
fn network(name: &str) -> Result<Backbone> {
    if Path::new(name).is_file() {
        return Ok(Backbone::load(Path::new(name), DType::F32, &Device::Cpu)?.0);
    }
    let config = BackboneConfig::new(name.parse::<Architecture>()?);
    let backbone = Backbone::new(&config, 0, DType::F32, &Device::Cpu)?;
    let faces = drawn(16, config.input_size)?;
    for step in 0..30 {
        drop(backbone.training_pass(&faces, 0, step)?);
        backbone.commit_statistics()?;
    }
    Ok(backbone)
}

/// Soft blobs of a colour each: two eyes and a mouth on a skin.
fn drawn(count: usize, size: usize) -> Result<Tensor> {
    let images = (0..count as u64).flat_map(|index| face(index, size));
    Ok(Tensor::from_iter(images, &Device::Cpu)?.reshape((count, 3, size, size))?)
}

fn face(index: u64, size: usize) -> Vec<f32> {
    let mut rng = rng(0, Purpose::Testing, 0, index);
    let mut near = |x: f32| x + rng.random_range(-0.05..0.05_f32);
    let parts = [[0.35, 0.45], [0.65, 0.45], [0.5, 0.75]].map(|center| (center.map(&mut near), near(0.08)));
    let colours = [(); 4].map(|()| [(); 3].map(|()| near(0.0) * 10.0));
    let value = |c: usize, y: usize, x: usize| {
        let at = [x, y].map(|at| at as f32 / size as f32);
        parts.iter().zip(&colours).fold(colours[3][c], |below, ((center, radius), colour)| {
            let distance = (at[0] - center[0]).hypot(at[1] - center[1]);
            let cover = (-(distance / radius).powi(2)).exp();
            below * (1.0 - cover) + colour[c] * cover
        })
    };
    (0..3 * size * size).map(|at| value(at / (size * size), at / size % size, at % size)).collect()
}
