//! What the camera does to a finished picture: blur, noise and rounding to bytes.
//! Knows no shapes.

use super::canvas::Rgb;
use super::nuisance::Camera;

/// The picture as bytes, red, green, blue for each pixel.
pub(super) fn develop(pixels: &mut Vec<Rgb>, size: usize, camera: &Camera) -> Vec<u8> {
    let weight = 0.3 * camera.blur;
    for _ in 0..2 {
        blur(pixels, size, weight);
    }
    expose(pixels, camera)
}

/// Mixes every pixel with its four neighbours; the edge repeats itself.
fn blur(pixels: &mut Vec<Rgb>, size: usize, weight: f32) {
    if weight <= 0.0 {
        return;
    }
    let across = smooth(pixels, size, weight, 1);
    *pixels = smooth(&across, size, weight, size);
}

/// (1 − w)·x + w/2·(before + after) along lines with a stride of 1 or of a row.
fn smooth(pixels: &[Rgb], size: usize, weight: f32, stride: usize) -> Vec<Rgb> {
    let last = size - 1;
    let neighbours = |index: usize| {
        let place = if stride == 1 { index % size } else { index / size };
        let before = if 0 < place { index - stride } else { index };
        (before, if place < last { index + stride } else { index })
    };
    let mixed = |index: usize| {
        let (before, after) = neighbours(index);
        std::array::from_fn(|channel| {
            let beside = 0.5 * (pixels[before][channel] + pixels[after][channel]);
            pixels[index][channel] + weight * (beside - pixels[index][channel])
        })
    };
    (0..pixels.len()).map(mixed).collect()
}

fn expose(pixels: &[Rgb], camera: &Camera) -> Vec<u8> {
    let amplitude = 255.0 * camera.noise;
    let byte = |value: f32, noise: f32| (255.0 * value + amplitude * noise + 0.5).clamp(0.0, 255.0) as u8;
    let noisy = |(index, pixel): (usize, &Rgb)| {
        let noise = normals(camera.noise_seed.wrapping_add(index as u64));
        [byte(pixel[0], noise[0]), byte(pixel[1], noise[1]), byte(pixel[2], noise[2])]
    };
    pixels.iter().enumerate().flat_map(noisy).collect()
}

/// Three nearly normal numbers for a counter: sums of bytes of a mixed word (`SplitMix64`'s finaliser).
fn normals(counter: u64) -> [f32; 3] {
    let mut word = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^= word >> 31;
    [0, 21, 42].map(|shift| {
        let part = word >> shift;
        // Three uniform numbers of 7 bits have mean 190.5 and variance 3·(128² − 1)/12 = 64².
        let sum = (part & 127) + ((part >> 7) & 127) + ((part >> 14) & 127);
        (sum as f32 - 190.5) / 64.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_mean_0_and_variance_1() {
        let draws: Vec<f32> = (0..20_000).flat_map(normals).collect();
        let mean = draws.iter().sum::<f32>() / draws.len() as f32;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / draws.len() as f32;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
