//! The margin trait in three parts: rows from batch statistics, the target logit, the treatment of the other logits.
//! Knows no class centers, no tensors and no device: B scalars on the host, in f64.

use std::collections::BTreeMap;
use std::fmt::Debug;

use arcface_core::{Error, Result};

/// A margin: what happens to the cosine of an embedding and its own class center before scale and softmax.
///
/// Only [`Margin::target`] has to be written; every head then works with it, with any number of sub-centers.
///
/// # Example
/// ```
/// use arcface_losses::margin::{Margin, Row, Target};
///
/// /// The target logit is cosθ_y − 0.2.
/// #[derive(Debug)]
/// struct Fixed;
///
/// impl Margin for Fixed {
///     fn target(&self, cosine: f64, _norm: f64, _row: &Row) -> Target {
///         Target::new(cosine - 0.2, 1.0)
///     }
/// }
/// assert!(Fixed.target(1.0, 1.0, &Row::plain(1e-8)).value < 1.0);
/// ```
pub trait Margin: Debug + Send + Sync {
    /// Part one: the parameters of each row, B of them, and the update of the state from batch-wide statistics.
    ///
    /// Called once per step, before the others; nothing of it is differentiated.
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        batch.plain_rows()
    }

    /// Part two: the target logit before the scale and its derivatives by the cosine and by the embedding's norm.
    fn target(&self, cosine: f64, norm: f64, row: &Row) -> Target;

    /// Part three: the treatment of the non-target cosines.
    fn non_target(&self) -> NonTarget {
        NonTarget::Plain
    }

    /// What is added to the row's loss, outside the softmax.
    fn penalty(&self, _norm: f64, _row: &Row) -> Penalty {
        Penalty::default()
    }

    /// The moving statistics, for checkpoints.
    fn state(&self) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }

    /// Takes back what [`Margin::state`] gave.
    ///
    /// # Errors
    /// If a name is missing or unknown.
    fn load_state(&mut self, state: &BTreeMap<String, f64>) -> Result<()> {
        let [] = take_state(state, [])?;
        Ok(())
    }
}

/// What a margin may look at before the rows of a batch: statistics, step and seed.
#[derive(Debug, Clone, Copy)]
pub struct MarginBatch<'a> {
    /// cosθ_y of each row.
    pub target_cosines: &'a [f64],
    /// ‖x‖ of each row.
    pub norms: &'a [f64],
    /// The training step, counted from 0.
    pub step: u64,
    /// The seed of the run: random margins are functions of (seed, step, row).
    pub seed: u64,
    /// The smallest sine that a derivative may be divided by: 1e-4 for f32 tensors, 1e-8 for f64.
    pub sine_floor: f64,
}

impl MarginBatch<'_> {
    /// A [`Row::plain`] for each row.
    pub fn plain_rows(&self) -> Vec<Row> {
        self.rows(1.0, 0.0, 0.0)
    }

    /// The same (m1, m2, m3) for each row.
    pub fn rows(&self, m1: f64, m2: f64, m3: f64) -> Vec<Row> {
        vec![Row { m1, m2, m3, sine_floor: self.sine_floor }; self.target_cosines.len()]
    }
}

/// The parameters of one row: those of m1·θ + m2 and −m3 that vary from row to row, for margins that use them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Factor of the angle, m1.
    pub m1: f64,
    /// Added to the angle, m2, in radians.
    pub m2: f64,
    /// Taken from the cosine, m3.
    pub m3: f64,
    /// The smallest sine that a derivative may be divided by.
    pub sine_floor: f64,
}

impl Row {
    /// (1, 0, 0): no margin.
    pub fn plain(sine_floor: f64) -> Self {
        Self { m1: 1.0, m2: 0.0, m3: 0.0, sine_floor }
    }
}

/// The target logit before the scale, with its derivatives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// ψ(θ_y).
    pub value: f64,
    /// dψ/dcosθ_y.
    pub d_cosine: f64,
    /// dψ/d‖x‖.
    pub d_norm: f64,
}

impl Target {
    /// A target that does not depend on the norm.
    pub fn new(value: f64, d_cosine: f64) -> Self {
        Self { value, d_cosine, d_norm: 0.0 }
    }
}

/// What a margin adds to a row's loss.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Penalty {
    /// The value.
    pub value: f64,
    /// Its derivative by the embedding's norm.
    pub d_norm: f64,
}

/// The treatment of the non-target cosines: closed, so that every head and kernel knows all of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NonTarget {
    /// cosθ_j.
    Plain,
    /// `CurricularFace`: cosθ_j·(t + cosθ_j) where cosθ_j exceeds the target's value, else cosθ_j.
    Curricular {
        /// The moving mean of the target cosines.
        t: f64,
    },
}

impl NonTarget {
    /// The logit before the scale and its derivative by the cosine, beside a target of `target`.
    pub fn apply(self, cosine: f64, target: f64) -> (f64, f64) {
        match self {
            Self::Curricular { t } if target < cosine => (cosine * (t + cosine), t + 2.0 * cosine),
            Self::Plain | Self::Curricular { .. } => (cosine, 1.0),
        }
    }
}

/// The values of a state that must hold exactly `names`.
///
/// # Errors
/// If one is missing or another is there.
pub fn take_state<const N: usize>(state: &BTreeMap<String, f64>, names: [&str; N]) -> Result<[f64; N]> {
    let found = names.map(|name| state.get(name).copied());
    if state.len() == N && found.iter().all(Option::is_some) {
        return Ok(found.map(Option::unwrap_or_default));
    }
    let got: Vec<&str> = state.keys().map(String::as_str).collect();
    Err(Error::value("margin state", format!("the values [{}]", names.join(", ")), format!("[{}]", got.join(", "))))
}
