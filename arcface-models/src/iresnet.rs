//! `IResNet`, the improved residual network of the paper: four stages of pre-normalised blocks, then option E.
//! Knows only its own description.

use crate::embedding_head::{HeadSpec, option_e};
use crate::init::Init;
use crate::plan::{ConvSpec, Plan, Spec};

/// Depth and width of an `IResNet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IResNetShape {
    /// Blocks in each of the four stages.
    pub blocks: [usize; 4],
    /// Channels of the stem, then of each stage.
    pub widths: [usize; 5],
}

impl IResNetShape {
    /// The paper's widths with `blocks` per stage.
    pub fn new(blocks: [usize; 4]) -> Self {
        Self { blocks, widths: [64, 64, 128, 256, 512] }
    }
}

/// An `IResNet` for square images of `input_size`.
///
/// Convolutions begin as N(0, 0.1²), as in the reference.
pub fn iresnet(shape: IResNetShape, input_size: usize, embedding_size: usize, dropout: f64) -> Plan {
    let IResNetShape { blocks, widths } = shape;
    let mut layers = vec![
        convolution("conv1", 3, widths[0], 3, 1),
        Spec::batch_norm("bn1", widths[0]),
        Spec::prelu("prelu", widths[0]),
    ];
    for (stage, &count) in blocks.iter().enumerate() {
        layers.extend(self::stage(&format!("layer{}", stage + 1), widths[stage], widths[stage + 1], count));
    }
    layers.extend(option_e(HeadSpec { channels: widths[4], side: input_size / 16, embedding_size, dropout }));
    Plan::new(layers, input_size)
}

fn stage(name: &str, inputs: usize, outputs: usize, count: usize) -> impl Iterator<Item = Spec> {
    (0..count).map(move |index| match index {
        0 => block(&format!("{name}.0"), inputs, outputs, 2),
        _ => block(&format!("{name}.{index}"), outputs, outputs, 1),
    })
}

/// BN conv3×3 BN `PReLU` conv3×3(stride) BN, plus x or its 1×1 conv(stride)+BN.
fn block(name: &str, inputs: usize, outputs: usize, stride: usize) -> Spec {
    let main = vec![
        Spec::batch_norm(format!("{name}.bn1"), inputs),
        convolution(&format!("{name}.conv1"), inputs, outputs, 3, 1),
        Spec::batch_norm(format!("{name}.bn2"), outputs),
        Spec::prelu(format!("{name}.prelu"), outputs),
        convolution(&format!("{name}.conv2"), outputs, outputs, 3, stride),
        Spec::batch_norm(format!("{name}.bn3"), outputs),
    ];
    let shortcut = match stride {
        1 => vec![],
        _ => vec![
            convolution(&format!("{name}.downsample.0"), inputs, outputs, 1, stride),
            Spec::batch_norm(format!("{name}.downsample.1"), outputs),
        ],
    };
    Spec::Residual { main, shortcut }
}

fn convolution(name: &str, inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Spec {
    Spec::Conv(ConvSpec::new(name, inputs, outputs, kernel, stride).begun(Init::Normal { std: 0.1 }))
}
