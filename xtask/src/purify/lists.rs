//! Files that say what is left of a set and what is dropped: lists of images, and one center per class.
//! Knows no figures and no pictures.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use arcface_core::candle::{Device, Tensor};
use arcface_core::checkpoint::{atomic_write, save_tensors};
use arcface_data::Source;
use arcface_data::purify::{Cleaned, Places};

use super::subject::Subject;
use crate::sources::{LIST_HEADER, Listed};

/// The images that are kept.
pub(super) const KEPT: &str = "kept.csv";
/// The images that are dropped.
pub(super) const DROPPED: &str = "dropped.csv";
/// The dominant sub-center of each identity that is left, (C', D).
const CENTERS: &str = "centers.safetensors";

/// Writes the files into `folder`.
///
/// # Errors
/// If the disk is full.
pub(super) fn write(folder: &Path, subject: &Subject, places: &Places, cleaned: &Cleaned) -> anyhow::Result<()> {
    let images = subject.source.len();
    let mut new_labels = vec![None; places.dominant().len()];
    (0..).zip(&cleaned.classes).for_each(|(new, old)| new_labels[*old as usize] = Some(new));
    let mut is_kept = vec![false; images];
    for index in &cleaned.kept {
        is_kept[*index] = true;
    }
    let listed = |image: usize| {
        let old_label = places.labels()[image];
        Listed {
            image,
            label: new_labels[old_label as usize].filter(|_| is_kept[image]),
            old_label,
            angle: places.places()[image].map(|place| place.angle),
            path: subject.source.describe(image),
        }
    };
    let list = |name: &str, kept: bool| {
        atomic_write(&folder.join(name), |file| {
            writeln!(file, "{LIST_HEADER}")?;
            (0..images).filter(|image| is_kept[*image] == kept).try_for_each(|image| listed(image).write(file))
        })
    };
    list(KEPT, true)?;
    list(DROPPED, false)?;
    write_centers(&folder.join(CENTERS), subject, places, cleaned)
}

/// K folded to 1.
fn write_centers(path: &Path, subject: &Subject, places: &Places, cleaned: &Cleaned) -> anyhow::Result<()> {
    let dominant: Vec<u32> = cleaned.classes.iter().map(|label| places.dominant()[*label as usize]).collect();
    let values = subject.centers.folded(&cleaned.classes, &dominant);
    let shape = (cleaned.classes.len(), subject.centers.shape()[2]);
    let centers = Tensor::from_vec(values, shape, &Device::Cpu)?;
    Ok(save_tensors(path, &BTreeMap::from([("centers".to_owned(), centers)]), &BTreeMap::new())?)
}
