//! The losses of a binary, registered at link time by `register_loss!`: name, description, parameters, constructor.
//! Knows no loss by name and no configuration file.

use arcface_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::margin::Margin;
use crate::term::Term;

/// A loss that can be built from a table of parameters; [`register_loss!`](crate::register_loss) makes it known.
///
/// # Example
/// ```
/// use arcface_core::Result;
/// use arcface_losses::margin::{Margin, Row, Target};
/// use arcface_losses::registry::{About, Kind, Loss, Part};
/// use arcface_losses::register_loss;
/// use serde::{Deserialize, Serialize};
///
/// /// ψ(θ) = cosθ − margin.
/// #[derive(Debug)]
/// struct Mine(Parameters);
///
/// #[derive(Debug, Serialize, Deserialize)]
/// #[serde(default)]
/// struct Parameters {
///     margin: f64,
/// }
///
/// impl Default for Parameters {
///     fn default() -> Self {
///         Self { margin: 0.2 }
///     }
/// }
///
/// impl Loss for Mine {
///     const ABOUT: About = About::new("mine", Kind::Margin, "a cosine margin of mine", "s·(cosθ_y − m)");
///     type Parameters = Parameters;
///     fn build(parameters: Parameters) -> Result<Part> {
///         Ok(Part::margin(Mine(parameters)))
///     }
/// }
/// register_loss!(Mine);
///
/// impl Margin for Mine {
///     fn target(&self, cosine: f64, _norm: f64, _row: &Row) -> Target {
///         Target::new(cosine - self.0.margin, 1.0)
///     }
/// }
///
/// assert!(arcface_losses::losses()?.iter().any(|loss| loss.name == "mine"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub trait Loss: 'static {
    /// Name and description.
    const ABOUT: About;
    /// The parameters beside those of the head; `#[serde(default)]`, so that each may be left out.
    type Parameters: Serialize + DeserializeOwned + Default;

    /// The part that this loss contributes.
    ///
    /// # Errors
    /// If the parameters contradict each other.
    fn build(parameters: Self::Parameters) -> Result<Part>;
}

/// What a loss contributes to an objective.
#[derive(Debug)]
pub enum Part {
    /// A margin, for any head of class centers.
    Margin(Box<dyn Margin>),
    /// A pairwise term.
    Term(Box<dyn Term>),
    /// The plain softmax head, unnormalised with a bias.
    Softmax,
}

impl Part {
    /// A margin.
    pub fn margin(margin: impl Margin + 'static) -> Self {
        Self::Margin(Box::new(margin))
    }

    /// A pairwise term.
    pub fn term(term: impl Term + 'static) -> Self {
        Self::Term(Box::new(term))
    }
}

/// What kind of part a loss contributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A margin, for any head of class centers.
    Margin,
    /// A head of its own.
    Head,
    /// A pairwise term; by itself, a loss on top of normface or without class centers.
    Term,
}

/// What a term stands on when it is asked for as a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// normface + the term with weight 1.
    NormFace,
    /// The term alone; there are no class centers.
    Alone,
}

/// A general property that conformance tests ask of every loss, unless it declares that it lacks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// With the neutral parameters the loss is normface.
    NeutralIsNormface,
    /// The loss does not change with the length of embeddings and centers.
    LengthInvariance,
    /// The loss does not change when embeddings and centers are rotated together.
    RotationInvariance,
    /// The loss does not change when classes are permuted with their labels.
    PermutationInvariance,
    /// The target logit does not rise with θ on [0, π].
    FallsWithAngle,
    /// The target logit does not rise from the neutral parameters to the default ones.
    FallsWithMargin,
    /// Gradients are finite at cosθ = ±1 and for a zero embedding.
    FiniteGradients,
    /// The gradients agree with finite differences.
    FiniteDifferences,
    /// One sub-center per class is the same as none.
    OneSubCenterIsDense,
    /// A state that is stored and loaded continues alike.
    StateRoundTrip,
    /// f32 and f64 agree.
    SinglePrecision,
}

/// A property that a loss does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exception {
    /// The property.
    pub property: Property,
    /// Why it cannot hold.
    pub reason: &'static str,
}

/// Name and description of a loss.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct About {
    /// The name in a configuration.
    pub name: &'static str,
    /// What it contributes.
    pub kind: Kind,
    /// One line.
    pub summary: &'static str,
    /// The target logit or the loss, in Unicode.
    pub formula: &'static str,
    /// Where it comes from.
    pub paper: &'static str,
    /// General properties that it does not have.
    pub exceptions: &'static [Exception],
    #[serde(skip)]
    pub(crate) sub_centers: usize,
    #[serde(skip)]
    /// The parameters, as TOML, that make it normface.
    pub neutral: &'static str,
    #[serde(skip)]
    pub(crate) base: Base,
}

impl About {
    /// A description without paper and without exceptions; the neutral parameters are `margin = 0.0`.
    pub const fn new(name: &'static str, kind: Kind, summary: &'static str, formula: &'static str) -> Self {
        let (paper, exceptions, sub_centers, neutral, base) = ("", &[], 1, "margin = 0.0", Base::NormFace);
        Self { name, kind, summary, formula, paper, exceptions, sub_centers, neutral, base }
    }

    /// Where the loss comes from.
    #[must_use]
    pub const fn paper(self, paper: &'static str) -> Self {
        Self { paper, ..self }
    }

