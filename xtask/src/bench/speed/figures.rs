//! Measured times and memory → figures, and what of its bounds each reaches.
//! Knows no process and no table.

use anyhow::bail;
use serde::Serialize;

use super::measure::Measured;
use super::protocol::{Side, Task};
use super::work::{Bounds, Figure, Target};

/// Bytes of a megabyte.
pub(super) const MEGABYTE: f64 = 1e6;

/// Median, smallest and largest of some values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// One figure beside its bounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) figure: Figure,
    /// Seconds, or bytes.
    pub(super) ours: f64,
    /// The best of the peers, in seconds or bytes.
    pub(super) peer: Option<Best>,
    /// A ratio; for [`Figure::ExtraMemory`] megabytes.
    pub(super) value: f64,
    pub(super) bounds: Option<Bounds>,
    pub(super) reached: Option<Reached>,
}

/// The best of some sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Best {
    pub(super) side: Side,
    pub(super) value: f64,
}

/// What of its bounds a figure reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reached {
    Nothing,
    Least,
    Goal,
}

impl Spread {
    /// That of `values`; NaN of none.
    pub(super) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let count = sorted.len();
        let median = f64::midpoint(at(count.saturating_sub(1) / 2), at(count / 2));
        Self { median, min: at(0), max: at(count.saturating_sub(1)) }
    }
}

impl Row {
    /// The figure that `target` names; `None` where the system told no memory.
    pub(super) fn new(target: &Target, task: &Task, sides: &[Measured]) -> Option<Self> {
        let own = sides.iter().find(|measured| measured.side == Side::Ours)?;
        let (ours, peer, value) = match target.figure {
            Figure::Speed => {
                let (ours, peer) = (median(own), best(sides, |side| Some(median(side)))?);
                (ours, Some(peer), peer.value / ours)
            }
            Figure::Memory => {
                let (ours, peer) = (own_bytes(own)?, best(sides, own_bytes)?);
                (ours, Some(peer), ours / peer.value)
            }
            Figure::ExtraMemory => {
                // A head that never holds all of these has less than none.
                let extra = own_bytes(own)? - head_bytes(task);
                (extra, None, extra / MEGABYTE)
            }
        };
        let reached = target.bounds.map(|bounds| reached(target.figure, value, bounds));
        Some(Self { name: target.name, figure: target.figure, ours, peer, value, bounds: target.bounds, reached })
    }
}

/// Every figure below its least is an error that names all of them.
///
/// # Errors
/// As said.
pub(super) fn check(rows: &[Row]) -> anyhow::Result<()> {
    let missed = rows.iter().filter(|row| row.reached == Some(Reached::Nothing));
    let words: Vec<String> = missed.filter_map(missed_words).collect();
    if !words.is_empty() {
        bail!("{} of {} figures miss what is asked of them: {}", words.len(), rows.len(), words.join(", "));
    }
    Ok(())
}

fn missed_words(row: &Row) -> Option<String> {
    let (side, Bounds { least, .. }) = (if is_better_larger(row.figure) { "least" } else { "most" }, row.bounds?);
    Some(format!("{} {:.2} (at {side} {least})", row.name, row.value))
}

fn median(side: &Measured) -> f64 {
    Spread::of(&side.seconds).median
}

/// The peer with the smallest value.
fn best(sides: &[Measured], value: impl Fn(&Measured) -> Option<f64>) -> Option<Best> {
    let peers = sides.iter().filter(|measured| measured.side != Side::Ours);
    let values = peers.filter_map(|peer| Some(Best { side: peer.side, value: value(peer)? }));
    values.min_by(|a, b| a.value.total_cmp(&b.value))
}

/// Peak memory without what the process held before: Python and its libraries are large, and one build of PyTorch larger
/// than another.
fn own_bytes(side: &Measured) -> Option<f64> {
    Some(side.peak_bytes? as f64 - side.begun_with_bytes? as f64)
}

/// Bytes of the class centers, their gradient and their momentum, in f32.
fn head_bytes(task: &Task) -> f64 {
    let Task::Head { config, classes } = task else { return 0.0 };
    let size = crate::trainer::backbone_config(config).embedding_size;
    (3 * classes * size * size_of::<f32>()) as f64
}

