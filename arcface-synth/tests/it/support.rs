//! A small network, a small configuration, finite differences.
//! Knows no expectation.

use arcface_core::Result;
use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::testing::normal;
use arcface_models::{Architecture, Backbone, BackboneConfig};
use arcface_synth::{Coarse, Differences, Distance, InversionConfig, Reduction, Targets};

/// Side of the images.
pub(crate) const SIZE: usize = 32;

pub(crate) fn backbone(dtype: DType) -> Backbone {
    let config = BackboneConfig { input_size: SIZE, embedding_size: 8, ..BackboneConfig::new(Architecture::FaceNano) };
    Backbone::new(&config, 1, dtype, &Device::Cpu).unwrap()
}

/// Every choice that there is, in a few steps.
pub(crate) fn everything() -> InversionConfig {
    InversionConfig {
        steps: 8,
        learning_rate: 0.05,
        reduction: Reduction::Sum,
        differences: Differences::Absolute,
        levels: 3,
        flip: 0.5,
        coarse: vec![Coarse { factor: 4, share: 0.25 }, Coarse { factor: 2, share: 0.25 }],
        ..InversionConfig::fast()
    }
}

/// The mean squared distance from targets that no face has.
pub(crate) fn objective(embeddings: &Tensor) -> Result<Tensor> {
    let targets = normal(embeddings.dims(), DType::F64, 4)?;
    Targets::new(&targets, Distance::Euclidean)?.loss(embeddings)
}

/// Checks `gradient` against central differences of `value` at `at`, at every value.
pub(crate) fn check_gradient(at: &[f64], gradient: &[f64], value: impl Fn(&[f64]) -> f64) {
    let step = 1e-5;
    for index in 0..at.len() {
        let moved = |by: f64| {
            let mut at = at.to_vec();
            at[index] += by;
            value(&at)
        };
        let numeric = (moved(step) - moved(-step)) / (2.0 * step);
        let close = (numeric - gradient[index]).abs() < 1e-7 * (1.0 + numeric.abs());
        assert!(close, "{index}: {numeric} by differences, got {}", gradient[index]);
    }
}
