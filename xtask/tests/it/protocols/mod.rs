//! `eval embeddings`, `ijb`, `megaface`, `lfr-image`, `lfr-video` and `ytf` on small sets whose figures a plain
//! computation knows.
//! Knows no function of the library but for pairs lists.

mod complaints;
mod embeddings;
mod ijb;
mod megaface;
mod videos;

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::tiny::{succeed, xtask};

/// Values of an embedding.
const SIZE: usize = 16;

/// A number within [−1, 1) that looks drawn.
fn drawn(index: usize) -> f64 {
    let x = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (((x ^ (x >> 32)) >> 11) as f64 / (1_u64 << 52) as f64) - 1.0
}

/// Image `image` of a person: the person's direction and about as much of its own, of any length.
fn face(person: usize, image: usize) -> Vec<f32> {
    let value = |at: usize| drawn(person * SIZE + at) + 0.9 * drawn(1_000_000 + (person * 1000 + image) * SIZE + at);
    let length = 1.0 + (image % 5) as f64;
    (0..SIZE).map(|at| (length * value(at)) as f32).collect()
}

/// `FILE.npy` with the rows, and their names in `FILE.npy.paths.txt`.
fn write(path: &Path, rows: &[Vec<f32>], names: &[String]) {
    let shape = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows.len(), rows[0].len());
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{shape:117}\n").into_bytes());
    bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    fs::write(path, bytes).unwrap();
    if !names.is_empty() {
        fs::write(format!("{}.paths.txt", path.display()), lines(names.iter().cloned())).unwrap();
    }
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| line + "\n").collect()
}

fn unit(row: &[f64]) -> Vec<f64> {
    let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
    row.iter().map(|value| value / length).collect()
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|value| f64::from(*value)).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    unit(a).iter().zip(unit(b)).map(|(a, b)| a * b).sum()
}

fn sum(rows: &[Vec<f64>]) -> Vec<f64> {
    (0..rows[0].len()).map(|at| rows.iter().map(|row| row[at]).sum()).collect()
}

/// TAR at FAR by sorting; `None` where not one impostor pair may be accepted.
fn tar(scores: &[(f64, bool)], far: f64) -> Option<f64> {
    let of =
        |kind: bool| -> Vec<f64> { scores.iter().filter(|(_, same)| *same == kind).map(|(score, _)| *score).collect() };
    let (genuine, mut impostors) = (of(true), of(false));
    impostors.sort_by(|a, b| b.total_cmp(a));
    let allowed = (far * impostors.len() as f64 + 1e-9) as usize;
    let limit = if allowed == 0 { return None } else { impostors.get(allowed).copied().unwrap_or(f64::NEG_INFINITY) };
    Some(genuine.iter().filter(|score| limit < **score).count() as f64 / genuine.len() as f64)
}

/// All pairs of rows with their labels.
fn all_pairs(rows: &[Vec<f64>], labels: &[usize]) -> Vec<(f64, bool)> {
    let pairs = (0..rows.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
    pairs.map(|(a, b)| (cosine(&rows[a], &rows[b]), labels[a] == labels[b])).collect()
}

fn eval(folder: &Path, words: &[&str]) -> Value {
    serde_json::from_slice(&succeed(xtask(folder).arg("eval").args(words).arg("--json")).stdout).unwrap()
}

fn figure(document: &Value, name: &str) -> Option<f64> {
    let figures = document["figures"].as_array().unwrap();
    let found = figures.iter().find(|figure| figure["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {document}"))["value"].as_f64()
}

/// That two figures are one but for the last digit, which reading JSON may change.
fn assert_near(got: Option<f64>, expected: Option<f64>, name: &str) {
    let near = got.zip(expected).is_some_and(|(got, expected)| (got - expected).abs() < 1e-12);
    assert!(near || got.is_none() && expected.is_none(), "{name}: expected {expected:?}, got {got:?}");
}

/// That the figures `TAR@…` are those of the scores.
fn assert_rates(document: &Value, prefix: &str, scores: &[(f64, bool)]) {
    let mut shown = 0;
    for figure in document["figures"].as_array().unwrap() {
        let Some(far) =
            figure["name"].as_str().unwrap().strip_prefix(prefix).and_then(|rest| rest.strip_prefix("TAR@"))
        else {
            continue;
        };
        let expected = tar(scores, far.parse().unwrap());
        assert_near(figure["value"].as_f64(), expected, far);
        shown += usize::from(expected.is_some());
    }
    assert!(0 < shown, "{document}");
}

/// A run of one epoch in `folder`, and drawn faces in `name`: so many identities of so many images of 32×32 pixels.
fn drawn_faces(folder: &Path, name: &str, first: &str, identities: &str, images: &str) {
    let sizes =
        ["--identities", identities, "--images-per-identity", images, "--size", "32", "--first-identity", first];
    succeed(xtask(folder).args(["data", "generate", name]).args(sizes));
}

/// The images below a folder, by their paths.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    found
}
