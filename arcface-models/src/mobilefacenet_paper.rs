//! `MobileFaceNet` as its paper has it (arXiv 1804.07573, Table 1), in the two forms in which it was trained elsewhere.
//! Knows only its own description.

use crate::init::Init;
use crate::plan::{BatchNormSpec, Bias, ConvSpec, LinearSpec, Plan, Spec, Stored};
use crate::weights::Naming;

/// Channels before the global convolution.
const LAST: usize = 512;
/// Columns on either side of the face that the 112×96 network does not see.
const CUT: usize = 8;

/// insightface's network (`model-y1`, written for `MXNet`) for square faces of `input_size`.
///
/// Batch norms add 1e-3 to the variance, the embedding's 2e-5 with its γ fixed at 1, and the fully connected layer has a
/// bias. Convolutions begin as N(0, 2/fan out), the fully connected layer as torch's default.
pub fn mobilefacenet_y1(input_size: usize, embedding_size: usize) -> Plan {
    let form = Form { parts: ["conv_1", "conv_2_dw", "conv_6sep", "conv_6dw7_7"], layers: mxnet_layers, eps: 1e-3 };
    let plan = Plan { naming: Naming::Mxnet, ..Plan::new(vec![], input_size) };
    let mut layers = form.trunk(mxnet_bottlenecks(), &plan);
    let (bias, stored, init) = (Bias::With, Stored::Matrix, Init::torch_linear(LAST));
    let fc = LinearSpec { name: "fc1".into(), channels: LAST, side: 1, outputs: embedding_size, bias, stored, init };
    layers.push(Spec::Linear(fc));
    layers.push(Spec::BatchNorm(BatchNormSpec::new("fc1.batchnorm", embedding_size).with_eps(2e-5).frozen()));
    Plan { layers, ..plan }
}

/// Xiaoccer's network (`MobileFacenet_Pytorch`) for faces of `input_size`, of which it sees all but 8 columns on either
/// side: 112×96 of 112×112.
///
/// The embedding is made by a 1×1 convolution without bias, and its batch norm is trained. Every weight begins as
/// N(0, 2/fan out).
pub fn mobilefacenet_112x96(input_size: usize, embedding_size: usize) -> Plan {
    let form = Form { parts: ["conv1", "dw_conv1", "conv2", "linear7"], layers: torch_layers, eps: 1e-5 };
    let plan = Plan { cut: CUT, naming: Naming::TorchUncounted, ..Plan::new(vec![], input_size) };
    let mut layers = form.trunk(torch_bottlenecks(), &plan);
    let (bias, stored, init) = (Bias::Without, Stored::Pointwise, Init::kaiming_fan_out(embedding_size));
    let name = "linear1.conv".into();
    layers.push(Spec::Linear(LinearSpec {
        name,
        channels: LAST,
        side: 1,
        outputs: embedding_size,
        bias,
        stored,
        init,
    }));
    layers.push(Spec::batch_norm("linear1.bn", embedding_size));
    Plan { layers, ..plan }
}

/// A bottleneck that halves the image, then `residuals` that keep it.
struct Stage {
    inputs: usize,
    /// Channels within the first bottleneck.
    inner: usize,
    outputs: usize,
    residuals: usize,
}

const STAGES: [Stage; 3] = [
    Stage { inputs: 64, inner: 128, outputs: 64, residuals: 4 },
    Stage { inputs: 64, inner: 256, outputs: 128, residuals: 6 },
    Stage { inputs: 128, inner: 512, outputs: 128, residuals: 2 },
];

/// Names of a convolution, its batch norm and, if it has one, its `PReLU`.
struct Names {
    conv: String,
    norm: String,
    prelu: String,
}

