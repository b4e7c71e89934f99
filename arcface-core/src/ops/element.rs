//! The element types of the operators, f32 and f64, and how a kernel gets at a tensor's values.
//! Knows no operator.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Debug;
use std::iter::Sum;
use std::ops::Neg;

use candle_core::{CpuStorage, DType, Layout, Tensor, WithDType};

use super::exponential::Exponential;
use crate::{Error, Result};

/// A floating-point type that every operator works in.
pub trait Element: WithDType + Debug + Default + Exponential + Neg<Output = Self> + Sum {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;

    /// √x.
    #[must_use]
    fn sqrt(self) -> Self;
    /// |x|.
    #[must_use]
    fn abs(self) -> Self;
    /// eˣ.
    #[must_use]
    fn exp(self) -> Self;
    /// ln x.
    #[must_use]
    fn ln(self) -> Self;
    /// a·b + c with one rounding; slow where the processor has no instruction for it.
    #[must_use]
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;

    /// Runs `work` with `len` elements of this thread's own scratch memory, which hold anything.
    ///
    /// The memory is kept for the next call, so that inner loops allocate nothing; a call within `work` gets other memory.
    fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [Self]) -> R) -> R;
}

macro_rules! element {
    ($float:ident) => {
        impl Element for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;

            #[inline]
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
            #[inline]
            fn abs(self) -> Self {
                $float::abs(self)
            }
            #[inline]
            fn exp(self) -> Self {
                $float::exp(self)
            }
            #[inline]
            fn ln(self) -> Self {
                $float::ln(self)
            }
            #[inline(always)]
            #[allow(clippy::inline_always, reason = "an instruction only where the caller is compiled for it")]
            fn mul_add(self, b: Self, c: Self) -> Self {
                $float::mul_add(self, b, c)
            }
            #[inline]
            fn is_finite(self) -> bool {
                $float::is_finite(self)
            }

            fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [Self]) -> R) -> R {
                thread_local! {
                    static SCRATCH: RefCell<Vec<$float>> = const { RefCell::new(Vec::new()) };
                }
                let mut scratch = SCRATCH.take();
                if scratch.len() < len {
                    scratch.resize(len, Self::ZERO);
                }
                let result = work(&mut scratch[..len]);
                SCRATCH.set(scratch);
                result
            }
        }
    };
}
element!(f32);
element!(f64);

/// Runs a body with a type name bound to the [`Element`] of a dtype; the other dtypes are an error that names the
/// operator.
///
/// ```
/// use arcface_core::{Result, ops::element::Element, with_element};
/// use candle_core::DType;
/// fn width(dtype: DType) -> Result<usize> {
///     with_element!(dtype, "width", T => Ok(size_of::<T>()))
/// }
/// assert_eq!(width(DType::F64)?, 8);
/// assert_eq!(width(DType::U8).unwrap_err().to_string(), "width: expected dtype f32 or f64, got u8");
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[macro_export]
macro_rules! with_element {
    ($dtype:expr, $operator:expr, $element:ident => $body:expr) => {
        match $dtype {
            $crate::candle::DType::F32 => {
                type $element = f32;
                $body
            }
            $crate::candle::DType::F64 => {
                type $element = f64;
                $body
            }
            other => Err(From::from($crate::ops::element::unsupported($operator, other))),
        }
    };
}

/// The error for a dtype that no operator works in.
pub fn unsupported(what: &str, dtype: DType) -> Error {
    Error::value(what, "dtype f32 or f64", dtype.as_str())
}

/// Checks that `tensor` is one the operators take: f32 or f64 on the CPU, f32 or bf16 on a CUDA device, not empty.
///
/// # Errors
/// If it is not; the message begins with `what`.
pub fn check_operand(what: &str, tensor: &Tensor) -> Result<()> {
    if has_cuda(tensor) {
        if !matches!(tensor.dtype(), DType::F32 | DType::BF16) {
            return Err(Error::value(what, "dtype f32 or bf16 on a CUDA device", tensor.dtype().as_str()));
        }
    } else if !matches!(tensor.dtype(), DType::F32 | DType::F64) {
        return Err(unsupported(what, tensor.dtype()));
    } else if !tensor.device().is_cpu() {
        return Err(Error::value(what, "a tensor on the CPU", format!("{:?}", tensor.device().location())));
    }
    if tensor.elem_count() == 0 {
        return Err(Error::shape(what, "without a zero", tensor.dims()));
    }
    Ok(())
}

