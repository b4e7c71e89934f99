//! A set of templates of IJB-C's shape, drawn by a formula and written for both sides.
//! Knows no protocol.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::Context;
use serde::Serialize;

use super::super::scratch::Scratch;
use crate::embed::element::Element;
use crate::embed::format::{About, Format};

/// Values of an embedding.
pub(super) const SIZE: usize = 512;

/// Numbers of a protocol.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Shape {
    pub(super) images: usize,
    pub(super) templates: usize,
    subjects: usize,
    genuine: usize,
    pub(super) pairs: usize,
}

/// Those of IJB-C.
pub(super) const IJB_C: Shape =
    Shape { images: 469_375, templates: 23_124, subjects: 3_531, genuine: 19_557, pairs: 15_658_489 };

/// What both sides compare.
pub(super) struct Lists {
    /// Template and media of each image.
    pub(super) members: Vec<(u32, u32)>,
    /// The detector's score of each image.
    pub(super) scores: Vec<f32>,
    /// Templates by their numbers.
    pub(super) pairs: Vec<(u32, u32)>,
    pub(super) same: Vec<bool>,
}

impl Shape {
    /// One of so many parts.
    pub(super) fn part(self, parts: usize) -> Self {
        let [images, templates, subjects, genuine, pairs] =
            [self.images, self.templates, self.subjects, self.genuine, self.pairs].map(|number| number / parts);
        Self { images, templates, subjects, genuine, pairs }
    }

    fn template(&self, image: usize) -> usize {
        image * self.templates / self.images
    }

    /// The lists.
    pub(super) fn lists(&self) -> Lists {
        let subject = |template: u32| template as usize % self.subjects;
        let pairs: Vec<(u32, u32)> = (0..self.pairs).map(|index| self.pair(index)).collect();
        Lists {
            members: (0..self.images).map(|image| (self.template(image) as u32, (image / 3 % 4) as u32)).collect(),
            scores: (0..self.images).map(|image| 0.5 + (image % 50) as f32 / 128.0).collect(),
            same: pairs.iter().map(|&(a, b)| subject(a) == subject(b)).collect(),
            pairs,
        }
    }

    fn pair(&self, index: usize) -> (u32, u32) {
        if index < self.genuine {
            let first = index % (self.templates - self.subjects);
            return (first as u32, (first + self.subjects) as u32);
        }
        let template = |index| hash(index) % self.templates as u32;
        (template(index), template(index + (1 << 31)))
    }

    /// Writes `features.npy`: of each image its subject's direction and as much of its own.
    ///
    /// # Errors
    /// If the disk is full.
    pub(super) fn write_features(&self, scratch: &Scratch) -> anyhow::Result<()> {
        let path = scratch.file("features.npy");
        let mut file = BufWriter::new(File::create(&path).with_context(|| path.display().to_string())?);
        let about = About { name: "embeddings", element: Element::Single, metadata: vec![] };
        let mut write = |bytes: &[u8]| file.write_all(bytes).with_context(|| path.display().to_string());
        write(&Format::Npy.head(self.images, SIZE, &about))?;
        for image in 0..self.images {
            let subject = self.template(image) % self.subjects;
            let value = |at| uniform(subject * SIZE + at + (1 << 31)) + uniform(image * SIZE + at);
            let row: Vec<f32> = (0..SIZE).map(value).collect();
            write(&Element::Single.encoded(&row))?;
        }
        file.flush().with_context(|| path.display().to_string())
    }
}

impl Lists {
    /// Writes every list as numpy's `fromfile` reads it.
    ///
    /// # Errors
    /// If the disk is full.
    pub(super) fn write(&self, scratch: &Scratch) -> anyhow::Result<()> {
        let two = |pairs: &[(u32, u32)]| pairs.iter().flat_map(|(a, b)| [*a, *b]).flat_map(u32::to_le_bytes).collect();
        let files: [(&str, Vec<u8>); 4] = [
            ("members.u32", two(&self.members)),
            ("scores.f32", Element::Single.encoded(&self.scores)),
            ("pairs.u32", two(&self.pairs)),
            ("same.u8", self.same.iter().map(|same| u8::from(*same)).collect()),
        ];
        for (name, bytes) in files {
            let path = scratch.file(name);
            std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// A number that looks drawn.
pub(super) fn hash(index: usize) -> u32 {
    let x = index as u32;
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// A number within [−1, 1) that looks drawn.
pub(super) fn uniform(index: usize) -> f32 {
    (hash(index) >> 8) as f32 / 8_388_608.0 - 1.0
}
