//! Tests of the public interface.
//! Knows no private function.

#![allow(clippy::unwrap_used)]

mod procedural;
