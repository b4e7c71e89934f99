//! What purifying found, as figures: the JSON document, the lines on the terminal, the rows of the report.
//! Knows no embeddings and no pictures.

use std::collections::BTreeMap;
use std::path::Path;

use arcface_data::purify::{Cleaned, Groups, MostAngle, Places};
use arcface_data::{Source, Truth};
use arcface_eval::Interval;
use arcface_eval::significance::share;
use serde::Serialize;

use super::subject::Subject;
use crate::output;

/// Coverage of intervals.
const LEVEL: f64 = 0.95;

/// The document; shares are fractions, and what cannot be said is null.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    pub(super) run: String,
    /// Degrees beyond which images are dropped.
    pub(super) angle: f64,
    pub(super) sub_centers: usize,
    pub(super) images: usize,
    pub(super) identities: usize,
    pub(super) kept: Share,
    pub(super) dropped: Share,
    /// Of the dropped, those without embedding.
    pub(super) unreadable: usize,
    /// Nearest to the dominant sub-center of their class.
    pub(super) dominant: Share,
    pub(super) non_dominant: Share,
    pub(super) identities_kept: usize,
    pub(super) identities_emptied: Vec<String>,
    /// Only where noise was planted.
    pub(super) truth: Option<AgainstTruth>,
    pub(super) folder: String,
    /// The summary of the run that was trained on what is left.
    pub(super) retrained: Option<serde_json::Value>,
}

/// Some of the images.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Share {
    pub(super) images: usize,
    pub(super) share: f64,
}

/// What is known where the truth is.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AgainstTruth {
    pub(super) dominant_clean: Share,
    pub(super) dominant_noisy: Share,
    pub(super) non_dominant_clean: Share,
    pub(super) non_dominant_noisy: Share,
    /// Of all images, the noisy: what one center per class has to bear.
    pub(super) noise: Option<f64>,
    /// Of those nearest to the dominant sub-center, the noisy.
    pub(super) noise_in_dominant: Option<f64>,
    /// Of those kept, the noisy.
    pub(super) noise_in_kept: Option<f64>,
    /// Of the dropped, the noisy.
    pub(super) precision: Option<f64>,
    /// Of the noisy, the dropped.
    pub(super) recall: Option<f64>,
    /// The same of images with another identity's label.
    pub(super) recall_closed: Option<f64>,
    /// The same of strangers.
    pub(super) recall_open: Option<f64>,
    /// 95 % intervals of some of these shares (Wilson).
    pub(super) intervals: BTreeMap<&'static str, Interval>,
}

impl Share {
    fn of(images: usize, all: usize) -> Self {
        Self { images, share: images as f64 / all.max(1) as f64 }
    }

    fn words(self) -> String {
        format!("{} ({})", self.images, percent(self.share))
    }
}

impl Findings {
    pub(super) fn new(subject: &Subject, places: &Places, cleaned: &Cleaned, most: MostAngle, folder: &Path) -> Self {
        let (source, all) = (&subject.source, subject.source.len());
        let groups = places.groups(most, |_| false);
        let unreadable = all - groups.all();
        Self {
            run: subject.run.path().display().to_string(),
            angle: most.degrees(),
            sub_centers: subject.per_class(),
            images: all,
            identities: source.num_identities(),
            kept: Share::of(cleaned.kept.len(), all),
            dropped: Share::of(all - cleaned.kept.len(), all),
            unreadable,
            dominant: Share::of(groups.dominant.all(), groups.all()),
            non_dominant: Share::of(groups.other.all(), groups.all()),
            identities_kept: cleaned.classes.len(),
            identities_emptied: cleaned.emptied.iter().map(|label| source.identity(*label)).collect(),
            truth: subject.planted.as_ref().map(|planted| {
                let of = |kind: &dyn Fn(Truth) -> bool| places.groups(most, |index| kind(planted.truth(index)));
                let recall = |kind: Truth| of(&|truth| truth == kind).recall();
                AgainstTruth::new(&of(&Truth::is_noisy), recall(Truth::Closed), recall(Truth::Open))
            }),
            folder: folder.display().to_string(),
            retrained: None,
        }
    }

