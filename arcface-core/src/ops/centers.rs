//! Embeddings and class centers on a CUDA device: products, log-sum-exp and gradients, a chunk of classes at a time.
//! Knows no margin and no loss: what becomes of the few numbers of each row is the caller's.
//!
//! The matrix of all products (B, C·K) is never there as a whole unless it is asked for; beside the centers' gradient
//! there is room for those of a chunk. Centers are neither copied nor normalised, only their products are.

// Formulas read as on paper, cosθ_y or Σ_k, and are no code.
#![allow(clippy::doc_markdown)]

use candle_core::{DType, Tensor};

#[cfg(feature = "cuda")]
use super::cuda::head::{Walk, select};
use super::element::check_operands;
use crate::sphere::NORM_FLOOR;
use crate::{Error, Result, shape};

/// A batch and the centers that it meets, all in f32 on one CUDA device but the labels.
#[derive(Debug, Clone, Copy)]
pub struct CenterBatch<'a> {
    /// (B, D).
    pub embeddings: &'a Tensor,
    /// (C, D) or (C, K, D).
    pub centers: &'a Tensor,
    /// (C), added to products of which nothing is normalised; without it products are cosines.
    pub bias: Option<&'a Tensor>,
    /// (B).
    pub labels: &'a [u32],
    /// How many are taken at a time; without a number as many as find room in 256 MiB.
    pub classes_at_a_time: Option<usize>,
}

/// How logits come of cosines: one per class, before the scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogitRule {
    /// s.
    pub scale: f64,
    /// γ of Σ_k softmax_k(γ·c_k)·c_k over the K cosines of a class; without it their largest counts.
    pub softness: Option<f64>,
    /// t: a cosine c above its row's target counts as c·(t + c).
    pub hardness: Option<f64>,
}

/// An embedding and the centers of its own class, worked out in f64.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnCenters {
    /// ‖x‖.
    pub norm: f64,
    /// x·w_k (K), without the bias.
    pub products: Vec<f64>,
    /// ‖w_k‖ (K).
    pub norms: Vec<f64>,
    /// Of the class; 0 if there is none.
    pub bias: f64,
}

impl OwnCenters {
    /// cosθ_k (K), within [−1, 1].
    pub fn cosines(&self) -> Vec<f64> {
        let norm = self.norm.max(NORM_FLOOR);
        let each = self.products.iter().zip(&self.norms);
        each.map(|(product, of)| (product / (norm * of.max(NORM_FLOOR))).clamp(-1.0, 1.0)).collect()
    }
}

/// Σ_j e^{s·(v_j − top)} over the classes of a row but its own, v being the logits before the scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassSum {
    /// The largest v; −∞ of none.
    pub top: f64,
    /// The sum.
    pub sum: f64,
}

/// What the gradients of a row are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct RowSlopes {
    /// A class's logit v gives `factor`·e^{s·(v − `shift`)}·dv/dc to the gradient by its cosine c.
    pub factor: f64,
    /// See `factor`.
    pub shift: f64,
    /// dL/d‖x‖.
    pub d_norm: f64,
    /// dL/dcosθ_k (K) of the row's own class.
    pub d_own: Vec<f64>,
    /// cosθ_k (K) of the row's own class.
    pub cosines: Vec<f64>,
}

/// What a batch's gradients are made of.
#[derive(Debug, Clone, Copy)]
pub struct Slopes<'a> {
    /// (B).
    pub rows: &'a [RowSlopes],
    /// Added to the gradient by the unit embeddings (B, D); empty for zeros.
    pub d_unit_embeddings: &'a [f64],
    /// Added to the gradient by the unit centers (C, K, D); empty for zeros.
    pub d_unit_centers: &'a [f64],
}

/// Gradients on the device.
#[derive(Debug, Clone)]
pub struct CenterGradients {
    /// (B, D).
    pub embeddings: Tensor,
    /// As the centers.
    pub centers: Tensor,
    /// (C), if there is a bias.
    pub bias: Option<Tensor>,
}

/// A batch on its way through the classes, twice: for the sums, and for the gradients.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor};
/// use arcface_core::ops::centers::{CenterBatch, CenterWalk};
/// let rows = Tensor::new(&[[1f32, 0.]], &Device::Cpu)?;
/// let batch = CenterBatch { embeddings: &rows, centers: &rows, bias: None, labels: &[0], classes_at_a_time: None };
/// let error = CenterWalk::begin(&batch).unwrap_err();
/// assert_eq!(error.to_string(), "embeddings: expected a tensor on a CUDA device, got Cpu");
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug)]
pub struct CenterWalk(Walk);

