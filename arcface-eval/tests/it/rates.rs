//! Tables, curves and hardest pairs of evaluations that are too large for one score per pair.

use arcface_eval::report::{FigureTable, det_plot, hardest, hardest_listed, rates_plot};
use arcface_eval::scores::Faces;
use arcface_eval::{Pairs, TarAtFar, tar_at_far};

use crate::formula_faces;

fn rates(faces: usize) -> TarAtFar {
    let (embeddings, identities) = formula_faces(faces, 24, 7);
    tar_at_far(&[Pairs::Within(Faces { rows: &embeddings, identities: &identities })], &[1.0, 1e-2]).unwrap()
}

#[test]
fn curves_are_drawn_with_their_names() {
    let (few, many) = (rates(40), rates(90));
    for plot in [rates_plot, det_plot] {
        let svg = plot(&[("few faces", &few), ("many faces", &many)]).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("few faces") && svg.contains("many faces"));
        let drawn = |colour: &str| svg.matches(&format!("stroke=\"{colour}\" stroke-width=\"2\"")).count();
        // A curve and its sign in the legend.
        assert_eq!((drawn("#0072B2"), drawn("#D55E00")), (2, 2), "{svg}");
    }
    let error = rates_plot(&[]).unwrap_err().to_string();
    assert_eq!(error, "curves of rates: expected at least one, got 0");
}

#[test]
fn hardest_pairs_are_those_of_all_distances() {
    let (embeddings, identities) = formula_faces(900, 8, 31);
    // More pairs than are held at a time.
    let pairs: Vec<(u32, u32)> = (0..900).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
    assert!(1 << 18 < pairs.len());
    let same: Vec<bool> = pairs.iter().map(|&(a, b)| identities[a as usize] == identities[b as usize]).collect();
    let places: Vec<(usize, usize)> = pairs.iter().map(|&(a, b)| (a as usize, b as usize)).collect();
    let expected = hardest(&embeddings.squared_distances(&places).unwrap(), &same, 20).unwrap();
    assert_eq!(hardest_listed(&embeddings, &pairs, &same, 20).unwrap(), expected);
    assert!(hardest_listed(&embeddings, &pairs, &same[1..], 20).is_err());
}

#[test]
fn tables_are_aligned() {
    let cells = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
    let table = FigureTable {
        title: "1:N".to_owned(),
        head: cells(["", "G1", "gallery 2"]),
        rows: vec![cells(["rank 1", "95.12", "94.3"]), cells(["TPIR@FPIR 0.1", "–", "90.00"])],
        note: "Rates in percent.".to_owned(),
    };
    insta::assert_snapshot!(table.text(), @r"
    1:N
                      G1  gallery 2
    rank 1         95.12       94.3
    TPIR@FPIR 0.1      –      90.00
    Rates in percent.
    ");
}
