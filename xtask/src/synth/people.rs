//! People of a list of pairs: one face of each is aimed at, and what is made is to pass for another of the same person.
//! Knows no network.

use anyhow::bail;
use arcface_data::PairSet;

/// The people, each once, in the order of their first genuine pair.
#[derive(Debug)]
pub(super) struct People {
    pub(super) set: PairSet,
    /// Of each person the place in `set.images` of the face that is aimed at.
    pub(super) aimed: Vec<usize>,
    /// And that of another face.
    pub(super) others: Vec<usize>,
}

impl People {
    /// At most `count` people of `set`. Whoever genuine pairs join is one person.
    ///
    /// # Errors
    /// If there are fewer than two with a genuine pair.
    pub(super) fn of(set: PairSet, count: usize) -> anyhow::Result<Self> {
        let genuine: Vec<[usize; 2]> =
            set.positions.iter().zip(set.list.same()).filter(|(_, same)| *same).map(|(pair, _)| *pair).collect();
        let persons = joined(set.images.len(), &genuine);
        let mut is_taken = vec![false; set.images.len()];
        let (mut aimed, mut others) = (Vec::new(), Vec::new());
        for &[a, b] in &genuine {
            if a != b && aimed.len() < count && !std::mem::replace(&mut is_taken[persons[a]], true) {
                aimed.push(a);
                others.push(b);
            }
        }
        if aimed.len() < 2 {
            bail!(
                "pairs: expected at least two people with a genuine pair, found {}; give another list or a larger --count",
                aimed.len()
            );
        }
        Ok(Self { set, aimed, others })
    }
}

/// Of every face the first face that pairs join it with.
fn joined(faces: usize, pairs: &[[usize; 2]]) -> Vec<usize> {
    let mut first: Vec<usize> = (0..faces).collect();
    let root = |first: &[usize], mut face: usize| {
        while first[face] != face {
            face = first[face];
        }
        face
    };
    for &[a, b] in pairs {
        let roots = [root(&first, a), root(&first, b)];
        first[roots[0].max(roots[1])] = roots[0].min(roots[1]);
    }
    (0..faces).map(|face| root(&first, face)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arcface_data::PairList;
    use arcface_data::pairs::Pair;
    use arcface_data::source::FileSource;

    use super::*;

    /// Faces 0 to 9 and pairs of them, true ones genuine.
    fn set(pairs: &[(usize, usize, bool)]) -> PairSet {
        let pair = |&(a, b, same): &(usize, usize, bool)| Pair { a: a.to_string(), b: b.to_string(), same, fold: 0 };
        PairSet {
            list: PairList::new(pairs.iter().map(pair).collect(), "pairs"),
            source: Arc::new(FileSource::new(vec![])),
            images: (0..10).collect(),
            positions: pairs.iter().map(|&(a, b, _)| [a, b]).collect(),
        }
    }

    #[test]
    fn everybody_is_taken_once_whatever_joins_them() {
        let pairs = [(0, 9, false), (1, 2, true), (3, 4, true), (4, 5, true), (6, 2, true), (7, 7, true), (8, 9, true)];
        let people = People::of(set(&pairs), 10).unwrap();
        assert_eq!((people.aimed, people.others), (vec![1, 3, 8], vec![2, 4, 9]));
        assert_eq!(People::of(set(&pairs), 2).unwrap().aimed, [1, 3]);
    }

    #[test]
    fn one_person_is_too_few() {
        let words = People::of(set(&[(0, 1, true), (1, 2, true), (3, 4, false)]), 9).unwrap_err().to_string();
        assert_eq!(
            words,
            "pairs: expected at least two people with a genuine pair, found 1; give another list or a larger --count"
        );
    }
}
