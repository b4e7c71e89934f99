//! The works that `bench peer` measures, with what is to be reached at least and in the end.
//! Knows no process and no time; a work is a few values over the default configuration.

use std::path::PathBuf;

use anyhow::bail;
use arcface_synth::InversionConfig;
use serde::Serialize;

use super::faces::DrawnFaces;
use super::protocol::Task;
use crate::cli::ConfigArguments;
use crate::config::{self, DeviceChoice, Precision};

/// One work, done in turns by all sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// Unique.
    pub(super) name: &'static str,
    kind: Kind,
    /// Values over [`COMMON`].
    set: &'static [&'static str],
    pub(super) turns: Turns,
    extent: Extent,
    /// What is read off it.
    pub(super) targets: &'static [Target],
}

/// A figure of a work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Unique; what `--only` takes.
    pub(super) name: &'static str,
    pub(super) figure: Figure,
    /// Absent for works that only try out the way.
    pub(super) bounds: Option<Bounds>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Figure {
    /// The fastest peer's median time by ours.
    Speed,
    /// Our peak memory by that of the most frugal peer, both without what was held before.
    Memory,
    /// Our peak memory in MB beyond what was held before, the class centers, their gradient and their momentum.
    ExtraMemory,
}

/// What a figure is held to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Bounds {
    pub(super) least: f64,
    pub(super) goal: f64,
}

/// Who works when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turns {
    /// All sides are there and take turns, so that a busy minute meets all alike.
    Alternating,
    /// One side is done and gone before the next begins: memory would not hold all.
    OneAfterTheOther,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Training {
        classes: usize,
    },
    Inference,
    Head {
        classes: usize,
    },
    Inversion,
    /// Training on files.
    Input {
        classes: usize,
        drawn: Drawn,
    },
    Loading(Drawn),
}

/// Faces to draw for a work that reads files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) identities: usize,
    pub(super) images_per_identity: usize,
    pub(super) image_size: usize,
}

/// When a work is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Always.
    Quick,
    /// Unless `--quick` is said.
    Full,
    /// Only by name.
    Named,
}

/// The recipe of the paper. At a rate this small nothing moves far: neither do losses grow until steps are skipped, nor
/// do probabilities fall to numbers so small that the processor computes them slowly. No clipping, so that PyTorch need
/// not measure gradients; ours measures them all the same.
const COMMON: [&str; 11] = [
    "data.holdout=0",
    "data.cache_mib=0",
    "data.workers=2",
    "loss.margin=0.5",
    "loss.scale=64",
    "loss.warmup_steps=0",
    "optimizer.learning_rate=1e-5",
    "optimizer.clip_norm=0",
    "schedule.name=constant",
    "schedule.warmup_epochs=0",
    "eval.mirror=false",
];

const TRAINING: Kind = Kind::Training { classes: 1000 };
const FACES: Drawn = Drawn { identities: 128, images_per_identity: 32, image_size: 112 };
const FEW_FACES: Drawn = Drawn { identities: 4, images_per_identity: 4, image_size: 32 };
const HEAD_MEMORY: Option<Bounds> = Some(Bounds { least: 64.0, goal: 16.0 });

