//! Templates: pooling, verification and identification beside a plain computation.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use super::{assert_near, assert_rates, cosine, drawn_faces, eval, face, figure, files, sum, unit, wide, write};
use crate::report::assert_shown;
use crate::tiny::{succeed, train, xtask};

/// Subjects of templates; template t shows subject t % 20.
const TEMPLATES: usize = 70;
const SUBJECTS: usize = 20;

/// An image of a template.
struct Member {
    template: usize,
    media: usize,
    score: f64,
    row: Vec<f32>,
}

/// One to five images of each template, the third and fourth of one video.
fn members() -> Vec<Member> {
    let images = |template: usize| (0..=(template % 5)).map(move |image| (template, image));
    let member = |(number, (template, image)): (usize, (usize, usize))| Member {
        template,
        media: if image == 3 { 1002 } else { 1000 + image },
        score: 0.5 + (number % 7) as f64 / 16.0,
        row: face(template % SUBJECTS, 10 * template + image),
    };
    (0..TEMPLATES).flat_map(images).enumerate().map(member).collect()
}

/// Writes the lists; images are called 1.jpg, 2.jpg, ….
fn lists(folder: &Path, members: &[Member], image: impl Fn(usize) -> String, landmarks: &str) {
    let meta = folder.join("meta");
    fs::create_dir_all(&meta).unwrap();
    let lines = |line: &dyn Fn(usize, &Member) -> String| -> String {
        members.iter().enumerate().map(|(number, member)| line(number, member) + "\n").collect()
    };
    let write = |name: &str, text: String| fs::write(meta.join(format!("ijbc_{name}")), text).unwrap();
    write(
        "face_tid_mid.txt",
        lines(&|number, member| format!("{} {} {}", image(number), member.template, member.media)),
    );
    write("name_5pts_score.txt", lines(&|number, member| format!("{} {landmarks} {}", image(number), member.score)));
    let pairs = crate::protocols::lines(pairs().iter().map(|(a, b, same)| format!("{a} {b} {}", u8::from(*same))));
    write("template_pair_label.txt", pairs);
    let subjects = |templates: &[usize]| -> String {
        let line = |template: &usize| format!("{template},{}\n", template % SUBJECTS);
        "TEMPLATE_ID,SUBJECT_ID\n".to_owned() + &templates.iter().map(line).collect::<String>()
    };
    let [g1, g2, probes] = searched();
    write("1N_gallery_G1.csv", subjects(&g1));
    write("1N_gallery_G2.csv", subjects(&g2));
    write("1N_probe_mixed.csv", subjects(&probes));
}

/// All pairs of templates.
fn pairs() -> Vec<(usize, usize, bool)> {
    (0..TEMPLATES).flat_map(|b| (0..b).map(move |a| (a, b, a % SUBJECTS == b % SUBJECTS))).collect()
}

/// Two galleries of half the subjects each, and probes of all.
fn searched() -> [Vec<usize>; 3] {
    [(0..10).collect(), (10..20).collect(), (20..TEMPLATES).collect()]
}

/// The templates by a plain computation.
fn templates(members: &[Member], by_length: bool, by_score: bool) -> Vec<Vec<f64>> {
    let mut media = BTreeMap::<(usize, usize), Vec<Vec<f64>>>::new();
    for member in members {
        let row = wide(&member.row);
        let row = if by_length { row } else { unit(&row) };
        let weight = if by_score { member.score } else { 1.0 };
        media
            .entry((member.template, member.media))
            .or_default()
            .push(row.iter().map(|value| weight * value).collect());
    }
    let mean = |rows: &[Vec<f64>]| -> Vec<f64> { sum(rows).iter().map(|value| value / rows.len() as f64).collect() };
    let of = |template: usize| {
        let own: Vec<Vec<f64>> =
            media.iter().filter(|((other, _), _)| *other == template).map(|(_, rows)| mean(rows)).collect();
        unit(&sum(&own))
    };
    (0..TEMPLATES).map(of).collect()
}

fn scores(templates: &[Vec<f64>]) -> Vec<(f64, bool)> {
    pairs().iter().map(|&(a, b, same)| (cosine(&templates[a], &templates[b]), same)).collect()
}

fn features(folder: &Path, members: &[Member]) {
    // In another order than the list's.
    let order: Vec<usize> = (0..members.len()).map(|place| place * 37 % members.len()).collect();
    let rows: Vec<Vec<f32>> = order.iter().map(|number| members[*number].row.clone()).collect();
    let names: Vec<String> = order.iter().map(|number| format!("crops/{}.jpg", number + 1)).collect();
    write(&folder.join("e.npy"), &rows, &names);
}

#[test]
fn every_pooling_has_the_rates_of_a_plain_computation() {
    let folder = tempdir().unwrap();
    let members = members();
    lists(folder.path(), &members, |number| format!("{}.jpg", number + 1), "1 2 3 4 5 6 7 8 9 10");
    features(folder.path(), &members);
    let document = eval(folder.path(), &["ijb", "--dir", ".", "--features", "e.npy", "--variants", "--out", "out"]);
    for (by_length, norm) in [(true, "norm kept"), (false, "unit length")] {
        for (by_score, score) in [(true, "detector score"), (false, "no score")] {
            let templates = templates(&members, by_length, by_score);
            assert_rates(&document, &format!("{norm}, {score} "), &scores(&templates));
        }
    }
    assert_eq!(document["protocol"], "IJB-C");
    assert_eq!(document["details"]["rates"].as_array().unwrap().len(), 4);
    assert_shown(folder.path(), &folder.path().join("out/report.html"), 3, 0);
}

