//! `cargo xtask bench eval`: IJB-C's protocol beside numpy in turns, and all pairs of two sets beside the bare matrix
//! product.
//! Knows no network: embeddings are drawn.

mod ijb;
mod pairs;
mod shape;

use anyhow::bail;
use serde::Serialize;
use serde_json::json;

use self::shape::IJB_C;
use super::peer::Peer;
use super::scratch::Scratch;
use crate::cli::EvalBenchArguments;
use crate::output;

/// Each side is measured so often.
const ROUNDS: usize = 3;

/// What is asked of a figure.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    figure: String,
    value: f64,
    unit: &'static str,
    bound: Bound,
    holds: bool,
}

/// On which side of which number it must lie.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bound {
    /// Not below.
    AtLeast(f64),
    /// Not above.
    AtMost(f64),
}

impl Row {
    fn new(figure: &str, value: f64, unit: &'static str, bound: Bound) -> Self {
        let holds = match bound {
            Bound::AtLeast(least) => least <= value,
            Bound::AtMost(most) => value <= most,
        };
        Self { figure: figure.to_owned(), value, unit, bound, holds }
    }

    fn line(&self) -> String {
        let Self { figure, value, unit, bound, holds } = self;
        let bound = match bound {
            Bound::AtLeast(least) => format!("≥ {least}"),
            Bound::AtMost(most) => format!("≤ {most}"),
        };
        let verdict = if *holds { "holds" } else { "BROKEN" };
        format!("{figure:<46}  {value:>9.3} {unit:<5}  {bound:>8}  {verdict}\n")
    }
}

/// Measures, and prints the figures.
///
/// # Errors
/// If there is no numpy, a side fails, or with `--check` a figure misses its bound.
pub(super) fn run(arguments: &EvalBenchArguments) -> anyhow::Result<()> {
    let peer = Peer::find(&["numpy"])?;
    let (shape, rounds) = if arguments.quick { (IJB_C.part(100), 1) } else { (IJB_C, ROUNDS) };
    let scratch = Scratch::new(None)?;
    let ijb = ijb::measure(&shape, rounds, &peer, &scratch)?;
    let pairs = pairs::measure(if arguments.quick { 1024 } else { 8192 }, rounds)?;
    let rows: Vec<Row> = ijb.rows().into_iter().chain(pairs.rows()).collect();
    if arguments.json {
        output::json(&json!({ "rows": rows, "ijb": ijb, "all_pairs": pairs, "numpy": peer.version }))?;
    } else {
        let lines: String = rows.iter().map(Row::line).collect();
        output::text(&format!("{}\n{lines}{}\n", ijb.words(), pairs.words()))?;
    }
    let broken: Vec<&str> = rows.iter().filter(|row| !row.holds).map(|row| row.figure.as_str()).collect();
    if arguments.check && !broken.is_empty() {
        bail!("beyond the bounds: {}", broken.join(", "));
    }
    Ok(())
}

/// The middle one of some numbers, 0 of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
    f64::midpoint(at(sorted.len() / 2), at(sorted.len().saturating_sub(1) / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_holds_on_its_side_of_the_bound() {
        let holds = |value, bound| Row::new("figure", value, "s", bound).holds;
        assert!(holds(5.0, Bound::AtLeast(5.0)) && !holds(4.9, Bound::AtLeast(5.0)));
        assert!(holds(5.0, Bound::AtMost(5.0)) && !holds(5.1, Bound::AtMost(5.0)));
        assert!(!holds(f64::NAN, Bound::AtMost(5.0)) && !holds(f64::NAN, Bound::AtLeast(5.0)));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12 && (median(&[4.0, 1.0]) - 2.5).abs() < 1e-12);
    }
}
