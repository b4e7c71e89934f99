//! Whether faces are memorised: the training images that lie nearest to what was made, by the same network.
//! Knows no inversion.

use std::path::Path;

use anyhow::Context;
use arcface_data::source::images_by_identity;
use arcface_data::{Image, Source};
use serde::Serialize;

use super::judge::cosine;
use super::targets::References;
use super::vectors::Vectors;
use crate::embedded::{Faces, each_readable, kept};
use crate::finished::Finished;
use crate::net::Net;
use crate::run::RunFolder;

/// Faces of a class that stand for it.
const FACES: usize = 10;

/// The training images of a run.
pub(super) struct Memory {
    run: Finished,
    /// Names the embeddings that are kept beside the run.
    which: String,
}

/// The one that is nearest to an image.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Nearest {
    pub(super) image: String,
    pub(super) class: u32,
    pub(super) identity: String,
    pub(super) cosine: f64,
    #[serde(skip)]
    index: usize,
}

impl Memory {
    /// Those of the run around `checkpoint`; `None`, with a word why, where they cannot be opened.
    pub(super) fn open(checkpoint: &Path) -> Option<Self> {
        let run = RunFolder::around(checkpoint)?;
        match Finished::open(run.path()) {
            Ok(run) if run.checkpoint == checkpoint => Some(Self { run, which: "train".to_owned() }),
            Ok(run) => {
                let step = checkpoint.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Some(Self {
                    run: Finished { checkpoint: checkpoint.to_owned(), ..run },
                    which: format!("train-{step}"),
                })
            }
            Err(error) => {
                eprintln!("nearest training images are not looked for: {error:#}");
                None
            }
        }
    }

    /// The image that is nearest to each embedding, of those that could be read; the embeddings of the training set are
    /// measured once and kept beside the run.
    ///
    /// # Errors
    /// If a training image cannot be read, the disk is full, or the user interrupts.
    pub(super) fn nearest(&self, net: &Net, embeddings: &Vectors) -> anyhow::Result<Vec<Nearest>> {
        let faces = Faces::all(&self.run.source);
        let mut best = vec![(f64::NEG_INFINITY, 0); embeddings.rows().len()];
        each_readable(kept(&self.run, &self.which, &faces, &net.backbone)?, |index, row| {
            for (best, embedding) in best.iter_mut().zip(embeddings.rows()) {
                let cosine = cosine(embedding, row);
                if best.0 < cosine {
                    *best = (cosine, index);
                }
            }
            Ok(())
        })?;
        let source = &*self.run.source;
        Ok(best.into_iter().map(|(cosine, index)| nearest(source, index, cosine)).collect())
    }

    /// Some faces of each of `classes`, evenly over those that it has.
    pub(super) fn references(&self, classes: impl Iterator<Item = u32>) -> References {
        let images = images_by_identity(&*self.run.source);
        let some = |class: u32| {
            let all = images.get(class as usize).map_or(&[][..], Vec::as_slice);
            let count = all.len().min(FACES);
            (0..count).map(|number| all[number * all.len() / count]).collect()
        };
        References { source: self.run.source.clone(), of: classes.map(some).collect() }
    }

    /// Its pixels.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn image(&self, nearest: &Nearest) -> anyhow::Result<Image> {
        self.run.source.image(nearest.index).with_context(|| nearest.image.clone())
    }
}

fn nearest(source: &dyn Source, index: usize, cosine: f64) -> Nearest {
    let class = source.label(index);
    Nearest { image: source.describe(index), class, identity: source.identity(class), cosine, index }
}
