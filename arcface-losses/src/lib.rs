//! arcface-losses
