//! Five landmarks of a face → the similarity transform onto the template → the aligned crop.
//! Knows no detector: landmarks are given. Knows files only as [lists of landmarks](LandmarkList).

mod columns;
mod list;

use arcface_core::{Error, Result};

use crate::image::Image;

pub use list::{Found, LandmarkList, Listed, Sides};

/// A place in an image: column and row, where whole numbers are the middles of pixels.
pub type Point = [f64; 2];

/// What the five landmarks are called, in their order; left and right as seen in the image.
pub const NAMES: [&str; 5] = ["left eye", "right eye", "nose", "left corner of the mouth", "right corner of the mouth"];

/// The side of the crop that [`TEMPLATE`] is made for.
pub const TEMPLATE_SIZE: usize = 112;

/// Where the landmarks lie in the crop of 112×112 that ArcFace's networks are trained on.
pub const TEMPLATE: [Point; 5] =
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];

/// The longest side of a crop.
pub const MAX_SIZE: usize = 4096;

/// Coordinates beyond this are no places in an image.
const FARTHEST: f64 = 1e6;

/// Points nearer than this fraction of the landmarks' spread are one point.
const NEAREST: f64 = 1e-3;

/// The landmarks' spread across their longest direction, as a fraction of that along it, below which they are a line.
/// The narrowest of 21,830 faces of LFW and of film actors, in every pose, has 0.41.
const NARROWEST: f64 = 0.02;

/// Landmarks may lie outside of a tight crop, but no farther than this fraction of its longer side.
const OUTSIDE: f64 = 0.5;

/// Five points that can be those of a face: left eye, right eye, nose, left and right corner of the mouth, as seen in
/// the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Landmarks([Point; 5]);

impl Landmarks {
    /// The landmarks at `points`, in the order of [`NAMES`]; the face may be turned by any angle.
    ///
    /// # Errors
    /// If there are not five points, a coordinate is not finite, two points coincide, all lie on one line, or left and
    /// right are exchanged: a crop would then show the mirror image, so it is said instead.
    ///
    /// # Example
    /// ```
    /// use arcface_data::align::{Landmarks, TEMPLATE};
    /// assert!(Landmarks::new(&TEMPLATE).is_ok());
    /// let [left, right, nose, mouth_left, mouth_right] = TEMPLATE;
    /// assert!(Landmarks::new(&[right, left, nose, mouth_right, mouth_left]).is_err());
    /// ```
    pub fn new(points: &[Point]) -> Result<Self> {
        let five = points.try_into();
        let points = five.map_err(|_| Error::value("landmarks", "5 points", points.len()))?;
        check_finite(&points)?;
        check_distinct(&points)?;
        check_spread(&points)?;
        check_sides(&points)?;
        Ok(Self(points))
    }

    /// The five points.
    pub fn points(&self) -> &[Point; 5] {
        &self.0
    }

    /// Whether the landmarks can belong to an image of that size; up to half of its longer side beyond it they may lie.
    ///
    /// # Errors
    /// If one lies farther outside; the error names it.
    pub fn check_within(&self, width: usize, height: usize) -> Result<()> {
        let margin = OUTSIDE * width.max(height) as f64;
        let inside = |at: f64, side: usize| -margin <= at && at <= side as f64 - 1.0 + margin;
        let outside = self.0.iter().zip(NAMES).find(|([x, y], _)| !inside(*x, width) || !inside(*y, height));
        outside.map_or(Ok(()), |([x, y], name)| {
            let expected = format!("a place in the image of {width}×{height} pixels");
            Err(Error::value(name, expected, format!("({x}, {y}); does the list belong to these images?")))
        })
    }
}

/// A rotation, a uniform scaling and a shift: (x, y) → (a·x − b·y + tx, b·x + a·y + ty). It never mirrors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Scale · cosine of the angle.
    pub a: f64,
    /// Scale · sine of the angle, which turns x towards y.
    pub b: f64,
    /// Shift along x and y.
    pub shift: Point,
}

