//! `cargo xtask figure statistics`: how far embeddings, their class means and the class centers lie from each other.
//! Knows no picture; the angles are those of Table 3 of `ArcFace`, arXiv 1801.07698v3.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, bail};
use arcface_core::candle::DType;
use arcface_eval::angles::{ClassMeans, ClassSums, nearest_centers};
use arcface_models::Backbone;
use serde::Serialize;

use super::album::Album;
use crate::cli::StatisticsArguments;
use crate::embedded::{Faces, each_readable, kept};
use crate::finished::Finished;
use crate::net::{Net, Overrides};
use crate::run::WEIGHTS;
use crate::{checkpoint, output, sources};

/// The row of a run, in degrees; `None` where it has no such thing.
#[derive(Debug, Clone, Serialize)]
struct Row {
    run: String,
    loss: String,
    train_images: usize,
    train_identities: usize,
    test_images: Option<usize>,
    test_identities: Option<usize>,
    /// Mean angle between a class center and the mean embedding of the class.
    w_ec: Option<f64>,
    /// Mean over the classes of the smallest angle to another center.
    w_inter: Option<f64>,
    /// Mean angle of a training embedding to the mean of its class.
    intra1: f64,
    /// Mean over the classes of the smallest angle of training means to another.
    inter1: Option<f64>,
    /// The same of the test set.
    intra2: Option<f64>,
    inter2: Option<f64>,
}

/// How a set lies.
struct Spread {
    images: usize,
    means: ClassMeans,
    intra: f64,
}

/// Measures all runs, and leaves a table.
///
/// # Errors
/// If a run is unfinished or its data set has changed, a face cannot be read, or an embedding has no direction.
pub(super) fn run(arguments: &StatisticsArguments) -> anyhow::Result<()> {
    let rows = arguments.runs.iter().map(|path| row(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let album = Album::open(&arguments.out)?;
    album.numbers("statistics", &rows)?;
    let table = table(&rows);
    output::file(&album.path("statistics", "md"), &table)?;
    eprintln!("{}, .json", album.path("statistics", "md").display());
    if arguments.json { output::json(&rows) } else { output::text(&table) }
}

fn row(path: &Path) -> anyhow::Result<Row> {
    let finished = Finished::open(path)?;
    let Net { backbone, .. } = Net::load(&finished.checkpoint.join(WEIGHTS), &Overrides::default())?;
    let train = spread(&finished, "train", &Faces::all(&finished.source), &backbone)?;
    let test = test_faces(&finished)?.map(|faces| spread(&finished, "test", &faces, &backbone)).transpose()?;
    let centers = centers(&finished)?;
    let size = backbone.config().embedding_size;
    Ok(Row {
        run: finished.run.name(),
        loss: finished.config.loss().0.to_owned(),
        train_images: train.images,
        train_identities: train.means.classes(),
        test_images: test.as_ref().map(|test| test.images),
        test_identities: test.as_ref().map(|test| test.means.classes()),
        w_ec: centers.as_ref().map(|centers| train.means.to_centers(centers)).transpose()?,
        w_inter: centers.as_ref().map(|centers| nearest_centers(centers, size)).transpose()?.flatten(),
        intra1: train.intra,
        inter1: train.means.inter(),
        intra2: test.as_ref().map(|test| test.intra),
        inter2: test.as_ref().and_then(|test| test.means.inter()),
    })
}

/// Two passes: the means, then the angles to them.
fn spread(finished: &Finished, which: &str, faces: &Faces, backbone: &Backbone) -> anyhow::Result<Spread> {
    let embeddings = || kept(finished, which, faces, backbone);
    let mut sums = ClassSums::new(faces.classes, backbone.config().embedding_size)?;
    each_readable(embeddings()?, |number, row| Ok(sums.add(faces.labels[number], row)?))?;
    let means = sums.means();
    let (mut images, mut sum) = (0_usize, 0.0);
    each_readable(embeddings()?, |number, row| {
        images += 1;
        sum += means.angle(faces.labels[number], row)?;
        Ok(())
    })?;
    if images == 0 {
        bail!("{}: none of the {} {which} faces could be read", finished.run.path().display(), faces.len());
    }
    Ok(Spread { images, means, intra: sum / images as f64 })
}

/// The identities that the run never saw: those held out, or those of its list of pairs.
fn test_faces(finished: &Finished) -> anyhow::Result<Option<Faces>> {
    if let Some(held_out) = &finished.held_out {
        return Ok(Some(Faces::all(held_out)));
    }
    let Some(set) = sources::listed(&finished.config)? else { return Ok(None) };
    let faces = Faces::listed(&set);
    if faces.is_none() {
        eprintln!(
            "{}: the pairs of eval.pairs name no folders, so that it is unknown who is who: no figures of a test set",
            finished.run.path().display()
        );
    }
    Ok(faces)
}

/// The centers (C, D) of a loss that has them; of sub-centers none, since a class then has no one center.
fn centers(finished: &Finished) -> anyhow::Result<Option<Vec<f32>>> {
    if !arcface_losses::find(finished.config.loss().0)?.has_centers() {
        return Ok(None);
    }
    let centers = checkpoint::centers(&finished.checkpoint)?;
    if centers.rank() != 2 {
        return Ok(None);
    }
    let values = centers.to_dtype(DType::F32)?.flatten_all()?.to_vec1();
    Ok(Some(values.with_context(|| finished.checkpoint.display().to_string())?))
}

fn table(rows: &[Row]) -> String {
    let mut text = "| degrees | loss | W-EC | W-Inter | Intra1 | Inter1 | Intra2 | Inter2 |\n".to_owned()
        + "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for row in rows {
        let angles = [row.w_ec, row.w_inter, Some(row.intra1), row.inter1, row.intra2, row.inter2];
        let angles = angles.map(|angle| angle.map_or("–".to_owned(), |angle| format!("{angle:.2}")));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} | {} | {} |", row.run.replace('|', "\\|"), row.loss, angles.join(" | "));
    }
    text + "\nW-EC: a class center and the mean embedding of its class; W-Inter: a center and the nearest other one; Intra: an \
            embedding and the mean of its class; Inter: such a mean and the nearest other one; 1: training set, 2: test set.\n"
}
