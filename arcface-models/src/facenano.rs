//! `FaceNano`, our small network for quick runs on a CPU: about 30 M multiply-adds at 112×112.
//! Knows only its own description.

use crate::embedding_head::{HeadSpec, option_e};
use crate::plan::{ConvSpec, Plan, Spec};

/// Channels after each halving of the image.
const WIDTHS: [usize; 4] = [16, 32, 64, 96];

/// A `FaceNano` for square images of `input_size`.
///
/// Dense 3×3 convolutions on few channels rather than depthwise ones on many: per multiply-add they move
/// a tenth of the memory, and memory is what a small network waits for.
/// Convolutions begin as N(0, 2/fan out).
pub fn facenano(input_size: usize, embedding_size: usize, dropout: f64) -> Plan {
    let mut layers = activated("stem", 3, WIDTHS[0], 2);
    for (stage, pair) in WIDTHS.windows(2).enumerate() {
        let name = format!("stage{}", stage + 1);
        layers.extend(activated(&format!("{name}.down"), pair[0], pair[1], 2));
        let main = activated(&format!("{name}.block"), pair[1], pair[1], 1);
        layers.push(Spec::Residual { main, shortcut: vec![] });
    }
    let head = HeadSpec { channels: WIDTHS[3], side: input_size / 16, embedding_size, dropout };
    layers.extend(option_e(head));
    Plan::new(layers, input_size)
}

/// 3×3 convolution, batch norm and `PReLU`.
fn activated(name: &str, inputs: usize, outputs: usize, stride: usize) -> Vec<Spec> {
    vec![
        Spec::Conv(ConvSpec::new(format!("{name}.conv"), inputs, outputs, 3, stride)),
        Spec::batch_norm(format!("{name}.bn"), outputs),
        Spec::prelu(format!("{name}.prelu"), outputs),
    ]
}
