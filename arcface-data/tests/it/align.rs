//! Alignment against scikit-image and OpenCV, its properties, and lists of landmarks whole and broken.
//! Knows no definition but that of the least squares.
//!
//! ```python
//! # scikit-image 0.26, opencv-python-headless 5.0.0, numpy 2.4
//! import cv2, numpy as np
//! from skimage.transform import SimilarityTransform
//! T = np.array([[38.2946,51.6963],[73.5318,51.5014],[56.0252,71.7366],[41.5493,92.3655],[70.7299,92.2041]])
//! faces = [[[103.762,113.269],[146.981,113.223],[119.752,135.745],[106.026,159.523],[144.129,159.522]],
//!  [[30,40],[60,52],[40,62],[22,74],[50,86]],
//!  [[150.5,80.25],[90.75,70],[118,45.5],[140,20],[95,12.5]]]
//! x, y = np.meshgrid(np.arange(250), np.arange(200))
//! image = np.stack([(x*7 + y*3) % 256, (x*x//16 + y*5) % 256, (x*y//7) % 256], -1).astype(np.uint8)
//! for size, face in [(112, faces[0]), (112, faces[1]), (112, faces[2]), (224, faces[0])]:
//!     M = SimilarityTransform.from_estimate(np.array(face), T*size/112).params[:2]
//!     crop = cv2.warpAffine(image, M, (size, size), borderValue=0.0)
//!     print(M[:, [0, 2]].ravel().tolist())   # a, tx, b, ty
//!     spots = [(0,0),(20,70),(56,56),(80,30),(111,111),(100,5),(3,108),(64,90)]
//!     print([crop[row*size//112, column*size//112].tolist() for row, column in spots])
//!     print(crop.reshape(-1, 3).astype(int).sum(0).tolist())
//! ```
//!
//! Of all pixels of the four crops 1 in 10,000 differs, by 1 grey level, where exact rounding and that of f32 part.
//! OpenCV 4.10, which rounds places to 1/32 of a pixel, differs by up to 6 on this image, whose colours jump from 255
//! to 0, and by 0.14 on average.

use std::path::Path;

use arcface_core::seed::{Purpose, rng};
use arcface_data::align::{
    Found, LandmarkList, Landmarks, NAMES, Point, Sides, Similarity, TEMPLATE, aligned, transform,
};
use arcface_data::{Image, image};
use insta::assert_snapshot;
use proptest::prelude::*;
use rand::Rng;

use crate::real::data;

const FACES: [[Point; 5]; 3] = [
    [[103.762, 113.269], [146.981, 113.223], [119.752, 135.745], [106.026, 159.523], [144.129, 159.522]],
    [[30.0, 40.0], [60.0, 52.0], [40.0, 62.0], [22.0, 74.0], [50.0, 86.0]],
    // On its head.
    [[150.5, 80.25], [90.75, 70.0], [118.0, 45.5], [140.0, 20.0], [95.0, 12.5]],
];

struct Golden {
    face: usize,
    size: usize,
    /// a, tx, b, ty.
    matrix: [f64; 4],
    pixels: [[u8; 3]; 8],
    sums: [f64; 3],
}

#[rustfmt::skip]
#[allow(clippy::unreadable_literal, reason = "as Python prints them")]
const GOLDEN: [Golden; 4] = [
    Golden {
        face: 0, size: 112,
        matrix: [0.8365015826276585, -48.806103213136836, -0.007319448932788498, -41.16935104712017],
        pixels: [[43, 202, 155], [189, 85, 221], [198, 15, 33], [64, 244, 141], [85, 88, 104], [180, 69, 240], [192, 153, 174], [44, 29, 178]],
        sums: [1614660.0, 1594830.0, 1595216.0],
    },
    Golden {
        face: 1, size: 112,
        matrix: [1.041545845323741, -7.667462553956824, -0.3441906115107914, 20.397001618705048],
        pixels: [[0, 0, 0], [25, 136, 210], [206, 115, 59], [40, 71, 138], [107, 162, 209], [0, 0, 0], [22, 12, 15], [190, 141, 163]],
        sums: [1428097.0, 1423505.0, 1249375.0],
    },
    Golden {
        face: 2, size: 112,
        matrix: [-0.6457332620001102, 134.10641748050796, 0.02924116739966796, 97.90319066485449],
        pixels: [[93, 170, 177], [17, 148, 134], [11, 194, 157], [198, 232, 29], [0, 0, 0], [135, 217, 165], [169, 45, 202], [115, 36, 37]],
        sums: [1465043.0, 1460995.0, 1424479.0],
    },
    Golden {
        face: 0, size: 224,
        matrix: [1.673003165255317, -97.61220642627367, -0.014638897865576995, -82.33870209424035],
        pixels: [[43, 202, 155], [189, 85, 221], [198, 15, 33], [64, 244, 141], [85, 88, 104], [180, 69, 240], [192, 153, 174], [44, 29, 178]],
        sums: [6459215.0, 6378011.0, 6379875.0],
    },
];

