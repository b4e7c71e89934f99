//! Each operator on a device against the CPU.

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::ops::{
    ConvConfig, DropKey, FoldedConv, add, batch_norm_add_eval, batch_norm_add_train, batch_norm_eval,
    batch_norm_observed, batch_norm_prelu_eval, batch_norm_prelu_train, batch_norm_train, cast, channel_statistics,
    channels_first, channels_last, conv2d, dropout, linear, prelu, tape,
};
use arcface_core::testing::{bits, difference, normal, values};

use super::{
    Input, Way, activation, check, check_by, check_without_tape, devices, home, in_full, in_tf32, parameter, positive,
    rounded, sides,
};

const EPS: f64 = 1e-3;

/// Rows and channels: fewer and more than a block takes, whole vectors and not.
const SHAPES: [&[usize]; 7] =
    [&[2, 3, 3, 5], &[3, 5, 4, 8], &[2, 7, 9, 64], &[1, 1, 1, 3], &[17, 16], &[3, 1030], &[2, 33, 31, 4]];

/// Batch, height and width, kernel, channels going in and out of a group, (stride, padding, groups).
type Case = (usize, [usize; 2], [usize; 2], [usize; 2], [usize; 3]);

const DENSE: [Case; 12] = [
    (2, [6, 6], [3, 3], [8, 16], [1, 1, 1]),
    (1, [7, 5], [3, 3], [3, 5], [1, 1, 1]),
    (2, [8, 9], [3, 3], [5, 7], [2, 1, 1]),
    (3, [5, 5], [1, 1], [16, 8], [1, 0, 1]),
    (2, [7, 7], [1, 1], [4, 9], [2, 0, 1]),
    (2, [6, 7], [3, 3], [4, 6], [1, 1, 2]),
    (1, [9, 9], [3, 3], [3, 2], [2, 1, 3]),
    (2, [6, 6], [3, 3], [2, 2], [1, 1, 4]),
    (1, [8, 8], [5, 5], [3, 4], [1, 2, 1]),
    (1, [7, 7], [7, 7], [4, 8], [1, 0, 1]),
    (1, [9, 4], [3, 1], [4, 4], [1, 1, 1]),
    (2, [5, 5], [2, 2], [4, 4], [3, 0, 1]),
];

const DEPTHWISE: [Case; 10] = [
    (2, [6, 7], [3, 3], [1, 1], [1, 1, 8]),
    (1, [9, 9], [3, 3], [1, 1], [2, 1, 16]),
    (2, [5, 6], [3, 3], [1, 1], [1, 1, 5]),
    (1, [8, 8], [3, 3], [1, 1], [2, 0, 7]),
    (3, [7, 7], [7, 7], [1, 1], [1, 0, 12]),
    (1, [9, 8], [5, 5], [1, 1], [1, 2, 8]),
    (1, [6, 6], [1, 1], [1, 1], [1, 0, 4]),
    (1, [4, 5], [3, 3], [1, 1], [1, 1, 1032]),
    (1, [7, 9], [3, 2], [1, 1], [3, 1, 6]),
    (4, [20, 21], [3, 3], [1, 1], [1, 1, 64]),
];

fn inputs((batch, [height, width], [kh, kw], [channels, filters], [_, _, groups]): Case) -> (Input, Input) {
    let x = activation(&[batch, height, width, channels * groups], 0);
    (x, parameter(&[kh, kw, channels, filters * groups], 1))
}

fn config((.., [stride, padding, groups]): Case) -> ConvConfig {
    ConvConfig { stride, padding, groups }
}

#[test]
fn convolution() {
    for case in DENSE.into_iter().chain(DEPTHWISE) {
        let (x, weight) = inputs(case);
        check(&format!("conv2d {case:?}"), &[x, weight], |at| conv2d(&at[0], &at[1], config(case)));
    }
}

#[test]
fn convolution_of_which_one_gradient_is_asked_for() {
    for case in [DENSE[0], DENSE[5], DEPTHWISE[0]] {
        let (x, weight) = inputs(case);
        let of = |x, weight| check(&format!("{case:?}"), &[x, weight], |at| conv2d(&at[0], &at[1], config(case)));
        of(x.clone().constant(), weight.clone());
        of(x, weight.constant());
    }
}

