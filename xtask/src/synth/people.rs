//! People of a list of pairs: one face of each is aimed at, and what is made is to pass for another of the same person.
//! Knows no network.

use std::collections::BTreeMap;

use anyhow::bail;
use arcface_data::PairSet;
use arcface_data::pairs::folder;

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
    /// At most `count` people of `set`. Whoever genuine pairs join is one person, and whoever lies in one folder, unless
    /// folders hold several people.
    ///
    /// # Errors
    /// If there are fewer than two with a genuine pair.
    pub(super) fn of(set: PairSet, count: usize) -> anyhow::Result<Self> {
        let genuine: Vec<[usize; 2]> =
            set.positions.iter().zip(set.list.same()).filter(|(_, same)| *same).map(|(pair, _)| *pair).collect();
        let persons = joined(set.images.len(), &[&genuine[..], &of_folders(&set)].concat());
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

/// Faces of one folder by their keys, each with the first of it; none if an impostor pair lies in a folder.
fn of_folders(set: &PairSet) -> Vec<[usize; 2]> {
    let of_pairs = || set.list.pairs.iter().zip(&set.positions);
    if of_pairs().any(|(pair, _)| !pair.same && folder(&pair.a).is_some_and(|of_a| folder(&pair.b) == Some(of_a))) {
        return Vec::new();
    }
    let mut first = BTreeMap::new();
    let keys = of_pairs().flat_map(|(pair, places)| [(&pair.a, places[0]), (&pair.b, places[1])]);
    let known = keys.filter_map(|(key, place)| Some((folder(key)?, place)));
    known.map(|(folder, place)| [*first.entry(folder).or_insert(place), place]).collect()
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
    fn a_folder_is_a_person_unless_it_holds_several() {
        let in_folders = |folders: [&str; 4], impostor: bool| {
            let mut set = set(&[(0, 1, true), (2, 3, true), (4, 5, true), (6, 7, !impostor)]);
            for (pair, folder) in set.list.pairs.iter_mut().zip(folders) {
                (pair.a, pair.b) = (format!("{folder}/{}", pair.a), format!("{folder}/{}", pair.b));
            }
            People::of(set, 9).unwrap().aimed
        };
        assert_eq!(in_folders(["x", "x", "y", "z"], false), [0, 4, 6]);
        assert_eq!(in_folders(["x", "x", "x", "x"], true), [0, 2, 4]);
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
