//! Pictures one after the other in one file: an animated PNG, which browsers play.
//! Knows no file and no data set.

use anyhow::{Context, bail};
use arcface_data::Image;
use png::{BitDepth, ColorType, Encoder};

/// Played for ever.
const FOR_EVER: u32 = 0;

/// The bytes of an animated PNG that shows each of `frames` for `milliseconds`, again and again.
///
/// # Errors
/// If there is no frame, or they are not all of one size.
pub(crate) fn animation(frames: &[Image], milliseconds: u16) -> anyhow::Result<Vec<u8>> {
    let Some(Image { width, height, .. }) = frames.first() else {
        bail!("animation: expected at least one frame, got 0")
    };
    if let Some(other) = frames.iter().find(|frame| (frame.width, frame.height) != (*width, *height)) {
        bail!("animation: expected frames of {width}×{height} pixels, got one of {}×{}", other.width, other.height);
    }
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, u32::try_from(*width)?, u32::try_from(*height)?);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_animated(u32::try_from(frames.len())?, FOR_EVER)?;
    encoder.set_frame_delay(milliseconds, 1000)?;
    let mut writer = encoder.write_header()?;
    frames.iter().try_for_each(|frame| writer.write_image_data(&frame.rgb)).context("animation")?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn every_frame_comes_back() {
        let frames = [[9, 8, 7], [1, 2, 3], [200, 0, 0]].map(|colour| Image::filled(5, 4, colour));
        let bytes = animation(&frames, 200).unwrap();
        let mut reader = png::Decoder::new(Cursor::new(&bytes)).read_info().unwrap();
        assert_eq!(reader.info().animation_control().map(|control| control.num_frames), Some(3));
        for frame in &frames {
            let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut rgb).unwrap();
            assert_eq!(rgb, frame.rgb);
        }
    }

    #[test]
    fn a_viewer_that_knows_no_animation_sees_the_first_frame() {
        let frames = [[9, 8, 7], [1, 2, 3]].map(|colour| Image::filled(5, 4, colour));
        assert_eq!(arcface_data::image::decode(&animation(&frames, 200).unwrap()).unwrap(), frames[0]);
    }

    #[test]
    fn frames_of_two_sizes_are_refused() {
        let words = |frames: &[Image]| animation(frames, 200).unwrap_err().to_string();
        assert_eq!(words(&[]), "animation: expected at least one frame, got 0");
        let frames = [4, 5].map(|width| Image::filled(width, 4, [0; 3]));
        assert_eq!(words(&frames), "animation: expected frames of 4×4 pixels, got one of 5×4");
    }
}
