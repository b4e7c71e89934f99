//! One integration binary: the networks as a user of the crate sees them.
//! Knows no private item.

mod golden;
