//! `cargo xtask embed`: images → a file of embeddings, a row for each.
//! Knows no identities and no pairs.

pub(crate) mod element;
pub(crate) mod format;
pub(crate) mod kept;
mod layout;
pub(crate) mod matrix;
pub(crate) mod stored;
pub(crate) mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arcface_core::Error;
use arcface_data::source::{FileSource, image_files};
use arcface_data::{Batch, Loader, LoaderConfig, OnCorrupt, Source};
use arcface_eval::Embeddings;
use arcface_models::Inference;
use serde_json::{Value, json};

use crate::cli::{EmbedArguments, EmbeddingLength, OnFault};
use crate::config::Precision;
use crate::digest::Digest;
use crate::interrupt;
use crate::net::{Net, Overrides, spelling};
use crate::progress::Progress;
use crate::verify::{Mirror, Presentation};
use element::Element;
use format::{About, Format};
use kept::Kept;
use stored::NAME;
use table::{Begun, Table};

/// The largest number in half precision.
const LARGEST_HALF: f32 = 65_504.0;

/// Embeds the images and writes the file; what was stopped goes on where it was.
///
/// # Errors
/// If the network or an image cannot be read, or the file is there already.
pub(crate) fn run(arguments: &EmbedArguments) -> anyhow::Result<()> {
    interrupt::listen()?;
    let overrides = Overrides {
        backbone: arguments.backbone.clone(),
        normalise: arguments.normalise.clone(),
        computer: arguments.computer,
    };
    let net = Net::load(&arguments.net, &overrides)?;
    net.notes.iter().for_each(|note| eprintln!("{note}"));
    let images = images(&arguments.images)?;
    let format = Format::of(&arguments.out).with_context(|| format!("--out {}", arguments.out.display()))?;
    let run = Run {
        net: &net,
        images: &images,
        source: Arc::new(FileSource::new(images.iter().map(PathBuf::from).collect())),
        presentation: Presentation::to(&net, arguments.mirror.into(), arguments.batch_size, arguments.workers),
        length: length(arguments),
        element: if arguments.half { Element::Half } else { Element::Single },
    };
    let begun = Begun { key: run.key()?, images: images.len(), batch: arguments.batch_size, columns: run.columns() };
    let mut table = Table::open(&arguments.out, format, begun, run.about())?;
    run.fill(&mut table, arguments.on_corrupt).inspect_err(|_| {
        eprintln!("{} of {} images are done; the same command goes on from there", table.images(), images.len());
    })?;
    let (rows, skipped) = (table.rows(), images.len() - table.rows());
    table.finish(&images)?;
    let out = arguments.out.display();
    eprintln!(
        "{rows} embeddings of {} values in {out}, their images in {out}.paths.txt, {skipped} skipped",
        run.columns()
    );
    Ok(())
}

/// What is embedded, and how.
pub(crate) struct Run<'a> {
    pub(crate) net: &'a Net,
    /// What the images are called.
    pub(crate) images: &'a [String],
    pub(crate) source: Arc<dyn Source>,
    pub(crate) presentation: Presentation,
    pub(crate) length: EmbeddingLength,
    /// How the numbers are stored.
    pub(crate) element: Element,
}

impl Run<'_> {
    fn columns(&self) -> usize {
        self.net.backbone.config().embedding_size
    }

    /// Keeps the embeddings in the file at `path`, which depends on `key`; what is there already is not made again.
    ///
    /// # Errors
    /// If an image cannot be read, the disk is full, or the user interrupts.
    pub(crate) fn keep(&self, path: &Path, key: Value) -> anyhow::Result<()> {
        let kept = Kept {
            path,
            name: NAME,
            element: self.element,
            key,
            images: self.images.len(),
            batch: self.presentation.batch_size,
            columns: self.columns(),
        };
        kept.ensure(|image| self.images[image].clone(), |table| self.fill(table, OnFault::Error))
    }

    /// All that the numbers depend on, the contents of the images left aside.
    ///
    /// # Errors
    /// If the network's file cannot be read.
    pub(crate) fn key(&self) -> anyhow::Result<Value> {
        let mut key = json!({
            "weights": Digest::of_file(&self.net.path)?,
            "network": self.net.backbone.config().to_string(),
            "normalisation": spelling(self.net.normalisation),
            "mirror": self.presentation.mirror == Mirror::With,
            "length": name(self.length),
            "precision": self.element.safetensors(),
            "batch size": self.presentation.batch_size,
            "images": Digest::of(self.images.join("\n").as_bytes()),
        });
        // The usual one is not said, so that what was kept before there were others still counts.
        if self.net.computer.precision != Precision::F32 {
            key["computed in"] = json!(self.net.computer.precision);
        }
        Ok(key)
    }

    /// What is said in a file that has room for it.
    fn about(&self) -> About {
        let metadata = vec![
            ("network", self.net.backbone.config().to_string()),
            ("weights", self.net.path.display().to_string()),
            ("normalisation", spelling(self.net.normalisation).to_owned()),
            ("mirror", (self.presentation.mirror == Mirror::With).to_string()),
            ("length", name(self.length).to_owned()),
        ];
        About { name: NAME, element: self.element, metadata }
    }

    /// Embeds what the table lacks.
    fn fill(&self, table: &mut Table, on_corrupt: OnFault) -> anyhow::Result<()> {
        let (loader, network) = (self.loader(on_corrupt)?, self.net.backbone.inference()?);
        fill(table, &loader, "embed", |batch, skipped| Ok((self.rows(&network, batch, &skipped)?, skipped)))
    }

    fn loader(&self, on_corrupt: OnFault) -> anyhow::Result<Loader> {
        let on_corrupt = match on_corrupt {
            OnFault::Error => OnCorrupt::Error,
            OnFault::Skip => OnCorrupt::Skip,
        };
        let config = LoaderConfig { on_corrupt, ..self.presentation.loader() };
        Ok(Loader::in_order(self.source.clone(), (0..self.images.len()).collect(), &config)?)
    }

    /// The embeddings of a batch without those of images that took the place of others.
    fn rows(&self, network: &Inference, batch: Batch, skipped: &[(usize, String)]) -> anyhow::Result<Vec<f32>> {
        let Batch { images, indices, .. } = batch;
        let [plain, mirror] = self.presentation.embed(network, images)?;
        let columns = self.columns();
        let mut mirror = mirror.chunks_exact(columns);
        let mut rows = Vec::with_capacity(plain.len());
        for (place, (plain, index)) in plain.chunks_exact(columns).zip(indices).enumerate() {
            let mirror = mirror.next();
            if skipped.iter().all(|(other, _)| *other != place) {
                let row = row(plain, mirror, self.length).and_then(|row| self.storable(row));
                rows.extend(row.with_context(|| self.images[index].clone())?);
            }
        }
        Ok(rows)
    }

    /// That a row has numbers which its file can hold.
    fn storable(&self, row: Vec<f32>) -> arcface_core::Result<Vec<f32>> {
        let largest = row.iter().map(|value| value.abs()).fold(0.0, f32::max);
        if self.element == Element::Half && LARGEST_HALF < largest {
            let expected = format!("values up to {LARGEST_HALF} in half precision (use --length unit, or no --half)");
            return Err(Error::value("embedding", expected, largest));
        }
        Ok(row)
    }
}

