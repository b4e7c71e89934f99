//! Which network a foreign file holds, by its tensors' names.
//! Knows no file; whoever read one prints the guess.

use std::collections::BTreeSet;

use arcface_core::{Error, Result};

use crate::weights::StateDict;
use crate::{Architecture, BackboneConfig};

/// What a file seems to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// The network.
    pub config: BackboneConfig,
    /// Whether the names are exactly the network's; otherwise the closest network is named.
    pub exact: bool,
}

/// Guesses the network from the names and shapes of `state`.
///
/// # Errors
/// If no network has half of its names in common with the file.
pub fn recognise(state: &StateDict) -> Result<Guess> {
    let names: BTreeSet<&str> = state.keys().map(String::as_str).collect();
    let scored = Architecture::ALL.into_iter().map(|architecture| (similarity(architecture, &names), architecture));
    match scored.max_by(|left, right| left.0.total_cmp(&right.0)) {
        Some((score, architecture)) if 0.5 <= score => {
            Ok(Guess { config: sized(architecture, state), exact: 1.0 <= score })
        }
        _ => Err(unknown(&names)),
    }
}

/// Names in common over names in either, 0 to 1.
fn similarity(architecture: Architecture, names: &BTreeSet<&str>) -> f64 {
    let entries = BackboneConfig::new(architecture).entries_unchecked();
    let own: BTreeSet<&str> = entries.iter().map(|entry| entry.file_name.as_str()).collect();
    own.intersection(names).count() as f64 / own.union(names).count() as f64
}

/// The configuration with the sizes that the tensors show; the usual ones where they show none.
fn sized(architecture: Architecture, state: &StateDict) -> BackboneConfig {
    let usual = BackboneConfig::new(architecture);
    let dims = |name: &str| state.get(name).map(|tensor| tensor.dims().to_vec()).unwrap_or_default();
    let global = |bias: &str, kernel: &str| (dims(bias), dims(kernel).get(2).copied());
    let (embedding, side) = match architecture {
        Architecture::MobileFaceNet => global("features.layers.3.bias", "features.layers.0.layers.0.weight"),
        Architecture::MobileFaceNetY1 => global("fc1_beta", "conv_6dw7_7_conv2d_weight"),
        Architecture::MobileFaceNet112x96 => global("linear1.bn.bias", "linear7.conv.weight"),
        _ => {
            let flattened = dims("fc.weight").get(1).copied().zip(dims("bn2.weight").first().copied());
            (dims("features.bias"), flattened.map(|(inputs, channels)| (inputs / channels.max(1)).isqrt()))
        }
    };
    BackboneConfig {
        embedding_size: embedding.first().copied().unwrap_or(usual.embedding_size),
        input_size: side.map_or(usual.input_size, |side| 16 * side),
        ..usual
    }
}

fn unknown(names: &BTreeSet<&str>) -> Error {
    let first: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    let known: Vec<&str> = Architecture::ALL.iter().map(|architecture| architecture.name()).collect();
    let (count, first, known) = (names.len(), first.join(", "), known.join(", "));
    Error::Invalid(format!(
        "tensor names: expected those of a known network ({known}), got {count} others ({first}, …); \
         name the network if you know it, or convert the file to torch's names"
    ))
}
