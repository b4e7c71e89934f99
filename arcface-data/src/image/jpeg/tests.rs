//! The decoder of usual files beside libjpeg: the same bytes, or `None`.
//! Knows no pictures of people: what is encoded is noise over a gradient.

use arcface_core::seed::{Purpose, rng};
use mozjpeg::{ColorSpace, Compress};
use rand::Rng;

use super::*;

const FILES: [&[u8]; 5] = [
    include_bytes!("../../../tests/it/libjpeg/420.jpg"),
    include_bytes!("../../../tests/it/libjpeg/422.jpg"),
    include_bytes!("../../../tests/it/libjpeg/444.jpg"),
    include_bytes!("../../../tests/it/libjpeg/restart.jpg"),
    include_bytes!("../../../tests/it/libjpeg/grey.jpg"),
];

/// How a file is made.
#[derive(Debug, Clone, Copy)]
struct Made {
    width: usize,
    height: usize,
    /// `None` is grey.
    chroma: Option<(u8, u8)>,
    quality: f32,
    coding: Coding,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Coding {
    Standard,
    Optimised,
    Progressive,
}

impl Made {
    fn file(self) -> Vec<u8> {
        let mut encoder = Compress::new(ColorSpace::JCS_RGB);
        encoder.set_fastest_defaults();
        encoder.set_size(self.width, self.height);
        match self.chroma {
            Some(pixels) => encoder.set_chroma_sampling_pixel_sizes(pixels, pixels),
            None => encoder.set_color_space(ColorSpace::JCS_GRAYSCALE),
        }
        encoder.set_quality(self.quality);
        encoder.set_optimize_coding(self.coding == Coding::Optimised);
        if self.coding == Coding::Progressive {
            encoder.set_progressive_mode();
        }
        let mut started = encoder.start_compress(Vec::new()).unwrap();
        started.write_scanlines(&self.pixels()).unwrap();
        started.finish().unwrap()
    }

    fn pixels(self) -> Vec<u8> {
        let mut noise = rng(7, Purpose::Testing, self.width as u64, self.height as u64);
        let coarse = |x: usize, y: usize| [x * 5 + y, 255_usize.wrapping_sub(x * y), y * 9].map(|value| value as u8);
        let places = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        let mut pixel = |(x, y)| coarse(x, y).map(|value| value ^ noise.random_range(0..64));
        places.flat_map(&mut pixel).collect()
    }
}

fn check(what: impl std::fmt::Debug, bytes: &[u8]) {
    let (ours, libjpegs) = (baseline::decode(bytes), by_libjpeg(bytes).unwrap());
    let ours = ours.unwrap_or_else(|| panic!("{what:?}: left to libjpeg"));
    assert!((ours.width, ours.height) == (libjpegs.width, libjpegs.height) && ours.rgb == libjpegs.rgb, "{what:?}");
}

#[test]
fn usual_files_have_the_bytes_of_libjpeg() {
    let sizes =
        [(5, 5), (6, 1), (8, 8), (9, 17), (16, 16), (17, 15), (31, 64), (33, 47), (66, 5), (112, 112), (300, 9)];
    for (width, height) in sizes {
        for chroma in [None, Some((1, 1)), Some((2, 1)), Some((2, 2))] {
            for (quality, coding) in [
                (25.0, Coding::Standard),
                (40.0, Coding::Optimised),
                (90.0, Coding::Standard),
                (100.0, Coding::Optimised),
            ] {
                let made = Made { width, height, chroma, quality, coding };
                check(made, &made.file());
            }
        }
    }
    for width in 1..5 {
        for height in 1..20 {
            let made = Made { width, height, chroma: Some((1, 1)), quality: 80.0, coding: Coding::Standard };
            check(made, &made.file());
        }
    }
}

#[test]
fn files_of_pillow_are_usual() {
    FILES.iter().enumerate().for_each(|(number, bytes)| check(number, bytes));
}

#[test]
fn other_kinds_are_left_to_libjpeg() {
    let usual = Made { width: 40, height: 24, chroma: Some((2, 2)), quality: 80.0, coding: Coding::Standard };
    let others = [
        Made { coding: Coding::Progressive, ..usual },
        Made { chroma: Some((1, 2)), ..usual },
        Made { chroma: Some((4, 1)), ..usual },
        Made { width: 4, ..usual },
        Made { width: 2, chroma: Some((2, 1)), ..usual },
    ];
    for made in others {
        let bytes = made.file();
        assert!(baseline::decode(&bytes).is_none(), "{made:?}");
        assert_eq!(decode(&bytes).unwrap(), by_libjpeg(&bytes).unwrap(), "{made:?}");
    }
}

/// Nothing where libjpeg would refuse, and where it would not, the same picture or nothing.
fn check_damaged(what: impl std::fmt::Debug, bytes: &[u8]) -> usize {
    let Some(ours) = baseline::decode(bytes) else { return 0 };
    assert_eq!(Ok(ours.rgb), by_libjpeg(bytes).map(|image| image.rgb), "{what:?}");
    1
}

#[test]
fn damaged_files_are_taken_as_libjpeg_takes_them_or_left_to_it() {
    let mut taken = 0;
    for (number, whole) in FILES.iter().enumerate() {
        for place in 0..whole.len() {
            taken += check_damaged((number, place), &whole[..place]);
            let flipped = (0..8).map(|bit| whole[place] ^ (1 << bit));
            for byte in flipped.chain([0x00, 0xff, 0xd0, 0xd9]) {
                let mut damaged = whole.to_vec();
                damaged[place] = byte;
                taken += check_damaged((number, place, byte), &damaged);
            }
        }
    }
    assert!(500 < taken, "only {taken} were taken");
}

#[test]
fn torn_and_shuffled_files_are_taken_as_libjpeg_takes_them_or_left_to_it() {
    let mut random = rng(11, Purpose::Testing, 0, 0);
    for (number, whole) in FILES.iter().enumerate() {
        for round in 0..1000 {
            let mut damaged = whole.to_vec();
            match round % 3 {
                0 => (0..4).for_each(|_| damaged[random.random_range(2..whole.len())] = random.random()),
                1 => damaged[2..].rotate_left(random.random_range(0..whole.len() - 2)),
                _ => {
                    let start = random.random_range(2..whole.len());
                    damaged.drain(start..random.random_range(start..whole.len()).min(start + 20));
                }
            }
            check_damaged((number, round), &damaged);
        }
    }
}

#[test]
fn nothing_is_allocated_for_what_the_file_cannot_hold() {
    let mut bytes = FILES[0].to_vec();
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x1b; 4]);
    assert!(baseline::decode(&bytes).is_none());
}
