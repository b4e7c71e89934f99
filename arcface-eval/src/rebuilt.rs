//! Faces that were made again from embeddings, as a network sees them: how near they are to what they were to show, and
//! whether they pass for the person.
//! Knows no image and no inversion; embeddings come in.

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::bootstrap::Estimate;
use crate::exact::Ranked;
use crate::roc::{Bootstrap, Interval};
use crate::significance::share;
use crate::similarity::Embeddings;

/// Coverage of the intervals.
const LEVEL: f64 = 0.95;
/// Folds of the protocol, where there are people enough.
const FOLDS: usize = 10;
/// A fold holds an impostor pair of its own people.
const LEAST_OF_FOLD: usize = 2;

/// How far made faces pass for the people whose embeddings they were made from.
///
/// Each is compared with *another* face of its person, as in Section 4.5 of `ArcFace` (arXiv 1801.07698v4), and with
/// those of all other people.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Passing {
    /// Mean cosine to the other face of the same person, over people.
    pub cosine: Estimate,
    /// Share that is accepted as the person at the threshold that was given.
    pub verified: Estimate,
    /// Share that is accepted as somebody else at it, of all pairs of a face and somebody else.
    pub false_accepts: f64,
    /// Accuracy as on LFW: as many impostor pairs as genuine ones, the threshold of each fold from the others, in the middle
    /// of those that are equally good. `None` where the people are too few for two folds.
    pub accuracy: Option<Estimate>,
}

/// The mean cosine of faces to their targets, over faces; row i of `made` was made from row i of `targets`.
///
/// # Errors
/// If there is none, or numbers or sizes differ.
///
/// # Example
/// ```
/// use arcface_eval::{Embeddings, rebuilt};
/// let targets = Embeddings::normalised(&[1.0, 0.0, 0.0, 1.0], 2)?;
/// let made = Embeddings::normalised(&[3.0, 4.0, 0.0, 2.0], 2)?;
/// assert!((rebuilt::cosine(&made, &targets)?.value - 0.8).abs() < 1e-7);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn cosine(made: &Embeddings, targets: &Embeddings) -> Result<Estimate> {
    check(made, targets)?;
    mean(&(0..made.len()).map(|row| cos(made.row(row), targets.row(row))).collect::<Vec<_>>())
}

/// Compares row i of `faces`, which is to pass for person i, with row i of `others`, another face of that person.
///
/// A pair is accepted if its squared distance is not above `threshold`, which real pairs are to give.
///
/// # Errors
/// If there are fewer than two people, or numbers or sizes differ.
pub fn passing(faces: &Embeddings, others: &Embeddings, threshold: f64) -> Result<Passing> {
    check(faces, others)?;
    let people = faces.len();
    if people < 2 {
        return Err(Error::value("faces", "two people or more, so that there are impostor pairs", people));
    }
    let distance = |a: usize, b: usize| distance(faces, a, others, b);
    let genuine: Vec<f64> = (0..people).map(|person| distance(person, person)).collect();
    let accepted = genuine.iter().filter(|distance| **distance <= threshold).count();
    let pairs = (0..people).flat_map(|a| (0..people).filter(move |b| *b != a).map(move |b| (a, b)));
    let false_accepts = pairs.filter(|&(a, b)| distance(a, b) <= threshold).count();
    Ok(Passing {
        cosine: mean(&genuine.iter().map(|distance| 1.0 - 0.5 * distance).collect::<Vec<_>>())?,
        verified: estimate(accepted, people),
        false_accepts: false_accepts as f64 / (people * (people - 1)) as f64,
        accuracy: accuracy(&genuine, distance),
    })
}

/// How much nearer faces are to their targets than others that were made from the same: the mean difference of cosines.
///
/// Row i of all three belongs to one face, and the interval is that of drawing faces again, each with both that were made of
/// it: what the targets differ in falls away.
///
/// # Errors
/// If there is none, or numbers or sizes differ.
///
/// # Example
/// ```
/// use arcface_eval::{Embeddings, rebuilt};
/// let targets = Embeddings::normalised(&[1.0, 0.0, 0.0, 1.0], 2)?;
/// let made = Embeddings::normalised(&[3.0, 4.0, 0.0, 2.0], 2)?;
/// let before = Embeddings::normalised(&[0.0, 1.0, 4.0, 3.0], 2)?;
/// assert!((rebuilt::cosine_gain(&made, &before, &targets)?.value - 0.5).abs() < 1e-7);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn cosine_gain(made: &Embeddings, before: &Embeddings, targets: &Embeddings) -> Result<Estimate> {
    check(made, targets)?;
    check(before, targets)?;
    let gain = |row: usize| cos(made.row(row), targets.row(row)) - cos(before.row(row), targets.row(row));
    mean(&(0..made.len()).map(gain).collect::<Vec<_>>())
}

