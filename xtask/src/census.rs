//! What a run was trained on, in three numbers that tell whether the data set is still the same.
//! Knows no pixels: a file that was replaced under its name is not noticed.

use anyhow::{Context, bail};
use arcface_data::Source;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::sources::Planted;

/// Where it stands in the provenance of a run.
pub(crate) const KEY: &str = "data";

/// Numbers of images and identities, and a digest of all labels and names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Census {
    pub(crate) images: usize,
    pub(crate) identities: usize,
    pub(crate) digest: String,
}

impl Census {
    /// That of the faces to train on.
    pub(crate) fn of(source: &dyn Source, planted: Option<&Planted>) -> Self {
        let mut digest = labelled(Digest::new(), source);
        if let Some(planted) = planted {
            // The noisy set has no file names of its own.
            digest = labelled(digest, &**planted.noisy().before());
            digest = planted.noisy().strangers().map_or(digest, |strangers| labelled(digest, &**strangers));
        }
        Self { images: source.len(), identities: source.num_identities(), digest: digest.text() }
    }

    /// Compares with what a run's provenance says; a run of an older version says nothing.
    ///
    /// # Errors
    /// If the data set is another.
    pub(crate) fn check(&self, provenance: &Value) -> anyhow::Result<Standing> {
        if provenance[KEY].is_null() {
            return Ok(Standing::Unknown);
        }
        let then: Self = serde_json::from_value(provenance[KEY].clone()).context("key `data`")?;
        if then == *self {
            return Ok(Standing::Same);
        }
        let Self { images, identities, digest } = self;
        bail!(
            "the data set has changed since the run: expected {} images of {} identities (digest {}), found {images} of \
             {identities} ({digest}); bring it back, or train again",
            then.images,
            then.identities,
            then.digest
        )
    }
}

/// Whether a data set is that of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is.
    Same,
    /// The run does not tell.
    Unknown,
}

/// `digest` with the names of all identities, and label and file name of all images.
fn labelled(digest: Digest, source: &dyn Source) -> Digest {
    let named = (0..source.num_identities() as u32)
        .fold(digest, |digest, label| digest.with(source.identity(label).as_bytes()).with(b"\n"));
    (0..source.len()).fold(named, |digest, index| {
        let digest = digest.with(&source.label(index).to_le_bytes());
        source.file_name(index).map_or(digest, |name| digest.with(name.as_bytes()).with(b"\n"))
    })
}
