//! Planted label noise: a source whose labels and images are wrong at given rates, and the truth about each image.
//! Knows no training; what is planted is a pure function of (seed, index).

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use arcface_core::seed::{Purpose, rng};
use arcface_core::{Error, Result};
use rand::Rng;

use crate::image::Image;
use crate::source::Source;

/// How much noise is planted: each image is met by it independently of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NoiseConfig {
    /// Probability that an image gets the label of another identity of the set, each of them as likely.
    pub closed: f64,
    /// Probability that an image gives way to the face of a stranger, under the label that it had.
    pub open: f64,
    /// Another seed meets other images.
    pub seed: u64,
}

impl NoiseConfig {
    /// Whether nothing is planted.
    pub fn is_off(&self) -> bool {
        self.closed <= 0.0 && self.open <= 0.0
    }

    /// # Errors
    /// If a rate is negative, or both are above 1 together; the message names them.
    pub fn check(&self) -> Result<()> {
        if 0.0 <= self.closed && 0.0 <= self.open && self.closed + self.open <= 1.0 {
            return Ok(());
        }
        let got = format!("{} and {}", self.closed, self.open);
        Err(Error::value(
            "noise `closed` and `open`",
            "shares of the images, both 0 or more and at most 1 together",
            got,
        ))
    }
}

/// What is true of an image whose label may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Truth {
    /// The label is right.
    Clean,
    /// The face is that of another identity of the set.
    Closed,
    /// The face is that of a stranger.
    Open,
}

impl Truth {
    /// Whether the label is wrong.
    pub fn is_noisy(self) -> bool {
        self != Self::Clean
    }

    /// As it is written in lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// What was planted in place of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planted {
    Nothing,
    /// This label.
    Label(u32),
    /// This image of the strangers.
    Stranger(usize),
}

/// A source with noise in it; everything that is not noise is as it was, in the same places.
///
/// An identity may be left without images, and one stranger may stand in several places.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use arcface_data::noise::{NoiseConfig, NoisySource, Truth};
/// use arcface_data::{ProceduralConfig, ProceduralSource, Source};
/// let config = ProceduralConfig { identities: 20, images_per_identity: 5, ..ProceduralConfig::default() };
/// let strangers = ProceduralConfig { first_identity: 20, ..config.clone() };
/// let [set, strangers] = [config, strangers].map(|config| ProceduralSource::new(config).unwrap());
/// let rates = NoiseConfig { closed: 0.2, open: 0.2, seed: 0 };
/// let noisy = NoisySource::new(Arc::new(set), Some(Arc::new(strangers)), rates)?;
/// assert_eq!((noisy.len(), noisy.num_identities()), (100, 20));
/// let wrong = (0..100).filter(|index| noisy.truth(*index).is_noisy()).count();
/// assert!(20 < wrong && wrong < 60);
/// let clean = (0..100).find(|index| noisy.truth(*index) == Truth::Clean).unwrap();
/// assert_eq!(noisy.identity(noisy.label(clean)), noisy.shown(clean));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub struct NoisySource {
    source: Arc<dyn Source>,
    strangers: Option<Arc<dyn Source>>,
    planted: Vec<Planted>,
}

impl NoisySource {
    /// `source` with noise; `strangers` are faces of nobody in it, wanted where `open` is above 0.
    ///
    /// # Errors
    /// If a rate is out of range, there is no other identity to flip a label to, there are no strangers where some are
    /// wanted, or one of them bears the name of an identity of the source.
    pub fn new(source: Arc<dyn Source>, strangers: Option<Arc<dyn Source>>, config: NoiseConfig) -> Result<Self> {
        config.check()?;
        if 0.0 < config.closed && source.num_identities() < 2 {
            let message = "at least 2 identities, for noise within the set";
            return Err(Error::value("identities", message, source.num_identities()));
        }
        let faces = strangers.as_ref().map_or(0, Source::len);
        if 0.0 < config.open && faces == 0 {
            return Err(Error::value("faces of strangers", "at least one, for noise from outside of the set", faces));
        }
        if let Some(strangers) = &strangers {
            refuse_acquaintances(&*source, &**strangers)?;
        }
        let planted = (0..source.len()).map(|index| plant(&*source, faces, config, index)).collect();
        Ok(Self { source, strangers, planted })
    }