/// Checks that a parameter on a CUDA device is f32, whatever the activations beside it are.
pub(crate) fn check_parameter(what: &str, tensor: &Tensor) -> Result<()> {
    if has_cuda(tensor) && tensor.dtype() != DType::F32 {
        return Err(Error::value(what, "dtype f32 on a CUDA device", tensor.dtype().as_str()));
    }
    Ok(())
}

/// Whether `tensor` is on a device that only the operators for CUDA can use; never in a build without them.
pub(crate) fn has_cuda(tensor: &Tensor) -> bool {
    cfg!(feature = "cuda") && tensor.device().is_cuda()
}

/// Checks [`check_operand`] for each and that all are on the device of the first and have its dtype; beside activations
/// in bf16 stand parameters in f32.
///
/// # Errors
/// If one is not fit or they differ.
pub fn check_operands(operands: &[(&str, &Tensor)]) -> Result<()> {
    for (what, tensor) in operands {
        check_operand(what, tensor)?;
        let (name, first) = operands[0];
        let fits = match first.dtype() {
            DType::BF16 => matches!(tensor.dtype(), DType::BF16 | DType::F32),
            dtype => tensor.dtype() == dtype,
        };
        if !fits {
            let expected = format!("dtype {} as {name} has", first.dtype().as_str());
            return Err(Error::value(*what, expected, tensor.dtype().as_str()));
        }
        if !tensor.device().same_device(first.device()) {
            let expected = format!("a tensor on {:?} as {name} is", first.device().location());
            return Err(Error::value(*what, expected, format!("{:?}", tensor.device().location())));
        }
    }
    Ok(())
}

/// The values of a CPU tensor in row-major order: borrowed if they lie so, else copied.
///
/// # Errors
/// If the storage is of another dtype.
pub fn values<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<Cow<'a, [T]>> {
    let data = T::cpu_storage_as_slice(storage)?;
    Ok(match layout.contiguous_offsets() {
        Some((start, end)) => Cow::Borrowed(&data[start..end]),
        None => Cow::Owned(gather(data, layout)),
    })
}

/// The storage that holds `values`.
pub fn storage<T: Element>(values: Vec<T>) -> CpuStorage {
    T::to_cpu_storage_owned(values)
}

/// The values of a layout with gaps, repetitions or another order of dimensions, in row-major order.
fn gather<T: Element>(data: &[T], layout: &Layout) -> Vec<T> {
    let mut values = Vec::with_capacity(layout.shape().elem_count());
    gather_from(data, layout.start_offset(), layout.dims(), layout.stride(), &mut values);
    values
}

fn gather_from<T: Element>(data: &[T], start: usize, dims: &[usize], strides: &[usize], values: &mut Vec<T>) {
    match (dims, strides) {
        ([], _) | (_, []) => values.push(data[start]),
        ([len], [1]) => values.extend_from_slice(&data[start..start + len]),
        ([len], [stride]) => values.extend((0..*len).map(|i| data[start + i * stride])),
        ([len, dims @ ..], [stride, strides @ ..]) => {
            for i in 0..*len {
                gather_from(data, start + i * stride, dims, strides, values);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{CustomOp1, Device, Shape};

    use super::*;

    /// Returns the values of its argument as a kernel sees them.
    struct Seen;

    impl CustomOp1 for Seen {
        fn name(&self) -> &'static str {
            "seen"
        }
        fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
            Ok((storage(values::<f64>(s, l)?.into_owned()), l.shape().clone()))
        }
    }

    #[test]
    fn kernels_see_any_layout_in_row_major_order() {
        let x = Tensor::arange(0.0, 24.0, &Device::Cpu).unwrap().reshape((2, 3, 4)).unwrap();
        let permuted = x.permute((2, 0, 1)).unwrap();
        let narrow = x.narrow(1, 1, 2).unwrap().transpose(0, 1).unwrap();
        let broadcast = x.narrow(0, 1, 1).unwrap().broadcast_as((5, 3, 4)).unwrap();
        let scalar = x.get(1).unwrap().get(2).unwrap().get(3).unwrap();
        for view in [x, permuted, narrow, broadcast, scalar] {
            let expected = view.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            assert_eq!(
                view.apply_op1_no_bwd(&Seen).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap(),
                expected
            );
        }
    }
}