impl CenterWalk {
    /// Lets every embedding meet the centers of its own class.
    ///
    /// # Errors
    /// If a tensor is not on a CUDA device, or a shape, a type or a label does not fit.
    pub fn begin(batch: &CenterBatch<'_>) -> Result<(Self, Vec<OwnCenters>)> {
        check(batch)?;
        let (walk, own) = Walk::begin(batch)?;
        Ok((Self(walk), own))
    }

    /// The first walk, beside `targets` (B) that hard cosines are above.
    ///
    /// # Errors
    /// If the device fails.
    pub fn sums(&mut self, rule: LogitRule, targets: &[f64]) -> Result<Vec<ClassSum>> {
        self.0.sums(rule, targets)
    }

    /// The second walk.
    ///
    /// # Errors
    /// If the device fails.
    pub fn gradients(self, slopes: Slopes<'_>) -> Result<CenterGradients> {
        self.0.gradients(slopes)
    }
}

/// The centers of `classes`, on the device of `centers`.
///
/// # Shapes
/// `centers` (C, D) or (C, K, D) → (number of `classes`, the other dimensions).
///
/// # Errors
/// If there is no such class, or the device fails.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor};
/// let centers = Tensor::new(&[[1f32, 0.], [0., 1.], [1., 1.]], &Device::Cpu)?;
/// let some = arcface_core::ops::centers::centers_of(&centers, &[0, 2])?;
/// assert_eq!(some.to_vec2::<f32>()?, [[1., 0.], [1., 1.]]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn centers_of(centers: &Tensor, classes: &[u32]) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if centers.device().is_cuda() {
        return select(centers, classes);
    }
    Ok(centers.index_select(&Tensor::from_slice(classes, classes.len(), centers.device())?, 0)?)
}

fn check(batch: &CenterBatch<'_>) -> Result<()> {
    let (rows, width) = shape::dims2(batch.embeddings, "embeddings")?;
    for (what, tensor) in [("embeddings", batch.embeddings), ("centers", batch.centers)] {
        if !tensor.device().is_cuda() {
            return Err(Error::value(what, "a tensor on a CUDA device", format!("{:?}", tensor.device().location())));
        }
        if tensor.dtype() != DType::F32 {
            return Err(Error::value(what, "dtype f32 on a CUDA device", tensor.dtype().as_str()));
        }
    }
    let classes = match *batch.centers.dims() {
        [classes, of] | [classes, _, of] if of == width => classes,
        _ => {
            return Err(Error::shape("centers", format!("(C, D) or (C, K, D) with D = {width}"), batch.centers.dims()));
        }
    };
    check_operands(&[("embeddings", batch.embeddings), ("centers", batch.centers)])?;
    if let Some(bias) = batch.bias {
        shape::exactly(bias, "bias", "(C)", &[classes])?;
        shape::exactly(batch.centers, "centers beside a bias", "(C, D)", &[classes, width])?;
        check_operands(&[("embeddings", batch.embeddings), ("bias", bias)])?;
    }
    if batch.labels.len() != rows {
        return Err(Error::shape("labels", format!("(B) with B = {rows}"), &[batch.labels.len()]));
    }
    match batch.labels.iter().find(|label| classes <= **label as usize) {
        Some(label) => Err(Error::value("label", format!("below {classes} classes"), label)),
        None => Ok(()),
    }
}

/// The walk of a build without CUDA, which never begins.
#[cfg(not(feature = "cuda"))]
#[derive(Debug)]
enum Walk {}

#[cfg(not(feature = "cuda"))]
impl Walk {
    fn begin(_: &CenterBatch<'_>) -> Result<(Self, Vec<OwnCenters>)> {
        Err(Error::Invalid("class centers on a CUDA device: build with the feature `cuda`".to_owned()))
    }

    fn sums(&mut self, _: LogitRule, _: &[f64]) -> Result<Vec<ClassSum>> {
        match *self {}
    }

    fn gradients(self, _: Slopes<'_>) -> Result<CenterGradients> {
        match self {}
    }
}
