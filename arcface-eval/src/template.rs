//! Templates: one vector for all images and videos of a person's set, as IJB-B and IJB-C compare them.
//! Knows no image and no path; embeddings come in one by one, and the lists as text.
//!
//! ```
//! use arcface_eval::template::{Pooling, PoolingConfig, meta};
//!
//! // Template 7 has a photograph and two frames of one video (media 2).
//! let members = meta::members("1.jpg 7 1\n2.jpg 7 2\n3.jpg 7 2\n4.jpg 9 3\n")?;
//! let mut pooling = Pooling::new(&members, 2, PoolingConfig::default())?;
//! for (image, embedding) in [[4.0, 0.0], [0.0, 2.0], [0.0, 4.0], [1.0, 0.0]].iter().enumerate() {
//!     pooling.add(image, embedding, 1.0)?;
//! }
//! let templates = pooling.finish()?;
//! // (4, 0) + ((0, 2) + (0, 4)) / 2 = (4, 3)
//! assert_eq!(templates.embeddings().row(templates.row_of(7)?), [0.8, 0.6]);
//! # Ok::<(), arcface_core::Error>(())
//! ```

pub mod meta;

use std::collections::BTreeMap;

use arcface_core::{Error, Result};
use rayon::prelude::*;

use crate::Embeddings;
use crate::similarity::{check_rows, length, square};
use meta::{Member, TemplatePair};

/// What an image's embedding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Norm {
    /// As much as it is long: networks give faces that they see well longer ones.
    #[default]
    Kept,
    /// As much as any other's, scaled to length 1.
    Unit,
}

/// Whether an image's embedding counts as much as its face was certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DetectorScore {
    /// It is multiplied by the score of the face detector.
    #[default]
    Multiplied,
    /// The score is not looked at.
    Ignored,
}

/// How images become a template.
///
/// The sum with the mirror image's embedding is the caller's, before [`Pooling::add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolingConfig {
    /// Length of an image's embedding.
    pub norm: Norm,
    /// Score of the face detector.
    pub detector_score: DetectorScore,
}

/// Sums of templates as their images come, in any order; of T templates it holds T·D values.
#[derive(Debug, Clone)]
pub struct Pooling {
    config: PoolingConfig,
    size: usize,
    templates: Vec<u32>,
    /// For each image the row of its template and the number of images of its media there.
    images: Vec<(u32, u32)>,
    added: Vec<bool>,
    sums: Vec<f64>,
}

/// T templates, each of length 1, by rising number.
#[derive(Debug, Clone, PartialEq)]
pub struct Templates {
    numbers: Vec<u32>,
    embeddings: Embeddings,
}

/// Pairs of templates by their rows, P of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedPairs {
    /// Two rows each.
    pub pairs: Vec<(u32, u32)>,
    /// Which are genuine.
    pub same: Vec<bool>,
}

impl Pooling {
    /// Nothing yet, for the images of `members` and embeddings of `size` values.
    ///
    /// Image i is the i-th of `members`. What belongs to one template and one media is averaged, and the media are
    /// added.
    ///
    /// # Errors
    /// If there is no member, or `size` is 0.
    pub fn new(members: &[Member<'_>], size: usize, config: PoolingConfig) -> Result<Self> {
        if members.is_empty() || size == 0 {
            let got = format!("{} images of {size} values", members.len());
            return Err(Error::value("templates", "at least one image and one value", got));
        }
        let mut numbers: Vec<u32> = members.iter().map(|member| member.template).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut media = BTreeMap::<(u32, u32), u32>::new();
        for member in members {
            *media.entry((member.template, member.media)).or_default() += 1;
        }
        let image = |member: &Member<'_>| {
            let row = numbers.partition_point(|number| *number < member.template);
            (row as u32, media[&(member.template, member.media)])
        };
        let images: Vec<(u32, u32)> = members.iter().map(image).collect();
        let sums = vec![0.0; numbers.len() * size];
        Ok(Self { config, size, added: vec![false; images.len()], templates: numbers, images, sums })
    }

