//! Trains a linear embedding of eight noisy classes with ArcFace, with this crate and candle alone.
//! Knows no files: `cargo run --example train_toy`.
#![allow(clippy::print_stdout)]

use arcface_losses::{HeadShape, Objective, toml::toml};
use candle_core::{DType, Device::Cpu, Tensor, Var};
use candle_nn::{Optimizer, SGD};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let labels: Vec<u32> = (0..64).map(|row| row % 8).collect();
    let prototypes = Tensor::randn(0f32, 1.0, (8, 16), &Cpu)?.repeat((8, 1))?;
    let images = (prototypes + Tensor::randn(0f32, 0.3, (64, 16), &Cpu)?)?;
    let weight = Var::randn(0f32, 0.1, (16, 4), &Cpu)?;
    let shape = HeadShape { num_classes: 8, embedding_size: 4, dtype: DType::F32, device: &Cpu, seed: 0 };
    let mut arcface = Objective::build("arcface", &toml! { scale = 16.0 }, shape)?;
    let mut sgd = SGD::new([arcface.vars(), vec![weight.clone()]].concat(), 0.05)?;
    for step in 0..200 {
        let output = arcface.forward(&images.matmul(&weight)?, &labels, step)?;
        sgd.step(&arcface.backward(&output)?)?;
        println!("step {step:3}  loss {:.4}", output.value);
    }
    Ok(())
}
