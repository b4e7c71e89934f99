//! Logistic regression with an ℓ2 penalty, by Newton's method with conjugate gradients: no random numbers.
//! Knows no pictures.

use arcface_core::{Error, Result};
use rayon::prelude::*;

/// Newton steps at most; a handful suffices because the penalty makes the problem strongly convex.
const NEWTON_STEPS: usize = 30;

/// Conjugate-gradient steps within a Newton step.
const INNER_STEPS: usize = 60;

/// Steps end when the gradient is this small.
const TOLERANCE: f64 = 1e-8;

/// A linear classifier of standardised features.
///
/// ```
/// use arcface_eval::baseline::LogisticRegression;
/// let rows = [vec![0.0], vec![1.0], vec![3.0], vec![4.0]];
/// let model = LogisticRegression::fit(&rows, &[false, false, true, true], 0.01)?;
/// assert!(model.probability(&[0.5])? < 0.1 && 0.9 < model.probability(&[3.5])?);
/// # Ok::<(), arcface_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticRegression {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    /// One for each feature, then the bias.
    weights: Vec<f64>,
}

impl LogisticRegression {
    /// Minimises the mean log loss plus penalty/2·‖w‖², the bias free of it.
    ///
    /// # Shapes
    /// `rows`: N rows of D features; `labels`: N.
    ///
    /// # Errors
    /// If rows differ in length, labels in number, a class is missing or the penalty is not above 0.
    pub fn fit(rows: &[Vec<f64>], labels: &[bool], penalty: f64) -> Result<Self> {
        check(rows, labels, penalty)?;
        let (mean, deviation) = moments(rows);
        let rows = rows.iter().map(|row| standardised(row, &mean, &deviation)).collect();
        let problem = Problem { rows, labels, penalty };
        Ok(Self { weights: problem.solve(), mean, deviation })
    }

    /// The probability of label `true`.
    ///
    /// # Errors
    /// If the row has another length than those learnt from.
    pub fn probability(&self, row: &[f64]) -> Result<f64> {
        if row.len() != self.mean.len() {
            return Err(Error::value("row", format!("{} features", self.mean.len()), row.len()));
        }
        Ok(sigmoid(dot(&standardised(row, &self.mean, &self.deviation), &self.weights)))
    }
}

fn check(rows: &[Vec<f64>], labels: &[bool], penalty: f64) -> Result<()> {
    if rows.len() != labels.len() {
        return Err(Error::value("labels", format!("one for each of {} rows", rows.len()), labels.len()));
    }
    if !(labels.contains(&true) && labels.contains(&false)) {
        return Err(Error::value("labels", "both kinds", format!("{} of one kind", labels.len())));
    }
    if let Some(row) = rows.iter().find(|row| row.len() != rows[0].len()) {
        return Err(Error::value("row", format!("{} features as the first one", rows[0].len()), row.len()));
    }
    if 0.0 < penalty { Ok(()) } else { Err(Error::value("penalty", "0 < penalty", penalty)) }
}

fn moments(rows: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let count = rows.len() as f64;
    let column_means = |of: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
        (0..rows[0].len()).map(|column| rows.iter().map(|row| of(column, row[column])).sum::<f64>() / count).collect()
    };
    let mean = column_means(&|_, value| value);
    let variance = column_means(&|column, value| (value - mean[column]).powi(2));
    // A feature that never changes stays 0 after its mean is taken off.
    let deviation = variance.iter().map(|variance| variance.sqrt().max(1e-9)).collect();
    (mean, deviation)
}

/// The standardised features and a 1 for the bias.
fn standardised(row: &[f64], mean: &[f64], deviation: &[f64]) -> Vec<f64> {
    let features =
        row.iter().zip(mean.iter().zip(deviation)).map(|(value, (mean, deviation))| (value - mean) / deviation);
    features.chain([1.0]).collect()
}

struct Problem<'a> {
    rows: Vec<Vec<f64>>,
    labels: &'a [bool],
    penalty: f64,
}

