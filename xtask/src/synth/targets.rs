//! What is aimed at: classes, the embeddings of faces, or embeddings from a file; each image has one target and a name.
//! Knows no step of an inversion.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arcface_core::Result;
use arcface_core::candle::{Device, Tensor};
use arcface_data::source::FileSource;
use arcface_data::{Image, PairList, PairSet, Source};
use arcface_synth::Distance;

use super::head::Head;
use super::people::People;
use super::vectors::Vectors;
use super::{judge, vectors};
use crate::cli::SynthArguments;
use crate::config::{self, Chosen};
use crate::digest::Digest;
use crate::net::Net;
use crate::run::RunFolder;
use crate::{embed, sources};

/// The targets, and what images are to do for them.
pub(super) struct Targets {
    pub(super) list: Vec<Target>,
    pub(super) goal: Goal,
    /// The faces of the targets; none where nothing but embeddings is known.
    pub(super) references: Option<References>,
    /// Where the faces are those of pairs.
    pub(super) people: Option<People>,
}

/// Faces to compare with what was made.
pub(super) struct References {
    pub(super) source: Arc<dyn Source>,
    /// Of each target, one or more.
    pub(super) of: Vec<Vec<usize>>,
}

/// What one image is to show.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Of the image's file, without its ending.
    pub(super) name: String,
    pub(super) aim: Aim,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aim {
    Class(u32),
    /// As its source calls it.
    Face(String),
    Row(usize),
}

/// What makes an image better.
#[derive(Debug)]
pub(super) enum Goal {
    /// A smaller loss of its class.
    Class(Box<Head>),
    /// An embedding nearer to its target, a row each.
    Embedding(Vectors, Distance),
}

/// The goal of some of the images.
#[derive(Debug)]
pub(super) enum BatchGoal<'a> {
    Class(&'a mut Head, Vec<u32>),
    /// With their rows.
    Embedding(arcface_synth::Targets, Vec<&'a [f32]>),
}

impl References {
    /// The first face of a target.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn first(&self, target: usize) -> anyhow::Result<Image> {
        let index = self.of.get(target).and_then(|faces| faces.first()).context("a target without a face")?;
        self.source.image(*index).with_context(|| self.source.describe(*index))
    }
}

impl Targets {
    /// Each of the classes `per_class` times.
    ///
    /// # Errors
    /// If a class is no number or does not exist.
    pub(super) fn classes(head: Head, classes: &[String], per_class: usize) -> anyhow::Result<Self> {
        let mut list = Vec::new();
        for class in numbers(classes, head.classes())? {
            let name =
                |number| if per_class == 1 { format!("class-{class}") } else { format!("class-{class}-{number}") };
            list.extend((1..=per_class).map(|number| Target { name: name(number), aim: Aim::Class(class) }));
        }
        Ok(Self { list, goal: Goal::Class(Box::new(head)), references: None, people: None })
    }

    /// Faces of `source` by `net`.
    ///
    /// # Errors
    /// If one cannot be read, has another size than the network takes, or an embedding of no use.
    pub(super) fn faces(
        net: &Net,
        source: Arc<dyn Source>,
        indices: &[usize],
        distance: Option<Distance>,
    ) -> anyhow::Result<Self> {
        let vectors = judge::embeddings("targets", net, &source, indices.to_vec())?;
        for (row, index) in vectors.rows().zip(indices) {
            check_usable(row).with_context(|| source.describe(*index))?;
        }
        let described: Vec<String> = indices.iter().map(|index| source.describe(*index)).collect();
        let names = unique(described.iter().map(|face| stem(face)));
        let list = names.into_iter().zip(described).map(|(name, face)| Target { name, aim: Aim::Face(face) });
        Ok(Self {
            list: list.collect(),
            goal: Goal::Embedding(vectors, distance.unwrap_or(Distance::Euclidean)),
            references: Some(References { source, of: indices.iter().map(|index| vec![*index]).collect() }),
            people: None,
        })
    }

    /// A face of each of at most `count` people of `set`.
    ///
    /// # Errors
    /// As [`Self::faces`] and [`People::of`].
    pub(super) fn people(net: &Net, set: PairSet, count: usize, distance: Option<Distance>) -> anyhow::Result<Self> {
        let people = People::of(set, count)?;
        let indices: Vec<usize> = people.aimed.iter().map(|place| people.set.images[*place]).collect();
        let targets = Self::faces(net, people.set.source.clone(), &indices, distance)?;
        Ok(Self { people: Some(people), ..targets })
    }

