//! A tape of operators: the backward pass of a chain of our own operators without candle's gradient store.
//! Knows no operator by name, only candle's `CustomOp` traits.
//!
//! Candle begins every gradient as zeros and adds to it, in whole passes over memory; a tape moves a gradient to where
//! it belongs and adds only where two meet. It lets go of each activation as soon as its gradient is done, and keeps
//! none that is cheap to make again: of batch norm and an activation before a convolution only what went into them.
//! Outside of [`record`] operators cost what they cost without it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{CustomOp1, CustomOp2, CustomOp3, DType, Device, Shape, Tensor, TensorId};

use super::add::add;
use crate::Result;

/// What a backward pass asks of the values of an operator; no operator may look at its own result there.
pub(crate) trait Recorded {
    /// Which values the gradient depends on.
    const NEEDS: Needs = Needs::Arguments;
    /// What becomes of the result.
    const RESULT: Made = Made::Once;
}

/// Which values the gradient of an operator depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Arguments,
    /// The gradient of an argument depends on the other arguments alone, as that of a product.
    Others,
    /// So many of the arguments, the first ones.
    First(usize),
    /// Not even their shapes.
    Nothing,
}

impl Needs {
    /// Whether argument `index` is among them, for gradients of those arguments that have a target.
    fn include(self, index: usize, targets: &[Option<TensorId>]) -> bool {
        match self {
            Self::Arguments => true,
            Self::Others => targets.iter().enumerate().any(|(other, target)| other != index && target.is_some()),
            Self::First(count) => index < count,
            Self::Nothing => false,
        }
    }
}

/// Whether a result that others need in the backward pass is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// It is kept.
    Once,
    /// It is made again from the arguments, which are what is kept.
    Again,
}

/// An argument as the backward pass finds it.
#[derive(Clone)]
enum Saved {
    Kept(Tensor),
    Again(Recipe),
    /// A number stands in for it.
    Unneeded(DType),
}

/// How a result is made again.
type Recipe = Rc<dyn Fn() -> Result<Tensor>>;

impl Saved {
    /// Outside of any graph, but for variables.
    fn restore(&self) -> Result<Tensor> {
        match self {
            Self::Kept(tensor) => Ok(tensor.clone()),
            Self::Again(recipe) => recipe(),
            Self::Unneeded(dtype) => Ok(Tensor::zeros((), *dtype, &Device::Cpu)?),
        }
    }
}

fn restore(saved: &[Saved]) -> Result<Vec<Tensor>> {
    saved.iter().map(Saved::restore).collect()
}

/// Gradients that wait for the steps that their tensors came from.
type Gathered = HashMap<TensorId, Tensor>;
/// Gradients of tensors from the gradient of a step's output; what others have gathered for these tensors it may take, and
/// then gives sums.
type Backward = Box<dyn FnOnce(&Tensor, &mut Gathered) -> Result<Vec<(TensorId, Tensor)>>>;

/// One operator as it was applied.
struct Step {
    output: TensorId,
    backward: Backward,
}

/// What is known while operators are recorded. Their results are outside of candle's graph, which would keep them all.
#[derive(Default)]
struct Recording {
    steps: Vec<Step>,
    /// Results that depend on a variable.
    tracked: HashSet<TensorId>,
    /// Results that are not to be kept.
    recipes: HashMap<TensorId, Recipe>,
}

thread_local! {
    /// That of this thread while [`record`] runs.
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
    /// Arguments of the step whose backward pass runs on this thread that have a gradient, with what of it came to them
    /// from other steps.
    static WANTED: RefCell<HashMap<TensorId, Option<Tensor>>> = RefCell::default();
}

/// Whether an operator's backward pass is to make the gradient of its argument `x`.
pub(crate) fn is_wanted(x: &Tensor) -> bool {
    x.track_op() || WANTED.with_borrow(|wanted| wanted.contains_key(&x.id()))
}

