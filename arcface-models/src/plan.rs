//! What a network is made of, as plain values: layers with torch's names, their shapes, entries and costs.
//! Knows no tensor; counting an `iresnet200` allocates nothing of its size.

use arcface_core::{Error, Result, Role};

use crate::freeze::{WHOLE, lies_under, stage};
use crate::init::Init;
use crate::weights::{Layout, Naming};

/// A convolution without bias.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvSpec {
    /// Torch's name of the module.
    pub name: String,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step of the window.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Groups of channels that do not see each other; `inputs` for depthwise.
    pub groups: usize,
    /// How the weight begins.
    pub init: Init,
}

impl ConvSpec {
    /// A dense k×k convolution that keeps the image's size at stride 1 (odd `kernel`).
    pub fn new(name: impl Into<String>, inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Self {
        let init = Init::kaiming_fan_out(outputs * kernel * kernel);
        let padding = kernel / 2;
        Self { name: name.into(), inputs, outputs, kernel: [kernel; 2], stride, padding, groups: 1, init }
    }

    /// A depthwise convolution over a whole feature map of `size` (height, width), which leaves one pixel of it.
    pub fn global_depthwise(name: impl Into<String>, channels: usize, size: [usize; 2]) -> Self {
        let init = Init::kaiming_fan_out(channels * size[0] * size[1]);
        let dense = Self::new(name, channels, channels, 1, 1).grouped(channels).begun(init);
        Self { kernel: size, ..dense }
    }

    /// The same convolution under another name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The same convolution in `groups` groups.
    #[must_use]
    pub fn grouped(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// The same convolution, its weight begun by `init`.
    #[must_use]
    pub fn begun(self, init: Init) -> Self {
        Self { init, ..self }
    }

    pub(crate) fn entry(&self) -> Entry {
        let [height, width] = self.kernel;
        let shape = vec![self.outputs, self.inputs / self.groups, height, width];
        Entry::trained(format!("{}.weight", self.name), shape, Layout::Convolution, self.init)
    }

    /// Height and width of what comes out for an image of `size`.
    fn size(&self, size: [usize; 2]) -> [usize; 2] {
        let side = |at: usize| (size[at] + 2 * self.padding).saturating_sub(self.kernel[at]) / self.stride + 1;
        [side(0), side(1)]
    }

    fn multiply_adds(&self, size: [usize; 2]) -> u64 {
        let per_pixel = self.kernel[0] * self.kernel[1] * (self.inputs / self.groups) * self.outputs;
        let [height, width] = self.size(size);
        (height * width * per_pixel) as u64
    }
}

/// What training does with the scale γ of a batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gamma {
    /// Follows its gradient.
    Trained,
    /// Stays at 1, as the paper's option E has it on the embedding.
    Frozen,
}

/// A batch norm over channels: momentum 0.1, γ begun at 1 and β at 0.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNormSpec {
    /// Torch's name of the module.
    pub name: String,
    /// Channels.
    pub channels: usize,
    /// What training does with γ.
    pub gamma: Gamma,
    /// Added to the variance before its root is taken.
    pub eps: f64,
}

impl BatchNormSpec {
    /// A batch norm as torch has it: γ trained, eps 1e-5.
    pub fn new(name: impl Into<String>, channels: usize) -> Self {
        Self { name: name.into(), channels, gamma: Gamma::Trained, eps: 1e-5 }
    }

    /// The same with γ frozen at 1.
    #[must_use]
    pub fn frozen(self) -> Self {
        Self { gamma: Gamma::Frozen, ..self }
    }

    /// The same with another `eps`.
    #[must_use]
    pub fn with_eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    pub(crate) fn entries(&self) -> [Entry; 5] {
        let gamma_role = match self.gamma {
            Gamma::Trained => Role::Trained,
            Gamma::Frozen => Role::Frozen,
        };
        let plain = |leaf: &str, value, role| {
            let kind = Kind::Values { role, init: Init::Constant(value) };
            Entry::new(format!("{}.{leaf}", self.name), vec![self.channels], Layout::Plain, kind)
        };
        [
            plain("weight", 1.0, gamma_role),
            plain("bias", 0.0, Role::Trained),
            plain("running_mean", 0.0, Role::Statistic),
            plain("running_var", 1.0, Role::Statistic),
            Entry::new(format!("{}.num_batches_tracked", self.name), vec![], Layout::Plain, Kind::Counter),
        ]
    }
}

/// `PReLU` with one slope per channel, begun at 0.25.
#[derive(Debug, Clone, PartialEq)]
pub struct PreluSpec {
    /// Torch's name of the module.
    pub name: String,
    /// Channels.
    pub channels: usize,
}

