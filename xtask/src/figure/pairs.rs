//! `cargo xtask figure pairs`: the angles of genuine and impostor pairs of a run's last verification.
//! Knows no network: the distances are kept with the run.

use std::path::Path;

use anyhow::{Context, bail};
use arcface_core::Error;
use arcface_eval::report::{self, Distributions};
use serde::Serialize;

use super::album::Album;
use crate::cli::RunFigureArguments;
use crate::outcomes;
use crate::run::RunFolder;

/// The angles of one run, in degrees.
struct Angles {
    name: String,
    genuine: Vec<f64>,
    impostor: Vec<f64>,
}

/// What the figure shows, in numbers.
#[derive(Serialize)]
struct Numbers {
    run: String,
    genuine_pairs: usize,
    genuine_mean: f64,
    genuine_std: f64,
    impostor_pairs: usize,
    impostor_mean: f64,
    impostor_std: f64,
}

/// Draws a panel for each run.
///
/// # Errors
/// If a run was not verified, or a file cannot be written.
pub(super) fn run(arguments: &RunFigureArguments) -> anyhow::Result<()> {
    let all = arguments.runs.iter().map(|path| angles(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let series: Vec<[(&str, &[f64]); 2]> =
        all.iter().map(|angles| [("genuine", &*angles.genuine), ("impostor", &*angles.impostor)]).collect();
    let panels: Vec<Distributions<'_>> =
        all.iter().zip(&series).map(|(angles, series)| panel(angles, series)).collect();
    let svg = report::distribution_panels("Angles of genuine and impostor pairs", &panels)?;
    Album::open(&arguments.out)?.put("pairs", &svg, &all.iter().map(numbers).collect::<Vec<_>>())
}

fn panel<'a>(angles: &'a Angles, series: &'a [(&'a str, &'a [f64])]) -> Distributions<'a> {
    Distributions { title: &angles.name, quantity: "angle of a pair, degrees", of: "pairs", series, mark: None }
}

fn angles(path: &Path) -> anyhow::Result<Angles> {
    let run = RunFolder::at(path);
    if !path.join(outcomes::FILE).is_file() {
        bail!(
            "{}: expected the folder of a run or an evaluation with {}, which a verification leaves",
            path.display(),
            outcomes::FILE
        );
    }
    let scored = outcomes::read(path)?;
    let place = || path.join(outcomes::FILE).display().to_string();
    let of_kind = |kind: bool| {
        let pairs = scored.distances.iter().zip(&scored.same).filter(|(_, same)| **same == kind);
        pairs.map(|(distance, _)| angle(*distance)).collect::<arcface_core::Result<Vec<_>>>()
    };
    let (genuine, impostor) = (of_kind(true).with_context(place)?, of_kind(false).with_context(place)?);
    if genuine.is_empty() || impostor.is_empty() {
        bail!(
            "{}: expected pairs of both kinds, found {} genuine, {} impostor",
            place(),
            genuine.len(),
            impostor.len()
        );
    }
    Ok(Angles { name: run.name(), genuine, impostor })
}

/// Of unit embeddings at a squared ℓ2 distance d: cosθ = 1 − d/2.
fn angle(distance: f64) -> arcface_core::Result<f64> {
    if -1e-6 < distance && distance < 4.0 + 1e-6 {
        return Ok((0.5 * distance.clamp(0.0, 4.0).sqrt()).asin().to_degrees() * 2.0);
    }
    Err(Error::value("distance of a pair", "0 to 4", distance))
}

fn numbers(angles: &Angles) -> Numbers {
    let (genuine_mean, genuine_std) = moments(&angles.genuine);
    let (impostor_mean, impostor_std) = moments(&angles.impostor);
    Numbers {
        run: angles.name.clone(),
        genuine_pairs: angles.genuine.len(),
        genuine_mean,
        genuine_std,
        impostor_pairs: angles.impostor.len(),
        impostor_mean,
        impostor_std,
    }
}

/// Mean and population standard deviation.
pub(super) fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_chords() {
        for degrees in [0.0_f64, 1e-3, 30.0, 90.0, 179.0, 180.0] {
            let distance = 2.0 - 2.0 * degrees.to_radians().cos();
            assert!((angle(distance).unwrap() - degrees).abs() < 1e-4, "{degrees}");
        }
        assert!(angle(4.1).is_err() && angle(f64::NAN).is_err());
    }
}
