//! What the camera does to a finished picture: blur, noise and rounding to bytes.
//! Knows no shapes.

use super::canvas::Rgb;
use super::nuisance::Camera;

/// The picture as bytes, red, green, blue for each pixel.
pub(super) fn develop(pixels: &[Rgb], size: usize, camera: &Camera) -> Vec<u8> {
    let values = blurred(pixels.as_flattened(), size, camera.blur);
    exposed(&values, camera)
}

/// Mixes every pixel with its four neighbours; the edge repeats itself.
fn blurred(values: &[f32], size: usize, weight: f32) -> Vec<f32> {
    let mut across = values.to_vec();
    for (line, out) in values.chunks_exact(3 * size).zip(across.chunks_exact_mut(3 * size)) {
        smooth(&line[..line.len() - 6], &line[3..], &line[6..], weight, &mut out[3..]);
        smooth(&line[..3], &line[..3], &line[3..], weight, &mut out[..3]);
        let end = line.len() - 3;
        smooth(&line[end - 3..], &line[end..], &line[end..], weight, &mut out[end..]);
    }
    let mut down = across.clone();
    let line = |row: usize| &across[3 * size * row..][..3 * size];
    for (row, out) in down.chunks_exact_mut(3 * size).enumerate() {
        smooth(line(row.saturating_sub(1)), line(row), line((row + 1).min(size - 1)), weight, out);
    }
    down
}

/// (1 − w)·x + w/2·(before + after), as far as all four go.
fn smooth(before: &[f32], values: &[f32], after: &[f32], weight: f32, out: &mut [f32]) {
    for (((out, &before), &value), &after) in out.iter_mut().zip(before).zip(values).zip(after) {
        *out = value + weight * (0.5 * (before + after) - value);
    }
}

fn exposed(values: &[f32], camera: &Camera) -> Vec<u8> {
    let amplitude = 255.0 * camera.noise;
    let mut bytes = vec![0; values.len()];
    for (index, (out, pixel)) in bytes.chunks_exact_mut(3).zip(values.chunks_exact(3)).enumerate() {
        let noise = normals(camera.noise_seed.wrapping_add(index as u64));
        for channel in 0..3 {
            // Casting saturates: below 0 is black, above 255 is white.
            out[channel] = (255.0 * pixel[channel] + amplitude * noise[channel] + 0.5) as u8;
        }
    }
    bytes
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
        (sum as i32 as f32 - 190.5) / 64.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blurred_plain_picture_stays_plain_and_a_point_spreads() {
        let plain = blurred(&[0.5; 4 * 4 * 3], 4, 0.4);
        assert!(plain.iter().all(|value| (value - 0.5).abs() < 1e-6));
        let mut point = [0.0; 5 * 5 * 3];
        point[3 * 12] = 1.0;
        let spread = blurred(&point, 5, 0.4);
        for (pixel, expected) in [(12, 0.36), (11, 0.12), (17, 0.12), (6, 0.04), (10, 0.0)] {
            assert!((spread[3 * pixel] - expected).abs() < 1e-6, "{pixel}: {}", spread[3 * pixel]);
        }
    }

    #[test]
    fn noise_has_mean_0_and_variance_1() {
        let draws: Vec<f32> = (0..20_000).flat_map(normals).collect();
        let mean = draws.iter().sum::<f32>() / draws.len() as f32;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / draws.len() as f32;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
