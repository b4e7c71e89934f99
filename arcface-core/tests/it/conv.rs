//! Convolution against a plain loop in f64, finite differences and candle's own; threads, layouts and messages.

use arcface_core::candle::{DType, Device, Tensor, Var};
use arcface_core::ops::conv::{ConvConfig, conv2d};
use arcface_core::testing::{bits, difference, gradient_error, normal, values, with_threads};
use proptest::prelude::*;

/// A convolution of given sizes.
#[derive(Debug, Clone, Copy)]
struct Case {
    batch: usize,
    height: usize,
    width: usize,
    kernel_height: usize,
    kernel_width: usize,
    group_channels: usize,
    group_filters: usize,
    config: ConvConfig,
}

impl Case {
    fn square(batch: usize, side: usize, kernel: usize, group: (usize, usize), config: (usize, usize, usize)) -> Self {
        let (group_channels, group_filters) = group;
        let (stride, padding, groups) = config;
        let config = ConvConfig { stride, padding, groups };
        let (height, width, kernel_height, kernel_width) = (side, side, kernel, kernel);
        Self { batch, height, width, kernel_height, kernel_width, group_channels, group_filters, config }
    }

    fn channels(&self) -> usize {
        self.group_channels * self.config.groups
    }

    fn filters(&self) -> usize {
        self.group_filters * self.config.groups
    }

    fn out(&self, size: usize, kernel: usize) -> usize {
        (size + 2 * self.config.padding - kernel) / self.config.stride + 1
    }

    fn dims(&self) -> [[usize; 4]; 3] {
        let Self { batch, height, width, kernel_height, kernel_width, group_channels, .. } = *self;
        let (out_height, out_width) = (self.out(height, kernel_height), self.out(width, kernel_width));
        [
            [batch, height, width, self.channels()],
            [kernel_height, kernel_width, group_channels, self.filters()],
            [batch, out_height, out_width, self.filters()],
        ]
    }

    /// x, w and ∂L/∂y.
    fn tensors(&self) -> [Tensor; 3] {
        let mut index = 0;
        self.dims().map(|dims| {
            index += 1;
            normal(&dims, DType::F64, index).unwrap()
        })
    }

    /// Every product of the convolution once, as (index in x, index in w, index in y).
    fn products(&self) -> Vec<[usize; 3]> {
        let [x, w, y] = self.dims();
        let at =
            |dims: [usize; 4], i: usize, j: usize, k: usize, l: usize| ((i * dims[1] + j) * dims[2] + k) * dims[3] + l;
        let ConvConfig { stride, padding, .. } = self.config;
        let mut products = Vec::new();
        for (b, i, j, o) in iproduct(y) {
            for (u, v, c, _) in iproduct([w[0], w[1], w[2], 1]) {
                let (row, col) = (i * stride + u, j * stride + v);
                if padding <= row && row < x[1] + padding && padding <= col && col < x[2] + padding {
                    let channel = o / self.group_filters * self.group_channels + c;
                    let from = at(x, b, row - padding, col - padding, channel);
                    products.push([from, at(w, u, v, c, o), at(y, b, i, j, o)]);
                }
            }
        }
        products
    }

    /// The sums of products that make up y, dx and dw.
    fn oracle(&self, x: &[f64], w: &[f64], dy: &[f64]) -> [Vec<f64>; 3] {
        let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
        for [i, j, k] in self.products() {
            y[k] += x[i] * w[j];
            dx[i] += w[j] * dy[k];
            dw[j] += x[i] * dy[k];
        }
        [y, dx, dw]
    }
}

fn iproduct(dims: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let [a, b, c, d] = dims;
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
}

/// y, ∂L/∂x and ∂L/∂w for L = Σ y ⊙ dy, through candle's graph.
fn through_graph(x: &Tensor, w: &Tensor, dy: &Tensor, f: impl Fn(&Tensor, &Tensor) -> Tensor) -> [Tensor; 3] {
    let (x, w) = (Var::from_tensor(x).unwrap(), Var::from_tensor(w).unwrap());
    let y = f(&x, &w);
    let store = y.mul(dy).unwrap().sum_all().unwrap().backward().unwrap();
    [y.detach(), store.get(&x).unwrap().clone(), store.get(&w).unwrap().clone()]
}