impl Problem<'_> {
    fn solve(&self) -> Vec<f64> {
        let mut weights = vec![0.0; self.rows[0].len()];
        for _ in 0..NEWTON_STEPS {
            let gradient = self.gradient(&weights);
            if dot(&gradient, &gradient).sqrt() < TOLERANCE {
                break;
            }
            let step = self.newton_step(&weights, &gradient);
            weights = self.descend(&weights, &step);
        }
        weights
    }

    fn loss(&self, weights: &[f64]) -> f64 {
        let log_loss = |(row, &label): (&Vec<f64>, &bool)| {
            let margin = if label { dot(row, weights) } else { -dot(row, weights) };
            // ln(1 + e^−margin) without overflow.
            (-margin.abs()).exp().ln_1p() + (-margin).max(0.0)
        };
        let total: f64 = self.rows.iter().zip(self.labels).map(log_loss).sum();
        let free = &weights[..weights.len() - 1];
        total / self.rows.len() as f64 + 0.5 * self.penalty * dot(free, free)
    }

    fn gradient(&self, weights: &[f64]) -> Vec<f64> {
        let error = |(row, &label): (&Vec<f64>, &bool)| sigmoid(dot(row, weights)) - f64::from(u8::from(label));
        let errors: Vec<f64> = self.rows.par_iter().zip(self.labels).map(error).collect();
        self.gather(&errors, weights)
    }

    /// Xᵀ·v / N + penalty·w, the bias free of the penalty.
    fn gather(&self, values: &[f64], weights: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; weights.len()];
        for (row, &value) in self.rows.iter().zip(values) {
            add_scaled(&mut sums, value / self.rows.len() as f64, row);
        }
        let last = weights.len() - 1;
        add_scaled(&mut sums[..last], self.penalty, &weights[..last]);
        sums
    }

    /// Solves H·step = −gradient by conjugate gradients.
    fn newton_step(&self, weights: &[f64], gradient: &[f64]) -> Vec<f64> {
        let slope = |row: &Vec<f64>| {
            let p = sigmoid(dot(row, weights));
            (p * (1.0 - p)).max(1e-9)
        };
        let curvatures: Vec<f64> = self.rows.par_iter().map(slope).collect();
        let hessian_times = |direction: &[f64]| {
            let along = self.rows.par_iter().zip(&curvatures).map(|(row, curvature)| curvature * dot(row, direction));
            self.gather(&along.collect::<Vec<_>>(), direction)
        };
        conjugate_gradients(hessian_times, gradient)
    }

    /// Half as far until the loss falls.
    fn descend(&self, weights: &[f64], step: &[f64]) -> Vec<f64> {
        let start = self.loss(weights);
        let at = |part: f64| {
            let mut moved = weights.to_vec();
            add_scaled(&mut moved, part, step);
            moved
        };
        let parts = (0..20).map(|halvings| 0.5_f64.powi(halvings));
        parts.map(at).find(|moved| self.loss(moved) <= start).unwrap_or_else(|| weights.to_vec())
    }
}

/// An approximate solution of A·x = −b for a symmetric positive definite A.
fn conjugate_gradients(times: impl Fn(&[f64]) -> Vec<f64>, b: &[f64]) -> Vec<f64> {
    let mut solution = vec![0.0; b.len()];
    let mut residual: Vec<f64> = b.iter().map(|value| -value).collect();
    let mut direction = residual.clone();
    let mut energy = dot(&residual, &residual);
    let enough = 1e-12 * energy;
    for _ in 0..INNER_STEPS {
        if energy <= enough {
            break;
        }
        let image = times(&direction);
        let length = energy / dot(&direction, &image);
        add_scaled(&mut solution, length, &direction);
        add_scaled(&mut residual, -length, &image);
        let next = dot(&residual, &residual);
        direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + next / energy * *d);
        energy = next;
    }
    solution
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add_scaled(sums: &mut [f64], factor: f64, values: &[f64]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toy() -> Vec<Vec<f64>> {
        (0..12).map(|i| (0..3).map(|j| (f64::from(i * 7 + j * 5) * 0.9).sin()).chain([1.0]).collect()).collect()
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let labels: Vec<bool> = (0..12).map(|index| index % 3 == 0).collect();
        let problem = Problem { rows: toy(), labels: &labels, penalty: 0.3 };
        let weights = [0.4, -0.7, 0.2, 0.1];
        let gradient = problem.gradient(&weights);
        for axis in 0..4 {
            let at = |offset: f64| {
                let mut moved = weights;
                moved[axis] += offset;
                problem.loss(&moved)
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((slope - gradient[axis]).abs() < 1e-8, "axis {axis}: {slope} {}", gradient[axis]);
        }
    }

    #[test]
    fn the_solution_has_no_gradient() {
        let labels: Vec<bool> = (0..12).map(|index| index % 3 == 0).collect();
        let problem = Problem { rows: toy(), labels: &labels, penalty: 0.05 };
        let gradient = problem.gradient(&problem.solve());
        assert!(dot(&gradient, &gradient).sqrt() < 1e-7);
    }
}
