//! What a run leaves: its provenance, its summary and the last words on the terminal.
//! Knows figures only.

use std::fmt::Write;

use arcface_core::device;
use arcface_eval::report::table;
use serde_json::{Value, json};

use super::Plan;
use crate::census::{self, Census};
use crate::checkpoint::Progress;
use crate::config::SourceKind;
use crate::host::{self, Computer};
use crate::report::{Contents, duration, mebibytes};
use crate::run::{PROVENANCE, RunFolder};

/// Keys of what computes.
const DEVICE: &str = "device";
const PRECISION: &str = "precision";

/// What the run was made by.
pub(super) fn provenance(census: &Census, computer: &Computer) -> Value {
    let features: &[&str] = if device::HAS_CUDA { &["cuda"] } else { &[] };
    json!({
        census::KEY: census,
        "version": env!("CARGO_PKG_VERSION"),
        "commit": host::commit(),
        "features": features,
        DEVICE: computer.name(),
        PRECISION: computer.precision,
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "command": std::env::args().skip(1).collect::<Vec<_>>(),
        "started_unix": std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    })
}

/// Notes what computes from here on, if it is not what computed before.
///
/// # Errors
/// If the provenance cannot be read or written.
pub(super) fn note_computer(run: &RunFolder, computer: &Computer) -> anyhow::Result<()> {
    let mut made_by = run.read_json(PROVENANCE)?;
    let now = [(DEVICE, json!(computer.name())), (PRECISION, json!(computer.precision))];
    if now.iter().all(|(key, value)| made_by[key] == *value) {
        return Ok(());
    }
    for (key, value) in now {
        made_by[key] = value;
    }
    run.write_json(PROVENANCE, &made_by)
}

/// The figures of a finished run; rates are fractions, and what was not measured is null.
pub(super) fn summary(
    run: &RunFolder,
    plan: &Plan,
    progress: &Progress,
    (seconds, computer): (f64, &Computer),
) -> Value {
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
        "peak_device_memory_bytes": device::peak_bytes(&computer.device),
        DEVICE: computer.name(),
        PRECISION: computer.precision,
        "seed": plan.config.seed,
    })
}

/// The report of a finished run, its pairs left to be added.
///
/// # Errors
/// If a file of the run cannot be read.
pub(super) fn report<'a>(
    run: &RunFolder,
    plan: &Plan,
    progress: &'a Progress,
    (seconds, computer): (f64, &Computer),
) -> anyhow::Result<Contents<'a>> {
    let config = &plan.config;
    Ok(Contents {
        title: run.name(),
        lead: format!(
            "{} trained with {} on {} images of {} identities, {} epochs",
            config.model.backbone,
            config.loss().0,
            plan.images,
            plan.identities,
            config.train.epochs
        ),
        verification: progress.verified.as_ref().map(|(_, verification)| verification),
        compared: compared(progress),
        facts: facts(run, plan, progress, (seconds, computer))?,
        plots: &["curves.svg", "roc.svg", "histogram.svg"],
        hardest: None,
        configuration: Some(config.to_toml()?),
    })
}

/// Accuracies on the same pairs without training, where they were measured.
fn compared(progress: &Progress) -> Vec<(&'static str, f64)> {
    let baselines = progress.baselines.as_ref();
    let all = [
        ("untrained network", progress.untrained),
        ("linear classifier of pixel differences", baselines.and_then(|b| b.pixel_differences)),
        ("histograms of gradients", baselines.map(|b| b.hog)),
        ("raw pixels", baselines.map(|b| b.raw_pixels)),
    ];
    all.into_iter().filter_map(|(name, accuracy)| Some((name, accuracy?))).collect()
}

fn facts(
    run: &RunFolder,
    plan: &Plan,
    progress: &Progress,
    (seconds, computer): (f64, &Computer),
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let made_by = run.read_json(PROVENANCE)?;
    let said = |key: &str| made_by[key].as_str().unwrap_or("unknown").to_owned();
    let best = progress.best.map(|(step, accuracy)| format!("{:.2} % after step {step}", 100.0 * accuracy));
    let trouble = progress.skipped_steps + progress.replaced_images;
    let facts = [
        ("best accuracy", best),
        ("steps", Some(format!("{} in {}", progress.step, duration(seconds)))),
        ("speed while training", Some(format!("{:.0} images per second", rate(progress)))),
        ("skipped steps", Some(progress.skipped_steps.to_string()).filter(|_| 0 < trouble)),
        ("replaced images", Some(progress.replaced_images.to_string()).filter(|_| 0 < trouble)),
        ("peak memory", host::peak_memory_bytes().map(mebibytes)),
        ("device", computer.words()),
        ("peak memory of the device", device::peak_bytes(&computer.device).map(mebibytes)),
        ("seed", Some(plan.config.seed.to_string())),
        ("version", Some(said("version"))),
        ("commit", Some(said("commit"))),
        ("target", Some(said("target"))),
    ];
    Ok(facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
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
    let _ = writeln!(text, "weights, figures and report.html: {folder}");
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
        SourceKind::Folder | SourceKind::Record | SourceKind::Idx | SourceKind::Parquet | SourceKind::Joined => {
            format!(
                "This network verifies aligned faces like those it was trained on; trust it no further than pairs that you \
             have measured.\nVerify pairs of yours:\n  cargo xtask eval {folder} --images FOLDER --pairs LIST\n"
            )
        }
    }
}
