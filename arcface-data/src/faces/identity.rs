//! What makes a drawn face someone's: lengths, places and colours that every image of an identity shares.
//! Knows no pose, no light and no pixels.

use std::f32::consts::FRAC_PI_2;

use arcface_core::seed::{Purpose, rng};
use rand::Rng;

use super::canvas::{Rgb, mix, scale};
use super::outline::{Measures, Outline};
use super::random::{around, between, chance};

/// The traits of one identity, a pure function of (seed, number).
#[derive(Debug, Clone)]
pub struct Identity {
    pub(super) outline: Outline,
    pub(super) eyes: Eyes,
    pub(super) brows: Brows,
    pub(super) nose: Nose,
    pub(super) mouth: Mouth,
    pub(super) ears: Ears,
    pub(super) hair: Hair,
    pub(super) beard: Beard,
    pub(super) skin: Skin,
    pub(super) marks: Vec<Mark>,
}

/// Both eyes; lengths in the units of the head's plane.
#[derive(Debug, Clone)]
pub(super) struct Eyes {
    pub(super) apart: f32,
    pub(super) height: f32,
    pub(super) width: f32,
    pub(super) opening: f32,
    pub(super) tilt: f32,
    pub(super) skew: f32,
    pub(super) lower: f32,
    pub(super) iris: f32,
    pub(super) colour: Rgb,
    pub(super) fold: f32,
    pub(super) socket: f32,
    pub(super) lash: f32,
}

/// Both brows.
#[derive(Debug, Clone)]
pub(super) struct Brows {
    pub(super) above: f32,
    pub(super) inset: f32,
    pub(super) width: f32,
    pub(super) thickness: f32,
    pub(super) taper: f32,
    pub(super) tilt: f32,
    pub(super) arch: f32,
    pub(super) density: f32,
    pub(super) colour: Rgb,
}

/// The nose.
#[derive(Debug, Clone)]
pub(super) struct Nose {
    pub(super) tip: f32,
    pub(super) width: f32,
    pub(super) bridge: f32,
    pub(super) ball: f32,
    pub(super) nostril: f32,
    pub(super) lean: f32,
    pub(super) relief: f32,
}

/// The mouth at rest.
#[derive(Debug, Clone)]
pub(super) struct Mouth {
    pub(super) height: f32,
    pub(super) width: f32,
    pub(super) upper: f32,
    pub(super) lower: f32,
    pub(super) bow: f32,
    pub(super) curve: f32,
    pub(super) colour: Rgb,
    pub(super) dimple: f32,
}

/// Both ears.
#[derive(Debug, Clone)]
pub(super) struct Ears {
    pub(super) height: f32,
    pub(super) length: f32,
    pub(super) out: f32,
}

/// Hair as it grows; how it is worn belongs to an image.
#[derive(Debug, Clone)]
pub(super) struct Hair {
    pub(super) line: f32,
    pub(super) peak: f32,
    pub(super) round: f32,
    pub(super) colour: Rgb,
}

/// Hair on the lip, the chin and the cheeks; 0 where there is none.
#[derive(Debug, Clone)]
pub(super) struct Beard {
    pub(super) moustache: f32,
    pub(super) goatee: f32,
    pub(super) whiskers: f32,
    pub(super) reach: f32,
}

/// The skin and its slow changes of tone.
#[derive(Debug, Clone)]
pub(super) struct Skin {
    pub(super) colour: Rgb,
    pub(super) patches: [[f32; Skin::CELLS]; Skin::CELLS],
    pub(super) blush: (f32, f32, f32),
    pub(super) folds: f32,
    pub(super) forehead: f32,
}

impl Skin {
    /// Cells along an edge of the grid of tones.
    pub(super) const CELLS: usize = 9;
}

/// Something small at one place of the face.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) at: (f32, f32),
    pub(super) radius: f32,
    pub(super) kind: MarkKind,
}

/// What a [`Mark`] looks like.
#[derive(Debug, Clone)]
pub(super) enum MarkKind {
    /// A dark mole.
    Mole,
    /// A faint freckle.
    Freckle,
    /// A patch of another colour, longer than wide by a factor, turned by an angle.
    Patch { colour: Rgb, long: f32, angle: f32 },
    /// A scar in a direction.
    Scar { angle: f32 },
}

