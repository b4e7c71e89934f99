//! What elementwise and per-channel operators share: fresh output, fixed chunks of whole rows, sums in a fixed order.
//! Knows no operator.
#![allow(unsafe_code, reason = "output is allocated without a pass over memory that would only clear it")]

use std::mem::MaybeUninit;

use candle_core::{CpuStorage, DType, Layout, Storage, Tensor, WithDType};
use rayon::prelude::*;

use crate::{Error, Result};

/// Values per chunk, about 128 KB in f32: small enough for a core's own cache, large enough to be worth a task.
pub(super) const CHUNK: usize = 1 << 15;

/// Calls a function generic over the element type with the type that belongs to `$dtype`.
macro_rules! typed {
    ($dtype:expr, $what:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => Err($crate::Error::value($what, "f32 or f64", format!("{other:?}"))),
        }
    };
}
pub(super) use typed;

/// Values per chunk of whole rows of `channels` values.
pub(super) fn row_chunk(channels: usize) -> usize {
    (CHUNK / channels).max(1) * channels
}

/// Fills a fresh vector of `len` values chunk by chunk, in parallel; also returns what each chunk returned, in order.
///
/// `fill` finds zeros. A chunk is cleared right before it is filled, so that this costs no access to memory.
pub(super) fn fresh<T: WithDType, R: Send>(
    len: usize,
    chunk: usize,
    fill: impl Fn(usize, &mut [T]) -> R + Sync,
) -> (Vec<T>, Vec<R>) {
    let mut values = Vec::with_capacity(len);
    let spare = &mut values.spare_capacity_mut()[..len];
    let results =
        in_chunks(spare.par_chunks_mut(chunk).enumerate(), |(index, spare)| fill(index * chunk, zeroed(spare)));
    // SAFETY: `zeroed` initialised every one of the `len` values in every chunk.
    unsafe { values.set_len(len) };
    (values, results)
}

/// Runs `work` over the chunks in parallel and returns the results in order.
pub(super) fn in_chunks<I: IndexedParallelIterator, R: Send>(
    chunks: I,
    work: impl Fn(I::Item) -> R + Sync + Send,
) -> Vec<R> {
    chunks.map(work).collect()
}

fn zeroed<T: WithDType>(spare: &mut [MaybeUninit<T>]) -> &mut [T] {
    spare.fill(MaybeUninit::new(T::zero()));
    // SAFETY: every value was written just now, and MaybeUninit<T> has the layout of T.
    unsafe { &mut *(std::ptr::from_mut(spare) as *mut [T]) }
}

/// Adds the chunks' sums in the order of the chunks.
pub(super) fn total(partial: Vec<Vec<f64>>) -> Vec<f64> {
    let mut partial = partial.into_iter();
    let mut sums = partial.next().unwrap_or_default();
    for more in partial {
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
    sums
}

/// The values of a contiguous tensor on the CPU.
pub(super) fn slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let contiguous = || Error::Invalid("operator: expected a contiguous tensor".to_owned());
    let (start, end) = layout.contiguous_offsets().ok_or_else(contiguous)?;
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

/// Calls `work` with the values of `tensor`, made contiguous if it is not.
pub(super) fn with_values<T: WithDType, R>(tensor: &Tensor, work: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.detach().contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(slice(storage, layout)?),
        _ => Err(Error::value("operator", "tensors on the CPU", format!("{:?}", tensor.device()))),
    }
}

/// All values in f64, for the few numbers per channel.
pub(super) fn to_f64(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// Numbers worked out in f64, in the type of the activations.
pub(super) fn narrowed<T: WithDType>(values: impl IntoIterator<Item = f64>) -> Vec<T> {
    values.into_iter().map(T::from_f64).collect()
}

/// A tensor of `dtype` on the CPU from numbers worked out in f64.
pub(super) fn from_f64(values: &[f64], shape: &[usize], like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, shape, like.device())?.to_dtype(like.dtype())?)
}

/// Checks that two arguments have the same type.
pub(super) fn same_type(a: &Tensor, b: &Tensor, what: &str) -> Result<()> {
    if a.dtype() == b.dtype() {
        return Ok(());
    }
    Err(Error::value(what, format!("{:?} as the activations", a.dtype()), format!("{:?}", b.dtype())))
}
