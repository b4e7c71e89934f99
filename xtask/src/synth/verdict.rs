//! What networks say of what was made: the own one, which followed its gradient, and others that had no part in it.
//! Knows no inversion; pictures and faces come in as a network embeds them.

use arcface_eval::rebuilt::{self, Passing};
use arcface_eval::{Embeddings, Estimate, Verification, frechet_distance, verify_folds};
use serde::Serialize;

use super::judge;
use super::people::People;
use super::targets::{References, Targets};
use super::vectors::Vectors;
use crate::digest::Digest;
use crate::net::Net;
use crate::verify::positions;

/// The figures of one network; shares are fractions, and what cannot be said is null.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Verdict {
    pub(super) net: String,
    /// Digest of its weights.
    weights: String,
    network: String,
    /// Mean cosine of what was made to the faces that were aimed at: of a class, to the mean of some of its faces.
    pub(super) cosine: Estimate,
    /// Where pairs were given: as another face of the person.
    pub(super) made: Option<Passing>,
    /// The same of the faces that were aimed at, in place of what was made.
    pub(super) real: Option<Passing>,
    /// Accuracy of all pairs of the list, whose best threshold decides.
    pub(super) pairs_accuracy: Option<f64>,
    /// Where there is another folder to compare with.
    pub(super) against: Option<Against>,
    /// Fréchet distance of embeddings of length 1 between what was made and the faces that were aimed at, where both are
    /// more than the embedding has dimensions.
    pub(super) frechet: Option<f64>,
}

/// What another folder holds of the same targets, and what was made beside it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Against {
    /// As of what was made.
    cosine: Estimate,
    made: Option<Passing>,
    /// Mean difference of the cosines, image by image.
    cosine_gain: Estimate,
    /// Difference of the shares that pass for their people, image by image.
    verified_gain: Option<Estimate>,
}

/// What `net` says of what it embeds as `made`, row i for target i, and as `before` in another folder; `None` where there are
/// no faces to compare with.
///
/// # Errors
/// If a face cannot be read or has another size than the network takes, or the user interrupts.
pub(super) fn verdict(
    net: &Net,
    targets: &Targets,
    made: &Vectors,
    before: Option<&Vectors>,
) -> anyhow::Result<Option<Verdict>> {
    let Some(references) = &targets.references else { return Ok(None) };
    let unit = made.unit()?;
    let of_pairs = targets.people.as_ref().map(|people| OfPairs::by(net, people)).transpose()?;
    let (faces, aimed) = if let Some(pairs) = &of_pairs {
        let faces = pairs.of(&pairs.people.aimed)?;
        (faces.clone(), faces)
    } else {
        let faces = embedded(net, references)?;
        let aimed = means(references, &faces)?;
        (faces, aimed)
    };
    let passing = |of: &Embeddings| of_pairs.as_ref().map(|pairs| pairs.passing(of)).transpose();
    let against = before.map(|before| against(&unit, &before.unit()?, &aimed, of_pairs.as_ref())).transpose()?;
    let (frechet, size) = (made.values.len().min(faces.len() * faces.size()) / made.size, made.size);
    Ok(Some(Verdict {
        net: net.path.display().to_string(),
        weights: Digest::of_file(&net.path)?,
        network: net.backbone.config().to_string(),
        cosine: rebuilt::cosine(&unit, &aimed)?,
        made: passing(&unit)?,
        real: passing(&aimed)?,
        pairs_accuracy: of_pairs.as_ref().map(|pairs| pairs.verification.accuracy),
        against,
        frechet: (size < frechet).then(|| frechet_distance(&rows(&unit), &rows(&faces), size)).transpose()?,
    }))
}

fn against(
    made: &Embeddings,
    before: &Embeddings,
    aimed: &Embeddings,
    pairs: Option<&OfPairs<'_>>,
) -> anyhow::Result<Against> {
    Ok(Against {
        cosine: rebuilt::cosine(before, aimed)?,
        made: pairs.map(|pairs| pairs.passing(before)).transpose()?,
        cosine_gain: rebuilt::cosine_gain(made, before, aimed)?,
        verified_gain: pairs.map(|pairs| pairs.verified_gain(made, before)).transpose()?,
    })
}

/// The faces of all targets, one after the other.
fn embedded(net: &Net, references: &References) -> anyhow::Result<Embeddings> {
    let indices = references.of.iter().flatten().copied().collect();
    let faces = judge::embeddings("faces aimed at", net, &references.source, indices)?;
    faces.unit()
}

