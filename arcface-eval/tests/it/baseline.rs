//! Baselines against plain loops, scikit-image's histograms and toys whose answer is known.
//! Knows no faces.

use arcface_eval::baseline::{
    Grey, Hog, LogisticRegression, Picture, PixelDifferences, hog_distances, raw_pixel_distances,
};

use crate::assert_near;

/// 16 × 16 grey values by formula.
fn waves(width: usize, height: usize) -> Grey {
    let value =
        |index: usize| 127.0 + 100.0 * ((index % width) as f64 * 0.7 + (index / width).pow(2) as f64 * 0.09).sin();
    Grey { width, height, values: (0..width * height).map(value).collect() }
}

#[test]
fn histograms_agree_with_a_plain_loop() {
    let picture = waves(19, 17);
    let got = Hog { orientations: 5, cell: 4, block: 2 }.features(&picture).unwrap();
    let expected = plain_histograms(&picture, 5, 4);
    assert_eq!(got.len(), expected.len());
    got.iter().zip(&expected).for_each(|(got, expected)| assert_near(*got, *expected, 1e-12));
}

/// Written from the definition: one loop over blocks, one over their cells, one over pixels.
fn plain_histograms(picture: &Grey, bins: usize, cell: usize) -> Vec<f64> {
    let (across, down) = (picture.width / cell, picture.height / cell);
    let mut all = Vec::new();
    for block_y in 0..down - 1 {
        for block_x in 0..across - 1 {
            let mut block = vec![0.0; 4 * bins];
            for y in block_y * cell..(block_y + 2) * cell {
                for x in block_x * cell..(block_x + 2) * cell {
                    let inner = 2 * (y / cell - block_y) + (x / cell - block_x);
                    let at = |x: usize, y: usize| picture.values[y * picture.width + x];
                    let inside = |place: usize, end: usize| 0 < place && place + 1 < end;
                    let dx = if inside(x, picture.width) { at(x + 1, y) - at(x - 1, y) } else { 0.0 };
                    let dy = if inside(y, picture.height) { at(x, y + 1) - at(x, y - 1) } else { 0.0 };
                    let mut angle = f64::atan2(dy, dx).to_degrees();
                    while angle < 0.0 {
                        angle += 180.0;
                    }
                    while 180.0 <= angle {
                        angle -= 180.0;
                    }
                    block[inner * bins + (angle / (180.0 / bins as f64)) as usize] += (dx * dx + dy * dy).sqrt();
                }
            }
            for clip in [0.2, f64::INFINITY] {
                let length = (block.iter().map(|v| v * v).sum::<f64>() + 1e-10).sqrt();
                for value in &mut block {
                    *value = (*value / length).min(clip);
                }
            }
            all.extend(block);
        }
    }
    all
}

// import numpy as np; from skimage.feature import hog
// y, x = np.mgrid[:16, :16]; v = 127 + 100 * np.sin(x * .7 + y ** 2 * .09)
// print(hog(v, 9, (8, 8), (2, 2), 'L2-Hys')[[0, 4, 13, 22, 35]])
#[test]
fn histograms_agree_with_scikit_image() {
    let got = Hog::default().features(&waves(16, 16)).unwrap();
    let expected = [0.195_614, 0.094_919, 0.102_681, 0.156_194, 0.002_211];
    for (index, expected) in [0, 4, 13, 22, 35].into_iter().zip(expected) {
        assert_near(got[index], expected, 2e-4);
    }
}

#[test]
fn brightness_and_contrast_change_no_distance() {
    let rgb: Vec<u8> = (0..24 * 24 * 3).map(|index| 60 + (index * index % 61) as u8).collect();
    let brighter: Vec<u8> = rgb.iter().map(|value| 2 * (value - 60) + 50).collect();
    let pictures = [Picture::new(24, 24, &rgb).unwrap(), Picture::new(24, 24, &brighter).unwrap()];
    assert_near(raw_pixel_distances(&pictures, &[(0, 1)]).unwrap()[0], 0.0, 1e-9);
    assert_near(hog_distances(&pictures, &[(0, 1)]).unwrap()[0], 0.0, 1e-9);
}

