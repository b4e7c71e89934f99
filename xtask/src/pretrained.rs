//! What a run takes over from the weights that it begins with: the network, and how it is shown images.
//! Knows no step; the tensors themselves are taken over when the network is built.

use std::path::Path;

use anyhow::{Context, bail};
use arcface_models::Backbone;
use arcface_models::weights::read;

use crate::config::{Chosen, Config, SourceKind};
use crate::net::presented;
use crate::sources;

/// Images below which a network is better fine-tuned than trained from nothing.
const FEW_IMAGES: usize = 1000;

/// Lets what the user did not decide about the network follow the file of `model.weights`, with a note.
///
/// # Errors
/// If the file cannot be read, or looks like no known network and the user names none.
pub(crate) fn adopt(chosen: &mut Chosen) -> anyhow::Result<()> {
    let Some(path) = &chosen.config.model.weights else { return Ok(()) };
    let path = sources::expand(path)?;
    let file = read(&path)?;
    let place = || format!("model.weights: {}", path.display());
    let seen = match file.guess() {
        // What does not fit is told, tensor by tensor, when the network is built.
        Err(_) if chosen.is_explicit("model.backbone") => return Ok(()),
        guess => guess.with_context(place)?.config,
    };
    if chosen.is_explicit("model.backbone") && chosen.config.model.backbone != seen.architecture {
        return Ok(());
    }
    let normalise = presented(&path, &file, &seen).with_context(place)?;
    let explicit = &chosen.explicit;
    let mut adopted = Vec::new();
    let mut follow = |key: &str, value: String, take: &mut dyn FnMut()| {
        if !explicit.contains(key) {
            take();
            adopted.push(format!("{key} = {value}"));
        }
    };
    let Config { model, data, .. } = &mut chosen.config;
    let quoted = |value: &dyn std::fmt::Display| format!("\"{value}\"");
    follow("model.backbone", quoted(&seen.architecture), &mut || model.backbone = seen.architecture);
    follow("model.embedding_size", seen.embedding_size.to_string(), &mut || {
        model.embedding_size = Some(seen.embedding_size);
    });
    follow("model.input_size", seen.input_size.to_string(), &mut || model.input_size = seen.input_size);
    follow("data.normalise", quoted(&normalise), &mut || data.normalise = normalise);
    if !adopted.is_empty() {
        chosen.notes.push(format!("{}: as the weights in {} are", adopted.join(", "), path.display()));
    }
    Ok(())
}

/// Begins `backbone` with the weights in `path`.
///
/// # Errors
/// If they cannot be read or do not fit.
pub(crate) fn begin_with(backbone: &Backbone, path: &Path) -> anyhow::Result<()> {
    let path = sources::expand(path)?;
    let file = read(&path)?;
    if let Err(error) = backbone.load_state_dict(&file.state) {
        let found = match file.guess() {
            Ok(guess) if guess.config.architecture != backbone.config().architecture => {
                format!("; the file looks like {}", guess.config)
            }
            _ => String::new(),
        };
        bail!("model.weights: {}: {error}{found}", path.display());
    }
    Ok(())
}

/// Advice for those who train on few images from nothing; drawn ones are as many as one likes.
pub(crate) fn advice(config: &Config, images: usize) -> Option<String> {
    let is_asked = config.model.weights.is_none() && config.data.source != SourceKind::Procedural;
    (is_asked && images < FEW_IMAGES).then(|| {
        format!(
            "{images} images are few to train a network from nothing: below {FEW_IMAGES}, fine-tune a trained one with \
             --set model.weights=FILE, and keep its first stages with model.freeze"
        )
    })
}
