//! Plots of the paper's figures: lines, decision margins, toy embeddings, panels of histograms, and all of them as PNG.
//! Knows no network and no loss.

use arcface_core::Result;
use arcface_eval::report::{
    Decision, Distributions, Lines, Toy, ToyClass, decisions, distribution_panels, lines, png, toy,
};
use insta::assert_snapshot;
use proptest::prelude::*;
use resvg::tiny_skia::Pixmap;

fn check(svg: &str, words: &[&str]) {
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    for word in words {
        assert!(svg.contains(word), "no `{word}` in the picture");
    }
}

fn message(result: Result<String>) -> String {
    result.unwrap_err().to_string()
}

/// ψ(θ) = cos(m₁θ + m₂) − m₃ over θ in degrees.
fn logits(m1: f64, m2: f64, m3: f64) -> Vec<(f64, f64)> {
    (20..=100).map(f64::from).map(|angle| (angle, (m1 * angle.to_radians() + m2).cos() - m3)).collect()
}

fn some_lines(number: usize) -> Vec<(String, Vec<(f64, f64)>)> {
    (0..number)
        .map(|index| (format!("margin {index}"), logits(1.0, 0.05 * index as f64, 0.02 * index as f64)))
        .collect()
}

fn borrowed(lines: &[(String, Vec<(f64, f64)>)]) -> Vec<(&str, Vec<(f64, f64)>)> {
    lines.iter().map(|(name, points)| (name.as_str(), points.clone())).collect()
}

fn line_plot(names_and_points: &[(&str, Vec<(f64, f64)>)]) -> Result<String> {
    lines(&Lines {
        title: "Target logits",
        x: "θ between image and center, degrees",
        y: "ψ(θ)",
        lines: names_and_points,
    })
}

fn boundary(psi: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let points = (0..=90).map(f64::from).map(|angle| (angle, psi(angle.to_radians())));
    points.filter(|(_, psi)| (-1.0..=1.0).contains(psi)).map(|(angle, psi)| (angle, psi.acos().to_degrees())).collect()
}

fn margins() -> Vec<Decision<'static>> {
    vec![
        Decision { name: "softmax", boundary: boundary(f64::cos) },
        Decision { name: "SphereFace (1.35, 0, 0)", boundary: boundary(|angle| (1.35 * angle).cos()) },
        Decision { name: "CosFace (1, 0, 0.35)", boundary: boundary(|angle| angle.cos() - 0.35) },
        Decision { name: "ArcFace (1, 0.5, 0)", boundary: boundary(|angle| (angle + 0.5).cos()) },
        Decision { name: "none", boundary: Vec::new() },
    ]
}

/// Eight classes around the circle, as wide as `spread`.
fn toy_classes(spread: f64) -> Vec<ToyClass> {
    let class = |class: usize| {
        let middle = std::f64::consts::TAU * (class as f64 + 0.3) / 8.0;
        let embedding = |image: usize| {
            let u = (image as f64 * 0.618_033_988_749_894_9) % 1.0;
            let w = (image as f64 * 0.414_213_562_373_095_1) % 1.0;
            let angle = middle + spread * (u + w - 1.0);
            [(1.0 + w) * angle.cos(), (1.0 + w) * angle.sin()]
        };
        ToyClass {
            name: format!("identity {class}"),
            center: Some([2.0 * middle.cos(), 2.0 * middle.sin()]),
            embeddings: (0..500).map(embedding).collect(),
        }
    };
    (0..8).map(class).collect()
}

fn toys() -> String {
    let (wide, narrow) = (toy_classes(0.5), toy_classes(0.12));
    let panels = [Toy { name: "Norm-Softmax", classes: &wide }, Toy { name: "ArcFace", classes: &narrow }];
    toy("Embeddings of two dimensions", &panels).unwrap()
}

fn angles(middle: f64, width: f64) -> Vec<f64> {
    (0..400)
        .map(|i| middle + width * ((i as f64 * 0.618_033_988_749_894_9) % 1.0 + (i as f64 * 0.41) % 1.0 - 1.0))
        .collect()
}

