//! A loss with its head, as a training loop holds it: embeddings and labels in, loss and gradients out.
//! Knows no backbone, no optimiser and no files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Deref;

use arcface_core::ops::connected;
use arcface_core::ops::element::{Element, check_operands, values};
use arcface_core::seed::{Purpose, rng};
use arcface_core::{Error, Gradients, Parameters, Result, Role, shape, sphere, with_element};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Layout, Storage, Tensor, Var};
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use toml::{Table, Value};

use crate::head::dense::{Input, Rule};
use crate::head::sub_center::Pool;
use crate::head::{self, Choice, alone, device, softmax};
use crate::margin::{Margin, take_state};
use crate::options::{HeadOptions, Pooling, Resolved, WeightedTerm};
use crate::registry::{LossEntry, Part};
use crate::warmup::WarmUp;

/// The standard deviation of initial class centers.
const CENTER_STD: f64 = 0.01;

/// What the parameters of a head are made from.
#[derive(Debug, Clone, Copy)]
pub struct HeadShape<'a> {
    /// C.
    pub num_classes: usize,
    /// D.
    pub embedding_size: usize,
    /// f32 or f64.
    pub dtype: DType,
    /// The CPU, or a CUDA device for f32.
    pub device: &'a Device,
    /// Of initial centers and random margins.
    pub seed: u64,
}

/// A loss with its class centers and its state.
///
/// # Example
/// ```
/// use arcface_core::candle::{DType, Device, Tensor, Var};
/// use arcface_losses::{HeadShape, Objective};
///
/// let device = &Device::Cpu;
/// let shape = HeadShape { num_classes: 3, embedding_size: 4, dtype: DType::F32, device, seed: 0 };
/// let mut objective = Objective::build("arcface", &toml::toml! { margin = 0.3 }, shape)?;
/// let embeddings = Var::rand(-1f32, 1f32, (2, 4), device)?;
/// let output = objective.forward(&embeddings, &[0, 2], 0)?;
/// let store = output.loss.backward()?; // the embeddings' gradient is in candle's store,
/// assert!(store.get(&embeddings).is_some());
/// assert_eq!(output.gradients.get("centers").unwrap().dims(), [3, 4]); // the centers' is not
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Objective {
    entry: &'static LossEntry,
    head: Head,
    terms: Vec<WeightedTerm>,
    parameters: Parameters,
    num_classes: usize,
    embedding_size: usize,
    seed: u64,
}

/// Where the logits come from.
#[derive(Debug)]
enum Head {
    /// Unit class centers with a margin.
    Cosine { margin: Box<dyn Margin>, rule: Rule, choice: Choice },
    /// W·x + b.
    Softmax,
    /// No class centers: terms alone.
    None,
}

/// The loss of a batch with the gradients of the head's parameters.
#[derive(Debug, Clone)]
pub struct Output {
    /// The mean over the batch, a scalar connected to the embeddings: `loss.backward()` gives their gradient.
    pub loss: Tensor,
    /// The same in f64.
    pub value: f64,
    /// Of `centers` and `bias`; they never pass through candle's gradient store. With a `sample_rate` below 1 that of
    /// the centers is of the sampled rows.
    pub gradients: Gradients,
    /// cosθ_y of each row; empty for a loss without class centers.
    pub target_cosines: Vec<f64>,
}

/// All values and gradients of a batch at given centers.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The mean over the batch, a scalar.
    pub loss: Tensor,
    /// (B, D).
    pub d_embeddings: Tensor,
    /// As the centers.
    pub d_centers: Tensor,
    /// (C), for a head with a bias.
    pub d_bias: Option<Tensor>,
}

