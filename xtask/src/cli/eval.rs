//! The arguments of `eval`: pairs of faces, and the protocols of the field as commands below it.
//! Knows no work.

mod layout;

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::ComputerArguments;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct EvalArguments {
    #[command(subcommand)]
    pub(crate) command: Option<EvalCommand>,
    #[command(flatten)]
    pub(crate) pairs: EvalPairsArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// Compare embeddings that are there already: pairs of a list, or all pairs.
    Embeddings(EmbeddingsArguments),
    /// IJB-B and IJB-C: templates verified 1:1 and identified 1:N.
    #[command(after_long_help = layout::IJB)]
    Ijb(IjbArguments),
    /// MegaFace: faces searched among up to a million distractors, and verified against them.
    #[command(after_long_help = layout::MEGAFACE)]
    Megaface(MegafaceArguments),
    /// LFR2019-Image: all pairs of faces, and each with all distractors.
    #[command(after_long_help = layout::LFR_IMAGE)]
    LfrImage(LfrImageArguments),
    /// LFR2019-Video: all pairs of videos, each the mean of its frames.
    #[command(after_long_help = layout::LFR_VIDEO)]
    LfrVideo(VideoArguments),
    /// YouTube Faces: listed pairs of videos, each the mean of its frames, by folds.
    #[command(after_long_help = layout::YTF)]
    Ytf(VideoArguments),
    /// Put evaluations that were written with `--out` side by side in one table.
    Compare(CompareArguments),
}

#[derive(Debug, Args)]
pub(crate) struct EvalPairsArguments {
    /// A run's folder, a checkpoint or a weights file; several are compared.
    #[arg(required = true, value_name = "NET")]
    pub(crate) nets: Vec<PathBuf>,
    /// Folder of aligned faces that the pairs list speaks of; without it, for a run, what it was verified on.
    #[arg(long, value_name = "DIR", requires = "pairs")]
    pub(crate) images: Option<PathBuf>,
    /// Pairs list: LFW's `pairs.txt` or a CSV with the columns a, b, same.
    #[arg(long, value_name = "FILE", requires = "images")]
    pub(crate) pairs: Option<PathBuf>,
    /// Verification set in one file, insightface's `.bin`, in place of images and pairs.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["images", "pairs"])]
    pub(crate) bin: Option<PathBuf>,
    /// Folder of `.bin` files, which are verified one after the other and stand in one table.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["images", "pairs", "bin"])]
    pub(crate) suite: Option<PathBuf>,
    /// Add the embedding of the mirror image [for a run as it was configured, else false].
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(crate) mirror: Option<bool>,
    /// The network of a file that does not say it.
    #[arg(long, value_name = "NAME")]
    pub(crate) backbone: Option<String>,
    /// How bytes become numbers where the file does not say it: 127.5, 128 or imagenet.
    #[arg(long, value_name = "NAME")]
    pub(crate) normalise: Option<String>,
    /// Images per batch.
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) batch_size: usize,
    #[command(flatten)]
    pub(crate) computer: ComputerArguments,
    #[command(flatten)]
    pub(crate) output: EvalOutput,
}

/// Where the figures go.
#[derive(Debug, Args)]
pub(crate) struct EvalOutput {
    /// Folder for the plots, the figures and a report.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EmbeddingsArguments {
    /// Embeddings (N, D): `.npy` or `.safetensors`, in single or half precision; FILE.paths.txt, where it is there, names
    /// their images, a line for each.
    pub(crate) file: PathBuf,
    /// Pairs list: LFW's `pairs.txt` or a CSV with the columns a, b, same and, if it has folds, fold. A face is the end of
    /// a path in FILE.paths.txt or, without that file, the number of a row.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["labels", "all_pairs"], required_unless_present_any = ["labels", "all_pairs"])]
    pub(crate) pairs: Option<PathBuf>,
    /// Compare all pairs of rows, a line of this file saying whom a row shows.
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Compare all pairs of rows; without --labels the folder of an image says whom it shows.
    #[arg(long)]
    pub(crate) all_pairs: bool,
    /// False accept rates of all pairs.
    #[arg(long, value_name = "RATES", value_delimiter = ',', default_value = "1e-6,1e-5,1e-4,1e-3,1e-2,1e-1")]
    pub(crate) far: Vec<f64>,
    #[command(flatten)]
    pub(crate) output: EvalOutput,
}

