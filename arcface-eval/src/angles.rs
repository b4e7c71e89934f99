//! Angles between embeddings, the mean embeddings of their classes and class centers, in degrees (ArcFace v3, Table 3).
//! Knows no network, no images and no split: embeddings come in one by one, and twice.
//!
//! Intra is the mean of [`ClassMeans::angle`] over the images, Inter is [`ClassMeans::inter`], W-EC is
//! [`ClassMeans::to_centers`], W-Inter is [`nearest_centers`].
//!
//! ```
//! use arcface_eval::angles::ClassSums;
//!
//! let images = [(0, [1.0, 0.0]), (0, [0.0, 2.0]), (1, [-3.0, 0.0])];
//! let mut sums = ClassSums::new(2, 2)?;
//! for (label, embedding) in &images {
//!     sums.add(*label, embedding)?;
//! }
//! let means = sums.means();
//! assert!((means.angle(0, &images[0].1)? - 45.0).abs() < 1e-9);
//! assert!((means.inter().unwrap() - 135.0).abs() < 1e-9);
//! # Ok::<(), arcface_core::Error>(())
//! ```

use arcface_core::ops::matmul::{Accumulate, MatRef, matmul};
use arcface_core::{Error, Result, sphere};
use rayon::prelude::*;

use crate::similarity::{check_rows, length};

/// Rows of cosines that are held at a time: of C classes, `BLOCK`·C values.
const BLOCK: usize = 128;

/// A mean of unit vectors that is no longer than this is what rounding in f32 has left of none.
const NO_DIRECTION: f64 = 1e-6;

/// Sums of the unit embeddings of every class, as they come.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassSums {
    size: usize,
    sums: Vec<f64>,
    images: Vec<u64>,
}

impl ClassSums {
    /// Nothing yet, for labels below `classes` and embeddings of `size` values.
    ///
    /// # Errors
    /// If either number is 0.
    pub fn new(classes: usize, size: usize) -> Result<Self> {
        if classes == 0 || size == 0 {
            let got = format!("{classes} classes of {size} values");
            return Err(Error::value("sums of embeddings", "at least one class and one value", got));
        }
        Ok(Self { size, sums: vec![0.0; classes * size], images: vec![0; classes] })
    }

    /// Adds the direction of an image's `embedding` to the class `label`; how long it is does not matter.
    ///
    /// # Shapes
    /// `embedding`: (D,)
    ///
    /// # Errors
    /// If there is no class `label`, or the embedding has another size, is zero or is not finite.
    pub fn add(&mut self, label: u32, embedding: &[f32]) -> Result<()> {
        let class = class_of(label, self.images.len())?;
        let direction = direction_of(label, embedding, self.size)?;
        let sum = &mut self.sums[class * self.size..(class + 1) * self.size];
        for (sum, value) in sum.iter_mut().zip(direction) {
            *sum += value;
        }
        self.images[class] += 1;
        Ok(())
    }

    /// The direction of each class's sum, which is that of its mean.
    ///
    /// A class without images has none, nor has one whose embeddings cancel.
    pub fn means(self) -> ClassMeans {
        let mut means =
            ClassMeans { size: self.size, directions: Vec::new(), row_of: Vec::with_capacity(self.images.len()) };
        for (sum, &images) in self.sums.chunks_exact(self.size).zip(&self.images) {
            // Not below 1: a class without images has a sum of length 0.
            let has_direction = NO_DIRECTION < sphere::norm(sum) / images.max(1) as f64;
            means.row_of.push(has_direction.then(|| means.classes()));
            if has_direction {
                means.directions.extend(sphere::unit(sum));
            }
        }
        means
    }
}

/// The directions of the mean embeddings of the classes that have images, in f64.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMeans {
    size: usize,
    /// Unit vectors of D values, class by class.
    directions: Vec<f64>,
    /// Where among them a class's direction is.
    row_of: Vec<Option<usize>>,
}

impl ClassMeans {
    /// Number of classes that have at least one image and a mean with a direction.
    pub fn classes(&self) -> usize {
        self.directions.len() / self.size
    }

    /// Angle between an image's `embedding` and the mean of its class `label`, in degrees.
    ///
    /// # Shapes
    /// `embedding`: (D,)
    ///
    /// # Errors
    /// If the class `label` has no mean, or the embedding has another size, is zero or is not finite.
    pub fn angle(&self, label: u32, embedding: &[f32]) -> Result<f64> {
        let class = class_of(label, self.row_of.len())?;
        let expected = "a mean embedding (its images may be missing, or cancel each other)";
        let row = self.row_of[class].ok_or_else(|| Error::value(format!("class {label}"), expected, "none"))?;
        let embedding = direction_of(label, embedding, self.size)?;
        Ok(sphere::angle(self.direction(row), &embedding).to_degrees())
    }

    /// Inter: the mean over classes of the smallest angle to another class's mean, in degrees; `None` below two classes.
    pub fn inter(&self) -> Option<f64> {
        mean_of_smallest(&self.directions, self.size)
    }