    /// The source before.
    pub fn before(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The strangers that there are to choose from.
    pub fn strangers(&self) -> Option<&Arc<dyn Source>> {
        self.strangers.as_ref()
    }

    /// What is true of the label of image `index`.
    pub fn truth(&self, index: usize) -> Truth {
        match self.planted[index] {
            Planted::Nothing => Truth::Clean,
            Planted::Label(_) => Truth::Closed,
            Planted::Stranger(_) => Truth::Open,
        }
    }

    /// The name of whom image `index` shows.
    pub fn shown(&self, index: usize) -> String {
        let (source, index) = self.place(index);
        source.identity(source.label(index))
    }

    /// Where the pixels of image `index` come from.
    fn place(&self, index: usize) -> (&dyn Source, usize) {
        match (self.planted[index], &self.strangers) {
            (Planted::Stranger(stranger), Some(strangers)) => (&**strangers, stranger),
            _ => (&*self.source, index),
        }
    }
}

impl std::fmt::Debug for NoisySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let noisy = self.planted.iter().filter(|planted| **planted != Planted::Nothing).count();
        write!(f, "NoisySource({} identities, {noisy} of {} images noisy)", self.num_identities(), self.len())
    }
}

/// What becomes of image `index`: one number decides whether and how it is met, another what it becomes.
fn plant(source: &dyn Source, strangers: usize, config: NoiseConfig, index: usize) -> Planted {
    let mut rng = rng(config.seed, Purpose::Noise, 0, index as u64);
    let chance: f64 = rng.random();
    if chance < config.closed {
        let identities = source.num_identities() as u32;
        Planted::Label((source.label(index) + rng.random_range(1..identities)) % identities)
    } else if chance < config.closed + config.open {
        Planted::Stranger(rng.random_range(0..strangers))
    } else {
        Planted::Nothing
    }
}

/// Names that are numbers, as records have, say nothing.
fn refuse_acquaintances(source: &dyn Source, strangers: &dyn Source) -> Result<()> {
    let names = |source: &dyn Source| -> Vec<String> {
        let all = (0..source.num_identities() as u32).map(|label| source.identity(label));
        all.filter(|name| !name.bytes().all(|byte| byte.is_ascii_digit())).collect()
    };
    let known: HashSet<String> = names(source).into_iter().collect();
    match names(strangers).into_iter().find(|name| known.contains(name)) {
        Some(name) => {
            Err(Error::value("strangers", "faces of people who are not in the data set", format!("`{name}`")))
        }
        None => Ok(()),
    }
}

impl Source for NoisySource {
    fn len(&self) -> usize {
        self.source.len()
    }
    fn num_identities(&self) -> usize {
        self.source.num_identities()
    }
    fn label(&self, index: usize) -> u32 {
        match self.planted[index] {
            Planted::Label(label) => label,
            Planted::Nothing | Planted::Stranger(_) => self.source.label(index),
        }
    }
    fn identity(&self, label: u32) -> String {
        self.source.identity(label)
    }
    fn image(&self, index: usize) -> Result<Image> {
        let (source, index) = self.place(index);
        source.image(index)
    }
    fn describe(&self, index: usize) -> String {
        let (source, index) = self.place(index);
        source.describe(index)
    }
    /// None: an image under another label may have the name of one that is there.
    fn file_name(&self, _index: usize) -> Option<String> {
        None
    }
    fn encoded(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        let (source, index) = self.place(index);
        source.encoded(index)
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        let (source, index) = self.place(index);
        source.dimensions(index)
    }
}
