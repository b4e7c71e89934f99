//! A network of any plan: parameters, forward pass, running statistics, torch's state dict.
//! Knows no name of an architecture and no file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_core::ops::tape::{Tape, record};
use arcface_core::ops::{cast, channels_last};
use arcface_core::{Error, Gradients, Parameters, Result};

use crate::image_pass::{ImagePass, Watch};
use crate::inference::Inference;
use crate::layers::{self, Begin, Builder, Layer, Mode};
use crate::plan::{Entry, Kind, Plan, check_prefixes};
use crate::weights::{StateDict, misfit};

/// A network built from its plan.
#[derive(Debug)]
pub struct Network {
    layers: Vec<Layer>,
    entries: Vec<Entry>,
    parameters: Parameters,
    counters: BTreeMap<String, Arc<AtomicI64>>,
    entrance: Entrance,
}

/// What images a network takes.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    /// Side of the face.
    input_size: usize,
    /// Columns of it that the first layer takes.
    seen: usize,
    /// Of images, weights and embeddings.
    pub(crate) dtype: DType,
    /// What images become on their way in.
    activations: DType,
    pub(crate) device: Device,
}

impl Network {
    /// The network of `plan`, its weights drawn from `seed`; modules under `freeze` are not trained.
    ///
    /// # Errors
    /// If two layers share a name or the tensor library fails.
    ///
    /// # Example
    /// ```
    /// use arcface_core::candle::{DType, Device};
    /// use arcface_models::{Network, plan::{ConvSpec, Plan, Spec}};
    /// let layers = vec![Spec::Conv(ConvSpec::new("conv", 3, 8, 3, 2)), Spec::batch_norm("bn", 8)];
    /// let network = Network::new(&Plan::new(layers, 16), &[], 0, DType::F32, &Device::Cpu)?;
    /// assert_eq!(network.parameters().get("conv.weight").unwrap().var.dims(), [3, 3, 3, 8]);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn new(plan: &Plan, freeze: &[String], seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        Self::build(plan, freeze, Begin::Seeded(seed), dtype, device)
    }

    /// The network of `plan` with the weights of `state`, under the names of files.
    ///
    /// # Errors
    /// As [`Network::load_state_dict`].
    pub fn from_state_dict(
        plan: &Plan,
        freeze: &[String],
        state: &StateDict,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        misfit::check("the network", &plan.entries(), state)?;
        let network = Self::build(plan, freeze, Begin::Blank, dtype, device)?;
        network.load_state_dict(state)?;
        Ok(network)
    }

    fn build(plan: &Plan, freeze: &[String], begin: Begin, dtype: DType, device: &Device) -> Result<Self> {
        let mut builder = Builder::new(begin, freeze, dtype, device);
        let layers = layers::build(&plan.layers, &mut builder)?;
        let (parameters, counters) = builder.finish();
        let [input_size, seen] = plan.image_size();
        let entrance = Entrance { input_size, seen, dtype, activations: dtype, device: device.clone() };
        Ok(Self { layers, entries: plan.entries(), parameters, counters, entrance })
    }

    /// The network with values of `dtype` between its layers, up to the fully connected one: bf16 halves their memory on
    /// a CUDA device. Images, weights and embeddings stay as they are.
    ///
    /// # Errors
    /// If `dtype` is neither that of the weights nor bf16 beside weights of f32 on a CUDA device.
    pub fn with_activations(mut self, dtype: DType) -> Result<Self> {
        let Entrance { dtype: weights, device, .. } = &self.entrance;
        let is_bf16 = dtype == DType::BF16 && *weights == DType::F32 && device.is_cuda();
        if dtype != *weights && !is_bf16 {
            let expected = format!("{weights:?}, that of the weights, or BF16 with weights of F32 on a CUDA device");
            return Err(Error::value("type of the activations", expected, format!("{dtype:?}")));
        }
        self.entrance.activations = dtype;
        Ok(self)
    }

    /// Images to embeddings.
    ///
    /// # Shapes
    /// `images` (B, 3, S, S) with S the plan's input size → (B, D). A network that does not see all columns takes images
    /// without them too.
    ///
    /// # Errors
    /// If the images have another shape or type, or a training batch is too small for batch norm.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        self.entrance.check(images)?;
        let embeddings = layers::forward(&self.layers, &self.entrance.activated(images)?, mode)?;
        as_type(&embeddings, self.entrance.dtype)
    }

    /// The network made ready to embed, with the weights that it has now.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn inference(&self) -> Result<Inference> {
        Inference::new(&self.layers, self.entrance.clone())
    }

    /// A pass in evaluation whose gradients go to the images and to no weight.
    ///
    /// # Errors
    /// If the images have another shape or type, or statistics are to be watched where there is no batch norm.
    pub fn image_pass(&self, images: &Tensor, watch: Watch) -> Result<ImagePass> {
        ImagePass::new(&self.layers, &self.entrance, images, watch)
    }

    /// Side of the images that it takes, 112 as a rule.
    pub fn input_size(&self) -> usize {
        self.entrance.input_size
    }

    /// [`Network::forward`] in training, on a tape of its own.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn training_pass(&self, images: &Tensor, seed: u64, step: u64) -> Result<TrainingPass<'_>> {
        let (embeddings, tape) = record(|| self.forward(images, Mode::Train { seed, step }))?;
        Ok(TrainingPass { parameters: &self.parameters, embeddings: Var::from_tensor(&embeddings)?, tape })
    }

    /// Makes training passes keep nothing of the residual blocks under `prefixes` (all of a network: `all`) but what
    /// goes into them, and of no other block: less memory for one more forward pass of these blocks. The numbers stay
    /// the same.
    ///
    /// # Errors
    /// If a prefix names no module.
    pub fn recompute(&mut self, prefixes: &[String]) -> Result<()> {
        check_prefixes(&self.entries, prefixes)?;
        layers::recompute(&mut self.layers, prefixes);
        Ok(())
    }

    /// Parameters and running statistics by module and name, in operator layout.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Folds the batch statistics of the training passes since the last commit into the running statistics:
    /// running ← 0.9·running + 0.1·batch with the unbiased variance, as torch; the mean over several micro-batches.
    ///
    /// Call it once per optimiser step, after the backward pass.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn commit_statistics(&self) -> Result<()> {
        layers::BatchNorm::commit_all(&layers::batch_norms(&self.layers))
    }

    /// Forgets the batch statistics since the last commit, for a step that is skipped.
    pub fn discard_statistics(&self) {
        layers::batch_norms(&self.layers).into_iter().for_each(layers::BatchNorm::discard);
    }

    /// A copy of all entries under the names of files (torch's, for networks that come from torch), in torch's layouts,
    /// on the CPU.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn state_dict(&self) -> Result<StateDict> {
        self.entries.iter().map(|entry| Ok((entry.file_name.clone(), self.state(entry)?))).collect()
    }

    /// Takes over all entries of `state`, given under the names of files in torch's layouts.
    ///
    /// Counts of batches, which only torch since 0.4.1 keeps, may be absent altogether; they are 0 then.
    ///
    /// # Errors
    /// If entries are missing, extra, misshaped or of another kind of type; nothing is taken over then.
    pub fn load_state_dict(&self, state: &StateDict) -> Result<()> {
        misfit::check("the network", &self.entries, state)?;
        self.entries.iter().try_for_each(|entry| match state.get(&entry.file_name) {
            Some(value) => self.load_state(entry, value),
            None => self.load_state(entry, &Tensor::new(0_i64, &Device::Cpu)?),
        })
    }

    fn state(&self, entry: &Entry) -> Result<Tensor> {
        match (entry.kind, self.parameters.get(&entry.name), self.counters.get(&entry.name)) {
            // A copy even where both layouts are the same: training changes the variable in place.
            (Kind::Values { .. }, Some(parameter), _) => {
                let values = parameter.var.as_detached_tensor().to_device(&Device::Cpu)?;
                Ok(entry.layout.to_torch(&values)?.copy()?)
            }
            (Kind::Counter, _, Some(counter)) => Ok(Tensor::new(counter.load(Ordering::Relaxed), &Device::Cpu)?),
            _ => Err(unbuilt(entry)),
        }
    }

    fn load_state(&self, entry: &Entry, value: &Tensor) -> Result<()> {
        match (entry.kind, self.parameters.get(&entry.name), self.counters.get(&entry.name)) {
            (Kind::Values { .. }, Some(parameter), _) => {
                let value = entry.layout.to_operator(&value.to_dtype(self.parameters.dtype())?)?;
                Ok(parameter.var.set(&value.to_device(self.parameters.device())?)?)
            }
            (Kind::Counter, _, Some(counter)) => {
                counter.store(value.to_scalar::<i64>()?, Ordering::Relaxed);
                Ok(())
            }
            _ => Err(unbuilt(entry)),
        }
    }
}