    /// W-EC: the mean over classes of the angle between class center and mean embedding, in degrees.
    ///
    /// Centers of classes that have no mean are left out.
    ///
    /// # Shapes
    /// `centers`: (C, D) row by row, C being all classes.
    ///
    /// # Errors
    /// If there are not C centers, no class has a mean, or a center that counts is zero or not finite.
    ///
    /// # Example
    /// ```
    /// use arcface_eval::angles::ClassSums;
    /// let mut sums = ClassSums::new(2, 2)?;
    /// sums.add(0, &[1.0, 1.0])?;
    /// // Class 1 has no image, so its center does not count.
    /// assert!((sums.means().to_centers(&[0.0, 3.0, 1.0, 0.0])? - 45.0).abs() < 1e-9);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn to_centers(&self, centers: &[f32]) -> Result<f64> {
        let expected = self.row_of.len() * self.size;
        if centers.len() != expected {
            let expected = format!("{} rows of {} values", self.row_of.len(), self.size);
            return Err(Error::value("class centers", expected, format!("{} values", centers.len())));
        }
        if self.classes() == 0 {
            return Err(Error::value("classes with a mean embedding", "at least one", 0));
        }
        let with_means = self.row_of.iter().enumerate().filter_map(|(class, row)| Some((class, (*row)?)));
        let angles = with_means.map(|(class, row)| {
            let center = center_direction(class, &centers[class * self.size..(class + 1) * self.size])?;
            Ok(sphere::angle(&center, self.direction(row)).to_degrees())
        });
        Ok(angles.sum::<Result<f64>>()? / self.classes() as f64)
    }

    fn direction(&self, row: usize) -> &[f64] {
        &self.directions[row * self.size..(row + 1) * self.size]
    }
}

/// W-Inter: the mean over classes of the smallest angle to another class center, in degrees; `None` below two classes.
///
/// # Shapes
/// `centers`: (C, D) row by row, D = `size`.
///
/// # Errors
/// If `centers` is not whole rows, or a center is zero or not finite; the message names it.
///
/// # Example
/// ```
/// use arcface_eval::angles::nearest_centers;
/// // 90° to the nearest other one, 90°, and 135°.
/// let angle = nearest_centers(&[1.0, 0.0, 0.0, 5.0, -1.0, -1.0], 2)?;
/// assert!((angle.unwrap() - 105.0).abs() < 1e-9);
/// assert_eq!(nearest_centers(&[1.0, 0.0], 2)?, None);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn nearest_centers(centers: &[f32], size: usize) -> Result<Option<f64>> {
    check_rows("class centers", centers.len(), size)?;
    let mut directions = Vec::with_capacity(centers.len());
    for (class, center) in centers.chunks_exact(size).enumerate() {
        directions.extend(center_direction(class, center)?);
    }
    Ok(mean_of_smallest(&directions, size))
}

/// The mean over unit vectors of the smallest angle to another one, in degrees.
///
/// Cosines are made block by block, so that the whole matrix of them never exists.
fn mean_of_smallest(directions: &[f64], size: usize) -> Option<f64> {
    let rows = directions.len() / size;
    if rows < 2 {
        return None;
    }
    let all = MatRef::new(directions, rows, size);
    let mut cosines = vec![0.0; BLOCK.min(rows) * rows];
    let mut sum = 0.0;
    for start in (0..rows).step_by(BLOCK) {
        let block = start..rows.min(start + BLOCK);
        let cosines = &mut cosines[..block.len() * rows];
        matmul(all.row_range(block), all.transposed(), cosines, Accumulate::Replace);
        let smallest = cosines.par_chunks_exact(rows).enumerate().map(|(row, cosines)| {
            let (row, nearest) = (start + row, nearest(start + row, cosines));
            sphere::angle(at(directions, row, size), at(directions, nearest, size))
        });
        // Added in the order of the rows, so that the number of threads does not matter.
        sum += smallest.collect::<Vec<f64>>().iter().sum::<f64>();
    }
    Some((sum / rows as f64).to_degrees())
}

/// Where the greatest of the cosines is, that of `row` with itself aside.
///
/// Only the search is by cosine: arccos would lose half of the digits of a small angle.
fn nearest(row: usize, cosines: &[f64]) -> usize {
    let others = cosines.iter().enumerate().filter(|(other, _)| *other != row);
    others.max_by(|a, b| a.1.total_cmp(b.1)).map_or(row, |(other, _)| other)
}

fn at(directions: &[f64], row: usize, size: usize) -> &[f64] {
    &directions[row * size..(row + 1) * size]
}

fn class_of(label: u32, classes: usize) -> Result<usize> {
    let class = label as usize;
    if class < classes {
        return Ok(class);
    }
    Err(Error::value("label", format!("a class below {classes}"), label))
}

fn direction_of(label: u32, embedding: &[f32], size: usize) -> Result<Vec<f64>> {
    let name = || format!("embedding of an image of class {label}");
    if embedding.len() != size {
        return Err(Error::value(name(), format!("{size} values"), embedding.len()));
    }
    direction(name, embedding)
}

fn center_direction(class: usize, center: &[f32]) -> Result<Vec<f64>> {
    direction(|| format!("center of class {class}"), center)
}

fn direction(name: impl FnOnce() -> String, vector: &[f32]) -> Result<Vec<f64>> {
    let vector: Vec<f64> = vector.iter().map(|&value| f64::from(value)).collect();
    let length = length(name, &vector)?;
    Ok(vector.iter().map(|value| value / length).collect())
}
