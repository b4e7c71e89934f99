//! Figures while a run goes on: lines of `metrics.jsonl`, lines for people, curves.
//! Knows no tensors and moves nothing.

use anyhow::bail;
use arcface_eval::Verification;
use arcface_eval::report::{self, Curve, Panel};
use serde_json::{Value, json};

use super::{MOST_SKIPPED, Plan, Session};
use crate::checkpoint::Interval;
use crate::config::SourceKind;
use crate::run::RunFolder;
use crate::trainer::Figures;
use crate::upload::Uploaded;
use crate::verify::Baselines;

impl Session {
    /// Adds a line to the metrics, with the seconds of the run so far, and its scalars to the event file.
    pub(super) fn log(&self, mut line: Value) -> anyhow::Result<()> {
        line["seconds"] = json!(self.seconds());
        self.run.log(&line)?;
        self.events.append(&line)
    }

    /// Takes in the figures of a step, and writes a line when enough have come together.
    pub(super) fn note_moved(&mut self, figures: Figures) -> anyhow::Result<()> {
        self.progress.skipped_in_a_row = 0;
        self.progress.interval.add(figures);
        let step = self.progress.step;
        let epoch = self.plan.epochs(step);
        self.display.at(
            self.progress.images,
            &format!(
                "epoch {epoch:.2}, loss {:.3}, lr {:.4}",
                self.progress.interval.mean_loss(),
                figures.learning_rate
            ),
        );
        if !step.is_multiple_of(self.plan.config.train.log_every) && step != self.plan.total {
            return Ok(());
        }
        let interval = std::mem::take(&mut self.progress.interval);
        let rate = self.progress.images as f64 / self.progress.train_seconds.max(1e-9);
        self.log(json!({
            "kind": "train",
            "step": step,
            "epoch": epoch,
            "loss": interval.mean_loss(),
            "target_angle": interval.mean_angle(),
            "gradient_norm": interval.mean_norm(),
            "learning_rate": figures.learning_rate,
            "skipped_steps": self.progress.skipped_steps,
            "images_per_second": rate,
        }))
    }

    /// Counts and tells a step at which nothing moved; too many in a row end the run.
    pub(super) fn note_skipped(&mut self, why: &str) -> anyhow::Result<()> {
        self.progress.skipped_steps += 1;
        self.progress.skipped_in_a_row += 1;
        let step = self.progress.step;
        self.say(&format!("step {step} is skipped: {why}"));
        self.log(json!({ "kind": "skipped", "step": step, "reason": why }))?;
        if MOST_SKIPPED <= self.progress.skipped_in_a_row {
            bail!(
                "step {step}: {MOST_SKIPPED} steps in a row were skipped, the last because {why}; training has \
                 diverged. Lower optimizer.learning_rate (now {}), lengthen schedule.warmup_epochs or set \
                 optimizer.clip_norm, and begin again",
                self.plan.config.optimizer.learning_rate
            );
        }
        Ok(())
    }

    /// Counts and lists the images that others took the place of.
    pub(super) fn note_replaced(&mut self, batches: &[Uploaded]) {
        for message in batches.iter().flat_map(|batch| &batch.skipped) {
            self.progress.replaced_images += 1;
            self.say(&format!("image replaced: {message}"));
        }
    }

    /// What is about to happen, for people.
    pub(super) fn introduce(&self, notes: &[String]) {
        for note in notes {
            self.say(note);
        }
        if let Some(words) = self.trainer.computer.words() {
            self.say(&format!("computed on {words}"));
        }
        let Plan { config, identities, images, total, .. } = &self.plan;
        self.say(&format!(
            "{}: {} with {} on {images} images of {identities} identities, {} epochs of {} steps",
            self.run.path().display(),
            config.model.backbone,
            config.loss().0,
            config.train.epochs,
            total / config.train.epochs,
        ));
        let drawn = config.data.source == SourceKind::Procedural;
        if *images < 1000 && !drawn && config.model.weights.is_none() {
            self.say("fewer than 1000 images: better begin with a trained network, --set model.weights=FILE");
        }
        match &self.verifier {
            Some(verifier) => {
                self.say(&format!("verified on {} pairs of {} faces", verifier.set.list.len(), verifier.faces()));
            }
            None => self.say("nothing to verify on: set data.holdout, or eval.images and eval.pairs"),
        }
    }
}

