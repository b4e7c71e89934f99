//! How images are made: a preset, single values over it, and the range that pictures have.
//! Knows no target and no folder.

use anyhow::{Context, bail};
use arcface_data::Normalisation;
use arcface_synth::{Distance, InversionConfig};
use toml::{Table, Value};

use super::pixels;
use crate::cli::{Preset, SynthArguments};
use crate::config::{assignments, dotted, explain, merge};

/// What a key that may have no value is set to for none.
const NONE: &str = "none";

/// What was chosen.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: InversionConfig,
    /// That between embeddings, if it was chosen.
    pub(super) distance: Option<Distance>,
    /// How often every image is begun, unless it is said.
    pub(super) beginnings: u64,
}

/// Of the preset `fast`. Of 64 faces by model-y1 10 to 16 of a beginning ended below a cosine of 0.9 by the network itself,
/// mostly faces beside the middle or two in one image.
const BEGINNINGS: u64 = 5;

impl Settings {
    /// What the arguments say, for a network that takes images of this `normalisation`.
    ///
    /// # Errors
    /// If a key does not exist or a value is out of range.
    pub(super) fn new(arguments: &SynthArguments, normalisation: Normalisation) -> anyhow::Result<Self> {
        let set = assignments(&arguments.set)?;
        let has_range = set.contains_key("range");
        let (mut config, distance) = chosen(arguments.preset, set, arguments.without_prior)?;
        if !has_range {
            config.range = config.range.map(|_| pixels::range(normalisation));
        }
        let beginnings = if arguments.preset == Preset::Fast { BEGINNINGS } else { 1 };
        Ok(Self { config, distance, beginnings })
    }
}

/// That `set` are single values that `fast` can have, before there is a network to make anything of.
///
/// # Errors
/// If a key does not exist or a value is out of range.
pub(crate) fn check(set: &Table) -> anyhow::Result<()> {
    chosen(Preset::Fast, set.clone(), false).map(|_| ())
}

/// The preset with `set` over it, and the distance if it was chosen.
fn chosen(of: Preset, mut set: Table, without_prior: bool) -> anyhow::Result<(InversionConfig, Option<Distance>)> {
    let distance = set.remove("distance").as_ref().map(distance).transpose()?;
    let given: Vec<(String, Value)> = dotted(&set);
    let config: Result<InversionConfig, _> = over(Table::try_from(preset(of))?, set).try_into();
    let mut config = config.map_err(|error| explain(&error)).context("--set")?;
    refuse_unread(&given, &config)?;
    if without_prior {
        config.statistics = None;
    }
    config.check().context("--set")?;
    Ok((config, distance))
}

/// What an inner table has no use for, as a curve for another one's parameters, is not told by reading alone.
fn refuse_unread(given: &[(String, Value)], config: &InversionConfig) -> anyhow::Result<()> {
    let read: Vec<String> = dotted(&Table::try_from(config)?).into_iter().map(|(key, _)| key).collect();
    let is_unread = |(key, value): &&(String, Value)| !is_none(value) && !read.contains(key);
    match given.iter().find(is_unread) {
        Some((key, _)) => bail!("--set: unknown field `{key}`, expected one of {}", read.join(", ")),
        None => Ok(()),
    }
}

fn is_none(value: &Value) -> bool {
    value.as_str() == Some(NONE)
}

fn preset(preset: Preset) -> InversionConfig {
    match preset {
        Preset::Fast => InversionConfig::fast(),
        Preset::Paper => InversionConfig::paper(),
    }
}

fn over(mut table: Table, set: Table) -> Table {
    // The parameters of a curve belong to its name.
    if set.get("curve").and_then(Value::as_table).is_some_and(|curve| curve.contains_key("name")) {
        table.remove("curve");
    }
    merge(&mut table, set);
    table.retain(|_, value| !is_none(value));
    table
}

fn distance(value: &Value) -> anyhow::Result<Distance> {
    match value.as_str() {
        Some("euclidean") => Ok(Distance::Euclidean),
        Some("cosine") => Ok(Distance::Cosine),
        _ => bail!("--set distance: expected euclidean or cosine, got {value}"),
    }
}

#[cfg(test)]
mod tests {
    use arcface_core::schedule::Curve;
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn settings(more: &[&str]) -> anyhow::Result<Settings> {
        let words = ["cargo xtask", "synth", "net", "--classes", "0"].iter().chain(more);
        let Command::Synth(arguments) = Cli::parse_from(words).command else { panic!("another command") };
        Settings::new(&arguments, Normalisation::By128)
    }

    #[test]
    fn single_values_lie_over_the_preset() {
        let usual = settings(&[]).unwrap().config;
        let range = Some(pixels::range(Normalisation::By128));
        assert_eq!(usual, InversionConfig { range, ..InversionConfig::fast() });
        let paper =
            settings(&["--preset", "paper", "--set", "steps=7", "--set", "statistics.weight=1"]).unwrap().config;
        let statistics =
            InversionConfig::paper().statistics.map(|prior| arcface_synth::StatisticsConfig { weight: 1.0, ..prior });
        assert_eq!(paper, InversionConfig { steps: 7, statistics, range, ..InversionConfig::paper() });
        let curve = settings(&["--set", "curve.name=constant", "--set", "range=[-2.0, 2.0]"]).unwrap().config;
        assert_eq!((curve.curve, curve.range), (Curve::Constant, Some([-2.0, 2.0])));
        assert_eq!(settings(&["--set", "range=none"]).unwrap().config.range, None);
        for without in [&["--without-prior"][..], &["--set", "statistics=none"]] {
            assert_eq!(settings(without).unwrap().config, InversionConfig { statistics: None, ..usual.clone() });
        }
    }

    #[test]
    fn wrong_values_are_named() {
        let words = |set: &str| format!("{:#}", settings(&["--set", set]).unwrap_err());
        assert!(
            words("step=3").starts_with("--set: unknown field `step`, expected one of `steps`"),
            "{}",
            words("step=3")
        );
        let words_of_curve = words("curve.power=2");
        assert!(words_of_curve.starts_with("--set: curve: unknown field `power`"), "{words_of_curve}");
        let unread = words("curve={name=\"constant\",floor=0.5}");
        assert!(
            unread.starts_with("--set: unknown field `curve.floor`, expected one of betas, coarse, curve.name"),
            "{unread}"
        );
        assert!(settings(&["--without-prior", "--set", "statistics.weight=3"]).is_ok());
        assert_eq!(words("steps=0"), "--set: steps: expected 0 < steps, got 0");
        assert_eq!(words("distance=manhattan"), "--set distance: expected euclidean or cosine, got \"manhattan\"");
        assert!(words("steps=many").contains("steps: invalid type: string"), "{}", words("steps=many"));
    }
}
