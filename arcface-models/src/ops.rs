//! Stand-ins for the operators of `arcface-core` over candle's own; slow, and to be deleted.
//! Know no layer.

use arcface_core::Result;
use arcface_core::candle::Tensor;
use arcface_core::ops::channels_last;

#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvConfig {
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) groups: usize,
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
