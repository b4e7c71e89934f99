//! From a trained model to images: what a face looks like to a network. Its objective is a function of the embeddings.
//! Knows no data set and no loss.

pub mod prior;
