//! Which images of a set its sub-centers isolate as noise, by their angles to them (arXiv 1801.07698v4).
//! Knows no network and no file: embeddings and centers come in as values, K angles per image are all it keeps.

use arcface_core::{Error, Result, sphere};

/// The angle to the dominant sub-center beyond which an image is dropped, within (0°, 180°].
///
/// ```
/// use arcface_data::purify::MostAngle;
/// assert!((MostAngle::default().degrees() - 75.0).abs() < 1e-12);
/// assert!(MostAngle::new(1.3).is_ok() && MostAngle::new(0.0).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct MostAngle(f64);

impl Default for MostAngle {
    /// 75°, as in the paper.
    fn default() -> Self {
        Self(75.0)
    }
}

impl MostAngle {
    /// An angle of `degrees`.
    ///
    /// # Errors
    /// If it is not within (0, 180].
    pub fn new(degrees: f64) -> Result<Self> {
        if 0.0 < degrees && degrees <= 180.0 {
            return Ok(Self(degrees));
        }
        Err(Error::value("angle", "0 < degrees <= 180", degrees))
    }

    /// The value in degrees.
    pub fn degrees(self) -> f64 {
        self.0
    }
}

/// The sub-centers of all classes, (C, K, D).
#[derive(Debug, Clone, PartialEq)]
pub struct SubCenters {
    values: Vec<f32>,
    classes: usize,
    per_class: usize,
    size: usize,
}

impl SubCenters {
    /// From `values`, row by row.
    ///
    /// # Shapes
    /// `values`: (C, K, D) = `shape`.
    ///
    /// # Errors
    /// If the values are not as many as the shape says, or a center is zero or not finite; the message names it.
    pub fn new(values: Vec<f32>, shape: [usize; 3]) -> Result<Self> {
        let [classes, per_class, size] = shape;
        let expected = classes.saturating_mul(per_class).saturating_mul(size);
        if expected == 0 || values.len() != expected {
            let expected = format!("C·K·D = {expected} values, and more than 0");
            return Err(Error::value("sub-centers", expected, values.len()));
        }
        let is_direction = |row: &[f32]| {
            row.iter().all(|value| value.is_finite()) && row.iter().any(|value| f64::from(*value).abs() != 0.0)
        };
        if let Some(row) = values.chunks_exact(size).position(|row| !is_direction(row)) {
            let what = format!("sub-center {} of class {}", row % per_class, row / per_class);
            return Err(Error::value(what, "a finite vector with a direction", "another one"));
        }
        Ok(Self { values, classes, per_class, size })
    }

    /// C, K and D.
    pub fn shape(&self) -> [usize; 3] {
        [self.classes, self.per_class, self.size]
    }

    /// The angles in degrees between an embedding and the sub-centers of its class.
    ///
    /// # Shapes
    /// `embedding`: (D). The angles: (K).
    ///
    /// # Errors
    /// If there is no such class, or the embedding has another size or is zero or not finite.
    pub fn angles(&self, label: u32, embedding: &[f32]) -> Result<Vec<f32>> {
        if self.classes <= label as usize {
            return Err(Error::value("label", format!("below {} classes", self.classes), label));
        }
        if embedding.len() != self.size {
            return Err(Error::shape("embedding", format!("(D) with D = {}", self.size), &[embedding.len()]));
        }
        let embedding = wide(embedding);
        let length = sphere::dot(&embedding, &embedding).sqrt();
        if !(0.0 < length && length < f64::INFINITY) {
            return Err(Error::value("embedding", "a finite length above 0 (a diverged network gives others)", length));
        }
        let angle = |k| sphere::angle(&embedding, &wide(self.center(label, k))).to_degrees() as f32;
        Ok((0..self.per_class).map(angle).collect())
    }

