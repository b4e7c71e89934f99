//! All pairs of faces and of videos, and listed pairs of videos.

use std::fs;

use tempfile::tempdir;

use super::{all_pairs, assert_rates, cosine, drawn_faces, eval, face, files, sum, unit, wide, write};
use crate::report::assert_shown;
use crate::tiny::{succeed, train};

#[test]
fn faces_are_compared_with_all_others() {
    let folder = tempdir().unwrap();
    let own: Vec<(usize, usize)> = (0..9).flat_map(|person| (0..4).map(move |image| (person, image))).collect();
    let others: Vec<(usize, usize)> = (0..150).map(|number| (50 + number, 0)).collect();
    let rows: Vec<Vec<f32>> = own.iter().chain(&others).map(|&(person, image)| face(person, image)).collect();
    let names = own.iter().map(|(person, image)| format!("x/faces/p{person}/{image}.jpg"));
    let names: Vec<String> =
        names.chain(others.iter().map(|(number, _)| format!("x/distractors/a/{number}.jpg"))).collect();
    write(&folder.path().join("e.npy"), &rows, &names);
    let document = eval(folder.path(), &["lfr-image", "--features", "e.npy", "--out", "out"]);
    let rows: Vec<Vec<f64>> = rows.iter().map(|row| wide(row)).collect();
    let persons: Vec<usize> = own.iter().map(|(person, _)| *person).collect();
    let mut scores = all_pairs(&rows[..own.len()], &persons);
    for a in &rows[..own.len()] {
        scores.extend(rows[own.len()..].iter().map(|b| (cosine(a, b), false)));
    }
    assert_rates(&document, "", &scores);
    assert_eq!(document["details"]["rates"][0]["impostors"], 36 * 35 / 2 - 9 * 6 + 36 * 150);
    assert_shown(folder.path(), &folder.path().join("out/report.html"), 2, 0);
}

/// Rows of frames: of each of 10 persons 3 videos of 2 to 5 frames.
fn frames() -> (Vec<Vec<f32>>, Vec<String>) {
    let video = |video: usize| (0..2 + video % 4).map(move |frame| (video, frame));
    let frames: Vec<(usize, usize)> = (0..30).flat_map(video).collect();
    let row = |&(video, frame): &(usize, usize)| face(video / 3, 100 * video + frame);
    let name = |(video, frame): &(usize, usize)| format!("x/videos/p{}/{}/{frame}.jpg", video / 3, video % 3);
    (frames.iter().map(row).collect(), frames.iter().map(name).collect())
}

/// The mean of each video's frames, of a length that counts or does not.
fn means(rows: &[Vec<f32>], by_length: bool) -> Vec<Vec<f64>> {
    let mut first = 0;
    let mut mean = |video: usize| {
        let own = &rows[first..first + 2 + video % 4];
        first += own.len();
        let frames: Vec<Vec<f64>> =
            own.iter().map(|row| if by_length { wide(row) } else { unit(&wide(row)) }).collect();
        sum(&frames).iter().map(|value| value / frames.len() as f64).collect()
    };
    (0..30).map(&mut mean).collect()
}

#[test]
fn videos_are_the_means_of_their_frames() {
    let folder = tempdir().unwrap();
    let (rows, names) = frames();
    write(&folder.path().join("e.npy"), &rows, &names);
    let persons: Vec<usize> = (0..30).map(|video| video / 3).collect();
    for (norm, by_length) in [("kept", true), ("unit", false)] {
        let document = eval(folder.path(), &["lfr-video", "--features", "e.npy", "--norm", norm]);
        assert_rates(&document, "", &all_pairs(&means(&rows, by_length), &persons));
        assert_eq!((&document["details"]["videos"], &document["details"]["frames"]), (&30.into(), &rows.len().into()));
    }
}

