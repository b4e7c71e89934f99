//! A cell as processes of this very program, so that it may fail, be stopped and be gone on with by itself.
//! Knows no table; a cell goes in, and it is finished, failed or stopped.

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::cells::{Cell, Purified, Work};
use super::faces::Aims;
use super::folder::{Cells, State};
use crate::cli::ConfigArguments;
use crate::interrupt;

/// How often a process is asked whether it has ended.
const PAUSE: Duration = Duration::from_millis(50);
/// A process that was asked to stop finishes its step and writes a checkpoint; longer than this it does not get.
const PATIENCE: Duration = Duration::from_mins(2);

/// Starts processes.
#[derive(Debug)]
pub(super) struct Runner {
    program: PathBuf,
    /// Threads of each.
    threads: usize,
    /// Held while the images of a run are measured, which two cells that purify it would do at the same time.
    measuring: Mutex<()>,
}

impl Runner {
    /// For `jobs` cells side by side, which share the cores.
    ///
    /// # Errors
    /// If this program's own file is not known.
    pub(super) fn new(jobs: NonZeroUsize) -> anyhow::Result<Self> {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let program = std::env::current_exe().context("the file of this program")?;
        Ok(Self { program, threads: (cores / jobs).max(1), measuring: Mutex::default() })
    }

    /// Trains the network of `cell` from `state` on and verifies it; the inner error is why it failed.
    ///
    /// # Errors
    /// If the user interrupts, or files of ours cannot be written.
    pub(super) fn finish(&self, folder: &Cells, cell: &Cell, state: State) -> anyhow::Result<Result<(), String>> {
        let log = folder.log(cell);
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let mut commands = Vec::new();
        match state {
            State::Finished | State::Verified | State::Trained => {}
            State::Begun => commands.push(self.resume(folder, cell)),
            State::New => {
                folder.clear(cell)?;
                match &cell.work {
                    Work::Train(arguments) => commands.push(self.train(folder, cell, arguments)),
                    Work::Purify(purified) => {
                        let _held = self.measuring.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Err(why) = run(&mut self.purify(folder, purified), &file, &log)? {
                            return Ok(Err(why));
                        }
                        commands.push(self.train_again(folder, cell, purified));
                    }
                }
            }
        }
        commands.extend(self.benchmarks(folder, cell));
        for mut command in commands {
            if let Err(why) = run(&mut command, &file, &log)? {
                return Ok(Err(why));
            }
        }
        Ok(Ok(()))
    }

    /// Makes the faces of `cell` that are to be made, its judge being trained; the inner error is why it failed.
    ///
    /// # Errors
    /// If the user interrupts, or files of ours cannot be written.
    pub(super) fn make_faces(&self, folder: &Cells, cell: &Cell) -> anyhow::Result<Result<(), String>> {
        let log = folder.log(cell);
        let file = File::options().append(true).create(true).open(&log).with_context(|| log.display().to_string())?;
        for aims in folder.aims_left(cell) {
            if let Err(why) = run(&mut self.synth(folder, cell, aims), &file, &log)? {
                return Ok(Err(format!("synth: {why}")));
            }
        }
        Ok(Ok(()))
    }

    fn synth(&self, folder: &Cells, cell: &Cell, aims: Aims) -> Command {
        let mut command = self.command();
        command.arg("synth").arg(folder.run(cell)).arg("--seed").arg(cell.seed.to_string());
        command.args(cell.judge.iter().flat_map(|judge| ["--judge".into(), folder.path().join(judge)]));
        command.args(folder.synth().map(|synth| aims.arguments(synth)).unwrap_or_default());
        command.arg("--out").arg(folder.faces(cell, aims));
        command
    }

    fn train(&self, folder: &Cells, cell: &Cell, arguments: &ConfigArguments) -> Command {
        let mut command = self.command();
        command.arg("train").args(&arguments.config).arg("--name").arg(&cell.name).arg("--runs").arg(folder.path());
        arguments.set.iter().for_each(|assignment| {
            command.arg("--set").arg(assignment);
        });
        command
    }

    fn resume(&self, folder: &Cells, cell: &Cell) -> Command {
        let mut command = self.command();
        command.args(["train", "--resume", "--name"]).arg(&cell.name).arg("--runs").arg(folder.path());
        command
    }

    /// Measures the images of a cell and reports, in its own folder.
    fn purify(&self, folder: &Cells, purified: &Purified) -> Command {
        let mut command = self.command();
        command.arg("purify").arg(folder.path().join(&purified.cell));
        command.arg("--angle").arg(purified.angle.to_string()).args(["--on-empty", "skip"]);
        command
    }

    /// The same, of images that are measured already, and training on what is left.
    fn train_again(&self, folder: &Cells, cell: &Cell, purified: &Purified) -> Command {
        let mut command = self.purify(folder, purified);
        command.args(["--retrain", "--name"]).arg(&cell.name);
        command
    }

    fn benchmarks<'a>(&'a self, folder: &'a Cells, cell: &'a Cell) -> impl Iterator<Item = Command> + 'a {
        let left = folder.benchmarks_left(cell);
        left.map(move |benchmark| {
            let mut command = self.command();
            command.arg("eval").arg(folder.run(cell)).arg("--bin").arg(&benchmark.bin);
            command.arg("--out").arg(folder.benchmark(cell, benchmark));
            command
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("RAYON_NUM_THREADS", self.threads.to_string()).env_remove("RUST_BACKTRACE");
        command
    }
}

/// Runs a process to its end, its words going into `log`; the inner error is its last one.
fn run(command: &mut Command, file: &File, log: &Path) -> anyhow::Result<Result<(), String>> {
    let place = || log.display().to_string();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file.try_clone().with_context(place)?);
    alone(command);
    let mut process = Process(command.spawn().context("this program could not be started again")?);
    let status = process.wait()?;
    // One that ended in peace is finished, whatever the user asks for meanwhile.
    if status.success() {
        return Ok(Ok(()));
    }
    interrupt::check()?;
    Ok(Err(last_words(log).unwrap_or_else(|| status.to_string())))
}

/// Ctrl-C reaches us alone, and we pass it on once: twice would end a process before its checkpoint.
#[cfg(unix)]
fn alone(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn alone(_: &mut Command) {}

/// Its last error, or else its last line.
fn last_words(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let last = text.lines().rfind(|line| !line.trim().is_empty())?;
    Some(last.strip_prefix("error: ").unwrap_or(last).to_owned())
}

/// A process that does not outlive us.
struct Process(Child);

impl Process {
    fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let mut asked: Option<Instant> = None;
        loop {
            if let Some(status) = self.0.try_wait().context("a process of ours")? {
                return Ok(status);
            }
            if asked.is_none() && interrupt::check().is_err() {
                asked = Some(Instant::now());
                self.ask_to_stop();
            }
            if asked.is_some_and(|since| PATIENCE < since.elapsed()) {
                // It is gone on with from its last checkpoint.
                let _ = self.0.kill();
            }
            sleep(PAUSE);
        }
    }

    #[cfg(unix)]
    fn ask_to_stop(&mut self) {
        let asked = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.0.kill();
        }
    }

    /// The console's Ctrl-C has reached it.
    #[cfg(not(unix))]
    fn ask_to_stop(&mut self) {}
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has gone already cannot be ended, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
