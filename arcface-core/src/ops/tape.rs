//! A tape of operators: the backward pass of a chain of our own operators without candle's gradient store.
//! Knows no operator by name, only candle's `CustomOp` traits.
//!
//! Candle begins every gradient as zeros and adds to it, in whole passes over memory; a tape moves a gradient to where
//! it belongs and adds only where two meet. It lets go of each activation as soon as its gradient is done.
//! Outside of [`record`] operators cost what they cost without it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{CustomOp1, CustomOp2, CustomOp3, Shape, Tensor, TensorId};

use super::add::add;
use crate::Result;

/// Gradients of a step's inputs from the gradient of its output.
type Backward = Box<dyn FnOnce(&Tensor) -> Result<Vec<Option<Tensor>>>>;

/// One operator as it was applied.
struct Step {
    inputs: Vec<TensorId>,
    output: TensorId,
    backward: Backward,
}

thread_local! {
    /// The steps of this thread while [`record`] runs.
    static STEPS: RefCell<Option<Vec<Step>>> = const { RefCell::new(None) };
}

/// The operators that led to one output.
pub struct Tape {
    steps: Vec<Step>,
    output: Tensor,
}

/// Runs `forward` and records the operators it applies on this thread; the first result is outside of candle's graph.
///
/// Only operators of this crate and [`reshape`] and [`rows`] are recorded: what `forward` does with candle's own ends
/// the way of a gradient.
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
    let outer = STEPS.replace(Some(Vec::new()));
    let output = forward();
    let steps = STEPS.replace(outer).unwrap_or_default();
    let output = output?;
    Ok((output.detach(), Tape { steps, output }))
}

impl Tape {
    /// Gradients of the variables that went in, given the `gradient` of what came out.
    ///
    /// # Errors
    /// If an operator fails.
    pub fn backward(self, gradient: &Tensor) -> Result<GradStore> {
        let mut gradients = HashMap::from([(self.output.id(), gradient.clone())]);
        drop(self.output);
        for step in self.steps.into_iter().rev() {
            let Some(gradient) = gradients.remove(&step.output) else { continue };
            for (input, gradient) in step.inputs.into_iter().zip((step.backward)(&gradient)?) {
                put(&mut gradients, input, gradient)?;
            }
        }
        let mut store = GradStore::default();
        for (id, gradient) in gradients {
            store.insert_id(id, gradient);
        }
        Ok(store)
    }
}

fn put(gradients: &mut HashMap<TensorId, Tensor>, id: TensorId, gradient: Option<Tensor>) -> Result<()> {
    let Some(gradient) = gradient else { return Ok(()) };
    let gradient = match gradients.remove(&id) {
        Some(other) => add(&other, &gradient)?,
        None => gradient,
    };
    gradients.insert(id, gradient);
    Ok(())
}

/// Keeps a step if one is to be kept; `backward` is made only then.
fn keep(inputs: &[&Tensor], output: &Tensor, backward: impl FnOnce() -> Backward) {
    STEPS.with_borrow_mut(|steps| {
        if let Some(steps) = steps {
            let inputs = inputs.iter().map(|input| input.id()).collect();
            steps.push(Step { inputs, output: output.id(), backward: backward() });
        }
    });
}

/// Applies `op`, on the tape if one is recorded.
pub(crate) fn apply1(x: &Tensor, op: impl CustomOp1 + Send + Sync + 'static) -> Result<Tensor> {
    let op: Arc<Box<dyn CustomOp1 + Send + Sync>> = Arc::new(Box::new(op));
    let y = x.apply_op1_arc(op.clone())?;
    keep(&[x], &y, || {
        let (x, y) = (x.clone(), y.clone());
        Box::new(move |dy| Ok(vec![op.bwd(&x, &y, dy)?]))
    });
    Ok(y)
}

/// Applies `op`, on the tape if one is recorded.
pub(crate) fn apply2(a: &Tensor, b: &Tensor, op: impl CustomOp2 + Send + Sync + 'static) -> Result<Tensor> {
    let op: Arc<Box<dyn CustomOp2 + Send + Sync>> = Arc::new(Box::new(op));
    let y = a.apply_op2_arc(b, op.clone())?;
    keep(&[a, b], &y, || {
        let (a, b, y) = (a.clone(), b.clone(), y.clone());
        Box::new(move |dy| op.bwd(&a, &b, &y, dy).map(|(da, db)| vec![da, db]).map_err(Into::into))
    });
    Ok(y)
}

/// Applies `op`, on the tape if one is recorded.
pub(crate) fn apply3(a: &Tensor, b: &Tensor, c: &Tensor, op: impl CustomOp3 + Send + Sync + 'static) -> Result<Tensor> {
    let op: Arc<Box<dyn CustomOp3 + Send + Sync>> = Arc::new(Box::new(op));
    let y = a.apply_op3_arc(b, c, op.clone())?;
    keep(&[a, b, c], &y, || {
        let (a, b, c, y) = (a.clone(), b.clone(), c.clone(), y.clone());
        Box::new(move |dy| op.bwd(&a, &b, &c, &y, dy).map(|(da, db, dc)| vec![da, db, dc]).map_err(Into::into))
    });
    Ok(y)
}

/// candle's `reshape`, on the tape if one is recorded.
///
/// # Errors
/// If the shapes hold different numbers of elements.
pub fn reshape(x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
    let y = x.reshape(shape.into())?;
    keep(&[x], &y, || {
        let shape = x.shape().clone();
        Box::new(move |dy| Ok(vec![Some(dy.reshape(shape)?)]))
    });
    Ok(y)
}

/// Two vectors as the rows of one matrix, on the tape if one is recorded; a gradient goes to those that are tracked.
///
/// # Shapes
/// (C) and (C) → (2, C).
///
/// # Errors
/// If the lengths differ.
pub fn rows(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let y = Tensor::stack(&[a, b], 0)?;
    keep(&[a, b], &y, || {
        let tracked = [a.track_op(), b.track_op()];
        let row = move |dy: &Tensor, index: usize| tracked[index].then(|| dy.get(index)).transpose();
        Box::new(move |dy| Ok(vec![row(dy, 0)?, row(dy, 1)?]))
    });
    Ok(y)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::*;
    use crate::ops::{ConvConfig, batch_norm_train, conv2d, linear, prelu};
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
    fn what_is_not_tracked_has_no_gradient() {
        let (x, constant) = (var(&[3], 0), var(&[3], 1).as_detached_tensor());
        let (y, tape) = record(|| add(&x, &rows(&constant, &constant)?.get(0)?)).unwrap();
        let gradients = tape.backward(&y).unwrap();
        assert!(gradients.get(&x).is_some() && gradients.get(&constant).is_none());
    }

    #[test]
    fn nothing_is_recorded_outside_or_after_a_failure() {
        assert!(record(|| add(&var(&[3], 0), &var(&[4], 1))).is_err());
        assert!(STEPS.with_borrow(Option::is_none));
    }
}
