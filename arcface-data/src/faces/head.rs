//! Paints what is behind the features: backdrop, shoulders, hair that falls, ears, and the skin with its marks.
//! Knows no eyes, no mouth and no light.

use super::canvas::{Canvas, Ink, Rgb, lerp, mix, scale};
use super::identity::{Identity, Mark, MarkKind, Skin};
use super::nuisance::{Backdrop, Nuisance};
use super::shape::{dome, ellipse, rise, stroke};

/// Two colours that run into one another, and soft discs.
pub(super) fn backdrop(canvas: &mut Canvas, backdrop: &Backdrop) {
    let (sin, cos) = backdrop.angle.sin_cos();
    let (first, second) = backdrop.colours;
    canvas.over_all(|x, y| {
        let along = 0.5 + (x - 0.5) * cos + (y - 0.5) * sin;
        (mix(first, second, along.clamp(0.0, 1.0)), 1.0)
    });
    for &((cx, cy), radius, colour) in &backdrop.discs {
        canvas.over_part((cx, cy), radius, |x, y| {
            (colour, 0.8 * dome(((x - cx).powi(2) + (y - cy).powi(2)) / (radius * radius)))
        });
    }
}

/// Shoulders in clothes and the neck.
pub(super) fn shoulders(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance) {
    let (grain, clothes) = (canvas.grain(), nuisance.style.clothes);
    canvas.over_plane((0.0, 1.6), 1.7, |x, y| (clothes, soft(ellipse(x, y - 1.95, 1.35, 0.8), grain)));
    let skin = scale(identity.skin.colour, 0.78);
    canvas.over_plane((0.0, 1.0), 0.7, |x, y| (skin, soft(ellipse(x, y - 0.9, 0.4, 0.62), grain)));
}

/// Hair behind the face, as far down as it is worn.
pub(super) fn hair_behind(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance) {
    let (grain, style) = (canvas.grain(), &nuisance.style);
    let colour = scale(hair_colour(identity, nuisance), 0.8);
    canvas.over_plane((0.0, 0.0), 1.5, |x, y| {
        if style.length + grain < y || 1.0 < x.abs() {
            return (colour, 0.0);
        }
        let reach = identity.outline.radius(x, y.min(0.0)) + style.volume;
        let curtain = (x * x + y.min(0.0).powi(2)).sqrt() - reach;
        (colour, soft(curtain.max(y - style.length), grain))
    });
}

/// The natural colour under the dye of the day.
pub(super) fn hair_colour(identity: &Identity, nuisance: &Nuisance) -> Rgb {
    let (dye, amount) = nuisance.style.dye;
    mix(identity.hair.colour, dye, amount)
}

/// Both ears; the one that the head turns to is hidden.
pub(super) fn ears(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance, turn: f32) {
    let (grain, ears) = (canvas.grain(), &identity.ears);
    let skin = skin_colour(identity, nuisance);
    for side in [-1.0, 1.0] {
        let cheek = identity.outline.radius(side, ears.height);
        let out = (ears.out * (1.0 - 1.6 * side * turn)).max(0.005);
        let (cx, cy) = (side * (cheek - 0.03) - 0.1 * turn, ears.height);
        canvas.over_plane((cx, cy), ears.length + out, |x, y| {
            let distance = ellipse(x - cx, y - cy, 0.03 + out, ears.length);
            let inner = soft(ellipse(x - cx, y - cy, 0.5 * (0.03 + out), 0.6 * ears.length), 3.0 * grain);
            (scale(skin, 0.93 - 0.25 * inner), soft(distance, grain))
        });
    }
}

/// The skin's colour on the day.
pub(super) fn skin_colour(identity: &Identity, nuisance: &Nuisance) -> Rgb {
    let tan = nuisance.style.tan;
    std::array::from_fn(|channel| identity.skin.colour[channel] * tan[channel])
}