/// The mean of each target's faces.
fn means(references: &References, faces: &Embeddings) -> anyhow::Result<Embeddings> {
    let mut next = 0;
    let mean = |indices: &Vec<usize>| {
        let mut sum = vec![0.0; faces.size()];
        for row in next..next + indices.len() {
            sum.iter_mut().zip(faces.row(row)).for_each(|(sum, value)| *sum += value);
        }
        next += indices.len();
        sum
    };
    let sums: Vec<f32> = references.of.iter().flat_map(mean).collect();
    Ok(Embeddings::normalised(&sums, faces.size())?)
}

/// The faces of a list of pairs by a network, and how far it tells them apart.
struct OfPairs<'a> {
    people: &'a People,
    all: Embeddings,
    verification: Verification,
}

impl<'a> OfPairs<'a> {
    fn by(net: &Net, people: &'a People) -> anyhow::Result<Self> {
        let set = &people.set;
        let all = judge::embeddings("faces of the pairs", net, &set.source, set.images.clone())?;
        let all = all.unit()?;
        let distances = all.squared_distances(&positions(set))?;
        Ok(Self { people, all, verification: verify_folds(&distances, &set.list.same(), &set.list.folds())? })
    }

    /// Those at `places`.
    fn of(&self, places: &[usize]) -> anyhow::Result<Embeddings> {
        let values: Vec<f32> = places.iter().flat_map(|place| self.all.row(*place)).copied().collect();
        Ok(Embeddings::normalised(&values, self.all.size())?)
    }

    /// How far `faces`, one for each person, pass for the people.
    fn passing(&self, faces: &Embeddings) -> anyhow::Result<Passing> {
        Ok(rebuilt::passing(faces, &self.of(&self.people.others)?, self.verification.threshold)?)
    }

    /// How many more of `made` pass for the people than of `before`.
    fn verified_gain(&self, made: &Embeddings, before: &Embeddings) -> anyhow::Result<Estimate> {
        let others = self.of(&self.people.others)?;
        Ok(rebuilt::verified_gain(made, before, &others, self.verification.threshold)?)
    }
}

fn rows(embeddings: &Embeddings) -> Vec<f32> {
    (0..embeddings.len()).flat_map(|row| embeddings.row(row)).copied().collect()
}

impl Verdict {
    /// Its lines for the terminal, each with a name.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines =
            vec![("judge", format!("{}, {}", self.net, self.network)), ("  cosine to the face", cosine(&self.cosine))];
        if let (Some(made), Some(real)) = (&self.made, &self.real) {
            lines.push(("  to another face", format!("{}; real faces {:.3}", cosine(&made.cosine), real.cosine.value)));
            let of_real = format!("real faces {:.1} %", 100.0 * real.verified.value);
            lines.push(("  verified by it", format!("{}; {of_real}", percent(&made.verified))));
            lines.push((
                "  taken for others",
                format!("{:.2} %; real faces {:.2} %", 100.0 * made.false_accepts, 100.0 * real.false_accepts),
            ));
            if let (Some(made), Some(real)) = (&made.accuracy, &real.accuracy) {
                lines.push(("  accuracy", format!("{}; real faces {:.1} %", percent(made), 100.0 * real.value)));
            }
        }
        lines.extend(self.against.iter().flat_map(Against::lines));
        lines.extend(self.frechet.map(|distance| ("  Fréchet distance", format!("{distance:.4}"))));
        lines
    }
}

impl Against {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let Estimate { value, interval } = self.cosine_gain;
        let gain = format!("{value:+.3} [{:+.3}, {:+.3}]", interval.low, interval.high);
        let mut lines = vec![("  cosine, compared", format!("{gain} on {}", cosine(&self.cosine)))];
        if let (Some(before), Some(Estimate { value, interval })) = (&self.made, self.verified_gain) {
            let [value, low, high] = [value, interval.low, interval.high].map(|share| 100.0 * share);
            let gain = format!("{value:+.1} points [{low:+.1}, {high:+.1}]");
            lines.push(("  verified, compared", format!("{gain} on {}", percent(&before.verified))));
        }
        lines
    }
}

fn cosine(Estimate { value, interval }: &Estimate) -> String {
    format!("{value:.3} [{:.3}, {:.3}]", interval.low, interval.high)
}

fn percent(Estimate { value, interval }: &Estimate) -> String {
    let [value, low, high] = [*value, interval.low, interval.high].map(|share| 100.0 * share);
    format!("{value:.1} % [{low:.1}, {high:.1}]")
}
