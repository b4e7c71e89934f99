//! Numbers that numpy and scikit-learn give for the same pairs.
//! Knows no definition; those are in `oracle`.
//!
//! ```python
//! import numpy as np
//! from sklearn.model_selection import KFold
//! from sklearn.metrics import roc_auc_score, roc_curve
//! from scipy.optimize import brentq
//! from scipy.interpolate import interp1d
//! # two generators without a library: fractional parts
//! n = 603
//! i = np.arange(n, dtype=np.float64)
//! same = (i % 2) == 0
//! u = (i * 0.6180339887498949) % 1.0
//! w = (i * 0.4142135623730951) % 1.0
//! # rounded to two digits after the point: many ties, many distances that lie on the grid
//! distances = np.round(np.where(same, 2.4 * u * w + 0.3, 4.0 - 2.7 * u * (1 - w)) * 100) / 100
//! def figures(accepts, candidates_of, choose):
//!     accuracies, thresholds = [], []
//!     for train, test in KFold(n_splits=10, shuffle=False).split(i):
//!         candidates = candidates_of(train)
//!         right = [(accepts(distances[train], t) == same[train]).mean() for t in candidates]
//!         thresholds.append(candidates[choose(right)])
//!         accuracies.append((accepts(distances[test], thresholds[-1]) == same[test]).mean())
//!     print(repr(np.mean(accuracies)), repr(np.std(accuracies)), thresholds)
//!     print(accuracies)
//! grid = np.arange(0, 4, 0.01)
//! figures(np.less, lambda train: grid, np.argmax)
//! last_best = lambda right: len(right) - 1 - np.argmax(right[::-1])
//! figures(np.less_equal, lambda train: np.unique(np.append(distances[train], -1)), last_best)
//! edges = np.append(np.unique(distances), 4)
//! right = np.array([((distances <= t) == same).sum() for t in edges[:-1]])
//! print([(edges[k], edges[k + 1]) for k in np.flatnonzero(right == right.max())])  # the widest is (2.09, 2.14)
//! print(repr(roc_auc_score(same, -distances)))
//! fpr, tpr, _ = roc_curve(same, -distances, drop_intermediate=False)
//! print(repr(brentq(lambda x: 1 - x - interp1d(fpr, tpr)(x), 0, 1, xtol=1e-14)))
//! for far in (1e-1, 1e-2, 1e-3, 1e-4):
//!     print(far, repr(tpr[fpr <= far].max()))
//! print(sum(same), n - sum(same), grid[[1,3,57,399]])
//! ```

use arcface_eval::verify;

use crate::{assert_near, formula_pairs};

#[test]
fn verification_agrees_with_numpy_and_scikit_learn() {
    let (distances, same) = formula_pairs(603);
    let verification = verify(&distances, &same, 10).unwrap();
    assert_near(verification.accuracy_grid, 0.950_218_579_234_972_7, 1e-12);
    assert_near(verification.accuracy_grid_std, 0.018_261_016_394_459_72, 1e-12);
    assert_near(verification.accuracy, 0.948_551_912_568_305_8, 1e-12);
    assert_near(verification.accuracy_std, 0.018_952_396_080_934_88, 1e-12);
    assert_eq!(verification.thresholds, [2.1, 2.1, 2.1, 2.1, 2.25, 1.92, 2.05, 1.97, 2.1, 2.25]);
    let accuracies = [59.0 / 61.0, 57.0 / 61.0, 59.0 / 61.0, 58.0 / 60.0, 57.0 / 60.0];
    for (&got, expected) in verification.accuracies.iter().zip(accuracies) {
        assert_near(got, expected, 1e-12);
    }
    // 2.09 and 2.1 are one range: at 2.1 lies a pair of each kind.
    assert_near(verification.threshold, 2.115, 1e-12);
    assert_near(verification.auc, 0.994_978_108_292_446_8, 1e-12);
    assert_near(verification.eer, 0.044_247_787_610_619_47, 1e-12);
}

#[test]
fn true_accept_rates_agree_with_scikit_learn() {
    let (distances, same) = formula_pairs(603);
    let rates = verify(&distances, &same, 10).unwrap().tar_at_far;
    assert_near(rates["1e-1"].unwrap(), 0.993_377_483_443_708_6, 1e-12);
    assert_near(rates["1e-2"].unwrap(), 0.907_284_768_211_920_5, 1e-12);
    // 301 impostor pairs: scikit-learn gives the rate without any false accept, we give none.
    assert_eq!((rates["1e-3"], rates["1e-4"]), (None, None));
}
