//! Paints what is in front of the face: hair over the forehead, hat, glasses, bars and hands.
//! Knows no features and no light.

use super::canvas::{Canvas, Rgb, mix, scale};
use super::head::{hair_colour, soft};
use super::identity::Identity;
use super::nuisance::{Glasses, Nuisance, Occluder};
use super::shape::{ellipse, hill, stroke};

/// Hair above the hair line, and the fringe of the day.
pub(super) fn hair(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance) {
    let (grain, style, hair) = (canvas.grain(), &nuisance.style, &identity.hair);
    let colour = hair_colour(identity, nuisance);
    canvas.over_both((0.0, -0.55), 0.85, |(x, y), (u, v)| {
        let cap = (x * x + y * y).sqrt() - identity.outline.radius(x, y) - style.volume;
        let fringe = style.fringe.1 * hill((u - style.fringe.0) / 0.6);
        let line = hair.line + hair.round * u * u + hair.peak * hill(u / 0.25) + fringe;
        let coverage = soft(cap.max(v - line).max(y - 0.15), grain);
        let strand = if 0.0 < coverage { 0.9 + 0.1 * (23.0 * u + 4.0 * v).sin() } else { 1.0 };
        (scale(colour, strand), coverage)
    });
}

/// A hat down to its brim.
pub(super) fn hat(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance) {
    let Some((brim, colour)) = nuisance.style.hat else { return };
    let grain = canvas.grain();
    canvas.over_both((0.0, -0.6), 1.1, |(x, y), (u, v)| {
        let cap = (x * x + y * y).sqrt() - identity.outline.radius(x, y) - 0.16;
        let edge = v - brim - 0.15 * u * u;
        (if -0.1 < edge { scale(colour, 0.7) } else { colour }, soft(cap.max(edge), grain))
    });
}

/// Glasses around the eyes.
pub(super) fn glasses(canvas: &mut Canvas, identity: &Identity, glasses: &Glasses) {
    let (grain, eyes) = (canvas.grain(), &identity.eyes);
    let (rx, ry) = glasses.radius;
    let apart = 0.3;
    for side in [-1.0, 1.0] {
        let centre = (side * apart, eyes.height);
        canvas.over_face(centre, 1.4 * rx, |u, v| {
            let distance = ellipse(u - centre.0, v - centre.1, rx, ry);
            let frame = soft(distance.abs() - 0.5 * glasses.thickness, grain);
            let glass = glasses.tint * soft(distance, grain);
            (glasses.frame, frame.max(glass))
        });
    }
    let (from, to) = ((rx - apart, eyes.height), (apart - rx, eyes.height));
    canvas.over_face((0.0, eyes.height), apart, |u, v| {
        (glasses.frame, soft(stroke(u, v, from, to, glasses.thickness), grain))
    });
}

/// A bar or a hand.
pub(super) fn occluder(canvas: &mut Canvas, occluder: &Occluder) {
    match occluder {
        Occluder::Bar { at, angle, width, colour } => bar(canvas, *at, *angle, *width, *colour),
        Occluder::Hand { at, angle, colour } => hand(canvas, *at, *angle, *colour),
    }
}

fn bar(canvas: &mut Canvas, at: (f32, f32), angle: f32, width: f32, colour: Rgb) {
    let (sin, cos) = angle.sin_cos();
    let grain = canvas.grain();
    canvas.over_plane(at, 3.0, |x, y| {
        let across = (x - at.0) * sin - (y - at.1) * cos;
        (scale(colour, 1.0 - across), soft(across.abs() - 0.5 * width, grain))
    });
}

fn hand(canvas: &mut Canvas, at: (f32, f32), angle: f32, colour: Rgb) {
    let (sin, cos) = angle.sin_cos();
    let grain = canvas.grain();
    canvas.over_plane(at, 1.2, |x, y| {
        let (dx, dy) = (x - at.0, y - at.1);
        let (x, y) = (cos * dx + sin * dy, cos * dy - sin * dx);
        let fingers = (-1..=2).map(|finger| 0.14 * finger as f32 - 0.07);
        let nearest = fingers.fold(ellipse(x, y - 0.35, 0.3, 0.33), |distance, place| {
            distance.min(stroke(x, y, (place, 0.2), (1.3 * place, -0.28 + place * place), 0.12))
        });
        (mix(scale(colour, 0.6), colour, soft(nearest + 0.03, 0.06)), soft(nearest, grain))
    });
}