fn reached(figure: Figure, value: f64, bounds: Bounds) -> Reached {
    let reaches = |bound: f64| if is_better_larger(figure) { bound <= value } else { value <= bound };
    match (reaches(bounds.least), reaches(bounds.goal)) {
        (_, true) => Reached::Goal,
        (true, false) => Reached::Least,
        (false, false) => Reached::Nothing,
    }
}

fn is_better_larger(figure: Figure) -> bool {
    figure == Figure::Speed
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a side might have come to.
    pub(in super::super) fn measured(side: Side, seconds: &[f64], peak_bytes: u64) -> Measured {
        Measured {
            side,
            items: 32,
            repetitions: 2,
            seconds: seconds.to_vec(),
            begun_with_bytes: Some(10_000_000),
            peak_bytes: Some(peak_bytes),
        }
    }

    fn row(figure: Figure, bounds: [f64; 2], sides: &[Measured]) -> Row {
        let [least, goal] = bounds;
        let target = Target { name: "work", figure, bounds: Some(Bounds { least, goal }) };
        let config = crate::config::choose(&crate::cli::ConfigArguments::default()).unwrap().config;
        // 3 × 1000 × 128 × 4 bytes.
        Row::new(&target, &Task::Head { config: Box::new(config), classes: 1000 }, sides).unwrap()
    }

    fn sides() -> [Measured; 3] {
        [
            measured(Side::Ours, &[0.5, 0.4, 0.9], 20_000_000),
            measured(Side::Torch, &[2.0, 1.0, 3.0], 40_000_000),
            measured(Side::TorchChannelsLast, &[1.5, 0.75], 50_000_000),
        ]
    }

    #[test]
    fn spreads_are_of_sorted_values() {
        let spread = |median, min, max| Spread { median, min, max };
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), spread(2.0, 1.0, 3.0));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), spread(2.5, 1.0, 4.0));
        assert_eq!(Spread::of(&[0.5]), spread(0.5, 0.5, 0.5));
        assert!(Spread::of(&[]).median.is_nan());
    }

    #[test]
    fn speed_is_that_of_the_fastest_peer_by_ours() {
        let row = row(Figure::Speed, [2.0, 3.0], &sides());
        let best = row.peer.unwrap();
        assert_eq!((best.side, row.reached), (Side::TorchChannelsLast, Some(Reached::Least)));
        assert!((row.value - 1.125 / 0.5).abs() < 1e-12, "{row:?}");
    }

    #[test]
    fn memory_is_ours_by_that_of_the_most_frugal_peer() {
        let row = row(Figure::Memory, [0.8, 0.5], &sides());
        assert_eq!((row.peer.unwrap().side, row.reached), (Side::Torch, Some(Reached::Goal)));
        assert!((row.value - 10.0 / 30.0).abs() < 1e-12, "{row:?}");
    }

    #[test]
    fn extra_memory_is_without_what_every_head_holds() {
        let row = row(Figure::ExtraMemory, [8.0, 4.0], &sides());
        assert_eq!((row.peer, row.reached), (None, Some(Reached::Nothing)));
        assert!((row.value - (20.0 - 10.0 - 1.536)).abs() < 1e-12, "{row:?}");
    }

    #[test]
    fn untold_memory_is_no_figure() {
        let [mut ours, torch, _] = sides();
        ours.peak_bytes = None;
        let target = Target { name: "work", figure: Figure::Memory, bounds: None };
        let config = crate::config::choose(&crate::cli::ConfigArguments::default()).unwrap().config;
        let task = Task::Inference { config: Box::new(config) };
        assert!(Row::new(&target, &task, &[ours, torch]).is_none());
    }

    #[test]
    fn what_is_missed_is_named() {
        let rows = [
            row(Figure::Speed, [2.0, 3.0], &sides()),
            row(Figure::Speed, [2.5, 3.0], &sides()),
            row(Figure::ExtraMemory, [8.0, 4.0], &sides()),
        ];
        assert!(check(&rows[..1]).is_ok());
        insta::assert_snapshot!(check(&rows).unwrap_err(), @"2 of 3 figures miss what is asked of them: work 2.25 (at least 2.5), work 8.46 (at most 8)");
    }
}