#[test]
fn options_choose_the_pooling() {
    let folder = tempdir().unwrap();
    let members = members();
    lists(folder.path(), &members, |number| format!("{}.jpg", number + 1), "1 2 3 4 5 6 7 8 9 10");
    features(folder.path(), &members);
    let words = ["ijb", "--dir", ".", "--features", "e.npy", "--norm", "unit", "--detector-score=false"];
    assert_rates(&eval(folder.path(), &words), "", &scores(&templates(&members, false, false)));
}

/// Rank and rates of both galleries by a plain search.
#[test]
fn probes_are_found_as_by_a_plain_search() {
    let folder = tempdir().unwrap();
    let members = members();
    lists(folder.path(), &members, |number| format!("{}.jpg", number + 1), "1 2 3 4 5 6 7 8 9 10");
    features(folder.path(), &members);
    let document = eval(folder.path(), &["ijb", "--dir", ".", "--features", "e.npy"]);
    let templates = templates(&members, true, true);
    let [g1, g2, probes] = searched();
    let mut means = BTreeMap::<&str, f64>::new();
    for (gallery, entry) in [g1, g2].iter().zip(document["details"]["identification"].as_array().unwrap()) {
        let found = search(&templates, gallery, &probes);
        for (name, value) in &found {
            assert_near(entry["figures"][*name].as_f64(), Some(*value), name);
            *means.entry(name).or_default() += value / 2.0;
        }
    }
    for (name, mean) in means {
        assert!((figure(&document, name).unwrap() - mean).abs() < 1e-12, "{name}");
    }
    // Twenty-five strangers show no rate of 0.01.
    assert_eq!(figure(&document, "TPIR@FPIR=0.01"), None);
}

fn search(templates: &[Vec<f64>], gallery: &[usize], probes: &[usize]) -> [(&'static str, f64); 4] {
    let (mut mates, mut strangers) = (Vec::new(), Vec::new());
    for probe in probes {
        let score = |face: &usize| cosine(&templates[*probe], &templates[*face]);
        let mate = gallery.iter().find(|face| *face % SUBJECTS == probe % SUBJECTS);
        let others = gallery.iter().filter(|face| *face % SUBJECTS != probe % SUBJECTS).map(score);
        match mate.map(score) {
            Some(mate) => mates.push((mate, others.filter(|other| mate <= *other).count())),
            None => strangers.push(others.fold(f64::NEG_INFINITY, f64::max)),
        }
    }
    strangers.sort_by(|a, b| b.total_cmp(a));
    let share = |is_found: &dyn Fn(&(f64, usize)) -> bool| {
        mates.iter().filter(|mate| is_found(mate)).count() as f64 / mates.len() as f64
    };
    let limit = strangers[strangers.len() / 10];
    [
        ("rank 1", share(&|mate| mate.1 < 1)),
        ("rank 5", share(&|mate| mate.1 < 5)),
        ("rank 10", share(&|mate| mate.1 < 10)),
        ("TPIR@FPIR=0.1", share(&|mate| mate.1 == 0 && limit < mate.0)),
    ]
}

/// A network on images, aligned already and cut out where the landmarks are those of an aligned face.
#[test]
fn a_network_sees_aligned_faces_and_crops_alike_and_once() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    let members = members();
    drawn_faces(folder.path(), "drawn", "100", "20", "14");
    let drawn = files(&folder.path().join("drawn"));
    let of_subject = |member: &Member, number: usize| &drawn[14 * (member.template % SUBJECTS) + number % 14];
    for kind in ["aligned", "loose_crop"] {
        let set = folder.path().join(kind).join(kind);
        fs::create_dir_all(&set).unwrap();
        for (number, member) in members.iter().enumerate() {
            fs::copy(of_subject(member, number), set.join(format!("{}.png", number + 1))).unwrap();
        }
        // ArcFace's template in a picture of 32×32 pixels.
        let template = [38.2946, 51.6963, 73.5318, 51.5014, 56.0252, 71.7366, 41.5493, 92.3655, 70.7299, 92.2041];
        let landmarks: Vec<String> = template.iter().map(|at: &f64| (at * 32.0 / 112.0).to_string()).collect();
        lists(&folder.path().join(kind), &members, |number| format!("{}.png", number + 1), &landmarks.join(" "));
    }
    let ijb = |dir: &str| eval(folder.path(), &["ijb", "runs/one", "--dir", dir, "--out", "out"]);
    let (aligned, crops) = (ijb("aligned"), ijb("loose_crop"));
    assert_eq!(aligned["figures"], crops["figures"]);
    assert_shown(folder.path(), &folder.path().join("out/report.html"), 3, 48);
    // What was embedded is kept, and taken again.
    let kept = || files(&folder.path().join("embeddings"));
    let changed = |file: &String| fs::metadata(file).unwrap().modified().unwrap();
    let (before, times): (Vec<String>, Vec<_>) = (kept(), kept().iter().map(changed).collect());
    assert_eq!(before.iter().filter(|file| file.ends_with(".safetensors")).count(), 2);
    assert_eq!(ijb("aligned"), aligned);
    assert_eq!((kept(), kept().iter().map(changed).collect::<Vec<_>>()), (before, times));
    let without: Value = eval(folder.path(), &["ijb", "runs/one", "--dir", "aligned", "--mirror=false"]);
    assert_ne!(without["details"], aligned["details"]);
    let text =
        String::from_utf8(succeed(xtask(folder.path()).args(["eval", "ijb", "runs/one", "--dir", "aligned"])).stdout);
    let text = text.unwrap();
    assert!(text.starts_with("1:1 verification, in %\n") && text.contains("\n1:N identification, in %\n"), "{text}");
}
