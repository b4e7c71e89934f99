//! Student's t distribution: how often it exceeds a value, and the value that it exceeds so often.
//! Knows no test and no data.

use std::f64::consts::PI;

/// Halvings after which an interval of `f64` has no middle of its own.
const HALVINGS: u32 = 64;

/// P(|T| ≥ t) for ν degrees of freedom: `I_x(ν/2, 1/2)` at x = ν/(ν + t²) (NIST DLMF 8.17).
pub(super) fn two_sided(t: f64, degrees: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    incomplete_beta(degrees / (degrees + t * t), degrees / 2.0, 0.5).clamp(0.0, 1.0)
}

/// The t with P(|T| < t) = `level`.
pub(super) fn quantile(level: f64, degrees: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while 1.0 - level < two_sided(high, degrees) && high < f64::MAX / 2.0 {
        high *= 2.0;
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if 1.0 - level < two_sided(middle, degrees) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// `I_x(a, b)`, the regularised incomplete beta function.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || 1.0 <= x {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast on this side of the mean; beyond it the other tail is computed.
    if x <= (a + 1.0) / (a + b + 2.0) { lower_tail(x, a, b) } else { 1.0 - lower_tail(1.0 - x, b, a) }
}

/// x^a·(1 − x)^b/(a·B(a, b)) · 1/(1 + d₁/(1 + d₂/(1 + …))), DLMF 8.17.22.
fn lower_tail(x: f64, a: f64, b: f64) -> f64 {
    let front = a * x.ln() + b * (-x).ln_1p() - a.ln() - ln_beta(a, b);
    let fraction = (1..=terms(a.max(b))).rev().fold(1.0, |rest, term| 1.0 + coefficient(term, x, a, b) / rest);
    front.exp() / fraction
}

/// Terms of the continued fraction for parameters up to `size`: it needs a few times their square root.
fn terms(size: f64) -> u32 {
    (100.0 + 8.0 * size.sqrt()) as u32
}

/// d_{2m} = m(b − m)x/((a + 2m − 1)(a + 2m)), d_{2m+1} = −(a + m)(a + b + m)x/((a + 2m)(a + 2m + 1)).
fn coefficient(term: u32, x: f64, a: f64, b: f64) -> f64 {
    let m = f64::from(term / 2);
    let at = a + 2.0 * m;
    if term.is_multiple_of(2) {
        m * (b - m) * x / ((at - 1.0) * at)
    } else {
        -(a + m) * (a + b + m) * x / (at * (at + 1.0))
    }
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// Stirling's series (DLMF 5.11.1) at x + n ≥ 20, taken back by Γ(x + 1) = x·Γ(x).
fn ln_gamma(x: f64) -> f64 {
    let (mut at, mut taken_back) = (x, 0.0);
    while at < 20.0 {
        taken_back += at.ln();
        at += 1.0;
    }
    let inverse = 1.0 / at;
    let series = inverse / 12.0 - inverse.powi(3) / 360.0 + inverse.powi(5) / 1260.0;
    (at - 0.5) * at.ln() - at + 0.5 * (2.0 * PI).ln() + series - taken_back
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1e-3), "expected {expected}, got {got}");
    }

    /// `2*scipy.stats.t.sf(t, df)` of `SciPy` 1.17.
    #[test]
    fn tails_are_those_of_scipy() {
        near(two_sided(0.5, 1.0), 0.704_832_764_699_133_5);
        near(two_sided(4.302_652_729_911_275, 2.0), 0.049_999_999_996_516_63);
        near(two_sided(2.0, 10.0), 0.073_388_034_770_740_37);
        near(two_sided(2.5, 3.7), 0.071_822_022_911_826_78);
        near(two_sided(1.96, 5000.0), 0.050_051_252_291_819_504);
        near(two_sided(8.0, 2.4), 0.008_743_903_569_206_605);
        near(two_sided(0.0, 5.0), 1.0);
        near(two_sided(f64::INFINITY, 5.0), 0.0);
    }

    /// `scipy.stats.t.ppf(0.5 + level/2, df)`.
    #[test]
    fn quantiles_are_those_of_scipy() {
        near(quantile(0.95, 2.0), 4.302_652_729_749_462);
        near(quantile(0.95, 3.7), 2.867_520_707_191_189_5);
        near(quantile(0.99, 10.0), 3.169_272_672_616_95);
        near(quantile(0.95, 3000.0), 1.960_755_055_322_458);
    }

    /// With one degree of freedom it is Cauchy's, whose tail is known in closed form.
    #[test]
    fn one_degree_of_freedom_is_cauchy() {
        for t in [0.01, 0.3, 1.0, 7.0, 200.0] {
            near(two_sided(t, 1.0), 1.0 - 2.0 * f64::atan(t) / PI);
        }
    }
}