fn panels() -> String {
    let (start, middle, end) = (angles(90.0, 6.0), angles(60.0, 14.0), angles(35.0, 12.0));
    let series: [(&str, &[f64]); 3] = [("start", &start), ("middle", &middle), ("end", &end)];
    let panel = |title| Distributions {
        title,
        quantity: "θ to the class center, degrees",
        of: "images",
        series: &series,
        mark: None,
    };
    distribution_panels("Angles over training", &[panel("softmax"), panel("ArcFace"), panel("CosFace")]).unwrap()
}

#[test]
fn every_line_has_its_name_and_its_look() {
    let lines = some_lines(16);
    let svg = line_plot(&borrowed(&lines)).unwrap();
    check(&svg, &["Target logits", "θ between image and center, degrees", "ψ(θ)"]);
    for (name, _) in &lines {
        check(&svg, &[name]);
    }
    // Dashes are many short paths.
    let paths = |number| line_plot(&borrowed(&lines[..number])).unwrap().matches("<polyline").count();
    assert!(paths(7) + 10 < paths(8));
}

#[test]
fn lines_without_points_are_left_out() {
    let svg = line_plot(&[("drawn", vec![(0.0, 1.0)]), ("left out", vec![])]).unwrap();
    check(&svg, &["drawn"]);
    assert!(!svg.contains("left out"));
}

#[test]
fn decisions_have_a_panel_for_each_loss() {
    let svg = decisions("Decision margins", &margins()).unwrap();
    check(&svg, &["Decision margins", "softmax", "CosFace (1, 0, 0.35)", "θ₁ = θ₂", "accepted as class 2", "80°"]);
    let most = svg.matches("θ₂").count();
    assert_eq!(most, 5 + 1, "one axis for each panel, and the legend");
}

#[test]
fn toy_examples_have_a_panel_for_each_network_and_one_legend() {
    let svg = toys();
    check(&svg, &["Norm-Softmax", "ArcFace", "class centers"]);
    assert_eq!(svg.matches("identity 7").count(), 1);
}

#[test]
fn panels_of_histograms_share_one_axis() {
    let one = |angles: &[f64]| {
        let panel =
            Distributions { title: "run", quantity: "θ", of: "images", series: &[("end", angles)], mark: None };
        let wide = Distributions { series: &[("end", &[0.0, 180.0])], ..panel };
        distribution_panels("Angles", &[panel, wide]).unwrap()
    };
    check(&panels(), &["Angles over training", "softmax", "CosFace", "start", "middle", "end"]);
    // The narrow panel reaches as far as the wide one.
    let svg = one(&[30.0, 35.0]);
    assert_eq!(svg.lines().filter(|line| line.trim() == "160").count(), 2, "labels of the axes");
}

#[test]
fn pictures_are_twice_as_large_and_have_ink() {
    let svgs =
        [line_plot(&borrowed(&some_lines(16))).unwrap(), decisions("Margins", &margins()).unwrap(), toys(), panels()];
    for svg in svgs {
        let pixels = Pixmap::decode_png(&png(&svg).unwrap()).unwrap();
        check(&svg, &[&format!("width=\"{}\" height=\"{}\"", pixels.width() / 2, pixels.height() / 2)]);
        let white =
            pixels.pixels().iter().filter(|pixel| (pixel.red(), pixel.green(), pixel.blue()) == (255, 255, 255));
        let share = white.count() as f64 / f64::from(pixels.width() * pixels.height());
        assert!(0.3 < share && share < 0.99, "{share} of the picture is white");
        assert!(pixels.pixels().iter().all(|pixel| pixel.alpha() == 255));
    }
}

