//! The command line: reads configuration, prints, and knows all the other crates.
//! Knows no mathematics; it calls those who do.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod ablate;
mod allocator;
mod assign;
mod bench;
mod census;
mod checkpoint;
mod cli;
mod config;
mod data;
mod difference;
mod digest;
mod embed;
mod embedded;
mod eval;
mod export;
mod figure;
mod finished;
mod gate;
mod host;
mod interrupt;
mod losses;
mod net;
mod outcomes;
mod output;
mod pretrained;
mod progress;
mod purify;
mod report;
mod run;
mod sheet;
mod sources;
mod synth;
mod train;
mod trainer;
mod upload;
mod verify;

use std::process::ExitCode;

use arcface_core::ops::simd;
use clap::Parser;

use cli::{Cli, Command};
use interrupt::Interrupted;

/// The whole command line: what `main` of a binary returns.
pub fn run() -> ExitCode {
    allocator::keep_pages();
    match dispatch(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", describe(&error));
            // What shells report for a program that Ctrl-C ended.
            if error.is::<Interrupted>() { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}

/// The error and its causes on one line; a cause that is part of the message before it is not said again.
fn describe(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        before if before.ends_with(&cause) => text,
        before => format!("{before}: {cause}"),
    })
}

fn dispatch(command: &Command) -> anyhow::Result<()> {
    // The operators have nobody to tell that it is wrong.
    simd::limit()?;
    match command {
        Command::Train(arguments) => train::run(arguments),
        Command::Eval(arguments) => eval::run(arguments),
        Command::Embed(arguments) => embed::run(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Purify(arguments) => purify::run(arguments),
        Command::Synth(arguments) => synth::run(arguments),
        Command::Losses(arguments) => losses::run(arguments),
        Command::Config(arguments) => config::print(arguments),
        Command::Data(arguments) => data::run(arguments),
        Command::Ablate(arguments) => ablate::run(arguments),
        Command::Figure(arguments) => figure::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Test => gate::test(),
        Command::Lint => gate::lint(),
        Command::Ci => gate::ci(),
    }
}
