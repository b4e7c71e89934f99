//! Accuracy by folds at exact thresholds, for comparison with figures that were not read off the protocol's grid.
//! Knows distances and folds only.

/// Accuracy on each fold at the largest distance that is best on the other folds.
///
/// The others' distances are the candidates, and a pair is called the same person if its own is not above the one
/// taken; so the threshold is the lowest of the best cosines. A grid takes the smallest of the best distances instead:
/// where pairs lie thinly between the two, the figures differ by some tenths of a per cent for the same embeddings.
pub(crate) fn accuracies(distances: &[f64], same: &[bool], folds: &[usize]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..distances.len()).collect();
    order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
    let number = folds.iter().max().map_or(0, |last| last + 1);
    (0..number).map(|fold| accuracy(distances, same, folds, &order, fold)).collect()
}

/// Accuracy on `fold` at the threshold of the others, in one walk over the pairs in the `order` of their distances.
fn accuracy(distances: &[f64], same: &[bool], folds: &[usize], order: &[usize], fold: usize) -> f64 {
    let pairs = folds.iter().filter(|own| **own == fold).count();
    // While nothing is accepted the impostor pairs are judged rightly.
    let mut own = Sides::rejecting(same, |pair| folds[pair] == fold);
    let mut others = Sides::rejecting(same, |pair| folds[pair] != fold);
    let mut best = (others.correct, own.correct);
    for tied in order.chunk_by(|&a, &b| distances[b] <= distances[a]) {
        for &pair in tied {
            let side = if folds[pair] == fold { &mut own } else { &mut others };
            side.accept(same[pair]);
        }
        if best.0 <= others.correct && tied.iter().any(|&pair| folds[pair] != fold) {
            best = (others.correct, own.correct);
        }
    }
    best.1 as f64 / pairs as f64
}

/// How many pairs of one side are judged rightly so far.
struct Sides {
    correct: usize,
}

impl Sides {
    fn rejecting(same: &[bool], belongs: impl Fn(usize) -> bool) -> Self {
        Self { correct: (0..same.len()).filter(|&pair| belongs(pair) && !same[pair]).count() }
    }

    /// An impostor pair that is accepted was judged rightly before.
    fn accept(&mut self, same: bool) {
        if same {
            self.correct += 1;
        } else {
            self.correct -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, without the walk: the others' distances and none at all as thresholds.
    fn plain(distances: &[f64], same: &[bool], folds: &[usize]) -> Vec<f64> {
        let correct = |threshold: f64, belongs: &dyn Fn(usize) -> bool| {
            (0..same.len()).filter(|&pair| belongs(pair) && (distances[pair] <= threshold) == same[pair]).count()
        };
        let number = folds.iter().max().unwrap() + 1;
        (0..number)
            .map(|fold| {
                let others = (0..same.len()).filter(|&pair| folds[pair] != fold).map(|pair| distances[pair]);
                let mut thresholds: Vec<f64> = std::iter::once(-1.0).chain(others).collect();
                thresholds.sort_by(f64::total_cmp);
                let best = thresholds.iter().copied().max_by_key(|&t| correct(t, &|pair| folds[pair] != fold)).unwrap();
                let pairs = folds.iter().filter(|own| **own == fold).count();
                correct(best, &|pair| folds[pair] == fold) as f64 / pairs as f64
            })
            .collect()
    }

    #[test]
    fn the_largest_of_the_best_distances_is_taken() {
        // For the second fold 0.2 and 0.3 are equally good, since one pair of each kind lies between: 0.25 is accepted.
        let distances = [0.1, 0.2, 0.29, 0.3, 1.0, 0.25, 0.9, 0.5];
        let same = [true, true, false, true, false, true, true, false];
        // For the first, 0.25 and 0.9: at 0.9 all but the two impostor pairs' nearer one are judged rightly.
        assert_eq!(accuracies(&distances, &same, &[0, 0, 0, 0, 0, 1, 1, 1]), [4.0 / 5.0, 2.0 / 3.0]);
    }

    #[test]
    fn the_walk_is_the_definition() {
        for seed in 0..200_u64 {
            let random = |i: u64| (seed * 7919 + i * 104_729 + i * i * 31) % 97;
            let (distances, same): (Vec<f64>, Vec<bool>) =
                (0..24).map(|i| (random(i) as f64 / 40.0, random(i + 50) % 2 == 0)).unzip();
            let folds: Vec<usize> = (0..24).map(|i| i % 3).collect();
            assert_eq!(accuracies(&distances, &same, &folds), plain(&distances, &same, &folds), "seed {seed}");
        }
    }
}
