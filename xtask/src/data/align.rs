//! `cargo xtask data align`: photographs and their landmarks → a folder of aligned crops.
//! Knows no network and no detector.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use anyhow::{Context, anyhow, bail};
use arcface_data::align::{Found, Listed, aligned, transform};
use arcface_data::image::{self, EXTENSIONS};
use arcface_data::source::image_files;
use arcface_data::{FileFormat, Image, LandmarkList, Landmarks, Sides};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::cli::{AlignArguments, OnFault, SidesChoice};
use crate::digest::Digest;
use crate::progress::Progress;
use crate::{interrupt, output};

/// What the crops of a folder were made of: another recipe is another folder.
const RECIPE: &str = "align.json";

/// Aligns every photograph that has landmarks.
///
/// # Errors
/// If the list or an image cannot be used, or the folder holds something else.
pub(crate) fn run(arguments: &AlignArguments) -> anyhow::Result<()> {
    interrupt::listen()?;
    let format = if arguments.png { FileFormat::Png } else { super::format(Some(arguments.jpeg))? };
    refuse_overlap(&arguments.images, &arguments.out)?;
    let list = LandmarkList::read(&arguments.landmarks, sides(arguments.sides))?;
    let Plan { jobs, skipped } = plan(&list, arguments, format)?;
    begin(&arguments.out, &recipe(arguments, format)?)?;
    list_skipped(&skipped);
    let left: Vec<&Job> = jobs.iter().filter(|job| !job.target.exists()).collect();
    let unusable = work(&left, arguments, format).inspect_err(|_| {
        eprintln!("what is done stays in {}; the same command goes on from there", arguments.out.display());
    })?;
    list_skipped(&unusable);
    let counts = Counts {
        made: left.len() - unusable.len(),
        before: jobs.len() - left.len(),
        skipped: skipped.len() + unusable.len(),
    };
    tell(&counts, &jobs, arguments);
    Ok(())
}

/// One crop to make.
struct Job {
    source: PathBuf,
    target: PathBuf,
    landmarks: Landmarks,
    /// List, line and path, for messages.
    place: String,
}

struct Plan {
    jobs: Vec<Job>,
    /// Why images or landmarks are left out.
    skipped: Vec<String>,
}

struct Counts {
    made: usize,
    /// There already.
    before: usize,
    skipped: usize,
}

fn sides(choice: SidesChoice) -> Sides {
    match choice {
        SidesChoice::Image => Sides::Image,
        SidesChoice::Person => Sides::Person,
    }
}

/// Crops within the folder of photographs would be taken for photographs the next time.
fn refuse_overlap(images: &Path, out: &Path) -> anyhow::Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).with_context(|| path.display().to_string());
    if absolute(out)?.starts_with(absolute(images)?) {
        bail!("--out {}: expected a folder outside of {}; choose another one", out.display(), images.display());
    }
    Ok(())
}

/// What the list and the folder have in common.
fn plan(list: &LandmarkList, arguments: &AlignArguments, format: FileFormat) -> anyhow::Result<Plan> {
    let images = &arguments.images;
    let files = image_files(images)?;
    let mut unlisted: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    let (mut jobs, mut missing, mut unusable) = (Vec::new(), Vec::new(), Vec::new());
    for row in list.rows() {
        let place = place(list, row);
        let Some(file) = file_of(&row.path, &files) else {
            missing.push(format!("{place}: no such image in {}", images.display()));
            continue;
        };
        if !unlisted.remove(file) {
            bail!("{place}: {file} is listed already; keep one of its faces");
        }
        match &row.found {
            Found::Face(landmarks) => jobs.push(Job {
                source: images.join(file),
                target: arguments.out.join(file).with_extension(format.extension()),
                landmarks: *landmarks,
                place,
            }),
            Found::Nothing => missing.push(format!("{place}: no coordinates")),
            Found::Unusable(message) => unusable.push(format!("{place}: {message}")),
        }
    }
    let without = |file: &str| format!("{}: no landmarks in {}", images.join(file).display(), list.origin().display());
    missing.extend(unlisted.into_iter().map(without));
    refuse(&missing, arguments.missing, "--missing")?;
    refuse(&unusable, arguments.on_corrupt, "--on-corrupt")?;
    refuse_twins(&jobs)?;
    // Before a folder is made.
    jobs.first().map(|job| transform(&job.landmarks, arguments.size)).transpose().context("--size")?;
    Ok(Plan { jobs, skipped: [missing, unusable].concat() })
}

fn place(list: &LandmarkList, row: &Listed) -> String {
    format!("{}: line {}: `{}`", list.origin().display(), row.line, row.path)
}

/// The file that a path of the list means, with the ending of an image or without it.
fn file_of<'a>(path: &str, files: &'a [String]) -> Option<&'a str> {
    let find = |path: &str| files.binary_search_by(|file| file.as_str().cmp(path)).ok();
    let place = find(path).or_else(|| EXTENSIONS.iter().find_map(|extension| find(&format!("{path}.{extension}"))));
    place.map(|place| files[place].as_str())
}