/// How many more faces pass for their people than of others that were made from the same, as a share of all faces.
///
/// As [`passing`] accepts them, and with intervals as of [`cosine_gain`].
///
/// # Errors
/// If there is none, or numbers or sizes differ.
pub fn verified_gain(made: &Embeddings, before: &Embeddings, others: &Embeddings, threshold: f64) -> Result<Estimate> {
    check(made, others)?;
    check(before, others)?;
    let passes = |faces: &Embeddings, row: usize| f64::from(u8::from(distance(faces, row, others, row) <= threshold));
    mean(&(0..made.len()).map(|row| passes(made, row) - passes(before, row)).collect::<Vec<_>>())
}

/// As on LFW. A person's impostor is the next of the same fold, so that folds share nobody.
fn accuracy(genuine: &[f64], distance: impl Fn(usize, usize) -> f64) -> Option<Estimate> {
    let people = genuine.len();
    let folds = FOLDS.min(people / LEAST_OF_FOLD);
    if folds < 2 {
        return None;
    }
    let begin = |fold: usize| (fold * people).div_ceil(folds);
    let of_people: Vec<usize> = (0..people).map(|person| person * folds / people).collect();
    let impostor = |person: usize| {
        let (first, end) = (begin(of_people[person]), begin(of_people[person] + 1));
        if person + 1 < end { person + 1 } else { first }
    };
    let of_person = |person: usize| {
        [(genuine[person], true), (distance(person, impostor(person)), false)].map(|(distance, same)| Pair {
            distance: distance.max(0.0),
            same,
            fold: of_people[person],
        })
    };
    let pairs: Vec<Pair> = (0..people).flat_map(of_person).collect();
    let right: usize = (0..folds).map(|fold| right(&pairs, fold)).sum();
    Some(estimate(right, 2 * people))
}

/// A face that was made and a photograph.
#[derive(Debug, Clone, Copy)]
struct Pair {
    distance: f64,
    same: bool,
    fold: usize,
}

/// Right decisions on a fold, by the middle of the thresholds that are best on the others: of so few pairs hardly any lie
/// between those that are told apart, and a threshold at the edge of the others' would be wrong where nothing is amiss.
fn right(pairs: &[Pair], fold: usize) -> usize {
    let others = || pairs.iter().filter(|pair| pair.fold != fold);
    let distances: Vec<f64> = others().map(|pair| pair.distance).collect();
    let same: Vec<bool> = others().map(|pair| pair.same).collect();
    let threshold = Ranked::new(&distances, &same).middle();
    pairs.iter().filter(|pair| pair.fold == fold && (pair.distance <= threshold) == pair.same).count()
}

fn estimate(count: usize, of: usize) -> Estimate {
    let whole = Interval { low: 0.0, high: 1.0, level: LEVEL };
    Estimate { value: count as f64 / of as f64, interval: share(count, of, LEVEL).unwrap_or(whole) }
}

/// With the interval of drawing the faces again.
fn mean(values: &[f64]) -> Result<Estimate> {
    let bootstrap = Bootstrap { level: LEVEL, ..Bootstrap::default() };
    bootstrap.over_runs(1, &vec![0; values.len()], |_, counts| {
        let sum: f64 = values.iter().zip(counts).map(|(value, count)| value * *count as f64).sum();
        Ok(sum / values.len() as f64)
    })
}

/// The squared distance of row `a` of `faces` and row `b` of `others`.
fn distance(faces: &Embeddings, a: usize, others: &Embeddings, b: usize) -> f64 {
    2.0 - 2.0 * cos(faces.row(a), others.row(b))
}