/// The image of the comment above.
fn chart() -> Image {
    let colour = |x: usize, y: usize| [x * 7 + y * 3, x * x / 16 + y * 5, x * y / 7].map(|value| (value % 256) as u8);
    Image::new(250, 200, (0..200).flat_map(|y| (0..250).flat_map(move |x| colour(x, y))).collect()).unwrap()
}

#[test]
fn matrices_are_those_of_scikit_image() {
    for Golden { face, size, matrix, .. } in &GOLDEN {
        let [[a, minus_b, tx], [b, again, ty]] =
            transform(&Landmarks::new(&FACES[*face]).unwrap(), *size).unwrap().matrix();
        for (found, expected) in [a, tx, b, ty].into_iter().zip(matrix) {
            assert!((found - expected).abs() < 1e-11, "face {face}: {found}, expected {expected}");
        }
        assert!((a - again).abs() + (b + minus_b).abs() < 1e-15);
    }
}

#[test]
fn crops_are_those_of_opencv() {
    const SPOTS: [[usize; 2]; 8] = [[0, 0], [20, 70], [56, 56], [80, 30], [111, 111], [100, 5], [3, 108], [64, 90]];
    let chart = chart();
    for Golden { face, size, pixels, sums, .. } in &GOLDEN {
        let crop = aligned(&chart, &Landmarks::new(&FACES[*face]).unwrap(), *size).unwrap();
        for ([row, column], expected) in SPOTS.map(|spot| spot.map(|at| at * size / 112)).into_iter().zip(pixels) {
            let found = crop.pixel(column, row);
            assert!(
                found.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= 1),
                "face {face}: {found:?}, {expected:?}"
            );
        }
        for (channel, expected) in sums.iter().enumerate() {
            let sum: f64 = crop.rgb.iter().skip(channel).step_by(3).map(|value| f64::from(*value)).sum();
            assert!((sum - expected).abs() <= 10.0, "face {face}, channel {channel}: {sum}, expected {expected}");
        }
    }
}

/// Originals of LFW and the crops that another program made of them with the same points, as JPEG of quality 90.
#[test]
fn crops_of_photographs_are_those_of_another_program() {
    let Some(root) = data() else { return };
    let fixture = root.join("fixture-tiny");
    let list = LandmarkList::read(&fixture.join("landmarks.csv"), Sides::Image).unwrap();
    let mut compared = 0;
    for row in list.rows() {
        let original = fixture.join("lfw250").join(&row.path);
        let Found::Face(landmarks) = &row.found else { panic!("{row:?}") };
        if !original.is_file() {
            continue;
        }
        let crop = aligned(&image::read(&original).unwrap(), landmarks, 112).unwrap();
        let theirs = image::read(&fixture.join("lfw112").join(&row.path)).unwrap();
        let differences = crop.rgb.iter().zip(&theirs.rgb).map(|(a, b)| a.abs_diff(*b));
        let mean = differences.clone().map(f64::from).sum::<f64>() / crop.rgb.len() as f64;
        // That is what JPEG and its decoders change: decoded and compressed alike, the two differ by 0.1 at most.
        assert!(mean < 2.1 && differences.max().unwrap() <= 24, "{}: {mean}", row.path);
        compared += 1;
    }
    assert_eq!(compared, 24);
}

