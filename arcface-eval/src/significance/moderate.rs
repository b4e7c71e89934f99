//! Variances of a few runs each, told together what they are like: empirical Bayes as of Smyth.
//! Knows no test; variances come in.

use super::{Part, variance};

/// What the variances of several comparisons are like: a scaled inverse χ² of so many degrees of freedom.
///
/// Three runs say little of a variance, and the test of a comparison alone has next to no power. The comparisons of a table
/// say more together: each variance is drawn towards what is usual, the more, the more alike they are (Smyth, Statistical
/// Applications in Genetics and Molecular Biology 3, 2004, Section 6.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// The usual variance, s₀².
    pub variance: f64,
    /// What it counts for, d₀; infinite where the variances differ by no more than chance.
    pub degrees: f64,
}

impl Prior {
    /// From the gains of several comparisons, each the means of its runs; `None` of fewer than three that have two runs or
    /// more and differ at all: so few tell nothing of each other.
    ///
    /// ```
    /// use arcface_eval::significance::Prior;
    /// let gains = [vec![0.01, 0.03, 0.02], vec![-0.10, -0.13, -0.11], vec![0.0, 0.01, -0.01]];
    /// let prior = Prior::of(&gains).unwrap();
    /// assert!(1e-5 < prior.variance && prior.variance < 1e-3);
    /// ```
    pub fn of(comparisons: &[Vec<f64>]) -> Option<Self> {
        let known: Vec<Part> = comparisons
            .iter()
            .filter(|gains| 1 < gains.len())
            .map(|gains| Part { variance: variance(gains), degrees: gains.len() as f64 - 1.0 })
            .filter(|part| 0.0 < part.variance)
            .collect();
        if known.len() < 3 {
            return None;
        }
        let number = known.len() as f64;
        let logs: Vec<f64> = known.iter().map(centred_log).collect();
        let mean = logs.iter().sum::<f64>() / number;
        let chance = known.iter().map(|part| trigamma(0.5 * part.degrees)).sum::<f64>() / number;
        let beyond_chance = variance(&logs) - chance;
        if beyond_chance <= 0.0 {
            return Some(Self { variance: mean.exp(), degrees: f64::INFINITY });
        }
        let half = inverse_trigamma(beyond_chance);
        Some(Self { variance: (mean + digamma(half) - half.ln()).exp(), degrees: 2.0 * half })
    }

    /// A variance that is known from a few runs, with what all of them are like.
    pub(super) fn moderate(self, own: Part) -> Part {
        if self.degrees.is_infinite() {
            return Part { variance: self.variance, degrees: f64::INFINITY };
        }
        let degrees = self.degrees + own.degrees;
        Part { variance: (self.degrees * self.variance + own.degrees * own.variance) / degrees, degrees }
    }
}

/// ln s² without what the few degrees of freedom take from it in the mean.
fn centred_log(part: &Part) -> f64 {
    part.variance.ln() - digamma(0.5 * part.degrees) + (0.5 * part.degrees).ln()
}

/// ψ(x) for x > 0: the asymptotic series (DLMF 5.11.2) at x + n ≥ 20, taken back by ψ(x + 1) = ψ(x) + 1/x.
fn digamma(x: f64) -> f64 {
    let (at, back) = shifted(x, |at| 1.0 / at);
    let inverse = 1.0 / (at * at);
    at.ln() - 0.5 / at - inverse * (1.0 / 12.0 - inverse * (1.0 / 120.0 - inverse / 252.0)) - back
}

/// ψ′(x) for x > 0, by its series (DLMF 5.15.8) likewise.
fn trigamma(x: f64) -> f64 {
    let (at, back) = shifted(x, |at| 1.0 / (at * at));
    let inverse = 1.0 / (at * at);
    1.0 / at + 0.5 * inverse + (1.0 / 6.0 - inverse * (1.0 / 30.0 - inverse / 42.0)) * inverse / at + back
}

/// A place of at least 20 that lies whole steps above `x`, and the sum of `step` over what lies between.
fn shifted(x: f64, step: impl Fn(f64) -> f64) -> (f64, f64) {
    let (mut at, mut sum) = (x, 0.0);
    while at < 20.0 {
        sum += step(at);
        at += 1.0;
    }
    (at, sum)
}

/// The x with ψ′(x) = `value`, which falls from ∞ to 0: halved until `f64` has nothing in between.
fn inverse_trigamma(value: f64) -> f64 {
    // 1/x < ψ′(x) < 1/x + 1/x².
    let (mut low, mut high) = (0.0, 1.0 / value + 1.0 / value.sqrt() + 1.0);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if value < trigamma(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-10 * expected.abs().max(1.0), "expected {expected}, got {got}");
    }

    /// `scipy.special.digamma(x)`, `scipy.special.polygamma(1, x)` of `SciPy` 1.17.
    #[test]
    fn both_functions_are_those_of_scipy() {
        near(digamma(0.5), -1.963_510_026_021_423_5);
        near(digamma(1.0), -0.577_215_664_901_532_9);
        near(digamma(7.3), 1.917_820_335_637_986);
        near(trigamma(0.5), 4.934_802_200_544_679);
        near(trigamma(1.0), 1.644_934_066_848_226_4);
        near(trigamma(30.0), 0.033_895_060_357_739_946);
        for x in [0.01, 0.7, 3.0, 1e3] {
            near(inverse_trigamma(trigamma(x)) / x, 1.0);
        }
    }
}