impl Similarity {
    /// The similarity that brings `from` nearest to `to`: the least sum of squared distances.
    ///
    /// In the plane and without reflections this is Umeyama's (1991) solution. With the points as complex numbers p and
    /// q about their means it is q ≈ (Σ p̄·q / Σ |p|²)·p, which needs no singular values.
    ///
    /// # Errors
    /// If the points of either side coincide, are fewer than two or not equally many.
    ///
    /// # Example
    /// ```
    /// use arcface_data::align::Similarity;
    /// // A quarter turn, twice as large.
    /// let found = Similarity::fit(&[[0.0, 0.0], [1.0, 0.0]], &[[5.0, 5.0], [5.0, 7.0]])?;
    /// assert_eq!(found.apply([0.0, 1.0]), [3.0, 5.0]);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn fit(from: &[Point], to: &[Point]) -> Result<Self> {
        if from.len() != to.len() || from.len() < 2 {
            let got = format!("{} and {}", from.len(), to.len());
            return Err(Error::value(
                "points of a similarity transform",
                "at least 2 on both sides, equally many",
                got,
            ));
        }
        let (from_mean, to_mean) = (mean(from), mean(to));
        let (mut length, mut along, mut across) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let ([px, py], [qx, qy]) = (minus(*p, from_mean), minus(*q, to_mean));
            length += px * px + py * py;
            along += px * qx + py * qy;
            across += px * qy - py * qx;
        }
        let (a, b) = (along / length, across / length);
        if !(a.is_finite() && b.is_finite() && 0.0 < a.hypot(b)) {
            return Err(Error::value(
                "points of a similarity transform",
                "finite points that differ",
                "points that coincide or are infinite",
            ));
        }
        let linear = Self { a, b, shift: [0.0; 2] };
        Ok(Self { shift: minus(to_mean, linear.apply(from_mean)), ..linear })
    }

    /// Where `point` comes to lie.
    pub fn apply(&self, [x, y]: Point) -> Point {
        [self.a * x - self.b * y + self.shift[0], self.b * x + self.a * y + self.shift[1]]
    }

    /// The way back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let linear = Self { a: self.a / square, b: -self.b / square, shift: [0.0; 2] };
        let [x, y] = linear.apply(self.shift);
        Self { shift: [-x, -y], ..linear }
    }

    /// The two rows of its matrix, as `warpAffine` of OpenCV takes them.
    pub fn matrix(&self) -> [[f64; 3]; 2] {
        let Self { a, b, shift: [x, y] } = *self;
        [[a, -b, x], [b, a, y]]
    }

    /// How much longer lines become.
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }
}

/// The transform from the image of `landmarks` to its crop of `size`×`size`: the template is scaled with the size.
///
/// At 112 it is that of insightface's `norm_crop`. At other sizes that function pads the template at multiples of 128;
/// this one never does, so that all sizes show the same part of the face.
///
/// # Errors
/// If `size` is out of range.
pub fn transform(landmarks: &Landmarks, size: usize) -> Result<Similarity> {
    if size < 1 || MAX_SIZE < size {
        return Err(Error::value("size of an aligned crop", format!("1 to {MAX_SIZE} pixels"), size));
    }
    let ratio = size as f64 / TEMPLATE_SIZE as f64;
    Similarity::fit(&landmarks.0, &TEMPLATE.map(|point| point.map(|at| ratio * at)))
}

/// The aligned crop of a face: `size`×`size` pixels, bilinear, black where it reaches over the edge of the image.
///
/// The pixels are those of insightface's `norm_crop` (`warpAffine` of OpenCV): whole numbers are the middles of
/// pixels. Of the 903,168 values of 24 crops of LFW, OpenCV 5.0 has 36 otherwise, by 1 grey level; OpenCV 4.10, which
/// rounds places to 1/32 of a pixel, 60,387, by at most 2. Like theirs, a reduction does not average: a face much larger
/// than the crop should be reduced first.
///
/// # Errors
/// If `size` is out of range, or the landmarks lie outside of the image.
///
/// # Example
/// ```
/// use arcface_data::Image;
/// use arcface_data::align::{Landmarks, TEMPLATE, aligned};
/// let image = Image::filled(112, 112, [10, 20, 30]);
/// assert_eq!(aligned(&image, &Landmarks::new(&TEMPLATE)?, 112)?, image);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn aligned(image: &Image, landmarks: &Landmarks, size: usize) -> Result<Image> {
    landmarks.check_within(image.width, image.height)?;
    Ok(warp(image, &transform(landmarks, size)?.inverse(), size))
}

