//! Convolutions at sizes of the networks, forward and with both gradients, beside candle's own on the same numbers.
//! Knows no network; `candle` in an id stands for candle's operator on (B, C, H, W).
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench that cannot go on has failed")]

use std::hint::black_box;
use std::time::Duration;

use arcface_core::candle::{DType, Tensor, Var};
use arcface_core::ops::{ConvConfig, conv2d};
use arcface_core::testing::normal;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// As in the binaries: pages are kept, not returned to the system and cleared again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One convolution of images (B, S, S, `inputs`).
struct Case {
    name: &'static str,
    size: usize,
    kernel: usize,
    inputs: usize,
    outputs: usize,
    stride: usize,
    groups: usize,
}

const CASES: [Case; 6] = [
    Case { name: "3x3_64_64_at_56", size: 56, kernel: 3, inputs: 64, outputs: 64, stride: 1, groups: 1 },
    Case { name: "3x3_128_128_at_28", size: 28, kernel: 3, inputs: 128, outputs: 128, stride: 1, groups: 1 },
    Case { name: "3x3_256_256_at_14", size: 14, kernel: 3, inputs: 256, outputs: 256, stride: 1, groups: 1 },
    Case { name: "3x3_64_64_at_112_stride_2", size: 112, kernel: 3, inputs: 64, outputs: 64, stride: 2, groups: 1 },
    Case { name: "1x1_64_128_at_56", size: 56, kernel: 1, inputs: 64, outputs: 128, stride: 1, groups: 1 },
    Case { name: "depthwise_3x3_128_at_28", size: 28, kernel: 3, inputs: 128, outputs: 128, stride: 1, groups: 128 },
];

const BATCH: usize = 2;

impl Case {
    /// Input and kernel in our layouts.
    fn ours(&self) -> [Var; 2] {
        let x = normal(&[BATCH, self.size, self.size, self.inputs], DType::F32, 0).unwrap();
        let weight = [self.kernel, self.kernel, self.inputs / self.groups, self.outputs];
        [x, normal(&weight, DType::F32, 1).unwrap()].map(|tensor| Var::from_tensor(&tensor).unwrap())
    }

    /// The same numbers in candle's layouts.
    fn candles(&self) -> [Var; 2] {
        let [x, weight] = self.ours();
        let (x, weight) = (x.permute((0, 3, 1, 2)).unwrap(), weight.permute((3, 2, 0, 1)).unwrap());
        [x, weight].map(|tensor| Var::from_tensor(&tensor.contiguous().unwrap()).unwrap())
    }

    fn padding(&self) -> usize {
        self.kernel / 2
    }

    fn convolve(&self, [x, weight]: &[Var; 2]) -> Tensor {
        let config = ConvConfig { stride: self.stride, padding: self.padding(), groups: self.groups };
        conv2d(x, weight, config).unwrap()
    }

    fn convolve_by_candle(&self, [x, weight]: &[Var; 2]) -> Tensor {
        x.conv2d(weight, self.padding(), self.stride, 1, self.groups).unwrap()
    }

    /// Multiplications and additions of the forward pass.
    fn operations(&self) -> u64 {
        let out = self.size / self.stride;
        (2 * BATCH * out * out * self.outputs * self.kernel * self.kernel * self.inputs / self.groups) as u64
    }
}

fn convolutions(criterion: &mut Criterion) {
    for case in &CASES {
        let mut group = criterion.benchmark_group(case.name);
        group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements(case.operations()));
        let (ours, candles) = (case.ours(), case.candles());
        group.bench_function("forward/ours", |bencher| bencher.iter(|| black_box(case.convolve(&ours))));
        group.bench_function("forward/candle", |bencher| bencher.iter(|| black_box(case.convolve_by_candle(&candles))));
        let train = |y: Tensor| drop(black_box(y.sum_all().unwrap().backward().unwrap()));
        group.bench_function("both_ways/ours", |bencher| bencher.iter(|| train(case.convolve(&ours))));
        group.bench_function("both_ways/candle", |bencher| bencher.iter(|| train(case.convolve_by_candle(&candles))));
        group.finish();
    }
}

criterion_group!(benches, convolutions);
criterion_main!(benches);
