//! What elementwise and per-channel operators share: chunks of whole rows, sums in a fixed order, numbers per channel.
//! Knows no operator.

use std::sync::OnceLock;

use candle_core::{DType, Storage, Tensor};
use rayon::prelude::*;

use super::element::{Element, values};
use super::parallel::{CHUNK, build};
use crate::{Error, Result};

/// Values per chunk of whole rows of `channels` values.
pub(super) fn row_chunk(channels: usize) -> usize {
    (CHUNK / channels).max(1) * channels
}

/// A new vector, filled chunk by chunk in parallel, and what the chunks returned, in order.
pub(super) fn build_and_collect<T: Element, R: Send + Sync>(
    len: usize,
    chunk_len: usize,
    fill: impl Fn(usize, &mut [T]) -> R + Sync + Send,
) -> (Vec<T>, Vec<R>) {
    let results: Vec<OnceLock<R>> = (0..len.div_ceil(chunk_len)).map(|_| OnceLock::new()).collect();
    let values = build(
        len,
        chunk_len,
        || (),
        |(), index, chunk| {
            // Each index comes once, so that its place is free.
            let _ = results[index].set(fill(index, chunk));
        },
    );
    (values, results.into_iter().filter_map(OnceLock::into_inner).collect())
}

/// The sums of each chunk of one or two arguments of `len` values, added in the order of the chunks.
pub(super) fn sum_chunks(
    len: usize,
    chunk_len: usize,
    sums: impl Fn(std::ops::Range<usize>) -> Vec<f64> + Sync,
) -> Vec<f64> {
    let range = |index: usize| index * chunk_len..((index + 1) * chunk_len).min(len);
    total((0..len.div_ceil(chunk_len)).into_par_iter().map(|index| sums(range(index))).collect())
}

/// Adds the chunks' sums in the order of the chunks.
pub(super) fn total(chunks: Vec<Vec<f64>>) -> Vec<f64> {
    let mut chunks = chunks.into_iter();
    let mut sums = chunks.next().unwrap_or_default();
    for more in chunks {
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
    sums
}

/// Calls `work` with the values of `tensor` in row-major order.
pub(crate) fn with_values<T: Element, R>(tensor: &Tensor, work: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(&values(storage, layout)?),
        _ => Err(Error::value("operator", "a tensor on the CPU", format!("{:?}", tensor.device().location()))),
    }
}

/// [`with_values`] of what may be left out.
pub(super) fn with_optional<T: Element, R>(
    tensor: Option<&Tensor>,
    work: impl FnOnce(Option<&[T]>) -> Result<R>,
) -> Result<R> {
    match tensor {
        Some(tensor) => with_values(tensor, |values| work(Some(values))),
        None => work(None),
    }
}

/// [`with_values`] of three tensors of one type.
pub(super) fn with_three<T: Element, R>(
    a: &Tensor,
    b: &Tensor,
    c: &Tensor,
    work: impl FnOnce(&[T], &[T], &[T]) -> Result<R>,
) -> Result<R> {
    with_values(a, |a| with_values(b, |b| with_values(c, |c| work(a, b, c))))
}

/// All values in f64, for the few numbers per channel.
pub(super) fn to_f64(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// Numbers worked out in f64, in the type of the activations.
pub(super) fn narrowed<T: Element>(values: impl IntoIterator<Item = f64>) -> Vec<T> {
    values.into_iter().map(T::from_f64).collect()
}

/// A tensor of the type of `like` from numbers worked out in f64.
pub(super) fn from_f64(values: &[f64], shape: &[usize], like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, shape, like.device())?.to_dtype(like.dtype())?)
}
