//! From the configuration to faces: the source to train on, and the pairs to verify.
//! Knows no network; files are listed, and opened when their image is asked for.

mod kept;
mod planted;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arcface_data::pairs::Folds;
use arcface_data::source::{JoinedSource, Subset, hold_out, images_by_identity};
use arcface_data::{
    DrawPairs, FolderOptions, FolderSource, IdxSource, LoaderConfig, PairList, PairSet, ProceduralConfig,
    ProceduralSource, RecordSource, SamplerKind, Source, draw_pairs,
};

use crate::config::{Chosen, Config, Data, Identities, SamplerChoice, SourceKind};

pub(crate) use kept::{HEADER as LIST_HEADER, Listed};
pub(crate) use planted::Planted;

/// What the paths of a configuration may begin with: the folder of data sets.
const DATA_FOLDER: &str = "$ARCFACE_DATA";

/// Faces to train on and pairs to verify.
pub(crate) struct Faces {
    pub(crate) train: Arc<dyn Source>,
    /// The noise in them, where some was planted.
    pub(crate) planted: Option<Planted>,
    /// Absent where no identity is held out and no list is given.
    pub(crate) pairs: Option<PairSet>,
}

/// Opens what the configuration names, and lets defaults that do not fit the data give way, with a note.
///
/// # Errors
/// If a folder, a list or an identity is missing, or the data are too few for what was asked.
pub(crate) fn open(chosen: &mut Chosen) -> anyhow::Result<Faces> {
    let (Training { source: train, planted }, held_out) = training(&chosen.config)?;
    let pairs = match (&chosen.config.eval.pairs, held_out) {
        (Some(_), _) => Some(listed_pairs(&chosen.config)?),
        (None, Some(held_out)) => drawn_pairs(held_out, chosen)?,
        (None, None) => None,
    };
    shrink_batch(&*train, chosen);
    Ok(Faces { train, planted, pairs })
}

/// Faces to train on.
pub(crate) struct Training {
    pub(crate) source: Arc<dyn Source>,
    /// The noise in them, where some was planted.
    pub(crate) planted: Option<Planted>,
}

/// The faces to train on, with noise planted and only the listed ones kept where that is asked for, and those held out.
///
/// # Errors
/// As [`open`].
pub(crate) fn training(config: &Config) -> anyhow::Result<(Training, Option<Arc<dyn Source>>)> {
    let (source, held_out) = divide(&many_images(source(config)?, config)?, config)?;
    let training = planted::plant(source, config)?;
    let training = match &config.data.keep {
        Some(list) => kept::keep(training, &expand(list)?)?,
        None => training,
    };
    Ok((training, held_out))
}

/// How training batches are made.
pub(crate) fn loader_config(config: &Config) -> LoaderConfig {
    let Data { flip, on_corrupt, workers, normalise, augmentation, .. } = config.data;
    LoaderConfig {
        batch_size: config.train.batch_size,
        sampler: sampler(config),
        seed: config.seed,
        workers,
        flip,
        augmentation,
        normalisation: normalise,
        image_size: config.model.input_size,
        on_corrupt,
        cache_bytes: cache_bytes(config),
    }
}

/// Memory for decoded images.
pub(crate) fn cache_bytes(config: &Config) -> usize {
    config.data.cache_mib.saturating_mul(1 << 20)
}

/// A path of a configuration, where `$ARCFACE_DATA` stands for the folder of data sets.
///
/// # Errors
/// If that folder is asked for and there is none.
pub(crate) fn expand(path: &Path) -> anyhow::Result<PathBuf> {
    let Ok(rest) = path.strip_prefix(DATA_FOLDER) else { return Ok(path.to_owned()) };
    let neighbour = Path::new("../shared/data");
    let root = match std::env::var_os("ARCFACE_DATA") {
        Some(root) => PathBuf::from(root),
        None if neighbour.is_dir() => neighbour.to_owned(),
        None => bail!("{}: set the variable ARCFACE_DATA to the folder of the data sets", path.display()),
    };
    Ok(root.join(rest))
}

fn source(config: &Config) -> anyhow::Result<Arc<dyn Source>> {
    let data = &config.data;
    let path = data.path.as_deref().unwrap_or(Path::new(""));
    Ok(match data.source {
        SourceKind::Procedural => Arc::new(procedural(config)?),
        SourceKind::Folder => {
            let list = match &data.identities {
                Some(Identities::List(list)) => Some(list.as_path()),
                _ => None,
            };
            Arc::new(folder(path, list)?)
        }
        SourceKind::Record => Arc::new(RecordSource::open(expand(path)?)?),
        SourceKind::Idx => Arc::new(IdxSource::open(expand(path)?, Some(config.model.input_size))?),
        SourceKind::Parquet => parquet(&expand(path)?)?,
        SourceKind::Joined => Arc::new(joined(data)?),
    })
}

/// A set in Parquet files.
///
/// # Errors
/// If it cannot be read, or the feature that reads it was left out.
#[cfg(feature = "parquet")]
pub(crate) fn parquet(path: &Path) -> anyhow::Result<Arc<dyn Source>> {
    Ok(Arc::new(arcface_data::ParquetSource::open(path)?))
}

#[cfg(not(feature = "parquet"))]
pub(crate) fn parquet(path: &Path) -> anyhow::Result<Arc<dyn Source>> {
    bail!(
        "{}: this program was built without the feature `parquet`; build it with `--features parquet`",
        path.display()
    )
}