#[test]
fn a_crop_that_is_aligned_already_stays_as_it_is() {
    let image = chart();
    let crop = aligned(&image, &Landmarks::new(&TEMPLATE).unwrap(), 112).unwrap();
    for (x, y) in (0..112).flat_map(|y| (0..112).map(move |x| (x, y))) {
        assert_eq!(crop.pixel(x, y), image.pixel(x, y));
    }
}

#[test]
fn what_lies_outside_of_the_image_is_black() {
    let far = TEMPLATE.map(|[x, y]| [x - 60.0, y]);
    let crop = aligned(&Image::filled(112, 112, [200; 3]), &Landmarks::new(&far).unwrap(), 112).unwrap();
    assert_eq!([crop.pixel(59, 50), crop.pixel(60, 50)], [[0; 3], [200; 3]]);
}

fn similarity() -> impl Strategy<Value = Similarity> {
    let turn = 0.0..std::f64::consts::TAU;
    (turn, -3.0_f64..3.0, -500.0_f64..500.0, -500.0_f64..500.0).prop_map(|(angle, scale, x, y)| {
        let (sin, cos) = angle.sin_cos();
        Similarity { a: scale.exp2() * cos, b: scale.exp2() * sin, shift: [x, y] }
    })
}

/// Five points near those of the template.
fn face() -> impl Strategy<Value = [Point; 5]> {
    prop::array::uniform5(prop::array::uniform2(-6.0_f64..6.0)).prop_map(|by| {
        std::array::from_fn(|index| [TEMPLATE[index][0] + by[index][0], TEMPLATE[index][1] + by[index][1]])
    })
}

