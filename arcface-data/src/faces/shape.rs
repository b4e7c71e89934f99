//! Distances to simple shapes, negative inside, for soft edges.
//! Knows no canvas and no colours.

/// Distance to an ellipse around the origin, first order.
pub(super) fn ellipse(x: f32, y: f32, rx: f32, ry: f32) -> f32 {
    let (qx, qy) = (x / rx, y / ry);
    let level = (qx * qx + qy * qy).sqrt();
    let slope = ((qx / rx).powi(2) + (qy / ry).powi(2)).sqrt().max(1e-3);
    level * (level - 1.0) / slope
}

/// Distance to a line from `from` to `to` whose ends are round and half as thick as `thickness`.
pub(super) fn stroke(x: f32, y: f32, from: (f32, f32), to: (f32, f32), thickness: f32) -> f32 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let (px, py) = (x - from.0, y - from.1);
    let along = ((px * dx + py * dy) / (dx * dx + dy * dy).max(1e-9)).clamp(0.0, 1.0);
    let (rx, ry) = (px - along * dx, py - along * dy);
    (rx * rx + ry * ry).sqrt() - 0.5 * thickness
}

/// Distance to what lies between two heights (`top` < `bottom` where there is anything).
pub(super) fn between(y: f32, top: f32, bottom: f32) -> f32 {
    (top - y).max(y - bottom)
}

/// 1 in the middle, 0 at −1, 1 and beyond: the profile of lids, lips and brows.
pub(super) fn arch(t: f32) -> f32 {
    (1.0 - t * t).max(0.0)
}

/// A smooth hill of height 1 around 0 that ends at ±1.
pub(super) fn hill(t: f32) -> f32 {
    dome(t * t)
}

/// A smooth hill of height 1 over a disc, by the square of the distance from its middle; it ends at 1.
pub(super) fn dome(square: f32) -> f32 {
    let base = (1.0 - square).max(0.0);
    base * base
}

/// Rises smoothly from 0 at `from` to 1 at `to`.
pub(super) fn rise(from: f32, to: f32, value: f32) -> f32 {
    let t = ((value - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
