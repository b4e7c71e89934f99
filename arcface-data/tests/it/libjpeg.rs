//! JPEG as libjpeg decodes it: the network that was trained on its pixels should see the same ones.
//! Knows no face: the picture is made of formulas.

use arcface_data::image::decode;

const FILES: [(&[u8], &[u8]); 5] = [
    (include_bytes!("libjpeg/444.jpg"), include_bytes!("libjpeg/444.png")),
    (include_bytes!("libjpeg/422.jpg"), include_bytes!("libjpeg/422.png")),
    (include_bytes!("libjpeg/420.jpg"), include_bytes!("libjpeg/420.png")),
    (include_bytes!("libjpeg/restart.jpg"), include_bytes!("libjpeg/restart.png")),
    (include_bytes!("libjpeg/grey.jpg"), include_bytes!("libjpeg/grey.png")),
];

/// Made and decoded by Pillow 13 with libjpeg-turbo, in a folder of 4:4:4, 4:2:2, 4:2:0, the latter with
/// `restart_marker_blocks=2`, and grey by `convert("L")`:
///
/// ```python
/// y, x = np.mgrid[0:40, 0:48]
/// circle = 255 * ((x - 24) ** 2 + (y - 20) ** 2 < 150)
/// rgb = np.stack([128 + 100 * np.sin(x / 5) * np.cos(y / 7), (4 * x + 3 * y) % 256, circle], -1)
/// Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).save("420.jpg", quality=90, subsampling="4:2:0")
/// Image.open("420.jpg").convert("RGB").save("420.png", optimize=True)
/// ```
#[test]
fn pixels_are_those_of_libjpeg() {
    for (jpeg, expected) in FILES {
        assert_eq!(decode(jpeg).unwrap(), decode(expected).unwrap());
    }
}

/// Every bit of a file turned round once, and every byte replaced by those that begin markers: a picture or an error.
#[test]
fn damaged_files_give_a_picture_or_an_error() {
    let whole = include_bytes!("libjpeg/420.jpg");
    let mut refused = 0;
    for place in 0..whole.len() {
        let flipped = (0..8).map(|bit| whole[place] ^ (1 << bit));
        for byte in flipped.chain([0x00, 0xff, 0xd0, 0xd9]) {
            let mut damaged = whole.to_vec();
            damaged[place] = byte;
            match decode(&damaged) {
                Ok(image) => assert_eq!(image.rgb.len(), 3 * image.width * image.height),
                Err(error) => {
                    assert!(error.to_string().contains("JPEG") || error.to_string().contains("megapixels"), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(whole.len() < refused, "{refused} of {} refused", 12 * whole.len());
}
