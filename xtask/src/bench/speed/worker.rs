//! `cargo xtask bench worker`: our side, which reads commands on stdin and answers on stdout, a line each.
//! Knows no other side and no round; it does what it is told, and says how long that took.

use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::{Context, bail};
use arcface_core::device;

use super::jobs::{self, Job};
use super::protocol::{Answer, Ran, Ready, Request};
use crate::host::{self, Computer};

/// Works until there are no more commands.
///
/// # Errors
/// If stdin or stdout fail; a command that cannot be done is an answer.
pub(crate) fn run() -> anyhow::Result<()> {
    serve(std::io::stdin().lock(), std::io::stdout().lock())
}

fn serve(requests: impl BufRead, mut answers: impl Write) -> anyhow::Result<()> {
    let mut job = None;
    for line in requests.lines() {
        let answer = answer(&line.context("stdin")?, &mut job);
        let answer = answer.unwrap_or_else(|error| Answer::Error(crate::describe(&error)));
        writeln!(answers, "{}", serde_json::to_string(&answer)?).and_then(|()| answers.flush()).context("stdout")?;
    }
    Ok(())
}

/// A job, and what computes it.
struct Working {
    job: Box<dyn Job>,
    computer: Computer,
}

impl Working {
    /// Does it so many times; a device has done all of it by then.
    fn run(&mut self, repetitions: u64) -> anyhow::Result<Ran> {
        let device = &self.computer.device;
        device.synchronize()?;
        let start = Instant::now();
        let spent = self.job.repeat(repetitions)?;
        device.synchronize()?;
        let spent = if device.is_cpu() { spent } else { start.elapsed() };
        Ok(Ran { seconds: spent.as_secs_f64(), peak_bytes: peak_bytes(&self.computer) })
    }
}

/// The most memory that was ever held: of the process on the CPU, of its tensors on another device.
fn peak_bytes(computer: &Computer) -> Option<u64> {
    if computer.device.is_cpu() { host::peak_memory_bytes() } else { device::peak_bytes(&computer.device) }
}

fn answer(line: &str, job: &mut Option<Working>) -> anyhow::Result<Answer> {
    let request = serde_json::from_str(line).with_context(|| format!("expected a command in JSON, got `{line}`"))?;
    match (request, job.as_mut()) {
        (Request::Prepare { side, threads, task }, None) if side.is_ours() => {
            let computer = Computer::of(task.config())?;
            // Before anything lies on a device, its driver has no peak to tell.
            let before = if computer.device.is_cpu() { None } else { Some(0) };
            let peak_bytes = peak_bytes(&computer).or(before);
            use_threads(threads)?;
            let prepared = jobs::prepare(side, &task)?;
            let versions = computer.words().map(|words| ("ours".to_owned(), words));
            let ready = Ready { items: prepared.items(), peak_bytes, versions: versions.into_iter().collect() };
            *job = Some(Working { job: prepared, computer });
            Ok(Answer::Ready(ready))
        }
        (Request::Prepare { side, .. }, Some(_)) if side.is_ours() => {
            bail!("prepare: expected once, got it again; begin a new process for another task")
        }
        (Request::Prepare { side, .. }, _) => bail!("side: expected `ours`, got `{side:?}`"),
        (Request::Run { .. }, None) => bail!("run: expected `prepare` before"),
        (Request::Run { repetitions }, Some(job)) => Ok(Answer::Ran(job.run(repetitions)?)),
    }
}

/// All our operators share rayon's pool, which is made once.
fn use_threads(threads: usize) -> anyhow::Result<()> {
    if threads < 1 {
        bail!("threads: expected at least 1, got 0");
    }
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("threads")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> String {
        let mut answers = Vec::new();
        serve(line.as_bytes(), &mut answers).unwrap();
        String::from_utf8(answers).unwrap()
    }

    #[test]
    fn what_cannot_be_done_is_answered_with_why() {
        insta::assert_snapshot!(check(r#"{"do": "run", "repetitions": 1}"#), @r#"{"error":"run: expected `prepare` before"}"#);
        insta::assert_snapshot!(check("go"), @r#"{"error":"expected a command in JSON, got `go`: expected value at line 1 column 1"}"#);
        insta::assert_snapshot!(check(r#"{"do": "stop"}"#), @r#"{"error":"expected a command in JSON, got `{\"do\": \"stop\"}`: unknown variant `stop`, expected `prepare` or `run` at line 1 column 13"}"#);
    }

    #[test]
    fn no_command_is_no_answer() {
        assert_eq!(check(""), "");
    }
}