impl Identity {
    /// The identity with this number.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut rng = rng(seed, Purpose::Procedural, number, 0);
        let rng = &mut rng;
        let skin = skin(rng);
        Self {
            outline: Outline::new(&measures(rng)),
            eyes: eyes(rng),
            brows: brows(rng),
            nose: nose(rng),
            mouth: mouth(rng, skin.colour),
            ears: Ears { height: around(rng, 0.09), length: between(rng, 0.16, 0.27), out: between(rng, 0.03, 0.14) },
            hair: hair(rng),
            beard: beard(rng),
            marks: marks(rng, skin.colour),
            skin,
        }
    }
}

fn measures(rng: &mut impl Rng) -> Measures {
    let cheek = between(rng, 0.66, 0.80);
    Measures {
        crown: between(rng, 0.95, 1.05),
        temple: between(rng, 0.84, 0.94),
        cheek,
        jaw: between(rng, 0.76, 0.92) + 0.3 * (cheek - 0.73),
        chin_corner: between(rng, 0.82, 1.0),
        chin: between(rng, 0.90, 1.08),
    }
}

fn eyes(rng: &mut impl Rng) -> Eyes {
    let width = between(rng, 0.12, 0.20);
    Eyes {
        apart: between(rng, 0.245, 0.365),
        height: between(rng, -0.16, 0.02),
        width,
        opening: width * between(rng, 0.38, 0.75),
        tilt: between(rng, -0.22, 0.28),
        skew: around(rng, 0.45),
        lower: between(rng, 0.35, 0.8),
        iris: between(rng, 0.055, 0.10),
        colour: iris(rng),
        fold: between(rng, 0.02, 0.075),
        socket: between(rng, 0.0, 0.35),
        lash: between(rng, 0.015, 0.04),
    }
}

fn iris(rng: &mut impl Rng) -> Rgb {
    const COLOURS: [Rgb; 4] = [[0.22, 0.12, 0.06], [0.25, 0.45, 0.68], [0.28, 0.48, 0.28], [0.50, 0.52, 0.52]];
    let (first, second) = (rng.random_range(0..4), rng.random_range(0..4));
    scale(mix(COLOURS[first], COLOURS[second], 0.5 * rng.random::<f32>()), between(rng, 0.75, 1.25))
}

fn brows(rng: &mut impl Rng) -> Brows {
    Brows {
        above: between(rng, 0.13, 0.26),
        inset: around(rng, 0.06),
        width: between(rng, 0.11, 0.24),
        thickness: between(rng, 0.02, 0.085),
        taper: between(rng, -0.3, 0.9),
        tilt: between(rng, -0.35, 0.3),
        arch: between(rng, -0.01, 0.09),
        density: between(rng, 0.6, 1.0),
        colour: scale(natural(rng), 0.7),
    }
}

fn nose(rng: &mut impl Rng) -> Nose {
    Nose {
        tip: between(rng, 0.24, 0.42),
        width: between(rng, 0.09, 0.19),
        bridge: between(rng, 0.03, 0.085),
        ball: between(rng, 0.04, 0.095),
        nostril: between(rng, 0.018, 0.042),
        lean: around(rng, 0.035),
        relief: between(rng, 0.10, 0.32),
    }
}

fn mouth(rng: &mut impl Rng, skin: Rgb) -> Mouth {
    let red = [between(rng, 0.55, 0.85), between(rng, 0.18, 0.42), between(rng, 0.2, 0.45)];
    Mouth {
        height: between(rng, 0.54, 0.70),
        width: between(rng, 0.17, 0.33),
        upper: between(rng, 0.02, 0.085),
        lower: between(rng, 0.03, 0.11),
        bow: between(rng, 0.0, 0.65),
        curve: between(rng, -0.04, 0.045),
        colour: mix(skin, red, between(rng, 0.35, 0.85)),
        dimple: between(rng, 0.0, 0.25),
    }
}

