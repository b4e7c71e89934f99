//! A work done by all sides in turns: which sides there are, how often each repeats it, and how long that took.
//! Knows no figure and no bound; times come out as they were measured.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use super::child::SideProcess;
use super::protocol::{Ready, Side, Task};
use super::work::Turns;

/// A sample takes about this long at least, in seconds.
const SAMPLE: f64 = 0.3;
/// The warm-up ends with a sample of this length, in seconds; the number of repetitions follows from it.
const WARM: f64 = 0.1;
/// The warm-up ends with so many repetitions in any case.
const MOST_WARM: u64 = 4096;
/// Before a turn: threads of the side before, which spin a while for work to come, have gone to sleep.
const PAUSE: Duration = Duration::from_millis(50);

/// How a work is measured.
pub(super) struct Measure<'a> {
    /// Makes the process of a side.
    pub(super) command: &'a dyn Fn(Side) -> anyhow::Result<Command>,
    pub(super) threads: usize,
    pub(super) rounds: u64,
    pub(super) turns: Turns,
}

/// What one side came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    pub(super) side: Side,
    /// Images, or embeddings, of one repetition.
    pub(super) items: u64,
    /// Of one sample.
    pub(super) repetitions: u64,
    /// Of one repetition, a value per round.
    pub(super) seconds: Vec<f64>,
    /// Before anything was prepared, where the system tells.
    pub(super) begun_with_bytes: Option<u64>,
    /// At the end, where the system tells.
    pub(super) peak_bytes: Option<u64>,
}

/// What all sides of a work came to, ours first.
#[derive(Debug, Clone)]
pub(super) struct Sides {
    pub(super) measured: Vec<Measured>,
    /// Versions of what does the work.
    pub(super) versions: BTreeMap<String, String>,
    /// Sides that are not there, with what they lack.
    pub(super) missing: Vec<(Side, String)>,
}

/// A side on its way.
struct Contender {
    process: SideProcess,
    measured: Measured,
}

impl Measure<'_> {
    /// Measures `task`, called `name`, on all its sides.
    ///
    /// # Errors
    /// If a side fails, no peer is there, or sides do different amounts of work.
    pub(super) fn sides(&self, name: &str, task: &Task) -> anyhow::Result<Sides> {
        let mut sides = Sides { measured: Vec::new(), versions: BTreeMap::new(), missing: Vec::new() };
        match self.turns {
            Turns::Alternating => {
                let mut contenders = Vec::new();
                for side in task.sides() {
                    contenders.extend(self.contender(name, *side, task, &mut sides)?);
                }
                self.work(name, contenders, &mut sides)?;
            }
            Turns::OneAfterTheOther => {
                for side in task.sides() {
                    let contender = self.contender(name, *side, task, &mut sides)?;
                    self.work(name, contender.into_iter().collect(), &mut sides)?;
                }
            }
        }
        sides.check().with_context(|| name.to_owned())?;
        Ok(sides)
    }

    /// A side that is ready; or none, and what it lacks is noted.
    fn contender(&self, name: &str, side: Side, task: &Task, sides: &mut Sides) -> anyhow::Result<Option<Contender>> {
        eprintln!("{name}: {} prepares", side.label());
        let mut process = SideProcess::start(side, (self.command)(side)?)?;
        match process.prepare(self.threads, task).with_context(|| name.to_owned())? {
            Ok(Ready { items, peak_bytes, versions }) => {
                sides.versions.extend(versions);
                let measured = Measured {
                    side,
                    items,
                    repetitions: 1,
                    seconds: Vec::new(),
                    begun_with_bytes: peak_bytes,
                    peak_bytes,
                };
                Ok(Some(Contender { process, measured }))
            }
            Err(what) => {
                eprintln!("{name}: {} is left out: {what}", side.label());
                sides.missing.push((side, what));
                Ok(None)
            }
        }
    }

    fn work(&self, name: &str, mut contenders: Vec<Contender>, sides: &mut Sides) -> anyhow::Result<()> {
        let place = || name.to_owned();
        for contender in &mut contenders {
            sleep(PAUSE);
            contender.warm_up().with_context(place)?;
        }
        for round in 1..=self.rounds {
            for contender in &mut contenders {
                sleep(PAUSE);
                contender.take_turn().with_context(place)?;
            }
            let words: Vec<String> = contenders.iter().map(Contender::words).collect();
            eprintln!("{name}: round {round} of {}: {}", self.rounds, words.join("; "));
        }
        for contender in contenders {
            contender.process.finish().with_context(place)?;
            sides.measured.push(contender.measured);
        }
        Ok(())
    }
}

impl Contender {
    /// Runs it until it has its pages and its speed, and chooses the repetitions of a sample.
    fn warm_up(&mut self) -> anyhow::Result<()> {
        self.process.run(1)?;
        let mut repetitions = 1;
        loop {
            let seconds = self.process.run(repetitions)?.seconds;
            if WARM <= seconds || MOST_WARM <= repetitions {
                self.measured.repetitions = repetitions_of_sample(repetitions, seconds);
                return Ok(());
            }
            repetitions *= 4;
        }
    }

    fn take_turn(&mut self) -> anyhow::Result<()> {
        let measured = &mut self.measured;
        let ran = self.process.run(measured.repetitions)?;
        measured.seconds.push(ran.seconds / measured.repetitions as f64);
        measured.peak_bytes = ran.peak_bytes;
        Ok(())
    }

    fn words(&self) -> String {
        let milliseconds = self.measured.seconds.last().map_or(f64::NAN, |seconds| 1e3 * seconds);
        format!("{} {milliseconds:.1} ms", self.measured.side.label())
    }
}

impl Sides {
    fn check(&self) -> anyhow::Result<()> {
        let Some(peer) = self.measured.iter().find(|measured| measured.side != Side::Ours) else {
            let lacks: Vec<&str> = self.missing.iter().map(|(_, what)| what.as_str()).collect();
            bail!("expected a peer to compare with, found none: {}", lacks.join("; "));
        };
        match self.measured.iter().find(|measured| measured.items != peer.items) {
            Some(other) => bail!(
                "expected all sides to do the same work, got {} items from {} and {} from {}",
                other.items,
                other.side.label(),
                peer.items,
                peer.side.label()
            ),
            None => Ok(()),
        }
    }
}

/// So many that a sample is long enough, when `repetitions` took `seconds`.
fn repetitions_of_sample(repetitions: u64, seconds: f64) -> u64 {
    (repetitions as f64 * SAMPLE / seconds).ceil().max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_long_enough() {
        assert_eq!(repetitions_of_sample(1, 2.0), 1);
        assert_eq!(repetitions_of_sample(4, 0.12), 10);
        assert_eq!(repetitions_of_sample(4096, 0.001), 1_228_800);
    }
}
