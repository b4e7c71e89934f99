//! eˣ for loops over slices: plain arithmetic, which the compiler turns into vector instructions.
//! Knows no operator.

/// eˣ without a branch or a call.
pub trait Exponential {
    /// eˣ to a few units in the last place for x below 80; 0 where that is below the smallest normal number; NaN of
    /// NaN.
    ///
    /// With x = k·ln 2 + r, |r| ≤ ln 2/2, it is 2ᵏ times the Taylor polynomial of eʳ, whose rest is below the rounding.
    #[must_use]
    fn exp_in_lanes(self) -> Self;
}

/// x + `$round` − `$round` is x rounded to a whole number, which stands in the low bits of the first sum.
macro_rules! exponential {
    ($float:ident, $lowest:literal, $round:literal, $ln2_high:literal, $ln2_low:literal,
        $mantissa:literal, $one:literal, [$($coefficient:expr),*]) => {
        impl Exponential for $float {
            #[inline(always)]
            #[allow(clippy::inline_always, reason = "only what is inlined is compiled for the wide vectors")]
            #[allow(clippy::excessive_precision, clippy::unreadable_literal, reason = "as published")]
            fn exp_in_lanes(self) -> Self {
                let x = if self < $lowest { $lowest } else { self };
                let rounded = x * std::$float::consts::LOG2_E + $round;
                let k = rounded - $round;
                // ln 2 in two parts, the first so short that its product with k is exact.
                let r = (x - k * $ln2_high) - k * $ln2_low;
                let mut polynomial: $float = 0.0;
                $(polynomial = polynomial * r + 1.0 / $coefficient;)*
                let power = $float::from_bits((rounded.to_bits() << $mantissa).wrapping_add($one));
                if self < $lowest { 0.0 } else { polynomial * power }
            }
        }
    };
}

// The parts of ln 2 are those of Cephes' `expf` and of fdlibm's `e_exp.c`; the divisors are the factorials.
exponential!(
    f32,
    -87.0,
    12_582_912.0,
    0.693_359_375,
    -2.121_944_400_546_905_8e-4,
    23,
    0x3f80_0000,
    [5040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0]
);
exponential!(
    f64,
    -708.0,
    6_755_399_441_055_744.0,
    6.931_471_803_691_238_164_90e-1,
    1.908_214_929_270_587_700_02e-10,
    52,
    0x3ff0_0000_0000_0000,
    [
        6_227_020_800.0,
        479_001_600.0,
        39_916_800.0,
        3_628_800.0,
        362_880.0,
        40_320.0,
        5040.0,
        720.0,
        120.0,
        24.0,
        6.0,
        2.0,
        1.0,
        1.0
    ]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exponential() {
        for i in 0..=200_000 {
            let x = -87.0 + 167.0 * f64::from(i) / 200_000.0;
            let narrow = x as f32;
            let expected = f64::from(narrow).exp();
            let error = (f64::from(narrow.exp_in_lanes()) / expected - 1.0).abs();
            assert!(error < 2.5e-7, "e^{narrow} is off by {error}");
            let error = (x.exp_in_lanes() / x.exp() - 1.0).abs();
            assert!(error < 6e-16, "e^{x} is off by {error}");
        }
        assert!(((-700f64).exp_in_lanes() / (-700f64).exp() - 1.0).abs() < 6e-16);
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "exact")]
    fn its_ends_are_exact() {
        assert_eq!((0f32.exp_in_lanes(), 0f64.exp_in_lanes()), (1.0, 1.0));
        assert_eq!((f32::NEG_INFINITY.exp_in_lanes(), (-1e9f64).exp_in_lanes()), (0.0, 0.0));
        assert!(f32::NAN.exp_in_lanes().is_nan() && f64::NAN.exp_in_lanes().is_nan());
        assert!(!f32::INFINITY.exp_in_lanes().is_finite() && !f64::INFINITY.exp_in_lanes().is_finite());
    }
}