/// A colour that hair grows in.
fn natural(rng: &mut impl Rng) -> Rgb {
    const COLOURS: [Rgb; 5] =
        [[0.07, 0.06, 0.06], [0.30, 0.19, 0.12], [0.78, 0.62, 0.36], [0.58, 0.27, 0.12], [0.62, 0.61, 0.60]];
    let (first, second) = (rng.random_range(0..5), rng.random_range(0..5));
    mix(COLOURS[first], COLOURS[second], 0.5 * rng.random::<f32>())
}

fn hair(rng: &mut impl Rng) -> Hair {
    Hair {
        line: between(rng, -0.74, -0.46),
        peak: around(rng, 0.11),
        round: between(rng, -0.05, 0.5),
        colour: natural(rng),
    }
}

/// A third of all faces wear each part of a beard.
fn beard(rng: &mut impl Rng) -> Beard {
    let mut part = |low, high| {
        let size = between(rng, low, high);
        if chance(rng, 0.33) { size } else { 0.0 }
    };
    Beard {
        moustache: part(0.03, 0.09),
        goatee: part(0.08, 0.2),
        whiskers: part(0.06, 0.22),
        reach: between(rng, 0.7, 1.5),
    }
}

fn skin(rng: &mut impl Rng) -> Skin {
    let tone = mix([0.90, 0.74, 0.64], [0.60, 0.43, 0.34], rng.random::<f32>());
    Skin {
        colour: tone.map(|channel| channel * between(rng, 0.95, 1.05)),
        patches: std::array::from_fn(|_| std::array::from_fn(|_| around(rng, 0.10))),
        blush: (between(rng, 0.25, 0.5), between(rng, 0.15, 0.5), between(rng, 0.0, 0.35)),
        folds: between(rng, 0.0, 0.35),
        forehead: between(rng, 0.0, 0.3),
    }
}

fn marks(rng: &mut impl Rng, skin: Rgb) -> Vec<Mark> {
    let freckles = if chance(rng, 0.3) { rng.random_range(10..40) } else { 0 };
    let moles = rng.random_range(0..6);
    let patches = rng.random_range(0..4);
    let scars = usize::from(chance(rng, 0.4));
    let patches = (0..patches).map(|_| patch(rng, skin)).collect::<Vec<_>>();
    let scars = (0..scars).map(|_| scar(rng)).collect::<Vec<_>>();
    let freckles = (0..freckles).map(|_| freckle(rng)).collect::<Vec<_>>();
    let moles = (0..moles).map(|_| mole(rng)).collect::<Vec<_>>();
    [patches, scars, freckles, moles].concat()
}

/// A place on the bare skin: anywhere from the forehead to the chin.
fn place(rng: &mut impl Rng) -> (f32, f32) {
    let v = between(rng, -0.45, 0.85);
    let half = 0.58 * (1.0 - (0.75 * v).powi(2)).sqrt();
    (around(rng, half), v)
}

fn mole(rng: &mut impl Rng) -> Mark {
    Mark { at: place(rng), radius: between(rng, 0.02, 0.055), kind: MarkKind::Mole }
}

fn freckle(rng: &mut impl Rng) -> Mark {
    let at = (around(rng, 0.55), between(rng, 0.0, 0.45));
    Mark { at, radius: between(rng, 0.010, 0.022), kind: MarkKind::Freckle }
}

fn patch(rng: &mut impl Rng, skin: Rgb) -> Mark {
    let tint = if chance(rng, 0.6) { [0.66, 0.26, 0.26] } else { [0.36, 0.22, 0.14] };
    let colour = mix(skin, tint, between(rng, 0.4, 0.8));
    let kind = MarkKind::Patch { colour, long: between(rng, 1.0, 2.0), angle: around(rng, FRAC_PI_2) };
    Mark { at: place(rng), radius: between(rng, 0.06, 0.15), kind }
}

fn scar(rng: &mut impl Rng) -> Mark {
    Mark { at: place(rng), radius: between(rng, 0.06, 0.16), kind: MarkKind::Scar { angle: around(rng, FRAC_PI_2) } }
}
