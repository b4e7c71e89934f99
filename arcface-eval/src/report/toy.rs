//! Embeddings of two dimensions around the unit circle, as in Figure 3 of the ArcFace paper.
//! Knows no network.

use std::f64::consts::TAU;

use arcface_core::{Error, Result, sphere};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{
    Canvas, FONT, GRID, TEXT, TITLE, TITLE_HEIGHT, check_finite, colour, draw, key, panel_rows, shortened,
};

const WIDTH: u32 = 720;
const PER_ROW: usize = 2;
const PANEL_HEIGHT: u32 = 380;
const NAME_HEIGHT: i32 = 30;
const KEYS_PER_ROW: usize = 4;
const KEY_HEIGHT: u32 = 24;
const NOTE_HEIGHT: u32 = 30;
/// Longer names would reach into their neighbours.
const MOST_LETTERS: usize = 16;
/// Directions are counted by steps of 2°.
const BINS: usize = 180;
/// Pixels of the unit circle and of the longest bar outside of it.
/// Letters of a name that there is room for within the circle.
const SHORT: usize = 3;
/// Radians from a line to its name.
const BESIDE: f64 = 0.12;
const RADIUS: f64 = 96.0;
const LONGEST: f64 = 68.0;

/// One class of a toy example.
#[derive(Debug, Clone, PartialEq)]
pub struct ToyClass {
    /// Its name in the legend.
    pub name: String,
    /// Its center, if the network has one; how long it is does not matter.
    pub center: Option<[f64; 2]>,
    /// Embeddings of its images as the network gives them; only their directions are drawn.
    pub embeddings: Vec<[f64; 2]>,
}

/// The classes as one network sees them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Toy<'a> {
    /// The network.
    pub name: &'a str,
    /// The classes, in the same order for every network.
    pub classes: &'a [ToyClass],
}

/// Draws the directions of embeddings around a unit circle as SVG, a panel for each network, two in a row.
///
/// Bars outside of the circle show how many of a class's images lie in a direction; the longest bar of each panel has
/// the same length. Lines inside of it show the class centers.
///
/// # Errors
/// If there is no panel, a panel has no class, or an embedding or a center is zero or not finite.
///
/// # Example
/// ```
/// use arcface_eval::report::{Toy, ToyClass, toy};
/// let class = |name: &str, x| ToyClass { name: name.to_owned(), center: Some([x, 0.0]), embeddings: vec![[x, 0.1]] };
/// let svg = toy("Two classes", &[Toy { name: "ArcFace", classes: &[class("Ada", 1.0), class("Bo", -1.0)] }])?;
/// assert!(svg.contains("ArcFace") && svg.contains("Ada"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn toy(title: &str, panels: &[Toy<'_>]) -> Result<String> {
    let names = names(panels)?;
    let (rows, columns) = panel_rows(panels.len(), PER_ROW);
    let keys = KEY_HEIGHT * names.len().div_ceil(KEYS_PER_ROW) as u32;
    let panels_height = PANEL_HEIGHT * rows as u32;
    draw(WIDTH, TITLE_HEIGHT + panels_height + keys + NOTE_HEIGHT, |canvas| {
        let below_title = canvas.titled(title, (FONT, TITLE))?;
        let (above, legend) = below_title.split_vertically(panels_height);
        for (area, panel) in above.split_evenly((rows, columns)).iter().zip(panels) {
            draw_panel(area, panel)?;
        }
        draw_legend(&legend, &names, keys)
    })
}

/// The names of the classes of all panels, by their place.
fn names<'a>(panels: &[Toy<'a>]) -> Result<Vec<&'a str>> {
    if panels.is_empty() {
        return Err(Error::value("panels of a plot", "at least one", 0));
    }
    for panel in panels {
        check(panel)?;
    }
    let most = panels.iter().map(|panel| panel.classes).max_by_key(|classes| classes.len()).unwrap_or_default();
    Ok(most.iter().map(|class| class.name.as_str()).collect())
}

fn check(panel: &Toy<'_>) -> Result<()> {
    if panel.classes.is_empty() {
        return Err(Error::value(format!("classes of `{}`", panel.name), "at least one", 0));
    }
    for class in panel.classes {
        let of = format!("of `{}` by `{}`", class.name, panel.name);
        for (index, embedding) in class.embeddings.iter().enumerate() {
            check_direction(|| format!("embedding {index} {of}"), *embedding)?;
        }
        class.center.map_or(Ok(()), |center| check_direction(|| format!("center {of}"), center))?;
    }
    Ok(())
}