fn refuse(faults: &[String], on_fault: OnFault, option: &str) -> anyhow::Result<()> {
    match (faults, on_fault) {
        ([], _) | (_, OnFault::Skip) => Ok(()),
        ([first], OnFault::Error) => bail!("{first}; `{option} skip` leaves it out"),
        ([first, others @ ..], OnFault::Error) => {
            bail!("{first} (and {} more of the kind); `{option} skip` leaves them out and lists them", others.len())
        }
    }
}

fn refuse_twins(jobs: &[Job]) -> anyhow::Result<()> {
    let mut targets = HashSet::new();
    match jobs.iter().find(|job| !targets.insert(&job.target)) {
        Some(job) => {
            bail!("{}: two images would be written here, one is {}; rename it", job.target.display(), job.place)
        }
        None => Ok(()),
    }
}

fn recipe(arguments: &AlignArguments, format: FileFormat) -> anyhow::Result<Value> {
    Ok(json!({
        "size": arguments.size,
        "format": format,
        "sides": match arguments.sides { SidesChoice::Image => "image", SidesChoice::Person => "person" },
        "landmarks": Digest::of_file(&arguments.landmarks)?,
    }))
}

/// Makes the folder, or finds it as the same command left it.
fn begin(out: &Path, recipe: &Value) -> anyhow::Result<()> {
    let path = out.join(RECIPE);
    if path.is_file() {
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let before: Value = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        let keys = ["size", "format", "sides", "landmarks"].into_iter();
        let changed: Vec<&str> = keys.filter(|key| before[*key] != recipe[*key]).collect();
        if !changed.is_empty() {
            bail!("{}: begun with other {}; choose another folder", out.display(), changed.join(", "));
        }
        return Ok(());
    }
    if out.exists() && !out.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        bail!("{}: expected a new or empty folder, or one with {RECIPE}; choose another name", out.display());
    }
    std::fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    output::file(&path, &(serde_json::to_string_pretty(recipe)? + "\n"))
}

/// Makes the crops and gives a message for each that could not be made.
fn work(jobs: &[&Job], arguments: &AlignArguments, format: FileFormat) -> anyhow::Result<Vec<String>> {
    let progress = Progress::new("aligning", "img", jobs.len() as u64);
    let (sender, results) = channel();
    let mut unusable = Vec::new();
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            jobs.par_iter().enumerate().try_for_each_with(sender, |sender, (index, job)| {
                interrupt::check()?;
                let fault = job.run(arguments, format)?;
                // Whoever listens does so until the last sender is gone.
                let _ = sender.send((index, fault));
                Ok(())
            })
        });
        for (done, (index, fault)) in (1..).zip(results) {
            unusable.extend(fault.map(|message| (index, message)));
            progress.at(done, "");
        }
        work.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
    })?;
    progress.finish();
    unusable.sort();
    Ok(unusable.into_iter().map(|(_, message)| message).collect())
}

impl Job {
    /// Makes the crop; a message if its image or landmarks cannot be used and such are left out.
    fn run(&self, arguments: &AlignArguments, format: FileFormat) -> anyhow::Result<Option<String>> {
        match (self.crop(arguments.size), arguments.on_corrupt) {
            (Ok(crop), _) => self.write(&crop, format).map(|()| None),
            (Err(error), OnFault::Error) => Err(error),
            (Err(error), OnFault::Skip) => Ok(Some(format!("{error:#}"))),
        }
    }

    fn crop(&self, size: usize) -> anyhow::Result<Image> {
        let image = image::read(&self.source)?;
        aligned(&image, &self.landmarks, size).with_context(|| self.place.clone())
    }

    fn write(&self, crop: &Image, format: FileFormat) -> anyhow::Result<()> {
        let folder = self.target.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(format.write(&self.target, crop)?)
    }
}

fn list_skipped(messages: &[String]) {
    for message in messages {
        eprintln!("skipped: {message}");
    }
}

fn tell(counts: &Counts, jobs: &[Job], arguments: &AlignArguments) {
    let AlignArguments { out, size, .. } = arguments;
    let place = out.display();
    let Counts { made, before, skipped } = counts;
    eprintln!("{made} crops of {size}×{size} pixels made in {place}, {before} were there, {skipped} skipped");
    let is_per_identity = |job: &Job| job.target.parent().and_then(Path::parent) == Some(out.as_path());
    if jobs.iter().all(is_per_identity) {
        let more = if *size == 112 { String::new() } else { format!(" --set model.input_size={size}") };
        eprintln!(
            "train on them: cargo xtask train --name mine --set data.source=folder --set data.path={place}{more}"
        );
    } else {
        eprintln!("to train on them, move them into one folder per identity");
    }
}