/// Works on a CUDA device; batches of 512 one side after the other, as memory would not hold all.
const CUDA_WORKS: [Work; 19] = [
    on_cuda(
        "train-iresnet50-128",
        MANY,
        &["model.backbone=iresnet50", "train.batch_size=128"],
        &[speed("train-iresnet50-128", 1.0, 1.5), memory("memory-iresnet50-128")],
    ),
    on_cuda(
        "train-mobilefacenet-128",
        MANY,
        &["model.backbone=mobilefacenet", "train.batch_size=128"],
        &[speed("train-mobilefacenet-128", 1.2, 2.0), memory("memory-mobilefacenet-128")],
    ),
    on_cuda(
        "infer-iresnet50-128",
        Kind::Inference,
        &["model.backbone=iresnet50", "eval.batch_size=128"],
        &[speed("infer-iresnet50-128", 1.0, 1.5)],
    ),
    on_cuda(
        "infer-mobilefacenet-128",
        Kind::Inference,
        &["model.backbone=mobilefacenet", "eval.batch_size=128"],
        &[speed("infer-mobilefacenet-128", 1.0, 1.5)],
    ),
    Work {
        turns: Turns::OneAfterTheOther,
        extent: Extent::Full,
        ..on_cuda(
            "head-1000000-512",
            Kind::Head { classes: 1_000_000 },
            &["train.batch_size=512", "model.embedding_size=512"],
            &[
                speed("head-1000000-512", 1.5, 3.0),
                // Half of a matrix (B, C) in f32, which is never made.
                Target {
                    name: "head-1000000-512-memory",
                    figure: Figure::ExtraMemory,
                    bounds: Some(Bounds { least: 1024.0, goal: 256.0 }),
                },
            ],
        )
    },
    Work {
        extent: Extent::Full,
        ..on_cuda(
            "train-iresnet100-128",
            MANY,
            &["model.backbone=iresnet100", "train.batch_size=128"],
            &[speed("train-iresnet100-128", 1.0, 1.5), memory("memory-iresnet100-128")],
        )
    },
    Work {
        extent: Extent::Full,
        ..on_cuda(
            "infer-iresnet100-128",
            Kind::Inference,
            &["model.backbone=iresnet100", "eval.batch_size=128"],
            &[speed("infer-iresnet100-128", 1.0, 1.5)],
        )
    },
    large(
        "train-iresnet50-512",
        &["model.backbone=iresnet50", "train.batch_size=512"],
        &[speed("train-iresnet50-512", 1.0, 1.5), memory("memory-iresnet50-512")],
    ),
    large(
        "train-mobilefacenet-512",
        &["model.backbone=mobilefacenet", "train.batch_size=512"],
        &[speed("train-mobilefacenet-512", 1.2, 2.0), memory("memory-mobilefacenet-512")],
    ),
    large(
        "train-iresnet100-512",
        &["model.backbone=iresnet100", "train.batch_size=512"],
        &[speed("train-iresnet100-512", 1.0, 1.5), memory("memory-iresnet100-512")],
    ),
    input(
        "input-iresnet50-128",
        &["model.backbone=iresnet50", "train.batch_size=128", "data.source=record", READERS],
        &[speed("input-iresnet50-128", 0.9, 0.98)],
    ),
    input(
        "input-mobilefacenet-128",
        &["model.backbone=mobilefacenet", "train.batch_size=128", "data.source=record", READERS],
        &[speed("input-mobilefacenet-128", 0.9, 0.98)],
    ),
    trial("trial-train", Kind::Training { classes: 10 }, &SMALL, &[free("trial-train")]),
    trial("trial-input", FEW_INPUT, &SMALL_RECORDS, &[free("trial-input")]),
    trial("trial-infer", Kind::Inference, &SMALL, &[free("trial-infer")]),
    trial("trial-head", Kind::Head { classes: 1000 }, &SMALL, &[free("trial-head")]),
    trial(
        "trial-iresnet18",
        Kind::Training { classes: 10 },
        &["model.backbone=iresnet18", "model.input_size=32", "train.batch_size=4"],
        &[free("trial-iresnet18")],
    ),
    trial(
        "trial-mobilefacenet",
        Kind::Training { classes: 10 },
        &["model.backbone=mobilefacenet", "model.input_size=32", "train.batch_size=4"],
        &[free("trial-mobilefacenet")],
    ),
    trial(
        "trial-infer-mobilefacenet",
        Kind::Inference,
        &["model.backbone=mobilefacenet", "model.input_size=32", "eval.batch_size=4"],
        &[free("trial-infer-mobilefacenet")],
    ),
];

/// The classes of a training on a CUDA device.
const MANY: Kind = Kind::Training { classes: 100_000 };
const SMALL: [&str; 3] = ["train.batch_size=4", "eval.batch_size=4", "model.input_size=32"];

const SMALL_RECORDS: [&str; 3] = ["data.source=record", "train.batch_size=4", "model.input_size=32"];
const FEW_INPUT: Kind = Kind::Input { classes: 10, drawn: FEW_FACES };
/// Of a machine with 16 cores one goes to whoever tells the device what to do and one to whoever brings batches there.
const READERS: &str = "data.workers=14";

