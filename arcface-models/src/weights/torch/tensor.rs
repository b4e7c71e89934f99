//! Tensors out of what a pickle says about them and the bytes of their storages.
//! Knows no form of file.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::pickle::{Call, Global, Items, Kind, Pickle, Storage, Value};
use arcface_core::{Error, Result};

/// How often the file's own length all tensors together may be: some are views of one storage.
const EXPANSION: usize = 4;

/// The bytes of all storages under their keys.
pub(super) struct Storages<'a> {
    bytes: BTreeMap<&'a str, &'a [u8]>,
    /// Bytes that tensors may still take.
    left: Cell<usize>,
}

impl<'a> Storages<'a> {
    /// Storages of a file of `length` bytes.
    pub(super) fn new(bytes: BTreeMap<&'a str, &'a [u8]>, length: usize) -> Self {
        Self { bytes, left: Cell::new(length.saturating_mul(EXPANSION)) }
    }

    fn spend(&self, bytes: usize) -> Result<()> {
        let left = self.left.get().checked_sub(bytes).ok_or_else(|| {
            Error::Invalid(format!(
                "its tensors take more than {EXPANSION} times the length of the file; it is damaged or hostile"
            ))
        })?;
        self.left.set(left);
        Ok(())
    }
}

/// Every storage that the objects mention, with its type.
///
/// # Errors
/// If a reference out of the pickle is not to a storage.
pub(super) fn storage_keys<'p>(objects: &'p Pickle<'p>) -> Result<BTreeMap<&'p str, Storage>> {
    let mut keys = BTreeMap::new();
    for value in objects.values() {
        if let Kind::Persistent(_) = value.kind() {
            let (key, storage) = storage(value)?;
            keys.insert(key, storage);
        }
    }
    Ok(keys)
}

/// Bytes per element.
pub(super) fn element_size(storage: Storage) -> usize {
    match storage {
        Storage::Double | Storage::Long => 8,
        Storage::Float | Storage::Int => 4,
        Storage::Half | Storage::BFloat16 | Storage::Short => 2,
        Storage::Char | Storage::Byte | Storage::Bool => 1,
    }
}

/// Whether `value` is a tensor or a parameter.
pub(super) fn is_tensor(value: Value<'_>) -> bool {
    matches!(value.kind(), Kind::Call(Call { function: Global::TorchTensor | Global::TorchParameter, .. }))
}

/// The tensor that `value` is, contiguous.
///
/// # Errors
/// If it is no tensor, or reaches beyond its storage.
pub(super) fn tensor(value: Value<'_>, storages: &Storages<'_>) -> Result<Tensor> {
    const WHAT: &str = "a tensor";
    match value.kind() {
        // (tensor, whether it needs a gradient, hooks)
        Kind::Call(Call { function: Global::TorchParameter, arguments, .. }) => match arguments.get(0) {
            Some(inner) if is_parameter(inner) => Err(inner.unexpected(WHAT)),
            Some(inner) => tensor(inner, storages),
            None => Err(value.unexpected(WHAT)),
        },
        Kind::Call(Call { function: Global::TorchTensor, arguments, .. }) => {
            View::read(value, arguments)?.tensor(storages)
        }
        _ => Err(value.unexpected(WHAT)),
    }
}

fn is_parameter(value: Value<'_>) -> bool {
    matches!(value.kind(), Kind::Call(Call { function: Global::TorchParameter, .. }))
}

