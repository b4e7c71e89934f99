//! The folded convolution against its operators one by one, in both types; messages.

use arcface_core::Result;
use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::ops::{ConvConfig, FoldedConv, batch_norm_eval, conv2d, prelu};
use arcface_core::testing::{bits, difference, normal, with_threads};

/// Batch, side, kernel, input and output channels of a group, (stride, padding, groups).
type Case = (usize, usize, usize, [usize; 2], [usize; 3]);

/// Winograd with few and with many tiles, 1×1 below and above a block of rows, with rests; im2col, grouped, depthwise.
const CASES: [Case; 11] = [
    (1, 14, 3, [16, 33], [1, 1, 1]),
    (2, 32, 3, [20, 16], [1, 1, 1]),
    (1, 3, 1, [5, 7], [1, 0, 1]),
    (1, 7, 1, [32, 40], [1, 0, 1]),
    (3, 14, 1, [24, 17], [1, 0, 1]),
    (2, 9, 1, [8, 8], [2, 0, 1]),
    (2, 9, 3, [3, 18], [2, 1, 1]),
    (1, 8, 3, [4, 6], [1, 1, 3]),
    (2, 11, 3, [1, 1], [1, 1, 21]),
    (1, 12, 3, [2, 2], [2, 1, 8]),
    (2, 7, 7, [1, 1], [1, 0, 19]),
];

struct Layer {
    weight: Tensor,
    config: ConvConfig,
    affine: Tensor,
    statistics: Tensor,
    slope: Tensor,
}

const EPS: f64 = 1e-3;

impl Layer {
    /// The layer of a case and an input for it.
    fn drawn(
        (batch, side, kernel, [channels, filters], [stride, padding, groups]): Case,
        dtype: DType,
    ) -> (Self, Tensor) {
        let draw = |shape: &[usize], index| normal(shape, DType::F64, index).unwrap();
        let outputs = filters * groups;
        let statistics = Tensor::stack(&[draw(&[outputs], 4), draw(&[outputs], 5).sqr().unwrap()], 0).unwrap();
        let to = |tensor: Tensor| tensor.to_dtype(dtype).unwrap();
        let layer = Self {
            weight: to(draw(&[kernel, kernel, channels, outputs], 1)),
            config: ConvConfig { stride, padding, groups },
            affine: to(draw(&[2, outputs], 3)),
            statistics: to(statistics),
            slope: to(draw(&[outputs], 6)),
        };
        (layer, to(draw(&[batch, side, side, channels * groups], 0)))
    }

    fn folded(&self) -> Result<FoldedConv> {
        FoldedConv::new(&self.weight, self.config)?
            .with_batch_norm(&self.affine, &self.statistics, EPS)?
            .with_prelu(&self.slope)
    }

    fn one_by_one(&self, x: &Tensor) -> Result<Tensor> {
        let y = conv2d(x, &self.weight, self.config)?;
        prelu(&batch_norm_eval(&y, &self.affine, &self.statistics, EPS)?, &self.slope)
    }
}

#[test]
fn is_its_operators_one_by_one() {
    for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-5)] {
        for case in CASES {
            let (layer, x) = Layer::drawn(case, dtype);
            let expected = layer.one_by_one(&x).unwrap();
            let shortcut = normal(expected.dims(), dtype, 9).unwrap();
            let close = |got: &Tensor, expected: &Tensor| difference(got, expected).unwrap() < tolerance;
            let folded = layer.folded().unwrap();
            assert!(close(&folded.forward(&x, None).unwrap(), &expected), "{dtype:?} {case:?}");
            let added = folded.forward(&x, Some(&shortcut)).unwrap();
            assert!(close(&added, &(&expected + &shortcut).unwrap()), "{dtype:?} {case:?} with a shortcut");
            let plain = FoldedConv::new(&layer.weight, layer.config).unwrap();
            let conv = conv2d(&x, &layer.weight, layer.config).unwrap();
            assert!(close(&plain.forward(&x, None).unwrap(), &conv), "{dtype:?} {case:?} alone");
            let bent = prelu(&conv, &layer.slope).unwrap();
            let plain = plain.with_prelu(&layer.slope).unwrap();
            assert!(close(&plain.forward(&x, None).unwrap(), &bent), "{dtype:?} {case:?} with a PReLU alone");
        }
    }
}

#[test]
fn one_and_three_threads_give_the_same_bytes() {
    for case in CASES {
        let (layer, x) = Layer::drawn(case, DType::F32);
        let with = |threads| {
            with_threads(threads, || bits(&layer.folded().unwrap().forward(&x, None).unwrap()).unwrap()).unwrap()
        };
        assert!(with(1) == with(3), "{case:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (layer, x) = Layer::drawn(CASES[2], DType::F32);
    let folded = layer.folded().unwrap();
    let error = |result: Result<Tensor>| result.unwrap_err().to_string();
    insta::assert_snapshot!(error(folded.forward(&x, Some(&x))), @"shortcut: expected shape the result's shape = [1, 3, 3, 7], got [1, 3, 3, 5]");
    insta::assert_snapshot!(error(folded.forward(&x.to_dtype(DType::F64).unwrap(), None)), @"conv2d weight: expected dtype f64 as conv2d input has, got f32");
    insta::assert_snapshot!(folded.clone().with_batch_norm(&layer.affine, &layer.statistics, EPS).unwrap_err(), @"folded convolution: expected one batch norm, before any PReLU, got another one");
    let short = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    insta::assert_snapshot!(folded.clone().with_prelu(&short).unwrap_err(), @"slope: expected shape (C) = [7], got [3]");
    insta::assert_snapshot!(FoldedConv::new(&short, ConvConfig::default()).unwrap_err(), @"conv2d weight: expected shape (KH, KW, Cin/groups, Cout), got [3]");
}