#[test]
fn convolution_of_what_has_gaps() {
    let (x, weight) = (activation(&[2, 8, 6, 7], 0), parameter(&[8, 3, 3, 4], 1));
    check_without_tape("conv2d with gaps", &[x, weight], |at| {
        let (x, weight) = (at[0].transpose(1, 3)?, at[1].permute((1, 2, 0, 3))?);
        Ok(conv2d(&x, &weight, ConvConfig { padding: 1, ..ConvConfig::default() })?.narrow(1, 1, 3)?)
    });
}

#[test]
fn fully_connected() {
    for (batch, wide, narrow) in [(1, 3, 2), (5, 16, 8), (7, 33, 17), (64, 130, 512)] {
        let (x, weight, bias) = (activation(&[batch, wide], 0), parameter(&[narrow, wide], 1), parameter(&[narrow], 2));
        check("linear", &[x.clone(), weight.clone()], |at| linear(&at[0], &at[1], None));
        check("linear with bias", &[x.clone(), weight.clone(), bias], |at| linear(&at[0], &at[1], Some(&at[2])));
        check("linear by x", &[x.clone(), weight.clone().constant()], |at| linear(&at[0], &at[1], None));
        check("linear by the weight", &[x.constant(), weight], |at| linear(&at[0], &at[1], None));
    }
}

#[test]
fn products_of_which_the_factors_are_rounded() {
    in_tf32(|| {
        for case in [DENSE[0], DENSE[2], DENSE[5], DEPTHWISE[0]] {
            let (x, weight) = inputs(case);
            let f = |at: &[Tensor]| conv2d(&at[0], &at[1], config(case));
            check_by(&[Way::Tape], &format!("conv2d {case:?} in tf32"), &[x, weight], 5e-3, f);
        }
        let (x, weight) = (activation(&[7, 33], 0), parameter(&[17, 33], 1));
        check_by(&[Way::Tape], "linear in tf32", &[x, weight], 5e-3, |at| linear(&at[0], &at[1], None));
    });
}

#[test]
fn bends_and_sums() {
    for shape in SHAPES {
        let channels = shape[shape.len() - 1];
        let (x, y, slope) = (activation(shape, 0), activation(shape, 1), parameter(&[channels], 2));
        check(&format!("add {shape:?}"), &[x.clone(), y], |at| add(&at[0], &at[1]));
        check(&format!("prelu {shape:?}"), &[x, slope], |at| prelu(&at[0], &at[1]));
    }
}

#[test]
fn batch_norm_by_the_batch() {
    for shape in SHAPES.into_iter().filter(|shape| *shape != [1, 1, 1, 3]) {
        let channels = shape[shape.len() - 1];
        let (x, affine, slope) = (activation(shape, 0), parameter(&[2, channels], 1), parameter(&[channels], 2));
        let name = format!("batch norm {shape:?}");
        check(&name, &[x.clone(), affine.clone()], |at| Ok(batch_norm_train(&at[0], &at[1], EPS)?.0));
        check(&name, &[x.clone(), affine.clone(), slope], |at| {
            Ok(batch_norm_prelu_train(&at[0], &at[1], &at[2], EPS)?.0)
        });
        let shortcut = activation(shape, 3);
        let on_top = |at: &[Tensor]| Ok(batch_norm_add_train(&at[0], &at[1], &at[2], EPS)?.0);
        check(&name, &[x.clone(), affine.clone(), shortcut.clone()], on_top);
        check(&name, &[x.clone().constant(), affine.clone().constant(), shortcut], on_top);
        check(&name, &[x.clone(), affine.clone()], |at| Ok(batch_norm_add_train(&at[0], &at[1], &at[0], EPS)?.0));
        check(&name, &[x.clone().constant(), affine.constant()], |at| {
            let statistics = batch_norm_train(&at[0], &at[1], EPS)?.1;
            Ok(Tensor::stack(&[statistics.mean, statistics.variance], 0)?)
        });
        check(&name, &[x], |at| channel_statistics(&at[0]));
    }
}

