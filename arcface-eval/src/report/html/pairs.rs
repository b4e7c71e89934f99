//! The hardest pairs of a page: both faces, their names, their distance and what the network makes of it.
//! Knows no embeddings.

use arcface_core::Result;

use super::text::{data_uri, escaped};
use super::{Page, ShownFace, ShownPair};

/// Both kinds of pairs.
pub(super) fn gallery(page: &Page<'_>) -> Result<String> {
    let threshold = page.verification.map(|verification| verification.threshold);
    let genuine = Kind {
        name: "genuine",
        title: "Hardest genuine pairs",
        note: "One person in both pictures, and yet far apart.",
        is_right: |distance, threshold| distance <= threshold,
    };
    let impostors = Kind {
        name: "impostor",
        title: "Hardest impostor pairs",
        note: "Two persons, and yet close together.",
        is_right: |distance, threshold| threshold < distance,
    };
    Ok(section(&genuine, page.genuine, threshold)? + &section(&impostors, page.impostors, threshold)?)
}

struct Kind {
    name: &'static str,
    title: &'static str,
    note: &'static str,
    /// Whether a distance is on the right side of the threshold.
    is_right: fn(f64, f64) -> bool,
}

fn section(kind: &Kind, pairs: &[ShownPair], threshold: Option<f64>) -> Result<String> {
    if pairs.is_empty() {
        return Ok(String::new());
    }
    let verdict = |pair: &ShownPair| threshold.map(|threshold| (kind.is_right)(pair.distance, threshold));
    let items = pairs.iter().map(|pair| item(kind, pair, verdict(pair))).collect::<Result<String>>()?;
    let threshold = threshold.map(|threshold| format!(" The threshold is {threshold:.3}.")).unwrap_or_default();
    Ok(format!(
        "<section>\n<h2>{}</h2>\n<p class=\"note\">{}{threshold}</p>\n<ol class=\"pairs\">\n{items}</ol>\n</section>\n",
        kind.title, kind.note
    ))
}

fn item(kind: &Kind, pair: &ShownPair, is_right: Option<bool>) -> Result<String> {
    let [a, b] = &pair.faces;
    let verdict = match is_right {
        Some(true) => "<span class=\"right\">✓ right</span>",
        Some(false) => "<span class=\"wrong\">✗ wrong</span>",
        None => "",
    };
    let number = pair.number.map(|number| format!(" {number} of the list")).unwrap_or_default();
    Ok(format!(
        "<li><figure>\n<div>{}{}</div>\n<figcaption><strong>{:.3}</strong> {verdict}<small>{} pair{number}</small>\
         <span class=\"name\">{}</span><span class=\"name\">{}</span></figcaption>\n</figure></li>\n",
        image(a)?,
        image(b)?,
        pair.distance,
        kind.name,
        escaped(&a.name),
        escaped(&b.name)
    ))
}

/// A face within a line of text.
pub(super) fn image(face: &ShownFace) -> Result<String> {
    let source = data_uri(&face.name, &face.picture)?;
    Ok(format!("<img src=\"{source}\" alt=\"{}\"/>", escaped(&face.name)))
}
