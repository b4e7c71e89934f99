//! The parameters of a loss as a table: those of the head, which every margin takes, and the margin's own.
//! Knows no tensors; values are proven here, once.

use std::num::NonZeroUsize;

use arcface_core::{Error, Result, Scale};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::registry::{Kind, LossEntry, Part, find, parse, to_table};
use crate::term::Term;
use crate::units::{self, NonNegative, SampleRate, SubCenters};

/// How the cosines of a class's sub-centers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// max_k cosθ_jk; of equal ones the lowest k wins and alone gets the gradient.
    #[default]
    Max,
    /// Σ_k softmax_k(γ·cosθ_jk)·cosθ_jk.
    Soft,
}

/// How many classes the head takes at a time: the memory beyond centers and gradients is that of their cosines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Chunk {
    /// As many as stay near the core; `"auto"`.
    #[default]
    Auto,
    /// All at once, in the head that a loss with terms uses anyway; `"dense"`.
    Dense,
    /// So many.
    Classes(NonZeroUsize),
}

impl TryFrom<Value> for Chunk {
    type Error = Error;
    fn try_from(value: Value) -> Result<Self> {
        let classes = value.as_integer().and_then(|classes| usize::try_from(classes).ok()).and_then(NonZeroUsize::new);
        match (value.as_str(), classes) {
            (Some("auto"), _) => Ok(Self::Auto),
            (Some("dense"), _) => Ok(Self::Dense),
            (_, Some(classes)) => Ok(Self::Classes(classes)),
            _ => Err(Error::value("value", "\"auto\", \"dense\" or a number of classes, at least 1", value)),
        }
    }
}

impl From<Chunk> for Value {
    fn from(chunk: Chunk) -> Self {
        match chunk {
            Chunk::Auto => "auto".into(),
            Chunk::Dense => "dense".into(),
            Chunk::Classes(classes) => Self::Integer(classes.get() as i64),
        }
    }
}

/// The parameters that every loss with a head of unit class centers takes beside its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadOptions {
    /// s.
    pub scale: Scale,
    /// K.
    pub sub_centers: SubCenters,
    /// How the cosines of sub-centers become one.
    pub pooling: Pooling,
    /// γ of soft pooling.
    pub gamma_pooling: NonNegative,
    /// The margin grows linearly from none over the first steps; 0: from the first step on it is whole.
    pub warmup_steps: u64,
    /// Classes that are taken at a time.
    pub chunk: Chunk,
    /// The share of the classes that a step meets: those of the batch, and others drawn by seed and step (Partial-FC).
    pub sample_rate: SampleRate,
    /// Terms to add: `name`, `weight` and the term's own parameters.
    pub terms: Vec<Table>,
}

impl Default for HeadOptions {
    fn default() -> Self {
        Self {
            scale: units::valid(64.0),
            sub_centers: units::valid(1),
            pooling: Pooling::Max,
            gamma_pooling: units::valid(10.0),
            warmup_steps: 0,
            chunk: Chunk::Auto,
            sample_rate: units::valid(1.0),
            terms: Vec::new(),
        }
    }
}

/// A loss and its parameters, complete and checked.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) entry: &'static LossEntry,
    /// Absent for a loss without unit class centers.
    pub(crate) head: Option<HeadOptions>,
    /// Those of the part.
    pub(crate) own: Table,
}

/// All parameters of the loss called `name` with their default values: its complete table in a configuration.
///
/// # Errors
/// If there is no such loss.
///
/// ```
/// let table = arcface_losses::defaults("arcface")?;
/// assert_eq!(table["margin"].as_float(), Some(0.5));
/// assert_eq!(table["beyond_pi"].as_str(), Some("linear"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn defaults(name: &str) -> Result<Table> {
    resolve(name, &Table::new())
}

/// The complete table of the loss called `name`: the values of `given` and the defaults of all others.
///
/// # Errors
/// If there is no such loss, it has no such parameter, a value is out of range, or values contradict each other.
pub fn resolve(name: &str, given: &Table) -> Result<Table> {
    let resolved = Resolved::new(name, given)?;
    // Only the loss itself knows which of its values go together.
    resolved.entry.build(resolved.own.clone())?;
    resolved.table()
}

