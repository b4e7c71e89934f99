//! Optimisers against scalar loops written from torch's documentation, and their state across a stop.

use std::collections::BTreeMap;

use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::optim::{AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig, clip_norm};
use arcface_core::testing::{bits, normal, slice_difference, values, with_threads};
use arcface_core::{Gradients, Parameters, Role};

const ROLES: [(&str, Role); 4] = [
    ("frozen", Role::Frozen),
    ("statistic", Role::Statistic),
    ("trained", Role::Trained),
    ("undecayed", Role::Undecayed),
];

fn parameters(shape: &[usize], dtype: DType) -> Parameters {
    let mut parameters = Parameters::new(dtype, &Device::Cpu);
    for (index, (name, role)) in ROLES.into_iter().enumerate() {
        parameters.add(name, &normal(shape, dtype, index as u64).unwrap(), role).unwrap();
    }
    parameters
}

fn gradients(shape: &[usize], dtype: DType, step: u64) -> Gradients {
    let mut gradients = Gradients::default();
    for (index, (name, _)) in ROLES.into_iter().enumerate() {
        gradients.insert(name, normal(shape, dtype, 100 + 10 * step + index as u64).unwrap());
    }
    gradients
}

fn sgd(parameters: &Parameters) -> Box<dyn Optimizer> {
    Box::new(Sgd::new(SgdConfig { momentum: 0.9, weight_decay: 0.01 }, parameters).unwrap())
}

fn adamw(parameters: &Parameters) -> Box<dyn Optimizer> {
    let config = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
    Box::new(AdamW::new(config, parameters).unwrap())
}

type Make = fn(&Parameters) -> Box<dyn Optimizer>;
const OPTIMIZERS: [Make; 2] = [sgd, adamw];

fn rate(step: u64) -> f64 {
    0.1 / (step + 1) as f64
}

/// All parameters after `steps` steps of `make`'s optimiser.
fn run(make: Make, shape: &[usize], dtype: DType, steps: u64) -> Parameters {
    let parameters = parameters(shape, dtype);
    let mut optimizer = make(&parameters);
    for step in 0..steps {
        optimizer.step(&parameters, &gradients(shape, dtype, step), rate(step)).unwrap();
    }
    parameters
}

/// One value over its gradients, in f64, from torch's documentation of `torch.optim.SGD`.
fn scalar_sgd(mut w: f64, gradients: &[f64], decay: f64) -> f64 {
    let mut buffer = None;
    for (step, gradient) in gradients.iter().enumerate() {
        let g = gradient + decay * w;
        let b = buffer.map_or(g, |b: f64| 0.9 * b + g);
        buffer = Some(b);
        w -= rate(step as u64) * b;
    }
    w
}

/// One value over its gradients, in f64, from torch's documentation of `torch.optim.AdamW`.
fn scalar_adamw(mut w: f64, gradients: &[f64], decay: f64) -> f64 {
    let (mut m, mut v) = (0.0, 0.0);
    for (step, g) in gradients.iter().enumerate() {
        let (lr, t) = (rate(step as u64), step as i32 + 1);
        w -= lr * decay * w;
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        let (corrected_m, corrected_v) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
        w -= lr * corrected_m / (corrected_v.sqrt() + 1e-8);
    }
    w
}

fn check(make: Make, oracle: fn(f64, &[f64], f64) -> f64, decay: f64, dtype: DType, tolerance: f64) {
    let shape = [5, 7];
    let steps = 6;
    let before = parameters(&shape, dtype);
    let after = run(make, &shape, dtype, steps);
    let history: Vec<_> = (0..steps).map(|step| gradients(&shape, dtype, step)).collect();
    for (name, decay) in [("trained", decay), ("undecayed", 0.0)] {
        let start = values(&before.get(name).unwrap().var).unwrap();
        let gradients: Vec<_> = history.iter().map(|g| values(g.get(name).unwrap()).unwrap()).collect();
        let course = |index: usize| gradients.iter().map(|g| g[index]).collect::<Vec<_>>();
        let expected: Vec<_> = (0..35).map(|index| oracle(start[index], &course(index), decay)).collect();
        let found = values(&after.get(name).unwrap().var).unwrap();
        assert!(slice_difference(&found, &expected) < tolerance, "{name}: {found:?} instead of {expected:?}");
    }
}

#[test]
fn sgd_as_torch() {
    check(sgd, scalar_sgd, 0.01, DType::F64, 1e-14);
    check(sgd, scalar_sgd, 0.01, DType::F32, 1e-6);
}

