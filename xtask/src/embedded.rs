//! Faces with their labels, and their embeddings by a network, batch by batch or kept beside a run.
//! Knows no angle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arcface_data::pairs::folder;
use arcface_data::{Batch, Loader, LoaderConfig, PairSet, Source};
use arcface_models::Backbone;

use crate::config::Config;
use crate::digest::Digest;
use crate::embed;
use crate::embed::element::Element;
use crate::embed::kept::Kept;
use crate::embed::matrix::Matrix;
use crate::finished::Finished;
use crate::interrupt;
use crate::progress::Progress;
use crate::run::WEIGHTS;
use crate::train::presentation;
use crate::verify::{Mirror, Presentation};

/// Some faces of a source, and who they show.
pub(crate) struct Faces {
    source: Arc<dyn Source>,
    images: Vec<usize>,
    /// Of each image.
    pub(crate) labels: Vec<u32>,
    /// Labels are below it.
    pub(crate) classes: usize,
}

impl Faces {
    /// All faces of a source.
    pub(crate) fn all(source: &Arc<dyn Source>) -> Self {
        Self::chosen(source, (0..source.len()).collect())
    }

    /// At most `most` faces, evenly over the source.
    pub(crate) fn some(source: &Arc<dyn Source>, most: usize) -> Self {
        let (all, count) = (source.len(), source.len().min(most));
        Self::chosen(source, (0..count).map(|number| number * all / count).collect())
    }

    fn chosen(source: &Arc<dyn Source>, images: Vec<usize>) -> Self {
        let labels = images.iter().map(|index| source.label(*index)).collect();
        Self { classes: source.num_identities(), source: source.clone(), images, labels }
    }

    /// The faces of a list of pairs, each person called by the folder of its images; `None` if a key names no folder.
    pub(crate) fn listed(set: &PairSet) -> Option<Self> {
        let mut folders = vec![""; set.images.len()];
        for (pair, places) in set.list.pairs.iter().zip(&set.positions) {
            for (key, place) in [&pair.a, &pair.b].into_iter().zip(places) {
                folders[*place] = folder(key)?;
            }
        }
        let people: BTreeSet<&str> = folders.iter().copied().collect();
        let people: BTreeMap<&str, u32> = people.into_iter().zip(0..).collect();
        Some(Self {
            labels: folders.iter().map(|folder| people[folder]).collect(),
            classes: people.len(),
            source: set.source.clone(),
            images: set.images.clone(),
        })
    }

    /// Number of faces.
    pub(crate) fn len(&self) -> usize {
        self.images.len()
    }

    fn loader(&self, config: &Config) -> anyhow::Result<(Loader, Presentation)> {
        let presentation = Presentation { mirror: Mirror::Without, cache_bytes: 0, ..presentation(config) };
        let loader = LoaderConfig { on_corrupt: config.data.on_corrupt, ..presentation.loader() };
        Ok((Loader::in_order(self.source.clone(), self.images.clone(), &loader)?, presentation))
    }

    fn describe(&self, number: usize) -> String {
        self.source.describe(self.images[number])
    }
}

/// Shows the embedding of every face to `visit`, with its label; faces that cannot be read are left out as the
/// configuration says.
///
/// # Errors
/// If a face cannot be read, `visit` fails, or the user interrupts.
pub(crate) fn each(
    what: &str,
    faces: &Faces,
    config: &Config,
    backbone: &Backbone,
    mut visit: impl FnMut(u32, &[f32]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (loader, presentation) = faces.loader(config)?;
    let (network, size) = (backbone.inference()?, backbone.config().embedding_size);
    let progress = Progress::new(what, "img", faces.len() as u64);
    let mut first = 0;
    for batch in loader.batches(0, loader.batches_per_epoch()) {
        interrupt::check()?;
        let Batch { images, indices, .. } = batch?;
        let [rows, _] = presentation.embed(&network, images)?;
        for (number, (row, index)) in (first..).zip(rows.chunks_exact(size).zip(&indices)) {
            // Another face stands in for one that cannot be read.
            if *index == faces.images[number] {
                visit(faces.labels[number], row).with_context(|| faces.describe(number))?;
            }
        }
        first += indices.len();
        progress.at(first as u64, "");
    }
    progress.finish();
    Ok(())
}

/// The embeddings (N, D) of `faces` by the last network of a run, kept in its folder as `embeddings-WHICH.safetensors`;
/// the rows of faces that could not be read are NaN.
///
/// # Errors
/// If a face cannot be read, the disk is full, or the user interrupts.
pub(crate) fn kept(run: &Finished, which: &str, faces: &Faces, backbone: &Backbone) -> anyhow::Result<Matrix> {
    const NAME: &str = "embeddings";
    let path = run.run.path().join(format!("embeddings-{which}.safetensors"));
    let kept = Kept {
        path: &path,
        name: NAME,
        element: Element::Single,
        key: serde_json::json!({
            "weights": Digest::of_file(&run.checkpoint.join(WEIGHTS))?,
            "faces": digest(faces),
            "images": run.census,
            "batch size": run.config.eval.batch_size,
        }),
        images: faces.len(),
        batch: run.config.eval.batch_size,
        columns: backbone.config().embedding_size,
    };
    kept.ensure(|number| faces.describe(number), |table| fill(run, which, faces, backbone, &path, table))?;
    Matrix::open(&path, NAME)
}

/// Shows the rows of faces that could be read, with their numbers, to `visit`.
///
/// # Errors
/// Those of `visit`, and if the file cannot be read.
pub(crate) fn each_readable(
    embeddings: Matrix,
    mut visit: impl FnMut(usize, &[f32]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    embeddings.each(|number, row| if row.iter().all(|value| value.is_nan()) { Ok(()) } else { visit(number, row) })
}

fn fill(
    run: &Finished,
    which: &str,
    faces: &Faces,
    backbone: &Backbone,
    path: &Path,
    table: &mut embed::table::Table,
) -> anyhow::Result<()> {
    let (loader, presentation) = faces.loader(&run.config)?;
    let (network, size) = (backbone.inference()?, backbone.config().embedding_size);
    eprintln!("{}: embeddings of {} faces", path.display(), faces.len());
    embed::fill(table, &loader, which, |batch, unreadable| {
        let [mut rows, _] = presentation.embed(&network, batch.images)?;
        for (place, _) in unreadable {
            rows[place * size..][..size].fill(f32::NAN);
        }
        Ok((rows, Vec::new()))
    })
}

/// Names and labels of the faces.
fn digest(faces: &Faces) -> String {
    let labelled = (0..faces.len()).fold(Digest::new(), |digest, number| {
        digest.with(faces.describe(number).as_bytes()).with(&faces.labels[number].to_le_bytes())
    });
    labelled.text()
}