    /// Adds the `embedding` of image `image`, whose face the detector gave `detector_score`.
    ///
    /// # Shapes
    /// `embedding`: (D,)
    ///
    /// # Errors
    /// As [`Self::add_all`].
    pub fn add(&mut self, image: usize, embedding: &[f32], detector_score: f32) -> Result<()> {
        if embedding.len() != self.size {
            let what = format!("embedding of image {image}");
            return Err(Error::value(what, format!("{} values", self.size), embedding.len()));
        }
        self.add_all(image, embedding, &[detector_score])
    }

    /// Adds the `embeddings` of the images from `first` on, on all threads; the sums do not depend on their number.
    ///
    /// # Shapes
    /// `embeddings`: (B, D) row by row, `detector_scores`: (B,)
    ///
    /// # Errors
    /// If the rows are not whole or not one per score, an image is not in the list or was added before, or an embedding
    /// is zero or not finite, or a score that counts is not above 0; nothing is added then.
    pub fn add_all(&mut self, first: usize, embeddings: &[f32], detector_scores: &[f32]) -> Result<()> {
        check_rows("embeddings", embeddings.len(), self.size)?;
        let number = embeddings.len() / self.size;
        if number != detector_scores.len() {
            return Err(Error::value("detector scores", format!("one per image, {number}"), detector_scores.len()));
        }
        self.check_new(first, number)?;
        let rows = embeddings.par_chunks_exact(self.size).zip(detector_scores).enumerate();
        let weights = rows.map(|(index, (row, score))| self.weight(first + index, row, *score));
        let weights = weights.collect::<Result<Vec<f64>>>()?;
        self.added[first..first + number].fill(true);
        self.accumulate(first, embeddings, &weights);
        Ok(())
    }

    /// The templates of all images.
    ///
    /// # Errors
    /// If an image of the list was not added, or those of a template cancel; the message names it.
    pub fn finish(self) -> Result<Templates> {
        if let Some(image) = self.added.iter().position(|added| !added) {
            let template = self.templates[self.images[image].0 as usize];
            let missing = self.added.iter().filter(|added| !**added).count();
            let expected = "embeddings of all images in the list";
            let got = format!("none of image {image} (template {template}), {missing} are missing");
            return Err(Error::value("templates", expected, got));
        }
        let embeddings = Embeddings::from_named_rows(&self.sums, self.size, |row| {
            format!("sum of template {}", self.templates[row])
        })?;
        Ok(Templates { numbers: self.templates, embeddings })
    }

    fn check_new(&self, first: usize, number: usize) -> Result<()> {
        let last = first + number;
        if self.images.len() < last {
            let expected = format!("images below {} (the list's length)", self.images.len());
            return Err(Error::value("images of templates", expected, format!("image {}", last - 1)));
        }
        let twice = self.added[first..last].iter().position(|added| *added);
        twice.map_or(Ok(()), |index| {
            Err(Error::value(format!("image {}", first + index), "to be added once", "a second time"))
        })
    }

    /// What the embedding `row` of an image is multiplied by.
    fn weight(&self, image: usize, row: &[f32], score: f32) -> Result<f64> {
        let length = sound_length(image, row)?;
        let score = match self.config.detector_score {
            DetectorScore::Ignored => 1.0,
            DetectorScore::Multiplied if 0.0 < score && score < f32::INFINITY => f64::from(score),
            DetectorScore::Multiplied => {
                let what = format!("detector score of image {image}");
                return Err(Error::value(what, "a finite number above 0 (or ignore the scores)", score));
            }
        };
        let norm = match self.config.norm {
            Norm::Kept => 1.0,
            Norm::Unit => length,
        };
        Ok(score / norm / f64::from(self.images[image].1))
    }

