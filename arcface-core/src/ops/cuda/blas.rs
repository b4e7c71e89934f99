//! Products of row-major matrices by cuBLAS.
//! Knows no operator.

use std::ffi::{c_int, c_void};

use candle_core::DType;
use candle_core::cuda_backend::cudarc::cublas::{result, sys};

use super::machine::Machine;
use super::memory::Pointer;
use crate::ops::precision::Math;
use crate::{Error, Result};

/// A factor without gaps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factor {
    pointer: Pointer,
    /// Of a row as it lies in memory.
    len: usize,
    is_transposed: bool,
}

impl Factor {
    /// Rows of `len` values.
    pub(super) fn new(pointer: Pointer, len: usize) -> Self {
        Self { pointer, len, is_transposed: false }
    }

    /// What lies there, seen the other way round.
    pub(super) fn transposed(self) -> Self {
        Self { is_transposed: !self.is_transposed, ..self }
    }

    fn operation(self) -> sys::cublasOperation_t {
        if self.is_transposed { sys::cublasOperation_t::CUBLAS_OP_T } else { sys::cublasOperation_t::CUBLAS_OP_N }
    }
}

/// The rows of the first factor, what both share, and the columns of the second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) rows: usize,
    pub(super) inner: usize,
    pub(super) columns: usize,
}

/// A·B of factors of `dtype` (f32 or bf16) to memory of `to`, with sums in f32.
///
/// # Safety
/// The factors must point to values of `dtype` in the sizes told, `product` to room for rows times columns of `to`.
#[allow(unsafe_code)]
pub(super) unsafe fn multiply(
    machine: &Machine,
    Sizes { rows, inner, columns }: Sizes,
    (a, b, dtype): (Factor, Factor, DType),
    (product, to): (Pointer, DType),
) -> Result<()> {
    let [m, n, k, a_len, b_len] = [columns, rows, inner, a.len, b.len].map(|size| size as c_int);
    let compute = match (dtype, Math::now()) {
        (DType::F32, Math::Tf32) => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        _ => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
    };
    let (one, zero) = (1f32, 0f32);
    let (one, zero): (*const c_void, *const c_void) = ((&raw const one).cast(), (&raw const zero).cast());
    let (dtype, to) = (type_of(dtype), type_of(to));
    machine.bind()?;
    // cuBLAS has columns where we have rows: it sees all transposed, and so the factors in the other order.
    // SAFETY: as the caller says; the handle lives as long as the device, which the machine holds.
    unsafe {
        result::gemm_ex(
            *machine.device().cublas_handle().handle(),
            b.operation(),
            a.operation(),
            m,
            n,
            k,
            one,
            b.pointer.as_ptr(),
            dtype,
            b_len,
            a.pointer.as_ptr(),
            dtype,
            a_len,
            zero,
            product.as_mut_ptr(),
            to,
            m,
            compute,
            sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT_TENSOR_OP,
        )
    }
    .map_err(|error| Error::Invalid(format!("cuBLAS: product ({rows}, {inner})·({inner}, {columns}): {error:?}")))
}

fn type_of(dtype: DType) -> sys::cudaDataType {
    if dtype == DType::BF16 { sys::cudaDataType::CUDA_R_16BF } else { sys::cudaDataType::CUDA_R_32F }
}
