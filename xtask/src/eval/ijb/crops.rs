//! The faces of IJB-B and IJB-C: aligned already, or cut out of `loose_crop` by their landmarks.
//! Knows no templates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arcface_core::Result;
use arcface_data::align::{Landmarks, aligned};
use arcface_data::{Image, Source, image};

use super::super::faces::Images;
use super::lists::Lists;
use crate::digest::Digest;

/// The images of the lists, line by line, in `DIR/aligned` or cut to `size` out of `DIR/loose_crop`.
///
/// # Errors
/// If neither folder is there, an image is missing, or landmarks are not those of a face.
pub(super) fn images(dir: &Path, lists: &Lists<'_>, size: usize) -> anyhow::Result<Images> {
    let folders = [dir.join("aligned"), dir.join("loose_crop")];
    let Some(folder) = folders.iter().find(|folder| folder.is_dir()) else {
        bail!(
            "{}: expected the images of {} in loose_crop/ as published or, cut to the size of the network, in aligned/; \
             found neither folder",
            dir.display(),
            lists.members_path().display()
        );
    };
    let paths: Vec<PathBuf> = lists.members().iter().map(|member| folder.join(member.image)).collect();
    if let Some(missing) = paths.iter().position(|path| !path.is_file()) {
        let number = paths.iter().filter(|path| !path.is_file()).count();
        let (path, list) = (paths[missing].display(), lists.members_path());
        bail!("{path}: line {} of {} names it, found no such file; {number} are missing", missing + 1, list.display());
    }
    let names = paths.iter().map(|path| path.display().to_string()).collect();
    if *folder == folders[0] {
        return Ok(Images::aligned(names));
    }
    let landmarks = landmarks(lists)?;
    let made_by = Digest::of_file(&lists.detections_path())?;
    Ok(Images { paths: names, source: Arc::new(Crops { paths, landmarks, size }), made_by })
}

fn landmarks(lists: &Lists<'_>) -> anyhow::Result<Vec<Landmarks>> {
    let of = |(line, detection): (usize, &arcface_eval::template::meta::Detection<'_>)| {
        let points = detection.landmarks.map(|(x, y)| [f64::from(x), f64::from(y)]);
        Landmarks::new(&points).with_context(|| format!("{}: line {line}", lists.detections_path().display()))
    };
    (1..).zip(lists.detections()).map(of).collect()
}

/// Faces cut out when they are asked for.
struct Crops {
    paths: Vec<PathBuf>,
    landmarks: Vec<Landmarks>,
    size: usize,
}

impl Source for Crops {
    fn len(&self) -> usize {
        self.paths.len()
    }
    fn num_identities(&self) -> usize {
        1
    }
    fn label(&self, _index: usize) -> u32 {
        0
    }
    fn identity(&self, _label: u32) -> String {
        "unknown".to_owned()
    }
    fn image(&self, index: usize) -> Result<Image> {
        aligned(&image::read(&self.paths[index])?, &self.landmarks[index], self.size)
    }
    fn describe(&self, index: usize) -> String {
        self.paths[index].display().to_string()
    }
    fn dimensions(&self, _index: usize) -> Result<(usize, usize)> {
        Ok((self.size, self.size))
    }
}
