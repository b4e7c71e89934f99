//! What a run leaves: its provenance, its summary and the last words on the terminal.
//! Knows figures only.

use std::fmt::Write;

use arcface_eval::report::table;
use serde_json::{Value, json};

use super::Plan;
use crate::checkpoint::Progress;
use crate::config::SourceKind;
use crate::host;
use crate::run::RunFolder;

/// What the run was made by.
pub(super) fn provenance() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": host::commit(),
        "features": Vec::<&str>::new(),
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "command": std::env::args().skip(1).collect::<Vec<_>>(),
        "started_unix": std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    })
}

/// The figures of a finished run; rates are fractions, and what was not measured is null.
pub(super) fn summary(run: &RunFolder, plan: &Plan, progress: &Progress, seconds: f64) -> Value {
    let verification = progress.verified.as_ref().map(|(_, verification)| verification);
    let baselines = progress.baselines.as_ref();
    json!({
        "name": run.name(),
        "accuracy": verification.map(|v| v.accuracy),
        "accuracy_std": verification.map(|v| v.accuracy_std),
        "auc": verification.map(|v| v.auc),
        "eer": verification.map(|v| v.eer),
        "tar_at_far": verification.map(|v| &v.tar_at_far),
        "threshold": verification.map(|v| v.threshold),
        "pairs": verification.map(|v| v.genuine + v.impostors),
        "best_accuracy": progress.best.map(|(_, accuracy)| accuracy),
        "best_step": progress.best.map(|(step, _)| step),
        "accuracy_raw_pixels": baselines.map(|b| b.raw_pixels),
        "accuracy_hog": baselines.map(|b| b.hog),
        "accuracy_pixel_differences": baselines.and_then(|b| b.pixel_differences),
        "accuracy_untrained": progress.untrained,
        "loss": plan.config.loss().0,
        "backbone": plan.config.model.backbone,
        "identities": plan.identities,
        "images": plan.images,
        "epochs": plan.config.train.epochs,
        "steps": progress.step,
        "skipped_steps": progress.skipped_steps,
        "replaced_images": progress.replaced_images,
        "images_per_second": rate(progress),
        "seconds": seconds,
        "peak_memory_bytes": host::peak_memory_bytes(),
        "seed": plan.config.seed,
    })
}

fn rate(progress: &Progress) -> f64 {
    progress.images as f64 / progress.train_seconds.max(1e-9)
}

/// What the network is good for, and the next command.
pub(super) fn last_words(run: &RunFolder, plan: &Plan, progress: &Progress, seconds: f64) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n{} steps in {:.0} s, {:.0} img/s while training", progress.step, seconds, rate(progress));
    if let Some((_, verification)) = &progress.verified {
        text += &table(verification);
    }
    if progress.skipped_steps + progress.replaced_images != 0 {
        let (steps, images) = (progress.skipped_steps, progress.replaced_images);
        let _ = writeln!(text, "{steps} steps were skipped, {images} images replaced (see above)");
    }
    let folder = run.path().display();
    let _ = writeln!(text, "weights, curves and figures: {folder}");
    text += &advice(run, plan);
    text
}

fn advice(run: &RunFolder, plan: &Plan) -> String {
    let folder = run.path().display();
    match plan.config.data.source {
        SourceKind::Procedural => {
            "This network knows drawn faces only: it shows that training works, and is no use on \
             photographs.\nTrain on faces of yours, one folder per person, aligned to 112×112:\n  cargo xtask train \
             --name mine --set data.source=folder --set data.path=FOLDER\n"
                .to_owned()
        }
        SourceKind::Folder | SourceKind::Record | SourceKind::Joined => format!(
            "This network verifies aligned faces like those it was trained on; trust it no further than pairs that you \
             have measured.\nVerify pairs of yours:\n  cargo xtask eval {folder} --images FOLDER --pairs LIST\n"
        ),
    }
}