impl Objective {
    /// The loss called `name` with `parameters` (the keys of `[loss]` but `name`; what is missing has its default).
    ///
    /// Centers are drawn from N(0, 0.01²) by the seed, a bias is zero.
    ///
    /// # Errors
    /// If there is no such loss or parameter, a value is out of range, or the shape has a zero.
    pub fn build(name: &str, parameters: &Table, shape: HeadShape<'_>) -> Result<Self> {
        check_shape(&shape)?;
        let resolved = Resolved::new(name, parameters)?;
        let k = resolved.head.as_ref().map_or(1, |head| head.sub_centers.get());
        let HeadShape { num_classes: c, embedding_size: d, dtype, device, seed } = shape;
        let mut objective = Self::assemble(&resolved, c, d, Parameters::new(dtype, device), seed)?;
        if objective.has_centers() {
            let dims = if k == 1 { vec![c, d] } else { vec![c, k, d] };
            let centers = with_element!(dtype, "head", T => initial_centers::<T>(&dims, seed))?;
            objective.parameters.add("centers", &centers, Role::Trained)?;
        }
        if matches!(objective.head, Head::Softmax) {
            objective.parameters.add("bias", &Tensor::zeros(c, dtype, device)?, Role::Trained)?;
        }
        Ok(objective)
    }

    /// The loss called `name` around given `centers` and, for softmax, a `bias` (zero if there is none).
    ///
    /// # Shapes
    /// `centers` (C, D) or (C, K, D), from which K is taken; `bias` (C), left aside by every loss but softmax.
    ///
    /// # Errors
    /// As [`Objective::build`], and if shapes, dtypes or a given `sub_centers` contradict each other.
    pub fn from_centers(name: &str, parameters: &Table, centers: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        let (c, k, d) = center_dims(centers)?;
        check_operands(&[("centers", centers)])?;
        let resolved = Resolved::new(name, &with_sub_centers(name, parameters, k)?)?;
        let store = Parameters::new(centers.dtype(), centers.device());
        let mut objective = Self::assemble(&resolved, c, d, store, 0)?;
        objective.parameters.add("centers", centers, Role::Trained)?;
        objective.add_bias(bias, k)?;
        Ok(objective)
    }

    /// The loss of a batch at training step `step`, counted from 0.
    ///
    /// A loss that is not finite is returned as it is and leaves the state untouched.
    ///
    /// # Shapes
    /// `embeddings` (B, D), `labels` (B).
    ///
    /// # Errors
    /// If a shape or dtype is not the head's, the batch is empty, or a label is not below the number of classes.
    pub fn forward(&mut self, embeddings: &Tensor, labels: &[u32], step: u64) -> Result<Output> {
        let Evaluated { value, d_embeddings, gradients, target_cosines } = self.compute(embeddings, labels, step)?;
        let loss = connected(embeddings, value, d_embeddings)?;
        Ok(Output { loss, value, gradients, target_cosines })
    }

    /// Gradients of everything that `output` depends on, for an optimiser of candle: those of candle's graph and those
    /// of the head's own parameters, [`Objective::vars`].
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn backward(&self, output: &Output) -> Result<GradStore> {
        let mut store = output.loss.backward()?;
        for (name, parameter) in self.parameters.iter() {
            if let Some(gradient) = output.gradients.whole(name, parameter.var.dims())? {
                store.insert(parameter.var.as_tensor(), gradient);
            }
        }
        Ok(store)
    }

    /// The head's own parameters, for an optimiser of candle.
    pub fn vars(&self) -> Vec<Var> {
        self.parameters.iter().map(|(_, parameter)| parameter.var.clone()).collect()
    }

    /// The loss of a batch and all gradients as plain tensors, for comparison with other frameworks.
    ///
    /// # Shapes
    /// `embeddings` (B, D), `labels` (B).
    ///
    /// # Errors
    /// As [`Objective::forward`], and if an embedding or a center is not finite.
    pub fn evaluate(&mut self, embeddings: &Tensor, labels: &[u32], step: u64) -> Result<Evaluation> {
        check_finite("embeddings", embeddings)?;
        for (name, parameter) in self.parameters.iter() {
            check_finite(name, parameter.var.as_tensor())?;
        }
        let Evaluated { value, d_embeddings, gradients, .. } = self.compute(embeddings, labels, step)?;
        let loss = Tensor::new(value, &Device::Cpu)?.to_dtype(embeddings.dtype())?.to_device(embeddings.device())?;
        let zeros = |name| match self.parameters.get(name) {
            Some(parameter) => parameter.var.zeros_like(),
            None => Tensor::zeros((self.num_classes, self.embedding_size), embeddings.dtype(), embeddings.device()),
        };
        let d_centers = match self.parameters.get("centers") {
            Some(centers) => gradients.whole("centers", centers.var.dims())?,
            None => None,
        };
        let d_centers = d_centers.map_or_else(|| zeros("centers"), Ok)?;
        Ok(Evaluation { loss, d_embeddings, d_centers, d_bias: gradients.get("bias").cloned() })
    }

