//! A convolution with the batch norm and the `PReLU` that follow it folded in, for inference.
//! Knows no gradient; whoever wants one applies the operators one after the other.
//!
//! Sums are scaled, shifted and bent, and a shortcut is added, before they are written: one pass over memory where the
//! operators one by one take four. The weights of 1×1 convolutions and of those that go by Winograd are arranged once.

use candle_core::Tensor;

use super::element::{Element, check_operand, check_operands};
use super::finish::{Finish, PerChannel};
use super::geometry::{ConvConfig, Geometry};
use super::normaliser::Normaliser;
use super::rows::{from_f64, to_f64, with_values};
use super::{dense, depthwise, pointwise, winograd};
use crate::{Error, Result, shape, with_element};

/// y = `PReLU`(γ·(x ∗ w − μ)/√(σ² + ε) + β) + shortcut; what was not given is left out.
#[derive(Debug, Clone)]
pub struct FoldedConv {
    weight: Tensor,
    config: ConvConfig,
    /// The weight as its kernels read it, where they have an order of their own.
    arranged: Option<Arranged>,
    per_channel: Option<Folded>,
}

/// A weight for kernels of one kind.
#[derive(Debug, Clone)]
enum Arranged {
    /// Of 1×1.
    Panels(Tensor),
    /// Of 3×3 by Winograd.
    Kernels(Tensor),
    /// For a CUDA device.
    #[cfg(feature = "cuda")]
    Filters(super::cuda::folded::Filters),
}

/// Numbers (C) of what follows.
#[derive(Debug, Clone)]
struct Folded {
    scale: Tensor,
    shift: Tensor,
    slope: Tensor,
    /// Scale and shift as the kernels of a CUDA device read them.
    #[cfg(feature = "cuda")]
    map: Option<Tensor>,
}

