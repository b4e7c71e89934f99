//! Stand-ins for the operators of `arcface-core` over candle's own; slow, and to be deleted.
//! Know no layer.

use arcface_core::Result;
use arcface_core::candle::Tensor;

#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvConfig {
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) groups: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct BatchStatistics {
    pub(crate) mean: Tensor,
    pub(crate) variance: Tensor,
    pub(crate) count: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct DropKey {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    pub(crate) layer: u64,
}

pub(crate) fn channels_last(images: &Tensor) -> Result<Tensor> {
    Ok(images.permute((0, 2, 3, 1))?.contiguous()?)
}

pub(crate) fn conv2d(x: &Tensor, weight: &Tensor, config: ConvConfig) -> Result<Tensor> {
    let x = x.permute((0, 3, 1, 2))?.contiguous()?;
    let weight = weight.permute((3, 2, 0, 1))?.contiguous()?;
    channels_last(&x.conv2d(&weight, config.padding, config.stride, 1, config.groups)?)
}

pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&weight.t()?)?;
    Ok(match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    })
}

pub(crate) fn batch_norm_train(x: &Tensor, affine: &Tensor, eps: f64) -> Result<(Tensor, BatchStatistics)> {
    let c = affine.dim(1)?;
    let rows = x.reshape(((), c))?;
    let mean = rows.mean(0)?;
    let variance = rows.broadcast_sub(&mean)?.sqr()?.mean(0)?;
    let y = batch_norm_eval(x, affine, &Tensor::stack(&[&mean, &variance], 0)?, eps)?;
    Ok((y, BatchStatistics { mean: mean.detach(), variance: variance.detach(), count: rows.dim(0)? }))
}

pub(crate) fn batch_norm_eval(x: &Tensor, affine: &Tensor, statistics: &Tensor, eps: f64) -> Result<Tensor> {
    let root = (statistics.get(1)? + eps)?.sqrt()?;
    let y = x.broadcast_sub(&statistics.get(0)?)?.broadcast_div(&root)?;
    Ok(y.broadcast_mul(&affine.get(0)?)?.broadcast_add(&affine.get(1)?)?)
}

pub(crate) fn prelu(x: &Tensor, slope: &Tensor) -> Result<Tensor> {
    let negative = (x - x.relu()?)?;
    Ok((x.relu()? + negative.broadcast_mul(slope)?)?)
}

pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok((a + b)?)
}

pub(crate) fn dropout(x: &Tensor, rate: f64, key: DropKey) -> Result<Tensor> {
    use rand::Rng;
    let mut rng = arcface_core::seed::rng(key.seed, arcface_core::seed::Purpose::Dropout, key.step, key.layer);
    let mask = (0..x.elem_count()).map(|_| f64::from(u8::from(rate <= rng.random::<f64>())) / (1.0 - rate));
    Ok((x * Tensor::from_vec(mask.collect::<Vec<f64>>(), x.dims(), x.device())?.to_dtype(x.dtype())?)?)
}