impl Resolved {
    pub(crate) fn new(name: &str, given: &Table) -> Result<Self> {
        let entry = find(name)?;
        let (mut head, mut own) = (Table::new(), Table::new());
        let (head_keys, own_keys) = keys(entry)?;
        for (key, value) in given {
            let table = if own_keys.contains_key(key) {
                &mut own
            } else if head_keys.contains_key(key) {
                &mut head
            } else {
                return Err(unknown_key(name, key, head_keys.keys().chain(own_keys.keys())));
            };
            table.insert(key.clone(), value.clone());
        }
        let head = has_head(entry).then(|| head_options(entry, head)).transpose()?;
        Ok(Self { entry, head, own: entry.resolve(own)? })
    }

    pub(crate) fn table(&self) -> Result<Table> {
        let mut table = self.own.clone();
        if let Some(head) = &self.head {
            table.extend(to_table(head)?);
        }
        Ok(table)
    }
}

/// A term of the list `terms`, with its weight.
#[derive(Debug)]
pub(crate) struct WeightedTerm {
    pub(crate) term: Box<dyn Term>,
    pub(crate) weight: f64,
}

impl WeightedTerm {
    /// The term that a table with `name`, `weight` and the term's own parameters describes.
    pub(crate) fn new(table: &Table) -> Result<Self> {
        let (entry, weight, own) = split_term(table)?;
        match entry.build(own)? {
            Part::Term(term) => Ok(Self { term, weight }),
            Part::Margin(_) | Part::Softmax => Err(not_a_term(entry)),
        }
    }
}

/// Whether the loss has unit class centers, and with them the parameters of [`HeadOptions`].
pub(crate) fn has_head(entry: &LossEntry) -> bool {
    entry.kind != Kind::Head && entry.has_centers()
}

/// The head's and the part's own default tables.
fn keys(entry: &'static LossEntry) -> Result<(Table, Table)> {
    let head = if has_head(entry) { to_table(&head_options(entry, Table::new())?)? } else { Table::new() };
    Ok((head, entry.resolve(Table::new())?))
}

fn head_options(entry: &LossEntry, mut given: Table) -> Result<HeadOptions> {
    given.entry("sub_centers").or_insert(Value::Integer(entry.sub_centers as i64));
    let mut options: HeadOptions = parse(entry.name, given)?;
    options.terms = options.terms.iter().map(resolve_term).collect::<Result<_>>()?;
    Ok(options)
}

/// The complete table of a term.
fn resolve_term(table: &Table) -> Result<Table> {
    let (entry, weight, own) = split_term(table)?;
    let mut complete = entry.resolve(own)?;
    complete.insert("name".to_owned(), entry.name.into());
    complete.insert("weight".to_owned(), weight.into());
    Ok(complete)
}

fn split_term(table: &Table) -> Result<(&'static LossEntry, f64, Table)> {
    let mut own = table.clone();
    let name = own.remove("name");
    let name = name.as_ref().and_then(Value::as_str).ok_or_else(no_name)?;
    let entry = find(name)?;
    if entry.kind != Kind::Term {
        return Err(not_a_term(entry));
    }
    let weight = own.remove("weight").unwrap_or(Value::Float(1.0));
    let weight = weight.as_float().or_else(|| weight.as_integer().map(|weight| weight as f64));
    let weight = weight.filter(|weight| weight.is_finite());
    let weight = weight.ok_or_else(|| Error::value("terms: weight", "a finite number", &table["weight"]))?;
    let known = entry.resolve(Table::new())?;
    match own.keys().find(|key| !known.contains_key(*key)) {
        Some(key) => Err(unknown_key(name, key, known.keys().chain([&"name".to_owned(), &"weight".to_owned()]))),
        None => Ok((entry, weight, own)),
    }
}

fn no_name() -> Error {
    Error::Invalid("terms: expected tables like { name = \"intra\", weight = 1.0 }, got one without a name".to_owned())
}

fn not_a_term(entry: &LossEntry) -> Error {
    Error::value("terms", "the name of a term such as intra, inter or triplet", format!("`{}`", entry.name))
}

fn unknown_key<'a>(loss: &str, key: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let mut known: Vec<&str> = known.map(String::as_str).collect();
    known.sort_unstable();
    let known = if known.is_empty() { "it has none".to_owned() } else { format!("known: {}", known.join(", ")) };
    Error::Invalid(format!("loss `{loss}` has no parameter `{key}`; {known}"))
}
