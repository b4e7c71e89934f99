//! `data align`: photographs and landmarks into folders of crops; drawn faces, in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use arcface_data::align::TEMPLATE;
use arcface_data::image::{read, write_png};
use arcface_data::{Image, LandmarkList, Sides};
use insta::assert_snapshot;
use tempfile::{TempDir, tempdir};

use crate::tiny::{fail, succeed, xtask};

/// `data align photos LIST --out OUT` and more.
fn align(folder: &Path, list: &str, out: &str, more: &[&str]) -> Command {
    let mut command = xtask(folder);
    command.args(["data", "align", "photos", list, "--out", out]).args(more);
    command
}

/// The template's points, moved.
fn points(by: f64) -> String {
    let fields = TEMPLATE.iter().flatten().map(|at| (at + by).to_string());
    fields.collect::<Vec<_>>().join(",")
}

/// Two people with two photographs each of 160×140 pixels, in which the faces lie a whole number of pixels from the
/// template, and their landmarks.
fn photos() -> TempDir {
    let folder = tempdir().unwrap();
    let mut list = "path,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n".to_owned();
    for (number, name) in ["anna/1.png", "anna/2.png", "ben/1.png", "ben/2.png"].into_iter().enumerate() {
        let path = folder.path().join("photos").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let byte = |at: usize| (at * (number + 3) % 251) as u8;
        write_png(&path, &Image::new(160, 140, (0..160 * 140 * 3).map(byte).collect()).unwrap()).unwrap();
        list = list + name + "," + &points(number as f64) + "\n";
    }
    fs::write(folder.path().join("list.csv"), list).unwrap();
    folder
}

/// The files of a folder and their bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

fn change_list(folder: &TempDir, change: impl FnOnce(String) -> String) {
    let path = folder.path().join("list.csv");
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
}

#[test]
fn photographs_become_crops_that_can_be_trained_on() {
    let folder = photos();
    let output = succeed(&mut align(folder.path(), "list.csv", "faces", &["--png"]));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.stdout.is_empty() && words.contains("4 crops of 112×112 pixels made in faces, 0 were there"),
        "{words}"
    );
    assert!(words.contains("cargo xtask train --name mine --set data.source=folder --set data.path=faces"), "{words}");
    for (number, name) in ["anna/1.png", "anna/2.png", "ben/1.png", "ben/2.png"].into_iter().enumerate() {
        let [photo, crop] = ["photos", "faces"].map(|at| read(&folder.path().join(at).join(name)).unwrap());
        assert_eq!((crop.width, crop.height), (112, 112));
        for (x, y) in [(0, 0), (111, 0), (50, 70), (111, 111)] {
            assert_eq!(crop.pixel(x, y), photo.pixel(x + number, y + number), "{name}");
        }
    }
    let found = succeed(xtask(folder.path()).args(["data", "inspect", "faces", "--json"]));
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((&found["identities"], &found["sizes"]["112×112"]), (&2.into(), &4.into()));
}

#[test]
fn what_was_stopped_goes_on_and_overwrites_nothing() {
    let folder = photos();
    succeed(&mut align(folder.path(), "list.csv", "whole", &["--size", "64"]));
    succeed(&mut align(folder.path(), "list.csv", "faces", &["--size", "64"]));
    let kept = folder.path().join("faces/anna/2.jpg");
    fs::write(&kept, "mine").unwrap();
    fs::remove_file(folder.path().join("faces/ben/1.jpg")).unwrap();
    let again = succeed(align(folder.path(), "list.csv", "faces", &["--size", "64"]).env("RAYON_NUM_THREADS", "1"));
    let words = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(words.contains("1 crops of 64×64 pixels made in faces, 3 were there"), "{words}");
    assert_eq!(fs::read(&kept).unwrap(), b"mine");
    fs::remove_file(&kept).unwrap();
    succeed(&mut align(folder.path(), "list.csv", "faces", &["--size", "64"]));
    let bytes = |name: &str| files(&folder.path().join(name)).into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>();
    assert_eq!(bytes("faces"), bytes("whole"));
    let words = |more: &[&str]| fail(&mut align(folder.path(), "list.csv", "faces", more));
    assert_snapshot!(words(&["--size", "112"]), @"error: faces: begun with other size; choose another folder");
    assert_snapshot!(words(&["--size", "64", "--png"]), @"error: faces: begun with other format; choose another folder");
    assert_snapshot!(fail(&mut align(folder.path(), "list.csv", "photos/faces", &[])), @"error: --out photos/faces: expected a folder outside of photos; choose another one");
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/a.txt"), "mine").unwrap();
    assert_snapshot!(fail(&mut align(folder.path(), "list.csv", "full", &[])), @"error: full: expected a new or empty folder, or one with align.json; choose another name");
}