#[test]
fn messages() {
    let nan = [("a", vec![(0.0, 1.0), (1.0, f64::NAN)])];
    assert_snapshot!(message(line_plot(&[])), @"lines of a plot: expected at least one with a point, got none");
    assert_snapshot!(message(line_plot(&[("empty", vec![])])), @"lines of a plot: expected at least one with a point, got none");
    assert_snapshot!(message(line_plot(&nan)), @"line `a`: expected finite numbers up to 1e100, got NaN");
    assert_snapshot!(message(line_plot(&[("far", vec![(0.0, 1e200)])])), @"line `far`: expected finite numbers up to 1e100, got 1e200");
    assert_snapshot!(message(decisions("none", &[])), @"panels of a plot: expected at least one, got 0");
    assert_snapshot!(message(decisions("a", &[Decision { name: "b", boundary: vec![(0.0, f64::INFINITY)] }])), @"boundary of `b`: expected finite numbers up to 1e100, got inf");
    assert_snapshot!(message(distribution_panels("none", &[])), @"panels of a plot: expected at least one, got 0");
    let empty = Distributions { title: "t", quantity: "q", of: "o", series: &[("s", &[])], mark: None };
    assert_snapshot!(message(distribution_panels("empty", &[empty])), @"histogram: expected at least one score, got none");
    let marked = Distributions { series: &[("s", &[1.0])], mark: Some(("limit", f64::NAN)), ..empty };
    assert_snapshot!(message(distribution_panels("marked", &[marked])), @"histogram: expected finite numbers up to 1e100, got NaN");
    assert_snapshot!(message(toy("none", &[])), @"panels of a plot: expected at least one, got 0");
    assert_snapshot!(message(toy("empty", &[Toy { name: "net", classes: &[] }])), @"classes of `net`: expected at least one, got 0");
    let one = |center, embedding| {
        let class = ToyClass { name: "Ada".to_owned(), center, embeddings: vec![[1.0, 0.0], embedding] };
        message(toy("one", &[Toy { name: "net", classes: &[class] }]))
    };
    assert_snapshot!(one(None, [0.0, 0.0]), @"embedding 1 of `Ada` by `net`: expected a vector that has a direction, got zero");
    assert_snapshot!(one(Some([f64::NAN, 0.0]), [1.0, 0.0]), @"center of `Ada` by `net`: expected finite numbers up to 1e100, got NaN");
}

/// Numbers that plots meet, and such as they do not.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![-180.0..180.0_f64, -1e-300..1e-300_f64, any::<f64>(), Just(0.0), Just(1e100), 1e15..1e15 + 9.0]
}

fn points() -> impl Strategy<Value = Vec<(f64, f64)>> {
    prop::collection::vec((number(), number()), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn odd_input_is_drawn_or_refused(points in points(), more in points(), name in "\\PC{0,40}", number in 0..30_usize) {
        let many = vec![(name.as_str(), points.clone()); number];
        let svgs = [
            lines(&Lines { title: &name, x: &name, y: &name, lines: &many }),
            decisions(&name, &[Decision { name: &name, boundary: points.clone() }]),
            toy(&name, &[Toy { name: &name, classes: &[class(&name, &points), class(&name, &more)] }]),
            panels_of(&name, &points, &more),
        ];
        for svg in svgs.into_iter().flatten() {
            prop_assert!(svg.trim_end().ends_with("</svg>"));
            png(&svg).unwrap();
        }
    }
}

fn class(name: &str, points: &[(f64, f64)]) -> ToyClass {
    let embeddings: Vec<[f64; 2]> = points.iter().map(|&(x, y)| [x, y]).collect();
    ToyClass { name: name.to_owned(), center: embeddings.first().copied(), embeddings }
}

fn panels_of(name: &str, points: &[(f64, f64)], more: &[(f64, f64)]) -> Result<String> {
    let (scores, others): (Vec<f64>, Vec<f64>) = points.iter().chain(more).copied().unzip();
    let mark = scores.first().map(|&score| (name, score));
    let panel = |scores| Distributions { title: name, quantity: name, of: name, series: scores, mark };
    distribution_panels(name, &[panel(&[(name, &scores)]), panel(&[(name, &others), (name, &scores)])])
}
