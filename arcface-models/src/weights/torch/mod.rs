//! Weights as torch's own files, `.pth` and `.ckpt`, in both forms: a zip archive, or pickles and raw storages.
//! Knows no network; nothing of the file is run.

mod archive;
mod legacy;
mod search;
mod tensor;
mod write;
mod zip;

use std::collections::BTreeMap;

use arcface_core::candle::Tensor;
use arcface_core::{Error, Result};

pub use write::save_torch;

/// What one of torch's files holds.
#[derive(Debug)]
pub(super) struct TorchFile {
    /// The tensors in the order of the file.
    pub(super) tensors: Vec<(String, Tensor)>,
    /// What we wrote beside them.
    pub(super) metadata: BTreeMap<String, String>,
    /// What was left out or renamed.
    pub(super) notes: Vec<String>,
}

/// How many bytes [`Form::of`] looks at.
pub(super) const SNIFFED: usize = 512;

/// What the beginning of a file shows it to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A zip archive, torch's form since 1.6.
    Zip,
    /// A pickle, torch's form before.
    Pickle,
    /// A tar archive, torch's form before that.
    Tar,
    /// None of torch's.
    Other,
}

impl Form {
    pub(super) fn of(beginning: &[u8]) -> Self {
        match beginning {
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Self::Zip,
            [0x80, 0..=5, ..] => Self::Pickle,
            _ if beginning.get(257..262) == Some(b"ustar") => Self::Tar,
            _ => Self::Other,
        }
    }
}

/// Reads what `bytes` hold, which are of `form`.
///
/// # Errors
/// If the file is damaged, of a form that is not read, names anything but tensors and plain data, or has no state dict.
pub(super) fn read(form: Form, bytes: &[u8]) -> Result<TorchFile> {
    match form {
        Form::Zip => archive::read(bytes),
        Form::Pickle => legacy::read(bytes),
        Form::Tar | Form::Other => Err(Error::Invalid(
            "a tar archive, which torch wrote before 0.2; load and save it once with a torch of today".to_owned(),
        )),
    }
}
