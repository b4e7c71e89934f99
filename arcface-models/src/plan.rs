//! What a network is made of, as plain values: layers with torch's names, their shapes, entries and costs.
//! Knows no tensor; counting an `iresnet200` allocates nothing of its size.

use arcface_core::{Error, Result, Role};

use crate::init::Init;
use crate::weights::Layout;

/// A square convolution without bias.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvSpec {
    /// Torch's name of the module.
    pub name: String,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
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
        Self { name: name.into(), inputs, outputs, kernel, stride, padding: kernel / 2, groups: 1, init }
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
        let shape = vec![self.outputs, self.inputs / self.groups, self.kernel, self.kernel];
        Entry::trained(format!("{}.weight", self.name), shape, Layout::Convolution, self.init)
    }

    fn side(&self, side: usize) -> usize {
        (side + 2 * self.padding).saturating_sub(self.kernel) / self.stride + 1
    }

    fn multiply_adds(&self, side: usize) -> u64 {
        let per_pixel = self.kernel * self.kernel * (self.inputs / self.groups) * self.outputs;
        (self.side(side) * self.side(side) * per_pixel) as u64
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

/// A batch norm over channels: eps 1e-5, momentum 0.1, γ begun at 1 and β at 0.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNormSpec {
    /// Torch's name of the module.
    pub name: String,
    /// Channels.
    pub channels: usize,
    /// What training does with γ.
    pub gamma: Gamma,
}

impl BatchNormSpec {
    pub(crate) fn entries(&self) -> [Entry; 5] {
        let gamma_role = match self.gamma {
            Gamma::Trained => Role::Trained,
            Gamma::Frozen => Role::Frozen,
        };
        let plain = |leaf: &str, value, role| Entry {
            name: format!("{}.{leaf}", self.name),
            shape: vec![self.channels],
            layout: Layout::Plain,
            kind: Kind::Values { role, init: Init::Constant(value) },
        };
        [
            plain("weight", 1.0, gamma_role),
            plain("bias", 0.0, Role::Trained),
            plain("running_mean", 0.0, Role::Statistic),
            plain("running_var", 1.0, Role::Statistic),
            Entry {
                name: format!("{}.num_batches_tracked", self.name),
                shape: vec![],
                layout: Layout::Plain,
                kind: Kind::Counter,
            },
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

impl LinearSpec {
    /// Numbers in.
    pub fn inputs(&self) -> usize {
        self.channels * self.side * self.side
    }

    pub(crate) fn weight_entry(&self) -> Entry {
        let layout = Layout::Flattened { channels: self.channels, height: self.side, width: self.side };
        Entry::trained(format!("{}.weight", self.name), vec![self.outputs, self.inputs()], layout, self.init)
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
        Self::BatchNorm(BatchNormSpec { name: name.into(), channels, gamma: Gamma::Trained })
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

    /// Multiply-adds of the convolutions and products for an image of `side`, and the side of what comes out.
    fn multiply_adds(&self, side: usize) -> (u64, usize) {
        match self {
            Self::Conv(conv) => (conv.multiply_adds(side), conv.side(side)),
            Self::Linear(linear) => ((linear.inputs() * linear.outputs) as u64, 1),
            Self::Residual { main, shortcut } => {
                let (main, side_out) = multiply_adds(main, side);
                (main + multiply_adds(shortcut, side).0, side_out)
            }
            Self::BatchNorm(_) | Self::Prelu(_) | Self::Dropout(_) => (0, side),
        }
    }
}

fn multiply_adds(specs: &[Spec], side: usize) -> (u64, usize) {
    specs.iter().fold((0, side), |(sum, side), spec| {
        let (own, side) = spec.multiply_adds(side);
        (sum + own, side)
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

/// One entry of torch's state dict.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Torch's name.
    pub name: String,
    /// Torch's shape.
    pub shape: Vec<usize>,
    /// How torch's layout and the operators' belong together.
    pub layout: Layout,
    /// What it holds.
    pub kind: Kind,
}

impl Entry {
    fn trained(name: String, shape: Vec<usize>, layout: Layout, init: Init) -> Self {
        Self { name, shape, layout, kind: Kind::Values { role: Role::Trained, init } }
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
    /// Entries of torch's state dict, `num_batches_tracked` included.
    pub state_entries: usize,
}

/// A whole network: layers one after the other, and the image they take.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The layers.
    pub layers: Vec<Spec>,
    /// Side of the square input image.
    pub input_size: usize,
}

impl Plan {
    /// The state dict's entries, in torch's order.
    pub fn entries(&self) -> Vec<Entry> {
        self.layers.iter().flat_map(Spec::entries).collect()
    }

    /// Parameters, multiply-adds and state-dict entries.
    pub fn cost(&self) -> Cost {
        let entries = self.entries();
        Cost {
            parameters: entries.iter().filter(|entry| entry.is_parameter()).map(|entry| entry.elements() as u64).sum(),
            multiply_adds: multiply_adds(&self.layers, self.input_size).0,
            state_entries: entries.len(),
        }
    }

    /// Checks that every one of `prefixes` begins the name of some entry, at a dot.
    ///
    /// # Errors
    /// Naming the first prefix that begins none, with the stages that exist.
    pub fn check_prefixes(&self, prefixes: &[String]) -> Result<()> {
        let entries = self.entries();
        for prefix in prefixes {
            if !entries.iter().any(|entry| begins(&entry.name, prefix)) {
                let mut stages: Vec<&str> = entries.iter().filter_map(|entry| entry.name.split('.').next()).collect();
                stages.dedup();
                return Err(Error::unknown("stage", prefix, stages));
            }
        }
        Ok(())
    }
}

/// Whether `name` lies under the module `prefix`.
pub(crate) fn begins(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strided_convolution_counts_only_the_pixels_it_makes() {
        let conv = ConvSpec::new("c", 4, 8, 3, 2);
        assert_eq!(conv.side(7), 4);
        assert_eq!(conv.multiply_adds(7), 4 * 4 * 9 * 4 * 8);
        assert_eq!(conv.grouped(4).multiply_adds(7), 4 * 4 * 9 * 8);
    }

    #[test]
    fn a_prefix_ends_at_a_dot() {
        assert!(begins("layer1.0.conv1.weight", "layer1"));
        assert!(!begins("layer10.weight", "layer1"));
    }
}
