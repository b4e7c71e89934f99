//! What people look at: pictures beside what they were to show, and how they came about.
//! Knows no network.

use std::io::Write;
use std::path::PathBuf;

use arcface_core::checkpoint::atomic_write;
use arcface_data::{Image, image};

use super::findings::OfImage;
use super::making::Making;
use super::memory::Memory;
use super::targets::{Aim, Target, Targets};
use crate::sheet::animation::animation;
use crate::sheet::{GREEN, ORANGE, Tile, sheet};

/// Images on the contact sheet.
const SHOWN: usize = 100;
/// How long a frame of an animation stands.
const MILLISECONDS: u16 = 200;

/// Writes the contact sheet of the first images: a face that was aimed at stands before what was made, the nearest
/// training image behind it; below stand class or number, and the cosines to the target and to that image.
///
/// # Errors
/// If an image cannot be read or the disk is full.
pub(super) fn write_sheet(
    making: &Making<'_>,
    targets: &Targets,
    images: &[OfImage],
    memory: Option<&Memory>,
) -> anyhow::Result<()> {
    let shown = targets.list.iter().zip(images).take(SHOWN).enumerate();
    let tiles = shown.map(|(number, (target, made))| {
        let picture = image::read(&making.folder.image(&target.name))?;
        tile(number, (targets, target), made, picture, memory)
    });
    let Some(sheet) = sheet(&tiles.collect::<anyhow::Result<Vec<_>>>()?) else { return Ok(()) };
    Ok(image::write_png(&making.folder.path().join("sheet.png"), &sheet)?)
}

fn tile(
    number: usize,
    (targets, target): (&Targets, &Target),
    made: &OfImage,
    picture: Image,
    memory: Option<&Memory>,
) -> anyhow::Result<Tile> {
    let mut images = vec![picture];
    let label = match &target.aim {
        Aim::Class(class) => class.to_string(),
        Aim::Face(_) => {
            images.splice(
                0..0,
                targets.references.iter().map(|faces| faces.first(number)).collect::<Result<Vec<_>, _>>()?,
            );
            number.to_string()
        }
        Aim::Row(row) => row.to_string(),
    };
    let mut cosines = format!("{:.2}", made.cosine);
    if let Some((memory, nearest)) = memory.zip(made.nearest_training_image.as_ref()) {
        images.push(memory.image(nearest)?);
        cosines = format!("{cosines} {:.2}", nearest.cosine);
    }
    let strip = made.is_right.map(|is_right| if is_right { GREEN } else { ORANGE });
    Ok(Tile { images, strip, lines: vec![label, cosines] })
}

/// Writes an animation of the frames of every batch.
///
/// # Errors
/// If a frame is missing or the disk is full.
pub(super) fn write_animations(making: &Making<'_>) -> anyhow::Result<()> {
    let batches = making.batches.len();
    for batch in 0..batches {
        let paths = making.frames.iter().map(|step| making.folder.frame(batch, batches, *step));
        let frames = paths.map(|path: PathBuf| image::read(&path)).collect::<arcface_core::Result<Vec<_>>>()?;
        let bytes = animation(&frames, MILLISECONDS)?;
        atomic_write(&making.folder.animation(batch, batches), |file| file.write_all(&bytes))?;
    }
    Ok(())
}