    /// The description of the loss.
    pub fn entry(&self) -> &'static LossEntry {
        self.entry
    }

    /// `centers` (C, D) or (C, K, D) and, for softmax, `bias` (C).
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The margin's moving statistics.
    pub fn state(&self) -> BTreeMap<String, f64> {
        match &self.head {
            Head::Cosine { margin, .. } => margin.state(),
            Head::Softmax | Head::None => BTreeMap::new(),
        }
    }

    /// Takes back what [`Objective::state`] gave.
    ///
    /// # Errors
    /// If a name is missing or unknown.
    pub fn load_state(&mut self, state: &BTreeMap<String, f64>) -> Result<()> {
        match &mut self.head {
            Head::Cosine { margin, .. } => margin.load_state(state),
            Head::Softmax | Head::None => take_state(state, []).map(|[]| ()),
        }
    }

    fn assemble(resolved: &Resolved, c: usize, d: usize, parameters: Parameters, seed: u64) -> Result<Self> {
        let (head, terms) = parts(resolved)?;
        if c < 2 && !matches!(head, Head::None) {
            return Err(Error::value("classes", "at least 2 to tell apart", c));
        }
        Ok(Self { entry: resolved.entry, head, terms, parameters, num_classes: c, embedding_size: d, seed })
    }

    fn has_centers(&self) -> bool {
        !matches!(self.head, Head::None)
    }

    fn add_bias(&mut self, bias: Option<&Tensor>, k: usize) -> Result<()> {
        if !matches!(self.head, Head::Softmax) {
            return Ok(());
        }
        if k != 1 {
            return Err(Error::value("centers", "(C, D) for a head without sub-centers", format!("{k} sub-centers")));
        }
        let zeros = Tensor::zeros(self.num_classes, self.parameters.dtype(), self.parameters.device())?;
        let bias = bias.unwrap_or(&zeros);
        shape::exactly(bias, "bias", "(C)", &[self.num_classes])?;
        self.parameters.add("bias", bias, Role::Trained)?;
        Ok(())
    }

    fn compute(&mut self, embeddings: &Tensor, labels: &[u32], step: u64) -> Result<Evaluated> {
        self.check(embeddings, labels)?;
        if embeddings.device().is_cuda() || self.parameters.device().is_cuda() {
            return self.compute_on_device(embeddings, labels, step);
        }
        with_element!(embeddings.dtype(), "embeddings", T => self.compute_in::<T>(embeddings, labels, step))
    }

    fn check(&self, embeddings: &Tensor, labels: &[u32]) -> Result<()> {
        let (batch, size) = shape::dims2(embeddings, "embeddings")?;
        if batch == 0 || size != self.embedding_size {
            let expected = format!("(B, D) with B >= 1 and D = {}", self.embedding_size);
            return Err(Error::shape("embeddings", expected, embeddings.dims()));
        }
        if labels.len() != batch {
            return Err(Error::shape("labels", format!("(B) with B = {batch}"), &[labels.len()]));
        }
        if let Some((row, label)) = labels.iter().enumerate().find(|(_, label)| self.num_classes <= **label as usize) {
            return Err(Error::value(
                format!("label of row {row}"),
                format!("below {} classes", self.num_classes),
                label,
            ));
        }
        if embeddings.dtype() != self.parameters.dtype() {
            let expected = format!("dtype {} as the head has", self.parameters.dtype().as_str());
            return Err(Error::value("embeddings", expected, embeddings.dtype().as_str()));
        }
        check_operands(&[("embeddings", embeddings)])
    }

    fn compute_in<T: Element>(&mut self, embeddings: &Tensor, labels: &[u32], step: u64) -> Result<Evaluated> {
        let held = [Some(embeddings.clone()), self.tensor("centers"), self.tensor("bias")];
        let [x, centers, bias] = held.each_ref().map(|tensor| tensor.as_ref().map(Tensor::storage_and_layout));
        let (x, centers, bias) =
            (borrow::<T>(x.as_ref())?, borrow::<T>(centers.as_ref())?, borrow::<T>(bias.as_ref())?);
        let input = Input {
            embeddings: &x,
            centers: &centers,
            labels,
            embedding_size: self.embedding_size,
            step,
            seed: self.seed,
            sine_floor: sphere::sine_floor(T::DTYPE),
        };
        let output = match &mut self.head {
            Head::Cosine { margin, rule, choice } => head::forward(&input, rule, *choice, margin.as_mut(), &self.terms),
            Head::Softmax => softmax::forward(&input, &bias),
            Head::None => alone::forward(&input, &self.terms),
        };
        let mut gradients = Gradients::default();
        match output.classes {
            Some(classes) => self.insert_rows(&mut gradients, "centers", classes, output.d_centers)?,
            None => self.insert_gradient(&mut gradients, "centers", output.d_centers)?,
        }
        self.insert_gradient(&mut gradients, "bias", output.d_bias)?;
        let d_embeddings = Tensor::from_vec(output.d_embeddings, embeddings.dims(), embeddings.device())?;
        Ok(Evaluated { value: output.loss, d_embeddings, gradients, target_cosines: output.target_cosines })
    }

    fn compute_on_device(&mut self, embeddings: &Tensor, labels: &[u32], step: u64) -> Result<Evaluated> {
        let (centers, bias) = (self.tensor("centers"), self.tensor("bias"));
        let (centers, bias) = (centers.as_ref(), bias.as_ref());
        let input = device::Input { embeddings, centers, bias, labels, step, seed: self.seed };
        let output = match &mut self.head {
            Head::Cosine { margin, rule, choice } => {
                device::cosine(&input, rule, *choice, margin.as_mut(), &self.terms)
            }
            Head::Softmax => device::softmax(&input),
            Head::None => device::alone(&input, &self.terms),
        }?;
        let mut gradients = Gradients::default();
        match (output.d_centers, output.classes) {
            (Some(gradient), Some(classes)) => gradients.insert_rows("centers", classes, gradient),
            (Some(gradient), None) => gradients.insert("centers", gradient),
            (None, _) => {}
        }
        if let Some(gradient) = output.d_bias {
            gradients.insert("bias", gradient);
        }
        let device::Output { loss: value, d_embeddings, target_cosines, .. } = output;
        Ok(Evaluated { value, d_embeddings, gradients, target_cosines })
    }

    /// A parameter, if there is one of that name.
    fn tensor(&self, name: &str) -> Option<Tensor> {
        self.parameters.get(name).map(|parameter| parameter.var.as_detached_tensor())
    }

    fn insert_gradient<T: Element>(&self, gradients: &mut Gradients, name: &str, values: Vec<T>) -> Result<()> {
        if let Some(parameter) = self.parameters.get(name).filter(|_| !values.is_empty()) {
            gradients.insert(name, Tensor::from_vec(values, parameter.var.dims(), parameter.var.device())?);
        }
        Ok(())
    }

    fn insert_rows<T: Element>(
        &self,
        gradients: &mut Gradients,
        name: &str,
        rows: Vec<u32>,
        values: Vec<T>,
    ) -> Result<()> {
        if let Some(parameter) = self.parameters.get(name) {
            let mut dims = parameter.var.dims().to_vec();
            dims[0] = rows.len();
            gradients.insert_rows(name, rows, Tensor::from_vec(values, dims, parameter.var.device())?);
        }
        Ok(())
    }
}

