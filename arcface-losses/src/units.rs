//! Numbers of the margins whose range is part of their type, beside core's radians and scales.
//! Knows no loss; whoever holds one of these need not check it again.

use arcface_core::{Error, Margin, Result};
use serde::{Deserialize, Serialize};

/// A type for numbers of one range: checked where a table is read, plain afterwards.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($number:ty), $range:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name($number);

        impl $name {
            /// The value.
            pub fn get(self) -> $number {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = Error;
            fn try_from(value: f64) -> Result<Self> {
                let in_range: fn(f64) -> bool = $range;
                if in_range(value) { Ok(Self(value)) } else { Err(Error::value("value", $expected, value)) }
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

number!(
    /// A margin that is taken from the cosine, 0 ≤ m ≤ 2.
    CosineMargin(f64), |value| 0.0 <= value && value <= 2.0, "a cosine margin within [0, 2]"
);
number!(
    /// A factor of the angle, 0 < m ≤ 8.
    Factor(f64), |value| 0.0 < value && value <= 8.0, "a factor of the angle within (0, 8]"
);
number!(
    /// A finite number that is not negative.
    NonNegative(f64), |value| 0.0 <= value && value < f64::INFINITY, "0 <= value < inf"
);
number!(
    /// A share of a whole, 0 ≤ p ≤ 1.
    Fraction(f64), |value| 0.0 <= value && value <= 1.0, "a fraction within [0, 1]"
);
number!(
    /// A share of the classes, 0 < r ≤ 1.
    SampleRate(f64), |value| 0.0 < value && value <= 1.0, "0 < sample_rate <= 1"
);

/// A number of sub-centers per class, 1 ≤ K ≤ 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct SubCenters(usize);

impl SubCenters {
    /// The number.
    pub fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<i64> for SubCenters {
    type Error = Error;
    fn try_from(count: i64) -> Result<Self> {
        if 1 <= count && count <= 1024 {
            return Ok(Self(count as usize));
        }
        Err(Error::value("value", "1 <= sub_centers <= 1024", count))
    }
}

impl From<SubCenters> for i64 {
    fn from(count: SubCenters) -> Self {
        count.0 as Self
    }
}

/// A constant of our own that is known to lie in its range.
pub(crate) fn valid<T: TryFrom<N>, N>(number: N) -> T {
    T::try_from(number).unwrap_or_else(|_| unreachable!("a default value lies within its range"))
}

/// A constant margin of our own.
pub(crate) fn radians(value: f64) -> Margin {
    valid(value)
}