/// The gradient that other steps have brought to the argument `x`, if there is one: an operator's backward pass that takes
/// it adds its own to it, which spares both a way to memory and back.
pub(crate) fn gathered(x: &Tensor) -> Option<Tensor> {
    WANTED.with_borrow_mut(|wanted| wanted.get_mut(&x.id())?.take())
}

/// The operators that led to one output.
pub struct Tape {
    steps: Vec<Step>,
    output: TensorId,
}

/// Runs `forward` and records the operators it applies on this thread; the first result is outside of candle's graph.
///
/// Only operators of this crate and [`reshape`], [`rows`] and [`recomputed`] are recorded: what `forward` does with
/// candle's own ends the way of a gradient.
///
/// # Errors
/// Those of `forward`.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor, Var};
/// use arcface_core::ops::{add, tape::record};
/// let x = Var::new(&[1.0, 2.0], &Device::Cpu)?;
/// let (y, tape) = record(|| add(&x, &x))?;
/// let gradients = tape.backward(&y.ones_like()?)?;
/// assert_eq!(gradients.get(&x).unwrap().to_vec1::<f64>()?, [2.0, 2.0]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn record(forward: impl FnOnce() -> Result<Tensor>) -> Result<(Tensor, Tape)> {
    let (output, recording) = run(Recording::default(), forward)?;
    Ok((output.detach(), Tape { steps: recording.steps, output: output.id() }))
}

/// The result of `forward` while `recording` is this thread's.
fn run(recording: Recording, forward: impl FnOnce() -> Result<Tensor>) -> Result<(Tensor, Recording)> {
    let outer = RECORDING.replace(Some(recording));
    let output = forward();
    let recording = RECORDING.replace(outer).unwrap_or_default();
    Ok((output?, recording))
}

impl Tape {
    /// Gradients of the variables that went in, given the `gradient` of what came out.
    ///
    /// # Errors
    /// If an operator fails.
    pub fn backward(self, gradient: &Tensor) -> Result<GradStore> {
        let mut store = GradStore::default();
        for (id, gradient) in self.gradients(gradient, Gathered::new())? {
            store.insert_id(id, gradient);
        }
        Ok(store)
    }

    /// To those that are `gathered` already.
    fn gradients(self, gradient: &Tensor, mut gathered: Gathered) -> Result<Gathered> {
        put(&mut gathered, self.output, gradient.clone())?;
        for step in self.steps.into_iter().rev() {
            let Some(gradient) = gathered.remove(&step.output) else { continue };
            for (id, gradient) in (step.backward)(&gradient, &mut gathered)? {
                put(&mut gathered, id, gradient)?;
            }
        }
        Ok(gathered)
    }
}

fn put(gathered: &mut Gathered, id: TensorId, gradient: Tensor) -> Result<()> {
    let gradient = match gathered.remove(&id) {
        Some(other) => add(&other, &gradient)?,
        None => gradient,
    };
    gathered.insert(id, gradient);
    Ok(())
}

impl Recording {
    /// One that begins with the argument of [`recomputed`], if that has a gradient.
    fn within(argument: Option<TensorId>) -> Self {
        Self { tracked: argument.into_iter().collect(), ..Self::default() }
    }

    fn tracks(&self, x: &Tensor) -> bool {
        x.track_op() || self.tracked.contains(&x.id())
    }

    fn save(&self, x: &Tensor) -> Saved {
        self.recipes.get(&x.id()).map_or_else(|| Saved::Kept(x.clone()), |recipe| Saved::Again(recipe.clone()))
    }

    /// Takes `y` out of candle's graph and keeps a step for it, if it is tracked.
    fn add(&mut self, y: &Tensor, inputs: &[&Tensor], backward: impl FnOnce(&Self) -> Backward) -> Tensor {
        let y = y.detach();
        if inputs.iter().any(|input| self.tracks(input)) {
            let backward = backward(self);
            self.tracked.insert(y.id());
            self.steps.push(Step { output: y.id(), backward });
        }
        y
    }
}

type Forward = Rc<dyn Fn(&[Tensor]) -> Result<Tensor>>;
type OperatorBackward = Box<dyn FnOnce(&[Tensor], &Tensor) -> Result<Vec<Option<Tensor>>>>;

