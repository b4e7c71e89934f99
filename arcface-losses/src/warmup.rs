//! Margin warm-up: any margin, blended in linearly over the first steps.
//! Knows margins by their trait only.

use std::collections::BTreeMap;

use arcface_core::Result;

use crate::margin::{Margin, MarginBatch, NonTarget, Penalty, Row, Target};

/// ψ_t(θ) = cosθ + α·(ψ(θ) − cosθ) with α = min(1, step/steps); the penalty is α times its own.
#[derive(Debug)]
pub(crate) struct WarmUp {
    inner: Box<dyn Margin>,
    steps: u64,
    share: f64,
}

impl WarmUp {
    /// `inner`, whole from step `steps` on.
    pub(crate) fn new(inner: Box<dyn Margin>, steps: u64) -> Self {
        Self { inner, steps, share: 0.0 }
    }
}

impl Margin for WarmUp {
    fn prepare(&mut self, batch: &MarginBatch<'_>) -> Vec<Row> {
        self.share = if batch.step < self.steps { batch.step as f64 / self.steps as f64 } else { 1.0 };
        self.inner.prepare(batch)
    }

    fn target(&self, cosine: f64, norm: f64, row: &Row) -> Target {
        let Target { value, d_cosine, d_norm } = self.inner.target(cosine, norm, row);
        let (rest, share) = (1.0 - self.share, self.share);
        Target { value: rest * cosine + share * value, d_cosine: rest + share * d_cosine, d_norm: share * d_norm }
    }

    fn non_target(&self) -> NonTarget {
        self.inner.non_target()
    }

    fn penalty(&self, norm: f64, row: &Row) -> Penalty {
        let Penalty { value, d_norm } = self.inner.penalty(norm, row);
        Penalty { value: self.share * value, d_norm: self.share * d_norm }
    }

    fn state(&self) -> BTreeMap<String, f64> {
        self.inner.state()
    }

    fn load_state(&mut self, state: &BTreeMap<String, f64>) -> Result<()> {
        self.inner.load_state(state)
    }
}
