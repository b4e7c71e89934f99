//! What people look at after purifying: histograms of angles, a contact sheet of what was dropped, one page of all.
//! Knows no network; figures come in.

use std::io::Write;
use std::path::Path;

use arcface_core::checkpoint::atomic_write;
use arcface_data::image::{encode_jpeg, encode_png};
use arcface_data::purify::{Place, Places};
use arcface_data::{Image, Source};
use arcface_eval::report::{self, Distributions, Page, Plot};

use super::findings::Findings;
use super::subject::Subject;
use crate::output;
use crate::sheet::{GREEN, GREY, ORANGE, Tile, sheet};

/// Faces on the contact sheet.
const SHOWN: usize = 60;
/// Quality of the sheet on the page.
const QUALITY: u8 = 90;

/// Writes figures, plots, contact sheet and page into `folder`.
///
/// # Errors
/// If an image cannot be read or the disk is full.
pub(super) fn write(folder: &Path, subject: &Subject, places: &Places, findings: &Findings) -> anyhow::Result<()> {
    findings.write(folder)?;
    let angles = [
        ("angles-dominant.svg", "Angles to the dominant sub-center", draw(subject, places, &dominant(findings.angle))?),
        ("angles-other.svg", "Angles to the nearest other sub-center", draw(subject, places, &OTHER)?),
    ];
    for (name, _, svg) in &angles {
        output::file(&folder.join(name), svg)?;
    }
    let mut plots: Vec<(&str, String)> = angles.into_iter().map(|(_, caption, svg)| (caption, svg)).collect();
    if let Some(sheet) = contact_sheet(subject, places, findings)? {
        let png = encode_png(&sheet)?;
        atomic_write(&folder.join("dropped.png"), |file| file.write_all(&png))?;
        let caption = "Dropped images, the farthest first: label and angle";
        let jpeg = encode_jpeg(&sheet, QUALITY)?;
        plots.push((caption, report::picture(caption, &jpeg, (sheet.width, sheet.height))?));
    }
    let plots: Vec<Plot<'_>> = plots.iter().map(|(caption, svg)| Plot { caption, svg }).collect();
    let configuration = subject.config.to_toml()?;
    let page = report::html(&Page {
        title: &format!("{} purified", subject.run.name()),
        lead: &format!(
            "{} of {} images dropped beyond {}° from the dominant sub-center of their class",
            findings.dropped.images, findings.images, findings.angle
        ),
        facts: &findings.rows(),
        plots: &plots,
        texts: &[("Configuration of the run", &configuration)],
        ..Page::default()
    })?;
    output::file(&folder.join("report.html"), &page)
}

/// One of the plots.
struct Shown {
    title: &'static str,
    angle: fn(&Place) -> f32,
    mark: Option<f64>,
}

fn dominant(limit: f64) -> Shown {
    Shown { title: "Images and the dominant sub-center", angle: |place| place.angle, mark: Some(limit) }
}

const OTHER: Shown = Shown { title: "Images and the nearest other sub-center", angle: |place| place.other, mark: None };

/// Draws the angles of clean and noisy images apart where the truth is known, else of all.
fn draw(subject: &Subject, places: &Places, shown: &Shown) -> anyhow::Result<String> {
    let angles = |of: &dyn Fn(usize) -> bool| -> Vec<f64> {
        let placed = places.places().iter().enumerate().filter(|(index, _)| of(*index));
        placed.filter_map(|(_, place)| Some(f64::from((shown.angle)(place.as_ref()?)))).collect()
    };
    let series = match &subject.planted {
        Some(planted) => vec![
            ("clean", angles(&|index| !planted.truth(index).is_noisy())),
            ("noisy", angles(&|index| planted.truth(index).is_noisy())),
        ],
        None => vec![("all", angles(&|_| true))],
    };
    let series: Vec<(&str, &[f64])> = series.iter().map(|(name, angles)| (*name, &angles[..])).collect();
    Ok(report::distributions(&Distributions {
        title: shown.title,
        quantity: "angle, degrees",
        of: "images",
        series: &series,
        mark: shown.mark.map(|limit| ("limit", limit)),
    })?)
}

/// Some of what was dropped, evenly over the angles, the farthest first; `None` if there is nothing to show.
fn contact_sheet(subject: &Subject, places: &Places, findings: &Findings) -> anyhow::Result<Option<Image>> {
    let beyond = |(index, place): (usize, &Option<Place>)| {
        place.filter(|place| findings.angle < f64::from(place.angle)).map(|place| (index, place.angle))
    };
    let mut dropped: Vec<(usize, f32)> = places.places().iter().enumerate().filter_map(beyond).collect();
    dropped.sort_by(|a, b| b.1.total_cmp(&a.1));
    let count = dropped.len().min(SHOWN);
    let chosen = (0..count).map(|number| dropped[number * dropped.len() / count]);
    let tiles = chosen.map(|(index, angle)| {
        // Whether it was dropped rightly, where the truth is known.
        let strip = match &subject.planted {
            None => GREY,
            Some(planted) if planted.truth(index).is_noisy() => GREEN,
            Some(_) => ORANGE,
        };
        let lines = vec![places.labels()[index].to_string(), format!("{angle:.1}°")];
        Ok(Tile { images: vec![subject.source.image(index)?], strip: Some(strip), lines })
    });
    Ok(sheet(&tiles.collect::<arcface_core::Result<Vec<_>>>()?))
}
