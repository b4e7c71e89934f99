//! Probes and distractors of `MegaFace` with their embeddings: by a network, of a file, or of feature files.
//! Knows no protocol.

use std::path::Path;

use anyhow::{Context, bail};
use arcface_eval::Rows;
use rayon::prelude::*;

use super::super::faces::{Embedded, Images, folder, paths_below};
use super::features::{self, FeatureFiles};
use super::noise;
use crate::cli::{FaceArguments, MegafaceArguments};
use crate::digest::Digest;
use crate::embed::stored::UnitRows;
use crate::interrupt;

const PROBES: &str = "facescrub";
const DISTRACTORS: &str = "megaface";
const PROBE_LAYOUT: &str = "probes as facescrub/PERSON/IMAGE.jpg";
const DISTRACTOR_LAYOUT: &str = "distractors below megaface/";

/// Feature files that are written at a time.
const BATCH: usize = 4096;

/// Both sets, the distractors in an order that the seed draws.
pub(super) struct Sets {
    source: Source,
    /// Paths from `facescrub/` and `megaface/` on.
    paths: [Vec<String>; 2],
    /// The network, file or folder.
    pub(super) subject: String,
    pub(super) facts: Vec<(&'static str, String)>,
}

/// Where the embeddings of both sets are.
enum Source {
    Rows { embedded: Embedded, rows: [Vec<u32>; 2] },
    Files([FeatureFiles; 2]),
}

/// One of the sets.
pub(super) struct Set<'a> {
    pub(super) paths: &'a [String],
    pub(super) rows: Box<dyn Rows + 'a>,
}

impl Sets {
    /// The sets that the command line names, without wrong faces where those are to be left out.
    ///
    /// # Errors
    /// If a set is missing or empty, or cannot be read.
    pub(super) fn open(arguments: &MegafaceArguments) -> anyhow::Result<Self> {
        let faces = &arguments.faces;
        let seed = arguments.seed;
        let files = match &faces.features {
            Some(folder) if folder.is_dir() => Some(folder),
            _ => None,
        };
        let sets = match files {
            Some(folder) => Self::of_files(folder, seed)?,
            None => Self::of_rows(Embedded::open(faces, "megaface", |folder, _| images(folder, seed))?, seed)?,
        };
        if arguments.refined { sets.refined(faces) } else { Ok(sets) }
    }

    fn of_rows(embedded: Embedded, seed: u64) -> anyhow::Result<Self> {
        let mut sets = [Vec::new(), Vec::new()];
        for (row, path) in (0..).zip(&embedded.paths) {
            let (set, tail) = set_of(path)?;
            sets[set].push((tail.to_owned(), row));
        }
        sets[1].sort_by_cached_key(|(tail, _): &(String, u32)| place(tail, seed));
        let [probes, distractors] = sets.map(|set| set.into_iter().unzip::<String, u32, Vec<_>, Vec<_>>());
        for (paths, layout) in [(&probes.0, PROBE_LAYOUT), (&distractors.0, DISTRACTOR_LAYOUT)] {
            if paths.is_empty() {
                bail!("{}: expected {layout}, found none among its images", embedded.stored.path().display());
            }
        }
        let (subject, facts) = (embedded.subject.clone(), embedded.facts.clone());
        let rows = [probes.1, distractors.1];
        Ok(Self { source: Source::Rows { embedded, rows }, paths: [probes.0, distractors.0], subject, facts })
    }

    fn of_files(folder: &Path, seed: u64) -> anyhow::Result<Self> {
        let probes = feature_files(folder, PROBES, PROBE_LAYOUT)?;
        let mut distractors = feature_files(folder, DISTRACTORS, DISTRACTOR_LAYOUT)?;
        distractors.sort_by_cached_key(|tail| place(tail.trim_end_matches(".bin"), seed));
        let files = |tails: &[String]| FeatureFiles::new(tails.iter().map(|tail| folder.join(tail)).collect());
        Ok(Self {
            source: Source::Files([files(&probes)?, files(&distractors)?]),
            paths: [probes, distractors],
            subject: folder.display().to_string(),
            facts: Vec::new(),
        })
    }

    /// Those faces that the noise lists do not name.
    fn refined(mut self, arguments: &FaceArguments) -> anyhow::Result<Self> {
        let folder = folder(arguments)?;
        for (set, name) in [(0, "facescrub_noises.txt"), (1, "megaface_noises.txt")] {
            let clean = noise::clean(&self.paths[set], &folder.join(name))?;
            let left_out = self.paths[set].len() - clean.len();
            self.facts.push((["probes left out", "distractors left out"][set], left_out.to_string()));
            self.paths[set] = clean.iter().map(|place| self.paths[set][*place].clone()).collect();
            match &mut self.source {
                Source::Rows { rows, .. } => rows[set] = clean.iter().map(|place| rows[set][*place]).collect(),
                Source::Files(files) => files[set] = files[set].chosen(&clean),
            }
        }
        Ok(self)
    }

