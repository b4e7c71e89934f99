//! Plots as PNG: their size, their ink, the letters that they can show, messages.
//! Knows no plot but a histogram.

use arcface_eval::report::{Distributions, distributions, picture, png};
use insta::assert_snapshot;
use resvg::tiny_skia::Pixmap;

fn titled(title: &str) -> Pixmap {
    let plot = Distributions { title, quantity: "θ", of: "images", series: &[("all", &[1.0, 2.0])], mark: None };
    Pixmap::decode_png(&png(&distributions(&plot).unwrap()).unwrap()).unwrap()
}

/// Number of pixels in `rows` that are not white.
fn ink(pixels: &Pixmap, rows: std::ops::Range<u32>) -> usize {
    let values = rows.flat_map(|y| (0..pixels.width()).filter_map(move |x| pixels.pixel(x, y)));
    values.filter(|pixel| (pixel.red(), pixel.green(), pixel.blue()) != (255, 255, 255)).count()
}

#[test]
fn a_picture_has_twice_the_size_of_its_plot_and_no_holes() {
    let pixels = titled("Angles");
    assert_eq!((pixels.width(), pixels.height()), (2 * 640, 2 * 400));
    assert!(pixels.pixels().iter().all(|pixel| pixel.alpha() == 255));
}

#[test]
fn a_title_leaves_ink() {
    let (with, without) = (titled("Angles"), titled(" "));
    assert_eq!(ink(&without, 0..60), 0);
    assert!(200 < ink(&with, 0..60));
    assert!(2000 < ink(&without, 60..800));
}

#[test]
fn every_letter_leaves_ink() {
    let svg = |text: &str| {
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"><text x="9" y="30" font-family="sans-serif" font-size="20">{text}</text></svg>"#
        )
    };
    let (nothing, unknown) = (png(&svg("")).unwrap(), png(&svg("\u{e123}")).unwrap());
    for letter in "aθψ°‖₀₁₂↓≤ℓ²…−–×·≈π".chars() {
        let drawn = png(&svg(&letter.to_string())).unwrap();
        assert!(drawn != nothing && drawn != unknown, "`{letter}` is not drawn");
    }
}

#[test]
fn messages() {
    assert_snapshot!(png("no picture").unwrap_err(), @"plot to draw as PNG: SVG data parsing failed cause unknown token at 1:1");
    let photograph = picture("faces", b"\x89PNG\r\n\x1a\n", (640, 480)).unwrap();
    assert_snapshot!(png(&photograph).unwrap_err(), @"plot to draw as PNG: expected lines, areas and text, got a picture within the SVG");
}
