//! Optimisers in torch's form, updating variables in place in one pass per tensor; clipping of the gradient's norm.
//! Knows no schedule and no loss: the learning rate and the gradients come with every step.

mod moments;

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor, Var};
use rayon::prelude::*;

use self::moments::{Moments, host_tensor, missing, unsupported};
#[cfg(feature = "cuda")]
use crate::ops::cuda::optimise;
use crate::ops::element::Element;
use crate::ops::parallel::CHUNK;
use crate::{Error, Gradients, Parameter, Parameters, Result, Role, multiversion};

/// Moves parameters along their gradients.
pub trait Optimizer {
    /// Moves every trained parameter that has a gradient by one step, in place.
    ///
    /// Gradients of names that `parameters` lacks or does not train are left alone. Where a gradient is of some rows,
    /// the others neither move nor decay, and their moments stay.
    ///
    /// # Errors
    /// If a gradient has another shape or type than its parameter; the message names it.
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()>;

    /// A copy of the state under the names `KIND.PARAMETER`, such as `momentum.fc.weight`, on the parameters' device.
    fn state(&self) -> BTreeMap<String, Tensor>;

    /// Goes on from a state that [`Optimizer::state`] gave, on whatever device.
    ///
    /// # Errors
    /// If a tensor is missing, unknown, or of another shape or type; the state is then as before.
    fn load_state(&mut self, state: BTreeMap<String, Tensor>) -> Result<()>;
}

/// Settings of [`Sgd`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConfig {
    /// μ, 0 ≤ μ < 1.
    pub momentum: f64,
    /// Decay of [`Role::Trained`] parameters, 0 ≤ wd.
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { momentum: 0.9, weight_decay: 5e-4 }
    }
}

/// Stochastic gradient descent with momentum: v ← μ·v + (g + wd·w), w ← w − lr·v.
///
/// The first step finds v = 0, so that v = g + wd·w, as in torch with dampening 0.
///
/// # Example
/// ```
/// use arcface_core::candle::{DType, Device, Tensor};
/// use arcface_core::optim::{Optimizer, Sgd, SgdConfig};
/// use arcface_core::{Gradients, Parameters, Role};
/// let mut parameters = Parameters::new(DType::F64, &Device::Cpu);
/// let weight = parameters.add("weight", &Tensor::new(&[1f64], &Device::Cpu)?, Role::Undecayed)?;
/// let mut sgd = Sgd::new(SgdConfig::default(), &parameters)?;
/// let mut gradients = Gradients::default();
/// gradients.insert("weight", Tensor::new(&[2f64], &Device::Cpu)?);
/// sgd.step(&parameters, &gradients, 0.25)?;
/// assert_eq!(weight.to_vec1::<f64>()?, [0.5]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Sgd {
    config: SgdConfig,
    velocity: Moments,
}

impl Sgd {
    /// An optimiser for the trained ones among `parameters`, at rest.
    ///
    /// # Errors
    /// If a setting lies outside its range or the parameters are neither f32 nor f64 (on a CUDA device: not f32).
    pub fn new(config: SgdConfig, parameters: &Parameters) -> Result<Self> {
        fraction("momentum", config.momentum)?;
        non_negative("weight_decay", config.weight_decay)?;
        Ok(Self { config, velocity: Moments::zero("momentum", parameters)? })
    }

