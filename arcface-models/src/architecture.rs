//! The networks by name, and what can be chosen about them.
//! A closed enum: only losses are an open set. Knows no tensor.

use std::fmt;
use std::str::FromStr;

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::facenano::facenano;
use crate::iresnet::{IResNetShape, iresnet};
use crate::mobilefacenet::mobilefacenet;
use crate::mobilefacenet_paper::{mobilefacenet_112x96, mobilefacenet_y1};
use crate::plan::{Entry, Plan};

/// A network by name.
///
/// ```
/// use arcface_models::Architecture;
/// let architecture: Architecture = "iresnet50".parse()?;
/// assert_eq!(architecture.to_string(), "iresnet50");
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Architecture {
    /// 2-2-2-2 blocks.
    IResNet18,
    /// 3-4-6-3 blocks.
    IResNet34,
    /// 3-4-14-3 blocks.
    IResNet50,
    /// 3-13-30-3 blocks.
    IResNet100,
    /// 6-26-60-6 blocks.
    IResNet200,
    /// `arcface_torch`'s `mbf`.
    MobileFaceNet,
    /// insightface's older `MobileFaceNet`, `model-y1`.
    MobileFaceNetY1,
    /// Xiaoccer's `MobileFaceNet`, which sees the middle 96 columns of a face.
    MobileFaceNet112x96,
    /// Our small network for quick runs.
    FaceNano,
}

impl Architecture {
    /// All of them, small ones last.
    pub const ALL: [Self; 9] = [
        Self::IResNet18,
        Self::IResNet34,
        Self::IResNet50,
        Self::IResNet100,
        Self::IResNet200,
        Self::MobileFaceNet,
        Self::MobileFaceNetY1,
        Self::MobileFaceNet112x96,
        Self::FaceNano,
    ];

    /// The name in configurations and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::IResNet18 => "iresnet18",
            Self::IResNet34 => "iresnet34",
            Self::IResNet50 => "iresnet50",
            Self::IResNet100 => "iresnet100",
            Self::IResNet200 => "iresnet200",
            Self::MobileFaceNet => "mobilefacenet",
            Self::MobileFaceNetY1 => "mobilefacenet_y1",
            Self::MobileFaceNet112x96 => "mobilefacenet_112x96",
            Self::FaceNano => "facenano",
        }
    }

    /// D where nothing else is asked for.
    pub fn default_embedding_size(self) -> usize {
        match self {
            Self::MobileFaceNetY1 | Self::MobileFaceNet112x96 | Self::FaceNano => 128,
            _ => 512,
        }
    }

    /// How pixel values 0–255 became inputs where the network was published, as [`weights::Metadata`] spells it.
    ///
    /// [`weights::Metadata`]: crate::weights::Metadata
    pub fn normalisation(self) -> &'static str {
        match self {
            Self::MobileFaceNetY1 | Self::MobileFaceNet112x96 => "(x-127.5)/128",
            _ => "(x-127.5)/127.5",
        }
    }

    fn has_dropout(self) -> bool {
        !matches!(self, Self::MobileFaceNet | Self::MobileFaceNetY1 | Self::MobileFaceNet112x96)
    }

    /// Sides of the smallest face whose last feature map has a pixel.
    fn smallest_input(self) -> usize {
        if self == Self::MobileFaceNet112x96 { 32 } else { 16 }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Architecture {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        let known = Self::ALL.map(Self::name);
        let found = Self::ALL.into_iter().find(|architecture| architecture.name() == name);
        found.ok_or_else(|| Error::unknown("backbone", name, known))
    }
}

impl TryFrom<String> for Architecture {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Architecture> for String {
    fn from(architecture: Architecture) -> Self {
        architecture.name().to_owned()
    }
}

/// What can be chosen about a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneConfig {
    /// The network.
    pub architecture: Architecture,
    /// D.
    pub embedding_size: usize,
    /// Side of the square face, a multiple of 16; `mobilefacenet_112x96` sees all of it but 8 columns on either side.
    pub input_size: usize,
    /// Rate of the dropout before the fully connected layer.
    pub dropout: f64,
    /// Modules (`layer1`, `stage2.down`, or `all`) that training leaves as they are, running statistics included.
    pub freeze: Vec<String>,
}

/// For messages: the name with the sizes that decide the shapes.
impl fmt::Display for BackboneConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { architecture, embedding_size, input_size, .. } = self;
        write!(f, "{architecture} (embedding_size {embedding_size}, input_size {input_size})")
    }
}

impl BackboneConfig {
    /// The network as it is published: 112×112 images, its own D, no dropout, nothing frozen.
    pub fn new(architecture: Architecture) -> Self {
        Self {
            architecture,
            embedding_size: architecture.default_embedding_size(),
            input_size: 112,
            dropout: 0.0,
            freeze: vec![],
        }
    }

    /// The layers.
    ///
    /// # Errors
    /// If a size, the dropout rate or a frozen module is out of range.
    ///
    /// ```
    /// use arcface_models::{Architecture, BackboneConfig};
    /// let cost = BackboneConfig::new(Architecture::IResNet50).plan()?.cost();
    /// assert_eq!((cost.parameters, cost.state_entries), (43_590_848, 475));
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn plan(&self) -> Result<Plan> {
        self.check_sizes()?;
        self.check_dropout()?;
        let plan = self.plan_unchecked();
        plan.check_prefixes(&self.freeze)?;
        Ok(plan)
    }

    /// The entries of the network, whatever its sizes.
    pub(crate) fn entries_unchecked(&self) -> Vec<Entry> {
        self.plan_unchecked().entries()
    }

    fn plan_unchecked(&self) -> Plan {
        let iresnet = |blocks| iresnet(IResNetShape::new(blocks), self.input_size, self.embedding_size, self.dropout);
        match self.architecture {
            Architecture::IResNet18 => iresnet([2, 2, 2, 2]),
            Architecture::IResNet34 => iresnet([3, 4, 6, 3]),
            Architecture::IResNet50 => iresnet([3, 4, 14, 3]),
            Architecture::IResNet100 => iresnet([3, 13, 30, 3]),
            Architecture::IResNet200 => iresnet([6, 26, 60, 6]),
            Architecture::MobileFaceNet => mobilefacenet(self.input_size, self.embedding_size),
            Architecture::MobileFaceNetY1 => mobilefacenet_y1(self.input_size, self.embedding_size),
            Architecture::MobileFaceNet112x96 => mobilefacenet_112x96(self.input_size, self.embedding_size),
            Architecture::FaceNano => facenano(self.input_size, self.embedding_size, self.dropout),
        }
    }

    fn check_sizes(&self) -> Result<()> {
        let least = self.architecture.smallest_input();
        if !self.input_size.is_multiple_of(16) || self.input_size < least || 1024 < self.input_size {
            let expected = format!("a multiple of 16 from {least} to 1024");
            return Err(Error::value("input_size", expected, self.input_size));
        }
        if self.embedding_size < 1 || 65_536 < self.embedding_size {
            return Err(Error::value("embedding_size", "1 <= embedding_size <= 65536", self.embedding_size));
        }
        Ok(())
    }

    fn check_dropout(&self) -> Result<()> {
        if !(0.0 <= self.dropout && self.dropout < 1.0) {
            return Err(Error::value("dropout", "0 <= dropout < 1", self.dropout));
        }
        if 0.0 < self.dropout && !self.architecture.has_dropout() {
            let expected = format!("0, since {} has no dropout layer", self.architecture);
            return Err(Error::value("dropout", expected, self.dropout));
        }
        Ok(())
    }
}