    /// The embeddings in a file, or the first `count` of them, for a network that gives `size` values.
    ///
    /// Those of length 1 have lost theirs, so that only their direction can be reached: unless a distance is chosen, it is
    /// then the cosine, and that is said.
    ///
    /// # Errors
    /// If the file cannot be read, or holds no embeddings of the network's size.
    pub(super) fn embeddings(
        path: &Path,
        size: usize,
        count: usize,
        distance: Option<Distance>,
    ) -> anyhow::Result<Self> {
        let mut vectors = Vectors::read(path, size)?;
        vectors.values.truncate(count.saturating_mul(size));
        let distance = distance.unwrap_or_else(|| usual_distance(path, &vectors));
        let target = |row| Target { name: format!("row-{row:04}"), aim: Aim::Row(row) };
        Ok(Self {
            list: (0..vectors.rows().len()).map(target).collect(),
            goal: Goal::Embedding(vectors, distance),
            references: None,
            people: None,
        })
    }

    /// Those that the arguments name; classes are those of `head`.
    ///
    /// # Errors
    /// As the others.
    pub(super) fn of(
        arguments: &SynthArguments,
        net: &Net,
        head: Option<Head>,
        distance: Option<Distance>,
    ) -> anyhow::Result<Self> {
        let count = arguments.count.map_or(usize::MAX, std::num::NonZeroUsize::get);
        match (head, &arguments.embeddings) {
            (Some(_), _) if distance.is_some() => {
                bail!(
                    "--set distance: a class is aimed at by the loss of its run; a distance goes with --images or --embeddings"
                )
            }
            (Some(head), _) => Self::classes(head, &arguments.classes, arguments.per_class.get()),
            (None, Some(file)) => Self::embeddings(file, net.backbone.config().embedding_size, count, distance),
            (None, None) => {
                if let Some(set) = pairs(arguments)? {
                    return Self::people(net, set, count, distance);
                }
                let paths = embed::images(&arguments.images)?.into_iter().take(count).map(PathBuf::from);
                let source: Arc<dyn Source> = Arc::new(FileSource::new(paths.collect()));
                let indices: Vec<usize> = (0..source.len()).collect();
                Self::faces(net, source, &indices, distance)
            }
        }
    }

    /// A number for all that is aimed at.
    pub(super) fn digest(&self) -> String {
        let names =
            self.list.iter().fold(Digest::new(), |digest, target| digest.with(target.name.as_bytes()).with(b"\n"));
        let whole = match &self.goal {
            Goal::Class(head) => names.with(head.digest.as_bytes()),
            Goal::Embedding(vectors, _) => {
                vectors.values.iter().fold(names, |digest, value| digest.with(&value.to_le_bytes()))
            }
        };
        whole.text()
    }
}

impl Goal {
    /// In a word: the loss, or the distance.
    pub(super) fn word(&self) -> &str {
        match self {
            Self::Class(head) => &head.name,
            Self::Embedding(_, Distance::Euclidean) => "euclidean",
            Self::Embedding(_, Distance::Cosine) => "cosine",
        }
    }

    /// That of the `places` of `targets`.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub(super) fn of_batch(&mut self, targets: &[Target], places: Range<usize>) -> anyhow::Result<BatchGoal<'_>> {
        Ok(match self {
            Self::Class(head) => {
                let class = |target: &Target| if let Aim::Class(class) = target.aim { Some(class) } else { None };
                BatchGoal::Class(head, targets[places].iter().filter_map(class).collect())
            }
            Self::Embedding(Vectors { values, size }, distance) => {
                let values = &values[places.start * *size..places.end * *size];
                let rows = Tensor::from_slice(values, (places.len(), *size), &Device::Cpu)?;
                let targets = arcface_synth::Targets::new(&rows, *distance)?;
                BatchGoal::Embedding(targets, values.chunks_exact(*size).collect())
            }
        })
    }

    /// The cosine of image `place` to its target.
    pub(super) fn cosine(&self, target: &Target, place: usize, embedding: &[f32]) -> f64 {
        match (self, &target.aim) {
            (Self::Class(head), Aim::Class(class)) => head.cosine(embedding, *class),
            (Self::Embedding(vectors, _), _) => {
                vectors.rows().nth(place).map_or(0.0, |row| judge::cosine(embedding, row))
            }
            (Self::Class(_), _) => 0.0,
        }
    }
}

