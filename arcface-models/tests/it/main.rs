//! One integration binary: the networks as a user of the crate sees them.
//! Knows no private item.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod device;
mod golden;
mod gradients;
mod image_pass;
mod oracle;
mod properties;
mod published;
mod support;
mod torch;
mod weights;