/// The face's skin within its outline, with patches, blush and stubble; `turn` moves the chin.
pub(super) fn skin(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance, turn: f32) {
    let (grain, colour) = (canvas.grain(), skin_colour(identity, nuisance));
    let outline = &identity.outline;
    canvas.over_both((0.0, 0.0), 1.15, |(x, y), (u, v)| {
        // Nearly everything beyond the cheeks is no skin.
        let coverage = if x.abs() < 1.0 { soft(outline.distance(x + 0.25 * turn * y, y), grain) } else { 0.0 };
        if coverage <= 0.0 {
            return (colour, 0.0);
        }
        (shade_skin(identity, nuisance.style.stubble, colour, u, v), coverage)
    });
}

fn shade_skin(identity: &Identity, stubble: f32, colour: Rgb, u: f32, v: f32) -> Rgb {
    let skin = &identity.skin;
    let tone = 1.0 + patch_tone(skin, u, v);
    let (bu, bv, strength) = skin.blush;
    let blush = strength * dome(((u.abs() - bu) / 0.26).powi(2) + ((v - bv) / 0.22).powi(2));
    let beard = stubble * rise(0.3, 0.6, v + 0.5 * u.abs() - 0.1);
    let red = [colour[0] * tone, colour[1] * tone * (1.0 - 0.55 * blush), colour[2] * tone * (1.0 - 0.45 * blush)];
    mix(red, [0.12, 0.1, 0.1], beard)
}

/// Tone of the grid at a point of the face, linear between its cells.
fn patch_tone(skin: &Skin, u: f32, v: f32) -> f32 {
    let last = (Skin::CELLS - 1) as f32;
    let (column, row) =
        (((u + 1.0) * 0.5 * last).clamp(0.0, last - 0.01), ((v + 1.0) * 0.5 * last).clamp(0.0, last - 0.01));
    let (i, j) = (row as usize, column as usize);
    let (di, dj) = (row - i as f32, column - j as f32);
    let grid = &skin.patches;
    lerp(lerp(grid[i][j], grid[i][j + 1], dj), lerp(grid[i + 1][j], grid[i + 1][j + 1], dj), di)
}

/// Moles, freckles, patches and scars, each at its place.
pub(super) fn marks(canvas: &mut Canvas, identity: &Identity) {
    let (grain, skin) = (canvas.grain(), identity.skin.colour);
    for mark in &identity.marks {
        let (cu, cv) = mark.at;
        canvas.over_face(mark.at, mark.radius * 2.2, |u, v| mark_ink(mark, skin, grain, u - cu, v - cv));
    }
}

fn mark_ink(mark: &Mark, skin: Rgb, grain: f32, u: f32, v: f32) -> Ink {
    let radius = mark.radius;
    let disc = |soft_by: f32| soft((u * u + v * v).sqrt() - radius, soft_by);
    match &mark.kind {
        MarkKind::Mole => ([0.17, 0.09, 0.06], 0.9 * disc(grain)),
        MarkKind::Freckle => (mix(skin, [0.35, 0.16, 0.07], 0.75), 0.8 * disc(grain)),
        MarkKind::Patch { colour, long, angle } => {
            let (sin, cos) = angle.sin_cos();
            let distance = ellipse(cos * u + sin * v, cos * v - sin * u, radius * long, radius / long);
            (*colour, 0.9 * soft(distance, 3.0 * grain))
        }
        MarkKind::Scar { angle } => {
            let (sin, cos) = angle.sin_cos();
            let end = (radius * cos, radius * sin);
            (mix(skin, [0.95, 0.70, 0.70], 0.8), 0.85 * soft(stroke(u, v, (-end.0, -end.1), end, 0.03), grain))
        }
    }
}

/// Coverage at a distance from an edge that is `width` wide.
pub(super) fn soft(distance: f32, width: f32) -> f32 {
    (0.5 - distance / width).clamp(0.0, 1.0)
}
