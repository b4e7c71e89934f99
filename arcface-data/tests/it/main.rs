//! Tests of the public face of `arcface-data`, one module per kind. Faces are drawn or the reader's own, never ours.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod align;
mod bin;
mod conformance;
mod convert;
mod idx;
mod libjpeg;
mod messages;
mod noise;
#[cfg(feature = "parquet")]
mod parquet;
mod procedural;
mod properties;
mod purify;
mod real;
mod record;
mod record_messages;
mod reference;
mod sizes;
mod support;
