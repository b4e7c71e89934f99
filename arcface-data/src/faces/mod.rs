//! Drawn faces: the traits of an identity and the circumstances of an image in, pixels out.
//! Knows no sources, labels or files.
//!
//! An image is painted from back to front (backdrop, shoulders, hair, ears, skin, features, hair line, hat, glasses,
//! whatever is in between), then lit, blurred, made noisy and rounded.

mod camera;
mod canvas;
mod features;
mod front;
mod head;
mod identity;
mod light;
mod nuisance;
mod outline;
mod pose;
mod random;
mod shape;

pub use identity::Identity;
pub use nuisance::Nuisance;

use crate::image::Image;
use canvas::Canvas;
use pose::Pose;

/// The face of `identity` under the circumstances `nuisance`, `size` × `size` pixels.
///
/// ```
/// use arcface_data::faces::{Identity, Nuisance, draw};
/// let (seed, number) = (0, 17);
/// let face = draw(&Identity::new(seed, number), &Nuisance::new(seed, number, 3, 1.0), 112);
/// assert_eq!(face.rgb.len(), 112 * 112 * 3);
/// ```
pub fn draw(identity: &Identity, nuisance: &Nuisance, size: usize) -> Image {
    let pose = Pose::new(&nuisance.pose, size);
    let mut canvas = Canvas::new(size, &pose);
    behind(&mut canvas, identity, nuisance);
    features::features(&mut canvas, identity, nuisance);
    in_front(&mut canvas, identity, nuisance);
    light::light(&mut canvas, &nuisance.light);
    let rgb = camera::develop(&canvas.pixels, size, &nuisance.camera);
    Image { width: size, height: size, rgb }
}

fn behind(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance) {
    let turn = nuisance.pose.yaw.sin();
    head::backdrop(canvas, &nuisance.backdrop);
    head::shoulders(canvas, identity, nuisance);
    head::hair_behind(canvas, identity, nuisance);
    head::ears(canvas, identity, nuisance, turn);
    head::skin(canvas, identity, nuisance, turn);
    head::marks(canvas, identity);
}

fn in_front(canvas: &mut Canvas, identity: &Identity, nuisance: &Nuisance) {
    front::hair(canvas, identity, nuisance);
    front::hat(canvas, identity, nuisance);
    if let Some(glasses) = &nuisance.glasses {
        front::glasses(canvas, identity, glasses);
    }
    if let Some(occluder) = &nuisance.occluder {
        front::occluder(canvas, occluder);
    }
}
