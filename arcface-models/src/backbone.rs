//! A named network: image (B, 3, S, S) → embedding (B, D).
//! Knows no labels, losses or class centers.

use arcface_core::candle::{self, DType, Device, Module, Tensor};
use arcface_core::{Parameters, Result};

use crate::BackboneConfig;
use crate::image_pass::{ImagePass, Watch};
use crate::inference::Inference;
use crate::layers::Mode;
use crate::network::{Network, TrainingPass};
use crate::plan::{Cost, Plan};
use crate::weights::{StateDict, misfit};

/// A network of a known architecture.
#[derive(Debug)]
pub struct Backbone {
    config: BackboneConfig,
    plan: Plan,
    network: Network,
}

impl Backbone {
    /// The network of `config`, its weights drawn from `seed`.
    ///
    /// # Errors
    /// If the configuration is out of range.
    ///
    /// # Example
    /// ```
    /// use arcface_core::candle::{DType, Device, Tensor};
    /// use arcface_models::{Architecture, Backbone, BackboneConfig, Mode};
    /// let config = BackboneConfig { input_size: 32, ..BackboneConfig::new(Architecture::FaceNano) };
    /// let backbone = Backbone::new(&config, 0, DType::F32, &Device::Cpu)?;
    /// let images = Tensor::zeros((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
    /// assert_eq!(backbone.forward(&images, Mode::Eval)?.dims(), [2, 128]);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn new(config: &BackboneConfig, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        let plan = config.plan()?;
        let network = Network::new(&plan, &config.freeze, seed, dtype, device)?;
        Ok(Self { config: config.clone(), plan, network })
    }

    /// The network of `config` with the weights of `state` (torch's names and layouts).
    ///
    /// # Errors
    /// If the configuration is out of range or the weights do not fit it.
    pub fn from_state_dict(config: &BackboneConfig, state: &StateDict, dtype: DType, device: &Device) -> Result<Self> {
        let plan = config.plan()?;
        misfit::check(&config.to_string(), &plan.entries(), state)?;
        let network = Network::from_state_dict(&plan, &config.freeze, state, dtype, device)?;
        Ok(Self { config: config.clone(), plan, network })
    }

    /// The network with values of `dtype` between its layers; see [`Network::with_activations`].
    ///
    /// # Errors
    /// If the weights or the device do not go with them.
    ///
    /// # Example
    /// ```
    /// use arcface_core::candle::{DType, Device};
    /// use arcface_models::{Architecture, Backbone, BackboneConfig};
    /// let backbone = |dtype| Backbone::new(&BackboneConfig::new(Architecture::FaceNano), 0, dtype, &Device::Cpu);
    /// assert!(backbone(DType::F64)?.with_activations(DType::F64).is_ok());
    /// // It takes a CUDA device.
    /// assert!(backbone(DType::F32)?.with_activations(DType::BF16).is_err());
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn with_activations(self, dtype: DType) -> Result<Self> {
        Ok(Self { network: self.network.with_activations(dtype)?, ..self })
    }

    /// Images to embeddings, which are not normalised.
    ///
    /// # Shapes
    /// `images` (B, 3, S, S) with S the configuration's `input_size` → (B, D).
    ///
    /// # Errors
    /// If the images have another shape or type, or a training batch is too small for batch norm.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        self.network.forward(images, mode)
    }

    /// The network made ready to embed, with the weights that it has now: the embeddings of [`Backbone::forward`] in
    /// evaluation, up to rounding, in less time and memory.
    ///
    /// # Errors
    /// If the tensor library fails.
    ///
    /// # Example
    /// ```
    /// use arcface_core::candle::{DType, Device, Tensor};
    /// use arcface_models::{Architecture, Backbone, BackboneConfig};
    /// let config = BackboneConfig { input_size: 32, ..BackboneConfig::new(Architecture::FaceNano) };
    /// let inference = Backbone::new(&config, 0, DType::F32, &Device::Cpu)?.inference()?;
    /// let images = Tensor::zeros((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
    /// assert_eq!(inference.forward(&images)?.dims(), [2, 128]);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn inference(&self) -> Result<Inference> {
        self.network.inference()
    }

    /// A pass in evaluation whose gradients go to the images and to no weight: the embeddings of [`Backbone::forward`],
    /// and before every batch norm the statistics of the batch beside those of training, if they are watched.
    ///
    /// # Errors
    /// If the images have another shape or type.
    ///
    /// # Example
    /// ```
    /// use arcface_core::candle::{DType, Device, Tensor};
    /// use arcface_models::{Architecture, Backbone, BackboneConfig, Watch};
    /// let config = BackboneConfig { input_size: 32, ..BackboneConfig::new(Architecture::FaceNano) };
    /// let backbone = Backbone::new(&config, 0, DType::F32, &Device::Cpu)?;
    /// let images = Tensor::ones((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
    /// let pass = backbone.image_pass(&images, Watch::Statistics)?;
    /// // Embeddings that are to be short, and means that are to be those of training.
    /// let by_embeddings = pass.embeddings().affine(2.0, 0.0)?;
    /// let by_statistics: Result<Vec<_>, _> = pass.statistics().iter().map(|layer| {
    ///     let by_mean = (layer.batch.get(0)? - layer.running.get(0)?)?;
    ///     Tensor::stack(&[&by_mean, &by_mean.zeros_like()?], 0)
    /// }).collect();
    /// assert_eq!(pass.backward(&by_embeddings, &by_statistics?)?.dims(), [2, 3, 32, 32]);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn image_pass(&self, images: &Tensor, watch: Watch) -> Result<ImagePass> {
        self.network.image_pass(images, watch)
    }

    /// A training pass that keeps its own tape: the same numbers as [`Backbone::forward`] and candle's backward pass,
    /// without the passes over memory in which candle's gradient store begins and adds up every gradient.
    ///
    /// # Errors
    /// As [`Backbone::forward`].
    ///
    /// # Example
    /// ```
    /// use arcface_core::candle::{DType, Device, Tensor};
    /// use arcface_models::{Architecture, Backbone, BackboneConfig};
    /// let config = BackboneConfig { input_size: 32, ..BackboneConfig::new(Architecture::FaceNano) };
    /// let backbone = Backbone::new(&config, 0, DType::F32, &Device::Cpu)?;
    /// let images = Tensor::ones((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
    /// let pass = backbone.training_pass(&images, 0, 0)?;
    /// let loss = pass.embeddings().sqr()?.mean_all()?;
    /// let gradients = pass.backward(&loss)?;
    /// assert!(gradients.get("stem.conv.weight").is_some());
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn training_pass(&self, images: &Tensor, seed: u64, step: u64) -> Result<TrainingPass<'_>> {
        self.network.training_pass(images, seed, step)
    }

    /// Makes training passes keep nothing of the residual blocks under `prefixes` (`layer1`, or `all`) but what goes
    /// into them, and of no other block: less memory for one more forward pass of these blocks, and the same numbers.
    ///
    /// # Errors
    /// If a prefix names no module.
    ///
    /// # Example
    /// ```
    /// use arcface_core::candle::{DType, Device};
    /// use arcface_models::{Architecture, Backbone, BackboneConfig};
    /// let config = BackboneConfig { input_size: 32, ..BackboneConfig::new(Architecture::IResNet18) };
    /// let mut backbone = Backbone::new(&config, 0, DType::F32, &Device::Cpu)?;
    /// backbone.recompute(&["layer1".to_owned(), "layer2".to_owned()])?;
    /// assert!(backbone.recompute(&["layer9".to_owned()]).is_err());
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn recompute(&mut self, prefixes: &[String]) -> Result<()> {
        self.network.recompute(prefixes)
    }

    /// The layers and weights alone, without the name.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What was chosen about the network.
    pub fn config(&self) -> &BackboneConfig {
        &self.config
    }

    /// Parameters and running statistics by torch's names, in operator layout.
    pub fn parameters(&self) -> &Parameters {
        self.network.parameters()
    }

    /// Folds the batch statistics of the training passes since the last commit into the running statistics.
    ///
    /// Call it once per optimiser step; see [`Network::commit_statistics`].
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn commit_statistics(&self) -> Result<()> {
        self.network.commit_statistics()
    }

    /// Forgets the batch statistics since the last commit, for a step that is skipped.
    pub fn discard_statistics(&self) {
        self.network.discard_statistics();
    }

    /// Parameters, multiply-adds and state-dict entries.
    pub fn cost(&self) -> Cost {
        self.plan.cost()
    }

    /// A copy of all entries under torch's names, in torch's layouts, on the CPU.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn state_dict(&self) -> Result<StateDict> {
        self.network.state_dict()
    }

    /// Takes over all entries of `state`; see [`Network::load_state_dict`].
    ///
    /// # Errors
    /// If entries are missing, extra, misshaped or of another kind of type; nothing is taken over then.
    pub fn load_state_dict(&self, state: &StateDict) -> Result<()> {
        misfit::check(&self.config.to_string(), &self.plan.entries(), state)?;
        self.network.load_state_dict(state)
    }
}

/// The forward pass of evaluation.
impl Module for Backbone {
    fn forward(&self, images: &Tensor) -> candle::Result<Tensor> {
        Ok(self.forward(images, Mode::Eval)?)
    }
}
