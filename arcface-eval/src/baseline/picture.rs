//! Pictures as values: colours in, grey values in any size out.
//! Knows no files and no codecs.

use arcface_core::{Error, Result};

/// A picture whose pixels are someone else's: red, green, blue for each pixel, row by row.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    width: usize,
    height: usize,
    rgb: &'a [u8],
}

/// Grey values from 0 to 255, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Grey {
    /// Pixels along a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width · height` values.
    pub values: Vec<f64>,
}

impl<'a> Picture<'a> {
    /// A picture over `rgb`.
    ///
    /// # Errors
    /// If there are no pixels, or not three bytes for each.
    pub fn new(width: usize, height: usize, rgb: &'a [u8]) -> Result<Self> {
        if rgb.is_empty() || width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3)) != Some(rgb.len()) {
            let expected = format!("3 bytes for each of {width} × {height} pixels");
            return Err(Error::value("picture", expected, format!("{} bytes", rgb.len())));
        }
        Ok(Self { width, height, rgb })
    }

    /// Luma 0.299·R + 0.587·G + 0.114·B.
    pub fn grey(&self) -> Grey {
        let luma = |rgb: &[u8]| 0.299 * f64::from(rgb[0]) + 0.587 * f64::from(rgb[1]) + 0.114 * f64::from(rgb[2]);
        Grey { width: self.width, height: self.height, values: self.rgb.chunks_exact(3).map(luma).collect() }
    }
}

impl Grey {
    /// The mean grey value in each cell of an `edge` × `edge` grid; cells weigh pixels by the part that they cover.
    ///
    /// # Shapes
    /// (edge · edge), row by row.
    pub fn averaged(&self, edge: usize) -> Vec<f64> {
        let columns = overlaps(self.width, edge);
        let rows = overlaps(self.height, edge);
        let cell = |row: &[(usize, f64)], column: &[(usize, f64)]| {
            let line = |y: usize| column.iter().map(|&(x, part)| part * self.values[y * self.width + x]).sum::<f64>();
            row.iter().map(|&(y, part)| part * line(y)).sum::<f64>()
        };
        rows.iter().flat_map(|row| columns.iter().map(|column| cell(row, column))).collect()
    }
}

/// For each of `cells` equal parts of `pixels`: the pixels it touches and the share of each, 1 in sum.
fn overlaps(pixels: usize, cells: usize) -> Vec<Vec<(usize, f64)>> {
    let length = pixels as f64 / cells as f64;
    let shares = |cell: usize| {
        let (from, to) = (cell as f64 * length, (cell + 1) as f64 * length);
        let last = (to.ceil() as usize).min(pixels);
        let share = |pixel: usize| (to.min((pixel + 1) as f64) - from.max(pixel as f64)).max(0.0) / length;
        (from.floor() as usize..last).map(|pixel| (pixel, share(pixel))).collect()
    };
    (0..cells).map(shares).collect()
}
