//! The heads on a CUDA device: the walks through the classes happen there, margins and terms stay on the host.
//! Knows no kernel; what a row is worth is decided by the same functions as on the CPU.

use std::sync::{LazyLock, OnceLock};

use arcface_core::ops::centers::{
    CenterBatch, CenterGradients, CenterWalk, ClassSum, LogitRule, OwnCenters, RowSlopes, Slopes, centers_of,
};
use arcface_core::sphere::{self, NORM_FLOOR};
use arcface_core::{Error, Result};
use candle_core::{DType, Tensor};

use super::Choice;
use super::chunked::shift;
use super::dense::{self, Rule, mean_loss, product};
use super::meeting::{add_margin, pooled, row_rule};
use super::rows::{Finished, RowResult, RowRule, RowTarget, finish, spread_target};
use super::sampled::{Draw, draw};
use super::sub_center::Pool;
use super::terms::{self, Meeting, gather, weighted_sum};
use super::unit::UnitRows;
use super::{alone as on_host, softmax::rule as softmax_rule};
use crate::margin::{Margin, MarginBatch, NonTarget, Target};
use crate::options::{Chunk, WeightedTerm};
use crate::term::{TermBatch, TermOutput, lazy};

/// A batch on a device and what it meets there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// (B, D).
    pub(crate) embeddings: &'a Tensor,
    /// (C, D) or (C, K, D), if there are any.
    pub(crate) centers: Option<&'a Tensor>,
    /// (C), for the head with a bias.
    pub(crate) bias: Option<&'a Tensor>,
    /// (B).
    pub(crate) labels: &'a [u32],
    /// Counted from 0.
    pub(crate) step: u64,
    /// Of the run.
    pub(crate) seed: u64,
}

/// Loss and gradients, these on the device.
#[derive(Debug)]
pub(crate) struct Output {
    /// Mean over the batch.
    pub(crate) loss: f64,
    /// (B, D).
    pub(crate) d_embeddings: Tensor,
    /// As the centers, of all classes or of those in `classes`.
    pub(crate) d_centers: Option<Tensor>,
    /// (C), for the head with a bias.
    pub(crate) d_bias: Option<Tensor>,
    /// The classes that took part, ascending, if not all.
    pub(crate) classes: Option<Vec<u32>>,
    /// cosθ_y (B).
    pub(crate) target_cosines: Vec<f64>,
}

impl<'a> Input<'a> {
    fn centers(&self) -> Result<&'a Tensor> {
        self.centers.ok_or_else(|| Error::Invalid("the head has no class centers".to_owned()))
    }

    fn batch(&self, classes_at_a_time: Option<usize>) -> Result<CenterBatch<'a>> {
        let Input { embeddings, bias, labels, .. } = *self;
        Ok(CenterBatch { embeddings, centers: self.centers()?, bias, labels, classes_at_a_time })
    }
}

/// The head of unit class centers, of all of them or of a sample.
pub(crate) fn cosine(
    input: &Input<'_>,
    rule: &Rule,
    choice: Choice,
    margin: &mut dyn Margin,
    terms: &[WeightedTerm],
) -> Result<Output> {
    let centers = input.centers()?;
    if 1.0 <= choice.sample_rate {
        return whole(input, rule, choice.chunk, margin, terms);
    }
    let Draw { classes, labels } = draw(input.labels, (input.seed, input.step), centers.dim(0)?, choice.sample_rate);
    let centers = centers_of(centers, &classes)?;
    let sampled = Input { centers: Some(&centers), labels: &labels, ..*input };
    Ok(Output { classes: Some(classes), ..whole(&sampled, rule, choice.chunk, margin, terms)? })
}

/// The head of unit class centers.
fn whole(
    input: &Input<'_>,
    rule: &Rule,
    chunk: Chunk,
    margin: &mut dyn Margin,
    terms: &[WeightedTerm],
) -> Result<Output> {
    let (walk, own) = CenterWalk::begin(&input.batch(classes_at_a_time(chunk, input.centers()?.dim(0)?))?)?;
    let (mut rows, target_cosines) = meet(&own, input, rule, margin);
    let term = evaluate(terms, input, rule, (&rows, &target_cosines))?;
    rows.iter_mut().zip(&term.d_target_cosines).for_each(|(row, d_term)| row.d_term = *d_term);
    let rule = row_rule(rule, margin.non_target(), rows.len());
    let Walked { loss, gradients } = walk_through(walk, &rows, &rule, &term)?;
    Ok(output(loss + term.value, gradients, target_cosines))
}

