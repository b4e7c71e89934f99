//! Paints eyes, brows, nose, mouth and folds on the turned surface of the face.
//! Knows no outline, no hair and no light.

use super::canvas::{Canvas, Rgb, mix, scale};
use super::head::{hair_colour, skin_colour, soft};
use super::identity::{Eyes, Identity};
use super::nuisance::{Expression, Nuisance};
use super::shape::{arch, between, dome, ellipse, hill, stroke};

/// All features, from the deepest to the foremost.
pub(super) fn features(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance) {
    let skin = skin_colour(identity, nuisance);
    folds(canvas, identity, skin);
    for side in [-1.0, 1.0] {
        eye(canvas, &identity.eyes, &nuisance.expression, skin, side);
        brow(canvas, identity, nuisance, side);
    }
    beard(canvas, identity, nuisance);
    mouth(canvas, identity, nuisance, skin);
    nose(canvas, identity, skin);
}

/// One eye in coordinates of its own: x outwards in half widths, y down in the head's units.
#[derive(Clone, Copy)]
struct EyeFrame {
    centre: (f32, f32),
    side: f32,
    turn: (f32, f32),
    half_width: f32,
}

impl EyeFrame {
    fn new(eyes: &Eyes, side: f32) -> Self {
        let turn = eyes.tilt.sin_cos();
        Self { centre: (side * eyes.apart, eyes.height), side, turn, half_width: eyes.width }
    }

    fn local(&self, u: f32, v: f32) -> (f32, f32) {
        let (x, y) = (self.side * (u - self.centre.0), v - self.centre.1);
        let (sin, cos) = self.turn;
        ((cos * x - sin * y) / self.half_width, cos * y + sin * x)
    }
}

fn eye(canvas: &mut Canvas, eyes: &Eyes, expression: &Expression, skin: Rgb, side: f32) {
    let frame = EyeFrame::new(eyes, side);
    let (grain, reach) = (canvas.grain(), 1.25 * eyes.width);
    let opening = eyes.opening * expression.lids;
    let upper = move |t: f32| -opening * arch(t) * (1.0 + eyes.skew * t);
    let lower = move |t: f32| eyes.lower * opening * arch(t);
    let socket = scale(skin, 1.0 - eyes.socket);
    canvas.over_face(frame.centre, 1.5 * reach, |u, v| {
        let (t, y) = frame.local(u, v);
        (socket, dome((t / 1.5).powi(2) + (y / (1.3 * eyes.width)).powi(2)))
    });
    let gaze = (expression.gaze.0 * 0.4 * eyes.width, expression.gaze.1 * 0.3 * eyes.width);
    canvas.over_face(frame.centre, reach, |u, v| {
        let (t, y) = frame.local(u, v);
        let open = soft(between(y, upper(t), lower(t)), grain);
        let (x, y) = (t * frame.half_width - side * gaze.0, y - gaze.1);
        (eyeball(eyes, x, y, grain), open)
    });
    canvas.over_face(frame.centre, reach, |u, v| {
        let (t, y) = frame.local(u, v);
        let inside = soft((t.abs() - 1.0) * frame.half_width, grain);
        let lash = soft((y - upper(t)).abs() - 0.5 * eyes.lash, grain);
        let fold = 0.45 * soft((y - upper(t) + eyes.fold).abs() - 0.008, grain);
        if fold < lash { ([0.1, 0.07, 0.06], inside * lash) } else { (scale(skin, 0.55), inside * fold) }
    });
}

fn eyeball(eyes: &Eyes, x: f32, y: f32, grain: f32) -> Rgb {
    let radius = (x * x + y * y).sqrt();
    let ball = mix([0.93, 0.92, 0.90], eyes.colour, soft(radius - eyes.iris, grain));
    let ball = mix(ball, [0.04; 3], soft(radius - 0.45 * eyes.iris, grain));
    let (gx, gy) = (x + 0.3 * eyes.iris, y + 0.4 * eyes.iris);
    mix(ball, [1.0; 3], soft((gx * gx + gy * gy).sqrt() - 0.22 * eyes.iris, grain))
}

fn brow(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance, side: f32) {
    let (brows, eyes, expression) = (&identity.brows, &identity.eyes, &nuisance.expression);
    let grain = canvas.grain();
    let centre = (side * (eyes.apart + brows.inset), eyes.height - brows.above - expression.brow_lift);
    let slope = brows.tilt + expression.brow_turn;
    canvas.over_face(centre, 1.3 * brows.width, |u, v| {
        let x = side * (u - centre.0);
        let t = x / brows.width;
        let middle = slope * x - brows.arch * arch(t - 0.2);
        let half = 0.5 * brows.thickness * (1.0 - brows.taper * 0.5 * (t + 1.0)).max(0.25);
        let distance = ((v - centre.1 - middle).abs() - half).max((t.abs() - 1.0) * brows.width);
        (brows.colour, brows.density * soft(distance, 1.4 * grain))
    });
}