impl Entrance {
    /// The columns of `images` that the first layer takes.
    pub(crate) fn seen(&self, images: &Tensor) -> Result<Tensor> {
        let hidden = images.dim(3)?.saturating_sub(self.seen);
        Ok(if 0 < hidden { images.narrow(3, hidden / 2, self.seen)? } else { images.clone() })
    }

    /// `images` as the first layer takes them.
    pub(crate) fn activated(&self, images: &Tensor) -> Result<Tensor> {
        self.as_activations(&channels_last(&self.seen(images)?)?)
    }

    /// `x` in the type of the activations.
    pub(crate) fn as_activations(&self, x: &Tensor) -> Result<Tensor> {
        as_type(x, self.activations)
    }

    /// Checks shape, type and device.
    pub(crate) fn check(&self, images: &Tensor) -> Result<()> {
        let (size, seen) = (self.input_size, self.seen);
        let fits = |height, width| height == size && (width == size || width == seen);
        if !matches!(images.dims(), &[_, 3, height, width] if fits(height, width)) {
            let or_cut = if seen < size { format!(" or (B, 3, {size}, {seen})") } else { String::new() };
            return Err(Error::shape("images", format!("(B, 3, {size}, {size}){or_cut}"), images.dims()));
        }
        if images.dtype() != self.dtype {
            let expected = format!("element type {:?}, the network's", self.dtype);
            return Err(Error::value("images", expected, format!("{:?}", images.dtype())));
        }
        if !images.device().same_device(&self.device) {
            let expected = format!("device {:?}, the network's", self.device.location());
            return Err(Error::value("images", expected, format!("{:?}", images.device().location())));
        }
        Ok(())
    }
}

