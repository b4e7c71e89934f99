//! Several sources as one, labels renumbered; what becomes of a name that two of them use is chosen, never assumed.
//! Knows no files; works for every source.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Source;
use crate::image::Image;

/// What identities of the same name in different sources are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SameName {
    /// Different people: both names are prefixed with that of their source, `lfw.Ada`.
    #[default]
    Prefix,
    /// The same person: their images get one label.
    Merge,
    /// A mistake: joining fails and names the identity.
    Refuse,
}

/// Several sources, one after the other.
pub struct JoinedSource {
    parts: Vec<Part>,
    identities: Vec<String>,
    shared: Vec<String>,
}

struct Part {
    source: Arc<dyn Source>,
    /// Number of its first image here.
    first: usize,
    /// Its labels here.
    labels: Vec<u32>,
}

impl JoinedSource {
    /// Joins named sources; labels follow the order of the sources.
    ///
    /// # Errors
    /// If there is no source, two have the same name, or two use the same identity and that is refused.
    pub fn new(sources: Vec<(String, Arc<dyn Source>)>, same_name: SameName) -> Result<Self> {
        check_names(&sources)?;
        let shared = shared_identities(&sources);
        if let (SameName::Refuse, Some((identity, owners))) = (same_name, shared.first_key_value()) {
            return Err(Error::Invalid(format!(
                "identity `{identity}` is in {}; say whether to prefix or to merge such identities",
                owners.join(" and in ")
            )));
        }
        let mut joined = Self { parts: Vec::new(), identities: Vec::new(), shared: shared.keys().cloned().collect() };
        let mut labels = BTreeMap::new();
        let mut first = 0;
        for (name, source) in sources {
            let own = (0..source.num_identities() as u32).map(|label| source.identity(label));
            let own = own.map(|identity| match same_name {
                SameName::Prefix if shared.contains_key(&identity) => format!("{name}.{identity}"),
                _ => identity,
            });
            let part_labels =
                own.map(|identity| joined.label_for(identity, same_name, &mut labels)).collect::<Result<_>>()?;
            let length = source.len();
            joined.parts.push(Part { source, first, labels: part_labels });
            first += length;
        }
        Ok(joined)
    }

    /// The names that more than one source uses.
    pub fn shared(&self) -> &[String] {
        &self.shared
    }

    fn label_for(&mut self, identity: String, same_name: SameName, labels: &mut BTreeMap<String, u32>) -> Result<u32> {
        match labels.get(&identity) {
            Some(label) if same_name == SameName::Merge => Ok(*label),
            Some(_) => Err(Error::Invalid(format!("identity `{identity}` would stand for two; rename a source"))),
            None => {
                let label = self.identities.len() as u32;
                labels.insert(identity.clone(), label);
                self.identities.push(identity);
                Ok(label)
            }
        }
    }

    fn part(&self, index: usize) -> (&Part, usize) {
        let part = &self.parts[self.parts.partition_point(|part| part.first <= index) - 1];
        (part, index - part.first)
    }
}

impl std::fmt::Debug for JoinedSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "JoinedSource({} sources, {} identities, {} images)",
            self.parts.len(),
            self.identities.len(),
            self.len()
        )
    }
}

fn check_names(sources: &[(String, Arc<dyn Source>)]) -> Result<()> {
    if sources.is_empty() {
        return Err(Error::Invalid("sources to join: expected at least one, got none".to_owned()));
    }
    let mut names = BTreeSet::new();
    match sources.iter().find(|(name, _)| !names.insert(name)) {
        Some((name, _)) => Err(Error::value("names of joined sources", "each name once", format!("`{name}` twice"))),
        None => Ok(()),
    }
}

/// The identities that more than one source has, with the names of these sources.
fn shared_identities(sources: &[(String, Arc<dyn Source>)]) -> BTreeMap<String, Vec<String>> {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, source) in sources {
        for label in 0..source.num_identities() as u32 {
            owners.entry(source.identity(label)).or_default().push(name.clone());
        }
    }
    owners.retain(|_, names| 1 < names.len());
    owners
}

impl Source for JoinedSource {
    fn len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.first + part.source.len())
    }
    fn num_identities(&self) -> usize {
        self.identities.len()
    }
    fn label(&self, index: usize) -> u32 {
        let (part, own) = self.part(index);
        part.labels[part.source.label(own) as usize]
    }
    fn identity(&self, label: u32) -> String {
        self.identities[label as usize].clone()
    }
    fn image(&self, index: usize) -> Result<Image> {
        let (part, own) = self.part(index);
        part.source.image(own)
    }
    fn describe(&self, index: usize) -> String {
        let (part, own) = self.part(index);
        part.source.describe(own)
    }
    /// None for merged identities, whose files may have the same names in different folders.
    fn file_name(&self, index: usize) -> Option<String> {
        let (part, own) = self.part(index);
        let merged = self.shared.binary_search(&self.identity(self.label(index))).is_ok();
        if merged { None } else { part.source.file_name(own) }
    }
    fn encoded(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        let (part, own) = self.part(index);
        part.source.encoded(own)
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        let (part, own) = self.part(index);
        part.source.dimensions(own)
    }
}
