//! Which algorithms cuDNN has for a pass of a convolution, the fastest first, and what memory they take.
//! Knows no values; what it tries, it tries on the operands that it is given.

use std::ffi::c_int;

use candle_core::DType;
use candle_core::cuda_backend::cudarc::cudnn::{CudnnError, result, sys};

use super::cudnn::{Descriptors, Operands, Pass, WORKSPACE};
use super::memory::Pointer;
use crate::ops::precision::Math;

/// An algorithm of one of the passes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    InputGradient(sys::cudnnConvolutionBwdDataAlgo_t),
    FilterGradient(sys::cudnnConvolutionBwdFilterAlgo_t),
}

/// What cuDNN says of an algorithm.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) algorithm: Algorithm,
    pub(super) math: sys::cudnnMathType_t,
    works: bool,
    is_deterministic: bool,
    /// Bytes of workspace.
    memory: usize,
}

impl Candidate {
    /// Whether it may be used: the same bytes every time, factors no shorter than they are or [`Math`] says.
    pub(super) fn fits(&self, dtype: DType, math: Math) -> bool {
        use sys::cudnnMathType_t::{CUDNN_DEFAULT_MATH, CUDNN_FMA_MATH, CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION};
        let keeps_factors = match (dtype, math) {
            (DType::BF16, _) => true,
            (_, Math::F32) => matches!(self.math, CUDNN_FMA_MATH | CUDNN_DEFAULT_MATH),
            // To f16, whose range is too short.
            (_, Math::Tf32) => self.math != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION,
        };
        self.works && self.is_deterministic && keeps_factors && self.memory <= WORKSPACE
    }
}

/// The algorithms of the forward pass, of the input gradient and of the filter gradient.
const FORWARD: [sys::cudnnConvolutionFwdAlgo_t; 8] = {
    use sys::cudnnConvolutionFwdAlgo_t as A;
    [
        A::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
        A::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
        A::CUDNN_CONVOLUTION_FWD_ALGO_GEMM,
        A::CUDNN_CONVOLUTION_FWD_ALGO_DIRECT,
        A::CUDNN_CONVOLUTION_FWD_ALGO_FFT,
        A::CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING,
        A::CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD,
        A::CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED,
    ]
};
const INPUT_GRADIENT: [sys::cudnnConvolutionBwdDataAlgo_t; 6] = {
    use sys::cudnnConvolutionBwdDataAlgo_t as A;
    [
        A::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0,
        A::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
        A::CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT,
        A::CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING,
        A::CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD,
        A::CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED,
    ]
};
const FILTER_GRADIENT: [sys::cudnnConvolutionBwdFilterAlgo_t; 7] = {
    use sys::cudnnConvolutionBwdFilterAlgo_t as A;
    [
        A::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0,
        A::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
        A::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT,
        A::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
        A::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD,
        A::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED,
        A::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING,
    ]
};

/// Bytes that `algorithm` asks for.
pub(super) fn workspace(
    handle: sys::cudnnHandle_t,
    Descriptors { x, filters, y, convolution }: &Descriptors,
    algorithm: Algorithm,
) -> Result<usize, CudnnError> {
    // SAFETY: the handle and the descriptors are alive.
    #[allow(unsafe_code)]
    unsafe {
        match algorithm {
            Algorithm::Forward(algorithm) => {
                result::get_convolution_forward_workspace_size(handle, x.0, filters.0, convolution.0, y.0, algorithm)
            }
            Algorithm::InputGradient(algorithm) => result::get_convolution_backward_data_workspace_size(
                handle,
                filters.0,
                y.0,
                convolution.0,
                x.0,
                algorithm,
            ),
            Algorithm::FilterGradient(algorithm) => result::get_convolution_backward_filter_workspace_size(
                handle,
                x.0,
                y.0,
                convolution.0,
                filters.0,
                algorithm,
            ),
        }
    }
}

/// The most bytes that an algorithm of `pass` asks for, of those within the limit.
pub(super) fn largest_workspace(handle: sys::cudnnHandle_t, descriptors: &Descriptors, pass: Pass) -> usize {
    let all: Vec<Algorithm> = match pass {
        Pass::Forward => FORWARD.map(Algorithm::Forward).to_vec(),
        Pass::InputGradient => INPUT_GRADIENT.map(Algorithm::InputGradient).to_vec(),
        Pass::FilterGradient => FILTER_GRADIENT.map(Algorithm::FilterGradient).to_vec(),
    };
    let sizes = all.into_iter().filter_map(|algorithm| workspace(handle, descriptors, algorithm).ok());
    sizes.filter(|size| *size <= WORKSPACE).max().unwrap_or_default()
}