/// Applies an operator, on the tape if one is recorded.
fn apply(
    inputs: &[&Tensor],
    (needs, made): (Needs, Made),
    forward: Forward,
    backward: impl FnOnce() -> OperatorBackward,
) -> Result<Tensor> {
    let arguments: Vec<Tensor> = inputs.iter().map(|&input| input.clone()).collect();
    let y = forward(&arguments)?;
    RECORDING.with_borrow_mut(|recording| {
        let Some(recording) = recording else { return Ok(y) };
        let y = recording.add(&y, inputs, |recording| {
            let targets: Vec<_> = arguments.iter().map(|input| recording.tracks(input).then(|| input.id())).collect();
            let saved = arguments.iter().enumerate().map(|(index, input)| {
                let is_needed = needs.include(index, &targets);
                if is_needed { recording.save(input) } else { Saved::Unneeded(input.dtype()) }
            });
            of_operator(saved.collect(), targets, backward())
        });
        if made == Made::Again {
            let saved: Vec<Saved> = arguments.iter().map(|input| recording.save(input)).collect();
            let recipe: Recipe = Rc::new(move || Ok(forward(&restore(&saved)?)?.detach()));
            recording.recipes.insert(y.id(), recipe);
        }
        Ok(y)
    })
}

/// The backward pass of an operator over `saved` arguments, whose gradients go to `targets`.
fn of_operator(saved: Vec<Saved>, targets: Vec<Option<TensorId>>, backward: OperatorBackward) -> Backward {
    Box::new(move |dy, gathered| {
        let arguments = restore(&saved)?;
        let tracked =
            || arguments.iter().zip(&targets).filter_map(|(argument, target)| Some((argument.id(), (*target)?)));
        let mut wanted = HashMap::new();
        for (argument, target) in tracked() {
            wanted.entry(argument).or_insert_with(|| gathered.remove(&target));
        }
        let outer = WANTED.replace(wanted);
        let gradients = backward(&arguments, dy);
        let mut left = WANTED.replace(outer);
        for (argument, target) in tracked() {
            gathered.extend(left.remove(&argument).flatten().map(|gradient| (target, gradient)));
        }
        let of_targets = targets.iter().zip(gradients?).filter_map(|(target, gradient)| target.zip(gradient));
        Ok(of_targets.collect())
    })
}

/// Applies `op`, on the tape if one is recorded.
pub(crate) fn apply1<O: CustomOp1 + Recorded + Send + Sync + 'static>(x: &Tensor, op: O) -> Result<Tensor> {
    let op: Arc<Box<dyn CustomOp1 + Send + Sync>> = Arc::new(Box::new(op));
    let again = op.clone();
    apply(&[x], (O::NEEDS, O::RESULT), Rc::new(move |x| Ok(x[0].apply_op1_arc(again.clone())?)), || {
        Box::new(move |x, dy| Ok(vec![op.bwd(&x[0], dy, dy)?]))
    })
}

/// Applies `op`, on the tape if one is recorded.
pub(crate) fn apply2<O: CustomOp2 + Recorded + Send + Sync + 'static>(a: &Tensor, b: &Tensor, op: O) -> Result<Tensor> {
    let op: Arc<Box<dyn CustomOp2 + Send + Sync>> = Arc::new(Box::new(op));
    let again = op.clone();
    apply(&[a, b], (O::NEEDS, O::RESULT), Rc::new(move |x| Ok(x[0].apply_op2_arc(&x[1], again.clone())?)), || {
        Box::new(move |x, dy| Ok(op.bwd(&x[0], &x[1], dy, dy).map(|(a, b)| vec![a, b])?))
    })
}