/// `x` in another type, differentiable; itself if it is of that type already.
pub(crate) fn as_type(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype { Ok(x.clone()) } else { cast(x, dtype) }
}

/// Embeddings of a training batch, and the way back from them to the parameters.
pub struct TrainingPass<'a> {
    parameters: &'a Parameters,
    embeddings: Var,
    tape: Tape,
}

impl TrainingPass<'_> {
    /// The embeddings (B, D), where the graph of a loss begins.
    pub fn embeddings(&self) -> &Tensor {
        &self.embeddings
    }

    /// Gradients of every trained parameter for a scalar `loss` of the embeddings.
    ///
    /// # Errors
    /// If `loss` does not depend on the embeddings, or an operator fails.
    pub fn backward(self, loss: &Tensor) -> Result<Gradients> {
        let unreached = || Error::Invalid("loss: expected a function of this pass's embeddings".to_owned());
        let gradient = loss.backward()?.remove(&self.embeddings).ok_or_else(unreached)?;
        let mut store = self.tape.backward(&gradient)?;
        let gradients = Gradients::from_store(self.parameters, &mut store);
        match self.parameters.trained().find(|(name, _)| gradients.get(name).is_none()) {
            Some((name, _)) => Err(Error::Invalid(format!("parameter `{name}` got no gradient from the tape"))),
            None => Ok(gradients),
        }
    }
}

fn unbuilt(entry: &Entry) -> Error {
    Error::Invalid(format!("entry `{}` belongs to no layer of the network", entry.name))
}
