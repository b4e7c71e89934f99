//! Files that are either complete or not there: atomic writing, and named tensors in `.safetensors`.
//! Knows no network and no optimiser, only names, tensors and strings.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors, View};

use crate::{Error, Result};

/// Key of the metadata under which [`save_tensors`] keeps the checksum of the tensors' bytes.
const CHECKSUM: &str = "checksum";

/// Writes `path` through `write` so that it is either complete or as it was before.
///
/// The bytes go to `.NAME.partial-PID` in the same folder, which is flushed to the disk and then renamed.
///
/// # Errors
/// If the folder is missing or not writable, the disk is full, a folder stands under the name, or `write` fails.
/// The error names `path`; nothing was overwritten and no partial file is left.
///
/// # Example
/// ```
/// use std::io::Write;
/// use arcface_core::checkpoint::atomic_write;
/// let path = std::env::temp_dir().join(format!("arcface-doc-{}.txt", std::process::id()));
/// atomic_write(&path, |file| writeln!(file, "whole"))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\n");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn atomic_write(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<()> {
    let partial = partial_path(path)?;
    let written = write_whole(&partial, write).and_then(|()| fs::rename(&partial, path));
    written.map_err(|source| {
        // The first error is the one to report; that the partial file cannot be removed either is part of it.
        let _ = fs::remove_file(&partial);
        Error::io(path, io::Error::new(source.kind(), format!("{source}; nothing was overwritten")))
    })?;
    sync_folder(path);
    Ok(())
}

/// Saves named tensors and `metadata` as `.safetensors`, atomically; equal contents give equal bytes.
///
/// # Errors
/// As [`atomic_write`], and if a tensor's type does not exist in the format or `metadata` uses the key `checksum`.
pub fn save_tensors(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    if metadata.contains_key(CHECKSUM) {
        return Err(Error::file(path, format!("metadata: `{CHECKSUM}` is reserved, choose another key")));
    }
    let mut entries =
        tensors.iter().map(|(name, tensor)| Entry::new(path, name, tensor)).collect::<Result<Vec<_>>>()?;
    // The format asks for wide types first, so that every tensor is aligned.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.tensor.dtype().size_in_bytes()));
    let header = header(&entries, metadata)?;
    atomic_write(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        entries.iter().try_for_each(|entry| file.write_all(&entry.bytes()))
    })
}

/// Named tensors and metadata as they stand in a file.
pub type NamedTensors = (BTreeMap<String, Tensor>, BTreeMap<String, String>);

/// Loads what [`save_tensors`] or another program saved as `.safetensors`, to the CPU.
///
/// # Errors
/// If the file cannot be read, is truncated, damaged or of another format, or holds a type that candle lacks;
/// the error names the file and the tensor.
pub fn load_tensors(path: &Path) -> Result<NamedTensors> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let damaged = |source: safetensors::SafeTensorError| Error::file(path, explain(&bytes, &source));
    let (header, content) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let mut metadata: BTreeMap<String, String> = content.metadata().clone().unwrap_or_default().into_iter().collect();
    if let Some(expected) = metadata.remove(CHECKSUM) {
        // Eight bytes before the header hold its length.
        verify(path, &bytes[header + 8..], &expected)?;
    }
    let views = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let tensors = views.iter().map(|(name, view)| {
        let tensor = view.load(&Device::Cpu).map_err(|error| Error::file(path, format!("tensor `{name}`: {error}")))?;
        Ok((name.to_owned(), tensor))
    });
    Ok((tensors.collect::<Result<_>>()?, metadata))
}

/// The tensor called `name` out of `tensors`, checked for its shape and brought to `dtype`.
///
/// # Errors
/// If it is missing or misshaped; the message names `path` and the tensor.
pub fn take(
    path: &Path,
    tensors: &mut BTreeMap<String, Tensor>,
    name: &str,
    shape: &[usize],
    dtype: DType,
) -> Result<Tensor> {
    let tensor = tensors.remove(name).ok_or_else(|| Error::file(path, format!("tensor `{name}` is missing")))?;
    if tensor.dims() != shape {
        let message = format!("tensor `{name}`: expected shape {shape:?}, got {:?}", tensor.dims());
        return Err(Error::file(path, message));
    }
    Ok(tensor.to_dtype(dtype)?)
}