/// The head of plain softmax.
pub(crate) fn softmax(input: &Input<'_>) -> Result<Output> {
    let (walk, own) = CenterWalk::begin(&input.batch(None)?)?;
    let rows: Vec<RowTarget> = input.labels.iter().zip(&own).map(logit_target).collect();
    let Walked { loss, gradients } = walk_through(walk, &rows, &softmax_rule(rows.len()), &TermOutput::default())?;
    Ok(output(loss, gradients, own.iter().map(plain_cosine).collect()))
}

/// Terms without class centers, on the host.
pub(crate) fn alone(input: &Input<'_>, terms: &[WeightedTerm]) -> Result<Output> {
    let x = values(input.embeddings)?;
    let output = on_host::forward(&host_input(input, &x)?, terms);
    let d_embeddings = Tensor::from_vec(output.d_embeddings, input.embeddings.shape(), input.embeddings.device())?;
    Ok(Output {
        loss: output.loss,
        d_embeddings,
        d_centers: None,
        d_bias: None,
        classes: None,
        target_cosines: output.target_cosines,
    })
}

fn output(loss: f64, gradients: CenterGradients, target_cosines: Vec<f64>) -> Output {
    let CenterGradients { embeddings, centers, bias } = gradients;
    Output { loss, d_embeddings: embeddings, d_centers: Some(centers), d_bias: bias, classes: None, target_cosines }
}

/// Those asked for, or as many as the device finds room for.
fn classes_at_a_time(chunk: Chunk, classes: usize) -> Option<usize> {
    match chunk {
        Chunk::Auto => None,
        Chunk::Dense => Some(classes),
        Chunk::Classes(len) => Some(len.get()),
    }
}

/// The rows of a batch with margins on their targets, and the pooled target cosines.
fn meet(own: &[OwnCenters], input: &Input<'_>, rule: &Rule, margin: &mut dyn Margin) -> (Vec<RowTarget>, Vec<f64>) {
    let target = |(&label, own): (&u32, &OwnCenters)| RowTarget::new(label as usize, own.cosines());
    let mut rows: Vec<RowTarget> = input.labels.iter().zip(own).map(target).collect();
    let (target_cosines, norms) = (pooled(&rows, rule), own.iter().map(|own| own.norm).collect::<Vec<f64>>());
    let sine_floor = sphere::sine_floor(DType::F32);
    let Input { step, seed, .. } = *input;
    let batch = MarginBatch { target_cosines: &target_cosines, norms: &norms, step, seed, sine_floor };
    add_margin(&mut rows, &batch, margin);
    (rows, target_cosines)
}

/// W_y·x + b_y of a row.
fn logit_target((&label, own): (&u32, &OwnCenters)) -> RowTarget {
    let value = own.products.iter().sum::<f64>() + own.bias;
    RowTarget { target: Target::new(value, 1.0), ..RowTarget::new(label as usize, vec![value]) }
}

/// cosθ_y, for statistics only.
fn plain_cosine(own: &OwnCenters) -> f64 {
    let (product, norm): (f64, f64) = (own.products.iter().sum(), own.norms.iter().sum());
    product / (own.norm * norm).max(NORM_FLOOR)
}

/// What both walks give.
struct Walked {
    loss: f64,
    gradients: CenterGradients,
}

fn walk_through(mut walk: CenterWalk, rows: &[RowTarget], rule: &RowRule, term: &TermOutput) -> Result<Walked> {
    let targets: Vec<f64> = rows.iter().map(|row| row.target.value).collect();
    let sums = walk.sums(logit_rule(rule), &targets)?;
    let finish = |(row, sum): (&RowTarget, &ClassSum)| finish(row, rule, rule.scale * shift(sum.top), sum.sum);
    let finished: Vec<Finished> = rows.iter().zip(&sums).map(finish).collect();
    let each = rows.iter().zip(&sums).zip(&finished);
    let slopes: Vec<RowSlopes> = each.map(|((row, sum), finished)| row_slopes(row, rule, sum, finished)).collect();
    let gradients = walk.gradients(Slopes {
        rows: &slopes,
        d_unit_embeddings: &term.d_embeddings,
        d_unit_centers: &term.d_centers,
    })?;
    let results: Vec<RowResult> = finished.iter().map(|row| row.result).collect();
    Ok(Walked { loss: mean_loss(&results), gradients })
}

