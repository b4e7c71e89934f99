//! The cases of `bench parity`: which network, loss and recipe, and for how many steps.
//! Knows no tensor; a case is a few values over the default configuration.

use crate::cli::ConfigArguments;
use crate::config::{self, Config};

/// One comparison.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// Unique; part of file names.
    pub(super) name: &'static str,
    /// Values over [`RECIPE`].
    set: &'static [&'static str],
    pub(super) steps: u64,
}

/// What all cases have in common: drawn faces, the paper's margin and scale, and its recipe: the learning rate 0.1 of
/// 512 images scaled to the batch, a linear warm-up, polynomial decay, momentum, decay of weights, clipping.
///
/// Training is chaotic: what two sides round differently grows with every step, the faster the larger the rate.
const RECIPE: [&str; 12] = [
    "data.identities=16",
    "data.images_per_identity=8",
    "data.holdout=0",
    "train.batch_size=8",
    "loss.margin=0.5",
    "loss.scale=64",
    "loss.warmup_steps=0",
    "optimizer.learning_rate=0.0015625",
    "optimizer.momentum=0.9",
    "optimizer.weight_decay=5e-4",
    "optimizer.clip_norm=5",
    "schedule.warmup_epochs=0.5",
];

/// What is held to the bounds.
const FULL: [Case; 3] = [
    Case { name: "mobilefacenet-exact", set: &["model.backbone=mobilefacenet", "loss.gradient=exact"], steps: 50 },
    Case {
        name: "mobilefacenet-straight-through",
        set: &["model.backbone=mobilefacenet", "loss.gradient=straight_through"],
        steps: 50,
    },
    Case {
        name: "iresnet18-exact",
        set: &["model.backbone=iresnet18", "train.batch_size=4", "optimizer.learning_rate=0.00078125"],
        steps: 10,
    },
];

/// Small images and few steps, but every network, loss, schedule and optimiser that the peer has.
const QUICK: [Case; 6] = [
    Case {
        name: "mobilefacenet-exact-quick",
        set: &["model.backbone=mobilefacenet", "model.input_size=32", "model.embedding_size=64"],
        steps: 6,
    },
    Case {
        name: "mobilefacenet-straight-through-quick",
        set: &["model.backbone=mobilefacenet", "model.input_size=32", "loss.gradient=straight_through"],
        steps: 6,
    },
    Case { name: "iresnet18-quick", set: &["model.backbone=iresnet18", "model.input_size=32"], steps: 3 },
    Case {
        name: "facenano-softmax-step",
        set: &["model.input_size=48", "loss.name=softmax", "schedule.name=step", "schedule.milestones=[0.25, 0.5]"],
        steps: 10,
    },
    Case {
        name: "facenano-combined-cosine",
        set: &[
            "model.input_size=48",
            "loss.name=combined",
            "loss.m1=0.9",
            "loss.m2=0.4",
            "loss.m3=0.15",
            "schedule.name=cosine",
        ],
        steps: 10,
    },
    Case {
        name: "facenano-cosface-adamw",
        set: &[
            "model.input_size=48",
            "loss.name=cosface",
            "loss.warmup_steps=5",
            "optimizer.name=adamw",
            "optimizer.learning_rate=1e-3",
            // Gradients that are nothing but rounding stay what they are, and are not made steps of full length.
            "optimizer.eps=1e-6",
        ],
        steps: 10,
    },
];

/// How much is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Minutes.
    Full,
    /// Seconds.
    Quick,
}

impl Case {
    /// The cases of an extent.
    pub(super) fn all(extent: Extent) -> &'static [Self] {
        match extent {
            Extent::Full => &FULL,
            Extent::Quick => &QUICK,
        }
    }

    /// Its whole configuration.
    ///
    /// # Errors
    /// If a value of the tables above is wrong.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let names_loss = self.set.iter().any(|set| set.starts_with("loss.name"));
        // Another loss has parameters of its own.
        let recipe = RECIPE.iter().filter(|set| !(names_loss && set.starts_with("loss.")));
        let set = recipe.chain(self.set).map(ToString::to_string).collect();
        Ok(config::choose(&ConfigArguments { config: None, set })?.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_a_configuration() {
        for case in FULL.iter().chain(&QUICK) {
            assert!(case.config().is_ok(), "{}: {:?}", case.name, case.config());
        }
    }
}