impl PreluSpec {
    pub(crate) fn entry(&self) -> Entry {
        let init = Init::Constant(0.25);
        Entry::trained(format!("{}.weight", self.name), vec![self.channels], Layout::Plain, init)
    }
}

/// A fully connected layer on a flattened (side, side, channels) image.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearSpec {
    /// Torch's name of the module.
    pub name: String,
    /// Channels of the image that is flattened.
    pub channels: usize,
    /// Side of the image that is flattened.
    pub side: usize,
    /// Numbers out.
    pub outputs: usize,
    /// Whether there is a bias.
    pub bias: Bias,
    /// How files hold the weight.
    pub stored: Stored,
    /// How weight and bias begin.
    pub init: Init,
}

/// Whether a fully connected layer adds a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// It does.
    With,
    /// It does not.
    Without,
}

/// How files hold the weight of a fully connected layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// (O, I).
    Matrix,
    /// (O, I, 1, 1): the layer is written as a 1×1 convolution of an image of one pixel.
    Pointwise,
}

impl LinearSpec {
    /// Numbers in.
    pub fn inputs(&self) -> usize {
        self.channels * self.side * self.side
    }

    pub(crate) fn weight_entry(&self) -> Entry {
        let (shape, layout) = match self.stored {
            Stored::Matrix => {
                let (channels, height, width) = (self.channels, self.side, self.side);
                (vec![self.outputs, self.inputs()], Layout::Flattened { channels, height, width })
            }
            Stored::Pointwise => (vec![self.outputs, self.inputs(), 1, 1], Layout::Pointwise),
        };
        Entry::trained(format!("{}.weight", self.name), shape, layout, self.init)
    }

    pub(crate) fn bias_entry(&self) -> Option<Entry> {
        let entry = || Entry::trained(format!("{}.bias", self.name), vec![self.outputs], Layout::Plain, self.init);
        (self.bias == Bias::With).then(entry)
    }
}

/// Dropout at a rate; `name` sets its masks apart from other layers'.
#[derive(Debug, Clone, PartialEq)]
pub struct DropoutSpec {
    /// Name of the module (torch stores nothing under it).
    pub name: String,
    /// Share of the values that are dropped in training.
    pub rate: f64,
}

/// One layer of a network, or two branches whose results are added.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// Convolution.
    Conv(ConvSpec),
    /// Batch norm.
    BatchNorm(BatchNormSpec),
    /// `PReLU`.
    Prelu(PreluSpec),
    /// Dropout.
    Dropout(DropoutSpec),
    /// Flattening and a fully connected layer.
    Linear(LinearSpec),
    /// main(x) + shortcut(x); an empty shortcut is x itself.
    Residual {
        /// The branch that computes.
        main: Vec<Spec>,
        /// The branch that passes on.
        shortcut: Vec<Spec>,
    },
}

impl Spec {
    /// A batch norm with a trained γ.
    pub fn batch_norm(name: impl Into<String>, channels: usize) -> Self {
        Self::BatchNorm(BatchNormSpec::new(name, channels))
    }

    /// A `PReLU`.
    pub fn prelu(name: impl Into<String>, channels: usize) -> Self {
        Self::Prelu(PreluSpec { name: name.into(), channels })
    }

    /// The state-dict entries of this layer, in torch's order.
    pub fn entries(&self) -> Vec<Entry> {
        match self {
            Self::Conv(conv) => vec![conv.entry()],
            Self::BatchNorm(norm) => norm.entries().to_vec(),
            Self::Prelu(prelu) => vec![prelu.entry()],
            Self::Dropout(_) => vec![],
            Self::Linear(linear) => std::iter::once(linear.weight_entry()).chain(linear.bias_entry()).collect(),
            Self::Residual { main, shortcut } => main.iter().chain(shortcut).flat_map(Self::entries).collect(),
        }
    }

    /// Multiply-adds of the convolutions and products for an image of `size`, and the size of what comes out.
    fn multiply_adds(&self, size: [usize; 2]) -> (u64, [usize; 2]) {
        match self {
            Self::Conv(conv) => (conv.multiply_adds(size), conv.size(size)),
            Self::Linear(linear) => ((linear.inputs() * linear.outputs) as u64, [1, 1]),
            Self::Residual { main, shortcut } => {
                let (main, size_out) = multiply_adds(main, size);
                (main + multiply_adds(shortcut, size).0, size_out)
            }
            Self::BatchNorm(_) | Self::Prelu(_) | Self::Dropout(_) => (0, size),
        }
    }
}

fn multiply_adds(specs: &[Spec], size: [usize; 2]) -> (u64, [usize; 2]) {
    specs.iter().fold((0, size), |(sum, size), spec| {
        let (own, size) = spec.multiply_adds(size);
        (sum + own, size)
    })
}

