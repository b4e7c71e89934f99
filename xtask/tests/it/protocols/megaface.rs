//! Probes among distractors beside a plain computation, with and without the wrong faces.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use super::{assert_near, assert_rates, cosine, drawn_faces, eval, face, figure, files, lines, wide, write};
use crate::report::assert_shown;
use crate::tiny::{succeed, train};

const PERSONS: usize = 8;
const IMAGES: usize = 5;
const DISTRACTORS: usize = 120;

/// Probes, distractors, and their names.
fn sets() -> (Vec<Vec<f32>>, Vec<String>) {
    let probes = (0..PERSONS).flat_map(|person| (0..IMAGES).map(move |image| (person, image)));
    let distractors = (0..DISTRACTORS).map(|number| (100 + number, 0));
    let faces: Vec<(usize, usize)> = probes.chain(distractors).collect();
    let name = |&(person, image): &(usize, usize)| {
        let distractor = || format!("x/megaface/{}/{person}.jpg", person % 7);
        if person < PERSONS { format!("x/facescrub/p{person}/{image}.jpg") } else { distractor() }
    };
    (faces.iter().map(|&(person, image)| face(person, image)).collect(), faces.iter().map(name).collect())
}

/// Scores of the verification, and rank 1 among all distractors, of the faces that are kept.
fn plain(rows: &[Vec<f32>], keep: impl Fn(usize) -> bool) -> (Vec<(f64, bool)>, f64) {
    let rows: Vec<Vec<f64>> = rows.iter().map(|row| wide(row)).collect();
    let probes: Vec<usize> = (0..PERSONS * IMAGES).filter(|row| keep(*row)).collect();
    let distractors: Vec<usize> = (PERSONS * IMAGES..rows.len()).filter(|row| keep(*row)).collect();
    let (mut scores, mut found, mut all) = (Vec::new(), 0, 0);
    for &a in &probes {
        let strangers: Vec<f64> = distractors.iter().map(|b| cosine(&rows[a], &rows[*b])).collect();
        let nearest = strangers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        scores.extend(strangers.into_iter().map(|score| (score, false)));
        for &b in probes.iter().filter(|b| **b != a && **b / IMAGES == a / IMAGES) {
            let score = cosine(&rows[a], &rows[b]);
            found += usize::from(nearest < score);
            all += 1;
            if a < b {
                scores.push((score, true));
            }
        }
    }
    (scores, f64::from(found as u32) / f64::from(all as u32))
}

#[test]
fn figures_are_those_of_a_plain_computation() {
    let folder = tempdir().unwrap();
    let (rows, names) = sets();
    write(&folder.path().join("e.npy"), &rows, &names);
    let document = eval(folder.path(), &["megaface", "--features", "e.npy", "--out", "out"]);
    let (scores, rank) = plain(&rows, |_| true);
    assert_rates(&document, "", &scores);
    assert_near(figure(&document, "rank 1 of 120"), Some(rank), "rank 1");
    let [few, many] = ["rank 1 of 10", "rank 1 of 100"].map(|name| figure(&document, name).unwrap());
    assert!(rank <= many && many <= few);
    assert_shown(folder.path(), &folder.path().join("out/report.html"), 3, 0);
    let other = eval(folder.path(), &["megaface", "--features", "e.npy", "--seed", "1"]);
    assert_near(figure(&other, "rank 1 of 120"), Some(rank), "rank 1");
    assert_ne!(other["figures"], document["figures"]);
}

#[test]
fn wrong_faces_are_left_out() {
    let folder = tempdir().unwrap();
    let (rows, names) = sets();
    write(&folder.path().join("e.npy"), &rows, &names);
    let wrong = [3, 17, 44, 45, 99];
    let listed = |from: usize, to: usize| -> String {
        let own = wrong.iter().filter(|row| from <= **row && **row < to);
        lines(own.map(|row| names[*row].splitn(3, '/').last().unwrap().to_owned()))
    };
    let probes = PERSONS * IMAGES;
    fs::write(folder.path().join("facescrub_noises.txt"), "# wrong\n".to_owned() + &listed(0, probes)).unwrap();
    fs::write(folder.path().join("megaface_noises.txt"), listed(probes, names.len())).unwrap();
    let document = eval(folder.path(), &["megaface", "--dir", ".", "--features", "e.npy", "--refined"]);
    let (scores, rank) = plain(&rows, |row| !wrong.contains(&row));
    assert_rates(&document, "", &scores);
    assert_near(figure(&document, "rank 1 of 117"), Some(rank), "rank 1");
    assert_eq!(document["protocol"], "MegaFace, refined");
}

/// Feature files that were written give the figures of the network.
#[test]
fn feature_files_stand_for_the_network() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    drawn_faces(folder.path(), "set/facescrub", "100", "4", "3");
    drawn_faces(folder.path(), "set/megaface", "200", "9", "2");
    let asked = ["megaface", "runs/one", "--dir", "set", "--write-features", "bins", "--out", "out"];
    let network = eval(folder.path(), &asked);
    // All twelve genuine pairs, and as many of the others.
    assert_shown(folder.path(), &folder.path().join("out/report.html"), 3, 48);
    let written = files(&folder.path().join("bins"));
    assert_eq!(written.len(), 12 + 18);
    assert!(written.iter().all(|file| file.ends_with("png.bin") && (length(file) - 1.0).abs() < 1e-4), "{written:?}");
    let again = eval(folder.path(), &["megaface", "--features", "bins"]);
    assert_eq!(again["figures"], network["figures"]);
    assert_eq!(values(&again), values(&network));
}

/// Length of the features, as four i32 and f32 behind them.
fn length(file: &str) -> f64 {
    let bytes = fs::read(Path::new(file)).unwrap();
    let words: Vec<[u8; 4]> = bytes.chunks_exact(4).map(|word| word.try_into().unwrap()).collect();
    assert_eq!(words[..4].iter().map(|word| i32::from_le_bytes(*word)).collect::<Vec<_>>(), [128, 1, 4, 5]);
    let square: f64 = words[4..].iter().map(|word| f64::from(f32::from_le_bytes(*word)).powi(2)).sum();
    square.sqrt()
}

fn values(document: &Value) -> Vec<&Value> {
    ["probes", "persons", "distractors"].iter().map(|name| &document["details"][name]).collect()
}
