//! Between the numbers that a network takes and the bytes of a picture.
//! Knows no network.

use arcface_core::candle::Tensor;
use arcface_data::{Image, Normalisation};

/// The least and the largest number that a byte can become.
///
/// Where each channel has a range of its own, the widest; what lies beyond a channel's is cut off in its byte.
pub(super) fn range(normalisation: Normalisation) -> [f64; 2] {
    let table = normalisation.table();
    let ends = |byte: usize| table.iter().map(move |channel| f64::from(channel[byte]));
    [ends(0).fold(f64::INFINITY, f64::min), ends(255).fold(f64::NEG_INFINITY, f64::max)]
}

/// Images of a network as pictures, each value as the nearest byte.
///
/// # Shapes
/// `images` (B, 3, S, S).
///
/// # Errors
/// If the tensor library fails.
pub(super) fn pictures(images: &Tensor, normalisation: Normalisation) -> anyhow::Result<Vec<Image>> {
    let (_, _, height, width) = images.dims4()?;
    let table = normalisation.table();
    let picture = |planes: Vec<f32>| {
        let pixel = |at: usize| [0, 1, 2].map(|channel| byte(&table[channel], planes[channel * height * width + at]));
        Image { width, height, rgb: (0..height * width).flat_map(pixel).collect() }
    };
    Ok(images.flatten_from(1)?.to_vec2()?.into_iter().map(picture).collect())
}

/// The byte whose number is nearest; normalisations are linear.
fn byte(channel: &[f32; 256], value: f32) -> u8 {
    let (least, most) = (f64::from(channel[0]), f64::from(channel[255]));
    // The conversion saturates.
    ((f64::from(value) - least) / (most - least) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use arcface_core::candle::Device;

    use super::*;

    const ALL: [Normalisation; 3] = [Normalisation::By127_5, Normalisation::By128, Normalisation::ImageNet];

    #[test]
    fn every_byte_comes_back_from_its_number() {
        for normalisation in ALL {
            let planes: Vec<f32> = normalisation.table().into_iter().flatten().collect();
            let tensor = Tensor::from_vec(planes, (1, 3, 16, 16), &Device::Cpu).unwrap();
            let picture = pictures(&tensor, normalisation).unwrap().remove(0);
            assert!((0..256).all(|at| picture.pixel(at % 16, at / 16) == [at as u8; 3]), "{normalisation}");
        }
    }

    #[test]
    fn what_no_byte_reaches_is_cut_off() {
        for normalisation in ALL {
            let [least, most] = range(normalisation);
            let table = normalisation.table();
            for channel in &table {
                assert_eq!([least - 1.0, most + 1.0].map(|value| byte(channel, value as f32)), [0, 255]);
            }
            let all = table.iter().flatten().map(|value| f64::from(*value));
            assert!(all.into_iter().all(|value| least <= value && value <= most));
        }
    }
}
