//! Losses and gradients that numpy and torch computed from the formulas, in f64.

// Copied as Python printed them.
#![allow(clippy::unreadable_literal)]

use arcface_core::candle::{Device, Tensor};
use arcface_core::testing::values;
use arcface_losses::{Evaluation, Objective};

use crate::table;

// The Python that made the losses (numpy 2):
//
// import numpy as np
// B, C, K, D = 4, 5, 3, 6
// x = np.sin(1.0 + 1.7 * np.arange(B * D)).reshape(B, D)
// w = np.cos(2.0 + 2.3 * np.arange(C * D)).reshape(C, D)
// wk = np.cos(0.5 + 1.9 * np.arange(C * K * D)).reshape(C, K, D)
// y = np.array([2, 0, 4, 2])
// unit = lambda v: v / np.linalg.norm(v, axis=-1, keepdims=True)
// cos, cosk = unit(x) @ unit(w).T, np.einsum('bd,cnd->bcn', unit(x), unit(wk)).max(-1)
// def ce(z): return np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(B), y])
// def margin(f, c=cos, s=64.0):
//     z = s * c; z[np.arange(B), y] = s * f(np.arccos(c[np.arange(B), y])); return ce(z)
// def beyond(m1, m2, m3):
//     def f(t):
//         a = m1 * t + m2
//         low = np.cos(t) - m2 * np.sin(m2) - m3 if m1 == 1 else np.cos(t) - np.cos((np.pi - m2) / m1) - 1 - m3
//         return np.where(a <= np.pi, np.cos(a) - m3, low)
//     return f
// def integer(t, m=4, lam=1000 / (1 + 0.12 * 7)):
//     k = np.floor(m * t / np.pi); return (lam * np.cos(t) + (-1) ** k * np.cos(m * t) - 2 * k) / (1 + lam)
// theta = np.arccos(cos[np.arange(B), y])
// ww = np.arccos(np.clip(unit(w) @ unit(w).T, -1, 1))
// inter = -np.mean([sum(ww[l, j] for j in range(C) if j != l) / (np.pi * (C - 1)) for l in y])
// xx = np.arccos(np.clip(unit(x) @ unit(x).T, -1, 1))
// def triplets(m, keep):
//     t = [xx[a, p] - xx[a, n] + m for a in range(B) for p in range(B) for n in range(B)
//          if a != p and y[a] == y[p] and y[a] != y[n] and keep(xx[a, p], xx[a, n], m)]
//     return np.mean(np.maximum(t, 0)) if t else 0.0
// plain = lambda t: np.cos(t)
// hardest = np.mean([max(0, max(xx[a,p] for p in range(B) if p!=a and y[p]==y[a]) - min(xx[a,n] for n in range(B) if y[n]!=y[a]) + 1.0) for a in (0, 3)])
// norm = np.linalg.norm(x, axis=1)
// def mag(t):
//     la, ua, lm, um = 0.5, 3.0, 0.45, 0.8
//     return beyond_rows(t, (um - lm) / (ua - la) * (np.clip(norm, la, ua) - la) + lm)
// def beyond_rows(t, m): return np.where(t + m <= np.pi, np.cos(t + m), np.cos(t) - m * np.sin(m))
// def ada(t, m=0.4, h=0.333):
//     n = np.clip(norm, 1e-3, 100); mean = 0.01 * n.mean() + 0.99 * 20; std = 0.01 * n.std(ddof=1) + 0.99 * 100
//     z = np.clip(h * (n - mean) / (std + 1e-3), -1, 1)
//     return np.cos(np.clip(t - m * z, 1e-3, np.pi - 1e-3)) - (m + m * z)
// def curricular(m=0.5):
//     t = 0.01 * np.cos(theta).mean(); ty = beyond(1, m, 0)(theta)
//     c = np.where(cos > ty[:, None], cos * (t + cos), cos); c[np.arange(B), y] = ty; return ce(64 * c)
// print('softmax', repr(ce(x @ w.T)))
// print('softmax bias', repr(ce(x @ w.T + np.arange(C) / 10)))
// for name, value in {
//   'normface': margin(plain), 'normface s=20': margin(plain, s=20.0), 'arcface': margin(beyond(1, .5, 0)),
//   'arcface m=2': margin(beyond(1, 2.0, 0)),
//   'combined CM1': margin(beyond(1, .3, .2)), 'combined CM2': margin(beyond(.9, .4, .15)), 'cosface': margin(beyond(1, 0, .35)),
//   'sphereface': margin(beyond(1.35, 0, 0)), 'sphereface integer step 7': margin(integer),
//   'sphereface integer step 5000': margin(lambda t: integer(t, lam=5.0)),
//   'subcenter': margin(beyond(1, .5, 0), c=cosk),
//   'intra': margin(plain) + np.mean(theta) / np.pi, 'inter': margin(plain) + inter,
//   'triplet semi m=1': triplets(1.0, lambda p, n, m: p < n < p + m), 'triplet all m=1': triplets(1.0, lambda *_: True), 'triplet hardest m=1': hardest,
//   'magface': margin(mag) + 35 * np.mean(np.clip(norm, .5, 3) / 9 + 1 / np.clip(norm, .5, 3)),
//   'adaface': margin(ada), 'curricular': curricular(),
// }.items(): print(name, repr(float(value)))

