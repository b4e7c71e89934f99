//! The arguments of `synth`.
//! Knows no network: what they mean is that command's matter.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use super::ComputerArguments;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
#[command(group = ArgGroup::new("target").required(true).args(["classes", "images", "embeddings", "held_out"]))]
pub(crate) struct SynthArguments {
    /// A run's folder, a checkpoint or a weights file.
    pub(crate) net: PathBuf,
    /// Classes of a run or checkpoint by their numbers, and ranges of them, such as `0,5,9` or `0-63`.
    #[arg(long, value_name = "CLASSES", value_delimiter = ',')]
    pub(crate) classes: Vec<String>,
    /// Folders of aligned faces and single ones, whose embeddings are aimed at.
    #[arg(long, value_name = "DIR|FILE", num_args = 1..)]
    pub(crate) images: Vec<PathBuf>,
    /// Embeddings to aim at, (N, D) in f32 as `embed` writes them: `.npy` or `.safetensors`.
    #[arg(long, value_name = "FILE")]
    pub(crate) embeddings: Option<PathBuf>,
    /// Pairs of the faces in --images, LFW's `pairs.txt` or a CSV: one face of each person is aimed at, and what is made is
    /// to pass for another of the same person.
    #[arg(long, value_name = "FILE", requires = "images")]
    pub(crate) pairs: Option<PathBuf>,
    /// The same of the pairs that a run was verified on.
    #[arg(long)]
    pub(crate) held_out: bool,
    /// Another network that judges what was made: a run's folder, a checkpoint or a weights file. May be repeated.
    #[arg(long, value_name = "NET")]
    pub(crate) judge: Vec<PathBuf>,
    /// A folder made for the same targets, such as one without the prior: each judge says what they differ in, image by image.
    #[arg(long, value_name = "DIR", conflicts_with = "embeddings")]
    pub(crate) against: Option<PathBuf>,
    /// Images of each class.
    #[arg(long, value_name = "N", default_value = "1", conflicts_with_all = ["images", "embeddings", "held_out"])]
    pub(crate) per_class: NonZeroUsize,
    /// Take at most the first N images, people or embeddings.
    #[arg(long, value_name = "N", conflicts_with = "classes")]
    pub(crate) count: Option<NonZeroUsize>,
    /// What single values lie over: few steps of several beginnings with more priors, or the paper's own.
    #[arg(long, value_enum, default_value = "fast", value_name = "PRESET")]
    pub(crate) preset: Preset,
    /// Change one value, such as `steps=500` or `distance=cosine` (else euclidean): a TOML value, else a string. May be
    /// repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Leave the statistics of the batch norms out: for a network without them, or to see what they do.
    #[arg(long)]
    pub(crate) without_prior: bool,
    /// Another seed begins with other noise.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Begin every image N times with other noise, and keep the one that is nearest to its target [default: 5; with
    /// --preset paper 1].
    #[arg(long, value_name = "N")]
    pub(crate) beginnings: Option<NonZeroU64>,
    /// Images that are made together, at most; the statistics are over them.
    #[arg(long, default_value = "64", value_name = "N")]
    pub(crate) batch_size: NonZeroUsize,
    /// Keep all images as they are at N times, evenly over the steps of all beginnings [default: 0; with --animation 20].
    #[arg(long, value_name = "N")]
    pub(crate) frames: Option<u64>,
    /// Write the frames as one animated PNG.
    #[arg(long)]
    pub(crate) animation: bool,
    /// The network of a file that does not say it.
    #[arg(long, value_name = "NAME")]
    pub(crate) backbone: Option<String>,
    /// How bytes become numbers where the file does not say it: 127.5, 128 or imagenet.
    #[arg(long, value_name = "NAME")]
    pub(crate) normalise: Option<String>,
    #[command(flatten)]
    pub(crate) computer: ComputerArguments,
    /// Folder to write, new or begun by the same command [default: synth/NAME, after the network].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print the summary as one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// A twenty-seventh of the paper's steps in all, and faces that other networks recognise.
    Fast,
    /// The paper's.
    Paper,
}