    /// Properties it does not have, with the reasons.
    #[must_use]
    pub const fn exceptions(self, exceptions: &'static [Exception]) -> Self {
        Self { exceptions, ..self }
    }

    /// The parameters, as TOML, that make it normface.
    #[must_use]
    pub const fn neutral(self, neutral: &'static str) -> Self {
        Self { neutral, ..self }
    }

    /// Sub-centers per class where the configuration does not say.
    #[must_use]
    pub const fn sub_centers(self, sub_centers: usize) -> Self {
        Self { sub_centers, ..self }
    }

    /// For a term: as a loss it stands alone, without class centers.
    #[must_use]
    pub const fn alone(self) -> Self {
        Self { base: Base::Alone, ..self }
    }
}

/// A registered loss: its description, to which it dereferences, and how to build it.
#[derive(Debug)]
pub struct LossEntry {
    about: About,
    resolve: fn(Table) -> Result<Table>,
    build: fn(Table) -> Result<Part>,
}

impl std::ops::Deref for LossEntry {
    type Target = About;
    fn deref(&self) -> &About {
        &self.about
    }
}

inventory::collect!(LossEntry);

impl LossEntry {
    /// The entry of `L`.
    pub const fn of<L: Loss>() -> Self {
        Self { about: L::ABOUT, resolve: resolve::<L>, build: build::<L> }
    }

    /// The whole table of the part's own parameters: `given` and the defaults of the rest.
    ///
    /// # Errors
    /// If a value is out of range.
    pub(crate) fn resolve(&self, given: Table) -> Result<Table> {
        (self.resolve)(given)
    }

    /// The part with the parameters `given`.
    ///
    /// # Errors
    /// If a value is out of range.
    pub(crate) fn build(&self, given: Table) -> Result<Part> {
        (self.build)(given)
    }

    /// Whether the loss has class centers; a term that stands alone has none.
    pub fn has_centers(&self) -> bool {
        match self.kind {
            Kind::Margin | Kind::Head => true,
            Kind::Term => self.base == Base::NormFace,
        }
    }

    /// Whether the declared exceptions name `property`.
    pub fn lacks(&self, property: Property) -> bool {
        self.exceptions.iter().any(|exception| exception.property == property)
    }
}

/// All linked losses, sorted by name.
///
/// # Errors
/// If two have the same name.
///
/// ```
/// let names: Vec<&str> = arcface_losses::losses()?.iter().map(|loss| loss.name).collect();
/// assert!(names.contains(&"arcface"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn losses() -> Result<Vec<&'static LossEntry>> {
    sorted(inventory::iter::<LossEntry>.into_iter().collect())
}

/// The loss called `name`.
///
/// # Errors
/// If none is linked in; the message lists the known ones.
pub fn find(name: &str) -> Result<&'static LossEntry> {
    let all = losses()?;
    let known = all.iter().map(|entry| entry.name);
    all.iter().find(|entry| entry.name == name).copied().ok_or_else(|| Error::unknown("loss", name, known))
}

/// Registers a [`Loss`](crate::registry::Loss) with every binary that links this crate.
///
/// A dependency that no path mentions is not linked: write `use my_loss as _;` in the binary.
#[macro_export]
macro_rules! register_loss {
    ($loss:ty) => {
        $crate::registry::inventory::submit! { $crate::registry::LossEntry::of::<$loss>() }
    };
}

#[doc(hidden)]
pub use inventory;

fn sorted(mut all: Vec<&LossEntry>) -> Result<Vec<&LossEntry>> {
    all.sort_by_key(|entry| entry.name);
    match all.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(Error::Invalid(format!(
            "loss `{}` is registered twice; two linked crates use the same name: rename one",
            pair[0].name
        ))),
        None => Ok(all),
    }
}

fn build<L: Loss>(given: Table) -> Result<Part> {
    L::build(parse(L::ABOUT.name, given)?)
}

fn resolve<L: Loss>(given: Table) -> Result<Table> {
    to_table(&parse::<L::Parameters>(L::ABOUT.name, given)?)
}

/// `parameters` as a table.
pub(crate) fn to_table(parameters: &impl Serialize) -> Result<Table> {
    Table::try_from(parameters).map_err(|error| Error::Invalid(format!("parameters of a loss: {error}")))
}

/// The parameters in `given`; the message of an error names the loss and the key.
pub(crate) fn parse<P: DeserializeOwned>(loss: &str, given: Table) -> Result<P> {
    let one_by_one = given.clone();
    given.try_into().map_err(|error: toml::de::Error| {
        let key = one_by_one.into_iter().find(|pair| single::<P>(pair.clone()).is_err());
        let place = key.map_or_else(String::new, |(key, _)| format!("`{key}`: "));
        Error::Invalid(format!("loss `{loss}`: {place}{}", complaint(error.message())))
    })
}

/// The message without the quantity that a checked number puts before `expected`: the key is the better name.
fn complaint(message: &str) -> &str {
    let message = message.trim_end();
    message.find(": expected ").map_or(message, |colon| &message[colon + 2..])
}

fn single<P: DeserializeOwned>(pair: (String, Value)) -> std::result::Result<P, toml::de::Error> {
    Table::from_iter([pair]).try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_losses_of_one_name_are_refused() {
        let entry = find("arcface").unwrap();
        let error = sorted(vec![entry, entry]).unwrap_err().to_string();
        assert!(error.starts_with("loss `arcface` is registered twice"), "{error}");
    }
}
