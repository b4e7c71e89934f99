//! What was measured on, and when: the processor's name, how busy it was, and the day.
//! Knows no work.

use std::time::{SystemTime, UNIX_EPOCH};

/// The processor, by the name that the system has for it, else by its architecture.
pub(super) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    model_name(&text).unwrap_or(std::env::consts::ARCH).to_owned()
}

/// The first `model name` of Linux's list of processors.
fn model_name(list: &str) -> Option<&str> {
    list.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()))
}

/// Above this load a machine is busy with something else.
const BUSY: f64 = 0.5;

/// What is to be said of a machine that is busy before anything is measured; nothing where the system does not tell.
///
/// Threads of PyTorch that wait for each other keep their processors for a while, by the habit of the library that runs
/// them; on a busy machine that can double its times, and `OMP_WAIT_POLICY=PASSIVE` ends it.
pub(super) fn busy() -> Option<String> {
    busy_words(&std::fs::read_to_string("/proc/loadavg").ok()?)
}

fn busy_words(averages: &str) -> Option<String> {
    let load: f64 = averages.split_whitespace().next()?.parse().ok()?;
    (BUSY < load).then(|| {
        format!(
            "the machine was busy before (load {load}): trust no figure; OMP_WAIT_POLICY=PASSIVE helps PyTorch there"
        )
    })
}

/// Today in UTC, such as `2025-03-09`.
pub(super) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(seconds / 86_400)
}

/// The day that is so many days behind 1970-01-01, in the Gregorian calendar.
fn date(days: u64) -> String {
    let (mut year, mut left) = (1970, days);
    while days_of(year) <= left {
        left -= days_of(year);
        year += 1;
    }
    let february = days_of(year) - 337;
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", left + 1)
}

fn days_of(year: u64) -> u64 {
    let leaps = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    365 + u64::from(leaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        // date -u -d "1970-01-01 + N days" +%F
        let dates = [0, 58, 59, 364, 365, 11_016, 11_017, 19_782, 20_454, 47_540, 47_541].map(date);
        let expected = [
            "1970-01-01",
            "1970-02-28",
            "1970-03-01",
            "1970-12-31",
            "1971-01-01",
            "2000-02-29",
            "2000-03-01",
            "2024-02-29",
            "2026-01-01",
            "2100-02-28",
            "2100-03-01",
        ];
        assert_eq!(dates, expected);
    }

    #[test]
    fn a_busy_machine_is_noted() {
        insta::assert_snapshot!(busy_words("6.31 5.36 5.88 7/129 27173\n").unwrap(), @"the machine was busy before (load 6.31): trust no figure; OMP_WAIT_POLICY=PASSIVE helps PyTorch there");
        assert_eq!(busy_words("0.50 5.36 5.88 7/129 27173\n"), None);
        assert_eq!(busy_words(""), None);
    }

    #[test]
    fn the_processor_has_a_name() {
        assert_eq!(model_name("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n"), Some("Some CPU @ 3 GHz"));
        assert_eq!(model_name("processor\t: 0\n"), None);
        assert!(!processor().is_empty());
    }
}
