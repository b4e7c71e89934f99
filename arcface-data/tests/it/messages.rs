//! The text of every error that bad input gives, and of what inspection prints.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arcface_data::source::{Holdout, JoinedSource, SameName, hold_out};
use arcface_data::{
    Augmentation, Depth, DrawPairs, FileFormat, FolderOptions, FolderSource, Inspection, Loader, LoaderConfig,
    Normalisation, OnCorrupt, PairList, Sampler, SamplerKind, Source, draw_pairs, generate, image,
};
use insta::assert_snapshot;

use crate::support::{Noise, config, folder, message};

fn open(root: &Path) -> arcface_core::Result<FolderSource> {
    FolderSource::open(root, &FolderOptions::default())
}

fn open_message(root: &tempfile::TempDir) -> String {
    message(open(root.path()), root.path())
}

#[test]
fn folders_that_are_not_there() {
    let root = folder(&[("ada", 1)], 4);
    assert_snapshot!(message(open(&root.path().join("x")), root.path()), @"ROOT/x: no such folder; check the path");
    assert_snapshot!(message(open(&root.path().join("ada/ada_0001.png")), root.path()), @"ROOT/ada/ada_0001.png: expected a folder, found a file; check the path");
}

#[test]
fn folders_without_identities() {
    assert_snapshot!(open_message(&folder(&[], 4)), @"ROOT: expected one sub-folder with images per identity, found no sub-folder");
    let root = folder(&[("ada", 1)], 4);
    fs::copy(root.path().join("ada/ada_0001.png"), root.path().join("stray.png")).unwrap();
    assert_snapshot!(open_message(&root), @"ROOT/stray.png: an image beside the folders of the identities in ROOT; move it into the folder of its identity");
}

#[test]
fn identities_that_are_not_folders_of_images() {
    assert_snapshot!(open_message(&folder(&[("ada", 1), ("bob", 0)], 4)), @"ROOT/bob: this identity has no image; remove the folder or leave the identity out of the list");
    let root = folder(&[("ada", 1)], 4);
    fs::create_dir(root.path().join("ada/nested")).unwrap();
    assert_snapshot!(open_message(&root), @"ROOT/ada/nested: expected an image, found a folder; identities are folders one level deep");
    fs::remove_dir(root.path().join("ada/nested")).unwrap();
    fs::write(root.path().join("ada/notes.txt"), "x").unwrap();
    assert_snapshot!(open_message(&root), @"ROOT/ada/notes.txt: expected an image (.jpg, .jpeg, .png); move the file elsewhere");
}

#[test]
fn hidden_files_and_droppings_are_passed_over() {
    let root = folder(&[("ada", 1)], 4);
    for name in [".DS_Store", "ada/.DS_Store", "ada/Thumbs.db", "SOURCE.txt"] {
        fs::write(root.path().join(name), "x").unwrap();
    }
    assert_eq!(open(root.path()).unwrap().len(), 1);
}

fn list_message(text: &str) -> String {
    let root = folder(&[("ada", 1)], 4);
    let list = root.path().join("list.txt");
    fs::write(&list, text).unwrap();
    message(FolderSource::open(root.path(), &FolderOptions { identities: Some(list) }), root.path())
}

#[test]
fn lists_of_identities() {
    assert_snapshot!(list_message("ada\nbob\ncyd\n"), @"ROOT/list.txt: identity `bob` has no folder in ROOT (2 of 3 listed are missing); correct the list or the path");
    assert_snapshot!(list_message("ada\nada\n"), @"ROOT/list.txt: line 2: `ada` is listed a second time, remove it");
    assert_snapshot!(list_message("../ada\n"), @"ROOT/list.txt: line 1: expected the name of an identity's folder, got `../ada`");
    assert_snapshot!(list_message("# nobody\n"), @"ROOT/list.txt: expected one identity per line, the list is empty");
    let root = folder(&[("ada", 1)], 4);
    let options = FolderOptions { identities: Some(root.path().join("none.txt")) };
    assert_snapshot!(message(FolderSource::open(root.path(), &options), root.path()), @"ROOT/none.txt: no such file; check the path");
}

/// The first error of loading a folder of one 4×4 image after `spoil` had its way with the file.
fn load_message(spoil: impl Fn(&Path), on_corrupt: OnCorrupt) -> String {
    let root = folder(&[("ada", 1)], 4);
    let source = Arc::new(open(root.path()).unwrap());
    spoil(&root.path().join("ada/ada_0001.png"));
    let config = LoaderConfig { on_corrupt, ..config(1, 4) };
    let loader = Loader::new(source, &config).unwrap();
    message(loader.batches(0, 1).next().unwrap(), root.path())
}

