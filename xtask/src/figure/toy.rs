//! `cargo xtask figure toy`: eight identities in two dimensions, Norm-Softmax beside `ArcFace` (Figure 3 of v4).
//! Knows no operator and no loss: it has two small networks trained, or takes runs that are there.

use std::path::{Path, PathBuf};

use anyhow::bail;
use arcface_core::candle::DType;
use arcface_data::Source;
use arcface_eval::report::{self, Toy, ToyClass};
use serde_json::json;

use super::album::Album;
use crate::cli::{ConfigArguments, ToyArguments, TrainArguments};
use crate::embedded::{Faces, each};
use crate::finished::Finished;
use crate::net::{Net, Overrides};
use crate::run::{RunFolder, WEIGHTS};
use crate::{checkpoint, config, train};

/// The losses that are trained where no run is given.
const LOSSES: [&str; 2] = ["normface", "arcface"];

/// One network and its classes.
struct Panel {
    name: String,
    classes: Vec<ToyClass>,
}

/// Draws a panel for each run.
///
/// # Errors
/// If a run is unfinished, has no embeddings of two values or its data set has changed, training fails, or a file cannot
/// be written.
pub(super) fn run(arguments: &ToyArguments) -> anyhow::Result<()> {
    let runs = if arguments.runs_to_draw.is_empty() { trained(arguments)? } else { arguments.runs_to_draw.clone() };
    let panels = runs.iter().map(|path| panel(path, arguments.images.get())).collect::<anyhow::Result<Vec<_>>>()?;
    let toys: Vec<Toy<'_>> = panels.iter().map(|panel| Toy { name: &panel.name, classes: &panel.classes }).collect();
    let svg = report::toy("Embeddings of two dimensions", &toys)?;
    let of_class =
        |class: &ToyClass| json!({ "identity": class.name, "center": class.center, "embeddings": class.embeddings });
    let of_panel =
        |panel: &Panel| json!({ "run": panel.name, "classes": panel.classes.iter().map(of_class).collect::<Vec<_>>() });
    Album::open(&arguments.out)?.put("toy", &svg, &panels.iter().map(of_panel).collect::<Vec<_>>())
}

/// The runs of both losses, trained where they are not.
fn trained(arguments: &ToyArguments) -> anyhow::Result<Vec<PathBuf>> {
    LOSSES.iter().map(|loss| train_one(arguments, loss)).collect()
}

fn train_one(arguments: &ToyArguments, loss: &str) -> anyhow::Result<PathBuf> {
    let name = format!("{}-{loss}", arguments.name);
    let path = arguments.runs.join(&name);
    let set = arguments.set.iter().cloned().chain([format!("loss.name={loss}")]).collect();
    let wanted = ConfigArguments { config: Some("toy".into()), set };
    let is_begun = RunFolder::at(&path).is_begun();
    if is_begun {
        refuse_other(&path, &wanted)?;
    }
    if path.join("summary.json").is_file() {
        return Ok(path);
    }
    train::run(&TrainArguments {
        config: if is_begun { ConfigArguments::default() } else { wanted },
        name: Some(name),
        resume: is_begun,
        runs: arguments.runs.clone(),
        json: false,
    })?;
    Ok(path)
}

/// A run of that name must be the one that would be trained.
fn refuse_other(path: &Path, wanted: &ConfigArguments) -> anyhow::Result<()> {
    let there = config::resume(&path.join("config.toml"), &[])?;
    let mut wanted = config::choose(wanted)?;
    // What gave way to the data then does so again.
    wanted.config.train.batch_size = there.train.batch_size;
    if wanted.config == there {
        return Ok(());
    }
    bail!(
        "{}: this run was trained with another configuration; take another --name, remove it, or draw it as it is: \
         cargo xtask figure toy {}",
        path.display(),
        path.display()
    )
}

fn panel(path: &Path, most: usize) -> anyhow::Result<Panel> {
    let finished = Finished::open(path)?;
    let Net { backbone, .. } = Net::load(&finished.checkpoint.join(WEIGHTS), &Overrides::default())?;
    let size = backbone.config().embedding_size;
    if size != 2 {
        bail!(
            "{}: expected a run whose embeddings have 2 values, found {size}; train with --set model.embedding_size=2",
            path.display()
        );
    }
    let mut classes = classes(&finished)?;
    let faces = Faces::some(&finished.source, most);
    each(&finished.run.name(), &faces, &finished.config, &backbone, |label, embedding| {
        classes[label as usize].embeddings.push([f64::from(embedding[0]), f64::from(embedding[1])]);
        Ok(())
    })?;
    Ok(Panel { name: finished.run.name(), classes })
}

/// The identities with their centers, as yet without embeddings.
fn classes(finished: &Finished) -> anyhow::Result<Vec<ToyClass>> {
    let identities = finished.source.num_identities();
    let centers = checkpoint::centers(&finished.checkpoint).ok().filter(|centers| *centers.dims() == [identities, 2]);
    let centers: Option<Vec<Vec<f64>>> = centers.map(|centers| centers.to_dtype(DType::F64)?.to_vec2()).transpose()?;
    let center = |label: u32| centers.as_ref().map(|centers| [centers[label as usize][0], centers[label as usize][1]]);
    let labels = 0..identities as u32;
    let names: Vec<String> = labels.clone().map(|label| finished.source.identity(label)).collect();
    let class = |(label, name)| ToyClass { name, center: center(label), embeddings: Vec::new() };
    Ok(labels.zip(told_apart(&names)).map(class).collect())
}

/// The names without what all of them begin with, which a legend has no room for.
fn told_apart(names: &[String]) -> Vec<String> {
    let shared = |length: &usize| {
        let begins = |name: &String| name.len() != *length && name.get(..*length) == names[0].get(..*length);
        1 < names.len() && names[0].is_char_boundary(*length) && names.iter().all(begins)
    };
    let shortest = names.iter().map(String::len).min().unwrap_or(0);
    let length = (0..shortest).rev().find(shared).unwrap_or(0);
    names.iter().map(|name| name[length..].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::told_apart;

    #[test]
    fn names_keep_what_tells_them_apart() {
        let check = |names: &[&str], expected: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(told_apart(&names), expected);
        };
        check(&["procedural_000000", "procedural_000007"], &["0", "7"]);
        check(&["anna", "ben"], &["anna", "ben"]);
        check(&["a", "ab"], &["a", "ab"]);
        check(&["über", "üben"], &["r", "n"]);
        check(&["alone"], &["alone"]);
        check(&[], &[]);
    }
}