fn near(a: Point, b: Point) -> bool {
    (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-8
}

/// Sum of the squared distances that a transform leaves.
fn residual(transform: &Similarity, from: &[Point; 5]) -> f64 {
    let moved = from.map(|point| transform.apply(point));
    moved.iter().zip(TEMPLATE).map(|(p, q)| (p[0] - q[0]).powi(2) + (p[1] - q[1]).powi(2)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_known_similarity_is_recovered(known in similarity(), points in face()) {
        let moved = points.map(|point| known.apply(point));
        let found = Similarity::fit(&points, &moved).unwrap();
        prop_assert!((found.a - known.a).abs() + (found.b - known.b).abs() < 1e-9, "{:?}", found);
        prop_assert!((found.scale() / known.scale() - 1.0).abs() < 1e-9);
        prop_assert!(near(found.inverse().apply(moved[2]), points[2]));
    }

    /// Wherever and however large a face stands in its image, its crop is the same.
    #[test]
    fn landmarks_that_move_together_come_to_lie_at_the_same_places(known in similarity(), points in face()) {
        let moved = points.map(|point| known.apply(point));
        let [here, there] = [points, moved].map(|points| transform(&Landmarks::new(&points).unwrap(), 112).unwrap());
        for (point, moved) in points.iter().zip(moved) {
            prop_assert!(near(here.apply(*point), there.apply(moved)));
        }
    }

    /// The condition of least squares, without its solution: no change of the four numbers is better.
    #[test]
    fn no_other_similarity_is_nearer(points in face(), change in prop::array::uniform4(-0.1_f64..0.1)) {
        let best = transform(&Landmarks::new(&points).unwrap(), 112).unwrap();
        let [a, b, x, y] = change;
        let other = Similarity { a: best.a + a, b: best.b + b, shift: [best.shift[0] + x, best.shift[1] + y] };
        prop_assert!(residual(&best, &points) <= residual(&other, &points) + 1e-9);
    }

    #[test]
    fn a_mirror_image_is_refused_at_any_angle(known in similarity(), points in face()) {
        let mirrored = points.map(|[x, y]| known.apply([-x, y]));
        prop_assert!(Landmarks::new(&mirrored).unwrap_err().to_string().contains("exchange"));
        let [left_eye, right_eye, nose, left_mouth, right_mouth] = mirrored;
        prop_assert!(Landmarks::new(&[right_eye, left_eye, nose, right_mouth, left_mouth]).is_ok());
    }

    #[test]
    fn crops_keep_the_template_at_any_size(size in 1_usize..300, points in face()) {
        let landmarks = Landmarks::new(&points).unwrap();
        let (small, large) = (transform(&landmarks, 112).unwrap(), transform(&landmarks, size).unwrap());
        let [x, y] = small.apply(points[0]);
        let ratio = size as f64 / 112.0;
        prop_assert!(near(large.apply(points[0]), [x * ratio, y * ratio]));
        let crop = aligned(&Image::filled(120, 120, [7; 3]), &landmarks, size).unwrap();
        prop_assert_eq!((crop.width, crop.height, crop.rgb.len()), (size, size, 3 * size * size));
    }
}

fn landmarks_message(change: impl FnOnce(&mut [Point; 5])) -> String {
    let mut points = TEMPLATE;
    change(&mut points);
    Landmarks::new(&points).unwrap_err().to_string()
}

#[test]
fn points_that_are_no_face() {
    assert_snapshot!(landmarks_message(|points| points[2][1] = f64::NAN), @"y of the nose: expected a number within ±1000000, got NaN");
    assert_snapshot!(landmarks_message(|points| points[0][0] = -1e7), @"x of the left eye: expected a number within ±1000000, got -10000000");
    assert_snapshot!(landmarks_message(|points| *points = [[0.0; 2]; 5]), @"left eye and right eye: expected two places, got one, (0, 0)");
    assert_snapshot!(landmarks_message(|points| points[4] = points[3]), @"left corner of the mouth and right corner of the mouth: expected two places, got one, (41.5493, 92.3655)");
    assert_snapshot!(landmarks_message(|points| *points = [0.0, 1.0, 2.0, 3.0, 5.0].map(|x| [x, 2.0 * x])), @"landmarks: expected five points of a face, got five points on a line, [[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [5.0, 10.0]]");
    assert_snapshot!(landmarks_message(|points| points.swap(0, 1)), @"landmarks: the corners of the mouth are not in the order of the eyes; left and right are meant as seen in the image, exchange them if the list means the person's");
    assert_snapshot!(landmarks_message(|points| points.swap(3, 4)), @"landmarks: the corners of the mouth are not in the order of the eyes; left and right are meant as seen in the image, exchange them if the list means the person's");
    assert_snapshot!(landmarks_message(|points| *points = points.map(|[x, y]| [-x, y])), @"landmarks: the left eye lies to the right of the right eye; left and right are meant as seen in the image, exchange them if the list means the person's");
    assert_snapshot!(landmarks_message(|points| *points = points.map(|[x, y]| [x, -y])), @"landmarks: the mouth lies above the eyes; left and right are meant as seen in the image, exchange them if the list means the person's");
    assert_snapshot!(Landmarks::new(&TEMPLATE[..4]).unwrap_err(), @"landmarks: expected 5 points, got 4");
    let landmarks = Landmarks::new(&TEMPLATE).unwrap();
    assert_snapshot!(aligned(&Image::filled(56, 30, [0; 3]), &landmarks, 112).unwrap_err(), @"nose: expected a place in the image of 56×30 pixels, got (56.0252, 71.7366); does the list belong to these images?");
    assert_snapshot!(aligned(&Image::filled(112, 112, [0; 3]), &landmarks, 0).unwrap_err(), @"size of an aligned crop: expected 1 to 4096 pixels, got 0");
    assert_snapshot!(transform(&landmarks, 5000).unwrap_err(), @"size of an aligned crop: expected 1 to 4096 pixels, got 5000");
    assert_snapshot!(Similarity::fit(&[[1.0, 1.0]; 3], &[[1.0, 2.0]; 3]).unwrap_err(), @"points of a similarity transform: expected finite points that differ, got points that coincide or are infinite");
    assert_snapshot!(Similarity::fit(&[[1.0, 1.0]; 3], &[[1.0, 2.0]; 2]).unwrap_err(), @"points of a similarity transform: expected at least 2 on both sides, equally many, got 3 and 2");
}

fn parse(text: &str) -> arcface_core::Result<LandmarkList> {
    LandmarkList::parse(text, "list", Sides::Image)
}

const NUMBERS: [&str; 10] = ["38.3", "51.7", "73.5", "51.5", "56", "71.7", "41.5", "92.4", "70.7", "92.2"];

/// `path` and the ten numbers.
fn line(path: &str, separator: &str) -> String {
    [&[path], &NUMBERS[..]].concat().join(separator)
}

#[test]
fn forms_of_lists_are_told_apart() {
    let expected = [[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]];
    let header = "path,x_leye,y_leye,x_reye,y_reye,x_nose,y_nose,x_lmouth,y_lmouth,x_rmouth,y_rmouth";
    let celeba =
        "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y";
    let texts = [
        format!("{header}\n{}\n", line("a/1.jpg", ",")),
        format!("\u{feff}{}\r\n{}\r\n", header.replace(',', "\t"), line("a/1.jpg", "\t")),
        format!("score,{header}\n0.5,{}", line("\"a/1.jpg\"", ",")),
        format!("1\n{celeba}\n{}\n", line("a/1.jpg", "  ")),
        format!("# made by hand\n\n{}\n", line("./a/1.jpg", " ")),
        line("a/1.jpg", ", "),
        line("a/1.jpg", "\t") + "\t0.998",
    ];
    for text in texts {
        let list = parse(&text).unwrap();
        assert_eq!((list.rows().len(), list.rows()[0].path.as_str()), (1, "a/1.jpg"), "{text}");
        let Found::Face(landmarks) = &list.rows()[0].found else { panic!("{text}") };
        assert_eq!(*landmarks.points(), expected, "{text}");
    }
    assert_eq!(parse(&line("anna b/1 2.jpg", " ")).unwrap().rows()[0].path, "anna b/1 2.jpg");
}

#[test]
fn a_face_may_be_missing_or_unusable() {
    let header = "path,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5";
    let zeros = format!("c.jpg{}", ",0".repeat(10));
    let list = parse(&format!("{header}\n{}\nb.jpg,,,,,,,,,,\n{zeros}\n", line("a.jpg", ","))).unwrap();
    assert!(matches!(list.rows()[0].found, Found::Face(_)));
    assert_eq!(list.rows()[1].found, Found::Nothing);
    assert!(matches!(&list.rows()[2], row if row.line == 4 && matches!(row.found, Found::Unusable(_))));
}

#[test]
fn the_persons_own_sides_can_be_said() {
    let [left_eye, right_eye, nose, left_mouth, right_mouth] = TEMPLATE;
    let person: Vec<_> =
        [right_eye, left_eye, nose, right_mouth, left_mouth].iter().flatten().map(f64::to_string).collect();
    let text = format!("a.jpg {}", person.join(" "));
    let found = |sides| LandmarkList::parse(&text, "list", sides).unwrap().rows()[0].found.clone();
    assert!(matches!(found(Sides::Image), Found::Unusable(_)));
    assert_eq!(found(Sides::Person), Found::Face(Landmarks::new(&TEMPLATE).unwrap()));
}

fn list_message(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn lists_that_cannot_be_used() {
    let header = "path,x_leye,y_leye,x_reye,y_reye,x_nose,y_nose,x_lmouth,y_lmouth,x_rmouth,y_rmouth";
    let row = line("a.jpg", ",");
    assert_snapshot!(list_message(""), @"list: expected the landmarks of at least one image, found none");
    assert_snapshot!(list_message(header), @"list: expected the landmarks of at least one image, found none");
    assert_snapshot!(list_message(&format!("{header}\n{row}\n\n{row}")), @"list: line 4: `a.jpg` stands in line 2 already; keep one of its faces");
    assert_snapshot!(list_message(&format!("{header}\n{row},7")), @"list: line 2: expected 11 fields (path,x_leye,y_leye,x_reye,y_reye,x_nose,y_nose,x_lmouth,y_lmouth,x_rmouth,y_rmouth), got 12");
    assert_snapshot!(list_message(&format!("{header}\n{}", row.replace("71.7", "high"))), @"list: line 2: column `y_nose`: expected a finite number, got `high`");
    assert_snapshot!(list_message(&format!("{header}\n{}", row.replace("71.7", ""))), @"list: line 2: column `y_nose`: expected a finite number, got ``");
    assert_snapshot!(list_message(&format!("{header}\n{}", row.replace("71.7", "inf"))), @"list: line 2: column `y_nose`: expected a finite number, got `inf`");
    assert_snapshot!(list_message(&format!("{}\n{row}", header.replace("path", "id"))), @"list: line 1: expected a column `path`, found id, x_leye, y_leye, x_reye, y_reye, x_nose, y_nose, x_lmouth, y_lmouth, x_rmouth, y_rmouth");
    assert_snapshot!(list_message(&format!("{}\n{row}", header.replace("y_nose", "z_nose"))), @"list: line 1: expected columns such as `x_leye` for x and y of five landmarks, found none for y of the nose among path, x_leye, y_leye, x_reye, y_reye, x_nose, z_nose, x_lmouth, y_lmouth, x_rmouth, y_rmouth");
    assert_snapshot!(list_message(&format!("{header},leye_x\n{row},1")), @"list: line 1: columns `x_leye` and `leye_x` hold the same coordinate; remove one");
    assert_snapshot!(list_message(&line("a.jpg", " ")[..40]), @"list: line 1: expected `path x1 y1 … x5 y5`, got 8 numbers behind `a.jpg`");
    assert_snapshot!(list_message(&(line("a.jpg", " ") + " 7")), @"list: line 1: expected `path x1 y1 … x5 y5`, got 11 numbers behind `a.jpg`");
    assert_snapshot!(list_message(&line("a.jpg", " ").replace("71.7", "nan")), @"list: line 1: y of the nose: expected a finite number, got `nan`");
    assert_snapshot!(list_message(&line("../a.jpg", " ")), @"list: line 1: expected the path of an image below the folder of images, got `../a.jpg`");
    assert_snapshot!(list_message(&line("/a.jpg", " ")), @"list: line 1: expected the path of an image below the folder of images, got `/a.jpg`");
    assert_snapshot!(list_message("a,b,same\n1,2,1\n"), @"list: line 1: expected `path x1 y1 … x5 y5`, got 0 numbers behind `a,b,same`");
    assert_snapshot!(LandmarkList::read(Path::new("nowhere.csv"), Sides::Image).unwrap_err(), @"nowhere.csv: no such file; check the path");
}

/// Whatever is changed in a list, reading it ends in landmarks that a crop can be made of, or in words.
#[test]
fn lists_changed_at_random_never_panic() {
    let header = "path,x_leye,y_leye,x_reye,y_reye,x_nose,y_nose,x_lmouth,y_lmouth,x_rmouth,y_rmouth";
    let csv = format!("{header}\n{}\n{}\n", line("a/1.jpg", ","), line("\"b/2.jpg\"", ","));
    let plain = format!("{}\n{}\n", line("a/1.jpg", " "), line("b/2.jpg", "\t"));
    let image = Image::filled(40, 30, [9; 3]);
    let mut rng = rng(0, Purpose::Testing, 0, 77);
    let (mut good, mut bad) = (0, 0);
    for round in 0..4000 {
        let mut bytes = if round % 2 == 0 { csv.clone() } else { plain.clone() }.into_bytes();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] = rng.random(),
                1 => bytes[at] = b"0123456789.,-e\n\t \"/#x"[rng.random_range(0..21)],
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        match parse(&String::from_utf8_lossy(&bytes)) {
            Err(error) => {
                assert!(error.to_string().starts_with("list: "), "{error}");
                bad += 1;
            }
            Ok(list) => {
                for row in list.rows() {
                    if let Found::Face(landmarks) = &row.found {
                        let _ = aligned(&image, landmarks, 8).map(|crop| assert_eq!(crop.rgb.len(), 192));
                    }
                }
                good += 1;
            }
        }
    }
    assert!(500 < good && 500 < bad, "{good} good, {bad} bad, of {NAMES:?}");
}
