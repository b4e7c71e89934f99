//! Templates against plain means of means, and the lists that name their images.
//! Knows no private function.
//!
//! ```python
//! # `faces` as in `scores`; image i is of template i % 7 · 3 and of media i // 7 % 4, its detector score 0.5 + i / 100
//! import numpy as np
//! embeddings, _ = faces(40, 5, 30)
//! images = np.arange(40)
//! tid, mid, score = images % 7 * 3, images // 7 % 4, (0.5 + images / 100).astype(np.float32)
//! rows = embeddings.astype(np.float64) * (1 + images % 3)[:, None] * score.astype(np.float64)[:, None]
//! for t in (0, 18):
//!     medias = [rows[(tid == t) & (mid == m)].mean(0) for m in np.unique(mid[tid == t])]
//!     total = np.sum(medias, 0)
//!     print(t, (total / np.linalg.norm(total)).tolist())
//! ```

use arcface_core::Result;
use arcface_eval::template::{DetectorScore, ListedPairs, Norm, Pooling, PoolingConfig, Templates, meta};
use arcface_eval::{Embeddings, Pairs, tar_at_far};
use insta::assert_snapshot;
use meta::Member;
use proptest::prelude::*;

use crate::{assert_near, formula_faces};

const ALL_CONFIGS: [PoolingConfig; 4] = [
    PoolingConfig { norm: Norm::Kept, detector_score: DetectorScore::Multiplied },
    PoolingConfig { norm: Norm::Kept, detector_score: DetectorScore::Ignored },
    PoolingConfig { norm: Norm::Unit, detector_score: DetectorScore::Multiplied },
    PoolingConfig { norm: Norm::Unit, detector_score: DetectorScore::Ignored },
];

fn member(template: u32, media: u32) -> Member<'static> {
    Member { image: "", template, media }
}