    #[cfg(feature = "cuda")]
    fn step_on_device(&mut self, moved: &[Moved<'_>], learning_rate: f64) -> Result<()> {
        let SgdConfig { momentum, weight_decay } = self.config;
        self.velocity.own()?;
        let moving = moved.iter().map(|moved| {
            let moments = vec![self.velocity.on_device(moved.name, &moved.parameter.var)?];
            Ok(moved.on_device(moments, [decay(moved.parameter, weight_decay), 0.0, 0.0]))
        });
        optimise::step(&moving.collect::<Result<Vec<_>>>()?, optimise::Rule::Sgd { momentum, rate: learning_rate })
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let moved = moved(parameters, gradients)?;
        #[cfg(feature = "cuda")]
        if parameters.device().is_cuda() {
            return self.step_on_device(&moved, learning_rate);
        }
        for Moved { name, parameter, gradient, rows } in moved {
            let rule = SgdRule {
                momentum: self.config.momentum,
                weight_decay: decay(parameter, self.config.weight_decay),
                learning_rate,
            };
            update(&parameter.var, gradient, rows, [self.velocity.of(name, &parameter.var)?], rule)?;
        }
        Ok(())
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        self.velocity.tensors()
    }

    fn load_state(&mut self, mut state: BTreeMap<String, Tensor>) -> Result<()> {
        let velocity = self.velocity.read(&mut state)?;
        nothing_left(&state)?;
        self.velocity = velocity;
        Ok(())
    }
}

/// Settings of [`AdamW`]; the defaults are torch's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// β₁, the decay of the mean of gradients, 0 ≤ β₁ < 1.
    pub beta1: f64,
    /// β₂, the decay of the mean of squares, 0 ≤ β₂ < 1.
    pub beta2: f64,
    /// ε, added to the root of the mean of squares, 0 < ε.
    pub eps: f64,
    /// Decay of [`Role::Trained`] parameters, 0 ≤ wd.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-2 }
    }
}

/// Adam with decoupled weight decay, in the order of torch's `AdamW`:
/// w ← w·(1 − lr·wd), m ← m + (1−β₁)(g − m), v ← β₂·v + (1−β₂)·g²,
/// w ← w − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε).
///
/// t counts the steps of each parameter on its own, as torch does.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    mean: Moments,
    square: Moments,
    steps: BTreeMap<String, i64>,
}

impl AdamW {
    /// An optimiser for the trained ones among `parameters`, at rest.
    ///
    /// # Errors
    /// If a setting lies outside its range or the parameters are neither f32 nor f64 (on a CUDA device: not f32).
    pub fn new(config: AdamWConfig, parameters: &Parameters) -> Result<Self> {
        fraction("beta1", config.beta1)?;
        fraction("beta2", config.beta2)?;
        non_negative("weight_decay", config.weight_decay)?;
        if !(0.0 < config.eps && config.eps.is_finite()) {
            return Err(Error::value("eps", "0 < eps < ∞", config.eps));
        }
        let steps = parameters.trained().map(|(name, _)| (name.to_owned(), 0)).collect();
        let (mean, square) = (Moments::zero("exp_avg", parameters)?, Moments::zero("exp_avg_sq", parameters)?);
        Ok(Self { config, mean, square, steps })
    }

    fn rule(&self, parameter: &Parameter, step: i64, learning_rate: f64) -> AdamWRule {
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        AdamWRule {
            keep: 1.0 - learning_rate * decay(parameter, weight_decay),
            beta1,
            beta2,
            eps,
            size: learning_rate / correction(beta1),
            root: correction(beta2).sqrt(),
        }
    }