    /// Writes the document into `folder`.
    ///
    /// # Errors
    /// If the disk is full.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        output::file(&folder.join("purify.json"), &(serde_json::to_string_pretty(self)? + "\n"))
    }

    /// Names and values for people.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            (
                "images",
                format!("{} of {} identities, {} sub-centers each", self.images, self.identities, self.sub_centers),
            ),
            ("nearest to the dominant", self.dominant.words()),
            ("nearest to another", self.non_dominant.words()),
            ("dropped", format!("{} beyond {}°", self.dropped.words(), self.angle)),
            ("kept", format!("{} of {} identities", self.kept.words(), self.identities_kept)),
        ];
        if 0 < self.unreadable {
            rows.push(("unreadable", format!("{} of the dropped", self.unreadable)));
        }
        if let [first, more @ ..] = &self.identities_emptied[..] {
            let others = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            rows.push(("identities left out", format!("{first}{others}")));
        }
        rows.extend(self.truth.iter().flat_map(AgainstTruth::rows));
        rows
    }

    /// The rows as lines.
    pub(super) fn words(&self) -> String {
        let rows = self.rows().into_iter().chain([("report", self.folder.clone())]);
        rows.fold(String::new(), |text, (name, value)| text + &format!("{name:<24}{value}\n"))
    }
}

impl AgainstTruth {
    fn new(groups: &Groups, recall_closed: Option<f64>, recall_open: Option<f64>) -> Self {
        let all = groups.all();
        let kept = all - groups.dropped.all();
        let (dominant, dropped) = (groups.dominant, groups.dropped);
        let counted = [
            ("noise", groups.noisy(), all),
            ("noise_in_dominant", dominant.noisy, dominant.all()),
            ("noise_in_kept", groups.noisy() - dropped.noisy, kept),
            ("precision", dropped.noisy, dropped.all()),
            ("recall", dropped.noisy, groups.noisy()),
        ];
        let intervals = counted.into_iter().filter_map(|(name, count, of)| Some((name, share(count, of, LEVEL)?)));
        Self {
            dominant_clean: Share::of(groups.dominant.clean, all),
            dominant_noisy: Share::of(groups.dominant.noisy, all),
            non_dominant_clean: Share::of(groups.other.clean, all),
            non_dominant_noisy: Share::of(groups.other.noisy, all),
            noise: (0 < all).then(|| groups.noisy() as f64 / all as f64),
            noise_in_dominant: groups.dominant.noise(),
            noise_in_kept: (0 < kept).then(|| (groups.noisy() - groups.dropped.noisy) as f64 / kept as f64),
            precision: groups.precision(),
            recall: groups.recall(),
            recall_closed,
            recall_open,
            intervals: intervals.collect(),
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let rate = |rate: Option<f64>| rate.map_or_else(|| "none to tell by".to_owned(), percent);
        let counted = |value: Option<f64>, name: &str| match self.intervals.get(name) {
            Some(interval) => format!("{} ({} to {})", rate(value), percent(interval.low), percent(interval.high)),
            None => rate(value),
        };
        vec![
            ("dominant, clean", self.dominant_clean.words()),
            ("dominant, noisy", self.dominant_noisy.words()),
            ("non-dominant, clean", self.non_dominant_clean.words()),
            ("non-dominant, noisy", self.non_dominant_noisy.words()),
            ("noise before", counted(self.noise, "noise")),
            ("noise in the dominant", counted(self.noise_in_dominant, "noise_in_dominant")),
            ("noise in what is kept", counted(self.noise_in_kept, "noise_in_kept")),
            ("precision of the drop", counted(self.precision, "precision")),
            ("recall of the drop", counted(self.recall, "recall")),
            ("recall, wrong labels", rate(self.recall_closed)),
            ("recall, strangers", rate(self.recall_open)),
        ]
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
