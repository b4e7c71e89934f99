//! The command line as its users meet it: every test runs the binary.

#![allow(clippy::unwrap_used)]

mod configuration;
mod data;
mod evaluation;
mod losses;
mod messages;
mod tiny;
mod train;