/// Applies `op`, on the tape if one is recorded.
pub(crate) fn apply3<O: CustomOp3 + Recorded + Send + Sync + 'static>(
    a: &Tensor,
    b: &Tensor,
    c: &Tensor,
    op: O,
) -> Result<Tensor> {
    let op: Arc<Box<dyn CustomOp3 + Send + Sync>> = Arc::new(Box::new(op));
    let again = op.clone();
    let forward = move |x: &[Tensor]| Ok(x[0].apply_op3_arc(&x[1], &x[2], again.clone())?);
    apply(&[a, b, c], (O::NEEDS, O::RESULT), Rc::new(forward), || {
        Box::new(move |x, dy| Ok(op.bwd(&x[0], &x[1], &x[2], dy, dy).map(|(a, b, c)| vec![a, b, c])?))
    })
}

/// `y`, which was made of `x` already, on the tape if one is recorded; `backward` gets `x` and the gradient of `y`.
pub(crate) fn made(
    x: &Tensor,
    y: Tensor,
    backward: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor> + 'static,
) -> Result<Tensor> {
    apply(&[x], (Needs::Arguments, Made::Once), Rc::new(move |_| Ok(y.clone())), || {
        Box::new(move |x, dy| Ok(vec![Some(backward(&x[0], dy)?)]))
    })
}

/// candle's `reshape`, on the tape if one is recorded.
///
/// # Errors
/// If the shapes hold different numbers of elements.
pub fn reshape(x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
    let (before, shape) = (x.shape().clone(), shape.into());
    apply(&[x], (Needs::Nothing, Made::Again), Rc::new(move |x| Ok(x[0].reshape(&shape)?)), || {
        Box::new(move |_, dy| Ok(vec![Some(dy.reshape(before)?)]))
    })
}

/// Two vectors as the rows of one matrix, on the tape if one is recorded; a gradient goes to those that are tracked.
///
/// # Shapes
/// (C) and (C) → (2, C).
///
/// # Errors
/// If the lengths differ.
pub fn rows(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply(&[a, b], (Needs::Nothing, Made::Once), Rc::new(|x| Ok(Tensor::stack(x, 0)?)), || {
        Box::new(|_, dy| Ok(vec![Some(dy.get(0)?), Some(dy.get(1)?)]))
    })
}

/// `forward` of `x`, of which only `x` is kept: in the backward pass `again` makes the same once more, and is recorded.
///
/// `again` differs from `forward` at most in what must not happen twice, as counting. Outside of [`record`] only
/// `forward` runs.
///
/// # Errors
/// Those of `forward`.
///
/// # Example
/// ```
/// use arcface_core::candle::{Device, Tensor, Var};
/// use arcface_core::ops::{add, tape::{record, recomputed}};
/// let x = Var::new(&[1.0, 2.0], &Device::Cpu)?;
/// let triple = |x: &Tensor| add(&add(x, x)?, x);
/// let (y, tape) = record(|| recomputed(&x, triple, triple))?;
/// let gradients = tape.backward(&y.ones_like()?)?;
/// assert_eq!(gradients.get(&x).unwrap().to_vec1::<f64>()?, [3.0, 3.0]);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn recomputed(
    x: &Tensor,
    forward: impl FnOnce(&Tensor) -> Result<Tensor>,
    again: impl FnOnce(&Tensor) -> Result<Tensor> + 'static,
) -> Result<Tensor> {
    let of_x = |outer: &Recording| (outer.save(x), outer.tracks(x).then(|| x.id()));
    let Some((saved, target)) = RECORDING.with_borrow(|outer| outer.as_ref().map(of_x)) else {
        return forward(x);
    };
    let (y, inner) = run(Recording::within(target), || forward(x))?;
    let is_tracked = inner.tracks(&y);
    // Its steps go, and with them what they keep.
    drop(inner);
    RECORDING.with_borrow_mut(|recording| {
        if let Some(recording) = recording.as_mut().filter(|_| is_tracked) {
            recording.tracked.insert(y.id());
            recording.steps.push(Step { output: y.id(), backward: of_whole(saved, target, again) });
        }
    });
    Ok(y)
}

