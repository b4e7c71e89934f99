//! `MobileFaceNet` as insightface's `arcface_torch` has it (`mbf`): inverted bottlenecks, then a global depthwise head.
//! Knows only its own description.

use crate::embedding_head::{HeadSpec, global_depthwise};
use crate::plan::{ConvSpec, Plan, Spec};

/// A `MobileFaceNet` for square images of `input_size`; 2,059,520 parameters with 512 numbers per embedding.
///
/// Every weight begins as N(0, 2/fan out), as in the reference, where fan out is outputs × kernel area even in groups.
/// The embedding's γ is trained, as there.
pub fn mobilefacenet(input_size: usize, embedding_size: usize) -> Plan {
    let mut layers = Vec::new();
    layers.extend(activated("layers.0", ConvSpec::new("", 3, 128, 3, 2)));
    // 64 groups of 2 channels each: the reference keeps `groups=64` although it doubles the width.
    layers.extend(activated("layers.1", ConvSpec::new("", 128, 128, 3, 1).grouped(64)));
    layers.extend(bottleneck("layers.2", 128, 128, 128, 2));
    layers.extend(residuals("layers.3", 128, 128, 4));
    layers.extend(bottleneck("layers.4", 128, 256, 256, 2));
    layers.extend(residuals("layers.5", 256, 256, 6));
    layers.extend(bottleneck("layers.6", 256, 512, 256, 2));
    layers.extend(residuals("layers.7", 256, 256, 2));
    layers.extend(activated("conv_sep", ConvSpec::new("", 256, 512, 1, 1)));
    let head = HeadSpec { channels: 512, side: input_size / 16, embedding_size, dropout: 0.0 };
    layers.extend(global_depthwise(head));
    Plan::new(layers, input_size)
}

fn residuals(name: &str, channels: usize, inner: usize, count: usize) -> impl Iterator<Item = Spec> {
    (0..count).map(move |index| Spec::Residual {
        main: bottleneck(&format!("{name}.layers.{index}"), channels, inner, channels, 1),
        shortcut: vec![],
    })
}

/// 1×1 to `inner` channels, 3×3 depthwise with the stride, 1×1 to `outputs` without activation.
fn bottleneck(name: &str, inputs: usize, inner: usize, outputs: usize, stride: usize) -> Vec<Spec> {
    let mut specs = activated(&format!("{name}.layers.0"), ConvSpec::new("", inputs, inner, 1, 1));
    specs.extend(activated(&format!("{name}.layers.1"), ConvSpec::new("", inner, inner, 3, stride).grouped(inner)));
    specs.extend(linear(&format!("{name}.layers.2"), ConvSpec::new("", inner, outputs, 1, 1)));
    specs
}

/// Convolution and batch norm.
fn linear(name: &str, conv: ConvSpec) -> Vec<Spec> {
    let norm = Spec::batch_norm(format!("{name}.layers.1"), conv.outputs);
    vec![Spec::Conv(conv.named(format!("{name}.layers.0"))), norm]
}

/// Convolution, batch norm and `PReLU`.
fn activated(name: &str, conv: ConvSpec) -> Vec<Spec> {
    let outputs = conv.outputs;
    let mut specs = linear(name, conv);
    specs.push(Spec::prelu(format!("{name}.layers.2"), outputs));
    specs
}