impl FoldedConv {
    /// The convolution of [`conv2d`](super::conv2d()) by `weight` (KH, KW, Cin/groups, Cout), with nothing behind it.
    ///
    /// # Errors
    /// If the weight has another rank, or is not f32 or f64 on the CPU or f32 on a CUDA device.
    ///
    /// # Example
    /// ```
    /// use arcface_core::candle::{Device, Tensor};
    /// use arcface_core::ops::{ConvConfig, FoldedConv};
    /// let weight = Tensor::new(&[[[[2.0]]]], &Device::Cpu)?;
    /// let (affine, statistics) = (Tensor::new(&[[1.0], [0.5]], &Device::Cpu)?, Tensor::new(&[[3.0], [4.0]], &Device::Cpu)?);
    /// let slope = Tensor::new(&[0.1], &Device::Cpu)?;
    /// let conv = FoldedConv::new(&weight, ConvConfig::default())?
    ///     .with_batch_norm(&affine, &statistics, 0.0)?
    ///     .with_prelu(&slope)?;
    /// let x = Tensor::new(&[[[[1.0], [4.0]]]], &Device::Cpu)?;
    /// assert_eq!(conv.forward(&x, Some(&x))?.flatten_all()?.to_vec1::<f64>()?, [1.0, 7.0]);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn new(weight: &Tensor, config: ConvConfig) -> Result<Self> {
        if weight.rank() != 4 {
            return Err(Error::shape("conv2d weight", "(KH, KW, Cin/groups, Cout)", weight.dims()));
        }
        check_operand("conv2d weight", weight)?;
        let weight = weight.detach();
        #[cfg(feature = "cuda")]
        if weight.device().is_cuda() {
            super::cuda::folded::check(&weight)?;
            let arranged = Some(Arranged::Filters(super::cuda::folded::Filters::default()));
            return Ok(Self { weight, config, arranged, per_channel: None });
        }
        let arranged = with_element!(weight.dtype(), "conv2d weight", T => arranged::<T>(&weight, config))?;
        Ok(Self { weight, config, arranged, per_channel: None })
    }

    /// The same followed by batch norm: `affine` (2, C): γ, β; `statistics` (2, C): mean, variance.
    ///
    /// # Errors
    /// If a shape or type does not fit, or a batch norm or a `PReLU` is there already.
    pub fn with_batch_norm(self, affine: &Tensor, statistics: &Tensor, eps: f64) -> Result<Self> {
        let filters = self.filters()?;
        shape::exactly(affine, "affine", "(2, C)", &[2, filters])?;
        shape::exactly(statistics, "statistics", "(2, C)", &[2, filters])?;
        check_operands(&[("conv2d weight", &self.weight), ("affine", affine), ("statistics", statistics)])?;
        if self.per_channel.is_some() {
            return Err(Error::value("folded convolution", "one batch norm, before any PReLU", "another one"));
        }
        let (scale, shift) = Normaliser::folded(&to_f64(affine)?, to_f64(statistics)?, eps);
        self.with_folded(&scale, &shift, &vec![1.0; filters])
    }

    /// The same followed by a `PReLU` of `slope` (C).
    ///
    /// # Errors
    /// If the shape or type does not fit.
    pub fn with_prelu(self, slope: &Tensor) -> Result<Self> {
        let filters = self.filters()?;
        shape::exactly(slope, "slope", "(C)", &[filters])?;
        check_operands(&[("conv2d weight", &self.weight), ("slope", slope)])?;
        let slope = slope.detach();
        match self.per_channel.clone() {
            Some(folded) => Ok(Self { per_channel: Some(Folded { slope, ..folded }), ..self }),
            None => self.with_folded(&vec![1.0; filters], &vec![0.0; filters], &to_f64(&slope)?),
        }
    }

    fn with_folded(self, scale: &[f64], shift: &[f64], slope: &[f64]) -> Result<Self> {
        let tensor = |values: &[f64]| from_f64(values, &[values.len()], &self.weight);
        let (scale, shift, slope) = (tensor(scale)?, tensor(shift)?, tensor(slope)?);
        let folded = Folded {
            #[cfg(feature = "cuda")]
            map: scale.device().is_cuda().then(|| super::cuda::folded::map(&scale, &shift)).transpose()?,
            scale,
            shift,
            slope,
        };
        Ok(Self { per_channel: Some(folded), ..self })
    }

    fn filters(&self) -> Result<usize> {
        Ok(self.weight.dim(3)?)
    }

    /// The result, with `shortcut` added if there is one.
    ///
    /// # Shapes
    /// `x` (B, H, W, Cin) → (B, H', W', Cout), as of [`conv2d`](super::conv2d()); `shortcut` has the shape of the result.
    ///
    /// # Errors
    /// If the shapes do not fit, or the tensors are not of the weight's type on its device; on a CUDA device `x` and
    /// `shortcut` may both be bf16.
    pub fn forward(&self, x: &Tensor, shortcut: Option<&Tensor>) -> Result<Tensor> {
        let mut operands = vec![("conv2d input", x), ("conv2d weight", &self.weight)];
        operands.extend(shortcut.map(|shortcut| ("shortcut", shortcut)));
        check_operands(&operands)?;
        let geometry = Geometry::new(x.dims(), self.weight.dims(), self.config)?;
        if let Some(shortcut) = shortcut {
            shape::exactly(shortcut, "shortcut", "the result's shape", &geometry.output_dims())?;
        }
        #[cfg(feature = "cuda")]
        if let Some(Arranged::Filters(filters)) = &self.arranged {
            let channels = self.per_channel.as_ref().and_then(|folded| Some((folded.map.as_ref()?, &folded.slope)));
            return super::cuda::folded::forward(&geometry, x, (&self.weight, filters), channels, shortcut);
        }
        with_element!(x.dtype(), "conv2d", T => self.run::<T>(&geometry, x, shortcut))
    }

    fn run<T: Element>(&self, g: &Geometry, x: &Tensor, shortcut: Option<&Tensor>) -> Result<Tensor> {
        let y = with_values::<T, _>(x, |x| {
            with_optional(shortcut, |added| match &self.per_channel {
                None => self.convolve(g, x, Finish { channels: None, added }),
                Some(Folded { scale, shift, slope, .. }) => with_values(scale, |scale| {
                    with_values(shift, |shift| {
                        with_values(slope, |slope| {
                            let channels = Some(PerChannel { scale, shift, slope });
                            self.convolve(g, x, Finish { channels, added })
                        })
                    })
                }),
            })
        })?;
        Ok(Tensor::from_vec(y, &g.output_dims()[..], x.device())?)
    }

    fn convolve<T: Element>(&self, g: &Geometry, x: &[T], finish: Finish<'_, T>) -> Result<Vec<T>> {
        match &self.arranged {
            Some(Arranged::Panels(panels)) if pointwise::serves::<T>(g) => {
                with_values(panels, |panels| Ok(pointwise::forward_arranged(g, x, panels, finish)))
            }
            Some(Arranged::Kernels(kernels)) if winograd::suits::<T>(g) => {
                with_values(kernels, |kernels| Ok(winograd::forward_arranged(g, x, kernels, finish)))
            }
            _ => {
                let forward = if g.has_narrow_groups() { depthwise::forward_finished } else { dense::forward_finished };
                with_values(&self.weight, |weight| Ok(forward(g, x, weight, finish)))
            }
        }
    }
}

/// The weight for the kernels that some image of its convolution goes by.
fn arranged<T: Element>(weight: &Tensor, config: ConvConfig) -> Result<Option<Arranged>> {
    /// A side of which Winograd's tiles leave nothing over.
    const SIDE: usize = 16;
    let (_, _, channels, _) = weight.dims4()?;
    // A weight that fits no image is told of when one comes.
    let Ok(g) = Geometry::new(&[1, SIDE, SIDE, channels * config.groups], weight.dims(), config) else {
        return Ok(None);
    };
    let tensor = |values: Vec<T>| {
        let len = values.len();
        Tensor::from_vec(values, len, weight.device())
    };
    with_values::<T, _>(weight, |values| {
        Ok(if pointwise::serves::<T>(&g) {
            Some(Arranged::Panels(tensor(pointwise::arranged(g.channels, g.filters, values))?))
        } else if winograd::suits::<T>(&g) {
            Some(Arranged::Kernels(tensor(winograd::arranged(&g, values))?))
        } else {
            None
        })
    })
}

fn with_optional<T: Element, R>(tensor: Option<&Tensor>, work: impl FnOnce(Option<&[T]>) -> Result<R>) -> Result<R> {
    match tensor {
        Some(tensor) => with_values(tensor, |values| work(Some(values))),
        None => work(None),
    }
}
