//! Target logits over the angle: of runs, of losses that are named, or of every margin that is linked in.
//! Knows no picture.

use anyhow::Context;
use arcface_losses::registry::Kind;
use arcface_losses::target_curve;
use toml::Table;

use crate::assign;
use crate::cli::LossFigureArguments;
use crate::config;
use crate::run::RunFolder;

/// Lengths of embeddings that margins by the norm are drawn for: the bounds of `MagFace`.
const NORMS: [f64; 2] = [10.0, 110.0];
/// Values that differ by less are one curve.
const SAME: f64 = 1e-9;

/// One line of a figure.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) scale: f64,
    /// ψ at each angle.
    pub(super) values: Vec<f64>,
}

/// A loss with its parameters, and what it is called in a figure.
struct Chosen {
    label: String,
    loss: String,
    parameters: Table,
}

/// The curves that `arguments` ask for over `angles` in degrees.
///
/// # Errors
/// If a run or a loss is not right, or the loss has no logit of an angle.
pub(super) fn curves(arguments: &LossFigureArguments, angles: &[f64]) -> anyhow::Result<Vec<Curve>> {
    let radians: Vec<f64> = angles.iter().map(|angle| angle.to_radians()).collect();
    let mut curves = Vec::new();
    for chosen in chosen(arguments)? {
        curves.extend(of(&chosen, &radians).with_context(|| chosen.label.clone())?);
    }
    Ok(curves)
}

/// One curve, or one for each length if the length matters.
fn of(chosen: &Chosen, radians: &[f64]) -> anyhow::Result<Vec<Curve>> {
    let at = |norm| target_curve(&chosen.loss, &chosen.parameters, norm, radians);
    let [short, long] = [at(NORMS[0])?, at(NORMS[1])?];
    let curve =
        |name: String, curve: arcface_losses::TargetCurve| Curve { name, scale: curve.scale, values: curve.values };
    if short.values.iter().zip(&long.values).all(|(a, b)| (a - b).abs() < SAME) {
        return Ok(vec![curve(chosen.label.clone(), short)]);
    }
    let named = |norm: f64| format!("{}, ‖x‖ = {norm}", chosen.label);
    Ok(vec![curve(named(NORMS[0]), short), curve(named(NORMS[1]), long)])
}

fn chosen(arguments: &LossFigureArguments) -> anyhow::Result<Vec<Chosen>> {
    let mut all = Vec::new();
    for path in &arguments.runs {
        all.push(of_run(&RunFolder::begun(path)?)?);
    }
    for text in &arguments.loss {
        all.push(named(text)?);
    }
    if !all.is_empty() {
        return Ok(all);
    }
    let margins = arcface_losses::losses()?.into_iter().filter(|loss| loss.kind == Kind::Margin);
    let plain = |name: &str| Chosen { label: name.to_owned(), loss: name.to_owned(), parameters: Table::new() };
    Ok(margins.map(|loss| plain(loss.name)).collect())
}

fn of_run(run: &RunFolder) -> anyhow::Result<Chosen> {
    let config = config::resume(&run.config(), &[])?;
    let (loss, parameters) = config.loss();
    Ok(Chosen { label: run.name(), loss: loss.to_owned(), parameters: parameters.clone() })
}

/// `NAME` or `NAME,KEY=VALUE,…`.
fn named(text: &str) -> anyhow::Result<Chosen> {
    let mut parts = text.split(',');
    let loss = parts.next().unwrap_or_default().trim().to_owned();
    let mut parameters = Table::new();
    for part in parts {
        let (key, value) = assign::parse(part).with_context(|| format!("--loss {text}"))?;
        parameters.insert(key.join("."), value);
    }
    Ok(Chosen { label: text.replace(',', ", "), loss, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(losses: &[&str]) -> LossFigureArguments {
        LossFigureArguments {
            runs: Vec::new(),
            loss: losses.iter().map(|loss| (*loss).to_owned()).collect(),
            out: "figures".into(),
        }
    }

    fn names(losses: &[&str]) -> Vec<String> {
        curves(&arguments(losses), &[20.0, 100.0]).unwrap().into_iter().map(|curve| curve.name).collect()
    }

    #[test]
    fn without_a_name_every_margin_is_drawn_and_by_the_norm_twice() {
        let names = names(&[]);
        for loss in arcface_losses::losses().unwrap() {
            let lines = names.iter().filter(|name| name.split(',').next() == Some(loss.name)).count();
            let expected = match loss.name {
                "adaface" | "magface" => 2,
                _ => usize::from(loss.kind == Kind::Margin),
            };
            assert_eq!(lines, expected, "{}", loss.name);
        }
    }

    #[test]
    fn losses_are_named_with_their_parameters() {
        assert_eq!(
            names(&["sphereface,form=integer,margin=4", "intra"]),
            ["sphereface, form=integer, margin=4", "intra"]
        );
        let curves = curves(&arguments(&["arcface,margin=0.3,scale=32"]), &[40.0]).unwrap();
        let expected = (40.0_f64.to_radians() + 0.3).cos();
        assert!((curves[0].values[0] - expected).abs() < 1e-12 && (curves[0].scale - 32.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_margin_is_told() {
        let error = |text: &str| format!("{:#}", curves(&arguments(&[text]), &[40.0]).unwrap_err());
        assert!(error("softmax").contains("softmax"));
        assert!(error("arcfase").contains("arcfase"));
        assert!(error("arcface,margin").contains("--loss arcface,margin"));
        assert!(error("arcface,marginn=1").contains("marginn"));
    }
}
