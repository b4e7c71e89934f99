//! The prior of the batch norms: a batch's statistics are to be those that training left.
//! Knows layers only by their statistics.

use arcface_core::candle::{DType, Tensor};
use arcface_core::{Error, Result};
use arcface_models::LayerStatistics;
use serde::{Deserialize, Serialize};

use crate::config::in_range;

/// A deviation below it counts as it, so that the gradient of one that is 0 is finite.
const LEAST_DEVIATION: f64 = 1e-4;

/// The prior's weight, and how layers share it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatisticsConfig {
    /// Weight of the whole.
    pub weight: f64,
    /// What is compared.
    pub compared: Compared,
    /// A weight for each batch norm in the order of the forward pass; 1 for all if there is none.
    pub layers: Vec<f64>,
}

/// How far statistics are from one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// ‖μ̃ − μ‖² + ‖σ̃ − σ‖², the paper's: layers of many channels and of large values count more.
    Values,
    /// The mean over channels of (μ̃ − μ)²/σ² + (σ̃/σ − 1)²: every layer counts alike.
    Relative,
}

impl StatisticsConfig {
    /// 0.05 for every layer alike.
    pub fn paper() -> Self {
        Self { weight: 0.05, compared: Compared::Values, layers: vec![] }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let is_weight = |weight: f64| 0.0 <= weight && weight.is_finite();
        in_range("statistics.weight", "0 <= weight < ∞", is_weight(self.weight), self.weight)?;
        self.layers.iter().try_for_each(|&weight| {
            in_range("statistics.layers", "0 <= weight < ∞ for every layer", is_weight(weight), weight)
        })
    }
}

/// The prior's value, without its weight, and its gradients, with it.
#[derive(Debug)]
pub struct StatisticsTerm {
    /// Σₗ wₗ·dₗ, dₗ as [`Compared`] says.
    pub value: f64,
    /// By each layer's batch statistics, (2, C).
    pub gradients: Vec<Tensor>,
}

/// w·Σₗ wₗ·(‖μ̃ₗ − μₗ‖² + ‖σ̃ₗ − σₗ‖²), or the relative form of it, with σ the standard deviations.
///
/// # Errors
/// If there are weights for another number of layers.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor};
/// use arcface_models::LayerStatistics;
/// use arcface_synth::statistics::{StatisticsConfig, statistics_prior};
/// let [batch, running] = [[[1f64], [9.]], [[2.], [4.]]].map(|rows| Tensor::new(&rows, &Device::Cpu).unwrap());
/// let layer = LayerStatistics { name: "bn".into(), batch, running };
/// let term = statistics_prior(&[layer], &StatisticsConfig { weight: 1.0, ..StatisticsConfig::paper() })?;
/// assert_eq!(term.value, 1.0 + 1.0);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn statistics_prior(layers: &[LayerStatistics], config: &StatisticsConfig) -> Result<StatisticsTerm> {
    if ![0, layers.len()].contains(&config.layers.len()) {
        let expected = format!("{} weights, one for each batch norm, or none", layers.len());
        return Err(Error::value("statistics.layers", expected, config.layers.len()));
    }
    let mut term = StatisticsTerm { value: 0.0, gradients: Vec::with_capacity(layers.len()) };
    for (index, layer) in layers.iter().enumerate() {
        let weight = config.layers.get(index).copied().unwrap_or(1.0);
        let (value, gradient) = of_layer(&numbers(&layer.batch)?, &numbers(&layer.running)?, config.compared);
        let gradient: Vec<f64> = gradient.into_iter().map(|gradient| config.weight * weight * gradient).collect();
        let gradient = Tensor::from_vec(gradient, layer.batch.shape(), layer.batch.device())?;
        term.gradients.push(gradient.to_dtype(layer.batch.dtype())?);
        term.value += weight * value;
    }
    Ok(term)
}

/// The distance of a layer's statistics, and its gradients by the batch's means and variances.
fn of_layer(batch: &[f64], running: &[f64], compared: Compared) -> (f64, Vec<f64>) {
    let channels = batch.len() / 2;
    let ((mean, variance), (running_mean, running_variance)) = (batch.split_at(channels), running.split_at(channels));
    let mut gradient = vec![0.0; 2 * channels];
    let mut sum = 0.0;
    for c in 0..channels {
        let [deviation, expected] = [variance[c], running_variance[c]].map(|v| v.sqrt().max(LEAST_DEVIATION));
        let scale = match compared {
            Compared::Values => 1.0,
            Compared::Relative => 1.0 / (expected * expected * channels as f64),
        };
        let (by_mean, by_deviation) = (mean[c] - running_mean[c], deviation - expected);
        sum += scale * (by_mean * by_mean + by_deviation * by_deviation);
        gradient[c] = 2.0 * scale * by_mean;
        // dσ/dσ² = 1/2σ.
        gradient[channels + c] = scale * by_deviation / deviation;
    }
    (sum, gradient)
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}
