//! A run or an evaluation as one HTML page that needs nothing else: figures, plots, the hardest pairs.
//! Knows no file and no network: plots come in as SVG, faces as the bytes of PNG or JPEG.

mod comparison;
mod figures;
mod pairs;
mod text;

use std::fmt::Write;

use arcface_core::{Error, Result};

use super::FigureTable;
use crate::verification::Verification;
pub use comparison::{ComparisonPage, FaceRows, comparison_html};
use figures::{accuracies, facts, folds, headline};
use pairs::gallery;
pub(super) use text::{data_uri, escaped};

/// What a page shows, in this order; what is empty is left out.
#[derive(Debug, Clone, Default)]
pub struct Page<'a> {
    /// The name of the run or network.
    pub title: &'a str,
    /// What it is, in a sentence.
    pub lead: &'a str,
    /// Its figures.
    pub verification: Option<&'a Verification>,
    /// Accuracies on the same pairs to compare with: of what, and how much.
    pub compared: &'a [(&'a str, f64)],
    /// Figures of other kinds.
    pub tables: &'a [FigureTable],
    /// Everything else worth knowing: name and value.
    pub facts: &'a [(&'a str, String)],
    /// The plots.
    pub plots: &'a [Plot<'a>],
    /// Genuine pairs, the hardest first.
    pub genuine: &'a [ShownPair],
    /// Impostor pairs, the hardest first.
    pub impostors: &'a [ShownPair],
    /// Texts to be unfolded, such as the configuration: name and text.
    pub texts: &'a [(&'a str, &'a str)],
}

/// A plot of this crate.
#[derive(Debug, Clone, Copy)]
pub struct Plot<'a> {
    /// What it shows, for those who cannot see it too.
    pub caption: &'a str,
    /// Its SVG.
    pub svg: &'a str,
}

/// A pair of faces with its distance.
#[derive(Debug, Clone)]
pub struct ShownPair {
    /// Its place in the list of pairs, from 1; none where all pairs are compared.
    pub number: Option<usize>,
    /// Squared ℓ2 distance of the embeddings.
    pub distance: f64,
    /// Both faces.
    pub faces: [ShownFace; 2],
}

/// A face and its name.
#[derive(Debug, Clone)]
pub struct ShownFace {
    /// Its key in the list of pairs.
    pub name: String,
    /// The bytes of a PNG or JPEG.
    pub picture: Vec<u8>,
}

const STYLE: &str = include_str!("html/style.css");

/// Nothing but what stands in the page may be shown, and nothing may run: the browser holds to it.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// The page as HTML.
///
/// Plots and pictures are part of it, nothing is fetched, no script runs, every text is escaped. It follows the
/// reader's choice of light or dark.
///
/// ```
/// use arcface_eval::report::{Page, html};
/// let page = html(&Page { title: "runs/mine", lead: "facenano & arcface", ..Page::default() })?;
/// assert!(page.contains("facenano &amp; arcface"));
/// # Ok::<(), arcface_core::Error>(())
/// ```
///
/// # Errors
/// If a plot is no SVG or a picture neither PNG nor JPEG.
pub fn html(page: &Page<'_>) -> Result<String> {
    let mut main = String::new();
    main += &page.verification.map(headline).unwrap_or_default();
    main += &accuracies(page.verification, page.compared);
    page.tables.iter().for_each(|table| main += &table.html());
    main += &plots(page.plots)?;
    main += &gallery(page)?;
    main += &facts(page.facts);
    main += &page.verification.map(folds).unwrap_or_default();
    page.texts.iter().for_each(|(name, text)| main += &folded(name, text));
    Ok(frame(page.title, page.lead, &main))
}

/// A page around its sections.
fn frame(title: &str, lead: &str, main: &str) -> String {
    let (title, lead) = (escaped(title), escaped(lead));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n<p>{lead}</p>\n</header>\n<main>\n{main}\
         </main>\n</body>\n</html>\n"
    )
}

fn plots(plots: &[Plot<'_>]) -> Result<String> {
    if plots.is_empty() {
        return Ok(String::new());
    }
    let figures = plots.iter().map(figure).collect::<Result<String>>()?;
    Ok(format!("<section class=\"plots\">\n<h2>Plots</h2>\n{figures}</section>\n"))
}

fn figure(plot: &Plot<'_>) -> Result<String> {
    let caption = escaped(plot.caption);
    let Some(rest) = plot.svg.trim_start().strip_prefix("<svg ") else {
        let start: String = plot.svg.chars().take(20).collect();
        return Err(Error::value(format!("plot `{}`", plot.caption), "SVG, which begins with `<svg `", start));
    };
    Ok(format!(
        "<figure>\n<svg role=\"img\" aria-label=\"{caption}\" {rest}<figcaption>{caption}</figcaption>\n</figure>\n"
    ))
}

fn folded(name: &str, text: &str) -> String {
    let mut html = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(html, "<details>\n<summary>{}</summary>\n<pre>{}</pre>\n</details>", escaped(name), escaped(text));
    html
}