    #[cfg(feature = "cuda")]
    fn step_on_device(&mut self, moved: &[Moved<'_>], learning_rate: f64) -> Result<()> {
        let AdamWConfig { beta1, beta2, eps, .. } = self.config;
        self.mean.own()?;
        self.square.own()?;
        let moving = moved.iter().map(|moved| {
            let var = &moved.parameter.var;
            let moments = vec![self.mean.on_device(moved.name, var)?, self.square.on_device(moved.name, var)?];
            let AdamWRule { keep, size, root, .. } = self.rule(moved.parameter, self.next(moved.name), learning_rate);
            Ok(moved.on_device(moments, [keep, size, root]))
        });
        let moving = moving.collect::<Result<Vec<_>>>()?;
        optimise::step(&moving, optimise::Rule::AdamW { beta1, beta2, eps })?;
        for Moved { name, .. } in moved {
            self.steps.insert((*name).to_owned(), self.next(name));
        }
        Ok(())
    }

    /// The number of the step that a parameter is about to make.
    fn next(&self, name: &str) -> i64 {
        self.steps.get(name).map_or(1, |steps| steps + 1)
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let moved = moved(parameters, gradients)?;
        #[cfg(feature = "cuda")]
        if parameters.device().is_cuda() {
            return self.step_on_device(&moved, learning_rate);
        }
        for Moved { name, parameter, gradient, rows } in moved {
            let step = self.next(name);
            let rule = self.rule(parameter, step, learning_rate);
            let moments = [self.mean.of(name, &parameter.var)?, self.square.of(name, &parameter.var)?];
            update(&parameter.var, gradient, rows, moments, rule)?;
            self.steps.insert(name.to_owned(), step);
        }
        Ok(())
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        let steps = self
            .steps
            .iter()
            .map(|(name, &steps)| (format!("step.{name}"), host_tensor(CpuStorage::I64(vec![steps]), &[])));
        self.mean.tensors().into_iter().chain(self.square.tensors()).chain(steps).collect()
    }

    fn load_state(&mut self, mut state: BTreeMap<String, Tensor>) -> Result<()> {
        let (mean, square) = (self.mean.read(&mut state)?, self.square.read(&mut state)?);
        let read = |name: &String| Ok((name.clone(), read_steps(&mut state, name)?));
        let steps = self.steps.keys().map(read).collect::<Result<_>>()?;
        nothing_left(&state)?;
        *self = Self { config: self.config, mean, square, steps };
        Ok(())
    }
}

/// Scales `gradients` by max/(norm + 1e-6) where that is below 1, as torch's `clip_grad_norm_`; returns the norm before.
///
/// A norm that is not finite is returned and changes nothing: whoever trains skips the step.
///
/// # Errors
/// If `max` is not above 0 or a gradient is neither f32 nor f64.
pub fn clip_norm(gradients: &mut Gradients, max: f64) -> Result<f64> {
    if max.is_nan() || max <= 0.0 {
        return Err(Error::value("clip_norm", "0 < clip_norm", max));
    }
    let norm = gradients.norm()?;
    let factor = max / (norm + 1e-6);
    if factor < 1.0 && norm.is_finite() {
        gradients.scale(factor)?;
    }
    Ok(norm)
}

/// How a run of values moves, given their `N` moments each, which it updates too.
trait Rule<const N: usize>: Copy + Sync {
    fn apply<T: Float>(self, weights: &mut [T], gradients: &[T], moments: [&mut [T]; N]);
}

/// f32 and f64, the types that parameters can have, with access to a storage in place.
trait Float: Element {
    fn values(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

impl Float for f32 {
    fn values(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::F32(values) = storage { Some(values) } else { None }
    }
}

impl Float for f64 {
    fn values(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::F64(values) = storage { Some(values) } else { None }
    }
}

/// v ← μ·v + (g + wd·w), w ← w − lr·v.
#[derive(Clone, Copy)]
struct SgdRule {
    momentum: f64,
    weight_decay: f64,
    learning_rate: f64,
}

impl Rule<1> for SgdRule {
    fn apply<T: Float>(self, weights: &mut [T], gradients: &[T], [velocities]: [&mut [T]; 1]) {
        sgd_step(self, weights, gradients, velocities);
    }
}

/// One step of [`AdamW`] with what depends on t alone worked out.
#[derive(Clone, Copy)]
struct AdamWRule {
    keep: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    size: f64,
    root: f64,
}

impl Rule<2> for AdamWRule {
    fn apply<T: Float>(self, weights: &mut [T], gradients: &[T], [means, squares]: [&mut [T]; 2]) {
        adamw_step(self, weights, gradients, means, squares);
    }
}

multiversion! {
    fn sgd_step[T: Element](rule: SgdRule, weights: &mut [T], gradients: &[T], velocities: &mut [T]) {
        let [momentum, decay, rate] = [rule.momentum, rule.weight_decay, rule.learning_rate].map(T::from_f64);
        for ((w, &g), v) in weights.iter_mut().zip(gradients).zip(velocities) {
            *v = momentum * *v + (g + decay * *w);
            *w -= rate * *v;
        }
    }

    fn adamw_step[T: Element](
        rule: AdamWRule,
        weights: &mut [T],
        gradients: &[T],
        means: &mut [T],
        squares: &mut [T],
    ) {
        let [keep, eps, size, root] = [rule.keep, rule.eps, rule.size, rule.root].map(T::from_f64);
        let [beta2, rest1, rest2] = [rule.beta2, 1.0 - rule.beta1, 1.0 - rule.beta2].map(T::from_f64);
        for (((w, &g), m), v) in weights.iter_mut().zip(gradients).zip(means).zip(squares) {
            *m += rest1 * (g - *m);
            *v = beta2 * *v + rest2 * g * g;
            *w = keep * *w - size * *m / (v.sqrt() / root + eps);
        }
    }
}

/// A parameter that is about to move.
struct Moved<'a> {
    name: &'a str,
    parameter: &'a Parameter,
    gradient: &'a Tensor,
    /// The rows that it is of; none if it is of all.
    rows: Option<&'a [u32]>,
}

#[cfg(feature = "cuda")]
impl Moved<'_> {
    fn on_device(&self, moments: Vec<Tensor>, numbers: [f64; 3]) -> optimise::Moving<'_> {
        let Self { parameter, gradient, rows, .. } = *self;
        optimise::Moving { weights: parameter.var.as_tensor(), gradient, rows, moments, numbers }
    }
}

