//! Heads: they own the class centers, turn embeddings into logits and give the gradients of both by hand.
//! Knows margins by their trait only; no names, no configuration.
//!
//! A margin sees one row at a time, so that a head alone decides where the centers live:
//!
//! - [`dense`]: all class centers (C, D) and the whole matrix of cosines (B, C);
//! - [`sub_center`]: K centers per class (C, K, D), pooled to one cosine per class;
//! - [`softmax`]: plain W·x + b, nothing normalised;
//! - [`alone`]: no centers, terms of the embeddings only.
//!
//! Heads that sample negative centers (Partial-FC), walk through the classes in chunks or share them between ranks
//! belong beside these: each prepares rows with [`rows::prepare`], reduces its part of a row as [`rows`] does, and
//! pulls unit gradients back through [`unit::UnitRows`].

pub(crate) mod alone;
pub(crate) mod dense;
pub(crate) mod rows;
pub(crate) mod softmax;
pub(crate) mod sub_center;
pub(crate) mod terms;
pub(crate) mod unit;
