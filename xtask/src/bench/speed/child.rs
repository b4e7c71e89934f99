//! A side as a process of its own that does what it is told and sleeps in between.
//! Knows no work; commands go in, answers come out, a line each.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};

use super::protocol::{Answer, Ran, Ready, Request, Side, Task};
use crate::interrupt;

/// The process.
#[derive(Debug)]
pub(super) struct SideProcess {
    side: Side,
    process: Child,
    /// Taken away to say that there is no more to do.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl SideProcess {
    /// Starts `command`, which is to be `side`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(side: Side, mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("{} could not be started", side.label()))?;
        let requests = process.stdin.take();
        let answers = process.stdout.take().context("a process without stdout")?;
        Ok(Self { side, process, requests, answers: BufReader::new(answers) })
    }

    /// Has it prepare `task`; or why it cannot: what is not installed.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn prepare(&mut self, threads: usize, task: &Task) -> anyhow::Result<Result<Ready, String>> {
        match self.ask(&Request::Prepare { side: self.side, threads, task: task.clone() })? {
            Answer::Ready(ready) => Ok(Ok(ready)),
            Answer::Missing(what) => Ok(Err(what)),
            answer => Err(self.unexpected("ready", &answer)),
        }
    }

    /// Has it do its task so many times.
    ///
    /// # Errors
    /// If that fails, or the time is none.
    pub(super) fn run(&mut self, repetitions: u64) -> anyhow::Result<Ran> {
        match self.ask(&Request::Run { repetitions })? {
            Answer::Ran(ran) if 0.0 < ran.seconds && ran.seconds.is_finite() => Ok(ran),
            answer => Err(self.unexpected("the time it took", &answer)),
        }
    }

    /// Waits for it to go.
    ///
    /// # Errors
    /// If it does not go in peace.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.requests = None;
        let status = self.process.wait().with_context(|| self.side.label().to_owned())?;
        interrupt::check()?;
        if !status.success() {
            bail!("{}: {status}; its own words stand above", self.side.label());
        }
        Ok(())
    }

    fn ask(&mut self, request: &Request) -> anyhow::Result<Answer> {
        interrupt::check()?;
        let line = serde_json::to_string(request)? + "\n";
        let sent = self.requests.as_mut().map(|requests| requests.write_all(line.as_bytes()));
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer).with_context(|| self.side.label().to_owned())?;
        // Ctrl-C reaches the process too: what ended it is then no fault of its.
        interrupt::check()?;
        if read == 0 || matches!(sent, Some(Err(_))) {
            let status = self.process.wait().with_context(|| self.side.label().to_owned())?;
            bail!("{}: ended without an answer ({status}); its own words stand above", self.side.label());
        }
        let place = || format!("{}: expected an answer, got `{}`", self.side.label(), answer.trim_end());
        serde_json::from_str(&answer).with_context(place)
    }

    fn unexpected(&self, expected: &str, answer: &Answer) -> anyhow::Error {
        match answer {
            Answer::Error(why) => anyhow::anyhow!("{}: {why}", self.side.label()),
            other => anyhow::anyhow!("{}: expected {expected}, got {other:?}", self.side.label()),
        }
    }
}

impl Drop for SideProcess {
    fn drop(&mut self) {
        // One that has gone already cannot be ended, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
