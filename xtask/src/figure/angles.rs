//! `cargo xtask figure angles`: the angles of training images to their class centers at start, middle and end of runs.
//! Knows no formula of a loss.

use std::path::Path;

use anyhow::Context;
use arcface_data::purify::SubCenters;
use arcface_eval::report::{self, Distributions};
use arcface_models::Backbone;
use serde::Serialize;

use super::album::Album;
use super::pairs::moments;
use crate::checkpoint;
use crate::cli::AngleFigureArguments;
use crate::embedded::{Faces, each};
use crate::finished::Finished;
use crate::net::{Net, Overrides};
use crate::run::WEIGHTS;
use crate::trainer::Trainer;

/// The angles of one run at some moments.
struct Run {
    name: String,
    moments: Vec<Moment>,
}

/// The angles of the images to their class centers at one moment, in degrees.
struct Moment {
    name: String,
    step: u64,
    angles: Vec<f64>,
}

/// What the figure shows, in numbers.
#[derive(Serialize)]
struct Numbers<'a> {
    run: &'a str,
    moment: &'a str,
    step: u64,
    images: usize,
    mean: f64,
    std: f64,
    /// Images of each degree, from 0 to 180.
    per_degree: Vec<usize>,
}

/// A network with its class centers.
struct Snapshot {
    name: String,
    step: u64,
    backbone: Backbone,
    centers: SubCenters,
}

/// Draws a panel for each run.
///
/// # Errors
/// If a run is unfinished, has no class centers or its data set has changed, or a file cannot be read or written.
pub(super) fn run(arguments: &AngleFigureArguments) -> anyhow::Result<()> {
    let measured = arguments.runs.iter().map(|path| measure(path, arguments.images.get()));
    let runs = measured.collect::<anyhow::Result<Vec<_>>>()?;
    let series: Vec<Vec<(&str, &[f64])>> = runs.iter().map(series).collect();
    let panels = runs.iter().zip(&series).map(|(run, series)| Distributions {
        title: &run.name,
        quantity: "θ_y, degrees",
        of: "images",
        series,
        mark: None,
    });
    let svg = report::distribution_panels("Angles to the own class center", &panels.collect::<Vec<_>>())?;
    let numbers = runs.iter().flat_map(|run| run.moments.iter().map(|moment| numbers(run, moment)));
    Album::open(&arguments.out)?.put("angles", &svg, &numbers.collect::<Vec<_>>())
}

fn series(run: &Run) -> Vec<(&str, &[f64])> {
    run.moments.iter().map(|moment| (&*moment.name, &*moment.angles)).collect()
}

fn measure(path: &Path, most: usize) -> anyhow::Result<Run> {
    let finished = Finished::open(path)?;
    let faces = Faces::some(&finished.source, most);
    let mut moments = Vec::new();
    for snapshot in snapshots(&finished)? {
        let what = format!("{}, {}", finished.run.name(), snapshot.name);
        let mut angles = Vec::with_capacity(faces.len());
        each(&what, &faces, &finished.config, &snapshot.backbone, |label, embedding| {
            let to_centers = snapshot.centers.angles(label, embedding)?;
            // With sub-centers the nearest one is the class's.
            angles.push(f64::from(to_centers.into_iter().fold(f32::INFINITY, f32::min)));
            Ok(())
        })?;
        moments.push(Moment { name: snapshot.name, step: snapshot.step, angles });
    }
    Ok(Run { name: finished.run.name(), moments })
}

/// The networks of the start, of the checkpoint nearest to the middle, and of the end.
fn snapshots(finished: &Finished) -> anyhow::Result<Vec<Snapshot>> {
    let checkpoints = finished.run.checkpoints_by_step()?;
    let last = checkpoints.last().map_or(0, |(step, _)| *step);
    let steps: Vec<u64> = checkpoints.iter().map(|(step, _)| *step).collect();
    let mut all = vec![start(finished)?];
    match middle(&steps, last) {
        Some(index) => all.push(snapshot("middle", checkpoints[index].0, &checkpoints[index].1)?),
        None => eprintln!(
            "{}: no checkpoint from the middle of training is kept; train with --set train.keep_checkpoints=100",
            finished.run.path().display()
        ),
    }
    all.push(snapshot("end", last, &finished.checkpoint)?);
    Ok(all)
}

/// The place of the step that is nearest to half of `last`, between a quarter and three quarters of it.
fn middle(steps: &[u64], last: u64) -> Option<usize> {
    let near = (0..steps.len()).filter(|index| last <= 4 * steps[*index] && 4 * steps[*index] <= 3 * last);
    near.min_by_key(|index| (2 * steps[*index]).abs_diff(last))
}

/// As the run began: drawn weights and centers, or those of `model.weights`.
fn start(finished: &Finished) -> anyhow::Result<Snapshot> {
    // The length of an epoch is the schedule's alone.
    let trainer = Trainer::new(&finished.config, finished.source.num_identities(), 1)?;
    let centers = trainer.objective.parameters().get("centers").map(|centers| centers.var.as_tensor().clone());
    let centers = centers.with_context(|| {
        let (name, run) = (finished.config.loss().0, finished.run.path().display());
        format!("{run}: loss.name = \"{name}\" has no class centers; expected a run of a loss with some")
    })?;
    Ok(Snapshot {
        name: "start".to_owned(),
        step: 0,
        backbone: trainer.backbone,
        centers: checkpoint::sub_centers(&centers)?,
    })
}

fn snapshot(name: &str, step: u64, folder: &Path) -> anyhow::Result<Snapshot> {
    let Net { backbone, .. } = Net::load(&folder.join(WEIGHTS), &Overrides::default())?;
    let centers =
        checkpoint::sub_centers(&checkpoint::centers(folder)?).with_context(|| folder.display().to_string())?;
    Ok(Snapshot { name: name.to_owned(), step, backbone, centers })
}

fn numbers<'a>(run: &'a Run, moment: &'a Moment) -> Numbers<'a> {
    let (mean, std) = moments(&moment.angles);
    let mut per_degree = vec![0; 180];
    for angle in &moment.angles {
        per_degree[(*angle as usize).min(179)] += 1;
    }
    Numbers {
        run: &run.name,
        moment: &moment.name,
        step: moment.step,
        images: moment.angles.len(),
        mean,
        std,
        per_degree,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_lies_in_the_middle() {
        assert_eq!(middle(&[10, 20, 30, 40], 40), Some(1));
        assert_eq!(middle(&[90, 100], 100), None);
        assert_eq!(middle(&[25, 80, 100], 100), Some(0));
        assert_eq!(middle(&[], 0), None);
        assert_eq!(middle(&[100], 100), None);
    }
}
