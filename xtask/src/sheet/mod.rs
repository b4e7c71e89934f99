//! A contact sheet: small pictures in rows, one or several to a tile, with a strip and lines of text below.
//! Knows no file and no data set.

pub(crate) mod animation;
mod glyphs;

use arcface_data::Image;

use glyphs::{GLYPH_HEIGHT, GLYPH_WIDTH, glyph};

/// Pictures in a row.
const PER_ROW: usize = 10;
/// Pixels between tiles.
const GAP: usize = 6;
/// Height of the strip of colour.
const STRIP: usize = 3;
/// The narrowest tile that lines of text fit below.
const NARROWEST: usize = 64;
/// Tiles as wide as this have larger text.
const WIDE: usize = 96;

const PAPER: [u8; 3] = [255; 3];
const INK: [u8; 3] = [40; 3];
/// Of Okabe and Ito, told apart with any kind of colour vision.
pub(crate) const GREEN: [u8; 3] = [0, 158, 115];
pub(crate) const ORANGE: [u8; 3] = [213, 94, 0];
pub(crate) const GREY: [u8; 3] = [170; 3];

/// A place on the sheet.
#[derive(Debug, Default)]
pub(crate) struct Tile {
    /// From left to right.
    pub(crate) images: Vec<Image>,
    /// Colour of the strip below them.
    pub(crate) strip: Option<[u8; 3]>,
    /// Below it; of digits, points, minus and degree signs.
    pub(crate) lines: Vec<String>,
}

/// How tiles are laid out.
struct Layout {
    per_row: usize,
    /// Of the pictures of a tile.
    height: usize,
    strip: usize,
    /// Of a tile.
    cell: (usize, usize),
    /// Pixels of the sheet for one of a glyph.
    scale: usize,
}

impl Tile {
    fn width(&self) -> usize {
        self.images.iter().map(|image| image.width).sum()
    }

    fn height(&self) -> usize {
        self.images.iter().map(|image| image.height).max().unwrap_or(0)
    }
}

impl Layout {
    /// That of all `tiles`; `None` if there is none.
    fn of(tiles: &[Tile]) -> Option<Self> {
        let most = |size: fn(&Tile) -> usize| tiles.iter().map(size).max();
        let (width, height, lines) = (most(Tile::width)?, most(Tile::height)?, most(|tile| tile.lines.len())?);
        let pictures = most(|tile| tile.images.len())?.max(1);
        let strip = if tiles.iter().any(|tile| tile.strip.is_some()) { STRIP } else { 0 };
        let scale = if width < WIDE { 1 } else { 2 };
        let narrowest = if lines == 0 { 0 } else { NARROWEST };
        let cell = (width.max(narrowest), height + strip + lines * line(scale));
        Some(Self { per_row: (PER_ROW / pictures).max(1), height, strip, cell, scale })
    }

    /// Where a tile begins.
    fn place(&self, number: usize) -> (usize, usize) {
        let (column, row) = (number % self.per_row, number / self.per_row);
        (GAP + column * (self.cell.0 + GAP), GAP + row * (self.cell.1 + GAP))
    }

    /// White paper for `tiles` tiles.
    fn paper(&self, tiles: usize) -> Image {
        let (columns, rows) = (tiles.min(self.per_row), tiles.div_ceil(self.per_row));
        Image::filled(GAP + columns * (self.cell.0 + GAP), GAP + rows * (self.cell.1 + GAP), PAPER)
    }
}

/// Height of a line of text.
fn line(scale: usize) -> usize {
    scale * (GLYPH_HEIGHT + 2)
}

/// All tiles on white; `None` if there is none.
pub(crate) fn sheet(tiles: &[Tile]) -> Option<Image> {
    let layout = Layout::of(tiles)?;
    let mut sheet = layout.paper(tiles.len());
    for (number, tile) in tiles.iter().enumerate() {
        draw(&mut sheet, &layout, layout.place(number), tile);
    }
    Some(sheet)
}

fn draw(sheet: &mut Image, layout: &Layout, (x, y): (usize, usize), tile: &Tile) {
    let mut left = x;
    for image in &tile.images {
        paste(sheet, image, (left, y));
        left += image.width;
    }
    let below = y + layout.height;
    if let Some(colour) = tile.strip {
        fill(sheet, (x, below), (layout.cell.0, layout.strip), colour);
    }
    for (row, text) in tile.lines.iter().enumerate() {
        let top = below + layout.strip + layout.scale + row * line(layout.scale);
        write(sheet, (x, top), layout.scale, text);
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

    fn tile(size: usize, pictures: usize) -> Tile {
        let images = (0..pictures).map(|_| Image::filled(size, size, [9, 8, 7])).collect();
        Tile { images, strip: Some(ORANGE), lines: vec![u32::MAX.to_string(), "83.2°".to_owned()] }
    }

    #[test]
    fn every_tile_has_its_place_and_nothing_is_drawn_beyond() {
        assert!(sheet(&[]).is_none());
        for (size, pictures, count) in [(16, 1, 1), (112, 1, 3), (64, 1, 23), (32, 2, 7), (112, 2, 6)] {
            let tiles: Vec<Tile> = (0..count).map(|_| tile(size, pictures)).collect();
            let sheet = sheet(&tiles).unwrap();
            assert_eq!(sheet.rgb.len(), 3 * sheet.width * sheet.height);
            let shown = sheet.rgb.chunks(3).filter(|pixel| *pixel == [9, 8, 7]).count();
            assert_eq!(shown, count * pictures * size * size);
            assert!(sheet.rgb.chunks(3).any(|pixel| pixel == ORANGE) && sheet.rgb.chunks(3).any(|p| p == INK));
        }
    }

    #[test]
    fn without_strip_and_text_there_are_pictures_and_paper() {
        let tiles = [4, 5].map(|size| Tile { strip: None, lines: vec![], ..tile(size, 1) });
        let sheet = sheet(&tiles).unwrap();
        assert_eq!((sheet.width, sheet.height), (3 * GAP + 2 * 5, 2 * GAP + 5));
        assert!(sheet.rgb.chunks(3).all(|pixel| pixel == [9, 8, 7] || pixel == PAPER));
    }
}
