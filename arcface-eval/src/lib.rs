//! arcface-eval