/// The backward pass of [`recomputed`].
fn of_whole(
    saved: Saved,
    target: Option<TensorId>,
    again: impl FnOnce(&Tensor) -> Result<Tensor> + 'static,
) -> Backward {
    Box::new(move |dy, gathered| {
        let x = saved.restore()?;
        let (y, recording) = run(Recording::within(target.map(|_| x.id())), || again(&x))?;
        let of_x = target.and_then(|target| Some((x.id(), gathered.remove(&target)?)));
        let gradients = Tape { steps: recording.steps, output: y.id() }.gradients(dy, of_x.into_iter().collect())?;
        let renamed = |id| target.filter(|_| id == x.id()).unwrap_or(id);
        Ok(gradients.into_iter().map(|(id, gradient)| (renamed(id), gradient)).collect())
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::*;
    use crate::ops::{
        ConvConfig, batch_norm_add_train, batch_norm_eval, batch_norm_prelu_train, batch_norm_train, conv2d, linear,
        prelu,
    };
    use crate::testing::{difference, normal};

    fn var(shape: &[usize], index: u64) -> Var {
        Var::from_tensor(&normal(shape, DType::F64, index).unwrap()).unwrap()
    }

    /// Convolution, batch norm, `PReLU`, shortcut, fully connected: every way of recording.
    fn chain(vars: &[Var]) -> Result<Tensor> {
        let [x, kernel, gamma, beta, slope, weight, bias] = vars else { unreachable!() };
        let y = conv2d(x, kernel, ConvConfig { padding: 1, ..ConvConfig::default() })?;
        let (y, _) = batch_norm_train(&y, &rows(gamma, beta)?, 1e-5)?;
        let y = add(&prelu(&y, slope)?, x)?;
        linear(&reshape(&y, (2, 27))?, weight, Some(bias))
    }

    #[test]
    fn gradients_are_those_of_candle() {
        let shapes: [&[usize]; 7] = [&[2, 3, 3, 3], &[3, 3, 3, 3], &[3], &[3], &[3], &[4, 27], &[4]];
        let vars: Vec<Var> = shapes.iter().zip(0..).map(|(shape, index)| var(shape, index)).collect();
        let weights = normal(&[2, 4], DType::F64, 9).unwrap();
        let expected = chain(&vars).unwrap().mul(&weights).unwrap().sum_all().unwrap().backward().unwrap();
        let (y, tape) = record(|| chain(&vars)).unwrap();
        assert!(!y.track_op());
        let got = tape.backward(&weights).unwrap();
        for var in &vars {
            assert!(difference(got.get(var).unwrap(), expected.get(var).unwrap()).unwrap() < 1e-12);
        }
    }

    #[test]
    fn a_part_that_is_recomputed_has_the_same_gradients() {
        let vars: Vec<Var> =
            [[2, 3, 3, 3], [3, 3, 3, 3]].iter().zip(0..).map(|(shape, index)| var(shape, index)).collect();
        let slope = var(&[3], 2);
        let part = |kernel: &Var, slope: &Var| {
            let (kernel, slope) = (kernel.clone(), slope.clone());
            move |x: &Tensor| {
                let y = prelu(&conv2d(x, &kernel, ConvConfig { padding: 1, ..ConvConfig::default() })?, &slope)?;
                add(&y, x)
            }
        };
        let part = || part(&vars[1], &slope);
        let whole = |x: &Tensor| conv2d(&prelu(x, &slope)?, &vars[1], ConvConfig::default());
        let weights = normal(&[2, 1, 1, 3], DType::F64, 9).unwrap();
        let plain = record(|| whole(&part()(&prelu(&vars[0], &slope)?)?)).unwrap();
        let ran = std::cell::Cell::new(0);
        let counted = |x: &Tensor| {
            ran.set(ran.get() + 1);
            part()(x)
        };
        // Its argument is one that is made again, too.
        let short = record(|| whole(&recomputed(&prelu(&vars[0], &slope)?, counted, part())?)).unwrap();
        assert_eq!((ran.get(), crate::testing::difference(&plain.0, &short.0).unwrap()), (1, 0.0));
        let [plain, short] = [plain, short].map(|(_, tape)| tape.backward(&weights).unwrap());
        for var in vars.iter().chain([&slope]) {
            assert!(difference(short.get(var).unwrap(), plain.get(var).unwrap()).unwrap() < 1e-14);
        }
    }

    /// Shortcuts around batch norms of every kind, one of them by a convolution, one around another.
    #[test]
    fn what_shortcuts_bring_is_added_to() {
        let shapes: [&[usize]; 4] = [&[2, 3, 3, 3], &[2, 3], &[3], &[1, 1, 3, 3]];
        let vars: Vec<Var> = shapes.iter().zip(0..).map(|(shape, index)| var(shape, index)).collect();
        let statistics = normal(&[2, 3], DType::F64, 8).unwrap().abs().unwrap();
        let blocks = |vars: &[Var]| {
            let [x, affine, slope, kernel] = vars else { unreachable!() };
            let x = batch_norm_add_train(x, affine, x, 1e-5)?.0;
            let by_conv = conv2d(&x, kernel, ConvConfig::default())?;
            let x = add(&batch_norm_eval(&x, affine, &statistics, 1e-5)?, &by_conv)?;
            let inner = add(&batch_norm_prelu_train(&x, affine, slope, 1e-5)?.0, &x)?;
            add(&batch_norm_train(&inner, affine, 1e-5)?.0, &add(&inner, &x)?)
        };
        let weights = normal(&[2, 3, 3, 3], DType::F64, 9).unwrap();
        let expected = blocks(&vars).unwrap().mul(&weights).unwrap().sum_all().unwrap().backward().unwrap();
        let (_, tape) = record(|| blocks(&vars)).unwrap();
        let got = tape.backward(&weights).unwrap();
        for var in &vars {
            assert!(difference(got.get(var).unwrap(), expected.get(var).unwrap()).unwrap() < 1e-12);
        }
        assert!(WANTED.with_borrow(HashMap::is_empty));
    }

    #[test]
    fn what_is_cheap_is_not_kept() {
        let (x, kernel, slope) = (var(&[2, 3, 3, 3], 0), var(&[1, 1, 3, 3], 1), var(&[3], 2));
        let kept = |again: bool| {
            let (_, tape) = record(|| {
                let y = conv2d(&x, &kernel, ConvConfig::default())?;
                let y = if again { prelu(&y, &slope)? } else { y };
                conv2d(&y, &kernel, ConvConfig::default())
            })
            .unwrap();
            tape.backward(&x.ones_like().unwrap()).unwrap()
        };
        assert!(kept(true).get(&slope).is_some() && kept(false).get(&slope).is_none());
    }

    #[test]
    fn a_product_keeps_only_what_gradients_are_asked_for() {
        let (x, weight) = (var(&[2, 3], 0), var(&[4, 3], 1));
        let saved = |x: &Tensor, weight: &Tensor| {
            let needs = [x, weight].map(|input| input.track_op().then(|| input.id()));
            [0, 1].map(|index| Needs::Others.include(index, &needs))
        };
        let constant = |var: &Var| var.as_detached_tensor();
        assert_eq!(saved(&x, &weight), [true, true]);
        assert_eq!(saved(&x, &constant(&weight)), [false, true]);
        assert_eq!(saved(&constant(&x), &weight), [true, false]);
        let (y, tape) = record(|| linear(&x, &constant(&weight), None)).unwrap();
        let gradients = tape.backward(&y).unwrap();
        let expected = y.matmul(&constant(&weight)).unwrap();
        assert!(difference(gradients.get(&x).unwrap(), &expected).unwrap() < 1e-12);
    }

    #[test]
    fn what_is_not_tracked_has_no_gradient() {
        let (x, constant) = (var(&[3], 0), var(&[3], 1).as_detached_tensor());
        let (y, tape) = record(|| add(&x, &rows(&constant, &constant)?.get(0)?)).unwrap();
        let gradients = tape.backward(&y).unwrap();
        assert!(gradients.get(&x).is_some() && gradients.get(&constant).is_none());
    }

    #[test]
    fn nothing_is_recorded_outside_or_after_a_failure() {
        assert!(record(|| add(&var(&[3], 0), &var(&[4], 1))).is_err());
        assert!(RECORDING.with_borrow(Option::is_none));
    }
}