/// Trained parameters with their gradients, checked.
fn moved<'a>(parameters: &'a Parameters, gradients: &'a Gradients) -> Result<Vec<Moved<'a>>> {
    let with_gradient = parameters.trained().filter_map(|(name, parameter)| {
        let (gradient, rows) = (gradients.get(name)?, gradients.rows(name));
        let fits = match rows {
            None => fits(name, gradient, parameter.var.dims(), &parameter.var),
            Some(rows) => rows_fit(name, rows, gradient, &parameter.var),
        };
        Some(fits.map(|()| Moved { name, parameter, gradient, rows }))
    });
    with_gradient.collect()
}

fn decay(parameter: &Parameter, weight_decay: f64) -> f64 {
    if parameter.role == Role::Trained { weight_decay } else { 0.0 }
}

/// Applies `rule` to a variable in place.
fn update<const N: usize>(
    var: &Var,
    gradient: &Tensor,
    rows: Option<&[u32]>,
    moments: [&mut CpuStorage; N],
    rule: impl Rule<N>,
) -> Result<()> {
    let gradient = gradient.detach().contiguous()?;
    Ok(var.inplace_op2(&gradient, &Update { moments: RefCell::new(moments), rows, rule })?)
}

/// The in-place operation; the moments are borrowed for as long as it runs.
struct Update<'a, const N: usize, R> {
    moments: RefCell<[&'a mut CpuStorage; N]>,
    rows: Option<&'a [u32]>,
    rule: R,
}

impl<const N: usize, R: Rule<N>> InplaceOp2 for Update<'_, N, R> {
    fn name(&self) -> &'static str {
        "optimizer-update"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        weight_layout: &Layout,
        gradients: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        match weights {
            CpuStorage::F32(_) => self.run::<f32>(weights, weight_layout, gradients, gradient_layout),
            _ => self.run::<f64>(weights, weight_layout, gradients, gradient_layout),
        }
    }
}

impl<const N: usize, R: Rule<N>> Update<'_, N, R> {
    fn run<T: Float>(
        &self,
        weights: &mut CpuStorage,
        weight_layout: &Layout,
        gradients: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let weight_range = weight_layout.contiguous_offsets().ok_or_else(unsupported)?;
        let gradient_range = gradient_layout.contiguous_offsets().ok_or_else(unsupported)?;
        let weights = &mut T::values(weights).ok_or_else(unsupported)?[weight_range.0..weight_range.1];
        let gradients = &T::cpu_storage_as_slice(gradients)?[gradient_range.0..gradient_range.1];
        let mut moments = self.moments.borrow_mut();
        let moments = moments.iter_mut().map(|storage| T::values(storage).ok_or_else(unsupported));
        let moments = moments.collect::<candle_core::Result<_>>()?;
        match self.rows {
            None => apply(self.rule, weights, gradients, moments),
            Some(rows) => apply_to_rows(self.rule, rows, weights, gradients, moments),
        }
        Ok(())
    }
}

/// Cuts everything into the same chunks and works on them in parallel; each value moves on its own.
fn apply<const N: usize, T: Float>(rule: impl Rule<N>, weights: &mut [T], gradients: &[T], moments: Vec<&mut [T]>) {
    let mut moments: Vec<_> = moments.into_iter().map(|values| values.chunks_mut(CHUNK)).collect();
    let mut next = || std::array::from_fn(|n| moments[n].next().unwrap_or_default());
    let chunks = weights.chunks_mut(CHUNK).zip(gradients.chunks(CHUNK));
    let tasks: Vec<_> = chunks.map(|(weights, gradients)| (weights, gradients, next())).collect();
    tasks.into_par_iter().for_each(|(weights, gradients, moments)| rule.apply(weights, gradients, moments));
}

