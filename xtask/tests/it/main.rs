//! The command line as its users meet it: every test runs the binary.
//! Knows no function of the library.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod ablate;
mod align;
mod bench;
mod configuration;
mod convert;
mod data;
mod device;
mod embed;
mod evaluation;
mod export;
mod figure;
mod help;
mod losses;
mod messages;
mod pretrained;
mod protocols;
mod purify;
mod readme;
mod report;
mod suite;
mod synth;
mod tiny;
mod train;
mod watching;
