//! JPEG as libjpeg decodes it: the network that was trained on its pixels should see the same ones.
//! Knows no face: the picture is made of formulas.

use arcface_data::image::decode;

/// How far apart two pictures are.
struct Distance {
    /// The largest difference of any byte.
    largest: u8,
    /// The share of bytes that differ by at most two.
    within_two: f64,
}

fn distance(jpeg: &[u8], expected: &[u8]) -> Distance {
    let (got, expected) = (decode(jpeg).unwrap(), decode(expected).unwrap());
    assert_eq!((got.width, got.height), (expected.width, expected.height));
    let differences: Vec<u8> = got.rgb.iter().zip(&expected.rgb).map(|(a, b)| a.abs_diff(*b)).collect();
    let within_two = differences.iter().filter(|difference| **difference <= 2).count();
    Distance {
        largest: differences.iter().copied().max().unwrap(),
        within_two: within_two as f64 / differences.len() as f64,
    }
}

/// Made and decoded by Pillow 13 with libjpeg-turbo, in a folder of 4:2:0 and 4:4:4:
///
/// ```python
/// y, x = np.mgrid[0:40, 0:48]
/// circle = 255 * ((x - 24) ** 2 + (y - 20) ** 2 < 150)
/// rgb = np.stack([128 + 100 * np.sin(x / 5) * np.cos(y / 7), (4 * x + 3 * y) % 256, circle], -1)
/// Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).save("420.jpg", quality=90, subsampling="4:2:0")
/// Image.open("420.jpg").convert("RGB").save("420.png", optimize=True)
/// ```
#[test]
fn pixels_are_those_of_libjpeg_but_for_two_grey_levels() {
    let full = distance(include_bytes!("libjpeg/444.jpg"), include_bytes!("libjpeg/444.png"));
    assert!(full.largest <= 2, "{} grey levels apart", full.largest);
    // Colours of half the resolution are rounded once more than in libjpeg; at hard edges between pure colours, which
    // photographs do not have, that is a few levels.
    let halved = distance(include_bytes!("libjpeg/420.jpg"), include_bytes!("libjpeg/420.png"));
    assert!(halved.largest <= 6, "{} grey levels apart", halved.largest);
    assert!(0.998 <= halved.within_two, "{} within two grey levels", halved.within_two);
}
