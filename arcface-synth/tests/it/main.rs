//! One integration binary: inversion as a user of the crate sees it.
//! Knows no private item.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod gradients;
mod inversion;
mod messages;
mod oracle;
mod support;
