//! Progress of long work on stderr: a bar on a terminal, elsewhere a line now and then.
//! Knows no work; it is told how much of it is done.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Lines are at least this far apart, so that a log does not fill with them.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// How far some work has come; dropped before its end, the bar vanishes.
#[derive(Debug)]
pub(crate) struct Progress {
    what: String,
    unit: String,
    total: u64,
    /// Hidden where stderr is no terminal.
    bar: ProgressBar,
    /// What was done when it was first told, and when that was: work that goes on does not begin at nothing.
    first: Cell<Option<(u64, Instant)>>,
    last_line: Cell<Instant>,
}

impl Progress {
    /// The work `what`, of which there are `total` units.
    pub(crate) fn new(what: &str, unit: &str, total: u64) -> Self {
        let style = ProgressStyle::with_template("{prefix} {bar:20} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            what: what.to_owned(),
            unit: unit.to_owned(),
            total,
            bar: ProgressBar::new(total).with_style(style).with_prefix(what.to_owned()),
            first: Cell::new(None),
            last_line: Cell::new(Instant::now()),
        }
    }

    /// `done` units are done; `message` stands behind rate and time left and may be empty.
    pub(crate) fn at(&self, done: u64, message: &str) {
        let standing = Standing { done, total: self.total, unit: &self.unit, rate: self.rate(done) };
        if !self.bar.is_hidden() {
            self.bar.set_message(standing.words(message));
            self.bar.set_position(done);
        } else if BETWEEN_LINES <= self.last_line.get().elapsed() {
            self.last_line.set(Instant::now());
            eprintln!("{}: {}", self.what, standing.words(message));
        }
    }

    /// Prints a line, above the bar where there is one.
    pub(crate) fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Units per second since the first that we were told of.
    fn rate(&self, done: u64) -> Option<f64> {
        let (start, since) = self.first.get().unwrap_or_else(|| (done, Instant::now()));
        self.first.set(Some((start, since)));
        let (units, seconds) = (done.saturating_sub(start), since.elapsed().as_secs_f64());
        (0 < units && 0.0 < seconds).then(|| units as f64 / seconds)
    }
}

/// Where the work stands.
struct Standing<'a> {
    done: u64,
    total: u64,
    unit: &'a str,
    /// Units per second, once there is something to measure.
    rate: Option<f64>,
}

impl Standing<'_> {
    fn words(&self, message: &str) -> String {
        let Self { done, total, unit, .. } = self;
        let mut words = vec![format!("{done} of {total} {unit}")];
        if let Some(rate) = self.rate {
            let left = total.saturating_sub(*done) as f64 / rate;
            words.extend([format!("{} {unit}/s", short(rate)), format!("{} left", duration(left))]);
        }
        words.extend((!message.is_empty()).then(|| message.to_owned()));
        words.join(", ")
    }
}

/// One decimal where it says something.
fn short(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

fn duration(seconds: f64) -> String {
    match seconds.ceil() as u64 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(done: u64, rate: Option<f64>, message: &str, expected: &str) {
        assert_eq!(Standing { done, total: 4000, unit: "img", rate }.words(message), expected);
    }

    #[test]
    fn words_hold_what_is_known() {
        check(0, None, "", "0 of 4000 img");
        check(1200, Some(152.4), "", "1200 of 4000 img, 152 img/s, 19 s left");
        check(1200, Some(0.25), "loss 3.2", "1200 of 4000 img, 0.2 img/s, 3 h 06 min left, loss 3.2");
        check(4000, Some(20.0), "", "4000 of 4000 img, 20 img/s, 0 s left");
        check(4100, Some(20.0), "", "4100 of 4000 img, 20 img/s, 0 s left");
    }

    #[test]
    fn durations_are_rounded_up_and_short() {
        assert_eq!(
            [0.0, 59.2, 61.0, 3600.0, 7500.0].map(duration),
            ["0 s", "1 min", "2 min", "1 h 00 min", "2 h 05 min"]
        );
        assert!(duration(f64::INFINITY).ends_with("min"));
    }

    #[test]
    fn work_that_goes_on_is_measured_from_where_it_began() {
        let progress = Progress::new("test", "img", 100);
        assert_eq!(progress.rate(90), None);
        std::thread::sleep(Duration::from_millis(20));
        assert!(progress.rate(91).unwrap() <= 50.0);
    }
}