impl Interval {
    fn add(&mut self, figures: Figures) {
        self.steps += 1;
        self.loss += figures.loss;
        self.gradient_norm += figures.gradient_norm;
        if figures.target_angle.is_finite() {
            self.target_angle = Some(self.target_angle.unwrap_or(0.0) + figures.target_angle);
        }
    }

    fn mean_loss(&self) -> f64 {
        self.loss / self.steps as f64
    }

    fn mean_norm(&self) -> f64 {
        self.gradient_norm / self.steps as f64
    }

    fn mean_angle(&self) -> Option<f64> {
        self.target_angle.map(|sum| sum / self.steps as f64)
    }
}

/// The line of what is known before training.
pub(super) fn baselines(baselines: &Baselines, untrained: f64) -> Value {
    json!({
        "kind": "baselines",
        "step": 0,
        "accuracy_raw_pixels": baselines.raw_pixels,
        "accuracy_hog": baselines.hog,
        "accuracy_pixel_differences": baselines.pixel_differences,
        "accuracy_untrained": untrained,
    })
}

/// The same for people.
pub(super) fn baseline_line(baselines: &Baselines, untrained: f64) -> String {
    let percent = |rate: f64| format!("{:.2} %", 100.0 * rate);
    let differences = baselines.pixel_differences.map_or("–".to_owned(), percent);
    format!(
        "accuracy without training: raw pixels {}, HOG {}, pixel differences {differences}, untrained network {}",
        percent(baselines.raw_pixels),
        percent(baselines.hog),
        percent(untrained),
    )
}

/// The line of a verification.
pub(super) fn verification(step: u64, plan: &Plan, verification: &Verification) -> Value {
    json!({
        "kind": "eval",
        "step": step,
        "epoch": plan.epochs(step),
        "accuracy": verification.accuracy,
        "accuracy_std": verification.accuracy_std,
        "auc": verification.auc,
        "eer": verification.eer,
        "tar_at_far": verification.tar_at_far,
        "threshold": verification.threshold,
    })
}

/// The same for people.
pub(super) fn verification_line(step: u64, plan: &Plan, verification: &Verification) -> String {
    format!(
        "epoch {:.2}: accuracy {:.2} % ± {:.2}, AUC {:.4}, EER {:.2} %",
        plan.epochs(step),
        100.0 * verification.accuracy,
        100.0 * verification.accuracy_std,
        verification.auc,
        100.0 * verification.eer
    )
}

/// Loss, angle, learning rate and accuracy over the steps as a picture; `None` where nothing was logged of any.
///
/// # Errors
/// If the metrics cannot be read or drawn.
pub(super) fn curves(run: &RunFolder) -> anyhow::Result<Option<String>> {
    let lines = run.metrics_lines()?;
    let points = |kind: &str, key: &str| -> Vec<(f64, f64)> {
        let of_kind = lines.iter().map(|(_, line)| line).filter(|line| line["kind"] == kind);
        of_kind.filter_map(|line| Some((line["step"].as_f64()?, line[key].as_f64()?))).collect()
    };
    let curves = [
        ("loss", points("train", "loss")),
        ("θ_y in degrees", points("train", "target_angle")),
        ("learning rate", points("train", "learning_rate")),
        ("accuracy", points("eval", "accuracy")),
    ];
    let drawn = curves.into_iter().filter(|(_, points)| !points.is_empty());
    let panels: Vec<Panel<'_>> =
        drawn.map(|(quantity, points)| Panel { quantity, curves: vec![Curve { name: quantity, points }] }).collect();
    if panels.is_empty() {
        return Ok(None);
    }
    Ok(Some(report::curves(&run.name(), &panels)?))
}
