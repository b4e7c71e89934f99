//! Tests of the crate from outside, one module per concept. Run no network and read no data.

mod checkpoint;
mod optim;
mod parameters;
mod schedule;
mod shape;
mod sphere;
