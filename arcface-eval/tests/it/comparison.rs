//! Variants compared: figures, tests, table, plot and page.
//! Knows no private function.

use std::collections::BTreeMap;

use arcface_eval::comparison::{Comparison, Scored, Variant, compare};
use arcface_eval::report::{
    ComparisonPage, FaceRows, FigureTable, ShownFace, comparison_html, comparison_plot, comparison_table,
};
use arcface_eval::verification::contributions;
use arcface_eval::{verify, verify_folds};
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::{assert_near, formula_pairs};

/// The pairs of the formula, the distances of every `wrong`-th turned round.
fn scored(wrong: usize) -> Scored {
    let (distances, same) = formula_pairs(400);
    let turned = |(index, distance): (usize, f64)| if index.is_multiple_of(wrong) { 4.0 - distance } else { distance };
    let distances = distances.into_iter().enumerate().map(turned).collect();
    Scored { distances, same, folds: (0..400).map(|index| index / 100).collect() }
}

fn variant(name: &str, runs: &[(u64, usize)]) -> Variant {
    let runs = runs.iter().map(|(seed, wrong)| (*seed, scored(*wrong))).collect();
    Variant { name: name.to_owned(), runs, ..Variant::default() }
}

fn variants() -> Vec<Variant> {
    let failed = BTreeMap::from([(0, "training has diverged".to_owned()), (1, "a | b".to_owned())]);
    vec![
        Variant { published: Some(0.9953), ..variant("arcface", &[(0, 97), (1, 89)]) },
        variant("softmax", &[(0, 5), (1, 6)]),
        variant("normface", &[(0, 101), (1, 83)]),
        Variant { failures: failed, ..variant("cosface", &[]) },
    ]
}

fn comparison() -> Comparison {
    compare("arcface", &[("formula".to_owned(), variants())]).unwrap().remove(0)
}