#[test]
fn batch_norm_by_given_statistics() {
    for shape in SHAPES {
        let channels = shape[shape.len() - 1];
        let (x, affine, slope) = (activation(shape, 0), parameter(&[2, channels], 1), parameter(&[channels], 2));
        let statistics = positive(&[2, channels], 3).constant();
        let name = format!("batch norm {shape:?}");
        check(&name, &[x.clone(), affine.clone(), statistics.clone()], |at| {
            batch_norm_eval(&at[0], &at[1], &at[2], EPS)
        });
        check(&name, &[x.clone(), affine.clone(), statistics.clone(), slope], |at| {
            batch_norm_prelu_eval(&at[0], &at[1], &at[2], &at[3], EPS)
        });
        check(&name, &[x, affine, statistics, activation(shape, 4)], |at| {
            batch_norm_add_eval(&at[0], &at[1], &at[2], &at[3], EPS)
        });
    }
}

#[test]
fn batch_norm_that_tells_the_statistics() {
    for (shape, with_slope) in SHAPES.into_iter().flat_map(|shape| [(shape, false), (shape, true)]) {
        for side in sides() {
            let channels = shape[shape.len() - 1];
            let draw = |shape: &[usize], index| normal(shape, DType::F32, index).unwrap();
            let x = rounded(&draw(shape, 0), side.activations);
            let (dy, dstatistics) = (rounded(&draw(shape, 77), side.activations), draw(&[2, channels], 78));
            let (affine, running) = (draw(&[2, channels], 1), positive(&[2, channels], 3).values);
            let slope = draw(&[channels], 2);
            let run = |device: &Device, dtype| {
                let to = |tensor: &Tensor| tensor.to_device(device).unwrap();
                let var = arcface_core::candle::Var::from_tensor(&to(&x).to_dtype(dtype).unwrap()).unwrap();
                let (slope, mut observed) = (with_slope.then(|| to(&slope)), None);
                let (y, tape) = tape::record(|| {
                    let (y, seen) = batch_norm_observed(&var, &to(&affine), &to(&running), slope.as_ref(), EPS)?;
                    observed = Some(seen);
                    Ok(y)
                })
                .unwrap();
                let observed = observed.unwrap();
                observed.give(&to(&dstatistics)).unwrap();
                let store = tape.backward(&to(&dy).to_dtype(dtype).unwrap()).unwrap();
                [y, observed.statistics().clone(), store.get(&var).unwrap().clone()].map(|tensor| home(&tensor))
            };
            let (got, expected) = (run(&side.device, side.activations), run(&Device::Cpu, DType::F32));
            for (got, expected) in got.iter().zip(&expected) {
                let far = difference(got, expected).unwrap();
                assert!(far < side.tolerance(), "{shape:?}, {with_slope}, {side:?}: off by {far:e}");
            }
        }
    }
}

#[test]
fn dropout_has_the_mask_of_the_cpu() {
    let key = DropKey { seed: 7, step: 3, layer: 1 };
    for (shape, rate) in SHAPES.into_iter().zip([0.1, 0.5, 0.4, 0.9, 0.3, 0.2, 0.7]) {
        let x = activation(shape, 0);
        check(&format!("dropout {shape:?}"), std::slice::from_ref(&x), |at| dropout(&at[0], rate, key));
        for device in devices() {
            let y = home(&dropout(&x.values.to_device(&device).unwrap(), rate, key).unwrap());
            assert_eq!(bits(&y).unwrap(), bits(&dropout(&x.values, rate, key).unwrap()).unwrap(), "{shape:?}");
        }
    }
}

#[test]
fn layouts() {
    for shape in [&[2, 3, 5, 4][..], &[1, 64, 7, 7], &[3, 33, 9, 8], &[2, 1, 40, 3]] {
        check(&format!("channels last {shape:?}"), &[activation(shape, 0)], |at| channels_last(&at[0]));
        check(&format!("channels first {shape:?}"), &[activation(shape, 0)], |at| channels_first(&at[0]));
        for device in devices() {
            let x = normal(shape, DType::F32, 0).unwrap();
            let there = channels_last(&x.to_device(&device).unwrap()).unwrap();
            assert_eq!(bits(&home(&there)).unwrap(), bits(&channels_last(&x).unwrap()).unwrap());
            assert_eq!(bits(&home(&channels_first(&there).unwrap())).unwrap(), bits(&x).unwrap());
        }
    }
}