/// The images of folders, each in the order of its paths, and single ones.
///
/// # Errors
/// If a folder has none, a path leads nowhere, or a name cannot be one line of text.
pub(crate) fn images(arguments: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut images = Vec::new();
    for path in arguments {
        let text = path.to_str().with_context(|| format!("{}: the name is not UTF-8; rename it", path.display()))?;
        if !path.is_dir() {
            images.push(text.to_owned());
            continue;
        }
        let files = image_files(path)?;
        if files.is_empty() {
            bail!("{text}: expected images (.jpg, .jpeg, .png), found none");
        }
        images.extend(files.iter().map(|file| format!("{}/{file}", text.trim_end_matches('/'))));
    }
    if let Some(missing) = images.iter().find(|image| !Path::new(image).is_file()) {
        bail!("{missing}: no such file or folder; check the path");
    }
    if let Some(broken) = images.iter().find(|image| image.contains(['\n', '\r'])) {
        bail!("{broken:?}: expected a path without line breaks; rename it");
    }
    Ok(images)
}

fn length(arguments: &EmbedArguments) -> EmbeddingLength {
    let usual = if arguments.mirror { EmbeddingLength::Unit } else { EmbeddingLength::Raw };
    arguments.length.unwrap_or(usual)
}

fn name(length: EmbeddingLength) -> &'static str {
    match length {
        EmbeddingLength::Raw => "raw",
        EmbeddingLength::Unit => "unit",
    }
}

/// Places of a batch that another image was put into, each with the reason.
pub(crate) type Skipped = Vec<(usize, String)>;

/// Makes the rows that `table` lacks, batch by batch; `rows` gives those of a batch, and the places that give none.
///
/// # Errors
/// If an image cannot be read, `rows` fails, the disk is full, or the user interrupts.
pub(crate) fn fill(
    table: &mut Table,
    loader: &Loader,
    what: &str,
    mut rows: impl FnMut(Batch, Skipped) -> anyhow::Result<(Vec<f32>, Skipped)>,
) -> anyhow::Result<()> {
    let progress = Progress::new(what, "img", table.expected() as u64);
    for batch in loader.batches(table.next_batch(), loader.batches_per_epoch()) {
        interrupt::check()?;
        let batch = batch?;
        let skipped = skipped(&batch, &loader.batch_indices(batch.step));
        for (_, message) in &skipped {
            progress.say(&format!("skipped: {message}"));
        }
        let (rows, without) = rows(batch, skipped)?;
        table.push(&rows, without)?;
        progress.at(table.images() as u64, "");
    }
    progress.finish();
    Ok(())
}

fn skipped(batch: &Batch, expected: &[usize]) -> Skipped {
    let places = (0..expected.len()).filter(|place| batch.indices[*place] != expected[*place]);
    places.zip(batch.skipped.iter().cloned()).collect()
}

/// The embedding of one image.
fn row(plain: &[f32], mirror: Option<&[f32]>, length: EmbeddingLength) -> arcface_core::Result<Vec<f32>> {
    let row = match (length, mirror) {
        (EmbeddingLength::Unit, Some(mirror)) => Embeddings::with_mirrors(plain, mirror, plain.len())?.row(0).to_vec(),
        (EmbeddingLength::Unit, None) => Embeddings::normalised(plain, plain.len())?.row(0).to_vec(),
        (EmbeddingLength::Raw, Some(mirror)) => plain.iter().zip(mirror).map(|(a, b)| a + b).collect(),
        (EmbeddingLength::Raw, None) => plain.to_vec(),
    };
    match row.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::value("embedding", "finite values (a diverged network gives others)", value)),
        None => Ok(row),
    }
}