#[test]
fn images_that_cannot_be_used() {
    let error = OnCorrupt::Error;
    let jpeg = image::encode_jpeg(&crate::support::noise(64, 1), 90).unwrap();
    assert_snapshot!(load_message(|file| fs::write(file, &jpeg[..jpeg.len() / 2]).unwrap(), error), @"ROOT/ada/ada_0001.png: truncated JPEG: its end marker is missing; fetch or export the file again");
    assert_snapshot!(load_message(|file| fs::write(file, &jpeg[..20]).unwrap(), error), @"ROOT/ada/ada_0001.png: corrupt JPEG: Premature end of JPEG file; fetch or export the file again");
    assert_snapshot!(load_message(|file| fs::write(file, &jpeg).unwrap(), error), @"ROOT/ada/ada_0001.png: expected an image of 4×4 pixels, got 64×64; align the photographs first: cargo xtask data align IMAGES LANDMARKS.csv --out DIR --size 4");
    assert_snapshot!(load_message(|file| fs::write(file, "no image").unwrap(), error), @"ROOT/ada/ada_0001.png: expected a JPEG or PNG image, the file begins with [6e, 6f, 20, 69]");
    assert_snapshot!(load_message(|file| fs::write(file, "").unwrap(), error), @"ROOT/ada/ada_0001.png: expected a JPEG or PNG image, the file is empty");
    assert_snapshot!(load_message(|file| fs::remove_file(file).unwrap(), error), @"ROOT/ada/ada_0001.png: no such file; check the path");
    let png = image::encode_png(&crate::support::noise(4, 1)).unwrap();
    assert_snapshot!(load_message(|file| fs::write(file, &png[..png.len() / 2]).unwrap(), error), @"ROOT/ada/ada_0001.png: truncated PNG: its end chunk is missing; fetch or export the file again");
    let mut flipped = png.clone();
    flipped[50] ^= 0x55;
    assert_snapshot!(load_message(|file| fs::write(file, &flipped).unwrap(), error), @"ROOT/ada/ada_0001.png: corrupt PNG: Format error decoding Png: CRC error: expected 0x593ce496 have 0x2d3f1d18 while decoding ChunkType { type: IDAT, critical: true, private: false, reserved: false, safecopy: false } chunk; fetch or export the file again");
    assert_snapshot!(load_message(|file| fs::write(file, "").unwrap(), OnCorrupt::Skip), @"ROOT/ada/ada_0001.png: expected a JPEG or PNG image, the file is empty; none of the images tried in its place can be used either");
}

#[test]
fn batches_that_cannot_be_filled() {
    let source = Noise::new(&[2, 3], 4);
    let sampler = |kind, batch_size| Sampler::new(kind, &source, batch_size, 0).unwrap_err().to_string();
    assert_snapshot!(sampler(SamplerKind::Shuffle, 6), @"batch_size: expected 1 <= batch_size <= 5 (the images of the data set), got 6");
    assert_snapshot!(sampler(SamplerKind::Shuffle, 0), @"batch_size: expected 1 <= batch_size <= 5 (the images of the data set), got 0");
    assert_snapshot!(sampler(SamplerKind::Balanced { identities: 3, images: 2 }, 6), @"balanced sampler: expected at most 2 identities per batch (those of the data set), got 3");
    assert_snapshot!(sampler(SamplerKind::Balanced { identities: 2, images: 2 }, 5), @"batch_size: expected 2 identities × 2 images = 4, got 5");
    assert_snapshot!(sampler(SamplerKind::Balanced { identities: 2, images: 0 }, 0), @"balanced sampler: expected at least 1 identity × 1 image, got 2 × 0");
    assert_snapshot!(Sampler::new(SamplerKind::Shuffle, &Noise::new(&[], 4), 1, 0).unwrap_err(), @"the data set has no images");
}

#[test]
fn values_out_of_range() {
    let source: Arc<dyn Source> = Arc::new(Noise::new(&[1; 4], 4));
    let held = |holdout| hold_out(&source, holdout, 0).unwrap_err().to_string();
    assert_snapshot!(held(Holdout::Fraction(1.0)), @"holdout: expected 0 <= fraction < 1, got 1");
    assert_snapshot!(held(Holdout::Identities(4)), @"holdout: expected fewer than the 4 identities there are, got 4");
    assert_snapshot!(Augmentation { grey: 2.0, ..Augmentation::default() }.check().unwrap_err(), @"augmentation `grey`: expected 0 <= grey <= 1, got 2");
    assert_snapshot!(Augmentation { zoom: f64::NAN, ..Augmentation::default() }.check().unwrap_err(), @"augmentation `zoom`: expected 0 <= zoom <= 0.5, got NaN");
    assert_snapshot!("255".parse::<Normalisation>().unwrap_err(), @"no normalisation named `255`; known: 127.5, 128, imagenet");
}

#[test]
fn sources_that_cannot_be_joined() {
    let source = || -> Arc<dyn Source> { Arc::new(Noise::new(&[1], 4)) };
    let join = |names: &[&str], same_name| {
        JoinedSource::new(names.iter().map(|name| ((*name).to_owned(), source())).collect(), same_name)
            .unwrap_err()
            .to_string()
    };
    assert_snapshot!(join(&["a", "b"], SameName::Refuse), @"identity `person0` is in a and in b; say whether to prefix or to merge such identities");
    assert_snapshot!(join(&["a", "a"], SameName::Prefix), @"names of joined sources: expected each name once, got `a` twice");
    assert_snapshot!(join(&[], SameName::Prefix), @"sources to join: expected at least one, got none");
}