#[test]
fn casts_round_to_the_nearest() {
    for device in devices() {
        for count in [1, 7, 4096, 30_001] {
            let x = normal(&[count], DType::F32, 0).unwrap();
            let narrow = cast(&x.to_device(&device).unwrap(), DType::BF16).unwrap();
            let back = cast(&narrow, DType::F32).unwrap();
            assert_eq!((narrow.dtype(), back.dtype()), (DType::BF16, DType::F32));
            assert_eq!(bits(&home(&back)).unwrap(), bits(&rounded(&x, DType::BF16)).unwrap());
        }
    }
    for side in sides() {
        let var = arcface_core::candle::Var::from_tensor(
            &normal(&[6, 8], DType::F32, 0)
                .unwrap()
                .to_dtype(side.activations)
                .unwrap()
                .to_device(&side.device)
                .unwrap(),
        )
        .unwrap();
        let to = if side.activations == DType::F32 { DType::BF16 } else { DType::F32 };
        let (y, tape) = tape::record(|| cast(&var, to)).unwrap();
        let store = tape.backward(&y.ones_like().unwrap()).unwrap();
        let gradient = store.get(&var).unwrap();
        assert_eq!((y.dtype(), gradient.dtype()), (to, side.activations));
        assert!(values(&home(gradient)).unwrap().iter().all(|g| (g - 1.0).abs() < 1e-9));
    }
}

/// A block of a network, in the order that tapes make parts of it again.
#[test]
fn a_block_on_a_tape() {
    let shapes: [&[usize]; 5] = [&[3, 3, 8, 8], &[2, 8], &[8], &[3, 3, 1, 8], &[5, 288]];
    let mut inputs = vec![activation(&[2, 6, 6, 8], 0)];
    inputs.extend(shapes.iter().zip(1..).map(|(shape, index)| parameter(shape, index)));
    check("block", &inputs, |at| {
        let [x, dense, affine, slope, depthwise, weight] = at else { unreachable!() };
        let config = ConvConfig { padding: 1, ..ConvConfig::default() };
        let (y, _) = batch_norm_prelu_train(&conv2d(x, dense, config)?, affine, slope, EPS)?;
        let y = conv2d(&y, depthwise, ConvConfig { groups: 8, ..config })?;
        let y = dropout(&add(&y, x)?, 0.2, DropKey { seed: 1, step: 1, layer: 1 })?;
        linear(&tape::reshape(&channels_first(&y)?, (2, 288))?, weight, None)
    });
}

/// Batch norms whose arguments have gradients from shortcuts already, as those of residual networks.
#[test]
fn gradients_that_meet() {
    for shape in [[3, 4, 5, 5], [3, 4, 5, 8], [2, 7, 9, 64]] {
        let channels = shape[3];
        let (x, affine, slope) = (activation(&shape, 0), parameter(&[2, channels], 1), parameter(&[channels], 2));
        let (kernel, statistics) = (parameter(&[1, 1, channels, channels], 3), positive(&[2, channels], 4).constant());
        let name = |what: &str| format!("{what} {shape:?}");
        check(&name("batch norm around"), &[x.clone(), affine.clone()], |at| {
            add(&batch_norm_train(&at[0], &at[1], EPS)?.0, &at[0])
        });
        check(&name("batch norm and prelu around"), &[x.clone(), affine.clone(), slope.clone()], |at| {
            add(&batch_norm_prelu_train(&at[0], &at[1], &at[2], EPS)?.0, &at[0])
        });
        check(&name("given statistics around"), &[x.clone(), affine.clone(), statistics], |at| {
            add(&batch_norm_eval(&at[0], &at[1], &at[2], EPS)?, &at[0])
        });
        check(&name("prelu around"), &[x.clone(), slope], |at| add(&prelu(&at[0], &at[1])?, &at[0]));
        check(&name("convolution and batch norm around"), &[x, affine, kernel], |at| {
            let y = conv2d(&at[0], &at[2], ConvConfig::default())?;
            Ok(batch_norm_add_train(&y, &at[1], &at[0], EPS)?.0)
        });
    }
}

