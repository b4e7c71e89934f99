//! Geometry on the sphere: identities, and finite numbers at the poles.

use arcface_core::candle::DType;
use arcface_core::sphere::{angle, arccos, cosine, norm, sine, sine_floor, unit};
use proptest::prelude::*;

#[test]
fn a_zero_vector_stays_finite() {
    assert_eq!(unit(&[0.0, 0.0]), [0.0, 0.0]);
    assert!(cosine(&[0.0, 0.0], &[1.0, 0.0]).abs() < 1e-300);
    assert!(angle(&[0.0, 0.0], &[0.0, 0.0]).is_finite());
}

#[test]
fn arccos_has_a_finite_slope_at_the_poles() {
    for dtype in [DType::F32, DType::F64] {
        let floor = sine_floor(dtype);
        for cosine in [-1.0, 1.0, 1.0 + 1e-7, -1.0 - 1e-7] {
            let (theta, slope) = arccos(cosine, floor);
            assert!(theta.is_finite() && (slope + 1.0 / floor).abs() < 1e-6 / floor, "{cosine}: {slope}");
        }
    }
}

fn vector() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-3.0..3.0f64, 4).prop_filter("not zero", |v| 1e-3 < norm(v))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn unit_vectors_have_length_one(v in vector()) {
        prop_assert!((norm(&unit(&v)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn angle_and_cosine_agree(a in vector(), b in vector()) {
        prop_assert!((angle(&a, &b).cos() - cosine(&a, &b)).abs() < 1e-12);
    }

    #[test]
    fn lengths_do_not_matter(a in vector(), b in vector(), factor in 0.1..10.0f64) {
        let longer: Vec<f64> = a.iter().map(|x| x * factor).collect();
        prop_assert!((angle(&longer, &b) - angle(&a, &b)).abs() < 1e-12);
    }

    #[test]
    fn slope_of_arccos(cosine in -0.999..0.999f64) {
        let (theta, slope) = arccos(cosine, 1e-8);
        let step = 1e-6;
        let difference = ((cosine + step).acos() - (cosine - step).acos()) / (2.0 * step);
        prop_assert!((slope - difference).abs() < 1e-4 * slope.abs());
        prop_assert!((theta.sin() - sine(cosine, 1e-8)).abs() < 1e-12);
    }
}
