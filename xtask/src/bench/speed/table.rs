//! The figures as Markdown, to be read on a terminal and to stand in a README.
//! Knows no measuring; values come in.

use super::figures::{Best, MEGABYTE, Reached, Row, Spread};
use super::measure::Measured;
use super::work::Figure;
use Column::{Name, Number};

/// A column by its title: words stand on the left, numbers on the right.
#[derive(Debug, Clone, Copy)]
enum Column {
    Name(&'static str),
    Number(&'static str),
}

/// Every figure beside its bounds.
pub(super) fn rows(rows: &[Row]) -> String {
    let head = [
        Name("work"),
        Number("ours"),
        Number("the best peer"),
        Name("which"),
        Number("ratio"),
        Number("least"),
        Number("goal"),
        Name("reached"),
    ];
    markdown(&head, &rows.iter().map(row).collect::<Vec<_>>())
}

/// Every side of every work.
pub(super) fn sides<'a>(works: impl Iterator<Item = (&'a str, &'a [Measured])>) -> String {
    let head = [
        Name("work"),
        Name("side"),
        Number("median"),
        Number("fastest"),
        Number("slowest"),
        Number("per second"),
        Number("memory at first"),
        Number("at most"),
    ];
    let lines = works.flat_map(|(name, sides)| sides.iter().map(move |side| side_line(name, side)));
    markdown(&head, &lines.collect::<Vec<_>>())
}

fn row(row: &Row) -> Vec<String> {
    let value = |value: f64| if row.figure == Figure::Speed { milliseconds(value) } else { megabytes(value) };
    let (peer, which) = match row.peer {
        Some(Best { side, value: best }) => (value(best), side.label().to_owned()),
        None => (none(), none()),
    };
    // Megabytes are bounded themselves; the other figures are ratios.
    let (ratio, unit) =
        if row.figure == Figure::ExtraMemory { (none(), " MB") } else { (format!("{:.2}", row.value), "") };
    let bound = |bound: Option<f64>| bound.map_or_else(none, |bound| format!("{bound}{unit}"));
    let reached = match row.reached {
        Some(Reached::Nothing) => "**missed**".to_owned(),
        Some(Reached::Least) => "least".to_owned(),
        Some(Reached::Goal) => "goal".to_owned(),
        None => none(),
    };
    let (least, goal) = (row.bounds.map(|bounds| bounds.least), row.bounds.map(|bounds| bounds.goal));
    vec![row.name.to_owned(), value(row.ours), peer, which, ratio, bound(least), bound(goal), reached]
}

fn side_line(name: &str, side: &Measured) -> Vec<String> {
    let Spread { median, min, max } = Spread::of(&side.seconds);
    let memory = |bytes: Option<u64>| bytes.map_or_else(none, |bytes| megabytes(bytes as f64));
    vec![
        name.to_owned(),
        side.side.label().to_owned(),
        milliseconds(median),
        milliseconds(min),
        milliseconds(max),
        rate(side.items as f64 / median),
        memory(side.begun_with_bytes),
        memory(side.peak_bytes),
    ]
}

fn none() -> String {
    "–".to_owned()
}

fn milliseconds(seconds: f64) -> String {
    let value = 1e3 * seconds;
    let digits = if value < 10.0 { 2 } else { usize::from(value < 1000.0) };
    format!("{value:.digits$} ms")
}

fn megabytes(bytes: f64) -> String {
    let value = bytes / MEGABYTE;
    let digits = usize::from(value < 1000.0);
    format!("{value:.digits$} MB")
}

fn rate(value: f64) -> String {
    let digits = usize::from(value < 100.0);
    format!("{value:.digits$}")
}

/// A table whose source is as readable as what is made of it.
fn markdown(head: &[Column], lines: &[Vec<String>]) -> String {
    let titles: Vec<String> = head.iter().map(|column| column.title().to_owned()).collect();
    let width = |index: usize| {
        let cells = std::iter::once(&titles).chain(lines).filter_map(|line| line.get(index));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let columns: Vec<(Column, usize)> =
        head.iter().enumerate().map(|(index, column)| (*column, width(index))).collect();
    let rule = columns.iter().map(|(column, width)| column.rule(*width)).collect::<String>();
    let line = |cells: &Vec<String>| {
        let cells = columns.iter().zip(cells).map(|((column, width), text)| column.cell(text, *width));
        format!("|{}\n", cells.collect::<String>())
    };
    [line(&titles), format!("|{rule}\n")].into_iter().chain(lines.iter().map(line)).collect()
}

impl Column {
    fn title(self) -> &'static str {
        let (Name(title) | Number(title)) = self;
        title
    }

    fn cell(self, text: &str, width: usize) -> String {
        match self {
            Name(_) => format!(" {text:<width$} |"),
            Number(_) => format!(" {text:>width$} |"),
        }
    }

    fn rule(self, width: usize) -> String {
        let dashes = "-".repeat(width.saturating_sub(1));
        match self {
            Name(_) => format!(" {dashes}- |"),
            Number(_) => format!(" {dashes}: |"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::measured;
    use super::super::protocol::Side;
    use super::super::work::Bounds;
    use super::*;

    #[test]
    fn figures_stand_beside_their_bounds() {
        let speed = Row {
            name: "train-mobilefacenet-32",
            figure: Figure::Speed,
            ours: 0.5123,
            peer: Some(Best { side: Side::TorchChannelsLast, value: 0.8 }),
            value: 1.5616,
            bounds: Some(Bounds { least: 1.3, goal: 2.5 }),
            reached: Some(Reached::Least),
        };
        let memory = Row {
            name: "memory-iresnet50-16",
            figure: Figure::Memory,
            ours: 2.5e9,
            peer: Some(Best { side: Side::Torch, value: 3e9 }),
            value: 0.8333,
            bounds: Some(Bounds { least: 0.8, goal: 0.5 }),
            reached: Some(Reached::Nothing),
        };
        let extra = Row {
            name: "head-100000-memory",
            figure: Figure::ExtraMemory,
            ours: 12.34e6,
            peer: None,
            value: 12.34,
            bounds: Some(Bounds { least: 64.0, goal: 16.0 }),
            reached: Some(Reached::Goal),
        };
        let free = Row { name: "trial", ours: 0.001_234, bounds: None, reached: None, ..speed.clone() };
        insta::assert_snapshot!(rows(&[speed, memory, extra, free]), @r"
        | work                   |     ours | the best peer | which                  | ratio | least |  goal | reached    |
        | ---------------------- | -------: | ------------: | ---------------------- | ----: | ----: | ----: | ---------- |
        | train-mobilefacenet-32 | 512.3 ms |      800.0 ms | PyTorch, channels last |  1.56 |   1.3 |   2.5 | least      |
        | memory-iresnet50-16    |  2500 MB |       3000 MB | PyTorch                |  0.83 |   0.8 |   0.5 | **missed** |
        | head-100000-memory     |  12.3 MB |             – | –                      |     – | 64 MB | 16 MB | goal       |
        | trial                  |  1.23 ms |      800.0 ms | PyTorch, channels last |  1.56 |     – |     – | –          |
        ");
    }

    #[test]
    fn sides_stand_below_each_other() {
        let sides = [
            measured(Side::Ours, &[0.012_34, 0.012_3, 0.013], 123_456_789),
            Measured { peak_bytes: None, ..measured(Side::OnnxRuntime, &[1.5, 2.0], 0) },
        ];
        insta::assert_snapshot!(super::sides([("infer-mobilefacenet-32", &sides[..])].into_iter()), @r"
        | work                   | side         |  median | fastest | slowest | per second | memory at first |  at most |
        | ---------------------- | ------------ | ------: | ------: | ------: | ---------: | --------------: | -------: |
        | infer-mobilefacenet-32 | ours         | 12.3 ms | 12.3 ms | 13.0 ms |       2593 |         10.0 MB | 123.5 MB |
        | infer-mobilefacenet-32 | ONNX Runtime | 1750 ms | 1500 ms | 2000 ms |       18.3 |         10.0 MB |        – |
        ");
    }
}
