//! A contact sheet: small pictures in rows, each with its label and angle below.
//! Knows no file and no data set.

use arcface_data::Image;

use super::glyphs::{GLYPH_HEIGHT, GLYPH_WIDTH, glyph};

/// Tiles in a row.
const PER_ROW: usize = 10;
/// Pixels between tiles.
const GAP: usize = 6;
/// Height of the strip that tells the verdict.
const STRIP: usize = 3;
/// The narrowest tile that two lines of text fit below.
const NARROWEST: usize = 64;

const PAPER: [u8; 3] = [255; 3];
const INK: [u8; 3] = [40; 3];
/// Of Okabe and Ito, told apart with any kind of colour vision.
const GREEN: [u8; 3] = [0, 158, 115];
const ORANGE: [u8; 3] = [213, 94, 0];
const GREY: [u8; 3] = [170; 3];

/// A picture of the sheet.
pub(super) struct Tile {
    pub(super) image: Image,
    pub(super) label: u32,
    /// Degrees.
    pub(super) angle: f32,
    pub(super) verdict: Verdict,
}

/// Whether an image was dropped rightly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its label is wrong.
    Right,
    /// Its label is right.
    Wrong,
    /// Nobody knows.
    Unknown,
}

/// All tiles on white; `None` if there is none.
pub(super) fn sheet(tiles: &[Tile]) -> Option<Image> {
    let (width, height) =
        (tiles.iter().map(|tile| tile.image.width).max()?, tiles.iter().map(|t| t.image.height).max()?);
    let (cell_width, scale) = (width.max(NARROWEST), if width < 96 { 1 } else { 2 });
    let line = scale * (GLYPH_HEIGHT + 2);
    let cell_height = height + STRIP + 2 * line;
    let columns = tiles.len().min(PER_ROW);
    let rows = tiles.len().div_ceil(PER_ROW);
    let mut sheet = Image::filled(GAP + columns * (cell_width + GAP), GAP + rows * (cell_height + GAP), PAPER);
    for (number, tile) in tiles.iter().enumerate() {
        let x = GAP + number % PER_ROW * (cell_width + GAP);
        let y = GAP + number / PER_ROW * (cell_height + GAP);
        paste(&mut sheet, &tile.image, (x, y));
        fill(&mut sheet, (x, y + height), (cell_width, STRIP), colour(tile.verdict));
        let text = [tile.label.to_string(), format!("{:.1}°", tile.angle)];
        for (row, text) in text.iter().enumerate() {
            write(&mut sheet, (x, y + height + STRIP + scale + row * line), scale, text);
        }
    }
    Some(sheet)
}

fn colour(verdict: Verdict) -> [u8; 3] {
    match verdict {
        Verdict::Right => GREEN,
        Verdict::Wrong => ORANGE,
        Verdict::Unknown => GREY,
    }
}

fn paste(sheet: &mut Image, image: &Image, (x, y): (usize, usize)) {
    for (row, pixels) in image.rgb.chunks_exact(3 * image.width).enumerate() {
        let start = 3 * ((y + row) * sheet.width + x);
        sheet.rgb[start..start + pixels.len()].copy_from_slice(pixels);
    }
}

/// What lies beyond the sheet's right edge is cut off.
fn fill(sheet: &mut Image, (x, y): (usize, usize), (width, height): (usize, usize), colour: [u8; 3]) {
    let width = width.min(sheet.width.saturating_sub(x));
    for row in y..(y + height).min(sheet.height) {
        let start = 3 * (row * sheet.width + x);
        sheet.rgb[start..start + 3 * width].copy_from_slice(&colour.repeat(width));
    }
}

fn write(sheet: &mut Image, (x, y): (usize, usize), scale: usize, text: &str) {
    for (place, character) in text.chars().enumerate() {
        let left = x + place * scale * (GLYPH_WIDTH + 1);
        for (row, bits) in glyph(character).into_iter().enumerate() {
            for column in (0..GLYPH_WIDTH).filter(|column| bits >> (GLYPH_WIDTH - 1 - column) & 1 == 1) {
                fill(sheet, (left + column * scale, y + row * scale), (scale, scale), INK);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(size: usize, label: u32) -> Tile {
        Tile { image: Image::filled(size, size, [9, 8, 7]), label, angle: 83.25, verdict: Verdict::Wrong }
    }

    #[test]
    fn every_tile_has_its_place_and_nothing_is_drawn_beyond() {
        assert!(sheet(&[]).is_none());
        for (size, count) in [(16, 1), (112, 3), (64, 23)] {
            let tiles: Vec<Tile> = (0..count).map(|_| tile(size, u32::MAX)).collect();
            let sheet = sheet(&tiles).unwrap();
            assert_eq!(sheet.rgb.len(), 3 * sheet.width * sheet.height);
            let shown = sheet.rgb.chunks(3).filter(|pixel| *pixel == [9, 8, 7]).count();
            assert_eq!(shown, count * size * size);
            assert!(sheet.rgb.chunks(3).any(|pixel| pixel == ORANGE) && sheet.rgb.chunks(3).any(|p| p == INK));
        }
    }
}