/// The template's sum image by image and media by media, in f64.
fn plain(members: &[Member<'_>], rows: &[Vec<f32>], scores: &[f32], template: u32, config: PoolingConfig) -> Vec<f64> {
    let own: Vec<usize> = (0..members.len()).filter(|image| members[*image].template == template).collect();
    let mut medias: Vec<u32> = own.iter().map(|image| members[*image].media).collect();
    medias.sort_unstable();
    medias.dedup();
    let mut sum = vec![0.0; rows[0].len()];
    for media in medias {
        let images: Vec<usize> = own.iter().copied().filter(|image| members[*image].media == media).collect();
        for &image in &images {
            let length = rows[image].iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            for (sum, &value) in sum.iter_mut().zip(&rows[image]) {
                let mut value = f64::from(value) / images.len() as f64;
                if config.norm == Norm::Unit {
                    value /= length;
                }
                if config.detector_score == DetectorScore::Multiplied {
                    value *= f64::from(scores[image]);
                }
                *sum += value;
            }
        }
    }
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    sum.iter().map(|value| value / length).collect()
}

type Images = Vec<(u32, u32, Vec<f32>, f32)>;

fn images() -> impl Strategy<Value = Images> {
    let row = prop::collection::vec(0.1..2.0_f32, 9);
    prop::collection::vec((0..6_u32, 0..3_u32, row, 0.1..1.0_f32), 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn templates_are_sums_of_means_in_any_order_and_cut(images in images(), cut in 1..9_usize) {
        let members: Vec<Member<'_>> = images.iter().map(|(template, media, ..)| member(*template, *media)).collect();
        let (rows, scores): (Vec<Vec<f32>>, Vec<f32>) = images.iter().map(|(.., row, score)| (row.clone(), *score)).unzip();
        for config in ALL_CONFIGS {
            let mut pooling = Pooling::new(&members, 9, config).unwrap();
            let starts: Vec<usize> = (0..rows.len()).step_by(cut).collect();
            for &start in starts.iter().rev() {
                let end = rows.len().min(start + cut);
                pooling.add_all(start, &rows[start..end].concat(), &scores[start..end]).unwrap();
            }
            let templates = pooling.finish().unwrap();
            for (row, &number) in templates.numbers().iter().enumerate() {
                let expected = plain(&members, &rows, &scores, number, config);
                for (&got, expected) in templates.embeddings().row(row).iter().zip(expected) {
                    assert_near(f64::from(got), expected, 1e-7);
                }
            }
        }
    }
}

#[test]
fn templates_agree_with_numpy() {
    let (faces, _) = formula_faces(40, 5, 30);
    let members: Vec<Member<'_>> = (0..40).map(|image| member(image % 7 * 3, image / 7 % 4)).collect();
    let mut pooling = Pooling::new(&members, 5, PoolingConfig::default()).unwrap();
    for image in 0..40 {
        let row: Vec<f32> = faces.row(image).iter().map(|value| value * (1 + image % 3) as f32).collect();
        pooling.add(image, &row, (0.5 + image as f64 / 100.0) as f32).unwrap();
    }
    let templates = pooling.finish().unwrap();
    let golden = [
        (
            0,
            [
                0.151_941_340_757_875_58,
                0.033_649_717_365_176_97,
                0.096_367_542_339_823_27,
                0.045_600_038_669_535_11,
                0.982_046_566_485_857_6,
            ],
        ),
        (
            18,
            [
                0.617_440_843_199_597_1,
                -0.246_819_705_520_409_53,
                0.427_845_774_854_404_3,
                -0.126_631_754_097_315_72,
                -0.598_965_132_465_373_8,
            ],
        ),
    ];
    for (number, expected) in golden {
        let row = templates.row_of(number).unwrap();
        for (&got, expected) in templates.embeddings().row(row).iter().zip(expected) {
            assert_near(f64::from(got), expected, 1e-7);
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same() {
    let (faces, _) = formula_faces(300, 16, 30);
    let members: Vec<Member<'_>> = (0..300).map(|image| member(image * 7 % 31, image % 5)).collect();
    let values: Vec<f32> = (0..300).flat_map(|image| faces.row(image).to_vec()).collect();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut pooling = Pooling::new(&members, 16, PoolingConfig::default()).unwrap();
            pooling.add_all(0, &values, &[0.7; 300]).unwrap();
            pooling.finish().unwrap()
        })
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn from_lists_to_rates() {
    let members = meta::members("a.jpg 3 1\nb.jpg 3 1\nc.jpg 5 2\nd.jpg 8 3\n").unwrap();
    let mut pooling = Pooling::new(&members, 2, PoolingConfig::default()).unwrap();
    pooling.add_all(0, &[1.0, 0.0, 1.0, 0.2, 1.0, 0.3, 0.0, 1.0], &[0.9; 4]).unwrap();
    let templates = pooling.finish().unwrap();
    assert_eq!((templates.len(), templates.is_empty()), (3, false));
    let ListedPairs { pairs, same } = templates.listed(&meta::pairs("3 5 1\n3 8 0\n8 5 0\n").unwrap()).unwrap();
    assert_eq!(pairs, [(0, 1), (0, 2), (2, 1)]);
    let listed = Pairs::Listed { embeddings: templates.embeddings(), pairs: &pairs, same: &same };
    let found = tar_at_far(&[listed], &[0.5]).unwrap();
    assert_near(found.tar(&found.points[0].unwrap()), 1.0, 0.0);
}

#[test]
fn templates_of_others_are_sorted_by_number() {
    let embeddings = Embeddings::normalised(&[1.0, 0.0, 0.0, 1.0], 2).unwrap();
    let templates = Templates::new(&[9, 4], &embeddings).unwrap();
    assert_eq!((templates.numbers(), templates.embeddings().row(0)), (&[4, 9][..], &[0.0, 1.0][..]));
    assert_eq!(templates.rows_of(&[9, 4]).unwrap(), [1, 0]);
}

#[test]
fn blank_lines_windows_line_ends_and_headers_are_read() {
    assert_eq!(meta::pairs("1 2 1\r\n\r\n3 4 0\r\n").unwrap().len(), 2);
    let gallery = meta::enrolled("TEMPLATE_ID,SUBJECT_ID,FILENAME\n7, 1,x.jpg\n3,2,y.jpg").unwrap();
    assert_eq!(gallery.iter().map(|e| (e.template, e.subject)).collect::<Vec<_>>(), [(3, 2), (7, 1)]);
    assert_eq!(meta::enrolled("7,1\n").unwrap().len(), 1);
}

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn messages_of_lists() {
    assert_snapshot!(message(meta::members("1.jpg 1 2\n2.jpg 1\n")), @"line 2 of the list of templates: expected IMAGE TEMPLATE MEDIA, such as `1.jpg 1 69544`, got `2.jpg 1`");
    assert_snapshot!(message(meta::members("\n")), @"the list of templates: expected lines of the form IMAGE TEMPLATE MEDIA, such as `1.jpg 1 69544`, got none");
    assert_snapshot!(message(meta::pairs("1 2 1\n\n1 2 2\n")), @"line 3 of the list of pairs: expected TEMPLATE TEMPLATE LABEL, such as `1 11065 1`, the label 0 or 1, got `1 2 2`");
    assert_snapshot!(message(meta::detections("1.jpg 1 2 3 4 5 6 7 8 9 NaN 0.9\n")), @"line 1 of the list of landmarks: expected IMAGE, ten finite coordinates and the detector's score, got `1.jpg 1 2 3 4 5 6 7 8 9 NaN 0.9`");
    assert_snapshot!(message(meta::enrolled("TEMPLATE_ID,SUBJECT_ID\n1;2\n")), @"line 2 of the list of subjects: expected TEMPLATE,SUBJECT, such as `12,3`, got `1;2`");
    assert_snapshot!(message(meta::enrolled("1,2\n1,3\n")), @"template 1 of the list of subjects: expected one subject, got 2 and 3");
}

#[test]
fn messages_of_pooling() {
    let members = [member(4, 1), member(4, 2), member(6, 1)];
    let start = || Pooling::new(&members, 2, PoolingConfig::default()).unwrap();
    assert_snapshot!(message(Pooling::new(&[], 2, PoolingConfig::default())), @"templates: expected at least one image and one value, got 0 images of 2 values");
    assert_snapshot!(message(start().add(0, &[1.0], 1.0)), @"embedding of image 0: expected 2 values, got 1");
    assert_snapshot!(message(start().add(3, &[1.0, 1.0], 1.0)), @"images of templates: expected images below 3 (the list's length), got image 3");
    assert_snapshot!(message(start().add(1, &[0.0, 0.0], 1.0)), @"embedding of image 1: expected a finite vector that is not zero (an untrained or diverged network gives others), got length 0");
    assert_snapshot!(message(start().add(1, &[0.0, f32::NAN], 1.0)), @"embedding of image 1: expected a finite vector that is not zero (an untrained or diverged network gives others), got length NaN");
    assert_snapshot!(message(start().add(1, &[0.0, 1.0], 0.0)), @"detector score of image 1: expected a finite number above 0 (or ignore the scores), got 0");
    assert_snapshot!(message(start().add_all(0, &[1.0, 1.0], &[])), @"detector scores: expected one per image, 1, got 0");
    let mut twice = start();
    twice.add(0, &[1.0, 0.0], 1.0).unwrap();
    assert_snapshot!(message(twice.add(0, &[1.0, 0.0], 1.0)), @"image 0: expected to be added once, got a second time");
    assert_snapshot!(message(twice.clone().finish()), @"templates: expected embeddings of all images in the list, got none of image 1 (template 4), 2 are missing");
    twice.add_all(1, &[-1.0, 0.0, 1.0, 0.0], &[1.0; 2]).unwrap();
    assert_snapshot!(message(twice.finish()), @"sum of template 4: expected a finite vector that is not zero (an untrained or diverged network gives others), got length 0");
}

#[test]
fn messages_of_templates() {
    let embeddings = Embeddings::normalised(&[1.0, 0.0, 0.0, 1.0], 2).unwrap();
    assert_snapshot!(message(Templates::new(&[4], &embeddings)), @"template numbers: expected one per template, 2, got 1");
    assert_snapshot!(message(Templates::new(&[4, 4], &embeddings)), @"template 4: expected one of this number, got two");
    let templates = Templates::new(&[4, 9], &embeddings).unwrap();
    assert_snapshot!(message(templates.row_of(5)), @"template 5: expected images of it in the list of templates, got none");
    assert_snapshot!(message(templates.rows_of(&[4, 4])), @"template 4: expected to be listed once (remove the other line), got a second time");
    assert_snapshot!(message(templates.listed(&meta::pairs("4 9 1\n4 5 0\n").unwrap())), @"pair 1: expected templates that have images in the list of templates, got template 5, which has none");
}