/// `.NAME.partial-PID` beside `path`.
fn partial_path(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| Error::file(path, "expected the name of a file, got a folder"))?;
    let mut partial = std::ffi::OsString::from(".");
    partial.push(name);
    partial.push(format!(".partial-{}", std::process::id()));
    Ok(path.with_file_name(partial))
}

fn write_whole(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()
}

/// Makes the rename itself durable where folders can be synchronised; the file is whole either way.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// A tensor about to be written.
struct Entry<'a> {
    name: &'a str,
    dtype: Dtype,
    tensor: Tensor,
}

impl<'a> Entry<'a> {
    fn new(path: &Path, name: &'a str, tensor: &Tensor) -> Result<Self> {
        if !matches!(tensor.dtype(), DType::F32 | DType::F64 | DType::I64 | DType::U32) {
            let message = format!("tensor `{name}`: expected f32, f64, i64 or u32, got {:?}", tensor.dtype());
            return Err(Error::file(path, message));
        }
        let tensor = tensor.to_device(&Device::Cpu)?.contiguous()?;
        Ok(Self { name, dtype: tensor.dtype().into(), tensor })
    }

    fn len(&self) -> usize {
        self.tensor.elem_count() * self.tensor.dtype().size_in_bytes()
    }

    fn bytes(&self) -> std::borrow::Cow<'_, [u8]> {
        self.tensor.data()
    }
}

/// The JSON header, padded to eight bytes. The crate's own writer keeps metadata in a hash map, whose order is random.
fn header(entries: &[Entry<'_>], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let invalid = |error: serde_json::Error| Error::Invalid(format!("header of a safetensors file: {error}"));
    let mut metadata = metadata.clone();
    metadata.insert(CHECKSUM.to_owned(), entries.iter().fold(Checksum::new(), Checksum::entry).finish());
    let mut fields = vec![format!("\"__metadata__\":{}", serde_json::to_string(&metadata).map_err(invalid)?)];
    let mut start = 0;
    for entry in entries {
        let end = start + entry.len();
        let name = serde_json::to_string(entry.name).map_err(invalid)?;
        let dtype = serde_json::to_string(&entry.dtype).map_err(invalid)?;
        let shape = entry.tensor.dims();
        fields.push(format!("{name}:{{\"dtype\":{dtype},\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}"));
        start = end;
    }
    let json = format!("{{{}}}", fields.join(","));
    let padded = json.len().next_multiple_of(8);
    Ok(format!("{json:padded$}").into_bytes())
}

fn verify(path: &Path, data: &[u8], expected: &str) -> Result<()> {
    let found = Checksum::new().bytes(data).finish();
    if found == expected {
        return Ok(());
    }
    let message = format!(
        "the tensors are damaged: checksum {found}, expected {expected}; copy the file again \
         (or remove `{CHECKSUM}` from its metadata if it was edited on purpose)"
    );
    Err(Error::file(path, message))
}

/// What is wrong with a file that is no whole `.safetensors`.
fn explain(bytes: &[u8], source: &safetensors::SafeTensorError) -> String {
    let guess = match bytes {
        [] => "it is empty",
        [b'P', b'K', ..] => "it looks like a zip archive (a torch `.pth`?)",
        [0x80, ..] => "it looks like a Python pickle (an old torch `.pth`?)",
        _ => "it is truncated, damaged or of another format",
    };
    format!("expected a whole .safetensors file, but {guess} ({source})")
}

/// A checksum over 32-bit words, which every type of ours consists of: xor, multiply, rotate.
#[derive(Clone, Copy)]
struct Checksum(u64);

impl Checksum {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn entry(self, entry: &Entry<'_>) -> Self {
        self.bytes(&entry.bytes())
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        let state = words.iter().fold(self.0, |state, word| mix(state, u32::from_le_bytes(*word)));
        Self(rest.iter().fold(state, |state, &byte| mix(state, u32::from(byte))))
    }

    fn finish(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// A bijection of the state for every word, so that one changed word always changes the result.
fn mix(state: u64, word: u32) -> u64 {
    (state ^ u64::from(word)).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(29)
}