impl BatchGoal<'_> {
    /// What is to become small in `step`.
    ///
    /// # Shapes
    /// `embeddings` (B, D) → scalar.
    ///
    /// # Errors
    /// If the shape is another.
    pub(super) fn loss(&mut self, embeddings: &Tensor, step: u64) -> Result<Tensor> {
        match self {
            Self::Class(head, labels) => head.loss(embeddings, labels, step),
            Self::Embedding(targets, _) => targets.loss(embeddings),
        }
    }

    /// The cosine of image `place` of the batch to its target.
    pub(super) fn cosine(&self, place: usize, embedding: &[f32]) -> f64 {
        match self {
            Self::Class(head, labels) => head.cosine(embedding, labels[place]),
            Self::Embedding(_, rows) => judge::cosine(embedding, rows[place]),
        }
    }
}

fn usual_distance(path: &Path, vectors: &Vectors) -> Distance {
    if !vectors.are_unit() {
        return Distance::Euclidean;
    }
    eprintln!(
        "{}: embeddings of length 1 tell directions only: their cosine is aimed at; --set distance=euclidean changes it",
        path.display()
    );
    Distance::Cosine
}

/// A diverged network gives others.
fn check_usable(row: &[f32]) -> anyhow::Result<()> {
    let length = vectors::length(row);
    if 0.0 < length && length.is_finite() {
        return Ok(());
    }
    bail!("embedding: expected a finite length above 0 (a diverged network gives others), got {length}")
}

/// Classes and ranges of them, such as `0-63`, all below `classes`.
fn numbers(texts: &[String], classes: usize) -> anyhow::Result<Vec<u32>> {
    let mut all = Vec::new();
    for text in texts {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) else {
            bail!("--classes {text}: expected numbers of classes and ranges, such as 0,5,9 or 0-63");
        };
        if last < first {
            bail!("--classes {text}: expected the smaller class first");
        }
        if classes <= last as usize {
            bail!("--classes {text}: there is no class {last}; there are {classes}, 0 to {}", classes - 1);
        }
        all.extend(first..=last);
    }
    let mut seen = BTreeSet::new();
    match all.iter().find(|class| !seen.insert(**class)) {
        Some(twice) => bail!("--classes: class {twice} is named twice; --per-class makes several images of each"),
        None => Ok(all),
    }
}

/// The pairs that are listed, or that a run was verified on.
fn pairs(arguments: &SynthArguments) -> anyhow::Result<Option<PairSet>> {
    if let (Some(list), [folder]) = (&arguments.pairs, &arguments.images[..]) {
        return Ok(Some(PairList::read(list)?.resolve(folder)?));
    }
    if arguments.pairs.is_some() {
        bail!("--pairs: expected one folder of faces with it, --images DIR, got {}", arguments.images.len());
    }
    if !arguments.held_out {
        return Ok(None);
    }
    let Some(run) = RunFolder::around(&arguments.net) else {
        bail!(
            "{}: --held-out goes with a run, whose own pairs it means; give --images and --pairs",
            arguments.net.display()
        );
    };
    let mut chosen = Chosen::resumed(config::resume(&run.config(), &[])?, run.path().display().to_string());
    let set = sources::open(&mut chosen)?.pairs;
    let nothing = || format!("{}: the run was verified on no pairs; give --images and --pairs", run.path().display());
    Ok(Some(set.with_context(nothing)?))
}

/// A name for the file of what is made of a face.
fn stem(face: &str) -> String {
    let stem = Path::new(face).file_stem().unwrap_or_default().to_string_lossy();
    let kept = stem.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' });
    kept.collect()
}

/// Names that come again get a number behind them; files are told apart on systems that ignore case, too.
fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut free = |name: String| {
        let mut candidates = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
        candidates.find(|candidate| taken.insert(candidate.to_lowercase())).unwrap_or(name)
    };
    names.map(&mut free).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(texts: &[&str], expected: &[u32]) {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(numbers(&texts, 10).unwrap(), expected);
    }

    #[test]
    fn classes_are_numbers_and_ranges() {
        check(&["0", "5", "9"], &[0, 5, 9]);
        check(&["2-4"], &[2, 3, 4]);
        check(&["7", "0-2"], &[7, 0, 1, 2]);
        let words = |text: &str| numbers(&[text.to_owned(), "3".to_owned()], 10).unwrap_err().to_string();
        assert_eq!(words("ten"), "--classes ten: expected numbers of classes and ranges, such as 0,5,9 or 0-63");
        assert_eq!(words("4-2"), "--classes 4-2: expected the smaller class first");
        assert_eq!(words("10"), "--classes 10: there is no class 10; there are 10, 0 to 9");
        assert_eq!(words("1-4"), "--classes: class 3 is named twice; --per-class makes several images of each");
    }

    #[test]
    fn names_that_come_again_are_numbered() {
        let names = ["a", "b", "a", "A", "a-2"].map(str::to_owned);
        assert_eq!(unique(names.into_iter()), ["a", "b", "a-2", "A-3", "a-2-2"]);
    }
}
