//! Pairs drawn from a source: as many genuine as impostor ones, none twice, in folds that share no identity.
//! Knows labels and numbers of images; opens none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arcface_core::seed::{Purpose, rng};
use arcface_core::{Error, Result};
use rand::Rng;
use rand::seq::{SliceRandom, index};

use super::{FOLDS, Pair, PairList, PairSet};
use crate::source::{Source, images_by_identity, keys};

/// How many pairs to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawPairs {
    /// Pairs in all, an even number.
    pub count: usize,
    /// Folds, at least 1.
    pub folds: usize,
    /// Seed of the draw.
    pub seed: u64,
}

impl Default for DrawPairs {
    /// 6,000 pairs in ten folds, as LFW has them.
    fn default() -> Self {
        Self { count: 6000, folds: FOLDS, seed: 0 }
    }
}

/// Whether folds share identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folds {
    /// No identity is in two folds.
    Disjoint,
    /// There are too few identities or images for that.
    Sharing,
}

/// Draws balanced pairs: half genuine, half impostor, none twice; a pure function of the source's labels and `draw`.
///
/// Genuine pairs are spread evenly over the identities that have two images; impostor pairs are of two identities
/// drawn uniformly. Folds share no identity where every fold can be filled so, and [`Folds`] says whether.
///
/// # Errors
/// If `count` is odd or less than 2 per fold, or the source has too few genuine or impostor pairs.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use arcface_data::pairs::{DrawPairs, Folds, draw_pairs};
/// use arcface_data::{ProceduralConfig, ProceduralSource};
/// let config = ProceduralConfig { identities: 40, images_per_identity: 4, ..ProceduralConfig::default() };
/// let source = Arc::new(ProceduralSource::new(config)?);
/// let (set, folds) = draw_pairs(source, DrawPairs { count: 100, folds: 10, seed: 1 })?;
/// assert_eq!(set.list.same().iter().filter(|same| **same).count(), 50);
/// assert_eq!(folds, Folds::Disjoint);
/// # Ok::<(), arcface_core::Error>(())
/// ```
pub fn draw_pairs(source: Arc<dyn Source>, draw: DrawPairs) -> Result<(PairSet, Folds)> {
    check(draw)?;
    let mut identities = images_by_identity(&*source);
    identities.retain(|images| !images.is_empty());
    Group(identities.iter().map(Vec::as_slice).collect()).check(draw.count / 2)?;
    let (drawn, folds) = match disjoint(&identities, draw) {
        Some(drawn) => (drawn, Folds::Disjoint),
        None => (sharing(&identities, draw), Folds::Sharing),
    };
    Ok((pair_set(source, &drawn), folds))
}

fn check(draw: DrawPairs) -> Result<()> {
    if draw.folds < 1 {
        return Err(Error::value("folds of drawn pairs", "at least 1", draw.folds));
    }
    if draw.count % 2 == 1 || draw.count / 2 < draw.folds {
        let expected = format!("an even number of at least {} (2 per fold)", draw.folds.saturating_mul(2));
        return Err(Error::value("number of drawn pairs", expected, draw.count));
    }
    Ok(())
}

/// Two images, whether they are genuine, and their fold.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    images: [usize; 2],
    same: bool,
    fold: usize,
}

/// The images of some identities.
struct Group<'a>(Vec<&'a [usize]>);