/// What a batch gives, before it is connected to candle's graph.
struct Evaluated {
    value: f64,
    d_embeddings: Tensor,
    gradients: Gradients,
    target_cosines: Vec<f64>,
}

/// Head and terms of a loss.
fn parts(resolved: &Resolved) -> Result<(Head, Vec<WeightedTerm>)> {
    let mut terms = Vec::new();
    for table in resolved.head.iter().flat_map(|head| &head.terms) {
        terms.push(WeightedTerm::new(table)?);
    }
    let margin = match resolved.entry.build(resolved.own.clone())? {
        Part::Softmax => return Ok((Head::Softmax, terms)),
        Part::Margin(margin) => margin,
        Part::Term(term) => {
            terms.insert(0, WeightedTerm { term, weight: 1.0 });
            Box::new(crate::normface::NormFace)
        }
    };
    Ok((resolved.head.as_ref().map_or(Head::None, |options| cosine_head(margin, options)), terms))
}

fn cosine_head(margin: Box<dyn Margin>, options: &HeadOptions) -> Head {
    let pool = match options.pooling {
        Pooling::Max => Pool::Max,
        Pooling::Soft => Pool::Soft { gamma: options.gamma_pooling.get() },
    };
    let rule = Rule { scale: options.scale.get(), pool, sub_centers: options.sub_centers.get() };
    let margin = if options.warmup_steps == 0 { margin } else { Box::new(WarmUp::new(margin, options.warmup_steps)) };
    let choice = Choice { chunk: options.chunk, sample_rate: options.sample_rate.get() };
    Head::Cosine { margin, rule, choice }
}

