//! How weights begin: constants and seeded random numbers, each tensor from a stream of its own.
//! Knows no layer; the numbers depend on (seed, name, shape in torch's order) and on nothing else.

use arcface_core::Result;
use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::seed::{Purpose, name_index, rng};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// How a tensor begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Every number the same.
    Constant(f64),
    /// N(0, std²).
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform on [−bound, bound).
    Uniform {
        /// Half the width.
        bound: f64,
    },
}

impl Init {
    /// N(0, 2/`fan_out`), which keeps the gradient's length through `ReLU` layers (He et al. 2015).
    pub fn kaiming_fan_out(fan_out: usize) -> Self {
        Self::Normal { std: (2.0 / fan_out as f64).sqrt() }
    }

    /// Uniform within ±1/√`fan_in`: what torch's fully connected layer does by default.
    pub fn torch_linear(fan_in: usize) -> Self {
        Self::Uniform { bound: 1.0 / (fan_in as f64).sqrt() }
    }

    /// The tensor called `name` for a network of `seed`; `shape` is torch's.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub(crate) fn draw(self, seed: u64, name: &str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        let mut rng = rng(seed, Purpose::Weights, 0, name_index(name));
        let count = shape.iter().product();
        let values: Vec<f64> = match self {
            Self::Constant(value) => vec![value; count],
            Self::Normal { std } => (0..count).map(|_| std * normal(&mut rng)).collect(),
            Self::Uniform { bound } => (0..count).map(|_| bound * (2.0 * rng.random::<f64>() - 1.0)).collect(),
        };
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?)
    }
}

fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(init: Init, name: &str) -> Vec<f64> {
        init.draw(3, name, &[50, 40], DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn std(values: &[f64]) -> f64 {
        (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn normal_has_its_deviation_and_uniform_its_bound() {
        assert!((std(&draw(Init::Normal { std: 0.1 }, "a")) - 0.1).abs() < 0.005);
        let uniform = draw(Init::torch_linear(16), "a");
        assert!(uniform.iter().all(|x| x.abs() <= 0.25));
        assert!((std(&uniform) - 0.25 / 3f64.sqrt()).abs() < 0.005);
    }

    #[test]
    fn each_name_has_a_stream_of_its_own() {
        let init = Init::Normal { std: 1.0 };
        assert_eq!(draw(init, "a"), draw(init, "a"));
        assert_ne!(draw(init, "a"), draw(init, "b"));
    }
}
