//! Lists of genuine and impostor pairs: read, written, resolved to images, or drawn from a source.
//! Knows no embeddings and no distances; images are named and numbered, not opened.

mod bin;
pub(crate) mod csv;
mod draw;
mod lfw;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arcface_core::checkpoint::atomic_write;
use arcface_core::{Error, Result};

use crate::image::{EXTENSIONS, unreadable};
use crate::source::{FileSource, Source};

pub use bin::{BinSource, read_bin, write_bin};
pub use draw::{DrawPairs, Folds, draw_pairs};

/// Folds that pairs are dealt into where a list does not divide them itself.
pub const FOLDS: usize = 10;

/// Two faces and whether they are of the same person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Key of the first face: its path below the folder of faces, with or without the extension.
    pub a: String,
    /// Key of the second face.
    pub b: String,
    /// Genuine (true) or impostor.
    pub same: bool,
    /// The fold, from 0.
    pub fold: usize,
}

/// The folder in the key of a face, which by custom is its person: `anna` of `anna/anna_0001`.
///
/// ```
/// use arcface_data::pairs::folder;
/// assert_eq!([folder("anna/anna_0001"), folder("0001.png")], [Some("anna"), None]);
/// ```
pub fn folder(key: &str) -> Option<&str> {
    key.rsplit_once('/').map(|(folder, _)| folder)
}

/// Pairs in the order of their list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairList {
    /// The pairs.
    pub pairs: Vec<Pair>,
    /// Where they come from, for messages.
    origin: PathBuf,
    /// Line of each pair in that file, from 1.
    lines: Vec<usize>,
}

impl PairList {
    /// A list of pairs that stand in no file; `origin` names it in messages.
    pub fn new(pairs: Vec<Pair>, origin: impl Into<PathBuf>) -> Self {
        let lines = (1..=pairs.len()).collect();
        Self { pairs, origin: origin.into(), lines }
    }

    /// Reads a list of LFW's form, or a CSV with the columns `a`, `b`, `same` and, if it has folds, `fold`.
    ///
    /// Folds of the file are kept. A CSV without them, and an LFW list of a single fold (which has all genuine pairs
    /// first), is dealt into ten folds, genuine and impostor pairs each in turn.
    ///
    /// # Errors
    /// If the file cannot be read, has no pairs, a line is not of the form or the number of lines is not what the
    /// first line says; the error names file and line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
        let parsed = if csv::is_csv(&text) { csv::parse(&text) } else { lfw::parse(&text) };
        let Parsed { pairs, lines, has_folds } = parsed.map_err(|message| Error::file(path, message))?;
        if pairs.is_empty() {
            return Err(Error::file(path, "expected at least one pair, found none"));
        }
        let mut list = Self { pairs, origin: path.to_owned(), lines };
        if !has_folds {
            list.deal(FOLDS);
        }
        Ok(list)
    }

    /// Writes the list as CSV if the name ends in `.csv`, else in LFW's form; whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written, or the list does not fit LFW's form: keys `name/name_0001`, genuine pairs within
    /// and impostor pairs across names, folds with equally many of both.
    pub fn write(&self, path: &Path) -> Result<()> {
        let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let text = if is_csv { Ok(csv::render(&self.pairs)) } else { lfw::render(&self.pairs) };
        let text = text.map_err(|message| Error::file(path, message))?;
        atomic_write(path, |file| file.write_all(text.as_bytes()))
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Whether each pair is genuine.
    pub fn same(&self) -> Vec<bool> {
        self.pairs.iter().map(|pair| pair.same).collect()
    }

    /// The fold of each pair.
    pub fn folds(&self) -> Vec<usize> {
        self.pairs.iter().map(|pair| pair.fold).collect()
    }

    /// Deals genuine and impostor pairs, each in turn, into `folds` folds.
    pub fn deal(&mut self, folds: usize) {
        let mut dealt = [0, 0];
        for pair in &mut self.pairs {
            let turn = &mut dealt[usize::from(pair.same)];
            pair.fold = *turn % folds.max(1);
            *turn += 1;
        }
    }

    /// Finds the file of every face below `root`; each is listed once, however many pairs it is in.
    ///
    /// A key without extension stands for `.jpg`, `.jpeg` or `.png`.
    ///
    /// # Errors
    /// If a face is not there; the error names list, line and face, and how many more are missing.
    pub fn resolve(self, root: &Path) -> Result<PairSet> {
        if !root.is_dir() {
            return Err(Error::file(root, "no such folder of faces; check the path"));
        }
        let mut files = Vec::new();
        let mut known = BTreeMap::new();
        let mut missing = Vec::new();
        let mut positions = Vec::with_capacity(self.len());
        for (pair, line) in self.pairs.iter().zip(&self.lines) {
            positions.push([&pair.a, &pair.b].map(|key| {
                *known.entry(key.clone()).or_insert_with(|| {
                    files.push(find(root, key).unwrap_or_else(|| {
                        missing.push((*line, key.clone()));
                        PathBuf::new()
                    }));
                    files.len() - 1
                })
            }));
        }
        if !missing.is_empty() {
            return Err(Error::file(&self.origin, missing_message(root, &missing)));
        }
        let images = (0..files.len()).collect();
        Ok(PairSet { list: self, source: Arc::new(FileSource::new(files)), images, positions })
    }
}

/// Pairs together with the images that they are made of.
pub struct PairSet {
    /// The pairs.
    pub list: PairList,
    /// Where the images come from.
    pub source: Arc<dyn Source>,
    /// The images in use, as numbers in `source`, each once: embed these in this order.
    pub images: Vec<usize>,
    /// For every pair the places of its two faces in `images`.
    pub positions: Vec<[usize; 2]>,
}

impl std::fmt::Debug for PairSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PairSet({} pairs of {} images)", self.list.len(), self.images.len())
    }
}

/// What a file holds.
struct Parsed {
    pairs: Vec<Pair>,
    lines: Vec<usize>,
    has_folds: bool,
}

fn find(root: &Path, key: &str) -> Option<PathBuf> {
    let exact = root.join(key);
    if exact.is_file() {
        return Some(exact);
    }
    let candidates = EXTENSIONS.iter().map(|extension| root.join(format!("{key}.{extension}")));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

fn missing_message(root: &Path, missing: &[(usize, String)]) -> String {
    let (line, key) = &missing[0];
    let others =
        if missing.len() == 1 { String::new() } else { format!(" (of {} missing faces the first)", missing.len()) };
    format!(
        "line {line}: face `{key}`{others} is not in {}; check that list and folder belong together",
        root.display()
    )
}