/// A work on a CUDA device, all sides in turns.
const fn on_cuda(name: &'static str, kind: Kind, set: &'static [&'static str], targets: &'static [Target]) -> Work {
    Work { name, kind, set, turns: Turns::Alternating, extent: Extent::Quick, targets }
}

/// A training of large batches.
const fn large(name: &'static str, set: &'static [&'static str], targets: &'static [Target]) -> Work {
    Work { name, kind: MANY, set, turns: Turns::OneAfterTheOther, extent: Extent::Full, targets }
}

/// A training on files beside one on a batch that is there. One after the other: nobody reads ahead while the other works.
const fn input(name: &'static str, set: &'static [&'static str], targets: &'static [Target]) -> Work {
    let kind = Kind::Input { classes: 100_000, drawn: FACES };
    Work { name, kind, set, turns: Turns::OneAfterTheOther, extent: Extent::Full, targets }
}

/// At most as much memory as PyTorch.
const fn memory(name: &'static str) -> Target {
    Target { name, figure: Figure::Memory, bounds: Some(Bounds { least: 1.0, goal: 0.8 }) }
}

const WORKS: [Work; 20] = [
    Work {
        targets: &[
            speed("train-iresnet50-16", 1.15, 1.6),
            Target {
                name: "memory-iresnet50-16",
                figure: Figure::Memory,
                bounds: Some(Bounds { least: 0.8, goal: 0.5 }),
            },
        ],
        ..full("train-iresnet50-16", TRAINING, &["model.backbone=iresnet50", "train.batch_size=16"])
    },
    Work {
        targets: &[speed("train-iresnet18-32", 1.15, 1.6)],
        ..full("train-iresnet18-32", TRAINING, &["model.backbone=iresnet18", "train.batch_size=32"])
    },
    Work {
        extent: Extent::Quick,
        targets: &[speed("train-mobilefacenet-32", 1.3, 2.5)],
        ..full("train-mobilefacenet-32", TRAINING, &["model.backbone=mobilefacenet", "train.batch_size=32"])
    },
    Work {
        targets: &[speed("train-mobilefacenet-128", 1.3, 2.5)],
        ..full("train-mobilefacenet-128", TRAINING, &["model.backbone=mobilefacenet", "train.batch_size=128"])
    },
    Work {
        targets: &[speed("infer-iresnet50-16", 1.05, 1.5)],
        ..full("infer-iresnet50-16", Kind::Inference, &["model.backbone=iresnet50", "eval.batch_size=16"])
    },
    Work {
        targets: &[speed("infer-iresnet50-1", 1.05, 1.5)],
        ..full("infer-iresnet50-1", Kind::Inference, &["model.backbone=iresnet50", "eval.batch_size=1"])
    },
    Work {
        extent: Extent::Quick,
        targets: &[speed("infer-mobilefacenet-32", 1.2, 2.0)],
        ..full("infer-mobilefacenet-32", Kind::Inference, &["model.backbone=mobilefacenet", "eval.batch_size=32"])
    },
    Work {
        extent: Extent::Quick,
        targets: &[speed("infer-mobilefacenet-1", 1.2, 2.0)],
        ..full("infer-mobilefacenet-1", Kind::Inference, &["model.backbone=mobilefacenet", "eval.batch_size=1"])
    },
    Work {
        targets: &[
            speed("head-100000", 4.0, 8.0),
            Target { name: "head-100000-memory", figure: Figure::ExtraMemory, bounds: HEAD_MEMORY },
        ],
        ..full("head-100000", Kind::Head { classes: 100_000 }, &["train.batch_size=128", "model.embedding_size=512"])
    },
    Work {
        turns: Turns::OneAfterTheOther,
        targets: &[
            speed("head-1000000", 4.0, 8.0),
            Target { name: "head-1000000-memory", figure: Figure::ExtraMemory, bounds: HEAD_MEMORY },
        ],
        ..full("head-1000000", Kind::Head { classes: 1_000_000 }, &["train.batch_size=128", "model.embedding_size=512"])
    },
    Work {
        targets: &[speed("invert-y1-16", 1.5, 2.5)],
        ..full("invert-y1-16", Kind::Inversion, &["model.backbone=mobilefacenet_y1", "eval.batch_size=16"])
    },
    Work {
        targets: &[speed("invert-iresnet18-16", 1.5, 2.5)],
        ..full("invert-iresnet18-16", Kind::Inversion, &["model.backbone=iresnet18", "eval.batch_size=16"])
    },
    Work {
        targets: &[speed("loader-folder", 3.0, 6.0)],
        ..full("loader-folder", Kind::Loading(FACES), &["data.source=folder", "train.batch_size=64"])
    },
    Work {
        targets: &[speed("loader-record", 3.0, 6.0)],
        ..full("loader-record", Kind::Loading(FACES), &["data.source=record", "train.batch_size=64"])
    },
    trial("trial-train", Kind::Training { classes: 10 }, &["train.batch_size=4"], &[free("trial-train")]),
    trial("trial-infer", Kind::Inference, &["eval.batch_size=1"], &[free("trial-infer")]),
    trial("trial-head", Kind::Head { classes: 1000 }, &["train.batch_size=8"], &[free("trial-head")]),
    trial("trial-invert", Kind::Inversion, &["eval.batch_size=4", "model.input_size=48"], &[free("trial-invert")]),
    trial(
        "trial-loader",
        Kind::Loading(FEW_FACES),
        &["data.source=record", "train.batch_size=8", "model.input_size=32"],
        &[free("trial-loader")],
    ),
    trial("trial-input", FEW_INPUT, &SMALL_RECORDS, &[free("trial-input")]),
];

/// A work of the full run.
const fn full(name: &'static str, kind: Kind, set: &'static [&'static str]) -> Work {
    Work { name, kind, set, turns: Turns::Alternating, extent: Extent::Full, targets: &[] }
}

/// A small work to try out the way from end to end.
const fn trial(name: &'static str, kind: Kind, set: &'static [&'static str], targets: &'static [Target]) -> Work {
    Work { name, kind, set, turns: Turns::Alternating, extent: Extent::Named, targets }
}

const fn speed(name: &'static str, least: f64, goal: f64) -> Target {
    Target { name, figure: Figure::Speed, bounds: Some(Bounds { least, goal }) }
}

const fn free(name: &'static str) -> Target {
    Target { name, figure: Figure::Speed, bounds: None }
}

/// What the user asks of all works.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) device: DeviceChoice,
    pub(super) precision: Option<Precision>,
    /// Of trainings.
    pub(super) classes: Option<usize>,
    /// Values over the works' own.
    pub(super) set: &'a [String],
}

impl Asked<'_> {
    /// Where nothing is said, bf16 on a CUDA device and f32 on the CPU.
    pub(super) fn precision(&self) -> Precision {
        let is_cuda = matches!(self.device, DeviceChoice::Cuda(_));
        self.precision.unwrap_or(if is_cuda { Precision::Bf16 } else { Precision::F32 })
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Every work that has bounds.
    Full,
    /// The small ones.
    Quick,
}

/// The works of `choice` on `device`, or those with a figure that `only` names.
///
/// # Errors
/// If a name is unknown.
pub(super) fn choose(device: DeviceChoice, choice: Choice, only: &[String]) -> anyhow::Result<Vec<&'static Work>> {
    let works: &[Work] = if matches!(device, DeviceChoice::Cuda(_)) { &CUDA_WORKS } else { &WORKS };
    let known = || works.iter().flat_map(|work| work.targets).map(|target| target.name);
    if let Some(name) = only.iter().find(|name| known().all(|known| known != **name)) {
        bail!("--only {name}: no work of that name; known: {}", known().collect::<Vec<_>>().join(", "));
    }
    let in_extent = |work: &Work| match choice {
        Choice::Full => work.extent != Extent::Named,
        Choice::Quick => work.extent == Extent::Quick,
    };
    let wanted = |work: &&Work| match only {
        [] => in_extent(work),
        only => work.targets.iter().any(|target| only.iter().any(|name| name == target.name)),
    };
    Ok(works.iter().filter(wanted).collect())
}

impl Work {
    /// The faces that must be drawn before, for works that read files.
    pub(super) fn drawn(&self) -> Option<Drawn> {
        match self.kind {
            Kind::Loading(drawn) | Kind::Input { drawn, .. } => Some(drawn),
            _ => None,
        }
    }

    /// What all sides are told, `asked` over the work's own values; `faces` holds the drawn faces.
    ///
    /// # Errors
    /// If a value is wrong.
    pub(super) fn task(&self, asked: &Asked<'_>, faces: Option<&DrawnFaces>) -> anyhow::Result<Task> {
        let path = faces.map(|faces| if self.reads_records() { &faces.record } else { &faces.folder });
        let path = path.map(|path| format!("data.path={}", toml::Value::from(path.display().to_string())));
        let own = COMMON.iter().chain(self.set).map(ToString::to_string);
        let computer = [format!("device={}", asked.device), format!("precision={}", asked.precision().name())];
        let set = own.chain(path).chain(computer).chain(asked.set.iter().cloned()).collect();
        let config = Box::new(config::choose(&ConfigArguments { config: None, set })?.config);
        if config.device != asked.device {
            bail!("--set device: expected none; --device says what computes");
        }
        let kind = match (self.kind, asked.classes) {
            (Kind::Training { .. }, Some(classes)) => Kind::Training { classes },
            (Kind::Input { drawn, .. }, Some(classes)) => Kind::Input { classes: classes.max(drawn.identities), drawn },
            (kind, _) => kind,
        };
        Ok(match kind {
            Kind::Training { classes } => Task::Training { config, classes },
            Kind::Inference => Task::Inference { config },
            Kind::Head { classes } => Task::Head { config, classes },
            Kind::Input { classes, .. } => Task::Input { config, classes },
            Kind::Inversion => Task::Inversion { config, inversion: Box::new(InversionConfig::fast()) },
            Kind::Loading(_) => {
                let folder = faces.map_or_else(PathBuf::new, |faces| faces.folder.clone());
                Task::Loading { config, folder }
            }
        })
    }

    /// Whether a side of it runs in Python.
    pub(super) fn needs_peer(&self) -> bool {
        !matches!(self.kind, Kind::Input { .. })
    }

    fn reads_records(&self) -> bool {
        self.set.contains(&"data.source=record")
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::Side;
    use super::*;

    fn names(choice: Choice, only: &[&str]) -> Vec<&'static str> {
        let only: Vec<String> = only.iter().map(ToString::to_string).collect();
        choose(DeviceChoice::Cpu, choice, &only).unwrap().iter().map(|work| work.name).collect()
    }

    const NOTHING: Asked<'_> = Asked { device: DeviceChoice::Cpu, precision: None, classes: None, set: &[] };

    fn drawn(work: &Work) -> Option<DrawnFaces> {
        work.drawn().map(|_| DrawnFaces { folder: "faces".into(), record: "faces.rec".into() })
    }

    #[test]
    fn every_work_is_a_configuration() {
        for work in &WORKS {
            let task = work.task(&NOTHING, drawn(work).as_ref());
            assert!(task.is_ok(), "{}: {task:?}", work.name);
            assert!(work.targets.iter().any(|target| target.name == work.name), "{}", work.name);
        }
    }

    #[test]
    fn every_work_on_cuda_is_one_beside_pytorch_or_beside_ours() {
        let asked = Asked { device: DeviceChoice::Cuda(1), classes: Some(7), ..NOTHING };
        for work in &CUDA_WORKS {
            let task = work.task(&asked, drawn(work).as_ref()).unwrap();
            let sides: &[Side] = if work.needs_peer() {
                &[Side::Ours, Side::TorchHalf, Side::TorchCompiled]
            } else {
                &[Side::Ours, Side::OursAtHand]
            };
            assert_eq!(task.sides(), sides, "{}", work.name);
            assert_eq!(
                (task.config().device, task.config().precision),
                (asked.device, Precision::Bf16),
                "{}",
                work.name
            );
            assert!(work.targets.iter().any(|target| target.name == work.name), "{}", work.name);
            assert!(!matches!(task, Task::Training { classes, .. } if classes != 7), "{}", work.name);
        }
        let only = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let chosen = |choice, names: &[&str]| choose(asked.device, choice, &only(names)).unwrap().len();
        assert_eq!([chosen(Choice::Full, &[]), chosen(Choice::Quick, &[])], [12, 4]);
        assert_eq!(chosen(Choice::Quick, &["memory-iresnet50-512", "trial-head"]), 2);
    }

    #[test]
    fn the_device_has_a_flag_of_its_own() {
        let set = ["device=cuda:0".to_owned()];
        let error = WORKS[0].task(&Asked { set: &set, ..NOTHING }, None).unwrap_err();
        insta::assert_snapshot!(error, @"--set device: expected none; --device says what computes");
    }

    #[test]
    fn a_record_is_ours_and_its_folder_the_peers() {
        let work = WORKS.iter().find(|work| work.name == "loader-record").unwrap();
        let faces = DrawnFaces { folder: "a \"b\"".into(), record: "c.rec".into() };
        let Task::Loading { config, folder } = work.task(&NOTHING, Some(&faces)).unwrap() else { panic!() };
        assert_eq!((config.data.path.unwrap(), folder), (faces.record, faces.folder));
    }

    #[test]
    fn names_choose_a_work_by_any_of_its_figures() {
        assert_eq!(names(Choice::Quick, &["memory-iresnet50-16"]), ["train-iresnet50-16"]);
        assert_eq!(
            names(Choice::Quick, &[]),
            ["train-mobilefacenet-32", "infer-mobilefacenet-32", "infer-mobilefacenet-1"]
        );
        assert_eq!(names(Choice::Full, &[]).len(), 14);
    }

    #[test]
    fn values_of_the_user_come_last() {
        let work = &WORKS[0];
        let set = ["train.batch_size=3".to_owned()];
        let Task::Training { config, .. } = work.task(&Asked { set: &set, ..NOTHING }, None).unwrap() else { panic!() };
        assert_eq!(config.train.batch_size, 3);
    }
}