    /// One center per class: sub-center `dominant[i]` of class `classes[i]`, as it was trained.
    ///
    /// # Shapes
    /// The centers: (C', D) row by row, C' the number of `classes`.
    ///
    /// # Panics
    /// If there is no such class or sub-center.
    pub fn folded(&self, classes: &[u32], dominant: &[u32]) -> Vec<f32> {
        let row = |(class, k): (&u32, &u32)| self.center(*class, *k as usize).to_vec();
        classes.iter().zip(dominant).flat_map(row).collect()
    }

    fn center(&self, class: u32, k: usize) -> &[f32] {
        &self.values[(class as usize * self.per_class + k) * self.size..][..self.size]
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Where an image lies among the sub-centers of its class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The nearest sub-center, the lowest of equally near ones.
    pub nearest: u32,
    /// Degrees to the dominant one.
    pub angle: f32,
    /// Degrees to the nearest of the others; NaN where there is none.
    pub other: f32,
}

/// Where all images of a set lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Places {
    labels: Vec<u32>,
    /// The sub-center of each class that is nearest to most of its images, the lowest of equal ones.
    dominant: Vec<u32>,
    /// `None` for an image without embedding.
    each: Vec<Option<Place>>,
}

impl Places {
    /// From the angles of every image to the K sub-centers of its class.
    ///
    /// An image whose angles are NaN has no embedding: it has no say and no place.
    ///
    /// # Shapes
    /// `angles`: (N, K) row by row, in degrees; `labels`: (N), below C = `classes`.
    ///
    /// # Errors
    /// If K is 0, the angles are not K for each label, or a label is too large.
    ///
    /// # Example
    /// ```
    /// use arcface_data::purify::{MostAngle, Places};
    /// // Three images of class 0: two near its second sub-center, one near the first.
    /// let places = Places::new(&[80.0, 20.0, 90.0, 30.0, 25.0, 95.0], 2, vec![0, 0, 0], 1)?;
    /// assert_eq!(places.dominant(), [1]);
    /// assert_eq!(places.clean(MostAngle::default()).kept, [0, 1]);
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn new(angles: &[f32], per_class: usize, labels: Vec<u32>, classes: usize) -> Result<Self> {
        if per_class == 0 || labels.len().checked_mul(per_class) != Some(angles.len()) {
            let expected = format!("(N, K) with N = {} and K = {per_class}, at least 1", labels.len());
            return Err(Error::shape("angles", expected, &[angles.len()]));
        }
        if let Some(index) = labels.iter().position(|label| classes <= *label as usize) {
            return Err(Error::value(
                format!("label of image {index}"),
                format!("below {classes} classes"),
                labels[index],
            ));
        }
        let rows = || angles.chunks_exact(per_class).map(usable);
        let mut votes = vec![0_u64; classes * per_class];
        for (row, label) in rows().zip(&labels) {
            if let Some(row) = row {
                votes[*label as usize * per_class + nearest(row)] += 1;
            }
        }
        let dominant: Vec<u32> = votes.chunks_exact(per_class).map(|votes| most(votes) as u32).collect();
        let place =
            |(row, label): (Option<&[f32]>, &u32)| row.map(|row| place(row, dominant[*label as usize] as usize));
        let each = rows().zip(&labels).map(place).collect();
        Ok(Self { labels, dominant, each })
    }

    /// The dominant sub-center of each class.
    pub fn dominant(&self) -> &[u32] {
        &self.dominant
    }

    /// The label of each image.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The place of each image, `None` for one without embedding.
    pub fn places(&self) -> &[Option<Place>] {
        &self.each
    }

    /// Whether the dominant sub-center of its class is the nearest to an image at `place`, one of class `label`.
    pub fn is_dominant(&self, label: u32, place: &Place) -> bool {
        self.dominant[label as usize] == place.nearest
    }

