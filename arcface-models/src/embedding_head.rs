//! From the last feature map to the embedding.
//! Knows no network: any feature map of (side, side, channels) will do.

use crate::init::Init;
use crate::plan::{BatchNormSpec, Bias, ConvSpec, DropoutSpec, LinearSpec, Spec, Stored};

/// The last feature map and the embedding that is made of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HeadSpec {
    /// Channels of the feature map.
    pub(crate) channels: usize,
    /// Side of the feature map.
    pub(crate) side: usize,
    /// D.
    pub(crate) embedding_size: usize,
    /// Rate of the dropout before the fully connected layer.
    pub(crate) dropout: f64,
}

/// The paper's option E: BN → Dropout → FC → BN with γ frozen at 1 (`bn2`, `fc`, `features` in torch).
///
/// The fully connected layer begins as torch's does, uniform within ±1/√inputs.
pub(crate) fn option_e(head: HeadSpec) -> Vec<Spec> {
    let HeadSpec { channels, side, embedding_size, dropout } = head;
    let init = Init::torch_linear(channels * side * side);
    let (bias, stored) = (Bias::With, Stored::Matrix);
    let fc = LinearSpec { name: "fc".into(), channels, side, outputs: embedding_size, bias, stored, init };
    vec![
        Spec::batch_norm("bn2", channels),
        Spec::Dropout(DropoutSpec { name: "dropout".into(), rate: dropout }),
        Spec::Linear(fc),
        Spec::BatchNorm(BatchNormSpec::new("features", embedding_size).frozen()),
    ]
}

/// Global depthwise convolution: depthwise over the whole map → BN → FC without bias → BN, all trained.
pub(crate) fn global_depthwise(head: HeadSpec) -> Vec<Spec> {
    let HeadSpec { channels, side, embedding_size, .. } = head;
    let fc = LinearSpec {
        name: "features.layers.2".into(),
        channels,
        side: 1,
        outputs: embedding_size,
        bias: Bias::Without,
        stored: Stored::Matrix,
        init: Init::kaiming_fan_out(embedding_size),
    };
    vec![
        Spec::Conv(ConvSpec::global_depthwise("features.layers.0.layers.0", channels, [side; 2])),
        Spec::batch_norm("features.layers.0.layers.1", channels),
        Spec::Linear(fc),
        Spec::batch_norm("features.layers.3", embedding_size),
    ]
}
