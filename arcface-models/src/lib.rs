//! arcface-models