    /// What is left without the images beyond `most` and those without embedding.
    pub fn clean(&self, most: MostAngle) -> Cleaned {
        let kept: Vec<usize> = (0..self.each.len()).filter(|index| self.is_kept(*index, most)).collect();
        let mut images = vec![0_usize; self.dominant.len()];
        for index in &kept {
            images[self.labels[*index] as usize] += 1;
        }
        let (emptied, classes) = (0..images.len() as u32).partition(|label| images[*label as usize] == 0);
        Cleaned { kept, classes, emptied }
    }

    /// Counts by sub-center and truth; `noisy` tells whether the label of an image is wrong.
    ///
    /// Images without embedding are in no group.
    pub fn groups(&self, most: MostAngle, noisy: impl Fn(usize) -> bool) -> Groups {
        let mut groups = Groups::default();
        for (index, (place, label)) in self.each.iter().zip(&self.labels).enumerate() {
            let Some(place) = place else { continue };
            let share = if self.is_dominant(*label, place) { &mut groups.dominant } else { &mut groups.other };
            let (group, dropped) = if noisy(index) {
                (&mut share.noisy, &mut groups.dropped.noisy)
            } else {
                (&mut share.clean, &mut groups.dropped.clean)
            };
            *group += 1;
            *dropped += usize::from(!self.is_kept(index, most));
        }
        groups
    }

    fn is_kept(&self, index: usize, most: MostAngle) -> bool {
        self.each[index].is_some_and(|place| f64::from(place.angle) <= most.degrees())
    }
}

/// What is left of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// The images that are kept, in their order.
    pub kept: Vec<usize>,
    /// The old labels of the identities that are left; their places are the new labels.
    pub classes: Vec<u32>,
    /// The old labels of those that have no image left.
    pub emptied: Vec<u32>,
}

/// Images by the truth of their labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// With the right label, or all where the truth is not known.
    pub clean: usize,
    /// With a wrong label.
    pub noisy: usize,
}

impl Counts {
    /// Both.
    pub fn all(self) -> usize {
        self.clean + self.noisy
    }

    /// Of both, the noisy.
    pub fn noise(self) -> Option<f64> {
        share(self.noisy, self.all())
    }
}

/// The images by nearest sub-center and truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Groups {
    /// Nearest to the dominant sub-center.
    pub dominant: Counts,
    /// Nearest to another one.
    pub other: Counts,
    /// Beyond the angle, whichever is nearest.
    pub dropped: Counts,
}

impl Groups {
    /// Images in all groups.
    pub fn all(&self) -> usize {
        self.dominant.all() + self.other.all()
    }

    /// Images with a wrong label.
    pub fn noisy(&self) -> usize {
        self.dominant.noisy + self.other.noisy
    }

    /// Of the dropped images, those with a wrong label; `None` if none is dropped.
    pub fn precision(&self) -> Option<f64> {
        self.dropped.noise()
    }

    /// Of the images with a wrong label, those that are dropped; `None` if there is none.
    pub fn recall(&self) -> Option<f64> {
        share(self.dropped.noisy, self.noisy())
    }
}

fn share(part: usize, of: usize) -> Option<f64> {
    (0 < of).then(|| part as f64 / of as f64)
}

/// The angles of an image, if it has some.
fn usable(row: &[f32]) -> Option<&[f32]> {
    row.iter().all(|angle| !angle.is_nan()).then_some(row)
}

/// The place of the smallest, the lowest of equal ones.
fn nearest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, k| if row[k] < row[best] { k } else { best })
}

/// The place of the largest, the lowest of equal ones.
fn most(votes: &[u64]) -> usize {
    (1..votes.len()).fold(0, |best, k| if votes[best] < votes[k] { k } else { best })
}

fn place(row: &[f32], dominant: usize) -> Place {
    let others = row.iter().enumerate().filter(|(k, _)| *k != dominant).map(|(_, angle)| *angle);
    Place { nearest: nearest(row) as u32, angle: row[dominant], other: others.fold(f32::NAN, f32::min) }
}