#[test]
fn adamw_as_torch() {
    check(adamw, scalar_adamw, 0.1, DType::F64, 1e-14);
    check(adamw, scalar_adamw, 0.1, DType::F32, 1e-6);
}

fn single(make: impl Fn(&Parameters) -> Box<dyn Optimizer>, gradients: &[f64], learning_rate: f64) -> f64 {
    let mut parameters = Parameters::new(DType::F64, &Device::Cpu);
    let var = parameters.add("w", &Tensor::new(&[1f64], &Device::Cpu).unwrap(), Role::Trained).unwrap();
    let mut optimizer = make(&parameters);
    for &gradient in gradients {
        let mut set = Gradients::default();
        set.insert("w", Tensor::new(&[gradient], &Device::Cpu).unwrap());
        optimizer.step(&parameters, &set, learning_rate).unwrap();
    }
    var.to_vec1::<f64>().unwrap()[0]
}

// By hand, μ = 0.9, wd = 0.01, lr = 0.1 from w = 1:
// v = 0.5 + 0.01 = 0.51, w = 0.949; v = 0.9·0.51 − 0.25 + 0.00949 = 0.21849, w = 0.927151;
// v = 0.9·0.21849 + 1 + 0.00927151 = 1.20591251, w = 0.806559749
#[test]
fn sgd_golden() {
    let found = single(sgd, &[0.5, -0.25, 1.0], 0.1);
    assert!((found - 0.806_559_749).abs() < 1e-14, "{found}");
}

// By hand, wd = 0.1, lr = 0.1 from w = 1: the first step is w·0.99 − 0.1·g/(|g| + 1e-8).
#[test]
fn adamw_golden() {
    let found = single(adamw, &[0.5], 0.1);
    assert!((found - (0.99 - 0.1 * 0.5 / (0.5 + 1e-8))).abs() < 1e-14, "{found}");
}

#[test]
fn frozen_parameters_and_statistics_stay() {
    for make in OPTIMIZERS {
        let (before, after) = (parameters(&[3, 2], DType::F32), run(make, &[3, 2], DType::F32, 2));
        for name in ["frozen", "statistic"] {
            let of = |parameters: &Parameters| bits(&parameters.get(name).unwrap().var).unwrap();
            assert_eq!(of(&before), of(&after), "{name}");
        }
    }
}

#[test]
fn a_parameter_without_gradient_stays() {
    for make in OPTIMIZERS {
        let (before, after) = (parameters(&[4], DType::F32), parameters(&[4], DType::F32));
        let mut optimizer = make(&after);
        let mut only = Gradients::default();
        only.insert("undecayed", normal(&[4], DType::F32, 9).unwrap());
        optimizer.step(&after, &only, 0.1).unwrap();
        let of = |parameters: &Parameters, name| bits(&parameters.get(name).unwrap().var).unwrap();
        assert_eq!(of(&before, "trained"), of(&after, "trained"));
        assert_ne!(of(&before, "undecayed"), of(&after, "undecayed"));
    }
}

#[test]
fn transposed_gradients_are_accepted() {
    for make in OPTIMIZERS {
        let (a, b) = (parameters(&[3, 4], DType::F64), parameters(&[3, 4], DType::F64));
        let gradient = normal(&[4, 3], DType::F64, 9).unwrap().t().unwrap();
        for (parameters, gradient) in [(&a, gradient.clone()), (&b, gradient.contiguous().unwrap())] {
            let mut set = Gradients::default();
            set.insert("trained", gradient);
            make(parameters).step(parameters, &set, 0.1).unwrap();
        }
        let of = |parameters: &Parameters| bits(&parameters.get("trained").unwrap().var).unwrap();
        assert_eq!(of(&a), of(&b));
    }
}

