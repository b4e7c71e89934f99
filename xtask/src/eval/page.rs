//! What an evaluation came to: figures on stdout, and a folder with a page, the plots and a JSON document.
//! Knows no protocol; figures come in as tables, pictures as they were drawn.

use std::path::Path;

use anyhow::Context;
use arcface_data::image;
use arcface_eval::Pairs;
use arcface_eval::report::{FigureTable, HardPair, Page, Plot, ShownFace, ShownPair, html};
use arcface_eval::scores::{HardestPairs, ScoredPair, hardest_pairs};
use serde_json::{Value, json};

use crate::cli::EvalOutput;
use crate::output;
use crate::report::{HARDEST, encoded};

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Of which protocol, such as `IJB-C`.
    pub(super) protocol: String,
    /// The network or file that was evaluated.
    pub(super) subject: String,
    /// What was done, in a sentence.
    pub(super) lead: String,
    pub(super) tables: Vec<FigureTable>,
    pub(super) plots: Vec<Drawn>,
    /// Everything else worth knowing.
    pub(super) facts: Vec<(&'static str, String)>,
    /// The figures by name, for the comparison with other evaluations; `None` where the data are too few.
    pub(super) figures: Vec<(String, Option<f64>)>,
    /// What else a program may want to know.
    pub(super) details: Value,
    /// The hardest genuine pairs.
    pub(super) genuine: Vec<ShownPair>,
    /// The hardest impostor pairs.
    pub(super) impostors: Vec<ShownPair>,
}

/// A plot.
#[derive(Debug)]
pub(super) struct Drawn {
    /// The name of its file without ending.
    pub(super) name: String,
    pub(super) caption: String,
    pub(super) svg: String,
}

impl Outcome {
    /// Prints the figures, and writes the folder where one is asked for.
    ///
    /// # Errors
    /// If something cannot be written.
    pub(super) fn tell(&self, to: &EvalOutput) -> anyhow::Result<()> {
        if let Some(folder) = &to.out {
            self.write(folder)?;
        }
        if to.json { output::json(&self.document()) } else { output::text(&self.text()) }
    }

    /// Looks for the hardest of all pairs in a second walk over them, where a page is to show them and their images are
    /// there; `file` tells that of a row of the first or second set of a part.
    ///
    /// # Errors
    /// If rows cannot be read, or a picture.
    pub(super) fn look_for_hardest<'a>(
        &mut self,
        to: &EvalOutput,
        parts: &[Pairs<'_>],
        file: impl Fn(usize, usize, usize) -> &'a Path,
    ) -> anyhow::Result<()> {
        if to.out.is_none() || !file(0, 0, 0).is_file() {
            return Ok(());
        }
        let HardestPairs { genuine, impostors } = hardest_pairs(parts, HARDEST)?;
        let files = |pair: &ScoredPair| [0, 1].map(|side| file(pair.part, side, pair.rows[side]));
        if genuine.iter().chain(&impostors).flat_map(files).all(Path::is_file) {
            let show = |pair: &ScoredPair| shown_pair(None, pair.distance, files(pair));
            self.genuine = genuine.iter().map(show).collect::<anyhow::Result<_>>()?;
            self.impostors = impostors.iter().map(show).collect::<anyhow::Result<_>>()?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        self.tables.iter().map(FigureTable::text).collect::<Vec<_>>().join("\n")
    }

    fn document(&self) -> Value {
        let figure = |(name, value): &(String, Option<f64>)| json!({ "name": name, "value": value });
        json!({
            "protocol": self.protocol,
            "subject": self.subject,
            "figures": self.figures.iter().map(figure).collect::<Vec<_>>(),
            "facts": self.facts.iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
            "details": self.details,
        })
    }

    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        for plot in &self.plots {
            output::file(&folder.join(format!("{}.svg", plot.name)), &plot.svg)?;
        }
        output::file(&folder.join("eval.json"), &(serde_json::to_string_pretty(&self.document())? + "\n"))?;
        output::file(&folder.join("report.html"), &self.html()?)
    }

    fn html(&self) -> anyhow::Result<String> {
        let plots: Vec<Plot<'_>> =
            self.plots.iter().map(|plot| Plot { caption: &plot.caption, svg: &plot.svg }).collect();
        Ok(html(&Page {
            title: &format!("{}: {}", self.protocol, self.subject),
            lead: &self.lead,
            tables: &self.tables,
            facts: &self.facts,
            plots: &plots,
            genuine: &self.genuine,
            impostors: &self.impostors,
            ..Page::default()
        })?)
    }
}

/// A rate as a cell of a table.
pub(super) fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.2}", 100.0 * rate))
}

/// A pair with the pictures of its files.
///
/// # Errors
/// If a picture cannot be read.
pub(super) fn shown(pair: &HardPair, files: [&str; 2]) -> anyhow::Result<ShownPair> {
    shown_pair(Some(pair.index + 1), pair.distance, files.map(Path::new))
}

fn shown_pair(number: Option<usize>, distance: f64, files: [&Path; 2]) -> anyhow::Result<ShownPair> {
    let face = |file: &Path| {
        let picture = encoded(&image::read(file)?)?;
        anyhow::Ok(ShownFace { name: file.display().to_string(), picture })
    };
    Ok(ShownPair { number, distance, faces: [face(files[0])?, face(files[1])?] })
}
