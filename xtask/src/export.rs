//! `cargo xtask export`: a network's weights for torch, or as `.safetensors`.
//! Knows no faces and no figures.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;
use arcface_core::candle::{DType, Tensor};
use arcface_core::checkpoint::save_tensors;
use arcface_models::weights::{StateDict, WeightsFile, read, save_torch};

use crate::cli::ExportArguments;
use crate::net::weights_of;

/// The form of the file to write.
#[derive(Debug, Clone, Copy)]
enum Form {
    Torch,
    Safetensors,
}

/// Reads the weights in whatever form and writes them in that of the ending.
///
/// # Errors
/// If the weights cannot be read, or the file exists, has an unknown ending or cannot be written.
pub(crate) fn run(arguments: &ExportArguments) -> anyhow::Result<()> {
    let out = &arguments.out;
    let form = form(out)?;
    if out.exists() {
        bail!("{}: expected a new file, found one; choose another name", out.display());
    }
    let path = weights_of(&arguments.net)?;
    let file = read(&path)?;
    file.notes.iter().for_each(|note| eprintln!("{}: {note}", path.display()));
    let metadata = file.metadata.as_ref().map(arcface_models::weights::Metadata::to_map).unwrap_or_default();
    match form {
        Form::Torch => save_torch(out, &ordered(&file), &metadata)?,
        Form::Safetensors => save_tensors(out, &widened(&file.state)?, &metadata)?,
    }
    eprintln!("{} tensors of {} in {}", file.state.len(), path.display(), out.display());
    Ok(())
}

fn form(out: &Path) -> anyhow::Result<Form> {
    let ending = out.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    match ending.as_deref() {
        Some("pth" | "pt" | "ckpt") => Ok(Form::Torch),
        Some("safetensors") => Ok(Form::Safetensors),
        _ => bail!("{}: expected a file that ends in .pth, .pt, .ckpt or .safetensors", out.display()),
    }
}

/// In the order of the network's layers, as torch has them; that of the file where the network is not known.
fn ordered(file: &WeightsFile) -> Vec<(&str, &Tensor)> {
    let guess = file.guess().ok().filter(|guess| guess.exact);
    let places: BTreeMap<String, usize> = match guess.and_then(|guess| guess.config.plan().ok()) {
        Some(plan) => plan.entries().into_iter().enumerate().map(|(place, entry)| (entry.name, place)).collect(),
        None => BTreeMap::new(),
    };
    let tensors = file.order.iter().filter_map(|name| Some((name.as_str(), file.state.get(name)?)));
    let mut tensors: Vec<(&str, &Tensor)> = tensors.collect();
    tensors.sort_by_key(|(name, _)| places.get(*name).copied().unwrap_or(usize::MAX));
    tensors
}

/// Half precision becomes f32, the narrowest float that our `.safetensors` hold.
fn widened(state: &StateDict) -> anyhow::Result<StateDict> {
    let widen = |(name, tensor): (&String, &Tensor)| {
        let is_half = matches!(tensor.dtype(), DType::F16 | DType::BF16);
        let tensor = if is_half { tensor.to_dtype(DType::F32)? } else { tensor.clone() };
        Ok((name.clone(), tensor))
    };
    state.iter().map(widen).collect()
}
