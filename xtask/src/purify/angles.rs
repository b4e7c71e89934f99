//! The angles between every training image and the sub-centers of its class, kept beside the run.
//! Knows no threshold; no more than a batch of embeddings is held at a time.

use anyhow::Context;
use arcface_core::checkpoint::load_tensors;
use arcface_data::purify::Places;
use arcface_data::{Batch, Loader, LoaderConfig, Source};
use arcface_models::Inference;
use serde_json::{Value, json};

use super::subject::Subject;
use crate::digest::Digest;
use crate::embed::element::Element;
use crate::embed::kept::Kept;
use crate::embed::table::Table;
use crate::embed::{self, Skipped};
use crate::run::{STATE, WEIGHTS};
use crate::train::presentation;
use crate::verify::{Mirror, Presentation};

/// In the run's folder: (N, K) in degrees, NaN for an image that could not be read.
const FILE: &str = "angles.safetensors";
/// The tensor.
const NAME: &str = "angles";

/// Where all images lie; what was measured before is not measured again, and what was stopped goes on.
///
/// # Errors
/// If an image cannot be read, its embedding has no direction, or the user interrupts.
pub(super) fn places(subject: &Subject) -> anyhow::Result<Places> {
    let path = subject.run.path().join(FILE);
    let kept = Kept {
        path: &path,
        name: NAME,
        element: Element::Single,
        key: key(subject)?,
        images: subject.source.len(),
        batch: subject.config.eval.batch_size,
        columns: subject.per_class(),
    };
    kept.ensure(|index| subject.source.describe(index), |table| fill(subject, table))?;
    let damaged = || format!("{}: expected an angle of every image to {NAME}; remove the file", path.display());
    let (mut tensors, _) = load_tensors(&path)?;
    let angles: Vec<f32> = tensors.remove(NAME).with_context(damaged)?.flatten_all()?.to_vec1()?;
    let source = &subject.source;
    let labels = (0..source.len()).map(|index| source.label(index)).collect();
    Places::new(&angles, subject.per_class(), labels, source.num_identities()).with_context(damaged)
}

/// All that the angles depend on.
fn key(subject: &Subject) -> anyhow::Result<Value> {
    Ok(json!({
        "weights": Digest::of_file(&subject.checkpoint.join(WEIGHTS))?,
        "centers": Digest::of_file(&subject.checkpoint.join(STATE))?,
        "images": subject.census,
        "batch size": subject.config.eval.batch_size,
    }))
}

/// Measures what the table lacks.
fn fill(subject: &Subject, table: &mut Table) -> anyhow::Result<()> {
    let presentation = Presentation {
        mirror: Mirror::Without,
        normalisation: subject.net.normalisation,
        image_size: subject.net.backbone.config().input_size,
        cache_bytes: 0,
        ..presentation(&subject.config)
    };
    let config = LoaderConfig { on_corrupt: subject.config.data.on_corrupt, ..presentation.loader() };
    let loader = Loader::in_order(subject.source.clone(), (0..subject.source.len()).collect(), &config)?;
    let network = subject.net.backbone.inference()?;
    embed::fill(table, &loader, "purify", |batch, unreadable| {
        Ok((angles(subject, &network, &presentation, batch, &unreadable)?, Vec::new()))
    })
}

/// K angles of each image of a batch, NaN where another image stands in for an unreadable one.
fn angles(
    subject: &Subject,
    network: &Inference,
    presentation: &Presentation,
    batch: Batch,
    unreadable: &Skipped,
) -> anyhow::Result<Vec<f32>> {
    let Batch { images, labels, indices, .. } = batch;
    let [embeddings, _] = presentation.embed(network, images)?;
    let size = subject.net.backbone.config().embedding_size;
    let mut angles = Vec::with_capacity(labels.len() * subject.per_class());
    for (place, (embedding, label)) in embeddings.chunks_exact(size).zip(labels).enumerate() {
        if unreadable.iter().any(|(other, _)| *other == place) {
            angles.extend(std::iter::repeat_n(f32::NAN, subject.per_class()));
        } else {
            let own = subject.centers.angles(label, embedding);
            angles.extend(own.with_context(|| subject.source.describe(indices[place]))?);
        }
    }
    Ok(angles)
}
