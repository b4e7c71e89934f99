//! Tests of the crate from outside, one module per concept. Run no network and read no data.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod add;
mod batch_norm;
mod batch_norm_add;
mod batch_norm_prelu;
mod cast;
mod checkpoint;
mod conv;
#[cfg(feature = "cuda")]
mod device;
mod dropout;
mod folded_conv;
mod layout;
mod linear;
mod matmul;
mod observed;
mod optim;
mod oracle;
mod parameters;
mod pickle;
mod prelu;
mod schedule;
mod shape;
mod sphere;