#[test]
fn small_pictures_are_means_of_the_pixels_they_cover() {
    let picture = Grey { width: 3, height: 2, values: vec![0.0, 3.0, 6.0, 9.0, 12.0, 15.0] };
    assert_eq!(picture.averaged(1), [7.5]);
    let quarters = picture.averaged(2);
    [1.0, 5.0, 10.0, 14.0].iter().zip(&quarters).for_each(|(expected, got)| assert_near(*got, *expected, 1e-12));
}

#[test]
fn a_plain_picture_is_neither_near_nor_far() {
    let (plain, other): (Vec<u8>, Vec<u8>) = (vec![9; 768], (0..768).map(|index| (index % 251) as u8).collect());
    let pictures = [Picture::new(16, 16, &plain).unwrap(), Picture::new(16, 16, &other).unwrap()];
    assert_near(raw_pixel_distances(&pictures, &[(0, 1)]).unwrap()[0], 2.0, 1e-12);
}

#[test]
fn pixel_differences_learn_which_pixels_matter() {
    // The left half tells identities apart (32 against 200); the right half is anything.
    let picture = |identity: usize, image: usize| -> Vec<u8> {
        let value = |x: usize, y: usize| match x {
            0..8 => [32, 200][identity % 2],
            _ => ((image * 7919 + y * 613 + x * 97) % 256) as u8,
        };
        (0..256).flat_map(|pixel| [value(pixel % 16, pixel / 16); 3]).collect()
    };
    let images: Vec<Vec<u8>> = (0..40).map(|index| picture(index % 2, index * index)).collect();
    let pictures: Vec<_> = images.iter().map(|rgb| Picture::new(16, 16, rgb).unwrap()).collect();
    let pairs: Vec<_> = (0..39).map(|index| (index, (index * 11 + 1 + index % 3) % 40)).collect();
    let same: Vec<_> = pairs.iter().map(|(a, b)| a % 2 == b % 2).collect();
    let model = PixelDifferences::fit(&pictures, &pairs[..30], &same[..30]).unwrap();
    for (distance, same) in model.distances(&pictures, &pairs[30..]).unwrap().into_iter().zip(&same[30..]) {
        assert_eq!(distance < 2.0, *same, "{distance}");
    }
}

#[test]
fn regression_recovers_a_probability_by_group() {
    // With one binary feature and hardly any penalty the fitted probabilities are the groups' frequencies.
    let rows: Vec<_> = (0..40).map(|index| vec![f64::from(u8::from(index < 20))]).collect();
    let labels: Vec<_> = (0..40).map(|index| if index < 20 { index % 4 != 0 } else { index % 5 == 0 }).collect();
    let model = LogisticRegression::fit(&rows, &labels, 1e-9).unwrap();
    assert_near(model.probability(&[1.0]).unwrap(), 0.75, 1e-6);
    assert_near(model.probability(&[0.0]).unwrap(), 0.2, 1e-6);
}

#[test]
fn what_does_not_fit_is_said() {
    let message = |result: arcface_core::Result<Vec<f64>>| result.unwrap_err().to_string();
    let bytes = vec![1; 12 * 12 * 3];
    let picture = Picture::new(12, 12, &bytes).unwrap();
    insta::assert_snapshot!(message(raw_pixel_distances(&[picture], &[(0, 3)])), @"pair: expected pictures below 1, got (0, 3)");
    insta::assert_snapshot!(message(hog_distances(&[picture], &[(0, 0)])), @"picture: expected at least 16 × 16 pixels, got 12 × 12");
    let wrong = Picture::new(12, 11, &bytes).unwrap_err();
    insta::assert_snapshot!(wrong, @"picture: expected 3 bytes for each of 12 × 11 pixels, got 432 bytes");
    let one_kind = PixelDifferences::fit(&[picture], &[(0, 0)], &[true]).unwrap_err();
    insta::assert_snapshot!(one_kind, @"labels: expected both kinds, got 1 of one kind");
}
