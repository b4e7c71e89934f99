//! The sum of two tensors of one shape, as shortcuts need it.
//! Knows no broadcasting.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};

use super::element::{Element, check_operands, storage, values};
use super::parallel::{CHUNK, build};
use super::tape::{self, Needs, Recorded, is_wanted};
use crate::{Error, Result, multiversion, shape, with_element};

/// a + b; the gradient passes to both unchanged.
///
/// # Shapes
/// `a`, `b` and the result are of one shape.
///
/// # Errors
/// If shapes or types differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    shape::exactly(b, "second summand", "the first's shape", a.dims())?;
    check_operands(&[("first summand", a), ("second summand", b)])?;
    if a.dtype() != b.dtype() {
        let expected = format!("dtype {} as the first has", a.dtype().as_str());
        return Err(Error::value("second summand", expected, b.dtype().as_str()));
    }
    tape::apply2(a, b, Add)
}

struct Add;

impl Recorded for Add {
    const NEEDS: Needs = Needs::Nothing;
}

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
        let sum = with_element!(a.dtype(), "add", T => {
            values(a, a_layout).and_then(|a| Ok(storage(sum::<T>(&a, &values(b, b_layout)?))))
        });
        Ok((sum?, a_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        super::cuda::elementwise::add((a, a_layout), (b, b_layout))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _sum: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let of = |summand: &Tensor| is_wanted(summand).then(|| gradient.clone());
        Ok((of(a), of(b)))
    }
}

fn sum<T: Element>(a: &[T], b: &[T]) -> Vec<T> {
    build(a.len(), CHUNK, || (), |(), index, sum| add_values(&a[index * CHUNK..], &b[index * CHUNK..], sum))
}

multiversion! {
    fn add_values[T: Element](a: &[T], b: &[T], sum: &mut [T]) {
        for ((sum, &a), &b) in sum.iter_mut().zip(a).zip(b) {
            *sum = a + b;
        }
    }
}