const LABELS: [u32; 4] = [2, 0, 4, 2];

/// f(first + step·i) for all values of a tensor.
fn wave(dims: &[usize], f: fn(f64) -> f64, first: f64, step: f64) -> Tensor {
    let count = dims.iter().product::<usize>();
    let values: Vec<f64> = (0..count).map(|i| f(first + step * i as f64)).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn evaluate(name: &str, parameters: &str, centers: &Tensor, step: u64) -> Evaluation {
    let embeddings = wave(&[4, 6], f64::sin, 1.0, 1.7);
    let bias = Tensor::arange_step(0.0, 0.5, 0.1, &Device::Cpu).unwrap();
    let bias = parameters.starts_with("# bias").then_some(&bias);
    let mut objective = Objective::from_centers(name, &table(parameters), centers, bias).unwrap();
    objective.evaluate(&embeddings, &LABELS, step).unwrap()
}

fn check(name: &str, parameters: &str, step: u64, expected: f64) {
    let centers = match name {
        "subcenter_arcface" => wave(&[5, 3, 6], f64::cos, 0.5, 1.9),
        _ => wave(&[5, 6], f64::cos, 2.0, 2.3),
    };
    let loss = values(&evaluate(name, parameters, &centers, step).loss).unwrap()[0];
    assert!((loss - expected).abs() < 1e-12 * expected, "{name} {parameters}: {loss} instead of {expected}");
}

#[test]
fn losses_agree_with_numpy() {
    check("softmax", "", 0, 1.116648865964002);
    check("softmax", "# bias", 0, 1.0956885023265346);
    check("normface", "", 0, 12.267156018838957);
    check("normface", "scale = 20", 0, 3.8356729118966446);
    check("arcface", "", 0, 30.45110602081697);
    check("arcface", "margin = 2", 0, 107.46141402850247);
    check("combined", "", 0, 30.686200419239473);
    check("combined", "m1 = 0.9; m2 = 0.4; m3 = 0.15", 0, 26.957413839629467);
    check("cosface", "", 0, 23.957367236559683);
    check("sphereface", "", 0, 28.066370244172226);
    check("sphereface", "form = 'integer'", 7, 12.44069428403182);
    check("sphereface", "form = 'integer'", 5000, 28.189864128853348);
    check("subcenter_arcface", "", 0, 56.38977411233539);
    check("intra", "", 0, 12.637978766385324);
    check("inter", "", 0, 11.668947850900297);
    check("triplet", "margin = 1", 0, 0.4332004177862433);
    check("triplet", "margin = 1; mining = 'all'", 0, 0.21660020889312165);
    check("triplet", "margin = 1; mining = 'hardest'", 0, 0.4332004177862433);
    check("magface", "lower_norm = 0.5; upper_norm = 3.0", 0, 63.71848210624846);
    check("adaface", "", 0, 26.257159936312114);
    check("curricularface", "", 0, 20.518843956483757);
}

// The Python that made the gradients (torch 2):
//
// import torch, numpy as np
// torch.set_default_dtype(torch.float64)
// B, C, D = 4, 5, 6
// x = torch.tensor(np.sin(1.0 + 1.7 * np.arange(B * D)).reshape(B, D), requires_grad=True)
// w = torch.tensor(np.cos(2.0 + 2.3 * np.arange(C * D)).reshape(C, D), requires_grad=True)
// y = torch.tensor([2, 0, 4, 2])
// F = torch.nn.functional
// def loss(straight):
//     c = F.linear(F.normalize(x), F.normalize(w)); t = c[torch.arange(B), y]
//     m = torch.cos(torch.arccos(t) + 0.5)
//     if straight: m = t + (m - t).detach()          # forward cos(θ + m), backward 1, as arcface_torch
//     return F.cross_entropy(64 * c.scatter(1, y[:, None], m[:, None]), y)
// for straight in (False, True):
//     for v in (x, w): v.grad = None
//     loss(straight).backward()
//     print(straight, x.grad[0, :3].tolist(), w.grad[2, :3].tolist())

fn check_gradients(parameters: &str, d_embedding: [f64; 3], d_center: [f64; 3]) {
    let evaluation = evaluate("arcface", parameters, &wave(&[5, 6], f64::cos, 2.0, 2.3), 0);
    let d_embeddings = values(&evaluation.d_embeddings).unwrap();
    let d_centers = values(&evaluation.d_centers).unwrap();
    for (got, expected) in d_embeddings.iter().zip(d_embedding).chain(d_centers[12..].iter().zip(d_center)) {
        assert!((got - expected).abs() < 1e-12 * expected.abs().max(1.0), "{parameters}: {got} instead of {expected}");
    }
}

#[test]
fn gradients_agree_with_torch() {
    check_gradients(
        "",
        [-1.4039977306152966, -1.02437155617628, 3.841966801124863],
        [-7.45383007722162, -4.177537994704492, 4.481403282993718],
    );
    check_gradients(
        "gradient = 'straight_through'",
        [-2.0626265003262922, -0.40399820104183903, 3.4398170050331203],
        [-6.579209893647082, -4.337853192996728, 4.077699259105335],
    );
}