/// What sets both networks apart before the embedding.
struct Form {
    /// Names of the parts outside of the stages: two at the beginning, two at the end.
    parts: [&'static str; 4],
    /// Names of the layers of such a part.
    layers: fn(&str) -> Names,
    /// What batch norms add to the variance.
    eps: f64,
}

impl Form {
    /// Everything from the image to one pixel of [`LAST`] channels; `bottlenecks` are the names within the stages.
    fn trunk(&self, bottlenecks: impl IntoIterator<Item = [Names; 3]>, plan: &Plan) -> Vec<Spec> {
        let [stem, depthwise, last, global] = self.parts.map(self.layers);
        let map = plan.image_size().map(|side| side / 16);
        let mut bottlenecks = bottlenecks.into_iter();
        let mut layers = self.activated(stem, ConvSpec::new("", 3, 64, 3, 2));
        layers.extend(self.activated(depthwise, ConvSpec::new("", 64, 64, 3, 1).grouped(64)));
        for Stage { inputs, inner, outputs, residuals } in STAGES {
            layers.extend(
                bottlenecks.by_ref().take(1).flat_map(|names| self.bottleneck(names, [inputs, inner, outputs], 2)),
            );
            layers.extend(bottlenecks.by_ref().take(residuals).map(|names| Spec::Residual {
                main: self.bottleneck(names, [outputs, 2 * outputs, outputs], 1),
                shortcut: vec![],
            }));
        }
        layers.extend(self.activated(last, ConvSpec::new("", 128, LAST, 1, 1)));
        layers.extend(self.linear(global, ConvSpec::global_depthwise("", LAST, map)));
        layers
    }

    /// 1×1 to the inner channels, 3×3 depthwise with the stride, 1×1 to the outputs without activation.
    fn bottleneck(&self, names: [Names; 3], [inputs, inner, outputs]: [usize; 3], stride: usize) -> Vec<Spec> {
        let [expand, depthwise, project] = names;
        let mut specs = self.activated(expand, ConvSpec::new("", inputs, inner, 1, 1));
        specs.extend(self.activated(depthwise, ConvSpec::new("", inner, inner, 3, stride).grouped(inner)));
        specs.extend(self.linear(project, ConvSpec::new("", inner, outputs, 1, 1)));
        specs
    }

    /// Convolution, batch norm and `PReLU`.
    fn activated(&self, names: Names, conv: ConvSpec) -> Vec<Spec> {
        let prelu = Spec::prelu(names.prelu.clone(), conv.outputs);
        let mut specs = self.linear(names, conv);
        specs.push(prelu);
        specs
    }

    /// Convolution and batch norm.
    fn linear(&self, names: Names, conv: ConvSpec) -> Vec<Spec> {
        let norm = BatchNormSpec::new(names.norm, conv.outputs).with_eps(self.eps);
        vec![Spec::Conv(conv.named(names.conv)), Spec::BatchNorm(norm)]
    }
}

fn mxnet_layers(name: &str) -> Names {
    let of = |layer: &str| format!("{name}.{layer}");
    Names { conv: of("conv2d"), norm: of("batchnorm"), prelu: of("relu") }
}

/// `dconv_23`, then the blocks of `res_3`, and so on.
fn mxnet_bottlenecks() -> impl Iterator<Item = [Names; 3]> {
    let stages = [("dconv_23", "res_3"), ("dconv_34", "res_4"), ("dconv_45", "res_5")];
    let names = stages.into_iter().zip(STAGES).flat_map(|((first, others), stage)| {
        let others = (0..stage.residuals).map(move |index| format!("{others}.block{index}"));
        std::iter::once(first.to_owned()).chain(others)
    });
    names.map(|name| ["conv_sep", "conv_dw", "conv_proj"].map(|part| mxnet_layers(&format!("{name}.{part}"))))
}

fn torch_layers(name: &str) -> Names {
    let of = |layer: &str| format!("{name}.{layer}");
    Names { conv: of("conv"), norm: of("bn"), prelu: of("prelu") }
}

/// Numbered through all stages; the layers of each stand in one list: conv, norm, `PReLU`, conv, norm, `PReLU`, conv, norm.
fn torch_bottlenecks() -> impl Iterator<Item = [Names; 3]> {
    (0..).map(|block| {
        let at = |index: usize| format!("blocks.{block}.conv.{index}");
        [0, 3, 6].map(|first| Names { conv: at(first), norm: at(first + 1), prelu: at(first + 2) })
    })
}