/// Where the elements of a tensor stand in its storage.
struct View<'p> {
    key: &'p str,
    storage: Storage,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl<'p> View<'p> {
    /// (storage, offset, shape, strides, …)
    fn read(value: Value<'p>, arguments: Items<'p>) -> Result<Self> {
        let at =
            |index| arguments.get(index).ok_or_else(|| value.unexpected("a tensor with offset, shape and strides"));
        let (key, storage) = storage(at(0)?)?;
        let offset = at(1)?.index("the offset of a tensor")?;
        let (shape, strides) = (indices(at(2)?, "the shape of a tensor")?, indices(at(3)?, "the strides of a tensor")?);
        if shape.len() != strides.len() {
            return Err(at(3)?.unexpected(&format!("{} strides", shape.len())));
        }
        Ok(Self { key, storage, offset, shape, strides })
    }

    fn tensor(&self, storages: &Storages<'_>) -> Result<Tensor> {
        let missing = || Error::Invalid(format!("storage `{}` is missing", self.key));
        let storage = *storages.bytes.get(self.key).ok_or_else(missing)?;
        let size = element_size(self.storage);
        let count = self.count(storage.len() / size)?;
        storages.spend(count.saturating_mul(size.max(self.dtype().size_in_bytes())))?;
        let bytes = if count == 0 || self.is_contiguous() {
            // Integers that candle lacks become wider.
            self.widened(&storage[self.offset * size..][..count * size])
        } else {
            let mut gathered = Vec::with_capacity(count * size);
            self.each(|at| gathered.extend_from_slice(&storage[at * size..][..size]));
            Cow::Owned(self.widened(&gathered).into_owned())
        };
        Ok(Tensor::from_raw_buffer(&bytes, self.dtype(), &self.shape, &Device::Cpu)?)
    }

    /// The number of elements, all of which lie within a storage of `available`.
    fn count(&self, available: usize) -> Result<usize> {
        let beyond = || {
            let Self { shape, strides, offset, .. } = self;
            let got = format!("shape {shape:?}, strides {strides:?}, offset {offset}");
            Error::value(format!("storage `{}`", self.key), format!("a tensor within its {available} elements"), got)
        };
        // Lengths beside one of 0 must not overflow either.
        let count = self.shape.iter().try_fold(1_usize, |product, length| product.checked_mul((*length).max(1)));
        let count = count.ok_or_else(beyond)?;
        if self.shape.contains(&0) {
            return (self.offset <= available).then_some(0).ok_or_else(beyond);
        }
        let axes = self.shape.iter().zip(&self.strides);
        let last = axes.map(|(length, stride)| (length - 1).checked_mul(*stride));
        let last = last.into_iter().try_fold(self.offset, |sum, reach| sum.checked_add(reach?));
        last.filter(|last| *last < available).map(|_| count).ok_or_else(beyond)
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        let axes = self.shape.iter().zip(&self.strides).rev();
        axes.into_iter().all(|(length, stride)| {
            let fits = *length < 2 || *stride == expected;
            expected *= length;
            fits
        })
    }

    /// Calls `visit` with the place of every element, the last axis fastest.
    fn each(&self, mut visit: impl FnMut(usize)) {
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
        'elements: loop {
            visit(at);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    continue 'elements;
                }
                at -= self.strides[axis] * self.shape[axis];
                index[axis] = 0;
            }
            return;
        }
    }

    fn dtype(&self) -> DType {
        match self.storage {
            Storage::Float => DType::F32,
            Storage::Double => DType::F64,
            Storage::Half => DType::F16,
            Storage::BFloat16 => DType::BF16,
            Storage::Byte | Storage::Bool => DType::U8,
            Storage::Long | Storage::Int | Storage::Short | Storage::Char => DType::I64,
        }
    }

    fn widened<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let wide = |number: i64| number.to_le_bytes();
        match self.storage {
            Storage::Int => {
                bytes.as_chunks().0.iter().flat_map(|chunk| wide(i32::from_le_bytes(*chunk).into())).collect()
            }
            Storage::Short => {
                bytes.as_chunks().0.iter().flat_map(|chunk| wide(i16::from_le_bytes(*chunk).into())).collect()
            }
            Storage::Char => bytes.iter().flat_map(|byte| wide(i64::from(*byte as i8))).collect(),
            _ => Cow::Borrowed(bytes),
        }
    }
}

fn indices(value: Value<'_>, what: &str) -> Result<Vec<usize>> {
    let value = match value.kind() {
        Kind::Call(Call { function: Global::TorchSize, arguments, .. }) => {
            arguments.get(0).ok_or_else(|| value.unexpected(what))?
        }
        _ => value,
    };
    value.items(what)?.iter().map(|index| index.index(what)).collect()
}

/// Key and type of the storage that `value` refers to: ("storage", type, key, place, elements, view).
fn storage(value: Value<'_>) -> Result<(&str, Storage)> {
    const WHAT: &str = "a reference to a storage of a known type";
    let Kind::Persistent(name) = value.kind() else { return Err(value.unexpected(WHAT)) };
    let parts = name.items(WHAT)?;
    let at = |index| parts.get(index).ok_or_else(|| name.unexpected(WHAT));
    if at(0)?.text(WHAT)? != "storage" {
        return Err(at(0)?.unexpected(WHAT));
    }
    if let Some(view) = parts.get(5).filter(|view| !matches!(view.kind(), Kind::None)) {
        return Err(view.unexpected("a storage that is no view of another (save it with a torch of today)"));
    }
    match at(1)?.kind() {
        Kind::Global(Global::TorchStorage(storage)) => Ok((at(2)?.text(WHAT)?, storage)),
        _ => Err(at(1)?.unexpected(WHAT)),
    }
}