impl Group<'_> {
    fn genuine(&self) -> u128 {
        self.0.iter().map(|images| pairs_within(images.len()) as u128).sum()
    }

    fn images(&self) -> usize {
        self.0.iter().map(|images| images.len()).sum()
    }

    fn impostor(&self) -> u128 {
        pairs_within(self.images()) as u128 - self.genuine()
    }

    fn check(&self, each: usize) -> Result<()> {
        for (kind, available) in [("genuine", self.genuine()), ("impostor", self.impostor())] {
            if available < each as u128 {
                let expected = format!("at most {available}, which is all there are");
                return Err(Error::value(format!("{kind} pairs to draw"), expected, each));
            }
        }
        Ok(())
    }

    /// `count` genuine and `count` impostor pairs, of which the group has enough.
    fn draw(&self, count: usize, fold: usize, seed: u64) -> Vec<Drawn> {
        let mut rng = rng(seed, Purpose::Pairs, fold as u64, 1);
        let genuine = self.draw_genuine(count, &mut rng);
        let impostor = self.draw_impostor(count, &mut rng);
        let genuine = genuine.into_iter().map(|images| Drawn { images, same: true, fold });
        genuine.chain(impostor.into_iter().map(|images| Drawn { images, same: false, fold })).collect()
    }

    /// Every identity gives one pair before any gives two, as far as it has them.
    fn draw_genuine(&self, count: usize, rng: &mut impl Rng) -> Vec<[usize; 2]> {
        let mut order: Vec<&[usize]> = self.0.iter().copied().filter(|images| 2 <= images.len()).collect();
        order.shuffle(rng);
        let quotas = quotas(&order, count);
        let of_identity = |(images, quota): (&&[usize], usize)| -> Vec<[usize; 2]> {
            let ranks = index::sample(rng, pairs_within(images.len()), quota);
            ranks.into_iter().map(|rank| pair_of_rank(rank).map(|place| images[place])).collect()
        };
        order.iter().zip(quotas).flat_map(of_identity).collect()
    }

    fn draw_impostor(&self, count: usize, rng: &mut impl Rng) -> Vec<[usize; 2]> {
        if self.impostor() < 2 * count as u128 {
            return self.choose_impostors(count, rng);
        }
        let mut drawn = BTreeSet::new();
        let mut pairs = Vec::with_capacity(count);
        for attempt in 0.. {
            if pairs.len() == count {
                break;
            }
            // Where a few identities have nearly all images, drawing identities first would take for ever.
            let pair = if attempt < 10 * count { self.any_two_identities(rng) } else { self.any_impostor(rng) };
            if drawn.insert(pair) {
                pairs.push(pair);
            }
        }
        pairs
    }

    /// Two identities uniformly, then an image of each.
    fn any_two_identities(&self, rng: &mut impl Rng) -> [usize; 2] {
        let identities = index::sample(rng, self.0.len(), 2);
        ordered([0, 1].map(|side| pick(self.0[identities.index(side)], rng)))
    }

    /// Uniformly over all impostor pairs.
    fn any_impostor(&self, rng: &mut impl Rng) -> [usize; 2] {
        loop {
            let [a, b] = [(); 2].map(|()| self.locate(rng.random_range(0..self.images() as u64) as usize));
            if a.0 != b.0 {
                return ordered([a.1, b.1]);
            }
        }
    }

    /// Identity and number of the image at a place of all images in a row.
    fn locate(&self, mut place: usize) -> (usize, usize) {
        for (identity, images) in self.0.iter().enumerate() {
            match images.get(place) {
                Some(image) => return (identity, *image),
                None => place -= images.len(),
            }
        }
        unreachable!("the place is smaller than the number of images")
    }

    /// From the list of all impostor pairs, of which there are few.
    fn choose_impostors(&self, count: usize, rng: &mut impl Rng) -> Vec<[usize; 2]> {
        let of_pair = |(a, b): (usize, usize)| {
            self.0[a].iter().flat_map(move |image| self.0[b].iter().map(move |other| ordered([*image, *other])))
        };
        let identities = (0..self.0.len()).flat_map(|a| (a + 1..self.0.len()).map(move |b| (a, b)));
        let all: Vec<_> = identities.flat_map(of_pair).collect();
        index::sample(rng, all.len(), count).into_iter().map(|rank| all[rank]).collect()
    }
}