    /// Every thread adds to templates of its own, image by image in their order.
    fn accumulate(&mut self, first: usize, embeddings: &[f32], weights: &[f64]) {
        let (size, images) = (self.size, &self.images[first..]);
        let mut touched: Vec<(u32, u32)> = (0..weights.len()).map(|index| (images[index].0, index as u32)).collect();
        touched.sort_unstable();
        let mut targets = Vec::new();
        let (mut rest, mut passed) = (self.sums.as_mut_slice(), 0);
        for group in touched.chunk_by(|a, b| a.0 == b.0) {
            let row = group[0].0 as usize;
            let (_, tail) = rest.split_at_mut((row - passed) * size);
            let (sum, tail) = tail.split_at_mut(size);
            (rest, passed) = (tail, row + 1);
            targets.push((sum, group));
        }
        targets.into_par_iter().for_each(|(sum, group)| {
            for &(_, index) in group {
                let index = index as usize;
                add_scaled(sum, &embeddings[index * size..(index + 1) * size], weights[index]);
            }
        });
    }
}

impl Templates {
    /// Templates that someone else made, `numbers` being theirs in the order of `embeddings`.
    ///
    /// # Errors
    /// If there is not one number per embedding, or one comes twice.
    pub fn new(numbers: &[u32], embeddings: &Embeddings) -> Result<Self> {
        if numbers.len() != embeddings.len() {
            let expected = format!("one per template, {}", embeddings.len());
            return Err(Error::value("template numbers", expected, numbers.len()));
        }
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        order.sort_unstable_by_key(|row| numbers[*row]);
        if let Some(twice) = order.windows(2).find(|two| numbers[two[0]] == numbers[two[1]]) {
            return Err(Error::value(format!("template {}", numbers[twice[0]]), "one of this number", "two"));
        }
        let sorted = order.iter().map(|row| numbers[*row]).collect();
        Ok(Self { numbers: sorted, embeddings: embeddings.selected(&order) })
    }

    /// Number of templates T.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Their numbers in the lists, rising; row by row as [`Self::embeddings`].
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The templates as unit vectors.
    pub fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    /// The row of template `number`.
    ///
    /// # Errors
    /// If no image belongs to it.
    pub fn row_of(&self, number: u32) -> Result<usize> {
        let missing = || Error::value(format!("template {number}"), "images of it in the list of templates", "none");
        self.numbers.binary_search(&number).map_err(|_| missing())
    }

    /// The rows of the templates `numbers`, as of a gallery.
    ///
    /// # Errors
    /// If a template has no images, or comes twice; the message names it.
    pub fn rows_of(&self, numbers: &[u32]) -> Result<Vec<usize>> {
        let rows = numbers.iter().map(|number| self.row_of(*number)).collect::<Result<Vec<usize>>>()?;
        let mut seen = vec![false; self.len()];
        for &row in &rows {
            if std::mem::replace(&mut seen[row], true) {
                let expected = "to be listed once (remove the other line)";
                return Err(Error::value(format!("template {}", self.numbers[row]), expected, "a second time"));
            }
        }
        Ok(rows)
    }

    /// The rows of `pairs`, as [`crate::Pairs::Listed`] takes them.
    ///
    /// # Errors
    /// If a pair names a template that has no images; the message names the pair.
    pub fn listed(&self, pairs: &[TemplatePair]) -> Result<ListedPairs> {
        let row = |index: usize, number: u32| {
            self.numbers.binary_search(&number).map(|row| row as u32).map_err(|_| {
                let expected = "templates that have images in the list of templates";
                Error::value(format!("pair {index}"), expected, format!("template {number}, which has none"))
            })
        };
        let rows = pairs.par_iter().enumerate();
        let rows = rows.map(|(index, pair)| Ok((row(index, pair.first)?, row(index, pair.second)?)));
        Ok(ListedPairs { pairs: rows.collect::<Result<_>>()?, same: pairs.iter().map(|pair| pair.same).collect() })
    }
}

/// The length of an image's embedding, which has a direction.
fn sound_length(image: usize, row: &[f32]) -> Result<f64> {
    length(|| format!("embedding of image {image}"), &[square(row).sqrt()])
}

fn add_scaled(sum: &mut [f64], row: &[f32], weight: f64) {
    for (sum, &value) in sum.iter_mut().zip(row) {
        *sum += weight * f64::from(value);
    }
}
