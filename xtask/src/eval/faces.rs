//! Faces of a protocol with their embeddings: those of a network, made once and kept, or those of a file.
//! Knows no protocol: images come as a list.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::{Context, bail};
use arcface_data::Source;
use arcface_data::align::TEMPLATE_SIZE;
use arcface_data::source::{FileSource, image_files};

use super::embeddings::facts;
use crate::cli::{EmbeddingLength, FaceArguments};
use crate::digest::Digest;
use crate::embed::Run;
use crate::embed::element::Element;
use crate::embed::stored::Stored;
use crate::net::{Net, Overrides, spelling};
use crate::verify::Presentation;

/// Images to embed.
pub(super) struct Images {
    /// The path of each.
    pub(super) paths: Vec<String>,
    pub(super) source: Arc<dyn Source>,
    /// What else than the files the pictures depend on, such as landmarks.
    pub(super) made_by: String,
}

impl Images {
    /// Aligned faces as they are.
    pub(super) fn aligned(paths: Vec<String>) -> Self {
        let source = Arc::new(FileSource::new(paths.iter().map(PathBuf::from).collect()));
        Self { paths, source, made_by: "aligned".to_owned() }
    }

    /// All images below `folder` and its sub-folders, in the order of their paths.
    ///
    /// # Errors
    /// If there is none; `layout` says what was expected.
    pub(super) fn below(folder: &Path, layout: &str) -> anyhow::Result<Self> {
        Ok(Self::aligned(paths_below(folder, layout)?))
    }

    /// Names, lengths and times of change of the files, and what else the pictures depend on.
    fn digest(&self) -> anyhow::Result<String> {
        let mut digest = Digest::new().with(self.made_by.as_bytes());
        for path in &self.paths {
            let about = std::fs::metadata(path).with_context(|| path.clone())?;
            let changed = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let numbers = [u128::from(about.len()), changed.map_or(0, |time| time.as_nanos())];
            digest =
                numbers.iter().fold(digest.with(path.as_bytes()), |digest, number| digest.with(&number.to_le_bytes()));
        }
        Ok(digest.text())
    }
}

/// The images below `folder` and its sub-folders, in the order of their paths.
///
/// # Errors
/// As [`Images::below`].
pub(super) fn paths_below(folder: &Path, layout: &str) -> anyhow::Result<Vec<String>> {
    if !folder.is_dir() {
        bail!("{}: expected {layout}, found no such folder", folder.display());
    }
    let files = image_files(folder)?;
    if files.is_empty() {
        bail!("{}: expected {layout}, found no image (.jpg, .jpeg, .png) in it", folder.display());
    }
    Ok(files.into_iter().map(|file| format!("{}/{file}", folder.display())).collect())
}

/// Embeddings in a file with the path of each.
pub(super) struct Embedded {
    pub(super) stored: Stored,
    pub(super) paths: Vec<String>,
    /// The network or the file.
    pub(super) subject: String,
    pub(super) facts: Vec<(&'static str, String)>,
    /// Of the pictures.
    pub(super) image_size: usize,
}

impl Embedded {
    /// The embeddings of `images` by the network of the command line, or those of its file.
    ///
    /// `images` is asked for the folder and the size of the network's input, only where a network is to see them.
    ///
    /// # Errors
    /// If a network, an image or the file cannot be read.
    pub(super) fn open(
        arguments: &FaceArguments,
        protocol: &str,
        images: impl FnOnce(&Path, usize) -> anyhow::Result<Images>,
    ) -> anyhow::Result<Self> {
        match (&arguments.features, &arguments.net) {
            (Some(file), _) => Self::of_file(file),
            (None, Some(net)) => Self::of_network(arguments, protocol, net, images),
            (None, None) => bail!("expected a network or --features"),
        }
    }

    fn of_file(file: &Path) -> anyhow::Result<Self> {
        let stored = Stored::open(file)?;
        let (paths, facts) = (stored.names()?, facts(&stored));
        Ok(Self { stored, paths, subject: file.display().to_string(), facts, image_size: TEMPLATE_SIZE })
    }

    /// Embeds what the kept file lacks.
    fn of_network(
        arguments: &FaceArguments,
        protocol: &str,
        net: &Path,
        images: impl FnOnce(&Path, usize) -> anyhow::Result<Images>,
    ) -> anyhow::Result<Self> {
        let folder = folder(arguments)?;
        let overrides = Overrides {
            backbone: arguments.backbone.clone(),
            normalise: arguments.normalise.clone(),
            computer: arguments.computer,
        };
        let network = Net::load(net, &overrides)?;
        network.notes.iter().for_each(|note| eprintln!("{note}"));
        let image_size = network.backbone.config().input_size;
        let images = images(folder, image_size)?;
        let run = Run {
            net: &network,
            images: &images.paths,
            source: images.source.clone(),
            presentation: Presentation::to(&network, arguments.mirror.into(), arguments.batch_size, arguments.workers),
            length: EmbeddingLength::Raw,
            element: if arguments.half { Element::Half } else { Element::Single },
        };
        let mut key = run.key()?;
        key["files"] = images.digest()?.into();
        let path = kept_path(arguments, protocol, &key.to_string())?;
        run.keep(&path, key)?;
        let stored = Stored::open(&path)?;
        let mut facts = facts(&stored);
        facts.push(("network", network.backbone.config().to_string()));
        facts.push(("images normalised as", spelling(network.normalisation).to_owned()));
        facts.push(("mirror images added", if arguments.mirror { "yes" } else { "no" }.to_owned()));
        facts.push(("embeddings kept in", path.display().to_string()));
        Ok(Self { stored, paths: images.paths, subject: net.display().to_string(), facts, image_size })
    }
}

/// The folder of the protocol.
///
/// # Errors
/// If none is given.
pub(super) fn folder(arguments: &FaceArguments) -> anyhow::Result<&Path> {
    arguments.dir.as_deref().context("--dir: expected the folder of the protocol, laid out as `--help` says")
}

/// The file that keeps what depends on `key`.
///
/// # Errors
/// If its folder cannot be made.
pub(super) fn kept_path(arguments: &FaceArguments, what: &str, key: &str) -> anyhow::Result<PathBuf> {
    let folder = &arguments.cache;
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder.join(format!("{what}-{}.safetensors", Digest::of(key.as_bytes()))))
}
