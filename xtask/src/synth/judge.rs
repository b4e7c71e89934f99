//! What a network makes of pictures: embeddings of the files as they are, and how near these lie to what was aimed at.
//! Knows no inversion: any network can judge.

use std::path::PathBuf;
use std::sync::Arc;

use arcface_data::source::FileSource;
use arcface_data::{Batch, Loader, Source};

use super::vectors::Vectors;
use crate::interrupt;
use crate::net::Net;
use crate::progress::Progress;
use crate::verify::{Mirror, Presentation};

/// Images of a batch.
const BATCH: usize = 32;
/// Threads that read images ahead.
const WORKERS: usize = 2;

/// The embeddings of images of a source by a network, as it gives them.
///
/// # Errors
/// If an image cannot be read or has another size than the network takes, or the user interrupts.
pub(super) fn embeddings(
    what: &str,
    net: &Net,
    source: &Arc<dyn Source>,
    indices: Vec<usize>,
) -> anyhow::Result<Vectors> {
    let config = net.backbone.config();
    let presentation = Presentation::to(net, Mirror::Without, BATCH, WORKERS);
    let count = indices.len();
    let loader = Loader::in_order(source.clone(), indices, &presentation.loader())?;
    let (network, progress) = (net.backbone.inference()?, Progress::new(what, "img", count as u64));
    let mut values = Vec::with_capacity(count * config.embedding_size);
    for batch in loader.batches(0, loader.batches_per_epoch()) {
        interrupt::check()?;
        let Batch { images, .. } = batch?;
        let [rows, _] = presentation.embed(&network, images)?;
        values.extend(rows);
        progress.at((values.len() / config.embedding_size) as u64, "");
    }
    progress.finish();
    Ok(Vectors { values, size: config.embedding_size })
}

/// The same of image files.
///
/// # Errors
/// As [`embeddings`].
pub(super) fn of_files(what: &str, net: &Net, paths: Vec<PathBuf>) -> anyhow::Result<Vectors> {
    let count = paths.len();
    let source: Arc<dyn Source> = Arc::new(FileSource::new(paths));
    embeddings(what, net, &source, (0..count).collect())
}

/// cosθ of two embeddings; of one of zeros 0.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let sums = a.iter().zip(b).fold([0.0; 3], |[along, of_a, of_b], (a, b)| {
        let (a, b) = (f64::from(*a), f64::from(*b));
        [along + a * b, of_a + a * a, of_b + b * b]
    });
    let length = (sums[1] * sums[2]).sqrt();
    if 0.0 < length { (sums[0] / length).clamp(-1.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_do_not_depend_on_lengths() {
        assert!((cosine(&[3.0, 4.0], &[0.03, 0.04]) - 1.0).abs() < 1e-7);
        assert!((cosine(&[3.0, 4.0], &[-4.0, 3.0])).abs() < 1e-12);
        assert!(cosine(&[0.0, 0.0], &[1.0, 0.0]).abs() < f64::EPSILON);
    }
}
