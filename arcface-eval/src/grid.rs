//! Accuracy by folds at the thresholds 0, 0.01, …, 3.99, for comparison with figures of insightface's script.
//! Knows distances and folds only.

const THRESHOLDS: usize = 400;

/// Accuracy on each fold at the first threshold that is best on the other folds; a pair is called the same person if
/// its distance is below.
pub(crate) fn accuracies(distances: &[f64], same: &[bool], folds: &[usize]) -> Vec<f64> {
    let tally = tally(distances, same, folds);
    let total = Tally::sum(&tally);
    tally.iter().map(|fold| fold.accuracy(total.without(fold).first_best())).collect()
}

/// The `index`-th threshold of the grid.
fn threshold(index: usize) -> f64 {
    index as f64 * 0.01
}

/// Of some pairs: how many there are, and how many each threshold of the grid judges rightly.
#[derive(Debug, Clone)]
struct Tally {
    pairs: usize,
    correct: Vec<usize>,
}

/// The tally of each fold.
fn tally(distances: &[f64], same: &[bool], folds: &[usize]) -> Vec<Tally> {
    let number = folds.iter().max().map_or(0, |last| last + 1);
    let mut tallies = vec![Tally { pairs: 0, correct: vec![0; THRESHOLDS] }; number];
    for ((&distance, &same), &fold) in distances.iter().zip(same).zip(folds) {
        tallies[fold].add(distance, same);
    }
    tallies
}

impl Tally {
    fn add(&mut self, distance: f64, same: bool) {
        self.pairs += 1;
        let accepted = (0..THRESHOLDS).map(|index| distance < threshold(index));
        for (correct, accepted) in self.correct.iter_mut().zip(accepted) {
            *correct += usize::from(accepted == same);
        }
    }

    fn sum(tallies: &[Self]) -> Self {
        let correct = (0..THRESHOLDS).map(|index| tallies.iter().map(|tally| tally.correct[index]).sum()).collect();
        Self { pairs: tallies.iter().map(|tally| tally.pairs).sum(), correct }
    }

    fn without(&self, other: &Self) -> Self {
        let correct = self.correct.iter().zip(&other.correct).map(|(all, part)| all - part).collect();
        Self { pairs: self.pairs - other.pairs, correct }
    }

    fn first_best(&self) -> usize {
        let best = self.correct.iter().copied().max().unwrap_or(0);
        self.correct.iter().position(|&correct| correct == best).unwrap_or(0)
    }

    fn accuracy(&self, index: usize) -> f64 {
        self.correct[index] as f64 / self.pairs as f64
    }
}