fn cos(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn check(a: &Embeddings, b: &Embeddings) -> Result<()> {
    if a.is_empty() || (a.len(), a.size()) != (b.len(), b.size()) {
        let expected = format!("at least one, as many as the others and of the same size, ({}, {})", b.len(), b.size());
        return Err(Error::value("embeddings (N, D)", expected, format!("({}, {})", a.len(), a.size())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Person i at i·spread degrees, turned by `off(i)`.
    fn people(count: usize, spread: f32, off: impl Fn(usize) -> f32) -> Embeddings {
        let angle = |person: usize| (person as f32 * spread + off(person)).to_radians();
        let values: Vec<f32> = (0..count).flat_map(|person| [angle(person).cos(), angle(person).sin()]).collect();
        Embeddings::normalised(&values, 2).unwrap()
    }

    /// The squared distance of an angle.
    fn squared(degrees: f64) -> f64 {
        2.0 - 2.0 * degrees.to_radians().cos()
    }

    #[test]
    fn who_is_near_passes_and_who_is_not_does_not() {
        let others = people(20, 15.0, |_| 0.0);
        // One in four is 12° away, nearer to the next person by far.
        let made = people(20, 15.0, |person| if person % 4 == 0 { 12.0 } else { 1.0 });
        let passing = passing(&made, &others, squared(5.0)).unwrap();
        assert!((passing.verified.value - 0.75).abs() < 1e-12, "{passing:?}");
        let expected = (5.0 * 12f64.to_radians().cos() + 15.0 * 1f64.to_radians().cos()) / 20.0;
        assert!((passing.cosine.value - expected).abs() < 1e-6);
        // Each of those five passes for the next one, and for nobody else.
        assert!((passing.false_accepts - 5.0 / 380.0).abs() < 1e-12);
        let accuracy = passing.accuracy.unwrap();
        assert!((accuracy.value - 0.75).abs() < 0.13 && accuracy.interval.low < accuracy.value);
    }

    #[test]
    fn the_same_faces_pass_always() {
        let others = people(12, 29.0, |_| 0.0);
        let made = people(12, 29.0, |person| 1.0 + 0.1 * (person % 5) as f32);
        let passing = passing(&made, &others, squared(10.0)).unwrap();
        assert!((passing.verified.value - 1.0).abs() < 1e-12 && passing.false_accepts.abs() < 1e-12);
        assert!((passing.accuracy.unwrap().value - 1.0).abs() < 1e-12, "{passing:?}");
        assert!(passing.verified.interval.low < 0.8, "twelve faces prove little: {passing:?}");
    }

    #[test]
    fn gains_are_told_face_by_face() {
        let targets = people(40, 9.0, |_| 0.0);
        let off = |person: usize| (person % 8) as f32 * 10.0;
        // Faces differ by up to 70°, and of each the one that was made is 5° nearer.
        let (made, before) = (people(40, 9.0, off), people(40, 9.0, |person| off(person) + 5.0));
        let gain = cosine_gain(&made, &before, &targets).unwrap();
        let cos = |degrees: f32| f64::from(degrees).to_radians().cos();
        let expected = (0..8).map(|person| cos(off(person)) - cos(off(person) + 5.0)).sum::<f64>() / 8.0;
        assert!((gain.value - expected).abs() < 1e-6, "{gain:?}, {expected}");
        assert!(0.0 < gain.interval.low, "each face is nearer: {gain:?}");
        let [of_made, of_before] = [&made, &before].map(|faces| cosine(faces, &targets).unwrap().interval);
        assert!(of_made.low < of_before.high, "which hides behind what faces differ in: {of_made:?}, {of_before:?}");
        // Of eight, those at 0, 10, 20 and 30° pass, and before those at 5, 15 and 25°.
        let verified = verified_gain(&made, &before, &targets, squared(32.0)).unwrap();
        assert!((verified.value - 0.125).abs() < 1e-12, "{verified:?}");
        assert!(cosine_gain(&made, &people(3, 9.0, off), &targets).is_err());
        assert!(verified_gain(&made, &people(3, 9.0, off), &targets, 1.0).is_err());
    }

    #[test]
    fn too_few_people_have_no_accuracy_and_one_cannot_be_compared() {
        let of = |count| passing(&people(count, 40.0, |_| 1.0), &people(count, 40.0, |_| 0.0), 1.0);
        assert_eq!(of(3).unwrap().accuracy, None);
        assert!(of(4).unwrap().accuracy.is_some());
        let words = of(1).unwrap_err().to_string();
        assert_eq!(words, "faces: expected two people or more, so that there are impostor pairs, got 1");
        let words = cosine(&people(2, 40.0, |_| 0.0), &people(3, 40.0, |_| 0.0)).unwrap_err().to_string();
        assert_eq!(
            words,
            "embeddings (N, D): expected at least one, as many as the others and of the same size, (3, 2), got (2, 2)"
        );
    }
}