fn check_shape(shape: &HeadShape<'_>) -> Result<()> {
    if shape.num_classes == 0 || shape.embedding_size == 0 {
        return Err(Error::shape("head", "(C, D), none of them 0", &[shape.num_classes, shape.embedding_size]));
    }
    Ok(())
}

/// (C, K, D) of centers (C, D) or (C, K, D).
fn center_dims(centers: &Tensor) -> Result<(usize, usize, usize)> {
    match *centers.dims() {
        [c, d] => Ok((c, 1, d)),
        [c, k, d] => Ok((c, k, d)),
        _ => Err(Error::shape("centers", "(C, D) or (C, K, D)", centers.dims())),
    }
}

/// `parameters` with K as the centers have it.
fn with_sub_centers(name: &str, parameters: &Table, k: usize) -> Result<Table> {
    let mut parameters = parameters.clone();
    let has_key = crate::options::defaults(name)?.contains_key("sub_centers");
    let found = Value::Integer(k as i64);
    match parameters.get("sub_centers") {
        Some(given) if *given != found => {
            return Err(Error::value("sub_centers", format!("{k} as the centers have"), given));
        }
        None if has_key => parameters.insert("sub_centers".to_owned(), found),
        _ => None,
    };
    Ok(parameters)
}

fn check_finite(what: &str, tensor: &Tensor) -> Result<()> {
    let width = tensor.dims().last().copied().unwrap_or(1).max(1);
    let values = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::value(format!("{what}: row {}", at / width), "finite values", values[at])),
        None => Ok(()),
    }
}

/// N(0, 0.01²), each row from its own stream.
fn initial_centers<T: Element>(dims: &[usize], seed: u64) -> Result<Tensor> {
    let width = dims[dims.len() - 1];
    let mut values = vec![T::ZERO; dims.iter().product()];
    values.par_chunks_mut(width).enumerate().for_each(|(row, values)| {
        let mut rng = rng(seed, Purpose::Centers, 0, row as u64);
        for value in values {
            *value = T::from_f64(CENTER_STD * rng.sample::<f64, _>(StandardNormal));
        }
    });
    Ok(Tensor::from_vec(values, dims, &Device::Cpu)?)
}

/// The values of a CPU tensor, borrowed if they lie in row-major order; none of no tensor.
fn borrow<'a, T: Element>(tensor: Option<&'a (impl Deref<Target = Storage>, &Layout)>) -> Result<Cow<'a, [T]>> {
    match tensor.map(|(storage, layout)| (&**storage, layout)) {
        None => Ok(Cow::Borrowed(&[])),
        Some((Storage::Cpu(storage), layout)) => Ok(values(storage, layout)?),
        Some(_) => Err(Error::value("tensor", "on the CPU", "another device")),
    }
}
