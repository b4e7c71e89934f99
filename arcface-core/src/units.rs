//! Numbers whose range and unit are part of their type: margins in radians, scales above zero.
//! Knows no loss; whoever holds one of these need not check it again.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// An additive angular margin m in radians, 0 ≤ m ≤ π.
///
/// ```
/// use arcface_core::Margin;
/// assert!((Margin::radians(0.5)?.get() - 0.5).abs() < 1e-12);
/// assert!(Margin::radians(28.6).is_err()); // degrees are refused
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Margin(f64);

impl Margin {
    /// A margin of `radians`.
    ///
    /// # Errors
    /// If it is not within [0, π]; a value that looks like degrees is answered with the conversion.
    pub fn radians(radians: f64) -> Result<Self> {
        if 0.0 <= radians && radians <= std::f64::consts::PI {
            return Ok(Self(radians));
        }
        let expected = if std::f64::consts::PI < radians && radians <= 180.0 {
            format!("radians within [0, π] ({radians}° would be {:.4} rad)", radians.to_radians())
        } else {
            "radians within [0, π]".to_owned()
        };
        Err(Error::value("margin", expected, radians))
    }

    /// The value in radians.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Margin {
    type Error = Error;
    fn try_from(radians: f64) -> Result<Self> {
        Self::radians(radians)
    }
}

impl From<Margin> for f64 {
    fn from(margin: Margin) -> Self {
        margin.0
    }
}

/// The scale s that logits are multiplied by, 0 < s ≤ 10⁴.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Scale(f64);

impl Scale {
    /// A scale of `value`.
    ///
    /// # Errors
    /// If it is not within (0, 10⁴].
    pub fn new(value: f64) -> Result<Self> {
        if 0.0 < value && value <= 1e4 {
            return Ok(Self(value));
        }
        Err(Error::value("scale", "0 < scale <= 10000", value))
    }

    /// The value.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Scale {
    type Error = Error;
    fn try_from(value: f64) -> Result<Self> {
        Self::new(value)
    }
}

impl From<Scale> for f64 {
    fn from(scale: Scale) -> Self {
        scale.0
    }
}
