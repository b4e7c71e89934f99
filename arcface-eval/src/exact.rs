//! Thresholds without a grid: that of each fold by the pairs of the others, and one of all pairs for new pairs.
//! Knows distances and folds only.

/// A threshold that accepts no pair: distances are not below 0.
const NONE: f64 = -1.0;

/// The largest distance there is.
const LARGEST: f64 = 4.0;

/// What one fold came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fold {
    /// Taken from the other folds; a pair is called the same person if its distance is not above.
    pub(crate) threshold: f64,
    /// Accuracy on the fold at this threshold.
    pub(crate) accuracy: f64,
}

/// Pairs in the order of their distances.
pub(crate) struct Ranked<'a> {
    distances: &'a [f64],
    same: &'a [bool],
    order: Vec<usize>,
}

impl<'a> Ranked<'a> {
    pub(crate) fn new(distances: &'a [f64], same: &'a [bool]) -> Self {
        let mut order: Vec<usize> = (0..distances.len()).collect();
        order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
        Self { distances, same, order }
    }

    /// Each fold at the largest distance that is best on the other folds.
    ///
    /// The others' distances are the candidates, and accepting none; the largest of the best is the lowest of the best
    /// cosines.
    pub(crate) fn folds(&self, folds: &[usize]) -> Vec<Fold> {
        let number = folds.iter().max().map_or(0, |last| last + 1);
        (0..number).map(|fold| self.fold(folds, fold)).collect()
    }

    /// One fold, in one walk over all pairs.
    fn fold(&self, folds: &[usize], fold: usize) -> Fold {
        let pairs = folds.iter().filter(|own| **own == fold).count();
        // While nothing is accepted the impostor pairs are judged rightly.
        let mut own = self.impostors(|pair| folds[pair] == fold);
        let mut others = self.impostors(|pair| folds[pair] != fold);
        let (mut most, mut best) = (others, (NONE, own));
        for tied in self.ties() {
            for &pair in tied {
                let side = if folds[pair] == fold { &mut own } else { &mut others };
                accept(side, self.same[pair]);
            }
            if most <= others && tied.iter().any(|&pair| folds[pair] != fold) {
                (most, best) = (others, (self.distances[tied[0]], own));
            }
        }
        Fold { threshold: best.0, accuracy: best.1 as f64 / pairs as f64 }
    }

    /// The middle of the widest range of thresholds that are best on all pairs, of the first of equally wide ones.
    ///
    /// A distance of these pairs would stand at the edge of what was seen, and new pairs fall on either side of it.
    pub(crate) fn middle(&self) -> f64 {
        let steps = self.steps();
        let most = steps.iter().map(|step| step.1).max().unwrap_or(0);
        // Accepting none is for distances that are all worse.
        if most < self.impostors(|_| true) {
            return NONE;
        }
        let (mut end, mut widest) = (0, (0.0, -1.0));
        for run in steps.chunk_by(|a, b| a.1 == b.1) {
            end += run.len();
            let range = (run[0].0, steps.get(end).map_or(LARGEST, |next| next.0));
            if run[0].1 == most && widest.1 - widest.0 < range.1 - range.0 {
                widest = range;
            }
        }
        let middle = f64::midpoint(widest.0, widest.1);
        // Between neighbouring numbers there is no middle, and the end of the range is accepted no more.
        if middle < widest.1 { middle } else { widest.0 }
    }

    /// Every distance, and how many pairs are judged rightly when those up to it are accepted.
    fn steps(&self) -> Vec<(f64, usize)> {
        let mut correct = self.impostors(|_| true);
        let step = |tied: &[usize]| {
            for &pair in tied {
                accept(&mut correct, self.same[pair]);
            }
            (self.distances[tied[0]], correct)
        };
        self.ties().map(step).collect()
    }

    /// Pairs of equal distance, by rising distance.
    fn ties(&self) -> impl Iterator<Item = &[usize]> {
        self.order.chunk_by(|&a, &b| self.distances[b] <= self.distances[a])
    }

    fn impostors(&self, belongs: impl Fn(usize) -> bool) -> usize {
        (0..self.same.len()).filter(|&pair| belongs(pair) && !self.same[pair]).count()
    }
}

/// An impostor pair that is accepted was judged rightly before.
fn accept(correct: &mut usize, same: bool) {
    if same {
        *correct += 1;
    } else {
        *correct -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_middle(distances: &[f64], same: &[bool], expected: f64) {
        let found = Ranked::new(distances, same).middle();
        assert_eq!(found.to_bits(), expected.to_bits(), "expected {expected}, got {found}");
    }

    #[test]
    fn the_largest_of_the_best_distances_is_taken() {
        // For the second fold 0.2 and 0.3 are equally good, since one pair of each kind lies between: 0.25 is accepted.
        let distances = [0.1, 0.2, 0.29, 0.3, 1.0, 0.25, 0.9, 0.5];
        let same = [true, true, false, true, false, true, true, false];
        // For the first, 0.25 and 0.9: at 0.9 all but the two impostor pairs' nearer one are judged rightly.
        let found = Ranked::new(&distances, &same).folds(&[0, 0, 0, 0, 0, 1, 1, 1]);
        let expected = [(0.9, 4.0 / 5.0), (0.3, 2.0 / 3.0)];
        assert_eq!(found, expected.map(|(threshold, accuracy)| Fold { threshold, accuracy }));
    }

    #[test]
    fn the_threshold_of_all_pairs_is_the_middle_of_the_widest_best_range() {
        let same = [true, false, true, false];
        // One right of the two in the middle either way: 0.5 to 0.75 and 1.5 to 3 are equally good.
        check_middle(&[0.5, 0.75, 1.5, 3.0], &same, 2.25);
        check_middle(&[0.5, 1.75, 2.0, 3.0], &same, 1.125);
        // Equally wide: the first.
        check_middle(&[0.5, 1.0, 1.5, 2.0], &same, 0.75);
        // A pair of each kind at one distance changes nothing; the range goes on.
        check_middle(&[0.5, 1.0, 1.0, 2.0], &same, 1.25);
        // Nothing beyond the last genuine pair: up to the largest distance.
        check_middle(&[1.0, 0.0, 2.0, 0.5], &same, 3.0);
        check_middle(&[4.0, 0.0, 4.0, 0.0], &same, 4.0);
        // Every distance is worse than none.
        check_middle(&[1.0, 0.0, 0.5], &[true, false, false], NONE);
    }

    #[test]
    fn a_range_between_neighbouring_numbers_does_not_accept_its_end() {
        let (near, far) = (1.0_f64.next_down(), 1.0);
        check_middle(&[near, far], &[true, false], near);
    }
}