fn ours(case: &Case, [x, w, dy]: &[Tensor; 3]) -> [Tensor; 3] {
    through_graph(x, w, dy, |x, w| conv2d(x, w, case.config).unwrap())
}

/// candle's own convolution, with its order of dimensions.
fn candles(case: &Case, [x, w, dy]: &[Tensor; 3]) -> [Tensor; 3] {
    let ConvConfig { stride, padding, groups } = case.config;
    through_graph(x, w, dy, |x, w| {
        let x = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        let w = w.permute((3, 2, 0, 1)).unwrap().contiguous().unwrap();
        x.conv2d(&w, padding, stride, 1, groups).unwrap().permute((0, 2, 3, 1)).unwrap()
    })
}

/// The largest difference of y, dx and dw from the plain loop's, each relative to its size.
fn check(case: Case) {
    let tensors = case.tensors();
    let [x, w, dy] = tensors.each_ref().map(|tensor| values(tensor).unwrap());
    for ((got, expected), name) in ours(&case, &tensors).iter().zip(case.oracle(&x, &w, &dy)).zip(["y", "dx", "dw"]) {
        let expected = Tensor::from_vec(expected, got.dims(), &Device::Cpu).unwrap();
        let difference = difference(got, &expected).unwrap();
        assert!(difference < 1e-12, "{name} differs by {difference:e} for {case:?}");
    }
}

const NARROW: [usize; 4] = [1, 1, 2, 4];