#[test]
fn resuming_gives_the_same_bytes() {
    for make in OPTIMIZERS {
        let shape = [3, 5];
        let parameters = parameters(&shape, DType::F32);
        let mut state = BTreeMap::new();
        for step in 0..6 {
            // A new optimiser for every step, as if stopped after each.
            let mut optimizer = make(&parameters);
            if 0 < step {
                optimizer.load_state(state).unwrap();
            }
            optimizer.step(&parameters, &gradients(&shape, DType::F32, step), rate(step)).unwrap();
            state = optimizer.state();
        }
        let never_stopped = run(make, &shape, DType::F32, 6);
        for (name, _) in ROLES {
            let of = |parameters: &Parameters| bits(&parameters.get(name).unwrap().var).unwrap();
            assert_eq!(of(&parameters), of(&never_stopped), "{name}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    for make in OPTIMIZERS {
        let bytes = |threads| {
            let after = with_threads(threads, || run(make, &[130, 513], DType::F32, 2)).unwrap();
            bits(&after.get("trained").unwrap().var).unwrap()
        };
        let one = bytes(1);
        assert!(one == bytes(2) && one == bytes(3));
    }
}

#[test]
fn the_state_is_named_after_the_parameters() {
    let parameters = parameters(&[2], DType::F32);
    let names = |make: Make| make(&parameters).state().into_keys().collect::<Vec<_>>();
    assert_eq!(names(sgd), ["momentum.trained", "momentum.undecayed"]);
    assert_eq!(
        names(adamw),
        [
            "exp_avg.trained",
            "exp_avg.undecayed",
            "exp_avg_sq.trained",
            "exp_avg_sq.undecayed",
            "step.trained",
            "step.undecayed"
        ]
    );
}

#[test]
fn a_foreign_state_is_refused_by_name() {
    let parameters = parameters(&[2], DType::F32);
    let complaint = |change: fn(&mut BTreeMap<String, Tensor>)| {
        let mut optimizer = sgd(&parameters);
        let mut state = optimizer.state();
        change(&mut state);
        optimizer.load_state(state).unwrap_err().to_string()
    };
    insta::assert_snapshot!(
        complaint(|state| { state.remove("momentum.trained"); }),
        @"optimizer state `momentum.trained` is missing; it belongs to another network or optimizer"
    );
    insta::assert_snapshot!(
        complaint(|state| { state.insert("other".into(), Tensor::new(1f32, &Device::Cpu).unwrap()); }),
        @"optimizer state `other` belongs to no parameter of this network and optimizer"
    );
    insta::assert_snapshot!(
        complaint(|state| { state.insert("momentum.trained".into(), Tensor::new(&[1f32], &Device::Cpu).unwrap()); }),
        @"optimizer state `momentum.trained`: expected shape [2], got [1]"
    );
    insta::assert_snapshot!(
        complaint(|state| { state.insert("momentum.trained".into(), Tensor::new(&[1f64, 2.], &Device::Cpu).unwrap()); }),
        @"optimizer state `momentum.trained`: expected F32, got F64"
    );
}

#[test]
fn misshaped_gradients_and_settings_out_of_range_are_refused() {
    let parameters = parameters(&[2], DType::F32);
    let mut set = Gradients::default();
    set.insert("trained", normal(&[3], DType::F32, 0).unwrap());
    let error = sgd(&parameters).step(&parameters, &set, 0.1).unwrap_err();
    assert_eq!(error.to_string(), "gradient of `trained`: expected shape [2], got [3]");
    let error = Sgd::new(SgdConfig { momentum: 1.0, weight_decay: 0.0 }, &parameters).unwrap_err();
    assert_eq!(error.to_string(), "momentum: expected 0 <= momentum < 1, got 1");
    let error = AdamW::new(AdamWConfig { eps: 0.0, ..AdamWConfig::default() }, &parameters).unwrap_err();
    assert_eq!(error.to_string(), "eps: expected 0 < eps < ∞, got 0");
}

#[test]
fn clipping_shortens_to_the_limit_and_keeps_the_direction() {
    let mut set = gradients(&[8, 9], DType::F64, 0);
    let before = set.clone();
    let norm = set.norm().unwrap();
    assert!((clip_norm(&mut set, 2.0).unwrap() - norm).abs() < 1e-12);
    assert!((set.norm().unwrap() - 2.0).abs() < 1e-6);
    let shortened = |x: &f64| x * 2.0 / (norm + 1e-6);
    let expected: Vec<f64> = values(before.get("trained").unwrap()).unwrap().iter().map(shortened).collect();
    assert!(slice_difference(&values(set.get("trained").unwrap()).unwrap(), &expected) < 1e-14);
}

/// `p.grad = torch.tensor([3.0, 4.0], dtype=torch.float64); torch.nn.utils.clip_grad_norm_([p], most)` in torch 2.15;
/// a norm of exactly `most` is shortened too.
#[test]
fn clipping_gives_the_numbers_of_torch() {
    for (most, expected) in
        [(1.0, [0.599_999_880_000_024, 0.799_999_840_000_032]), (5.0, [2.999_999_400_000_12, 3.999_999_200_000_16])]
    {
        let mut set = Gradients::default();
        set.insert("p", Tensor::new(&[3f64, 4.0], &Device::Cpu).unwrap());
        clip_norm(&mut set, most).unwrap();
        assert!(slice_difference(&values(set.get("p").unwrap()).unwrap(), &expected) < 1e-15);
    }
}

#[test]
fn short_and_non_finite_gradients_are_not_clipped() {
    let mut set = gradients(&[8, 9], DType::F32, 0);
    let before = bits(set.get("trained").unwrap()).unwrap();
    clip_norm(&mut set, 1e6).unwrap();
    assert_eq!(bits(set.get("trained").unwrap()).unwrap(), before);
    set.insert("frozen", Tensor::new(f32::NAN, &Device::Cpu).unwrap());
    assert!(clip_norm(&mut set, 1.0).unwrap().is_nan());
    assert_eq!(bits(set.get("trained").unwrap()).unwrap(), before);
    assert!(clip_norm(&mut set, 0.0).is_err());
}

/// Gradients of the rows `rows` of the trained parameters (6, 2, 3), and of nothing else.
fn row_gradients(rows: &[u32], index: u64) -> Gradients {
    let mut gradients = Gradients::default();
    gradients.insert_rows("trained", rows, normal(&[rows.len(), 2, 3], DType::F64, index).unwrap());
    gradients
}

#[test]
fn a_gradient_of_some_rows_moves_these_alone() {
    for make in OPTIMIZERS {
        let (some, all) = (parameters(&[6, 2, 3], DType::F64), parameters(&[6, 2, 3], DType::F64));
        let (mut of_some, mut of_all) = (make(&some), make(&all));
        let rows = |parameters: &Parameters| -> Vec<Vec<u64>> {
            bits(parameters.get("trained").unwrap().var.as_tensor()).unwrap().chunks(6).map(<[u64]>::to_vec).collect()
        };
        let before = rows(&some);
        for step in 0..3 {
            let gradients = row_gradients(&[1, 2, 5], step);
            let mut whole = Gradients::default();
            whole.insert("trained", gradients.whole("trained", &[6, 2, 3]).unwrap().unwrap());
            of_some.step(&some, &gradients, 0.1).unwrap();
            of_all.step(&all, &whole, 0.1).unwrap();
        }
        for (row, ((before, some), all)) in before.iter().zip(rows(&some)).zip(rows(&all)).enumerate() {
            let expected = if [1, 2, 5].contains(&row) { &all } else { before };
            assert_eq!(&some, expected, "row {row}");
        }
    }
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let refused = |rows: &[u32]| {
        let parameters = parameters(&[6, 2, 3], DType::F64);
        sgd(&parameters).step(&parameters, &row_gradients(rows, 0), 0.1).unwrap_err().to_string()
    };
    for rows in [&[2, 1][..], &[1, 1], &[0, 6]] {
        assert_eq!(refused(rows), "rows of `trained`: expected ascending and below 6, got others");
    }
    let mut short = Gradients::default();
    short.insert_rows("trained", [1, 2], normal(&[1, 2, 3], DType::F64, 0).unwrap());
    let parameters = parameters(&[6, 2, 3], DType::F64);
    let error = sgd(&parameters).step(&parameters, &short, 0.1).unwrap_err().to_string();
    assert_eq!(error, "gradient of `trained`: expected shape [2, 2, 3], got [1, 2, 3]");
}

#[test]
fn gradients_of_different_rows_are_added_row_by_row() {
    let (a, b) = (row_gradients(&[0, 3], 1), row_gradients(&[3, 4], 2));
    let whole = |gradients: &Gradients| gradients.whole("trained", &[6, 2, 3]).unwrap().unwrap();
    let expected = (whole(&a) + whole(&b)).unwrap();
    let mut sum = a.clone();
    sum.add(b).unwrap();
    assert_eq!(sum.rows("trained"), Some(&[0, 3, 4][..]));
    assert_eq!(bits(&whole(&sum)).unwrap(), bits(&expected).unwrap());
    let mut of_all = Gradients::default();
    of_all.insert("trained", expected);
    let error = sum.add(of_all).unwrap_err().to_string();
    assert_eq!(error, "gradient of `trained`: expected of some rows or of all each time, got both");
}
