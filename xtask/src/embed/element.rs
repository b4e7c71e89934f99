//! How the numbers of a matrix are stored: in single or in half precision, little endian.
//! Knows no file.

use half::f16;

/// A kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Element {
    /// 32 bits, as they were computed.
    #[default]
    Single,
    /// 16 bits: half the room. Each number is off by at most 2⁻¹¹ of itself, so that the cosine of two embeddings is off
    /// by less than 2⁻¹⁰, or 0.001.
    Half,
}

impl Element {
    /// The kind that `.npy` or `.safetensors` call `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Single, Self::Half].into_iter().find(|element| [element.npy(), element.safetensors()].contains(&name))
    }

    /// Its name in `.npy`.
    pub(crate) fn npy(self) -> &'static str {
        match self {
            Self::Single => "<f4",
            Self::Half => "<f2",
        }
    }

    /// Its name in `.safetensors`.
    pub(crate) fn safetensors(self) -> &'static str {
        match self {
            Self::Single => "F32",
            Self::Half => "F16",
        }
    }

    /// Bytes of a number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Single => 4,
            Self::Half => 2,
        }
    }

    /// The numbers as bytes; beyond 65,504 there is no half precision, and ∞ is stored.
    pub(crate) fn encoded(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::Single => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Half => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
        }
    }

    /// The numbers of whole `bytes`.
    pub(crate) fn decoded(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::Single => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Self::Half => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_as_near_as_it_says() {
        // Numbers of every size that an embedding may have, by a formula.
        let values: Vec<f32> = (0..20_000).map(|at| ((at * 7919 % 20_011) as f32 / 10_000.0 - 1.0).powi(3)).collect();
        let stored = Element::Half.decoded(&Element::Half.encoded(&values));
        let square = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        for (values, stored) in values.chunks(500).zip(stored.chunks(500)) {
            let apart: Vec<f32> = values.iter().zip(stored).map(|(value, stored)| value - stored).collect();
            assert!(square(&apart).sqrt() <= square(values).sqrt() * 2.0_f64.powi(-11));
        }
    }

    #[test]
    fn single_precision_is_kept() {
        let values = [0.1, -3.5e-12, f32::MAX, 65_505.0];
        assert_eq!(Element::Single.decoded(&Element::Single.encoded(&values)), values);
        assert_eq!(Element::Half.decoded(&Element::Half.encoded(&[1.0e6])), [f32::INFINITY]);
    }
}