#[test]
fn what_is_missing_or_broken_is_an_error_or_left_out() {
    let folder = photos();
    let words = |more: &[&str]| {
        let words = fail(&mut align(folder.path(), "list.csv", "faces", more));
        assert!(!folder.path().join("faces").exists(), "{words}");
        words
    };
    change_list(&folder, |list| list.replace("anna/1.png", "cleo/1.png"));
    assert_snapshot!(words(&[]), @"error: list.csv: line 2: `cleo/1.png`: no such image in photos (and 1 more of the kind); `--missing skip` leaves them out and lists them");
    change_list(&folder, |list| list.replace("cleo/1.png", "anna/1"));
    let mirrored = "75,50,40,50,55,70,70,90,40,90";
    change_list(&folder, |list| format!("{}ben/2.png,{mirrored}\n", list.split_once("ben/2").unwrap().0));
    assert_snapshot!(words(&[]), @"error: list.csv: line 5: `ben/2.png`: landmarks: the left eye lies to the right of the right eye; left and right are meant as seen in the image, exchange them if the list means the person's; `--on-corrupt skip` leaves it out");
    change_list(&folder, |list| list.replace(mirrored, ",,,,,,,,,"));
    assert_snapshot!(words(&[]), @"error: list.csv: line 5: `ben/2.png`: no coordinates; `--missing skip` leaves it out");
    change_list(&folder, |list| list.replace("anna/2.png", "anna/1.png"));
    assert_snapshot!(words(&["--missing", "skip"]), @"error: list.csv: line 3: `anna/1.png`: anna/1.png is listed already; keep one of its faces");
    change_list(&folder, |list| list.replace("anna/1.png", "dora.png"));
    assert_snapshot!(words(&["--size", "0", "--missing", "skip"]), @"error: --size: size of an aligned crop: expected 1 to 4096 pixels, got 0");
    fs::write(folder.path().join("photos/anna/2.png"), "no image").unwrap();
    let output = succeed(&mut align(folder.path(), "list.csv", "faces", &["--missing", "skip"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let skipped: Vec<_> = said.lines().filter(|line| line.starts_with("skipped: ")).collect();
    assert_snapshot!(skipped.join("\n"), @"
    skipped: list.csv: line 3: `dora.png`: no such image in photos
    skipped: list.csv: line 5: `ben/2.png`: no coordinates
    skipped: photos/anna/2.png: no landmarks in list.csv
    ");
    assert!(said.contains("2 crops of 112×112 pixels made"), "{said}");
}

#[test]
fn images_that_cannot_be_used_are_named() {
    let folder = photos();
    fs::write(folder.path().join("photos/anna/2.png"), "no image").unwrap();
    assert_snapshot!(fail(&mut align(folder.path(), "list.csv", "one", &[])), @"error: photos/anna/2.png: expected a JPEG or PNG image, the file begins with [6e, 6f, 20, 69]");
    fs::write(folder.path().join("photos/anna/2.png"), fs::read(folder.path().join("photos/anna/1.png")).unwrap())
        .unwrap();
    change_list(&folder, |list| format!("{}ben/2.png,{}\n", list.split_once("ben/2").unwrap().0, points(400.0)));
    assert_snapshot!(fail(&mut align(folder.path(), "list.csv", "two", &[])), @"error: list.csv: line 5: `ben/2.png`: left eye: expected a place in the image of 160×140 pixels, got (438.2946, 451.6963); does the list belong to these images?");
    let output = succeed(&mut align(folder.path(), "list.csv", "two", &["--on-corrupt", "skip"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(" 1 skipped"), "{said}");
    assert_eq!(files(&folder.path().join("two")).len(), 4, "three crops and align.json");
    assert_snapshot!(fail(&mut align(folder.path(), "nowhere.csv", "three", &[])), @"error: nowhere.csv: no such file; check the path");
    fs::write(folder.path().join("short.txt"), "anna/1.png 1 2 3\n").unwrap();
    assert_snapshot!(fail(&mut align(folder.path(), "short.txt", "three", &[])), @"error: short.txt: line 1: expected `path x1 y1 … x5 y5`, got 3 numbers behind `anna/1.png`");
    assert_snapshot!(fail(&mut align(folder.path(), "list.csv", "three", &["--jpeg", "0"])), @"error: --jpeg: expected a quality from 1 to 100, got 0");
}

#[test]
fn the_list_may_mean_the_persons_own_sides() {
    let folder = photos();
    let list = LandmarkList::read(&folder.path().join("list.csv"), Sides::Image).unwrap();
    assert_eq!(list.rows().len(), 4);
    change_list(&folder, |list| list.replace("x1,y1,x2,y2", "x2,y2,x1,y1").replace("x4,y4,x5,y5", "x5,y5,x4,y4"));
    succeed(&mut align(folder.path(), "list.csv", "faces", &["--sides", "person", "--png"]));
    let [photo, crop] = ["photos", "faces"].map(|at| read(&folder.path().join(at).join("ben/2.png")).unwrap());
    assert_eq!(crop.pixel(20, 30), photo.pixel(23, 33));
}
