//! Face-recognition backbones: image (B, 3, S, S), 112×112 as a rule → embedding (B, D).
//! Knows no labels, losses or class centers.
//!
//! Networks are described as plain values ([`plan`]), from which costs and torch's state-dict names follow, and
//! built on channels-last operators. Torch's layouts exist only in [`weights`] and in files.
//!
//! Weights begin as in the reference: `iresnet` convolutions as N(0, 0.1²) and its fully connected layer as torch's
//! default, `mobilefacenet` wholly as N(0, 2/fan out); batch norm at γ = 1 and β = 0, `PReLU` at 0.25.

mod architecture;
mod backbone;
mod embedding_head;
mod facenano;
mod freeze;
mod image_pass;
mod inference;
mod init;
mod iresnet;
mod layers;
mod mobilefacenet;
mod mobilefacenet_paper;
mod network;
pub mod plan;
pub mod weights;

pub use architecture::{Architecture, BackboneConfig};
pub use backbone::Backbone;
pub use facenano::facenano;
pub use image_pass::{ImagePass, LayerStatistics, Watch};
pub use inference::Inference;
pub use init::Init;
pub use iresnet::{IResNetShape, iresnet};
pub use layers::Mode;
pub use mobilefacenet::mobilefacenet;
pub use mobilefacenet_paper::{mobilefacenet_112x96, mobilefacenet_y1};
pub use network::{Network, TrainingPass};
pub use plan::Cost;
