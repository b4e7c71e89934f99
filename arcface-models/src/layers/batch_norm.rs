//! Batch norm: by the batch in training, by running statistics otherwise.
//! Running statistics move only when they are committed, once per optimiser step.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arcface_core::candle::Tensor;
use arcface_core::ops::tape::rows;
use arcface_core::ops::{self, BatchStatistics, Blend, Observed};
use arcface_core::{Error, Result};

use crate::inference::Norm;
use crate::layers::{Builder, Mode, Weight};
use crate::plan::BatchNormSpec;

/// Weight of the new statistics when they are committed.
const MOMENTUM: f64 = 0.1;

/// γ·(x − mean)/√(variance + ε) + β over channels.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    name: String,
    /// Added to the variance before its root is taken.
    eps: f64,
    gamma: Weight,
    beta: Weight,
    mean: Weight,
    variance: Weight,
    batches: Arc<AtomicI64>,
    /// Statistics of the training passes since the last commit.
    pending: Mutex<Vec<BatchStatistics>>,
    training: Training,
}

/// What a training pass normalises by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Training {
    ByBatch,
    /// A frozen stage keeps its statistics.
    ByRunning,
}

/// The batch norm of `spec`.
pub(crate) fn batch_norm(spec: &BatchNormSpec, builder: &mut Builder) -> Result<BatchNorm> {
    let [gamma, beta, mean, variance, batches] = spec.entries();
    Ok(BatchNorm {
        name: spec.name.clone(),
        eps: spec.eps,
        gamma: builder.weight(&gamma)?,
        beta: builder.weight(&beta)?,
        mean: builder.weight(&mean)?,
        variance: builder.weight(&variance)?,
        batches: builder.counter(&batches),
        pending: Mutex::default(),
        training: if builder.is_frozen(&spec.name) { Training::ByRunning } else { Training::ByBatch },
    })
}