fn procedural(config: &Config) -> anyhow::Result<ProceduralSource> {
    ProceduralSource::new(drawing(config)).context("[data]")
}

/// What a configuration says about drawn faces.
fn drawing(config: &Config) -> ProceduralConfig {
    let identities = match config.data.identities {
        Some(Identities::Count(count)) => count,
        _ => 0,
    };
    ProceduralConfig {
        seed: config.seed,
        identities,
        images_per_identity: config.data.images_per_identity,
        image_size: config.model.input_size,
        first_identity: 0,
        nuisance: config.data.nuisance,
    }
}

fn folder(path: &Path, identities: Option<&Path>) -> anyhow::Result<FolderSource> {
    let identities = identities.map(expand).transpose()?;
    Ok(FolderSource::open(expand(path)?, &FolderOptions { identities })?)
}

fn joined(data: &Data) -> anyhow::Result<JoinedSource> {
    let parts = data.sources.iter().map(|part| {
        let source: Arc<dyn Source> = Arc::new(folder(&part.path, part.identities.as_deref())?);
        Ok((part.name.clone(), source))
    });
    Ok(JoinedSource::new(parts.collect::<anyhow::Result<_>>()?, data.same_name)?)
}

/// The identities with as many images as the configuration asks for.
fn many_images(source: Arc<dyn Source>, config: &Config) -> anyhow::Result<Arc<dyn Source>> {
    let least = config.data.min_images;
    if least <= 1 {
        return Ok(source);
    }
    let images = images_by_identity(&*source);
    let labels: Vec<u32> =
        (0..).zip(&images).filter(|(_, images)| least <= images.len()).map(|(label, _)| label).collect();
    if labels.is_empty() {
        let most = images.iter().map(Vec::len).max().unwrap_or(0);
        bail!("data.min_images = {least}: no identity has so many; the most that one has is {most}");
    }
    Ok(Arc::new(Subset::new(source, &labels)?))
}

type Divided = (Arc<dyn Source>, Option<Arc<dyn Source>>);

/// Identities to train on and, if any, those held out.
fn divide(all: &Arc<dyn Source>, config: &Config) -> anyhow::Result<Divided> {
    let holdout = config.data.holdout;
    if holdout.count(all.num_identities()).context("data.holdout")? == 0 {
        return Ok((all.clone(), None));
    }
    let (train, held_out) = hold_out(all, holdout, config.seed)?;
    Ok((Arc::new(train), Some(Arc::new(held_out))))
}

/// The pairs that the configuration lists, if it does.
///
/// # Errors
/// If the list or a face is missing.
pub(crate) fn listed(config: &Config) -> anyhow::Result<Option<PairSet>> {
    config.eval.pairs.is_some().then(|| listed_pairs(config)).transpose()
}

fn listed_pairs(config: &Config) -> anyhow::Result<PairSet> {
    let [list, images] = [&config.eval.pairs, &config.eval.images].map(|path| path.clone().unwrap_or_default());
    Ok(PairList::read(&expand(&list)?)?.resolve(&expand(&images)?)?)
}

/// Pairs of identities that are held out; as many as there are, where their number is a default.
fn drawn_pairs(held_out: Arc<dyn Source>, chosen: &mut Chosen) -> anyhow::Result<Option<PairSet>> {
    let available = available_pairs(&*held_out);
    let eval = &mut chosen.config.eval;
    if available < eval.count && !chosen.explicit.contains("eval.count") {
        if available < 4 {
            chosen.notes.push(format!(
                "the {} identities held out give too few pairs to verify: no accuracy will be measured; raise data.holdout",
                held_out.num_identities()
            ));
            return Ok(None);
        }
        chosen.notes.push(format!("eval.count: {available} pairs instead of {}, all there are", eval.count));
        eval.count = available;
    }
    if eval.count / 2 < eval.folds && !chosen.explicit.contains("eval.folds") {
        eval.folds = eval.count / 2;
    }
    let draw = DrawPairs { count: eval.count, folds: eval.folds, seed: chosen.config.seed };
    let (set, folds) = draw_pairs(held_out, draw).context("[eval]")?;
    if folds == Folds::Sharing {
        chosen.notes.push("too few identities are held out for folds without a common one; some share one".to_owned());
    }
    Ok(Some(set))
}

/// Balanced pairs that can be drawn: twice the smaller of both kinds.
pub(crate) fn available_pairs(source: &dyn Source) -> usize {
    let pairs = |n: usize| n.saturating_mul(n.saturating_sub(1)) / 2;
    let genuine: usize = images_by_identity(source).iter().map(|images| pairs(images.len())).sum();
    2 * genuine.min(pairs(source.len()).saturating_sub(genuine))
}

fn sampler(config: &Config) -> SamplerKind {
    let images = config.data.images_per_class;
    match config.data.sampler {
        SamplerChoice::Shuffle => SamplerKind::Shuffle,
        SamplerChoice::Balanced => SamplerKind::Balanced { identities: config.train.batch_size / images, images },
    }
}

/// A defaulted batch size shrinks to what the source can fill; one that was asked for is an error later.
fn shrink_batch(train: &dyn Source, chosen: &mut Chosen) {
    let largest = sampler(&chosen.config).largest_batch_size(train);
    let size = chosen.config.train.batch_size;
    if largest < size && !chosen.is_explicit("train.batch_size") {
        chosen.notes.push(format!("train.batch_size: {largest} instead of {size}, all that the data can fill"));
        chosen.config.train.batch_size = largest;
    }
}