fn nose(canvas: &mut Canvas, identity: &Identity, skin: Rgb) {
    let (nose, grain) = (&identity.nose, canvas.grain());
    let (dark, bright) = (scale(skin, 1.0 - nose.relief), mix(skin, [1.0, 0.97, 0.93], nose.relief));
    let top = identity.eyes.height - 0.05;
    let middle = 0.5 * (top + nose.tip);
    for side in [-1.0, 1.0] {
        let from = (side * nose.bridge, top);
        let to = (nose.lean + side * nose.width * 0.8, nose.tip - 0.05);
        let shade = if side < 0.0 { 0.9 } else { 0.7 };
        canvas.over_face((0.5 * nose.lean, middle), 0.6 * (nose.tip - top) + nose.width, |u, v| {
            (dark, shade * soft(stroke(u, v, from, to, 0.035), 2.0 * grain))
        });
    }
    let tip = (nose.lean, nose.tip);
    canvas.over_face(tip, 2.2 * nose.width, |u, v| {
        let wing = (u - tip.0).abs() - nose.width;
        (dark, 0.9 * soft((ellipse(wing, v - tip.1, 0.055, 0.06)).abs() - 0.012, 1.5 * grain))
    });
    canvas.over_face((tip.0, tip.1 - 0.03), 2.0 * nose.ball, |u, v| {
        (bright, 0.8 * dome(((u - tip.0).powi(2) + (v - tip.1 + 0.03).powi(2)) / (1.5 * nose.ball).powi(2)))
    });
    canvas.over_face(tip, 2.0 * nose.width, |u, v| {
        let hole = ellipse((u - tip.0).abs() - 0.55 * nose.width, v - tip.1 - 0.03, 1.3 * nose.nostril, nose.nostril);
        (scale(skin, 0.25), 0.9 * soft(hole, grain))
    });
}

/// Moustache, goatee and whiskers along the jaw.
fn beard(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance) {
    let (beard, mouth, grain) = (&identity.beard, &identity.mouth, canvas.grain());
    let colour = mix(hair_colour(identity, nuisance), identity.brows.colour, 0.6);
    if 0.0 < beard.moustache {
        let centre = (0.0, mouth.height - mouth.upper - 0.5 * beard.moustache);
        let width = mouth.width * beard.reach;
        canvas.over_face(centre, 1.1 * width, |u, v| {
            let (t, y) = (u / width, v - centre.1 - 0.12 * (u / width).powi(2));
            (colour, 0.9 * soft((y.abs() - 0.5 * beard.moustache * arch(t)).max((t.abs() - 1.0) * width), 2.0 * grain))
        });
    }
    if 0.0 < beard.goatee {
        let centre = (0.0, 0.88);
        canvas.over_face(centre, 0.35, |u, v| {
            (colour, 0.9 * soft(ellipse(u, v - centre.1, beard.goatee, 0.17), 3.0 * grain))
        });
    }
    if 0.0 < beard.whiskers {
        canvas.over_face((0.0, 0.5), 0.9, |u, v| {
            let edge = identity.outline.distance(u, v);
            let inside = soft(-edge - beard.whiskers, 3.0 * grain).min(soft(edge, grain));
            (colour, 0.85 * inside * soft(-0.05 - v, 4.0 * grain))
        });
    }
}

fn mouth(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance, skin: Rgb) {
    let (mouth, expression, grain) = (&identity.mouth, &nuisance.expression, canvas.grain());
    let width = mouth.width * expression.stretch * (1.0 + 0.12 * expression.smile);
    let bend = mouth.curve - 0.075 * expression.smile;
    let (lipstick, painted) = nuisance.style.lipstick;
    let lips = mix(mouth.colour, lipstick, painted);
    let reach = 1.15 * width + mouth.lower;
    let centre = (0.0, mouth.height);
    let line = move |t: f32| bend * (t * t - 0.3);
    let upper = move |t: f32| mouth.upper * arch(t) * (1.0 - mouth.bow * hill(t / 0.3));
    let open = move |t: f32| expression.open * arch(t);
    canvas.over_face(centre, reach, |u, v| {
        let (t, y) = (u / width, v - centre.1);
        let (top, bottom) = (line(t) - upper(t), line(t) + open(t) + mouth.lower * arch(t));
        let colour = if y < line(t) { scale(lips, 0.85) } else { lips };
        (colour, soft(between(y, top, bottom).max((t.abs() - 1.0) * width), grain))
    });
    canvas.over_face(centre, reach, |u, v| {
        let (t, y) = (u / width, v - centre.1 - line(t_of(u, width)));
        let gap = between(y, -0.010, open(t) + 0.010);
        let teeth = y < 0.55 * open(t) && t.abs() < 0.85 && 0.05 < expression.open;
        let colour = if teeth { [0.92, 0.90, 0.85] } else { [0.20, 0.06, 0.06] };
        (colour, soft(gap.max((t.abs() - 1.0) * width), grain))
    });
    let shade = scale(skin, 0.65);
    canvas.over_face((0.0, mouth.height + mouth.lower + expression.open + 0.06), 0.22, |u, v| {
        let y = v - mouth.height - mouth.lower - expression.open - 0.06;
        (shade, mouth.dimple * 2.0 * dome((u / 0.16).powi(2) + (y / 0.05).powi(2)))
    });
}

fn t_of(u: f32, width: f32) -> f32 {
    (u / width).clamp(-1.1, 1.1)
}

/// Folds from the nose to the mouth, and lines on the forehead.
fn folds(canvas: &mut Canvas, identity: &Identity, skin: Rgb) {
    let (grain, dark) = (canvas.grain(), scale(skin, 0.6));
    let (nose, mouth) = (&identity.nose, &identity.mouth);
    for side in [-1.0, 1.0] {
        let from = (side * (nose.width + 0.09), nose.tip);
        let to = (side * (mouth.width + 0.06), mouth.height);
        let centre = (0.5 * (from.0 + to.0), 0.5 * (from.1 + to.1));
        canvas.over_face(centre, 0.3, |u, v| {
            (dark, identity.skin.folds * soft(stroke(u, v, from, to, 0.02), 2.0 * grain))
        });
    }
    for height in [-0.42, -0.5] {
        let (from, to) = ((-0.25, height), (0.25, height));
        let strength = identity.skin.forehead;
        canvas
            .over_face((0.0, height), 0.3, |u, v| (dark, strength * soft(stroke(u, v, from, to, 0.015), 2.0 * grain)));
    }
}
