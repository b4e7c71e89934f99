//! The lists of IJB-B and IJB-C as they were published, in the folder `meta`.
//! Knows no image and no embedding.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_eval::template::meta::{self, Detection, Enrolled, Member, TemplatePair};

const MEMBERS: &str = "_face_tid_mid.txt";
const PAIRS: &str = "_template_pair_label.txt";
const DETECTIONS: &str = "_name_5pts_score.txt";
const PROBES: &str = "_1N_probe_mixed.csv";

/// The galleries of IJB-C and of IJB-B.
const GALLERIES: [&str; 4] = ["G1", "G2", "S1", "S2"];

/// The lists of images and of landmarks as they were read.
pub(super) struct Texts {
    folder: PathBuf,
    /// `ijbb` or `ijbc`.
    prefix: String,
    members: String,
    detections: String,
}

/// What the folder holds.
pub(super) struct Lists<'a> {
    texts: &'a Texts,
    members: Vec<Member<'a>>,
    scores: Vec<f32>,
    detections: Vec<Detection<'a>>,
}

/// A gallery and its name.
pub(super) struct Gallery {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    pub(super) enrolled: Vec<Enrolled>,
}

impl Texts {
    /// Reads the lists in `DIR/meta`.
    ///
    /// # Errors
    /// If one is missing.
    pub(super) fn read(dir: &Path) -> anyhow::Result<Self> {
        let folder = dir.join("meta");
        let prefix = prefix(&folder)?;
        // Found out before hours of work.
        file(&folder, &prefix, PAIRS)?;
        let members = text(&file(&folder, &prefix, MEMBERS)?)?;
        let detections = text(&file(&folder, &prefix, DETECTIONS)?)?;
        Ok(Self { folder, prefix, members, detections })
    }
}

impl<'a> Lists<'a> {
    /// The lists of `texts`.
    ///
    /// # Errors
    /// If a line is not of its form, or the two do not fit each other.
    pub(super) fn new(texts: &'a Texts) -> anyhow::Result<Self> {
        let path = |ending: &str| texts.folder.join(format!("{}{ending}", texts.prefix)).display().to_string();
        let members = meta::members(&texts.members).with_context(|| path(MEMBERS))?;
        let detections = meta::detections(&texts.detections).with_context(|| path(DETECTIONS))?;
        let scores = detections.iter().map(|detection| detection.score).collect();
        let lists = Self { texts, members, scores, detections };
        lists.check()?;
        Ok(lists)
    }

    /// `IJB-B` or `IJB-C`.
    pub(super) fn name(&self) -> String {
        match self.texts.prefix.as_str() {
            "ijbb" => "IJB-B".to_owned(),
            "ijbc" => "IJB-C".to_owned(),
            other => other.to_owned(),
        }
    }

    /// The images of templates, line by line.
    pub(super) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// Where the faces are, line by line as [`Self::members`].
    pub(super) fn detections(&self) -> &[Detection<'a>] {
        &self.detections
    }

    /// The detector's score of each image.
    pub(super) fn scores(&self) -> &[f32] {
        &self.scores
    }

    pub(super) fn members_path(&self) -> PathBuf {
        self.path(MEMBERS)
    }

    pub(super) fn detections_path(&self) -> PathBuf {
        self.path(DETECTIONS)
    }

    pub(super) fn pairs_path(&self) -> PathBuf {
        self.path(PAIRS)
    }

    pub(super) fn probes_path(&self) -> PathBuf {
        self.path(PROBES)
    }

    /// The pairs of templates.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub(super) fn pairs(&self) -> anyhow::Result<Vec<TemplatePair>> {
        parsed(&file(&self.texts.folder, &self.texts.prefix, PAIRS)?, meta::pairs)
    }

    /// The galleries that are there, and the probes; `None` without any of them.
    ///
    /// # Errors
    /// If only some are there, or a list cannot be read.
    pub(super) fn searches(&self) -> anyhow::Result<Option<(Vec<Gallery>, Vec<Enrolled>)>> {
        let there = |name: &&&str| self.gallery_path(name).is_file();
        let names: Vec<&str> = GALLERIES.iter().filter(there).copied().collect();
        let probes = self.probes_path();
        if names.is_empty() && !probes.is_file() {
            return Ok(None);
        }
        if names.is_empty() {
            bail!(
                "{}: expected {} beside the probes, found no gallery",
                self.texts.folder.display(),
                self.gallery_names()
            );
        }
        let probes = parsed(&file(&self.texts.folder, &self.texts.prefix, PROBES)?, meta::enrolled)?;
        let gallery = |name: &'static str| {
            let path = self.gallery_path(name);
            let enrolled = parsed(&path, meta::enrolled)?;
            Ok(Gallery { name, path, enrolled })
        };
        Ok(Some((names.into_iter().map(gallery).collect::<anyhow::Result<_>>()?, probes)))
    }

    fn gallery_names(&self) -> String {
        GALLERIES.map(|name| format!("{}_1N_gallery_{name}.csv", self.texts.prefix)).join(", ")
    }

    fn gallery_path(&self, name: &str) -> PathBuf {
        self.path(&format!("_1N_gallery_{name}.csv"))
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.texts.folder.join(format!("{}{ending}", self.texts.prefix))
    }

    /// That both lists are of the same images.
    fn check(&self) -> anyhow::Result<()> {
        let path = self.detections_path();
        let (members, detections) = (self.members.len(), self.detections.len());
        if members != detections {
            let other = self.members_path();
            bail!(
                "{}: expected a line for each of the {members} images of {}, found {detections}",
                path.display(),
                other.display()
            );
        }
        let both = self.members.iter().zip(&self.detections);
        let differ = both.enumerate().find(|(_, (member, detection))| member.image != detection.image);
        differ.map_or(Ok(()), |(index, (member, detection))| {
            let (line, expected, got) = (index + 1, member.image, detection.image);
            bail!("{}: line {line}: expected `{expected}` as in the list of templates, got `{got}`", path.display())
        })
    }
}

/// The beginning of the lists' names.
fn prefix(folder: &Path) -> anyhow::Result<String> {
    let layout = format!("meta/NAME{MEMBERS}, NAME{PAIRS} and NAME{DETECTIONS} as published with IJB-B and IJB-C");
    let Ok(entries) = std::fs::read_dir(folder) else {
        bail!("{}: expected {layout}, found no such folder", folder.display());
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut prefixes: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(MEMBERS)?.to_owned())).collect();
    prefixes.sort();
    match &prefixes[..] {
        [one] => Ok(one.clone()),
        [] => bail!("{}: expected {layout}, found no list whose name ends so", folder.display()),
        several => bail!("{}: expected the lists of one set, found {}", folder.display(), several.join(" and ")),
    }
}

/// The path of a list that is there.
fn file(folder: &Path, prefix: &str, ending: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(format!("{prefix}{ending}"));
    if !path.is_file() {
        bail!("{}: expected this list of the protocol as it was published, found no such file", path.display());
    }
    Ok(path)
}

fn parsed<T>(path: &Path, parse: impl Fn(&str) -> arcface_core::Result<T>) -> anyhow::Result<T> {
    parse(&text(path)?).with_context(|| path.display().to_string())
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}
