//! Drawn faces in files, for works that read them: a folder, and the same images in one record file.
//! Knows no work; the folder around them is the caller's to remove.

use std::path::{Path, PathBuf};

use arcface_data::convert::{Container, convert};
use arcface_data::{FileFormat, FolderOptions, FolderSource, ProceduralConfig, ProceduralSource, Source, generate};

use super::work::Drawn;
use crate::interrupt;
use crate::progress::Progress;

const QUALITY: u8 = 90;

/// Where they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DrawnFaces {
    /// One sub-folder per identity.
    pub(super) folder: PathBuf,
    /// The same in one file.
    pub(super) record: PathBuf,
}

impl DrawnFaces {
    /// Draws faces below `root`, unless that was done for another work.
    ///
    /// # Errors
    /// If a file cannot be written, or the user interrupts.
    pub(super) fn in_folder(root: &Path, drawn: Drawn) -> anyhow::Result<Self> {
        let Drawn { identities, images_per_identity, image_size } = drawn;
        let name = format!("faces-{identities}-{images_per_identity}-{image_size}");
        let faces = Self { folder: root.join(&name), record: root.join(format!("{name}.rec")) };
        if !faces.record.exists() {
            faces.draw(drawn)?;
        }
        Ok(faces)
    }

    fn draw(&self, drawn: Drawn) -> anyhow::Result<()> {
        let Drawn { identities, images_per_identity, image_size } = drawn;
        let source = ProceduralSource::new(ProceduralConfig {
            identities,
            images_per_identity,
            image_size,
            ..ProceduralConfig::default()
        })?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let progress = Progress::new("drawing faces", "img", source.len() as u64);
        let format = FileFormat::Jpeg(QUALITY);
        let drawn = generate(&source, &self.folder, format, threads, |done| progress.at(done as u64, ""));
        progress.finish();
        drawn?;
        let folder = FolderSource::open(&self.folder, &FolderOptions::default())?;
        convert(&folder, &self.record, Container::Record, |_| interrupt::check().is_ok())?;
        Ok(interrupt::check()?)
    }
}