/// Where the embeddings of a protocol come from.
#[derive(Debug, Args)]
pub(crate) struct FaceArguments {
    /// A run's folder, a checkpoint or a weights file.
    #[arg(required_unless_present = "features")]
    pub(crate) net: Option<PathBuf>,
    /// Folder of the protocol; `--help` shows what it holds.
    #[arg(long, value_name = "DIR", required_unless_present = "features")]
    pub(crate) dir: Option<PathBuf>,
    /// Embeddings in place of NET's: `.npy` or `.safetensors`, with the images in FILE.paths.txt as `embed` writes it.
    #[arg(long, value_name = "FILE", conflicts_with = "net")]
    pub(crate) features: Option<PathBuf>,
    /// Add the embedding of the mirror image.
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = ArgAction::Set, value_name = "BOOL")]
    pub(crate) mirror: bool,
    /// Folder that keeps embeddings; the same command goes on with what is there.
    #[arg(long, default_value = "embeddings", value_name = "DIR")]
    pub(crate) cache: PathBuf,
    /// Keep them in half precision: half the room, and cosines that are off by less than 0.001.
    #[arg(long)]
    pub(crate) half: bool,
    /// The network of a file that does not say it.
    #[arg(long, value_name = "NAME")]
    pub(crate) backbone: Option<String>,
    /// How bytes become numbers where the file does not say it: 127.5, 128 or imagenet.
    #[arg(long, value_name = "NAME")]
    pub(crate) normalise: Option<String>,
    /// Images per batch.
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) batch_size: usize,
    #[command(flatten)]
    pub(crate) computer: ComputerArguments,
    /// Threads that read images ahead.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) workers: usize,
}

#[derive(Debug, Args)]
pub(crate) struct IjbArguments {
    #[command(flatten)]
    pub(crate) faces: FaceArguments,
    /// What the length of an image's embedding counts.
    #[arg(long, value_enum, default_value = "kept", value_name = "NORM")]
    pub(crate) norm: NormChoice,
    /// Multiply the embedding of an image by its detector's score.
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = ArgAction::Set, value_name = "BOOL")]
    pub(crate) detector_score: bool,
    /// Also show what every other pooling comes to.
    #[arg(long)]
    pub(crate) variants: bool,
    #[command(flatten)]
    pub(crate) output: EvalOutput,
}

#[derive(Debug, Args)]
pub(crate) struct MegafaceArguments {
    #[command(flatten)]
    pub(crate) faces: FaceArguments,
    /// Leave out the faces that the lists of wrong ones in DIR name.
    #[arg(long)]
    pub(crate) refined: bool,
    /// Write a feature file for each face into this folder; `--features` takes such a folder too.
    #[arg(long, value_name = "DIR")]
    pub(crate) write_features: Option<PathBuf>,
    /// Another seed draws other distractors for the small numbers of them.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) output: EvalOutput,
}

#[derive(Debug, Args)]
pub(crate) struct LfrImageArguments {
    #[command(flatten)]
    pub(crate) faces: FaceArguments,
    #[command(flatten)]
    pub(crate) output: EvalOutput,
}

#[derive(Debug, Args)]
pub(crate) struct VideoArguments {
    #[command(flatten)]
    pub(crate) faces: FaceArguments,
    /// What the length of a frame's embedding counts.
    #[arg(long, value_enum, default_value = "kept", value_name = "NORM")]
    pub(crate) norm: NormChoice,
    #[command(flatten)]
    pub(crate) output: EvalOutput,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// Folders that evaluations were written into, or their `eval.json`.
    #[arg(required = true, value_name = "DIR|FILE")]
    pub(crate) evaluations: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) output: EvalOutput,
}

#[derive(Debug, Args)]
pub(crate) struct EvalBenchArguments {
    /// Fail if a figure misses the least that is asked of it.
    #[arg(long)]
    pub(crate) check: bool,
    /// A hundredth of the set, once.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Print one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the length of an image's embedding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NormChoice {
    /// As it is: longer ones, of faces that are seen well, count more.
    Kept,
    /// Nothing: all are scaled to length 1.
    Unit,
}
