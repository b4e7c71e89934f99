//! arcface-data