    /// Faces of persons.
    pub(super) fn probes(&self) -> Set<'_> {
        self.set(0)
    }

    /// Faces of others.
    pub(super) fn distractors(&self) -> Set<'_> {
        self.set(1)
    }

    /// The image of a probe (0) or a distractor (1), where it is not a feature file.
    pub(super) fn image(&self, set: usize, place: usize) -> Option<&Path> {
        match &self.source {
            Source::Rows { embedded, rows } => Some(Path::new(&embedded.paths[rows[set][place] as usize])),
            Source::Files(_) => None,
        }
    }

    fn set(&self, set: usize) -> Set<'_> {
        let rows: Box<dyn Rows + '_> = match &self.source {
            Source::Rows { embedded, rows } => Box::new(UnitRows::new(&embedded.stored, rows[set].clone())),
            Source::Files(files) => Box::new(&files[set]),
        };
        Set { paths: &self.paths[set], rows }
    }

    /// Writes a feature file for each face into `folder`, of length 1.
    ///
    /// # Errors
    /// If an embedding cannot be read, or the disk is full.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        for Set { paths, rows } in [self.probes(), self.distractors()] {
            for first in (0..paths.len()).step_by(BATCH) {
                interrupt::check()?;
                let batch = first..paths.len().min(first + BATCH);
                let values = rows.read(batch.clone())?;
                let written = paths[batch].par_iter().zip(values.par_chunks_exact(rows.width()));
                let file = |path: &String| folder.join(format!("{}.bin", path.trim_end_matches(".bin")));
                written.map(|(path, features)| features::write(&file(path), features)).collect::<Result<(), _>>()?;
            }
        }
        Ok(())
    }
}

impl Set<'_> {
    /// The person of each face: the folder of its image.
    ///
    /// # Errors
    /// If a face lies in no folder.
    pub(super) fn persons(&self) -> anyhow::Result<Vec<&str>> {
        let person = |path: &String| {
            let inner = path.split_once('/').map_or("", |(_, inner)| inner);
            let start = path.len() - inner.len();
            let end = path.rfind('/').filter(|end| start < *end);
            end.map(|end| start..end)
        };
        let expected = |path: &String| format!("{path}: expected {PROBE_LAYOUT}, found it in no folder of a person");
        let persons = self.paths.iter().map(|path| Ok(&path[person(path).with_context(|| expected(path))?]));
        persons.collect()
    }
}

/// The images of both sets, so ordered that their embeddings are read in turn.
fn images(folder: &Path, seed: u64) -> anyhow::Result<Images> {
    let mut paths = paths_below(&folder.join(PROBES), PROBE_LAYOUT)?;
    let mut distractors = paths_below(&folder.join(DISTRACTORS), DISTRACTOR_LAYOUT)?;
    distractors.sort_by_cached_key(|path| place(set_of(path).map_or("", |(_, tail)| tail), seed));
    paths.extend(distractors);
    Ok(Images::aligned(paths))
}

/// Which set a path is of, 0 or 1, and its end from the folder of the set on.
fn set_of(path: &str) -> anyhow::Result<(usize, &str)> {
    let start = |name: &str| {
        let within = path.rfind(&format!("/{name}/")).map(|at| at + 1);
        within.or_else(|| path.starts_with(&format!("{name}/")).then_some(0))
    };
    let found = [start(PROBES), start(DISTRACTORS)];
    let (set, start) = match found {
        [probes, distractors] if distractors < probes => (0, probes),
        [_, distractors] => (1, distractors),
    };
    let start = start.with_context(|| format!("{path}: expected {PROBE_LAYOUT} or {DISTRACTOR_LAYOUT}"))?;
    Ok((set, &path[start..]))
}

/// Where the seed puts a distractor.
fn place(path: &str, seed: u64) -> String {
    Digest::of(format!("{seed} {path} {seed} {path}").as_bytes())
}

/// The feature files below `folder/name`, by their paths from `name` on.
fn feature_files(folder: &Path, name: &str, layout: &str) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![name.to_owned()];
    while let Some(inner) = folders.pop() {
        let path = folder.join(&inner);
        let entries = std::fs::read_dir(&path).with_context(|| format!("{}: expected {layout}.bin", path.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name
                .to_str()
                .with_context(|| format!("{}: the name is not UTF-8; rename it", entry.path().display()))?;
            let inner = format!("{inner}/{name}");
            match entry.path() {
                path if path.is_dir() => folders.push(inner),
                path if path.extension().is_some_and(|ending| ending == "bin") => files.push(inner),
                _ => {}
            }
        }
    }
    if files.is_empty() {
        bail!("{}: expected feature files (.bin) of {layout}, found none", folder.join(name).display());
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_tell_their_set() {
        assert_eq!(set_of("facescrub/a/1.jpg").unwrap(), (0, "facescrub/a/1.jpg"));
        assert_eq!(set_of("/x/megaface/facescrub/a/1.jpg").unwrap(), (0, "facescrub/a/1.jpg"));
        assert_eq!(set_of("d/megaface/1/2/1.jpg").unwrap(), (1, "megaface/1/2/1.jpg"));
        assert!(set_of("other/1.jpg").unwrap_err().to_string().contains("expected probes as facescrub/"));
    }
}
