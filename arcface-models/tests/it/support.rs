//! Small networks, seeded images and comparisons for the other modules.
//! Knows no expectation.

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::seed::{Purpose, rng};
use arcface_models::plan::Plan;
use arcface_models::{Architecture, Backbone, BackboneConfig, IResNetShape, Mode, Network, facenano, iresnet};
use rand::Rng;

pub(crate) const TRAIN: Mode = Mode::Train { seed: 0, step: 0 };

/// Images (B, 3, S, S) with values in [−1, 1).
pub(crate) fn images(batch: usize, size: usize, dtype: DType) -> Tensor {
    noise(&[batch, 3, size, size], 1).to_dtype(dtype).unwrap()
}

/// Numbers in [−1, 1), a function of `index`.
pub(crate) fn noise(shape: &[usize], index: u64) -> Tensor {
    let mut rng = rng(0, Purpose::Testing, 0, index);
    let count: usize = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|_| rng.random::<f64>() * 2.0 - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// An `IResNet` of few channels, all widths different.
pub(crate) fn narrow_iresnet(blocks: [usize; 4], input_size: usize) -> Plan {
    iresnet(IResNetShape { blocks, widths: [4, 6, 8, 10, 12] }, input_size, 5, 0.0)
}

/// The real `FaceNano` on small images.
pub(crate) fn small_facenano(input_size: usize) -> Plan {
    facenano(input_size, 16, 0.0)
}

pub(crate) fn network(plan: &Plan, dtype: DType) -> Network {
    Network::new(plan, &[], 7, dtype, &Device::Cpu).unwrap()
}

/// The configuration of a small `FaceNano`.
pub(crate) fn config() -> BackboneConfig {
    BackboneConfig { input_size: 32, embedding_size: 8, ..BackboneConfig::new(Architecture::FaceNano) }
}

pub(crate) fn backbone(seed: u64) -> Backbone {
    Backbone::new(&config(), seed, DType::F32, &Device::Cpu).unwrap()
}

/// Gives running statistics other values than they begin with.
pub(crate) fn stir(network: &Network) {
    for (index, (name, parameter)) in network.parameters().iter().enumerate() {
        let noise = noise(parameter.var.dims(), index as u64).to_dtype(parameter.var.dtype()).unwrap();
        let noise = noise.to_device(parameter.var.device()).unwrap();
        let values = match name {
            name if name.ends_with("running_mean") => noise.affine(0.1, 0.0),
            name if name.ends_with("running_var") => noise.affine(0.5, 1.0),
            name if name.ends_with("bias") => noise.affine(0.1, 0.0),
            _ => parameter.var.affine(1.0, 0.01),
        };
        parameter.var.set(&values.unwrap()).unwrap();
    }
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference, relative to the largest expected number; what is smaller than 1e-3 counts as noise about zero,
/// as the gradient of a bias that a later batch norm takes away.
pub(crate) fn distance(got: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(got.dims(), expected.dims());
    let (got, expected) = (values(got), values(expected));
    let largest = expected.iter().fold(1e-3, |largest: f64, x| largest.max(x.abs()));
    let difference = got.iter().zip(&expected).fold(0.0, |worst: f64, (x, y)| worst.max((x - y).abs()));
    difference / largest
}
