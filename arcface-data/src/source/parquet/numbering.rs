//! Shards that count themselves, `train-00001-of-00005.parquet`: whether all of them are there.
//! Knows names only and opens nothing.

use std::collections::{BTreeMap, BTreeSet};

/// Most names that a message lists.
const LISTED: usize = 8;

/// The shards that are missing beside those of these names, which have no extension; `None` where none is.
pub(super) fn missing<'a>(stems: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut sets: BTreeMap<(&str, &str), BTreeSet<u64>> = BTreeMap::new();
    for (set, number) in stems.filter_map(numbered) {
        sets.entry(set).or_default().insert(number);
    }
    let names = sets.iter().flat_map(|((set, total), numbers)| {
        absent(total, numbers).map(move |number| format!("{set}-{number:0width$}-of-{total}", width = total.len()))
    });
    let mut listed: Vec<String> = names.take(LISTED + 1).collect();
    if LISTED < listed.len() {
        "…".clone_into(&mut listed[LISTED]);
    }
    (!listed.is_empty()).then(|| listed.join(", "))
}

/// The set that a shard belongs to, its name and how many shards it has, and the shard's number; `None` for a file that
/// does not count. Behind the count may stand a hash, as older hubs wrote it.
fn numbered(stem: &str) -> Option<((&str, &str), u64)> {
    let (before, after) = stem.rsplit_once("-of-")?;
    let (set, number) = before.rsplit_once('-')?;
    let total = after.split('-').next()?;
    total.parse::<u64>().ok()?;
    Some(((set, total), number.parse().ok()?))
}

/// The numbers that a set lacks, counted from 0 or, where there is one of its total, from 1.
fn absent<'a>(total: &str, numbers: &'a BTreeSet<u64>) -> impl Iterator<Item = u64> + use<'a> {
    let total = total.parse().unwrap_or(0);
    let first = u64::from(!numbers.contains(&0) && numbers.contains(&total));
    (first..first.saturating_add(total)).filter(|number| !numbers.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stems: &[&str], expected: Option<&str>) {
        assert_eq!(missing(stems.iter().copied()).as_deref(), expected, "{stems:?}");
    }

    #[test]
    fn what_is_missing_is_named_as_its_neighbours_are() {
        check(&["train-00000-of-00002", "train-00001-of-00002"], None);
        check(&["train-00001-of-00003"], Some("train-00000-of-00003, train-00002-of-00003"));
        check(&["train-0-of-2-b42a775f407cee45"], Some("train-1-of-2"));
        check(&["a-b-2-of-3", "a-b-1-of-3", "a-b-3-of-3"], None);
        check(&["x-0-of-1", "y-1-of-2"], Some("y-0-of-2"));
    }

    #[test]
    fn names_that_do_not_count_are_whole() {
        check(&["train", "best-of-all", "1-of-2", "a-x-of-3", "a-1-of-x"], None);
        check(&[], None);
    }

    #[test]
    fn an_endless_count_is_cut_short() {
        let names = (1..=8).map(|number| format!("a-{number:020}-of-{}", u64::MAX)).collect::<Vec<_>>().join(", ");
        check(&[&format!("a-0-of-{}", u64::MAX)], Some(&format!("{names}, …")));
    }
}