#[test]
fn folded_convolution() {
    for (case, side) in DENSE.into_iter().chain(DEPTHWISE).flat_map(|case| sides().into_iter().map(move |s| (case, s)))
    {
        let (x, weight) = inputs(case);
        let channels = weight.values.dim(3).unwrap();
        let x = rounded(&x.values, side.activations);
        let (affine, slope) = (parameter(&[2, channels], 2).values, parameter(&[channels], 3).values);
        let statistics = positive(&[2, channels], 4).values;
        let run = |device: &Device, dtype| {
            let to = |tensor: &Tensor| tensor.to_device(device).unwrap();
            let plain = FoldedConv::new(&to(&weight.values), config(case)).unwrap();
            let bent = plain.clone().with_prelu(&to(&slope)).unwrap();
            let normed = plain.clone().with_batch_norm(&to(&affine), &to(&statistics), EPS).unwrap();
            let x = to(&x).to_dtype(dtype).unwrap();
            let y = plain.forward(&x, None).unwrap();
            let both = normed.with_prelu(&to(&slope)).unwrap().forward(&x, Some(&y)).unwrap();
            // The second time the weight is arranged already.
            let again = plain.forward(&x, None).unwrap();
            assert_eq!(bits(&home(&y)).unwrap(), bits(&home(&again)).unwrap());
            [y, bent.forward(&x, None).unwrap(), both].map(|y| home(&y))
        };
        let (got, expected) = in_full(|| (run(&side.device, side.activations), run(&Device::Cpu, DType::F32)));
        for (got, expected) in got.iter().zip(&expected) {
            let far = difference(got, expected).unwrap();
            assert!(far < side.tolerance(), "{case:?} {side:?}: off by {far:e}");
        }
    }
}

#[test]
fn what_a_device_cannot_do_is_refused() {
    for device in devices() {
        let on = |shape: &[usize], dtype| normal(shape, dtype, 0).unwrap().to_device(&device).unwrap();
        let (x, host) = (on(&[1, 4, 4, 2], DType::F32), normal(&[3, 3, 2, 2], DType::F32, 0).unwrap());
        let refused = |result: arcface_core::Result<Tensor>| result.unwrap_err().to_string();
        let config = ConvConfig::default();
        assert_eq!(
            refused(prelu(&on(&[2, 2], DType::F64), &on(&[2], DType::F64))),
            "x: expected dtype f32 or bf16 on a CUDA device, got f64"
        );
        assert!(refused(conv2d(&x, &host, config)).starts_with("conv2d weight: expected a tensor on "));
        let narrow = |tensor: Tensor| tensor.to_dtype(DType::BF16).unwrap();
        assert_eq!(
            refused(conv2d(&narrow(x), &narrow(on(&[3, 3, 2, 2], DType::F32)), config)),
            "conv2d weight: expected dtype f32 on a CUDA device, got bf16"
        );
        assert_eq!(
            refused(linear(&narrow(on(&[2, 3], DType::F32)), &narrow(on(&[4, 3], DType::F32)), None)),
            "linear weight: expected dtype f32 on a CUDA device, got bf16"
        );
        assert_eq!(
            refused(prelu(&narrow(on(&[2, 3], DType::F32)), &narrow(on(&[3], DType::F32)))),
            "slope: expected dtype f32 on a CUDA device, got bf16"
        );
        assert_eq!(
            refused(add(&narrow(on(&[2, 3], DType::F32)), &on(&[2, 3], DType::F32))),
            "second summand: expected dtype bf16 as the first has, got f32"
        );
        assert_eq!(
            refused(cast(&on(&[2], DType::F32), DType::F64)),
            "cast: expected dtype f32 or bf16 on a CUDA device, got f64"
        );
    }
}