fn logit_rule(rule: &RowRule) -> LogitRule {
    LogitRule {
        scale: rule.scale,
        softness: match rule.pool {
            Pool::Max => None,
            Pool::Soft { gamma } => Some(gamma),
        },
        hardness: match rule.non_target {
            NonTarget::Plain => None,
            NonTarget::Curricular { t } => Some(t),
        },
    }
}

fn row_slopes(row: &RowTarget, rule: &RowRule, sum: &ClassSum, finished: &Finished) -> RowSlopes {
    RowSlopes {
        factor: finished.factor,
        shift: shift(sum.top),
        d_norm: finished.result.d_norm,
        d_own: spread_target(rule.pool, finished.result.d_target, &row.cosines),
        cosines: row.cosines.clone(),
    }
}

/// The weighted sum of all terms, which look at the batch on the host; the centers are fetched if one looks at them.
fn evaluate(
    terms: &[WeightedTerm],
    input: &Input<'_>,
    rule: &Rule,
    rows_and_cosines: (&[RowTarget], &[f64]),
) -> Result<TermOutput> {
    if terms.is_empty() {
        return Ok(TermOutput::default());
    }
    let (centers, failure) = (input.centers()?, OnceLock::new());
    let fetch = || {
        values(centers).unwrap_or_else(|error| {
            // Zeros, of which nothing is kept: the error is the answer.
            let _ = failure.set(error);
            vec![0.0; centers.elem_count()]
        })
    };
    let output = evaluate_on_host(terms, input, rule, rows_and_cosines, (centers.dim(0)?, &fetch))?;
    failure.into_inner().map_or(Ok(output), Err)
}

fn evaluate_on_host(
    terms: &[WeightedTerm],
    input: &Input<'_>,
    rule: &Rule,
    (rows, target_cosines): (&[RowTarget], &[f64]),
    (classes, centers): (usize, &(dyn Fn() -> Vec<f32> + Sync)),
) -> Result<TermOutput> {
    let (x, centers) = (values(input.embeddings)?, LazyLock::new(centers));
    let host = host_input(input, &x)?;
    let width = host.embedding_size;
    let x = UnitRows::new(&x, width);
    let dominant = LazyLock::new(|| match rule.sub_centers {
        1 => (0..classes).collect(),
        _ => dominant(&x, &UnitRows::new(&centers, width), rows, &host, rule),
    });
    let batch = TermBatch {
        labels: input.labels,
        target_cosines,
        embedding_size: width,
        num_classes: classes,
        sine_floor: host.sine_floor,
        embeddings: lazy(|| gather(&x, 0..x.len())),
        centers: lazy(|| gather(&UnitRows::new(&centers, width), dominant.iter().copied())),
    };
    let output = weighted_sum(terms, &batch);
    if output.d_centers.is_empty() {
        return Ok(output);
    }
    let d_centers = terms::scatter(output.d_centers, &dominant, rule.sub_centers, width);
    Ok(TermOutput { d_centers, ..output })
}

/// The row of the dominant sub-center of each class (C).
fn dominant(
    x: &UnitRows<'_, f32>,
    w: &UnitRows<'_, f32>,
    rows: &[RowTarget],
    input: &dense::Input<'_, f32>,
    rule: &Rule,
) -> Vec<usize> {
    let cosines = product(x.matrix(), w.matrix().transposed());
    terms::dominant(&Meeting { x, w, cosines: &cosines, rows, input, rule })
}

/// The embeddings of a batch on the host, without centers.
fn host_input<'a>(input: &Input<'a>, embeddings: &'a [f32]) -> Result<dense::Input<'a, f32>> {
    Ok(dense::Input {
        embeddings,
        centers: &[],
        labels: input.labels,
        embedding_size: input.embeddings.dim(1)?,
        step: input.step,
        seed: input.seed,
        sine_floor: sphere::sine_floor(DType::F32),
    })
}

/// The values of a tensor in f32, on the host.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}
