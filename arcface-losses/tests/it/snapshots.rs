//! The list of losses, their complete parameters and every message.

use std::collections::BTreeMap;

use arcface_core::Error;
use arcface_core::candle::{DType, Device, Tensor};
use arcface_core::testing::normal;
use arcface_losses::{HeadShape, Objective, defaults, losses, resolve};
use insta::assert_snapshot;

use crate::table;

#[test]
fn the_list_of_losses() {
    let line = |entry: &&arcface_losses::LossEntry| {
        format!("{} · {:?} · {} · {}", entry.name, entry.kind, entry.summary, entry.formula)
    };
    let list: Vec<String> = losses().unwrap().iter().map(line).collect();
    assert_snapshot!(list.join("\n"), @"
    adaface · Margin · angular or cosine margin by the quality that the norm tells · s·(cos(θ_y − m·z) − m − m·z), z by ‖x‖
    arcface · Margin · additive angular margin · s·cos(θ_y + m)
    combined · Margin · margins of three kinds together · s·(cos(m1·θ_y + m2) − m3)
    cosface · Margin · additive cosine margin · s·(cosθ_y − m)
    curricularface · Margin · arcface with negatives that grow harder as training goes on · s·cos(θ_y + m); s·cosθ_j·(t + cosθ_j) for hard negatives
    elastic_arcface · Margin · arcface with random margins · s·cos(θ_y + E), E ~ N(m, σ²)
    elastic_cosface · Margin · cosface with random margins · s·(cosθ_y − E), E ~ N(m, σ²)
    inter · Term · pushes class centers apart; as a loss, beside normface · normface − 1/(π(C−1))·Σ_{j≠y} arccos(W_y·W_j)
    intra · Term · pulls embeddings to their class centers; as a loss, beside normface · normface + mean θ_y/π
    magface · Margin · angular margin and penalty by the embedding's norm · s·cos(θ_y + m(‖x‖)) and + λ_g·(‖x‖/u_a² + 1/‖x‖)
    normface · Margin · softmax of scaled cosines, no margin · s·cosθ_y
    softmax · Head · plain softmax with a bias · −log softmax_y(W·x + b)
    sphereface · Margin · multiplicative angular margin, real or integer with annealing · s·cos(m·θ_y), or s·(λ·cosθ_y + ψ(θ_y))/(1 + λ)
    subcenter_arcface · Margin · arcface with K centers per class, for noisy labels · s·cos(θ_y + m), θ_j = arccos(max_k W_jk·x)
    triplet · Term · angles between embeddings; as a loss, alone and without class centers · mean relu(θ_ap − θ_an + m)
    ");
}

#[test]
fn the_declared_exceptions() {
    let lines = |entry: &&'static arcface_losses::LossEntry| {
        let name = entry.name;
        entry.exceptions.iter().map(move |lack| format!("{name} · {:?}: {}", lack.property, lack.reason))
    };
    let list: Vec<String> = losses().unwrap().iter().flat_map(lines).collect();
    assert_snapshot!(list.join("\n"), @"
    adaface · LengthInvariance: the norm chooses the margin
    adaface · FiniteDifferences: z follows the norms and is not differentiated
    curricularface · NeutralIsNormface: hard negatives are weighted without a margin too
    curricularface · FiniteDifferences: t follows the batch and is not differentiated
    magface · LengthInvariance: the norm chooses the margin
    softmax · LengthInvariance: nothing is normalised
    ");
}

#[test]
fn every_loss_names_its_paper_and_parses_its_own_defaults() {
    for entry in losses().unwrap() {
        assert!(!entry.paper.is_empty() && !entry.summary.is_empty(), "{}", entry.name);
        let all = defaults(entry.name).unwrap();
        assert_eq!(resolve(entry.name, &all).unwrap(), all, "{}", entry.name);
    }
}

fn complete(name: &str, given: &str) -> String {
    resolve(name, &table(given)).unwrap().to_string()
}

#[test]
fn complete_parameters() {
    assert_snapshot!(complete("arcface", ""), @r#"
    beyond_pi = "linear"
    chunk = "auto"
    gamma_pooling = 10.0
    gradient = "exact"
    margin = 0.5
    pooling = "max"
    sample_rate = 1.0
    scale = 64.0
    sub_centers = 1
    terms = []
    warmup_steps = 0
    "#);
    assert_snapshot!(complete("subcenter_arcface", "margin = 0.3; sub_centers = 5"), @r#"
    beyond_pi = "linear"
    chunk = "auto"
    gamma_pooling = 10.0
    gradient = "exact"
    margin = 0.3
    pooling = "max"
    sample_rate = 1.0
    scale = 64.0
    sub_centers = 5
    terms = []
    warmup_steps = 0
    "#);
    assert_snapshot!(complete("sphereface", "form = 'integer'"), @r#"
    beyond_pi = "linear"
    chunk = "auto"
    form = "integer"
    gamma = 0.12
    gamma_pooling = 10.0
    gradient = "exact"
    lambda_0 = 1000.0
    lambda_min = 5.0
    margin = 4.0
    pooling = "max"
    sample_rate = 1.0
    scale = 64.0
    sub_centers = 1
    terms = []
    warmup_steps = 0
    "#);
    assert_snapshot!(complete("triplet", ""), @r#"
    margin = 0.35
    mining = "semi_hard"
    "#);
    assert_snapshot!(complete("softmax", ""), @"");
    assert_snapshot!(complete("normface", "terms = [{ name = 'triplet', weight = 2 }, { name = 'intra' }]"), @r#"
    chunk = "auto"
    gamma_pooling = 10.0
    pooling = "max"
    sample_rate = 1.0
    scale = 64.0
    sub_centers = 1
    warmup_steps = 0

    [[terms]]
    margin = 0.35
    mining = "semi_hard"
    name = "triplet"
    weight = 2.0

    [[terms]]
    name = "intra"
    weight = 1.0
    "#);
}

fn refused(name: &str, given: &str) -> String {
    resolve(name, &table(given)).unwrap_err().to_string()
}

#[test]
fn messages_about_parameters() {
    assert_snapshot!(refused("arcfase", ""), @"no loss named `arcfase`; known: adaface, arcface, combined, cosface, curricularface, elastic_arcface, elastic_cosface, inter, intra, magface, normface, softmax, sphereface, subcenter_arcface, triplet");
    assert_snapshot!(refused("arcface", "margn = 0.5"), @"loss `arcface` has no parameter `margn`; known: beyond_pi, chunk, gamma_pooling, gradient, margin, pooling, sample_rate, scale, sub_centers, terms, warmup_steps");
    assert_snapshot!(refused("arcface", "margin = 28.6"), @"loss `arcface`: `margin`: expected radians within [0, π] (28.6° would be 0.4992 rad), got 28.6");
    assert_snapshot!(refused("arcface", "margin = -0.5"), @"loss `arcface`: `margin`: expected radians within [0, π], got -0.5");
    assert_snapshot!(refused("arcface", "margin = nan"), @"loss `arcface`: `margin`: expected radians within [0, π], got NaN");
    assert_snapshot!(refused("arcface", "margin = 'half'"), @r#"loss `arcface`: `margin`: invalid type: string "half", expected f64"#);
    assert_snapshot!(refused("combined", "m2 = 28.6"), @"loss `combined`: `m2`: expected radians within [0, π] (28.6° would be 0.4992 rad), got 28.6");
    assert_snapshot!(refused("cosface", "margin = 3"), @"loss `cosface`: `margin`: expected a cosine margin within [0, 2], got 3");
    assert_snapshot!(refused("arcface", "scale = 0"), @"loss `arcface`: `scale`: expected 0 < scale <= 10000, got 0");
    for rate in ["0", "-0.1", "1.5", "NaN"] {
        let expected = format!("loss `arcface`: `sample_rate`: expected 0 < sample_rate <= 1, got {rate}");
        assert_eq!(refused("arcface", &format!("sample_rate = {}", rate.to_lowercase())), expected);
    }
    assert_snapshot!(refused("arcface", "sub_centers = 0"), @"loss `arcface`: `sub_centers`: expected 1 <= sub_centers <= 1024, got 0");
    assert_snapshot!(refused("arcface", "sub_centers = 2.5"), @"loss `arcface`: `sub_centers`: invalid type: floating point `2.5`, expected i64");
    assert_snapshot!(refused("arcface", "beyond_pi = 'straight'"), @"loss `arcface`: `beyond_pi`: unknown variant `straight`, expected one of `linear`, `none`, `easy`, `clip`");
    assert_snapshot!(refused("arcface", "gradient = 'autograd'"), @"loss `arcface`: `gradient`: unknown variant `autograd`, expected `exact` or `straight_through`");
    assert_snapshot!(refused("arcface", "pooling = 'mean'"), @"loss `arcface`: `pooling`: unknown variant `mean`, expected `max` or `soft`");
    assert_snapshot!(refused("arcface", "warmup_steps = -1"), @"loss `arcface`: `warmup_steps`: invalid value: integer `-1`, expected u64");
    for chunk in ["0", "-3", "0.5", "'all'"] {
        let expected = "loss `arcface`: `chunk`: expected \"auto\", \"dense\" or a number of classes, at least 1, got ";
        assert_eq!(refused("arcface", &format!("chunk = {chunk}")), expected.to_owned() + &chunk.replace('\'', "\""));
    }
    assert_snapshot!(refused("softmax", "scale = 64"), @"loss `softmax` has no parameter `scale`; it has none");
    assert_snapshot!(refused("triplet", "mining = 'soft'"), @"loss `triplet`: `mining`: unknown variant `soft`, expected one of `semi_hard`, `all`, `hardest`");
    assert_snapshot!(refused("arcface", "terms = [{ weight = 1.0 }]"), @r#"terms: expected tables like { name = "intra", weight = 1.0 }, got one without a name"#);
    assert_snapshot!(refused("arcface", "terms = [{ name = 'cosface' }]"), @"terms: expected the name of a term such as intra, inter or triplet, got `cosface`");
    assert_snapshot!(refused("arcface", "terms = [{ name = 'intra', weight = 'much' }]"), @r#"terms: weight: expected a finite number, got "much""#);
    assert_snapshot!(refused("arcface", "terms = [{ name = 'triplet', minning = 'all' }]"), @"loss `triplet` has no parameter `minning`; known: margin, mining, name, weight");
}

fn built(name: &str, given: &str, num_classes: usize) -> Result<Objective, Error> {
    let shape = HeadShape { num_classes, embedding_size: 6, dtype: DType::F32, device: &Device::Cpu, seed: 0 };
    Objective::build(name, &table(given), shape)
}

#[test]
fn messages_about_building() {
    let refused = |name, given, classes| built(name, given, classes).unwrap_err().to_string();
    assert_snapshot!(refused("arcface", "", 0), @"head: expected shape (C, D), none of them 0, got [0, 6]");
    assert_snapshot!(refused("arcface", "", 1), @"classes: expected at least 2 to tell apart, got 1");
    assert_snapshot!(refused("magface", "lower_norm = 120", 7), @"lower_norm, upper_norm: expected 0 < lower_norm < upper_norm, got 120, 110");
    assert_snapshot!(refused("sphereface", "form = 'integer'; margin = 2.5", 7), @r#"margin: expected a whole number for form = "integer", got 2.5"#);
    let mut curricular = built("curricularface", "", 7).unwrap();
    let error = curricular.load_state(&BTreeMap::from([("mean".to_owned(), 1.0)])).unwrap_err();
    assert_snapshot!(error, @"margin state: expected the values [t], got [mean]");
    let error = built("softmax", "", 7).unwrap().load_state(&BTreeMap::from([("t".to_owned(), 1.0)])).unwrap_err();
    assert_snapshot!(error, @"margin state: expected the values [], got [t]");
}

#[test]
fn messages_about_a_batch() {
    let mut objective = built("arcface", "", 7).unwrap();
    let mut refused = |dims: &[usize], dtype: DType, labels: &[u32]| {
        let embeddings = Tensor::ones(dims, dtype, &Device::Cpu).unwrap();
        objective.forward(&embeddings, labels, 0).unwrap_err().to_string()
    };
    assert_snapshot!(refused(&[6], DType::F32, &[0]), @"embeddings: expected shape (B, D), got [6]");
    assert_snapshot!(refused(&[2, 5], DType::F32, &[0, 1]), @"embeddings: expected shape (B, D) with B >= 1 and D = 6, got [2, 5]");
    assert_snapshot!(refused(&[0, 6], DType::F32, &[]), @"embeddings: expected shape (B, D) with B >= 1 and D = 6, got [0, 6]");
    assert_snapshot!(refused(&[2, 6], DType::F32, &[0]), @"labels: expected shape (B) with B = 2, got [1]");
    assert_snapshot!(refused(&[2, 6], DType::F32, &[0, 7]), @"label of row 1: expected below 7 classes, got 7");
    assert_snapshot!(refused(&[2, 6], DType::F64, &[0, 1]), @"embeddings: expected dtype f32 as the head has, got f64");
    assert_snapshot!(refused(&[2, 6], DType::BF16, &[0, 1]), @"embeddings: expected dtype f32 as the head has, got bf16");
}

#[test]
fn messages_about_given_centers() {
    let from = |name: &str, given: &str, dims: &[usize]| {
        let centers = Tensor::ones(dims, DType::F64, &Device::Cpu).unwrap();
        Objective::from_centers(name, &table(given), &centers, None).map(|_| ()).unwrap_err().to_string()
    };
    assert_snapshot!(from("arcface", "", &[6]), @"centers: expected shape (C, D) or (C, K, D), got [6]");
    assert_snapshot!(from("arcface", "sub_centers = 2", &[7, 3, 6]), @"sub_centers: expected 3 as the centers have, got 2");
    assert_snapshot!(from("softmax", "", &[7, 3, 6]), @"centers: expected (C, D) for a head without sub-centers, got 3 sub-centers");
    assert_snapshot!(from("arcface", "", &[7, 0, 6]), @"centers: expected shape without a zero, got [7, 0, 6]");
    let centers = normal(&[7, 6], DType::F64, 0).unwrap();
    let bias = Tensor::zeros(6, DType::F64, &Device::Cpu).unwrap();
    let with_bias = |name: &str| Objective::from_centers(name, &table(""), &centers, Some(&bias)).unwrap_err();
    assert_snapshot!(with_bias("softmax"), @"bias: expected shape (C) = [7], got [6]");
    let mut objective = Objective::from_centers("arcface", &table(""), &centers, None).unwrap();
    let infinite = (normal(&[2, 6], DType::F64, 1).unwrap() / 0.0).unwrap();
    assert_snapshot!(objective.evaluate(&infinite, &[0, 1], 0).unwrap_err(), @"embeddings: row 0: expected finite values, got -inf");
}
