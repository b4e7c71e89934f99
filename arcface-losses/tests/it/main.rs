//! Every loss against golden numbers, an oracle, general properties and finite differences; every message.

// A test that cannot go on says where.
#![allow(clippy::unwrap_used)]

mod chunked;
mod conformance;
mod curve;
mod device;
mod golden;
mod gradients;
mod oracle;
mod properties;
mod sampled;
mod snapshots;

/// The table of `key = value; key = value`.
fn table(text: &str) -> toml::Table {
    text.replace("; ", "\n").parse().unwrap()
}