/// As [`apply`], to the rows `rows` (ascending) alone, whose gradients lie one after the other.
fn apply_to_rows<const N: usize, T: Float>(
    rule: impl Rule<N>,
    rows: &[u32],
    mut weights: &mut [T],
    gradients: &[T],
    mut moments: Vec<&mut [T]>,
) {
    let width = gradients.len() / rows.len().max(1);
    let per_task = (CHUNK / width.max(1)).max(1);
    let (mut tasks, mut first) = (Vec::new(), 0);
    for (rows, gradients) in rows.chunks(per_task).zip(gradients.chunks(per_task * width.max(1))) {
        let end = rows.last().map_or(first, |last| *last as usize + 1);
        let len = (end - first) * width;
        let moments =
            std::array::from_fn(|n| moments.get_mut(n).and_then(|rest| rest.split_off_mut(..len)).unwrap_or_default());
        tasks.push((first, rows, weights.split_off_mut(..len).unwrap_or_default(), gradients, moments));
        first = end;
    }
    tasks.into_par_iter().for_each(|(first, rows, weights, gradients, mut moments): (_, _, _, _, [&mut [T]; N])| {
        for (&row, gradient) in rows.iter().zip(gradients.chunks(width)) {
            let range = (row as usize - first) * width..(row as usize + 1 - first) * width;
            rule.apply(
                &mut weights[range.clone()],
                gradient,
                moments.each_mut().map(|values| &mut values[range.clone()]),
            );
        }
    });
}

fn read_steps(state: &mut BTreeMap<String, Tensor>, name: &str) -> Result<i64> {
    let key = format!("step.{name}");
    let tensor = state.remove(&key).ok_or_else(|| missing(&key))?;
    let steps =
        tensor.to_scalar::<i64>().map_err(|error| Error::Invalid(format!("optimizer state `{key}`: {error}")))?;
    if 0 <= steps { Ok(steps) } else { Err(Error::value(format!("optimizer state `{key}`"), "0 <= step", steps)) }
}

fn nothing_left(state: &BTreeMap<String, Tensor>) -> Result<()> {
    match state.keys().next() {
        None => Ok(()),
        Some(key) => Err(Error::Invalid(format!(
            "optimizer state `{key}` belongs to no parameter of this network and optimizer"
        ))),
    }
}

/// Whether `rows` are rows of `var` in ascending order, and `gradient` of so many.
fn rows_fit(name: &str, rows: &[u32], gradient: &Tensor, var: &Var) -> Result<()> {
    let mut dims = var.dims().to_vec();
    let count = dims.first().copied().unwrap_or_default();
    let ascending = rows.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || rows.last().is_some_and(|last| count <= *last as usize) {
        return Err(Error::value(format!("rows of `{name}`"), format!("ascending and below {count}"), "others"));
    }
    if let Some(first) = dims.first_mut() {
        *first = rows.len();
    }
    fits(name, gradient, &dims, var)
}

fn fits(name: &str, gradient: &Tensor, dims: &[usize], var: &Var) -> Result<()> {
    if gradient.dims() != dims {
        return Err(Error::shape(format!("gradient of `{name}`"), format!("{dims:?}"), gradient.dims()));
    }
    if !gradient.device().same_device(var.device()) {
        let [expected, got] = [var.device(), gradient.device()].map(|device| format!("{:?}", device.location()));
        return Err(Error::value(format!("gradient of `{name}`"), expected, got));
    }
    if gradient.dtype() != var.dtype() {
        let (expected, got) = (format!("{:?}", var.dtype()), format!("{:?}", gradient.dtype()));
        return Err(Error::value(format!("gradient of `{name}`"), expected, got));
    }
    Ok(())
}

fn fraction(what: &str, value: f64) -> Result<()> {
    if 0.0 <= value && value < 1.0 { Ok(()) } else { Err(Error::value(what, format!("0 <= {what} < 1"), value)) }
}

fn non_negative(what: &str, value: f64) -> Result<()> {
    let fits = 0.0 <= value && value.is_finite();
    if fits { Ok(()) } else { Err(Error::value(what, format!("0 <= {what} < ∞"), value)) }
}
