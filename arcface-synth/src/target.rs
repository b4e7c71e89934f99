//! The objective of the open set: embeddings that are to be given ones.
//! Knows neither images nor how the embeddings came about.

use arcface_core::candle::{D, DType, Tensor};
use arcface_core::{Error, Result, shape};
use serde::{Deserialize, Serialize};

/// Added under the root of an embedding's length, so that the gradient of one of zeros is finite.
const EPS: f64 = 1e-12;

/// How far an embedding is from its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// ‖f − t‖², the paper's, of embeddings as they come.
    Euclidean,
    /// 2D·(1 − cosθ) of embeddings of D values, which is ‖f − t‖² where both have the length √D: as long embeddings are
    /// in the mean that a batch norm ends with. So weights that suit one distance suit the other.
    Cosine,
}

/// Embeddings that images are to have.
#[derive(Debug, Clone)]
pub struct Targets {
    embeddings: Tensor,
    distance: Distance,
}

impl Targets {
    /// One target for each image.
    ///
    /// # Shapes
    /// `embeddings` (B, D).
    ///
    /// # Errors
    /// If the shape is another, or a target is zero or not finite.
    pub fn new(embeddings: &Tensor, distance: Distance) -> Result<Self> {
        shape::dims2(embeddings, "targets")?;
        let norms: Vec<f64> = embeddings.to_dtype(DType::F64)?.sqr()?.sum(D::Minus1)?.sqrt()?.to_vec1()?;
        for (row, norm) in norms.into_iter().enumerate() {
            if !(0.0 < norm && norm.is_finite()) {
                return Err(Error::value(format!("target {row}"), "an embedding of finite length above 0", norm));
            }
        }
        Ok(Self { embeddings: embeddings.detach(), distance })
    }

    /// The number of targets.
    pub fn count(&self) -> usize {
        self.embeddings.dims()[0]
    }

    /// The mean distance of `embeddings` from their targets, differentiable.
    ///
    /// # Shapes
    /// `embeddings` (B, D) → scalar.
    ///
    /// # Errors
    /// If there are targets of another number or dimension.
    ///
    /// # Example
    /// ```
    /// use arcface_core::candle::{Device, Tensor};
    /// use arcface_synth::{Distance, Targets};
    /// let targets = Targets::new(&Tensor::new(&[[1f64, 0.]], &Device::Cpu)?, Distance::Cosine)?;
    /// let loss = targets.loss(&Tensor::new(&[[3f64, 4.]], &Device::Cpu)?)?;
    /// // 2·2·(1 − 3/5).
    /// assert!((loss.to_scalar::<f64>()? - 1.6).abs() < 1e-9);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn loss(&self, embeddings: &Tensor) -> Result<Tensor> {
        let letters = "(B, D) of the images and the network";
        shape::exactly(&self.embeddings, "targets", letters, embeddings.dims())?;
        let targets = self.embeddings.to_device(embeddings.device())?.to_dtype(embeddings.dtype())?;
        Ok(match self.distance {
            Distance::Euclidean => (embeddings - targets)?.sqr()?.sum(D::Minus1)?.mean_all()?,
            Distance::Cosine => {
                let twice = 2.0 * self.embeddings.dims()[1] as f64;
                (unit(embeddings)? * unit(&targets)?)?.sum(D::Minus1)?.mean_all()?.affine(-twice, twice)?
            }
        })
    }
}

fn unit(embeddings: &Tensor) -> Result<Tensor> {
    let norms = (embeddings.sqr()?.sum_keepdim(D::Minus1)? + EPS)?.sqrt()?;
    Ok(embeddings.broadcast_div(&norms)?)
}
