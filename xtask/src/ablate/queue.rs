//! Cells one after the other and side by side, with a line for each.
//! Knows no process and no file; it asks what is finished and has the rest finished.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::bail;

use super::cells::{Cell, Plan, Work};
use super::folder::{Cells, State};
use super::process::Runner;
use crate::interrupt::{self, Interrupted};
use crate::report::duration;

/// Finishes every cell that is not, and gives those that failed, each with its reason.
///
/// # Errors
/// If the user interrupts, or files of ours cannot be written.
pub(super) fn work(
    plan: &Plan,
    folder: &Cells,
    runner: &Runner,
    jobs: NonZeroUsize,
) -> anyhow::Result<BTreeMap<String, String>> {
    let is_verified = |cell: &&Cell| [State::Verified, State::Finished].contains(&folder.state(cell));
    let untrained: Vec<&Cell> = plan.cells.iter().filter(|cell| !is_verified(cell)).collect();
    let faceless: Vec<&Cell> = plan.cells.iter().filter(|cell| folder.aims_left(cell).next().is_some()).collect();
    let total = untrained.len() + faceless.len();
    let board = Mutex::new(Board { total, done: 0, since: Instant::now(), failures: BTreeMap::new() });
    // What is made of another cell comes after all that could be that cell.
    let (trained, purified): (Vec<&Cell>, _) =
        untrained.into_iter().partition(|cell| matches!(cell.work, Work::Train(_)));
    let stages = [(Task::Network, trained), (Task::Network, purified), (Task::Faces, faceless)];
    let ended = stages.into_iter().try_for_each(|(task, cells)| {
        let queue = Mutex::new(cells.into());
        let sitting = Sitting { folder, runner, task, queue: &queue, board: &board };
        sitting.work_by(jobs)
    });
    let board = lock(&board);
    let stopped = |error: anyhow::Error| {
        let how_far = format!("stopped with {} of {} cells to go; the same command goes on", board.left(), board.total);
        if error.is::<Interrupted>() { error.context(how_far) } else { error }
    };
    ended.map_err(stopped)?;
    Ok(board.failures.clone())
}

/// What is done with a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// It is trained and verified.
    Network,
    /// Faces are made of it.
    Faces,
}

/// What the workers share.
struct Sitting<'a> {
    folder: &'a Cells,
    runner: &'a Runner,
    task: Task,
    queue: &'a Mutex<VecDeque<&'a Cell>>,
    board: &'a Mutex<Board>,
}

impl Sitting<'_> {
    /// Works with so many workers side by side.
    fn work_by(&self, jobs: NonZeroUsize) -> anyhow::Result<()> {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs.get()).map(|_| scope.spawn(|| self.work())).collect();
            let ended: Vec<anyhow::Result<()>> = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|_| bail!("a worker of the ablation panicked")))
                .collect();
            ended.into_iter().collect()
        })
    }

    /// Takes cells until there are no more.
    fn work(&self) -> anyhow::Result<()> {
        loop {
            interrupt::check()?;
            // Not in the condition of a loop, which would hold the lock through its body.
            let next = lock(self.queue).pop_front();
            let Some(cell) = next else { return Ok(()) };
            let began = Instant::now();
            if lock(self.board).failures.contains_key(&cell.name) {
                lock(self.board).done += 1;
                continue;
            }
            let ended = match self.task {
                Task::Network => self.runner.finish(self.folder, cell, self.folder.state(cell))?,
                Task::Faces => self.runner.make_faces(self.folder, cell)?,
            };
            lock(self.board).note((cell, self.task), began.elapsed().as_secs_f64(), ended);
        }
    }
}

/// How far the cells have come.
#[derive(Debug)]
struct Board {
    /// Cells of this sitting.
    total: usize,
    done: usize,
    since: Instant,
    failures: BTreeMap<String, String>,
}

impl Board {
    fn note(&mut self, (cell, task): (&Cell, Task), seconds: f64, ended: Result<(), String>) {
        self.done += 1;
        let what = if task == Task::Faces { ", faces" } else { "" };
        let outcome = match &ended {
            Ok(()) => format!("done in {}", duration(seconds)),
            Err(why) => format!("failed: {why}"),
        };
        let standing = self.standing(self.since.elapsed().as_secs_f64());
        eprintln!("{standing}: {}, seed {}{what}: {outcome}", cell.row, cell.seed);
        if let Err(why) = ended {
            self.failures.insert(cell.name.clone(), why);
        }
    }

    fn left(&self) -> usize {
        self.total - self.done
    }

    /// Cells done, their rate, and the time that those left will take.
    fn standing(&self, seconds: f64) -> String {
        let rate = self.done as f64 / seconds.max(1e-9);
        let left = duration(self.left() as f64 / rate);
        format!("{} of {} cells, {:.1} a minute, {left} left", self.done, self.total, 60.0 * rate)
    }
}

/// What a worker that panicked left is as good as before: every change is one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_cells_done() {
        let board = Board { total: 45, done: 9, since: Instant::now(), failures: BTreeMap::new() };
        assert_eq!(board.standing(180.0), "9 of 45 cells, 3.0 a minute, 12 min 00 s left");
    }
}