impl BatchNorm {
    /// # Shapes
    /// (B, H, W, C) or (B, C) → the same.
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match self.running(mode)? {
            Some(running) => ops::batch_norm_eval(x, &self.affine(mode)?, &running, self.eps),
            None => self.keep(x, mode, ops::batch_norm_train(x, &self.affine(mode)?, self.eps)),
        }
    }

    /// The same followed by a `PReLU` of `slope` (C).
    pub(crate) fn forward_prelu(&self, x: &Tensor, slope: &Tensor, mode: Mode) -> Result<Tensor> {
        match self.running(mode)? {
            Some(running) => ops::batch_norm_prelu_eval(x, &self.affine(mode)?, &running, slope, self.eps),
            None => self.keep(x, mode, ops::batch_norm_prelu_train(x, &self.affine(mode)?, slope, self.eps)),
        }
    }

    /// The same on top of `shortcut`, of the shape of `x`.
    pub(crate) fn forward_add(&self, x: &Tensor, shortcut: &Tensor, mode: Mode) -> Result<Tensor> {
        match self.running(mode)? {
            Some(running) => ops::batch_norm_add_eval(x, &self.affine(mode)?, &running, shortcut, self.eps),
            None => self.keep(x, mode, ops::batch_norm_add_train(x, &self.affine(mode)?, shortcut, self.eps)),
        }
    }

    /// What it does in evaluation, with a `PReLU` of `slope` (C) behind it; what goes in is added to `observed`.
    pub(crate) fn observed(&self, x: &Tensor, slope: Option<Tensor>, observed: &mut Vec<Observed>) -> Result<Tensor> {
        let Norm { affine, statistics, eps, slope } = self.by_running(slope)?;
        let (y, seen) = ops::batch_norm_observed(x, &affine, &statistics, slope.as_ref(), eps)?;
        observed.push(seen);
        Ok(y)
    }

    /// What it does in evaluation, with a `PReLU` of `slope` (C) behind it.
    pub(crate) fn by_running(&self, slope: Option<Tensor>) -> Result<Norm> {
        let statistics = rows(&self.mean.tensor(Mode::Eval), &self.variance.tensor(Mode::Eval))?;
        Ok(Norm { affine: self.affine(Mode::Eval)?, statistics, eps: self.eps, slope })
    }

    /// Torch's name of the module.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// γ and β are parameters of their own, as in torch; the operators take both as rows of one tensor.
    fn affine(&self, mode: Mode) -> Result<Tensor> {
        rows(&self.gamma.tensor(mode), &self.beta.tensor(mode))
    }

    /// The running statistics if a pass in `mode` normalises by them.
    fn running(&self, mode: Mode) -> Result<Option<Tensor>> {
        let by_batch = mode != Mode::Eval && self.training == Training::ByBatch;
        (!by_batch).then(|| rows(&self.mean.tensor(mode), &self.variance.tensor(mode))).transpose()
    }

    /// Keeps the statistics of a training pass over `x` until they are committed, unless the pass is run again.
    fn keep(&self, x: &Tensor, mode: Mode, passed: Result<(Tensor, BatchStatistics)>) -> Result<Tensor> {
        self.check_batch(x)?;
        let (y, statistics) = passed?;
        if matches!(mode, Mode::Train { .. }) {
            self.lock().push(statistics);
        }
        Ok(y)
    }

    /// Moves the running statistics of each towards the mean of those that are pending, as torch does:
    /// running ← 0.9·running + 0.1·batch, with the unbiased variance.
    pub(crate) fn commit_all(all: &[&Self]) -> Result<()> {
        if all.first().is_some_and(|norm| norm.mean.var.device().is_cuda()) {
            return Self::commit_on_device(all);
        }
        all.iter().try_for_each(|norm| norm.commit())
    }

    fn commit(&self) -> Result<()> {
        let pending = self.take_pending();
        if pending.is_empty() {
            return Ok(());
        }
        let means: Vec<Tensor> = pending.iter().map(|batch| batch.mean.clone()).collect();
        let variances = pending.iter().map(unbiased).collect::<Result<Vec<_>>>()?;
        fold(&self.mean, &means)?;
        fold(&self.variance, &variances)?;
        self.batches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The same in one launch for each micro-batch: a launch for every vector would take longer than they do.
    fn commit_on_device(all: &[&Self]) -> Result<()> {
        let pending: Vec<_> = all.iter().map(|norm| (norm, norm.take_pending())).collect();
        for micro_batch in 0..pending.iter().map(|(_, pending)| pending.len()).max().unwrap_or(0) {
            let there =
                pending.iter().filter_map(|(norm, pending)| Some((norm, pending.len(), pending.get(micro_batch)?)));
            let blends = there.flat_map(|(norm, count, batch)| {
                let (kept, share) = (if micro_batch == 0 { 1.0 - MOMENTUM } else { 1.0 }, MOMENTUM / count as f64);
                let mean = Blend { var: &norm.mean.var, with: &batch.mean, kept, share };
                let share = share * unbiasing(batch);
                [mean, Blend { var: &norm.variance.var, with: &batch.variance, kept, share }]
            });
            ops::blend(&blends.collect::<Vec<_>>())?;
        }
        for (norm, _) in pending.iter().filter(|(_, pending)| !pending.is_empty()) {
            norm.batches.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn take_pending(&self) -> Vec<BatchStatistics> {
        std::mem::take(&mut *self.lock())
    }

    /// Forgets the pending statistics, as a skipped step does.
    pub(crate) fn discard(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<BatchStatistics>> {
        // The list is whole at any time: a panic elsewhere does not spoil it.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_batch(&self, x: &Tensor) -> Result<()> {
        let channels = x.dims().last().copied().unwrap_or(1).max(1);
        if 1 < x.elem_count() / channels {
            return Ok(());
        }
        let what = format!("batch norm `{}` in training", self.name);
        Err(Error::value(what, "more than one value per channel (a batch of at least 2)", 1))
    }
}

/// The unbiased variance n/(n − 1)·variance.
fn unbiased(batch: &BatchStatistics) -> Result<Tensor> {
    Ok(batch.variance.affine(unbiasing(batch), 0.0)?)
}

/// n/(n − 1).
fn unbiasing(batch: &BatchStatistics) -> f64 {
    let count = batch.count as f64;
    count / (count - 1.0)
}

/// running ← 0.9·running + 0.1·mean of `batches`.
fn fold(running: &Weight, batches: &[Tensor]) -> Result<()> {
    let mean = Tensor::stack(batches, 0)?.mean(0)?;
    let kept = running.var.as_detached_tensor().affine(1.0 - MOMENTUM, 0.0)?;
    Ok(running.var.set(&(kept + mean.affine(MOMENTUM, 0.0)?)?)?)
}
