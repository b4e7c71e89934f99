//! Benchmarks of one's own.

use std::fs;

use tempfile::tempdir;

use super::{all_pairs, assert_rates, drawn_faces, eval, face, figure, lines, wide, write};
use crate::report::assert_shown;
use crate::tiny::{succeed, train, xtask};

#[test]
fn all_pairs_have_the_rates_of_a_plain_computation() {
    let folder = tempdir().unwrap();
    let images: Vec<(usize, usize)> = (0..12).flat_map(|person| (0..7).map(move |image| (person, image))).collect();
    let rows: Vec<Vec<f32>> = images.iter().map(|&(person, image)| face(person, image)).collect();
    let names: Vec<String> = images.iter().map(|(person, image)| format!("faces/p{person}/{image}.jpg")).collect();
    write(&folder.path().join("e.npy"), &rows, &names);
    let labels = lines(images.iter().map(|(person, _)| format!("person {person}")));
    fs::write(folder.path().join("labels.txt"), labels).unwrap();
    let by_label = eval(folder.path(), &["embeddings", "e.npy", "--labels", "labels.txt", "--out", "out"]);
    let persons: Vec<usize> = images.iter().map(|(person, _)| *person).collect();
    let scores = all_pairs(&rows.iter().map(|row| wide(row)).collect::<Vec<_>>(), &persons);
    assert_rates(&by_label, "", &scores);
    // 3486 pairs, of which 252 are genuine.
    assert_eq!((figure(&by_label, "TAR@1e-4"), figure(&by_label, "TAR@1e-3").is_some()), (None, true));
    assert_eq!(by_label["details"]["rates"][0]["impostors"], 3234);
    assert_shown(folder.path(), &folder.path().join("out/report.html"), 2, 0);
    let by_folder = eval(folder.path(), &["embeddings", "e.npy", "--all-pairs"]);
    assert_eq!(by_folder["figures"], by_label["figures"]);
    let one = eval(folder.path(), &["embeddings", "e.npy", "--all-pairs", "--far", "0.5,0.02"]);
    assert_rates(&one, "", &scores);
    let text =
        String::from_utf8(succeed(xtask(folder.path()).args(["eval", "embeddings", "e.npy", "--all-pairs"])).stdout);
    assert!(text.unwrap().ends_with("so many impostor pairs can show is 3.1e-4; below it stands –.\n"));
}

/// Embeddings that `embed` wrote give the figures that `eval` gives for the images.
#[test]
fn listed_pairs_have_the_figures_of_the_network() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    drawn_faces(folder.path(), "faces", "100", "6", "4");
    let draw = ["data", "pairs", "faces", "--out", "pairs.csv", "--count", "30", "--folds", "3"];
    succeed(xtask(folder.path()).args(draw));
    let direct = eval(folder.path(), &["runs/one", "--images", "faces", "--pairs", "pairs.csv", "--mirror"]);
    for (out, more) in [("single.npy", None), ("half.npy", Some("--half")), ("half.safetensors", Some("--half"))] {
        let mut embed = xtask(folder.path());
        embed.args(["embed", "runs/one", "--images", "faces", "--mirror", "--out", out]).args(more);
        succeed(&mut embed);
        let again = eval(folder.path(), &["embeddings", out, "--pairs", "pairs.csv", "--out", "out"]);
        let entry = &again["details"]["benchmarks"][0];
        let tolerance = if more.is_some() { 4e-3 } else { 1e-6 };
        let apart = |name: &str| (direct[name].as_f64().unwrap() - entry[name].as_f64().unwrap()).abs();
        assert!(apart("threshold") < tolerance, "{out}: {}", apart("threshold"));
        if more.is_none() {
            assert_eq!((&entry["accuracies"], &entry["genuine"]), (&direct["accuracies"], &direct["genuine"]));
            assert!(apart("auc") < 1e-12 && apart("eer") < 1e-12);
        }
        assert_shown(folder.path(), &folder.path().join("out/report.html"), 1, 48);
    }
    eval(folder.path(), &["embeddings", "single.npy", "--all-pairs", "--out", "all"]);
    assert_shown(folder.path(), &folder.path().join("all/report.html"), 2, 48);
    let length = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
    assert_eq!((length("single.npy"), length("half.npy")), (128 + 4 * 24 * 128, 128 + 2 * 24 * 128));
}

#[test]
fn rows_without_names_are_called_by_their_numbers() {
    let folder = tempdir().unwrap();
    let rows: Vec<Vec<f32>> = (0..8).map(|row| face(row / 2, row % 2)).collect();
    write(&folder.path().join("e.npy"), &rows, &[]);
    let genuine = lines((0..4).map(|person| format!("{},{},1", 2 * person, 2 * person + 1)));
    let impostors = lines((0..4).map(|person| format!("{},{},0", 2 * person, (2 * person + 3) % 8)));
    fs::write(folder.path().join("pairs.csv"), format!("a,b,same\n{genuine}{impostors}")).unwrap();
    let document = eval(folder.path(), &["embeddings", "e.npy", "--pairs", "pairs.csv"]);
    let entry = &document["details"]["benchmarks"][0];
    assert_eq!((&entry["genuine"], &entry["impostors"]), (&4.into(), &4.into()));
}
