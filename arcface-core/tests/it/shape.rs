//! Texts of the shape checks.

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::shape;

fn zeros(dims: &[usize]) -> Tensor {
    Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap()
}

#[test]
fn dimensions_by_rank() {
    assert_eq!(shape::dims1(&zeros(&[4]), "slope").unwrap(), 4);
    assert_eq!(shape::dims2(&zeros(&[4, 2]), "embeddings").unwrap(), (4, 2));
    assert_eq!(shape::dims3(&zeros(&[4, 3, 2]), "centers").unwrap(), (4, 3, 2));
    assert_eq!(shape::dims4(&zeros(&[1, 2, 3, 4]), "x").unwrap(), (1, 2, 3, 4));
    assert_eq!(shape::rows_and_channels(&zeros(&[2, 3, 4, 5]), "x").unwrap(), (24, 5));
    assert_eq!(shape::rows_and_channels(&zeros(&[2, 3]), "x").unwrap(), (2, 3));
}

#[test]
fn messages_name_the_argument() {
    let text = |error: arcface_core::Error| error.to_string();
    assert_eq!(
        text(shape::dims2(&zeros(&[4]), "embeddings").unwrap_err()),
        "embeddings: expected shape (B, D), got [4]"
    );
    assert_eq!(
        text(shape::exactly(&zeros(&[4]), "slope", "(C)", &[5]).unwrap_err()),
        "slope: expected shape (C) = [5], got [4]"
    );
    assert_eq!(
        text(shape::rows_and_channels(&zeros(&[0, 4]), "x").unwrap_err()),
        "x: expected shape (B, H, W, C) or (B, C), none of them 0, got [0, 4]"
    );
}