fn check_direction(what: impl Fn() -> String, vector: [f64; 2]) -> Result<()> {
    check_finite(&what, vector)?;
    if sphere::norm(&vector) <= sphere::NORM_FLOOR {
        return Err(Error::value(what(), "a vector that has a direction", "zero"));
    }
    Ok(())
}

fn draw_panel(area: &Canvas<'_>, panel: &Toy<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let (width, height) = area.dim_in_pixel();
    let middle = (width as i32 / 2, NAME_HEIGHT + (height as i32 - NAME_HEIGHT) / 2);
    let name = (FONT, TEXT).into_text_style(area).pos(Pos::new(HPos::Center, VPos::Top));
    area.draw(&Text::new(panel.name.to_owned(), (middle.0, 10), name))?;
    area.draw(&Circle::new(middle, RADIUS as i32, GRID.stroke_width(2)))?;
    let counts: Vec<Vec<usize>> = panel.classes.iter().map(|class| counts(&class.embeddings)).collect();
    let most = counts.iter().flatten().copied().max().unwrap_or_default();
    for (index, counts) in counts.iter().enumerate() {
        for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| 0 < **count) {
            let length = LONGEST * count as f64 / most as f64;
            area.draw(&Polygon::new(bar(middle, bin, length), colour(index).mix(0.75)))?;
        }
    }
    for (index, class) in panel.classes.iter().enumerate() {
        if let Some([x, y]) = class.center {
            let end = around(middle, y.atan2(x), RADIUS);
            area.draw(&PathElement::new([middle, end], colour(index).stroke_width(2)))?;
            area.draw(&Circle::new(end, 4, colour(index).filled()))?;
            draw_name(area, &class.name, around(middle, y.atan2(x) + BESIDE, RADIUS - 14.0))?;
        }
    }
    Ok(())
}

/// A short name beside the line: there are more classes than colours.
fn draw_name(area: &Canvas<'_>, name: &str, place: (i32, i32)) -> Result<(), Box<dyn std::error::Error>> {
    if name.chars().count() <= SHORT {
        let style = (FONT, TEXT).into_text_style(area).pos(Pos::new(HPos::Center, VPos::Center));
        area.draw(&Text::new(name.to_owned(), place, style))?;
    }
    Ok(())
}

/// How many of `embeddings` lie in each direction.
fn counts(embeddings: &[[f64; 2]]) -> Vec<usize> {
    let mut counts = vec![0; BINS];
    for [x, y] in embeddings {
        let turn = (y.atan2(*x) / TAU).rem_euclid(1.0);
        // A turn just below 1 may be rounded to it.
        counts[(turn * BINS as f64) as usize % BINS] += 1;
    }
    counts
}

/// The corners of a bar that stands on the circle.
fn bar(middle: (i32, i32), bin: usize, length: f64) -> [(i32, i32); 4] {
    let angle = |bin: usize| TAU * bin as f64 / BINS as f64;
    let (from, to) = (angle(bin), angle(bin + 1));
    let outer = RADIUS + 2.0 + length.max(2.0);
    [(from, RADIUS + 2.0), (from, outer), (to, outer), (to, RADIUS + 2.0)]
        .map(|(angle, radius)| around(middle, angle, radius))
}

/// The pixel at `angle` on a circle; the second axis points up.
fn around(middle: (i32, i32), angle: f64, radius: f64) -> (i32, i32) {
    let (x, y) = (radius * angle.cos(), radius * angle.sin());
    (middle.0 + x.round() as i32, middle.1 - y.round() as i32)
}

fn draw_legend(area: &Canvas<'_>, names: &[&str], height: u32) -> Result<(), Box<dyn std::error::Error>> {
    let width = WIDTH as usize / KEYS_PER_ROW;
    for (index, name) in names.iter().enumerate() {
        let (row, column) = (index / KEYS_PER_ROW, index % KEYS_PER_ROW);
        let place = ((20 + column * width) as i32, (12 + row * KEY_HEIGHT as usize) as i32);
        key(area, place, colour(index).to_rgba(), &shortened(name, MOST_LETTERS))?;
    }
    let note = "bars: images of a class by direction, in steps of 2°; lines with a dot: class centers";
    let grey = BLACK.mix(0.7);
    let style = (FONT, TEXT).into_text_style(area).color(&grey);
    area.draw(&Text::new(note, (20, height as i32 + 6), style))?;
    Ok(())
}
