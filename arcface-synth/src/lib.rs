//! arcface-synth