/// What a state-dict entry holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Numbers of the network's element type.
    Values {
        /// What training does with them.
        role: Role,
        /// How they begin.
        init: Init,
    },
    /// A 64-bit count of training steps, begun at 0.
    Counter,
}

/// One entry of a state dict.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The name of the parameter: its module's and its own, with dots between.
    pub name: String,
    /// The name in files; the same for networks that come from torch.
    pub file_name: String,
    /// Torch's shape.
    pub shape: Vec<usize>,
    /// How torch's layout and the operators' belong together.
    pub layout: Layout,
    /// What it holds.
    pub kind: Kind,
}

impl Entry {
    fn new(name: String, shape: Vec<usize>, layout: Layout, kind: Kind) -> Self {
        Self { file_name: name.clone(), name, shape, layout, kind }
    }

    fn trained(name: String, shape: Vec<usize>, layout: Layout, init: Init) -> Self {
        Self::new(name, shape, layout, Kind::Values { role: Role::Trained, init })
    }

    /// Numbers in it.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether torch counts it among the parameters (a frozen γ is one, running statistics are not).
    pub fn is_parameter(&self) -> bool {
        matches!(self.kind, Kind::Values { role, .. } if role != Role::Statistic)
    }
}

/// What a network costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Trained numbers and frozen γ.
    pub parameters: u64,
    /// Multiply-adds of convolutions and products for one image.
    pub multiply_adds: u64,
    /// Entries of the state dict, torch's `num_batches_tracked` included.
    pub state_entries: usize,
}

/// A whole network: layers one after the other, and the image they take.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The layers.
    pub layers: Vec<Spec>,
    /// Side S of the square face that the network is given.
    pub input_size: usize,
    /// Columns on either side of the face that the network does not see.
    pub cut: usize,
    /// How files call the entries.
    pub naming: Naming,
}

impl Plan {
    /// `layers` that see the whole face of `input_size`, called in files as here.
    pub fn new(layers: Vec<Spec>, input_size: usize) -> Self {
        Self { layers, input_size, cut: 0, naming: Naming::Torch }
    }

    /// Height and width of the image that the first layer takes.
    pub fn image_size(&self) -> [usize; 2] {
        [self.input_size, self.input_size.saturating_sub(2 * self.cut)]
    }

    /// The state dict's entries, in torch's order.
    pub fn entries(&self) -> Vec<Entry> {
        let entries = self.layers.iter().flat_map(Spec::entries);
        entries.filter_map(|entry| Some(Entry { file_name: self.naming.file_name(&entry.name)?, ..entry })).collect()
    }

    /// Parameters, multiply-adds and state-dict entries.
    pub fn cost(&self) -> Cost {
        let entries = self.entries();
        Cost {
            parameters: entries.iter().filter(|entry| entry.is_parameter()).map(|entry| entry.elements() as u64).sum(),
            multiply_adds: multiply_adds(&self.layers, self.image_size()).0,
            state_entries: entries.len(),
        }
    }

    /// The modules that can be frozen as a whole, in the order in which an image meets them.
    pub fn stages(&self) -> Vec<String> {
        stages(&self.entries())
    }

    /// Checks that every one of `prefixes` begins the name of some entry, at a dot, or names the whole.
    ///
    /// # Errors
    /// Naming the first prefix that begins none, with the stages that exist.
    pub fn check_prefixes(&self, prefixes: &[String]) -> Result<()> {
        check_prefixes(&self.entries(), prefixes)
    }
}

fn stages(entries: &[Entry]) -> Vec<String> {
    let mut stages: Vec<String> = entries.iter().map(|entry| stage(&entry.name)).collect();
    stages.dedup();
    stages
}

/// [`Plan::check_prefixes`] of a plan that has these entries.
pub(crate) fn check_prefixes(entries: &[Entry], prefixes: &[String]) -> Result<()> {
    match prefixes.iter().find(|prefix| !entries.iter().any(|entry| lies_under(&entry.name, prefix))) {
        Some(prefix) => {
            let known: Vec<String> = WHOLE.into_iter().map(str::to_owned).chain(stages(entries)).collect();
            Err(Error::unknown("stage", prefix, known.iter().map(String::as_str)))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strided_convolution_counts_only_the_pixels_it_makes() {
        let conv = ConvSpec::new("c", 4, 8, 3, 2);
        assert_eq!(conv.size([7, 5]), [4, 3]);
        assert_eq!(conv.multiply_adds([7, 5]), 4 * 3 * 9 * 4 * 8);
        assert_eq!(conv.grouped(4).multiply_adds([7, 7]), 4 * 4 * 9 * 8);
    }
}