/// The algorithm that is known to give the same bytes every time, if cuDNN has it for these sizes.
pub(super) fn usual(
    handle: sys::cudnnHandle_t,
    descriptors: &Descriptors,
    pass: Pass,
    math: sys::cudnnMathType_t,
) -> Option<Candidate> {
    let algorithm = match pass {
        Pass::Forward => Algorithm::Forward(FORWARD[1]),
        Pass::InputGradient => Algorithm::InputGradient(INPUT_GRADIENT[1]),
        Pass::FilterGradient => Algorithm::FilterGradient(FILTER_GRADIENT[1]),
    };
    let memory = workspace(handle, descriptors, algorithm).ok()?;
    Some(Candidate { algorithm, math, works: true, is_deterministic: true, memory })
}

/// What came back of a search, in cuDNN's order.
macro_rules! search {
    ($algorithms:ident, $case:ident, |$wanted:ident, $count:ident, $found:ident| $run:expr) => {{
        let $wanted = $algorithms.len() as c_int;
        let mut count: c_int = 0;
        // SAFETY: a structure of numbers, each of which has a name at 0.
        #[allow(unsafe_code)]
        let mut found = [unsafe { std::mem::zeroed() }; $algorithms.len()];
        let ($count, $found) = (&raw mut count, found.as_mut_ptr());
        let succeeded = $run == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS;
        let found = found.iter().take(if succeeded { count as usize } else { 0 });
        found
            .map(|found| Candidate {
                algorithm: Algorithm::$case(found.algo),
                math: found.mathType,
                works: found.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS,
                is_deterministic: found.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC,
                memory: found.memory,
            })
            .collect::<Vec<Candidate>>()
    }};
}

/// The algorithms of `pass`, the fastest first as measured on the operands.
///
/// # Safety
/// The operands must be what the descriptors say, the workspace as large as is told.
#[allow(unsafe_code)]
pub(super) unsafe fn measured(
    handle: sys::cudnnHandle_t,
    Descriptors { x, filters, y, convolution }: &Descriptors,
    pass: Pass,
    at: Operands,
    (space, bytes): (Pointer, usize),
) -> Vec<Candidate> {
    let space = space.as_mut_ptr();
    // SAFETY: as the caller says; as many results are asked for as there is room.
    match pass {
        Pass::Forward => search!(FORWARD, Forward, |wanted, count, found| unsafe {
            sys::cudnnFindConvolutionForwardAlgorithmEx(
                handle,
                x.0,
                at.x.as_ptr(),
                filters.0,
                at.filters.as_ptr(),
                convolution.0,
                y.0,
                at.y.as_mut_ptr(),
                wanted,
                count,
                found,
                space,
                bytes,
            )
        }),
        Pass::InputGradient => search!(INPUT_GRADIENT, InputGradient, |wanted, count, found| unsafe {
            sys::cudnnFindConvolutionBackwardDataAlgorithmEx(
                handle,
                filters.0,
                at.filters.as_ptr(),
                y.0,
                at.y.as_ptr(),
                convolution.0,
                x.0,
                at.x.as_mut_ptr(),
                wanted,
                count,
                found,
                space,
                bytes,
            )
        }),
        Pass::FilterGradient => search!(FILTER_GRADIENT, FilterGradient, |wanted, count, found| unsafe {
            sys::cudnnFindConvolutionBackwardFilterAlgorithmEx(
                handle,
                x.0,
                at.x.as_ptr(),
                y.0,
                at.y.as_ptr(),
                convolution.0,
                filters.0,
                at.filters.as_mut_ptr(),
                wanted,
                count,
                found,
                space,
                bytes,
            )
        }),
    }
}

/// The algorithms of `pass`, the fastest first as cuDNN guesses.
#[allow(unsafe_code)]
pub(super) fn guessed(
    handle: sys::cudnnHandle_t,
    Descriptors { x, filters, y, convolution }: &Descriptors,
    pass: Pass,
) -> Vec<Candidate> {
    // SAFETY: the handle and the descriptors are alive; as many results are asked for as there is room.
    match pass {
        Pass::Forward => search!(FORWARD, Forward, |wanted, count, found| unsafe {
            sys::cudnnGetConvolutionForwardAlgorithm_v7(
                handle,
                x.0,
                filters.0,
                convolution.0,
                y.0,
                wanted,
                count,
                found,
            )
        }),
        Pass::InputGradient => search!(INPUT_GRADIENT, InputGradient, |wanted, count, found| unsafe {
            sys::cudnnGetConvolutionBackwardDataAlgorithm_v7(
                handle,
                filters.0,
                y.0,
                convolution.0,
                x.0,
                wanted,
                count,
                found,
            )
        }),
        Pass::FilterGradient => search!(FILTER_GRADIENT, FilterGradient, |wanted, count, found| unsafe {
            sys::cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                handle,
                x.0,
                y.0,
                convolution.0,
                filters.0,
                wanted,
                count,
                found,
            )
        }),
    }
}