fn pairs_message(text: &str) -> String {
    let root = folder(&[("ada", 2), ("bob", 1)], 4);
    let path = root.path().join("pairs.txt");
    fs::write(&path, text).unwrap();
    message(PairList::read(&path).and_then(|list| list.resolve(root.path())), root.path())
}

#[test]
fn lists_of_pairs() {
    assert_snapshot!(pairs_message(""), @"ROOT/pairs.txt: line 1: expected `folds<TAB>pairs` as in LFW's lists, or the columns `a,b,same` of a CSV, got ``");
    assert_snapshot!(pairs_message("hello\n"), @"ROOT/pairs.txt: line 1: expected `folds<TAB>pairs` as in LFW's lists, or the columns `a,b,same` of a CSV, got `hello`");
    assert_snapshot!(pairs_message("2\t1\nada\t1\t2\n"), @"ROOT/pairs.txt: expected 2 folds of 1 genuine and 1 impostor pairs as the first line says, found 1 pairs");
    assert_snapshot!(pairs_message("1\t1\nada\t1\tx\nada\t1\tbob\t1\n"), @"ROOT/pairs.txt: line 2: expected `name i j` or `nameA i nameB j`, got `ada	1	x`");
    assert_snapshot!(pairs_message("1\t1\nada\t1\t2\nada\t1\t2\n"), @"ROOT/pairs.txt: fold 1 (from line 2): expected 1 genuine and 1 impostor pairs, found 2 genuine");
    assert_snapshot!(pairs_message("1\t1\nada\t1\t3\nada\t1\tbob\t7\n"), @"ROOT/pairs.txt: line 2: face `ada/ada_0003` (of 2 missing faces the first) is not in ROOT; check that list and folder belong together");
    assert_snapshot!(pairs_message("a,b,same\nada/ada_0001.png,bob/bob_0001.png\n"), @"ROOT/pairs.txt: line 2: expected 3 fields (a,b,same), got 2");
    assert_snapshot!(pairs_message("a,b,same\nada/ada_0001.png,bob/bob_0001.png,maybe\n"), @"ROOT/pairs.txt: line 2: `same`: expected 1 or 0, got `maybe`");
    assert_snapshot!(pairs_message("a,b,same\nada/ada_0001.png,bob/bob_0009.png,0\n"), @"ROOT/pairs.txt: line 2: face `bob/bob_0009.png` is not in ROOT; check that list and folder belong together");
    assert_snapshot!(pairs_message("a,b,same\n"), @"ROOT/pairs.txt: expected at least one pair, found none");
}

#[test]
fn pairs_that_cannot_be_drawn() {
    let draw = |counts: &[usize], count, folds| {
        draw_pairs(Arc::new(Noise::new(counts, 4)), DrawPairs { count, folds, seed: 0 }).unwrap_err().to_string()
    };
    assert_snapshot!(draw(&[2, 2, 1], 6, 1), @"genuine pairs to draw: expected at most 2, which is all there are, got 3");
    assert_snapshot!(draw(&[9], 6, 1), @"impostor pairs to draw: expected at most 0, which is all there are, got 3");
    assert_snapshot!(draw(&[9, 9], 7, 1), @"number of drawn pairs: expected an even number of at least 2 (2 per fold), got 7");
    assert_snapshot!(draw(&[9, 9], 6, 10), @"number of drawn pairs: expected an even number of at least 20 (2 per fold), got 6");
}

#[test]
fn folders_that_are_not_generated_into() {
    let root = folder(&[("ada", 1)], 4);
    let write =
        |source: &Noise, target: &Path| message(generate(source, target, FileFormat::Png, 1, |_| ()), root.path());
    assert_snapshot!(write(&Noise::new(&[1], 4), root.path()), @"ROOT: expected a new or empty folder, found something in it; choose another name");
    let mut torn = Noise::new(&[3], 4);
    torn.corrupt = vec![1];
    assert_snapshot!(write(&torn, &root.path().join("new")), @"noise 1: torn");
    assert_eq!(fs::read_dir(root.path().join("new/person0")).unwrap().count(), 1);
}

#[test]
fn an_inspection_lists_what_there_is() {
    let mut source = Noise::new(&[1, 1, 2, 9], 4);
    source.corrupt = vec![3];
    assert_snapshot!(Inspection::of(&source, Depth::Headers, 2), @"
    identities           4: person0, person1, person2, …
    images               13
    images per identity  min 1, median 1.5, mean 3.2, max 9
                      1        2 ████████████████████████████████████████
                    2–3        1 ████████████████████
                    4–7        0
                   8–15        1 ████████████████████
    size                 4×4: 12 images
    unreadable           1 images
      noise 3: torn
    ");
}
