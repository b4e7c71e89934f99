//! The report as a page: well-formed, complete, harmless, and the pairs it shows the hardest.
//! Knows no browser; a small reader of tags stands for one.

use arcface_eval::report::{FigureTable, Page, Plot, ShownFace, ShownPair, hardest, html, roc_plot};
use arcface_eval::{Roc, verify};
use proptest::prelude::*;

use crate::formula_pairs;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n...";
const JPEG: &[u8] = &[0xff, 0xd8, 0xff, 0xe0, 1, 2];

fn pair(number: usize, distance: f64, name: &str, picture: &[u8]) -> ShownPair {
    let face = ShownFace { name: name.to_owned(), picture: picture.to_owned() };
    ShownPair { number: Some(number), distance, faces: [face.clone(), face] }
}

fn table(word: &str) -> FigureTable {
    let cells = || vec![word.to_owned(), "1.00".to_owned()];
    FigureTable { title: word.to_owned(), head: cells(), rows: vec![cells(), cells()], note: word.to_owned() }
}

/// A page with everything, `word` in every place that takes a text.
fn full(word: &str) -> String {
    let (distances, same) = formula_pairs(603);
    let verification = verify(&distances, &same, 10).unwrap();
    let svg = roc_plot(&[(word, &Roc::from_distances(&distances, &same).unwrap())]).unwrap();
    html(&Page {
        title: word,
        lead: word,
        verification: Some(&verification),
        compared: &[(word, 0.625), ("worse than guessing", 0.4)],
        tables: &[table(word)],
        facts: &[(word, word.to_owned())],
        plots: &[Plot { caption: word, svg: &svg }],
        genuine: &[pair(7, 2.5, word, PNG)],
        impostors: &[pair(9, 0.25, word, JPEG), pair(10, 3.9, word, JPEG)],
        texts: &[(word, word)],
    })
    .unwrap()
}

/// Names of all elements, if each is closed in its turn.
fn elements(page: &str) -> Vec<String> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for tag in page.split('<').skip(1).map(|rest| rest.split_once('>').expect("a tag without an end").0) {
        let name: String =
            tag.trim_start_matches('/').chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
        if tag.starts_with('!') {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closed by <{tag}>");
            continue;
        }
        if !tag.ends_with('/') {
            open.push(name.clone());
        }
        all.push(name);
    }
    assert!(open.is_empty(), "left open: {open:?}");
    all
}

#[test]
fn a_page_shows_all_that_it_was_given() {
    let page = full("runs/mine");
    let all = elements(&page);
    let count = |name: &str| all.iter().filter(|element| *element == name).count();
    assert_eq!((count("svg"), count("img"), count("h1"), count("pre")), (1, 6, 1, 1));
    for words in [
        "<dt>Accuracy</dt>",
        "TAR at FAR 1e-2",
        "; too few impostor pairs for 1e-3, 1e-4",
        "62.50 %",
        "width:25.0%",
        "width:0.0%",
        "Hardest genuine pairs",
        "genuine pair 7 of the list",
        "impostor pair 9",
        "<strong>0.250</strong> <span class=\"wrong\">✗ wrong</span>",
        "<strong>3.900</strong> <span class=\"right\">✓ right</span>",
        "data:image/png;base64,iVBORw0KGgouLi4=",
        "data:image/jpeg;base64,/9j/4AEC",
    ] {
        assert!(page.contains(words), "no `{words}` in the page");
    }
}

#[test]
fn a_page_of_nothing_but_a_title_has_no_sections() {
    let page = html(&Page { title: "empty", ..Page::default() }).unwrap();
    assert!(!elements(&page).iter().any(|name| ["section", "details", "table", "svg"].contains(&name.as_str())));
}

#[test]
fn nothing_is_fetched_and_nothing_runs() {
    let page = full("word");
    let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for outside in ["http:", "https:", "//", "url(", "@import", "<script", "<link", "href"] {
        let within_pictures =
            |at: usize| page[..at].rfind("base64,").is_some_and(|start| !page[start..at].contains('"'));
        let found = page.match_indices(outside).find(|(at, _)| !within_pictures(*at));
        assert_eq!(found, None, "{outside}");
    }
}

#[test]
fn texts_cannot_become_elements() {
    let (harmless, hostile) = (full("word"), full("\"'><script>alert(1)</script><!-- & </title></pre></style>"));
    assert_eq!(elements(&hostile), elements(&harmless));
    assert!(!hostile.contains("<script>"));
}

#[test]
fn what_cannot_be_shown_is_said() {
    let plots = [Plot { caption: "ROC", svg: "<?xml version=\"1.0\"?><svg>" }];
    let message = html(&Page { plots: &plots, ..Page::default() }).unwrap_err();
    insta::assert_snapshot!(message, @"plot `ROC`: expected SVG, which begins with `<svg `, got <?xml version=\"1.0\"?");
    let impostors = [pair(1, 1.0, "a/a_0001", b"GIF89a")];
    let message = html(&Page { impostors: &impostors, ..Page::default() }).unwrap_err();
    insta::assert_snapshot!(message, @"picture of face `a/a_0001`: expected a PNG or JPEG, got 6 bytes that begin with [47, 49, 46, 38]");
    insta::assert_snapshot!(hardest(&[0.1], &[true, false], 1).unwrap_err(), @"distances: expected one per pair, 2, got 1");
    insta::assert_snapshot!(hardest(&[0.1, f64::NAN], &[true, false], 1).unwrap_err(), @"distance of pair 1: expected a number, got NaN");
}

proptest! {
    /// Every pair that is left out is no harder than any that is shown, and of equal ones the first are shown.
    #[test]
    fn no_harder_pair_is_left_out(pairs in prop::collection::vec((0_u8..8, any::<bool>()), 0..40), most in 0_usize..10) {
        let (distances, same): (Vec<f64>, Vec<bool>) = pairs.iter().map(|(d, same)| (f64::from(*d), *same)).unzip();
        let hardest = hardest(&distances, &same, most).unwrap();
        for (kind, shown) in [(true, &hardest.genuine), (false, &hardest.impostors)] {
            let mut expected: Vec<usize> = (0..same.len()).filter(|index| same[*index] == kind).collect();
            let sign = if kind { -1.0 } else { 1.0 };
            // Insertion of each before the first that is easier.
            for i in 1..expected.len() {
                let mut j = i;
                while 0 < j && sign * distances[expected[j]] < sign * distances[expected[j - 1]] {
                    expected.swap(j, j - 1);
                    j -= 1;
                }
            }
            expected.truncate(most);
            prop_assert_eq!(shown.iter().map(|pair| pair.index).collect::<Vec<_>>(), expected);
            prop_assert!(shown.iter().all(|pair| distances[pair.index].to_bits() == pair.distance.to_bits()));
        }
    }
}