/// The crop whose pixel (x, y) is the colour at `back` of it.
fn warp(image: &Image, back: &Similarity, size: usize) -> Image {
    let pixels = (0..size * size).map(|index| [(index % size) as f64, (index / size) as f64]);
    let rgb = pixels.flat_map(|pixel| colour(image, back.apply(pixel))).collect();
    Image { width: size, height: size, rgb }
}

/// The colour at a place between four pixels; pixels outside of the image are black.
fn colour(image: &Image, [x, y]: Point) -> [u8; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let corners = [
        (left, top, (1.0 - fx) * (1.0 - fy)),
        (left + 1.0, top, fx * (1.0 - fy)),
        (left, top + 1.0, (1.0 - fx) * fy),
        (left + 1.0, top + 1.0, fx * fy),
    ];
    let mut sum = [0.0; 3];
    for (x, y, weight) in corners {
        if 0.0 <= x && x < image.width as f64 && 0.0 <= y && y < image.height as f64 {
            let pixel = image.pixel(x as usize, y as usize);
            sum = std::array::from_fn(|channel| sum[channel] + weight * f64::from(pixel[channel]));
        }
    }
    sum.map(|value| value.round_ties_even() as u8)
}

fn check_finite(points: &[Point; 5]) -> Result<()> {
    let named = points.iter().zip(NAMES).flat_map(|(point, name)| [(name, "x", point[0]), (name, "y", point[1])]);
    let fault = named.into_iter().find(|(_, _, at)| at.is_nan() || FARTHEST < at.abs());
    fault.map_or(Ok(()), |(name, axis, at)| {
        Err(Error::value(format!("{axis} of the {name}"), format!("a number within ±{FARTHEST}"), at))
    })
}

fn check_distinct(points: &[Point; 5]) -> Result<()> {
    let spread = moments(points).0.sqrt();
    for (index, point) in points.iter().enumerate() {
        for (other, name) in points[..index].iter().zip(NAMES) {
            let [dx, dy] = minus(*point, *other);
            if dx.hypot(dy) <= NEAREST * spread {
                let what = format!("{name} and {}", NAMES[index]);
                return Err(Error::value(what, "two places", format!("one, ({}, {})", point[0], point[1])));
            }
        }
    }
    Ok(())
}

fn check_spread(points: &[Point; 5]) -> Result<()> {
    let (along, across) = moments(points);
    if NARROWEST * NARROWEST * along < across {
        return Ok(());
    }
    Err(Error::value("landmarks", "five points of a face", format!("five points on a line, {points:?}")))
}

/// With the eyes level and the left one to the left, the mouth must lie below and its left corner to the left.
fn check_sides(points: &[Point; 5]) -> Result<()> {
    let [left_eye, right_eye, _, left_mouth, right_mouth] = *points;
    let eyes = minus(right_eye, left_eye);
    let mouth = minus(right_mouth, left_mouth);
    let down = minus(mean(&[left_mouth, right_mouth]), mean(&[left_eye, right_eye]));
    if eyes[0] * mouth[0] + eyes[1] * mouth[1] <= 0.0 {
        return Err(exchanged("the corners of the mouth are not in the order of the eyes"));
    }
    if 0.0 < eyes[0] * down[1] - eyes[1] * down[0] {
        return Ok(());
    }
    let below = mean(&[left_eye, right_eye])[1] < mean(&[left_mouth, right_mouth])[1];
    Err(exchanged(if below {
        "the left eye lies to the right of the right eye"
    } else {
        "the mouth lies above the eyes"
    }))
}

fn exchanged(what: &str) -> Error {
    Error::Invalid(format!(
        "landmarks: {what}; left and right are meant as seen in the image, exchange them if the list means the person's"
    ))
}

/// Variance along the points' longest direction and across it.
fn moments(points: &[Point; 5]) -> (f64, f64) {
    let middle = mean(points);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for point in points {
        let [x, y] = minus(*point, middle);
        (xx, xy, yy) = (xx + x * x / 5.0, xy + x * y / 5.0, yy + y * y / 5.0);
    }
    let (half, root) = (f64::midpoint(xx, yy), ((xx - yy) / 2.0).hypot(xy));
    (half + root, half - root)
}

fn mean(points: &[Point]) -> Point {
    let sum = |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>();
    [0, 1].map(|axis| sum(axis) / points.len() as f64)
}

fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}
