//! Change of layout against candle's permutation, both ways, and its gradients.

use arcface_core::candle::DType;
use arcface_core::ops::{channels_first, channels_last};
use arcface_core::testing::{activations, bits, gradient_error, normal};
use proptest::prelude::*;

#[test]
fn equals_a_permutation() {
    for dtype in [DType::F32, DType::F64] {
        let images = normal(&[2, 3, 17, 19], dtype, 0).unwrap();
        let expected = images.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
        let found = channels_last(&images).unwrap();
        assert_eq!(found.dims(), [2, 17, 19, 3]);
        assert_eq!(bits(&found).unwrap(), bits(&expected).unwrap());
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let x = normal(&[2, 3, 2, 4], DType::F64, 0).unwrap();
    assert!(gradient_error(std::slice::from_ref(&x), |at| channels_last(&at[0])).unwrap() < 1e-7);
    assert!(gradient_error(&[x], |at| channels_first(&at[0])).unwrap() < 1e-7);
}

#[test]
fn messages() {
    let flat = normal(&[2, 3], DType::F32, 0).unwrap();
    assert_eq!(channels_last(&flat).unwrap_err().to_string(), "images: expected shape (B, C, H, W), got [2, 3]");
    assert_eq!(channels_first(&flat).unwrap_err().to_string(), "x: expected shape (B, H, W, C), got [2, 3]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn there_and_back_again(x in activations()) {
        let back = channels_last(&channels_first(&x).unwrap()).unwrap();
        prop_assert_eq!(back.dims(), x.dims());
        prop_assert_eq!(bits(&back).unwrap(), bits(&x).unwrap());
    }
}
