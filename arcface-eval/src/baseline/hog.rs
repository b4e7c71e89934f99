//! Histograms of oriented gradients (Dalal & Triggs 2005): where edges are and how they run, without brightness.
//! Knows no colours and no networks.

use std::f64::consts::PI;

use arcface_core::{Error, Result};
use rayon::prelude::*;

use super::{Grey, Picture, check_pairs, unit_distance};

/// How gradients are gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hog {
    /// Bins over a half turn.
    pub orientations: usize,
    /// Pixels along the edge of a cell.
    pub cell: usize,
    /// Cells along the edge of a block, within which histograms are normalised.
    pub block: usize,
}

impl Default for Hog {
    fn default() -> Self {
        Self { orientations: 9, cell: 8, block: 2 }
    }
}

/// The largest part that one bin has of a normalised block, before it is normalised again.
const CLIP: f64 = 0.2;

/// Distance 2 − 2·cos of histograms of 9 orientations, 8 × 8 pixels and 2 × 2 cells.
///
/// # Errors
/// If a pair names a picture that is not there, the pictures differ in size or are smaller than a block.
pub fn hog_distances(pictures: &[Picture<'_>], pairs: &[(usize, usize)]) -> Result<Vec<f64>> {
    check_pairs(pairs, pictures.len())?;
    let hog = Hog::default();
    let features: Vec<_> = pictures.par_iter().map(|picture| hog.features(&picture.grey())).collect::<Result<_>>()?;
    let distance = |&(a, b): &(usize, usize)| same_size(&features[a], &features[b]);
    pairs.par_iter().map(distance).collect()
}

fn same_size(a: &[f64], b: &[f64]) -> Result<f64> {
    if a.len() == b.len() {
        return Ok(unit_distance(a, b));
    }
    let expected = "pictures of one size; resize them first";
    Err(Error::value("gradient histograms", expected, format!("{} and {} values", a.len(), b.len())))
}

impl Hog {
    /// The normalised histograms of all blocks, one after the other.
    ///
    /// Gradients are central differences, 0 along the edge of the picture; each pixel votes with its magnitude for one
    /// bin; a block is divided by its length, clipped at 0.2 and divided again ("L2-Hys").
    ///
    /// # Shapes
    /// (blocks down, blocks across, block, block, orientations), row by row; pixels beyond whole cells are left out.
    ///
    /// # Errors
    /// If the picture is smaller than one block.
    pub fn features(&self, picture: &Grey) -> Result<Vec<f64>> {
        let (across, down) = (picture.width / self.cell, picture.height / self.cell);
        if across.min(down) < self.block {
            let (expected, edge) = ("at least", self.cell * self.block);
            let got = format!("{} × {}", picture.width, picture.height);
            return Err(Error::value("picture", format!("{expected} {edge} × {edge} pixels"), got));
        }
        let cells = self.cells(picture, across, down);
        let block = |row: usize, column: usize| self.block_of(&cells, across, row, column);
        let places = (0..=down - self.block).flat_map(|row| (0..=across - self.block).map(move |column| (row, column)));
        Ok(places.flat_map(|(row, column)| block(row, column)).collect())
    }

    /// A histogram for each cell.
    fn cells(&self, picture: &Grey, across: usize, down: usize) -> Vec<f64> {
        let mut cells = vec![0.0; across * down * self.orientations];
        for y in 0..down * self.cell {
            for x in 0..across * self.cell {
                let (dx, dy) = gradient(picture, x, y);
                let cell = (y / self.cell) * across + x / self.cell;
                cells[cell * self.orientations + self.bin(dx, dy)] += dx.hypot(dy);
            }
        }
        cells
    }

    /// The bin of a direction within a half turn.
    fn bin(&self, dx: f64, dy: f64) -> usize {
        let half_turns = (dy.atan2(dx) / PI).rem_euclid(1.0);
        ((half_turns * self.orientations as f64) as usize).min(self.orientations - 1)
    }

    fn block_of(&self, cells: &[f64], across: usize, row: usize, column: usize) -> Vec<f64> {
        let length = self.block * self.orientations;
        let line = |down: usize| &cells[((row + down) * across + column) * self.orientations..][..length];
        let block: Vec<f64> = (0..self.block).flat_map(line).copied().collect();
        let clipped: Vec<f64> = normalised(&block).into_iter().map(|value| value.min(CLIP)).collect();
        normalised(&clipped)
    }
}

/// Central differences, 0 along the edges.
fn gradient(picture: &Grey, x: usize, y: usize) -> (f64, f64) {
    let at = |x: usize, y: usize| picture.values[y * picture.width + x];
    let dx = if 0 < x && x + 1 < picture.width { at(x + 1, y) - at(x - 1, y) } else { 0.0 };
    let dy = if 0 < y && y + 1 < picture.height { at(x, y + 1) - at(x, y - 1) } else { 0.0 };
    (dx, dy)
}

fn normalised(values: &[f64]) -> Vec<f64> {
    let length = (values.iter().map(|value| value * value).sum::<f64>() + 1e-10).sqrt();
    values.iter().map(|value| value / length).collect()
}
