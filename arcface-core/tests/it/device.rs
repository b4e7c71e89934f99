//! The same tests over every device: what a CUDA device works out is what the CPU does, in values and gradients.
//! Know no kernel. Where there is no device they say so and pass.

mod operators;
mod optimisers;

use std::sync::{OnceLock, PoisonError, RwLock};

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_core::ops::{set_tf32, tape};
use arcface_core::testing::{bits, difference, normal};
use arcface_core::{Result, candle};

/// All devices but the CPU that there are.
pub(crate) fn devices() -> Vec<Device> {
    static FOUND: OnceLock<Option<Device>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let found = Device::new_cuda_with_stream(0);
        found
            .inspect_err(|error| {
                #[allow(clippy::print_stderr, reason = "for who reads why nothing was tested")]
                {
                    eprintln!("skipped: no CUDA device: {error}");
                }
            })
            .ok()
    });
    found.iter().cloned().collect()
}

/// How products are rounded holds for the whole process: who changes it must be alone.
static PRECISION: RwLock<()> = RwLock::new(());

/// Runs `work` while products of f32 are not rounded.
pub(crate) fn in_full<T>(work: impl FnOnce() -> T) -> T {
    let _shared = PRECISION.read().unwrap_or_else(PoisonError::into_inner);
    work()
}

/// Runs `work` while factors of f32 may be rounded to tf32.
fn in_tf32(work: impl FnOnce()) {
    let _alone = PRECISION.write().unwrap_or_else(PoisonError::into_inner);
    set_tf32(true);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    set_tf32(false);
    done.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
}

/// A device with the type that its activations have.
#[derive(Debug, Clone)]
struct Side {
    device: Device,
    activations: DType,
}

fn sides() -> Vec<Side> {
    let types =
        |device: Device| [DType::F32, DType::BF16].map(|activations| Side { device: device.clone(), activations });
    devices().into_iter().flat_map(types).collect()
}

impl Side {
    fn cpu() -> Self {
        Self { device: Device::Cpu, activations: DType::F32 }
    }

    fn tolerance(&self) -> f64 {
        if self.activations == DType::BF16 { 2e-2 } else { 1e-4 }
    }

    fn brought(&self, input: &Input) -> Tensor {
        let dtype = if input.kind == Kind::Activation { self.activations } else { DType::F32 };
        input.values.to_dtype(dtype).unwrap().to_device(&self.device).unwrap()
    }
}

/// An argument of an operator, f32 on the CPU.
#[derive(Debug, Clone)]
struct Input {
    values: Tensor,
    kind: Kind,
    is_tracked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Activation,
    Parameter,
}

impl Input {
    fn constant(self) -> Self {
        Self { is_tracked: false, ..self }
    }
}

fn activation(shape: &[usize], index: u64) -> Input {
    Input { values: normal(shape, DType::F32, index).unwrap(), kind: Kind::Activation, is_tracked: true }
}

fn parameter(shape: &[usize], index: u64) -> Input {
    Input { kind: Kind::Parameter, ..activation(shape, index) }
}

/// Values that can be variances.
fn positive(shape: &[usize], index: u64) -> Input {
    let input = parameter(shape, index);
    Input { values: input.values.abs().unwrap().affine(1.0, 0.1).unwrap(), ..input }
}

/// On the CPU, in f32.
fn home(tensor: &Tensor) -> Tensor {
    tensor.to_device(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap()
}

/// In f32, but no finer than `dtype`.
fn rounded(tensor: &Tensor, dtype: DType) -> Tensor {
    tensor.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap()
}

/// An operator over its arguments.
trait Operator: Fn(&[Tensor]) -> Result<Tensor> {}
impl<F: Fn(&[Tensor]) -> Result<Tensor>> Operator for F {}

/// How gradients are asked for.
#[derive(Debug, Clone, Copy)]
enum Way {
    Candle,
    Tape,
}

/// The result of `f` and its gradients by all tracked inputs, for fixed random gradients of the result.
fn pass(side: &Side, inputs: &[Input], rounding: DType, way: Way, f: &impl Operator) -> candle::Result<Vec<Tensor>> {
    let vars = inputs
        .iter()
        .map(|input| Ok((Var::from_tensor(&side.brought(input))?, input.is_tracked)))
        .collect::<candle::Result<Vec<_>>>()?;
    let arguments: Vec<Tensor> = vars
        .iter()
        .map(|(var, tracked)| if *tracked { var.as_tensor().clone() } else { var.as_detached_tensor() })
        .collect();
    let dy = |y: &Tensor| rounded(&normal(y.dims(), DType::F32, 77).unwrap(), rounding).to_device(&side.device);
    let (y, store) = match way {
        Way::Candle => {
            let y = f(&arguments)?;
            let store = y.to_dtype(DType::F32)?.mul(&dy(&y)?)?.sum_all()?.backward()?;
            (y.detach(), store)
        }
        Way::Tape => {
            let (y, tape) = tape::record(|| f(&arguments))?;
            let store = tape.backward(&dy(&y)?.to_dtype(y.dtype())?)?;
            (y, store)
        }
    };
    let mut results = vec![y];
    for (index, (var, _)) in vars.iter().enumerate().filter(|(_, (_, tracked))| *tracked) {
        let gradient = store.get(var).unwrap_or_else(|| panic!("{way:?}: no gradient by input {index}"));
        assert_eq!((gradient.dims(), gradient.dtype()), (var.dims(), var.dtype()), "gradient by input {index}");
        results.push(gradient.clone());
    }
    Ok(results)
}

/// That values and gradients of `f` are those of the CPU on every side, and the same bytes every time.
fn check(name: &str, inputs: &[Input], f: impl Operator) {
    in_full(|| check_by(&[Way::Candle, Way::Tape], name, inputs, 1e-4, f));
}

/// As [`check`], where an operator of candle's own is among those of `f`, which no tape records.
fn check_without_tape(name: &str, inputs: &[Input], f: impl Operator) {
    in_full(|| check_by(&[Way::Candle], name, inputs, 1e-4, f));
}

/// `tolerance` is that of f32.
fn check_by(ways: &[Way], name: &str, inputs: &[Input], tolerance: f64, f: impl Operator) {
    for side in sides() {
        let inputs = inputs.iter().cloned().map(|input| match input.kind {
            Kind::Activation => Input { values: rounded(&input.values, side.activations), ..input },
            Kind::Parameter => input,
        });
        let (inputs, tolerance): (Vec<Input>, _) = (inputs.collect(), tolerance.max(side.tolerance()));
        let expected = pass(&Side::cpu(), &inputs, side.activations, Way::Candle, &f).unwrap();
        for &way in ways {
            let run = || pass(&side, &inputs, side.activations, way, &f).unwrap_or_else(|e| panic!("{name}: {e}"));
            let (got, again) = (run(), run());
            for (index, ((got, again), expected)) in got.iter().zip(&again).zip(&expected).enumerate() {
                let far = difference(&home(got), expected).unwrap();
                let dtype = side.activations;
                assert!(far < tolerance, "{name}: result {index} in {dtype:?} by {way:?} is off by {far:e}");
                assert_eq!(bits(&home(got)).unwrap(), bits(&home(again)).unwrap(), "{name}: result {index}, twice");
            }
        }
    }
}
