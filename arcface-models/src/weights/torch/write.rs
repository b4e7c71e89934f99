//! Writes a state dict as torch does, so that `torch.load` reads it without running anything.
//! Knows no network.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use arcface_core::candle::{DType, Tensor};
use arcface_core::checkpoint::atomic_write;
use arcface_core::pickle::Writer;
use arcface_core::{Error, Result};

use super::archive::METADATA;
use super::zip::ArchiveWriter;

/// The protocol that torch pickles in.
const PROTOCOL: u8 = 2;

/// Writes `tensors` as an `OrderedDict` in their order, with `metadata` beside them; whole or not at all.
///
/// Equal tensors give equal bytes. `torch.load(path, weights_only=True)` reads the tensors and passes over the
/// metadata, which [`read`](super::super::read) finds again.
///
/// # Errors
/// If a tensor has a type that torch lacks, the file would be larger than 4 GiB or cannot be written.
pub fn save_torch(path: &Path, tensors: &[(&str, &Tensor)], metadata: &BTreeMap<String, String>) -> Result<()> {
    for (name, tensor) in tensors {
        storage(tensor.dtype()).ok_or_else(|| {
            let dtype = tensor.dtype().as_str();
            Error::file(path, format!("tensor `{name}`: expected a type that torch has, got {dtype}"))
        })?;
    }
    atomic_write(path, |file| {
        let mut archive = ArchiveWriter::new(file);
        archive.record("archive/data.pkl", &objects(tensors)?)?;
        archive.record("archive/.format_version", b"1")?;
        archive.record("archive/.storage_alignment", b"64")?;
        archive.record("archive/byteorder", b"little")?;
        for (index, (_, tensor)) in tensors.iter().enumerate() {
            archive.record(&format!("archive/data/{index}"), &bytes(tensor)?)?;
        }
        archive.record("archive/version", b"3\n")?;
        if !metadata.is_empty() {
            archive.record(&format!("archive/{METADATA}"), &strings(metadata)?)?;
        }
        archive.finish()
    })
}

/// Torch's name of the storage for elements of `dtype`.
fn storage(dtype: DType) -> Option<&'static str> {
    match dtype {
        DType::F32 => Some("FloatStorage"),
        DType::F64 => Some("DoubleStorage"),
        DType::F16 => Some("HalfStorage"),
        DType::BF16 => Some("BFloat16Storage"),
        DType::I64 => Some("LongStorage"),
        DType::I32 => Some("IntStorage"),
        DType::I16 => Some("ShortStorage"),
        DType::U8 => Some("ByteStorage"),
        _ => None,
    }
}

fn bytes(tensor: &Tensor) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(tensor.elem_count() * tensor.dtype().size_in_bytes());
    tensor.write_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// The pickle of the state dict; storages are numbered as the tensors are.
fn objects(tensors: &[(&str, &Tensor)]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, PROTOCOL)?;
    ordered_dict(&mut writer)?;
    writer.mark()?;
    for (index, (name, tensor)) in tensors.iter().enumerate() {
        writer.text(name)?;
        write_tensor(&mut writer, index, tensor)?;
    }
    writer.set_items()?;
    writer.finish()?;
    Ok(bytes)
}

fn write_tensor(writer: &mut Writer<impl Write>, index: usize, tensor: &Tensor) -> io::Result<()> {
    writer.global("torch._utils", "_rebuild_tensor_v2")?;
    writer.mark()?;
    writer.mark()?;
    writer.text("storage")?;
    writer.global("torch", storage(tensor.dtype()).unwrap_or_default())?;
    writer.text(&index.to_string())?;
    writer.text("cpu")?;
    writer.int(tensor.elem_count() as i64)?;
    writer.tuple()?;
    writer.persistent()?;
    // The offset in the storage, the shape, the strides.
    writer.int(0)?;
    write_indices(writer, tensor.dims())?;
    write_indices(writer, &strides(tensor.dims()))?;
    // No gradient, no hooks.
    writer.bool(false)?;
    ordered_dict(writer)?;
    writer.tuple()?;
    writer.reduce()
}

/// How far apart neighbours along each axis stand, the last axis closest.
fn strides(shape: &[usize]) -> Vec<usize> {
    (1..=shape.len()).map(|axis| shape[axis..].iter().product()).collect()
}

fn write_indices(writer: &mut Writer<impl Write>, indices: &[usize]) -> io::Result<()> {
    writer.mark()?;
    indices.iter().try_for_each(|index| writer.int(*index as i64))?;
    writer.tuple()
}

fn ordered_dict(writer: &mut Writer<impl Write>) -> io::Result<()> {
    writer.global("collections", "OrderedDict")?;
    writer.empty_tuple()?;
    writer.reduce()
}

fn strings(metadata: &BTreeMap<String, String>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, PROTOCOL)?;
    writer.empty_dict()?;
    writer.mark()?;
    for (key, value) in metadata {
        writer.text(key)?;
        writer.text(value)?;
    }
    writer.set_items()?;
    writer.finish()?;
    Ok(bytes)
}
