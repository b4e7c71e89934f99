//! Trains a linear embedding of eight noisy classes with ArcFace, with this crate and candle alone.
//! Knows no files: `cargo run --example train_toy`.
#![allow(clippy::print_stdout)]

use arcface_losses::{HeadShape, Objective, toml::toml};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Optimizer, SGD};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (device, labels) = (&Device::Cpu, (0..64).map(|row| row % 8).collect::<Vec<u32>>());
    let prototypes = Tensor::randn(0f32, 1.0, (8, 16), device)?.repeat((8, 1))?;
    let images = (prototypes + Tensor::randn(0f32, 0.3, (64, 16), device)?)?;
    let shape = HeadShape { num_classes: 8, embedding_size: 4, dtype: DType::F32, device, seed: 0 };
    let mut arcface = Objective::build("arcface", &toml! { scale = 16.0 }, shape)?;
    let centers = arcface.parameters().get("centers").ok_or("arcface has centers")?.var.clone();
    let weight = Var::randn(0f32, 0.1, (16, 4), device)?;
    let mut sgd = SGD::new(vec![weight.clone(), centers.clone()], 0.05)?;
    for step in 0..200 {
        let output = arcface.forward(&images.matmul(&weight)?, &labels, step)?;
        let mut gradients = output.loss.backward()?;
        gradients.insert(&centers, output.gradients.get("centers").ok_or("and their gradient")?.clone());
        sgd.step(&gradients)?;
        if step % 50 == 49 {
            println!("step {:3}  loss {:.4}", step + 1, output.value);
        }
    }
    Ok(())
}