#[test]
fn the_table() {
    assert_snapshot!(comparison_table(&comparison()), @r"
    | formula | seeds | accuracy, % | − arcface | 95 % interval | beyond noise (p) | by the grid, % | TAR@1e-1, % | TAR@1e-2, % | AUC | paper |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | arcface | 2 | 94.00 ± 0.00 | – | – | – | 94.25 ± 0.71 | 98.25 ± 0.35 | 84.25 ± 0.35 | 0.9821 ± 0.0094 | 99.53 |
    | softmax | 2 | 78.00 ± 2.83 | −16.00 | −25.86 to −6.14 | yes (0.038) | 77.62 ± 2.65 | 51.50 ± 27.58 | 30.25 ± 42.78 | 0.8406 ± 0.0504 | – |
    | normface | 2 | 94.25 ± 0.00 | +0.25 | −0.79 to +1.29 | no (0.638) | 94.12 ± 0.18 | 98.50 ± 0.71 | 84.50 ± 0.71 | 0.9836 ± 0.0022 | – |
    | cosface | 0 | – | – | – | – | – | – | – | – | – |

    `cosface`, seed 0, failed: training has diverged

    `cosface`, seed 1, failed: a | b
    ");
}

#[test]
fn one_seed_has_no_deviation_and_no_row_without_one_fails() {
    let alone = [variant("arcface", &[(0, 97)]), variant("softmax", &[(0, 5)])];
    let comparison = compare("arcface", &[("formula".to_owned(), alone.to_vec())]).unwrap().remove(0);
    assert!(comparison.rows.iter().flat_map(|row| &row.figures).all(|figure| figure.deviation.is_none()));
    assert_eq!(comparison.rows[1].difference.as_ref().unwrap().test.runs, 1);
    assert!(!comparison_table(&comparison).contains('±'));
    let elsewhere = [variant("arcface", &[(0, 97)]), variant("softmax", &[(1, 5)])];
    let comparison = compare("arcface", &[("formula".to_owned(), elsewhere.to_vec())]).unwrap().remove(0);
    assert!(comparison.rows.iter().all(|row| row.difference.is_none()));
    assert!(
        compare("nobody", &[("formula".to_owned(), variants())]).unwrap()[0]
            .rows
            .iter()
            .all(|row| row.difference.is_none())
    );
}

#[test]
fn differences_are_those_of_the_accuracies() {
    let comparison = comparison();
    let accuracy = |index: usize| comparison.rows[index].figure("accuracy").unwrap().mean;
    for index in [1, 2] {
        let difference = comparison.rows[index].difference.as_ref().unwrap();
        assert_near(difference.test.difference, accuracy(index) - accuracy(0), 1e-12);
    }
}

/// Every comparison of the table is one more chance of a false alarm, whatever its benchmark.
#[test]
fn p_values_are_corrected_over_all_benchmarks() {
    let one = comparison();
    let many: Vec<(String, Vec<Variant>)> = (0..5).map(|index| (index.to_string(), variants())).collect();
    let many = compare("arcface", &many).unwrap();
    let p = |comparison: &Comparison| comparison.rows[2].difference.as_ref().unwrap().p_holm;
    assert!(p(&one) <= p(&many[0]) && p(&one) <= 1.0);
    let raw = one.rows[1].difference.as_ref().unwrap();
    assert_near(many[0].rows[1].difference.as_ref().unwrap().p_holm, (10.0 * raw.test.p).min(1.0), 1e-12);
}

#[test]
fn networks_of_one_seed_must_have_met_the_same_pairs() {
    let mut variants = variants();
    variants[1].runs.get_mut(&1).unwrap().same.swap(0, 1);
    let error = compare("arcface", &[("formula".to_owned(), variants)]).unwrap_err();
    assert_snapshot!(error, @"pairs of `softmax` with seed 1: expected those of `arcface`, got others");
}

#[test]
fn a_plot_names_every_row_and_a_page_holds_it() {
    let comparison = comparison();
    let svg = comparison_plot(&comparison).unwrap();
    for row in &comparison.rows {
        assert!(svg.contains(&row.name), "{}", row.name);
    }
    assert_eq!(svg.matches("<circle").count(), 6);
    assert!(svg.contains("failed"));
    let face = ShownFace { name: "first".to_owned(), picture: vec![0xff, 0xd8, 0xff, 0] };
    let page = comparison_html(&ComparisonPage {
        title: "<losses>",
        lead: "lead & all",
        comparisons: &[comparison],
        tables: &[FigureTable {
            title: "faces".to_owned(),
            note: "by <the judge>".to_owned(),
            ..FigureTable::default()
        }],
        faces: &[FaceRows { title: "made".to_owned(), rows: vec![("a & b".to_owned(), vec![face])] }],
        facts: &[("seeds", "0, 1".to_owned())],
        texts: &[("base", "seed = 0")],
    })
    .unwrap();
    for words in [
        "&lt;losses&gt;",
        "<svg ",
        "training has diverged",
        "99.53",
        "beyond noise",
        "seed = 0",
        "&lt;the judge&gt;",
        "a &amp; b</th><td><img ",
    ] {
        assert!(page.contains(words), "no {words}");
    }
    assert!(!page.contains("http://www.w3.org/1999") && !page.contains("<script"));
}

#[test]
fn nothing_but_failures_has_a_table_and_no_plot() {
    let failed = Variant { name: "arcface".to_owned(), failures: [(0, "why".to_owned())].into(), ..Variant::default() };
    let comparison = compare("arcface", &[("pairs".to_owned(), vec![failed])]).unwrap().remove(0);
    assert_snapshot!(comparison_table(&comparison), @r"
    | pairs | seeds | accuracy, % | − arcface | 95 % interval | beyond noise (p) |
    | --- | ---: | ---: | ---: | ---: | ---: |
    | arcface | 0 | – | – | – | – |

    `arcface`, seed 0, failed: why
    ");
    assert_snapshot!(comparison_plot(&comparison).unwrap_err(), @"accuracies to plot: expected at least one, got 0");
    assert!(comparison_html(&ComparisonPage { comparisons: &[comparison], ..ComparisonPage::default() }).is_ok());
}

proptest! {
    /// Whatever the folds, the mean over pairs is the accuracy, and nothing is counted of a pair that is judged wrongly.
    #[test]
    fn contributions_are_the_accuracy(
        pairs in prop::collection::vec((0_u8..=40, any::<bool>(), 0_usize..4), 8..60),
    ) {
        let distances: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.0) / 10.0).collect();
        let mut same: Vec<bool> = pairs.iter().map(|pair| pair.1).collect();
        (same[0], same[1]) = (true, false);
        let folds: Vec<usize> = pairs.iter().map(|pair| pair.2).collect();
        let judged = contributions(&distances, &same, &folds).unwrap();
        let mean = judged.iter().sum::<f64>() / judged.len() as f64;
        assert_near(mean, verify_folds(&distances, &same, &folds).unwrap().accuracy, 1e-12);
        let judged = contributions(&distances, &same, &vec![7; folds.len()]).unwrap();
        let mean = judged.iter().sum::<f64>() / judged.len() as f64;
        assert_near(mean, verify(&distances, &same, 10.min(folds.len())).unwrap().accuracy, 1e-12);
    }
}