/// Sizes that fit each other; `narrow` has as few channels in as out per group: one, two or four.
fn cases() -> impl Strategy<Value = Case> {
    let kernel = prop::sample::select(vec![1_usize, 2, 3, 5, 7]);
    let sizes = (1_usize..=3, 1_usize..=9, 1_usize..=9, kernel.clone(), kernel);
    let channels = (1_usize..=4, 1_usize..=5, prop::sample::select(vec![1_usize, 2, 3, 5, 17, 33]));
    let config = (1_usize..=3, 0_usize..=3, any::<bool>());
    (sizes, channels, config).prop_filter_map("the kernel fits into the padded image", |(sizes, channels, config)| {
        let (batch, height, width, kernel_height, kernel_width) = sizes;
        let (stride, padding, narrow) = config;
        let (group_channels, group_filters, groups) = if narrow {
            (NARROW[channels.0 - 1], NARROW[channels.0 - 1], channels.2)
        } else {
            (channels.0, channels.1, channels.2.min(3))
        };
        let config = ConvConfig { stride, padding, groups };
        let fits = kernel_height <= height + 2 * padding && kernel_width <= width + 2 * padding;
        fits.then_some(Case {
            batch,
            height,
            width,
            kernel_height,
            kernel_width,
            group_channels,
            group_filters,
            config,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equals_a_plain_loop_forward_and_backward(case in cases()) {
        check(case);
    }

    #[test]
    fn gradients_are_adjoint_to_the_convolution(case in cases()) {
        let tensors = case.tensors();
        let [y, dx, dw] = ours(&case, &tensors);
        let [x, w, dy] = &tensors;
        let dot = |a: &Tensor, b: &Tensor| a.mul(b).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        let expected = dot(&y, dy);
        prop_assert!((dot(x, &dx) - expected).abs() < 1e-10 * (1.0 + expected.abs()));
        prop_assert!((dot(w, &dw) - expected).abs() < 1e-10 * (1.0 + expected.abs()));
    }
}

/// Sizes that take every way through the kernels: several tiles, parts and blocks, odd rests, all strides.
fn large_cases() -> Vec<Case> {
    vec![
        Case::square(2, 23, 3, (3, 20), (1, 1, 1)),
        Case::square(3, 40, 3, (8, 8), (1, 1, 1)),
        Case::square(3, 13, 1, (17, 50), (1, 0, 1)),
        Case::square(2, 41, 1, (64, 128), (1, 0, 1)),
        Case::square(1, 7, 1, (16, 33), (1, 0, 1)),
        Case::square(2, 23, 3, (2, 2), (1, 1, 9)),
        Case::square(2, 22, 3, (2, 2), (2, 1, 17)),
        Case::square(2, 21, 3, (4, 4), (1, 1, 9)),
        Case::square(2, 20, 3, (4, 4), (2, 1, 5)),
        Case::square(2, 19, 5, (2, 2), (1, 2, 8)),
        Case::square(3, 7, 3, (128, 130), (1, 1, 1)),
        Case::square(3, 23, 3, (17, 20), (1, 1, 1)),
        Case::square(2, 10, 3, (20, 40), (1, 0, 1)),
        Case::square(2, 9, 3, (130, 66), (2, 1, 1)),
        Case::square(2, 15, 3, (16, 24), (2, 1, 1)),
        Case::square(2, 14, 1, (24, 40), (1, 0, 1)),
        Case::square(2, 14, 1, (24, 40), (2, 0, 1)),
        Case::square(1, 31, 5, (4, 6), (3, 2, 2)),
        Case::square(2, 31, 3, (1, 1), (1, 1, 67)),
        Case::square(2, 31, 3, (1, 1), (2, 1, 48)),
        Case::square(3, 7, 7, (1, 1), (1, 0, 40)),
    ]
}

#[test]
fn equals_a_plain_loop_at_sizes_with_many_tiles() {
    large_cases().into_iter().for_each(check);
}

#[test]
fn equals_candles_convolution() {
    for case in large_cases() {
        let tensors = case.tensors();
        for (ours, candles) in ours(&case, &tensors).iter().zip(&candles(&case, &tensors)) {
            assert!(difference(ours, candles).unwrap() < 1e-12, "{case:?}");
        }
    }
}

#[test]
fn single_precision_is_near_double() {
    for case in large_cases() {
        let tensors = case.tensors();
        let single = tensors.each_ref().map(|tensor| tensor.to_dtype(DType::F32).unwrap());
        let double = single.each_ref().map(|tensor| tensor.to_dtype(DType::F64).unwrap());
        for (single, double) in ours(&case, &single).iter().zip(&ours(&case, &double)) {
            assert!(difference(single, double).unwrap() < 1e-5, "{case:?}");
        }
    }
}

#[test]
fn finite_differences_confirm_the_gradients() {
    for case in [
        Case::square(2, 5, 3, (2, 3), (1, 1, 1)),
        Case::square(1, 6, 3, (2, 2), (2, 1, 2)),
        Case::square(1, 5, 3, (1, 1), (1, 1, 3)),
        Case::square(1, 7, 3, (2, 2), (1, 1, 3)),
        Case::square(1, 6, 3, (4, 4), (1, 1, 2)),
        Case::square(1, 7, 3, (1, 1), (3, 2, 2)),
        Case::square(2, 3, 1, (3, 2), (1, 0, 1)),
    ] {
        let [x, w, _] = case.tensors();
        let error = gradient_error(&[x, w], |xw| conv2d(&xw[0], &xw[1], case.config)).unwrap();
        assert!(error < 1e-7, "{error:e} for {case:?}");
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    for case in large_cases() {
        let tensors = case.tensors().map(|tensor| tensor.to_dtype(DType::F32).unwrap());
        let run =
            |threads| with_threads(threads, || ours(&case, &tensors).each_ref().map(|t| bits(t).unwrap())).unwrap();
        let expected = run(1);
        assert_eq!(expected, run(2), "{case:?}");
        assert_eq!(expected, run(3), "{case:?}");
    }
}

#[test]
fn layouts_with_gaps_and_other_orders_are_read_right() {
    let permuted = |t: &Tensor| t.permute((3, 1, 0, 2)).unwrap();
    let back = |t: &Tensor| t.permute((2, 1, 3, 0)).unwrap();
    for case in large_cases() {
        let [x, w, dy] = case.tensors();
        let expected = ours(&case, &[x.clone(), w.clone(), dy.clone()]);
        let moved = [&x, &w, &dy].map(|t| permuted(t).contiguous().unwrap());
        // Seen through the permutations, the operator's input, weight and gradient are not contiguous.
        let got = through_graph(&moved[0], &moved[1], &moved[2], |x, w| {
            permuted(&conv2d(&back(x), &back(w), case.config).unwrap())
        });
        for (got, expected) in got.iter().zip(&expected) {
            assert_eq!(bits(&back(got)).unwrap(), bits(expected).unwrap(), "{case:?}");
        }
    }
}

#[test]
fn a_part_of_a_larger_tensor_is_read_at_its_offset() {
    let case = Case::square(2, 6, 3, (3, 4), (1, 1, 1));
    let [x, w, _] = case.tensors();
    let expected = conv2d(&x, &w, case.config).unwrap();
    let batch = Tensor::cat(&[&x.zeros_like().unwrap(), &x], 0).unwrap().narrow(0, 2, 2).unwrap();
    assert_eq!(bits(&conv2d(&batch, &w, case.config).unwrap()).unwrap(), bits(&expected).unwrap());
}

#[test]
fn only_tracked_arguments_get_a_gradient() {
    let case = Case::square(2, 6, 3, (3, 4), (1, 1, 1));
    let [x, w, _] = case.tensors();
    let variable = |t: &Tensor| Var::from_tensor(t).unwrap();
    let (x_variable, w_variable) = (variable(&x), variable(&w));
    let store = |x: &Tensor, w: &Tensor| conv2d(x, w, case.config).unwrap().sum_all().unwrap().backward().unwrap();
    let of_weight = store(&x, &w_variable);
    assert!(of_weight.get(&x).is_none() && of_weight.get(&w_variable).is_some());
    let of_input = store(&x_variable, &w);
    assert!(of_input.get(&x_variable).is_some() && of_input.get(&w).is_none());
}

#[test]
fn a_broadcast_gradient_is_taken() {
    let case = Case::square(2, 6, 3, (3, 4), (1, 1, 1));
    let [x, w, dy] = case.tensors();
    let expected = ours(&case, &[x.clone(), w.clone(), dy.ones_like().unwrap()]);
    let x = Var::from_tensor(&x).unwrap();
    let store = conv2d(&x, &w, case.config).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(bits(store.get(&x).unwrap()).unwrap(), bits(&expected[1]).unwrap());
}

#[test]
fn misfits_are_told_apart() {
    let x = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let message = |x: &Tensor, w: &Tensor, stride, padding, groups| {
        conv2d(x, w, ConvConfig { stride, padding, groups }).unwrap_err().to_string()
    };
    let (image, kernel) = (x(&[1, 8, 8, 4]), x(&[3, 3, 4, 6]));
    let messages = [
        message(&x(&[8, 8, 4]), &kernel, 1, 1, 1),
        message(&image, &x(&[3, 4, 6]), 1, 1, 1),
        message(&image, &x(&[3, 3, 5, 6]), 1, 1, 1),
        message(&image, &kernel, 0, 1, 1),
        message(&image, &kernel, 1, 1, 3),
        message(&image, &kernel, 1, 1, 0),
        message(&image, &x(&[3, 3, 4, 6]), 1, 1, 2),
        message(&image, &x(&[11, 3, 4, 6]), 1, 1, 1),
        message(&x(&[0, 8, 8, 4]), &kernel, 1, 1, 1),
        message(&image.to_dtype(DType::U8).unwrap(), &kernel, 1, 1, 1),
        message(&image, &kernel.to_dtype(DType::F64).unwrap(), 1, 1, 1),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    conv2d input: expected shape (B, H, W, Cin), got [8, 8, 4]
    conv2d weight: expected shape (KH, KW, Cin/groups, Cout), got [3, 4, 6]
    conv2d weight: expected shape (KH, KW, 4, Cout) for 4 channels and groups = 1, got [3, 3, 5, 6]
    conv2d stride: expected at least 1, got 0
    conv2d groups: expected a divisor of 4 input and 6 output channels, got 3
    conv2d groups: expected a divisor of 4 input and 6 output channels, got 0
    conv2d weight: expected shape (KH, KW, 2, Cout) for 4 channels and groups = 2, got [3, 3, 4, 6]
    conv2d kernel height: expected 1 <= kernel <= 10, the padded input, got 11
    conv2d input: expected shape without a zero, got [0, 8, 8, 4]
    conv2d input: expected dtype f32 or f64, got u8
    conv2d weight: expected dtype f32 as conv2d input has, got f64
    ");
}