/// Pairs in folds without a common identity, if every fold can be filled.
fn disjoint(identities: &[Vec<usize>], draw: DrawPairs) -> Option<Vec<Drawn>> {
    let mut order: Vec<&[usize]> = identities.iter().map(Vec::as_slice).collect();
    order.shuffle(&mut rng(draw.seed, Purpose::Pairs, 0, 0));
    // Dealt out from the largest, there and back, so that all folds get about as many images.
    order.sort_by_key(|images| std::cmp::Reverse(images.len()));
    let mut groups: Vec<_> = (0..draw.folds).map(|_| Group(Vec::new())).collect();
    for (round, images) in order.chunks(draw.folds).enumerate() {
        for (place, images) in images.iter().enumerate() {
            let fold = if round % 2 == 0 { place } else { draw.folds - 1 - place };
            groups[fold].0.push(images);
        }
    }
    let shares = shares(draw);
    groups.iter().zip(&shares).try_for_each(|(group, share)| group.check(*share)).ok()?;
    let folds = groups.iter().zip(shares).enumerate();
    Some(folds.flat_map(|(fold, (group, share))| group.draw(share, fold, draw.seed)).collect())
}

/// Pairs of all identities dealt into folds.
fn sharing(identities: &[Vec<usize>], draw: DrawPairs) -> Vec<Drawn> {
    let group = Group(identities.iter().map(Vec::as_slice).collect());
    let mut pairs = group.draw(draw.count / 2, 0, draw.seed);
    let (genuine, impostor) = pairs.split_at_mut(draw.count / 2);
    for kind in [genuine, impostor] {
        kind.shuffle(&mut rng(draw.seed, Purpose::Pairs, 0, 2));
        kind.iter_mut().enumerate().for_each(|(place, pair)| pair.fold = place % draw.folds);
    }
    pairs.sort_by_key(|pair| (pair.fold, !pair.same));
    pairs
}

/// Pairs of each kind for each fold.
fn shares(draw: DrawPairs) -> Vec<usize> {
    let each = draw.count / 2;
    (0..draw.folds).map(|fold| each / draw.folds + usize::from(fold < each % draw.folds)).collect()
}

/// How many pairs each identity gives so that they sum to `count`.
fn quotas(identities: &[&[usize]], count: usize) -> Vec<usize> {
    let mut quotas = vec![0; identities.len()];
    let mut left = count;
    while 0 < left {
        for (quota, images) in quotas.iter_mut().zip(identities) {
            if 0 < left && *quota < pairs_within(images.len()) {
                *quota += 1;
                left -= 1;
            }
        }
    }
    quotas
}

/// n·(n − 1)/2
fn pairs_within(n: usize) -> usize {
    n * n.saturating_sub(1) / 2
}

/// The pair b < a with number a·(a − 1)/2 + b, as [b, a].
fn pair_of_rank(rank: usize) -> [usize; 2] {
    let guess = f64::midpoint(1.0, (1.0 + 8.0 * rank as f64).sqrt()) as usize;
    // The root may round across a whole number.
    let a = (guess.saturating_sub(1)..=guess + 1).find(|a| rank < pairs_within(a + 1)).unwrap_or(guess);
    [rank - pairs_within(a), a]
}

fn pick(images: &[usize], rng: &mut impl Rng) -> usize {
    images[rng.random_range(0..images.len() as u64) as usize]
}

fn ordered([a, b]: [usize; 2]) -> [usize; 2] {
    [a.min(b), a.max(b)]
}

fn pair_set(source: Arc<dyn Source>, drawn: &[Drawn]) -> PairSet {
    let keys = keys(&*source);
    let pair = |drawn: &Drawn| {
        let [a, b] = drawn.images.map(|index| keys[index].clone());
        Pair { a, b, same: drawn.same, fold: drawn.fold }
    };
    let list = PairList::new(drawn.iter().map(pair).collect(), "drawn pairs");
    let images: Vec<usize> = drawn.iter().flat_map(|drawn| drawn.images).collect::<BTreeSet<_>>().into_iter().collect();
    let places: BTreeMap<usize, usize> = images.iter().enumerate().map(|(place, image)| (*image, place)).collect();
    let positions = drawn.iter().map(|drawn| drawn.images.map(|image| places[&image])).collect();
    PairSet { list, source, images, positions }
}
