//! Sizes told from some headers before the first batch: how many are looked at, where, and what becomes of others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arcface_core::{Error, Result};
use arcface_data::{Image, Loader, LoaderConfig, OnCorrupt, Source};
use insta::assert_snapshot;

use crate::support::config;

/// A set of 4×4 images of one identity, `odd` of which are 5×5 and `torn` of which cannot be read; none is decoded.
#[derive(Default)]
struct Headers {
    images: usize,
    odd: Vec<usize>,
    torn: Vec<usize>,
    asked: Mutex<Vec<usize>>,
    decoded: AtomicUsize,
}

impl Source for Headers {
    fn len(&self) -> usize {
        self.images
    }
    fn num_identities(&self) -> usize {
        1
    }
    fn label(&self, _index: usize) -> u32 {
        0
    }
    fn identity(&self, _label: u32) -> String {
        "ada".to_owned()
    }
    fn image(&self, _index: usize) -> Result<Image> {
        self.decoded.fetch_add(1, Ordering::Relaxed);
        Ok(Image::filled(4, 4, [0; 3]))
    }
    fn describe(&self, index: usize) -> String {
        format!("image {index}")
    }
    fn dimensions(&self, index: usize) -> Result<(usize, usize)> {
        self.asked.lock().unwrap().push(index);
        match (self.torn.contains(&index), self.odd.contains(&index)) {
            (true, _) => Err(Error::Invalid(format!("image {index}: torn"))),
            (_, true) => Ok((5, 5)),
            _ => Ok((4, 4)),
        }
    }
}

/// What a check says, and the images that it looked at.
fn check(source: Headers, config: &LoaderConfig) -> (Option<String>, Vec<usize>) {
    let source = Arc::new(source);
    let answer = Loader::new(source.clone(), config).unwrap().check_sizes().err().map(|error| error.to_string());
    assert_eq!(source.decoded.load(Ordering::Relaxed), 0, "nothing is decoded");
    let asked = source.asked.lock().unwrap().clone();
    (answer, asked)
}

#[test]
fn some_images_of_every_part_are_looked_at() {
    for images in [1, 63, 64, 65, 1000, 100_003] {
        let (answer, asked) = check(Headers { images, ..Headers::default() }, &config(1, 4));
        assert_eq!((answer, asked.len()), (None, images.min(64)));
        for (part, index) in asked.iter().enumerate() {
            // 64·index lies within 1 part of part·images.
            let (low, high) = (part * images, (part + 1) * images);
            assert!(low < asked.len() * (index + 1) && asked.len() * index < high, "{part}: {index} of {images}");
        }
    }
    let drawn = |seed| check(Headers { images: 1000, ..Headers::default() }, &LoaderConfig { seed, ..config(1, 4) }).1;
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn another_size_is_told_with_the_command_that_aligns() {
    let set = |odd: Vec<usize>, torn: Vec<usize>| Headers { images: 6, odd, torn, ..Headers::default() };
    let told = |set| check(set, &config(1, 4)).0.unwrap();
    assert_snapshot!(told(set(vec![2, 4], vec![])), @"image 2: expected an image of 4×4 pixels, got 5×5; align the photographs first: cargo xtask data align IMAGES LANDMARKS.csv --out DIR --size 4");
    assert_snapshot!(told(set(vec![2], vec![1])), @"image 1: torn");
    let skip = LoaderConfig { on_corrupt: OnCorrupt::Skip, ..config(1, 4) };
    assert_eq!(check(set(vec![0, 1, 2, 4, 5], vec![]), &skip).0, None);
    assert_snapshot!(check(set(vec![1, 2, 3, 4, 5], vec![0]), &skip).0.unwrap(), @"image 0: torn");
}

#[test]
fn of_images_in_order_those_alone_are_looked_at() {
    let source = Arc::new(Headers { images: 9, odd: vec![0, 1, 2], ..Headers::default() });
    let check = |indices| Loader::in_order(source.clone(), indices, &config(2, 4)).unwrap().check_sizes();
    assert!(check(vec![8, 3, 5]).is_ok() && check(vec![]).is_ok() && check(vec![8, 1]).is_err());
    assert_eq!(*source.asked.lock().unwrap(), [8, 3, 5, 8, 1]);
}
