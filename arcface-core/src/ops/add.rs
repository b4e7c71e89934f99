//! The sum of two tensors of one shape, as shortcuts need it.
//! Knows no broadcasting.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

use super::rows::{CHUNK, fresh, same_type, slice, typed};
use crate::{Result, shape};

/// a + b; the gradient passes to both unchanged.
///
/// # Shapes
/// `a`, `b` and the result are of one shape.
///
/// # Errors
/// If shapes or types differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    shape::exactly(b, "second summand", "the first's shape", a.dims())?;
    same_type(a, b, "second summand")?;
    Ok(a.contiguous()?.apply_op2(&b.contiguous()?, Add)?)
}

struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sum = typed!(a.dtype(), "first summand", T => {
            slice::<T>(a, a_layout).and_then(|a| Ok(T::to_cpu_storage_owned(sum(a, slice(b, b_layout)?))))
        });
        Ok((sum?, a_layout.shape().clone()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _sum: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let of = |summand: &Tensor| summand.track_op().then(|| gradient.clone());
        Ok((of(a), of(b)))
    }
}

fn sum<T: WithDType>(a: &[T], b: &[T]) -> Vec<T> {
    let (sum, _) = fresh(a.len(), CHUNK, |start, sum: &mut [T]| {
        for ((sum, &a), &b) in sum.iter_mut().zip(&a[start..]).zip(&b[start..]) {
            *sum = a + b;
        }
    });
    sum
}