/// YTF's figures are those of the mean embeddings as a benchmark of one's own.
#[test]
fn listed_videos_are_verified_by_folds() {
    let folder = tempdir().unwrap();
    let (rows, names) = frames();
    write(&folder.path().join("e.npy"), &rows, &names);
    let name = |video: usize| format!("p{}/{}", video / 3, video % 3);
    let pairs: Vec<(usize, usize)> = (0..60)
        .map(|pair| {
            if pair % 2 == 0 {
                (pair / 2, pair / 2 / 3 * 3 + (pair / 2 + 1) % 3)
            } else {
                (pair / 2, (pair / 2 + 7) % 30)
            }
        })
        .collect();
    let line = |(index, &(a, b)): (usize, &(usize, usize))| {
        format!("{}, {}, {}, {}\n", index / 20 + 1, name(a), name(b), u8::from(a / 3 == b / 3))
    };
    let splits: String = pairs.iter().enumerate().map(line).collect();
    fs::write(
        folder.path().join("splits.txt"),
        "split number, first name, second name, is same\n".to_owned() + &splits,
    )
    .unwrap();
    let document = eval(folder.path(), &["ytf", "--dir", ".", "--features", "e.npy"]);
    let means: Vec<Vec<f32>> =
        means(&rows, true).iter().map(|row| row.iter().map(|value| *value as f32).collect()).collect();
    write(&folder.path().join("means.npy"), &means, &[]);
    let csv =
        |(index, &(a, b)): (usize, &(usize, usize))| format!("{a},{b},{},{}\n", u8::from(a / 3 == b / 3), index / 20);
    let list: String = pairs.iter().enumerate().map(csv).collect();
    fs::write(folder.path().join("pairs.csv"), "a,b,same,fold\n".to_owned() + &list).unwrap();
    let plain = eval(folder.path(), &["embeddings", "means.npy", "--pairs", "pairs.csv"]);
    let [ytf, plain] = [document, plain].map(|document| document["details"]["benchmarks"][0].clone());
    for figure in ["accuracy", "accuracies", "auc", "eer", "tar_at_far", "genuine", "folds"] {
        assert_eq!(ytf[figure], plain[figure], "{figure}");
    }
    assert_eq!(ytf["accuracies"].as_array().unwrap().len(), 3);
}

/// Frames that a network sees, with its hardest pairs as pictures.
#[test]
fn a_network_sees_frames() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    drawn_faces(folder.path(), "drawn", "100", "6", "4");
    for file in files(&folder.path().join("drawn")) {
        let number = files(&folder.path().join("drawn")).iter().position(|other| *other == file).unwrap();
        let video = folder.path().join(format!("ytf/frames/p{}/{}", number / 4, number % 4 / 2));
        fs::create_dir_all(&video).unwrap();
        fs::copy(file, video.join(format!("{number}.png"))).unwrap();
    }
    let genuine = (0..6).map(|person| format!("{}, p{person}/0, p{person}/1, 1\n", person % 2 + 1));
    let impostors = (0..6).map(|person| format!("{}, p{person}/0, p{}/1, 0\n", person % 2 + 1, (person + 1) % 6));
    fs::write(folder.path().join("ytf/splits.txt"), genuine.chain(impostors).collect::<String>()).unwrap();
    let document = eval(folder.path(), &["ytf", "runs/one", "--dir", "ytf", "--out", "out", "--half"]);
    assert_eq!(document["details"]["benchmarks"][0]["genuine"], 6);
    assert_shown(folder.path(), &folder.path().join("out/report.html"), 1, 24);
    fs::rename(folder.path().join("ytf/frames"), folder.path().join("ytf/videos")).unwrap();
    let videos = eval(folder.path(), &["lfr-video", "runs/one", "--dir", "ytf", "--cache", "other", "--out", "videos"]);
    assert_eq!(videos["details"]["videos"], 12);
    // All six genuine pairs, and the twelve hardest of the others.
    assert_shown(folder.path(), &folder.path().join("videos/report.html"), 2, 2 * (6 + 12));
}

/// The hardest pairs are those of all pairs, also with distractors.
#[test]
fn a_network_sees_faces_and_distractors() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    drawn_faces(folder.path(), "set/faces", "100", "5", "3");
    drawn_faces(folder.path(), "set/distractors", "200", "4", "3");
    let document = eval(folder.path(), &["lfr-image", "runs/one", "--dir", "set", "--out", "out"]);
    assert_eq!((&document["details"]["faces"], &document["details"]["distractors"]), (&15.into(), &12.into()));
    assert_shown(folder.path(), &folder.path().join("out/report.html"), 2, 48);
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    let names: Vec<&str> = page.split("alt=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let person = |name: &str| name.rsplit('/').nth(1).unwrap().to_owned();
    let pairs: Vec<bool> = names.chunks(2).map(|pair| person(pair[0]) == person(pair[1])).collect();
    assert_eq!(pairs, [[true; 12], [false; 12]].concat());
    assert!(!page.contains("of the list"));
}
