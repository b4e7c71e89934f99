//! `cargo xtask purify`: a finished run with sub-centers → which images of its training set have wrong labels.
//! Knows no angles and no figures; the set itself is left as it is.

mod angles;
mod findings;
mod lists;
mod report;
mod subject;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_data::Source;
use arcface_data::convert::{Container, convert};
use arcface_data::purify::{Cleaned, MostAngle, Places};
use arcface_data::source::Subset;
use toml::Value;

use crate::cli::{ConfigArguments, OnFault, PurifyArguments, TrainArguments};
use crate::config::Config;
use crate::data::convert::followed;
use crate::run::RunFolder;
use crate::{interrupt, output, train};
use findings::Findings;
use subject::Subject;

/// What the run on the cleaned set is configured by.
const CONFIGURATION: &str = "retrain.toml";

/// Embeds the training set of a run, drops what lies beyond the angle, and reports.
///
/// # Errors
/// If the run is unfinished or has no sub-centers, its data set has changed, an image cannot be read, or an identity
/// loses all its images and that is refused.
pub(crate) fn run(arguments: &PurifyArguments) -> anyhow::Result<()> {
    interrupt::listen()?;
    let most = MostAngle::new(arguments.angle).context("--angle")?;
    if let Some(out) = &arguments.out {
        refuse_filled(out)?;
    }
    let subject = Subject::open(&arguments.run)?;
    let new_run = arguments.retrain.then(|| new_run(&subject.run, arguments)).transpose()?;
    let places = angles::places(&subject)?;
    let cleaned = places.clean(most);
    refuse_emptied(&subject, &places, &cleaned, arguments)?;
    let folder = arguments.out.clone().unwrap_or_else(|| report_folder(&subject.run, most));
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut findings = Findings::new(&subject, &places, &cleaned, most, &folder);
    lists::write(&folder, &subject, &places, &cleaned)?;
    if arguments.out.is_some() {
        write_set(&folder, &subject, &cleaned)?;
    }
    report::write(&folder, &subject, &places, &findings)?;
    if !arguments.json {
        output::text(&findings.words())?;
    }
    if let Some(new_run) = &new_run {
        findings.retrained = Some(retrain(&subject.config, &folder, new_run)?);
        findings.write(&folder)?;
    }
    if arguments.json { output::json(&findings) } else { Ok(()) }
}

/// Before anything takes time.
fn refuse_filled(out: &Path) -> anyhow::Result<()> {
    if out.exists() && !out.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        bail!("--out {}: expected a new or empty folder; choose another name", out.display());
    }
    Ok(())
}

fn refuse_emptied(
    subject: &Subject,
    places: &Places,
    cleaned: &Cleaned,
    arguments: &PurifyArguments,
) -> anyhow::Result<()> {
    let Some(first) = cleaned.emptied.first().filter(|_| arguments.on_empty == OnFault::Error) else { return Ok(()) };
    let images = places.labels().iter().filter(|label| *label == first).count();
    let others = match cleaned.emptied.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more identities lose theirs)"),
    };
    bail!(
        "identity `{}` loses all of its {images} images beyond {}°{others}; raise --angle, or leave such identities out \
         with --on-empty skip",
        subject.source.identity(*first),
        arguments.angle
    )
}

/// In the run's own folder, one for each angle.
fn report_folder(run: &RunFolder, most: MostAngle) -> PathBuf {
    run.path().join(format!("purify-{}", most.degrees()))
}

/// Writes the set that is left as RecordIO.
fn write_set(folder: &Path, subject: &Subject, cleaned: &Cleaned) -> anyhow::Result<()> {
    let kept = Subset::of_images(subject.source.clone(), &cleaned.kept)?;
    let target = folder.join("train.rec");
    followed("writing", &kept, |go_on| convert(&kept, &target, Container::Record, go_on))?;
    Ok(())
}

/// A run that is to be.
struct NewRun {
    runs: PathBuf,
    name: String,
}

fn new_run(run: &RunFolder, arguments: &PurifyArguments) -> anyhow::Result<NewRun> {
    let runs = run.path().parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let usual = || format!("{}-purified-{}", run.name(), arguments.angle);
    let name = arguments.name.clone().unwrap_or_else(usual);
    RunFolder::check_free(runs, &name)?;
    Ok(NewRun { runs: runs.to_owned(), name })
}

/// Trains on the images that are kept and gives the summary of that run.
fn retrain(config: &Config, folder: &Path, new_run: &NewRun) -> anyhow::Result<serde_json::Value> {
    let path = folder.join(CONFIGURATION);
    output::file(&path, &derived(config, &folder.join(lists::KEPT)).to_toml()?)?;
    let NewRun { runs, name } = new_run;
    eprintln!("training again on what is left: {}", runs.join(name).display());
    train::run(&TrainArguments {
        config: ConfigArguments { config: Some(path), set: Vec::new() },
        name: Some(name.clone()),
        resume: false,
        runs: runs.clone(),
        json: false,
    })?;
    RunFolder::existing(runs, name)?.read_json("summary.json")
}

/// The same experiment on the kept images, with one center per class.
fn derived(config: &Config, kept: &Path) -> Config {
    let mut config = config.clone();
    config.loss.insert("sub_centers".to_owned(), Value::Integer(1));
    config.data.keep = Some(kept.to_owned());
    config
}
