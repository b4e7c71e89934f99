//! The command line as types: every command with its arguments, read by clap.
//! Knows no work; each command is a function of its arguments elsewhere.

mod computer;
mod eval;
mod synth;

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use computer::ComputerArguments;
pub(crate) use eval::{
    CompareArguments, EmbeddingsArguments, EvalArguments, EvalBenchArguments, EvalCommand, EvalOutput,
    EvalPairsArguments, FaceArguments, IjbArguments, LfrImageArguments, MegafaceArguments, NormChoice, VideoArguments,
};
pub(crate) use synth::{Preset, SynthArguments};

use crate::config::{DeviceChoice, Precision};

/// Train, verify and study face recognisers.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a network: without arguments a quick run on drawn faces.
    Train(TrainArguments),
    /// Verify pairs of faces with a network, or run a protocol of the field.
    Eval(Box<EvalArguments>),
    /// Write the embeddings of images into a file.
    Embed(EmbedArguments),
    /// Write a network's weights for torch (`.pth`) or as `.safetensors`.
    Export(ExportArguments),
    /// Find wrong labels by the sub-centers of a run, and drop them.
    Purify(PurifyArguments),
    /// Make faces from a network: of its classes, of images or of embeddings.
    Synth(SynthArguments),
    /// List the losses that are linked in, or compute one on given embeddings.
    Losses(LossesArguments),
    /// Print a configuration, complete and checked.
    Config(ConfigArguments),
    /// Look at data sets, align photographs, draw faces, draw pairs.
    Data(DataArguments),
    /// Train variants of a configuration over several seeds, and compare them in one table.
    Ablate(AblateArguments),
    /// Draw figures of the paper from runs and losses, as SVG and PNG with their numbers.
    Figure(FigureArguments),
    /// Compare our training with other people's.
    Bench(BenchArguments),
    /// Run every test and doctest.
    Test,
    /// Run every check that is not a test.
    Lint,
    /// Run `lint` and `test`.
    Ci,
}

/// Which experiment: a file or the name of a built-in one, and single values over it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArguments {
    /// A configuration file, or the name of a built-in one; without it the quick run on drawn faces.
    pub(crate) config: Option<PathBuf>,
    /// Change one value, such as `loss.margin=0.3`: a TOML value, else a string. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// Name of the run, whose folder is `runs/NAME`; without it the configuration's name and a number.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Go on with the run NAME from its last checkpoint; `--set` then changes `train.epochs`, `device`, `precision` and
    /// `data.workers` only.
    #[arg(long, requires = "name", conflicts_with = "config")]
    pub(crate) resume: bool,
    /// Folder that runs are kept in.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub(crate) runs: PathBuf,
    /// Print the summary as one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EmbedArguments {
    /// A run's folder, a checkpoint or a weights file.
    pub(crate) net: PathBuf,
    /// Folders of aligned faces, flat or with sub-folders, and single images.
    #[arg(long, value_name = "DIR|FILE", num_args = 1.., required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// File to write, (N, D): `.npy` or `.safetensors`. The images stand in FILE.paths.txt, a line for each row.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Add the embedding of the mirror image.
    #[arg(long)]
    pub(crate) mirror: bool,
    /// Store half precision: half the room, and cosines that are off by less than 0.001.
    #[arg(long)]
    pub(crate) half: bool,
    /// Embeddings as the network gives them, or of length 1 [default: raw; with --mirror, as `eval` compares them, unit].
    #[arg(long, value_enum, value_name = "LENGTH")]
    pub(crate) length: Option<EmbeddingLength>,
    /// What becomes of an image that cannot be used: the end, or a line that names it.
    #[arg(long, value_enum, default_value = "error", value_name = "WHAT")]
    pub(crate) on_corrupt: OnFault,
    /// The network of a file that does not say it.
    #[arg(long, value_name = "NAME")]
    pub(crate) backbone: Option<String>,
    /// How bytes become numbers where the file does not say it: 127.5, 128 or imagenet.
    #[arg(long, value_name = "NAME")]
    pub(crate) normalise: Option<String>,
    /// Images per batch.
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) batch_size: usize,
    /// Threads that read images ahead.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) workers: usize,
    #[command(flatten)]
    pub(crate) computer: ComputerArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EmbeddingLength {
    /// As the network gives them.
    Raw,
    /// Scaled to length 1.
    Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnFault {
    /// It ends the command.
    Error,
    /// It is left out, and listed.
    Skip,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// A run's folder, a checkpoint or a weights file: `.safetensors` or torch's `.pth`.
    pub(crate) net: PathBuf,
    /// New file to write; its ending says the form: `.pth`, `.pt` or `.ckpt` for torch, else `.safetensors`.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PurifyArguments {
    /// Folder of a finished run with sub-centers.
    pub(crate) run: PathBuf,
    /// Angle to the dominant sub-center of its class beyond which an image is dropped.
    #[arg(long, default_value_t = 75.0, value_name = "DEGREES")]
    pub(crate) angle: f64,
    /// New folder for the cleaned set as RecordIO, with lists and report [default: only lists and report, in the run's
    /// folder].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// What becomes of an identity that loses all its images.
    #[arg(long, value_enum, default_value = "error", value_name = "WHAT")]
    pub(crate) on_empty: OnFault,
    /// Train again from scratch on what is left, with one center per class.
    #[arg(long)]
    pub(crate) retrain: bool,
    /// Name of that run, which stands beside the old one [default: RUN-purified-DEGREES].
    #[arg(long, value_name = "NAME", requires = "retrain")]
    pub(crate) name: Option<String>,
    /// Print one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LossesArguments {
    #[command(subcommand)]
    pub(crate) command: Option<LossesCommand>,
    /// Print the list as one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LossesCommand {
    /// Compute a loss and its gradients on given embeddings, to compare with another framework.
    Eval(LossesEvalArguments),
}

#[derive(Debug, Args)]
pub(crate) struct LossesEvalArguments {
    /// Name of the loss.
    pub(crate) name: String,
    /// `.safetensors` with `embeddings` (B, D), `centers` (C, D) or (C, K, D), `labels` (B) and optionally `bias` (C).
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// `.safetensors` to write: `loss` (the batch mean), `d_embeddings`, `d_centers` and, for a bias, `d_bias`.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Element type of the computation: f32 or f64; without it that of the embeddings.
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,
    /// Training step, for losses that change with it.
    #[arg(long, default_value_t = 0)]
    pub(crate) step: u64,
    /// Change a parameter of the loss, such as `margin=0.3`. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DataArguments {
    #[command(subcommand)]
    pub(crate) command: DataCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Count identities and images, and find files that cannot be read.
    Inspect(InspectArguments),
    /// Cut aligned faces out of photographs by their five landmarks.
    Align(AlignArguments),
    /// Convert a data set into a folder or a `.rec`, images as they are encoded or smaller.
    Convert(ConvertArguments),
    /// Draw faces into a folder, one sub-folder per identity.
    Generate(GenerateArguments),
    /// Draw balanced genuine and impostor pairs of a folder's faces into a list.
    Pairs(PairsArguments),
    /// Pack pairs and their faces into one verification file, insightface's `.bin`.
    Bin(BinArguments),
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// Folder with one sub-folder per identity, a `.rec` or the folder of `train.rec`, MNIST's idx files, a `.parquet`
    /// or a folder of them, or a verification set (`.bin`).
    pub(crate) path: PathBuf,
    /// File with the identities of a folder to take, one per line.
    #[arg(long, value_name = "FILE")]
    pub(crate) identities: Option<PathBuf>,
    /// How closely to look: names, headers or pixels.
    #[arg(long, value_enum, default_value = "headers")]
    pub(crate) depth: InspectDepth,
    /// Print one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum InspectDepth {
    /// Count names only.
    Names,
    /// Read the headers of all files.
    Headers,
    /// Decode all files.
    Pixels,
}

#[derive(Debug, Args)]
pub(crate) struct AlignArguments {
    /// Folder of photographs.
    pub(crate) images: PathBuf,
    /// Landmarks: a CSV with the columns `path`, `x_leye`, `y_leye`, … or lines `path x1 y1 … x5 y5`.
    pub(crate) landmarks: PathBuf,
    /// Folder to write, new or begun by the same command: the same paths as in IMAGES.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Pixels along an edge.
    #[arg(long, default_value_t = 112, value_name = "PIXELS")]
    pub(crate) size: usize,
    /// Quality of the JPEG files (1 to 100).
    #[arg(long, default_value_t = 95, value_name = "QUALITY")]
    pub(crate) jpeg: u8,
    /// Write PNG instead of JPEG.
    #[arg(long, conflicts_with = "jpeg")]
    pub(crate) png: bool,
    /// Whose left and right the list means: as seen in the image, or the person's own.
    #[arg(long, value_enum, default_value = "image", value_name = "WHOSE")]
    pub(crate) sides: SidesChoice,
    /// What becomes of images without landmarks and landmarks without image.
    #[arg(long, value_enum, default_value = "error", value_name = "WHAT")]
    pub(crate) missing: OnFault,
    /// What becomes of images and landmarks that cannot be used.
    #[arg(long, value_enum, default_value = "error", value_name = "WHAT")]
    pub(crate) on_corrupt: OnFault,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum SidesChoice {
    /// As seen in the image.
    Image,
    /// The person's own.
    Person,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArguments {
    /// Folder with one sub-folder per identity, a `.rec` or the folder of `train.rec`, MNIST's idx files, or a `.parquet`
    /// or a folder of them.
    pub(crate) source: PathBuf,
    /// What to write, which must not exist: a name that ends in `.rec`, or a folder.
    pub(crate) destination: PathBuf,
    /// File with the identities of a folder to take, one per line.
    #[arg(long, value_name = "FILE")]
    pub(crate) identities: Option<PathBuf>,
    /// Encode every image anew as JPEG of this quality, 1 to 100, for a smaller set.
    #[arg(long, value_name = "N")]
    pub(crate) quality: Option<u8>,
    /// Print one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArguments {
    /// Folder to write, new or empty.
    pub(crate) folder: PathBuf,
    /// Identities to draw.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) identities: usize,
    /// Images of each identity.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) images_per_identity: usize,
    /// Pixels along an edge.
    #[arg(long, default_value_t = 112, value_name = "PIXELS")]
    pub(crate) size: usize,
    /// Number of the first identity; ranges that do not overlap share no identity.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) first_identity: u64,
    /// Strength of pose, light, expression, occlusion, blur and noise, 0 to 1.
    #[arg(long, default_value_t = 1.0, value_name = "STRENGTH")]
    pub(crate) nuisance: f32,
    /// Another seed gives other identities.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Write JPEG of this quality (1 to 100) instead of PNG.
    #[arg(long, value_name = "QUALITY")]
    pub(crate) jpeg: Option<u8>,
}

#[derive(Debug, Args)]
pub(crate) struct PairsArguments {
    /// Folder with one sub-folder per identity.
    pub(crate) folder: PathBuf,
    /// File to write: CSV if its name ends in `.csv`, else LFW's form.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// File with the identities to take, one per line.
    #[arg(long, value_name = "FILE")]
    pub(crate) identities: Option<PathBuf>,
    /// Pairs in all, half of them genuine.
    #[arg(long, default_value_t = 6000, value_name = "N")]
    pub(crate) count: usize,
    /// Folds.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) folds: usize,
    /// Seed of the draw.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct BinArguments {
    /// Pairs list: LFW's `pairs.txt` or a CSV with the columns a, b, same.
    pub(crate) pairs: PathBuf,
    /// Folder of faces that the list speaks of.
    #[arg(long, value_name = "DIR")]
    pub(crate) images: PathBuf,
    /// New file to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AblateArguments {
    /// What to vary: losses, margins, sub-centers, noise, real-noise, real-losses, embedding, synth, paper/table2, paper/table3, or a file like theirs.
    pub(crate) ablation: PathBuf,
    /// Configuration to vary, a file or the name of a built-in one [default: that of the ablation].
    pub(crate) config: Option<PathBuf>,
    /// Only these rows.
    #[arg(long, value_name = "ROWS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Seeds of each row [default: those of the ablation].
    #[arg(long, value_name = "N")]
    pub(crate) seeds: Option<NonZeroU64>,
    /// Smaller and shorter runs with fewer seeds.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Runs side by side, which share the cores [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Name of the ablation, whose folder is `runs/ablate-NAME`; the same command goes on with what is there.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Folder that runs are kept in.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub(crate) runs: PathBuf,
    /// Change one value of all rows, such as `train.epochs=2`. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FigureArguments {
    #[command(subcommand)]
    pub(crate) command: FigureCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FigureCommand {
    /// Draw embeddings of two dimensions, Norm-Softmax beside ArcFace on eight identities.
    Toy(ToyArguments),
    /// Draw the angles of training images to their class centers at start, middle and end.
    Angles(AngleFigureArguments),
    /// Draw target logits over the angle.
    Logits(LossFigureArguments),
    /// Draw where a margin divides two classes.
    Margins(LossFigureArguments),
    /// Measure how far embeddings, their class means and the class centers lie from each other.
    Statistics(StatisticsArguments),
    /// Draw the angles of genuine and impostor pairs.
    Pairs(RunFigureArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ToyArguments {
    /// Runs whose embeddings have two values; without them two are trained.
    #[arg(value_name = "RUN")]
    pub(crate) runs_to_draw: Vec<PathBuf>,
    /// Change one value of what is trained, such as `data.path=mnist`. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "runs_to_draw")]
    pub(crate) set: Vec<String>,
    /// Name of what is trained: the runs are called NAME-normface and NAME-arcface, and are taken as they are once trained.
    #[arg(long, default_value = "toy")]
    pub(crate) name: String,
    /// Folder that runs are kept in.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub(crate) runs: PathBuf,
    /// Images to draw at most.
    #[arg(long, default_value = "2000", value_name = "N")]
    pub(crate) images: NonZeroUsize,
    /// Folder for the figure.
    #[arg(long, default_value = "figures", value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AngleFigureArguments {
    /// Folders of finished runs.
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Training images to measure at most, evenly over the set.
    #[arg(long, default_value = "5000", value_name = "N")]
    pub(crate) images: NonZeroUsize,
    /// Folder for the figure.
    #[arg(long, default_value = "figures", value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LossFigureArguments {
    /// Folders of runs, whose losses are drawn as they were configured.
    #[arg(value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// A loss to draw, such as `arcface` or `sphereface,form=integer,margin=4`. May be repeated; without runs and losses
    /// every margin that is linked in is drawn.
    #[arg(long, value_name = "NAME[,KEY=VALUE…]")]
    pub(crate) loss: Vec<String>,
    /// Folder for the figure.
    #[arg(long, default_value = "figures", value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct StatisticsArguments {
    /// Folders of finished runs.
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder for the table.
    #[arg(long, default_value = "figures", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunFigureArguments {
    /// Folders of runs or evaluations.
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder for the figure.
    #[arg(long, default_value = "figures", value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Train the same beginnings here and in PyTorch (`ARCFACE_PYTHON`) and compare the losses of every step.
    Parity(ParityArguments),
    /// Do the same work here and in PyTorch (`ARCFACE_PYTHON`) in turns, and compare time and memory.
    Peer(PeerArguments),
    /// Measure the protocols of `eval` beside numpy (`ARCFACE_PYTHON`) and beside the bare matrix product.
    Eval(EvalBenchArguments),
    /// One side of `peer`: reads commands on stdin.
    #[command(hide = true)]
    Worker,
}

#[derive(Debug, Args)]
pub(crate) struct PeerArguments {
    /// Fail if a figure misses the least that is asked of it.
    #[arg(long)]
    pub(crate) check: bool,
    /// Only these works.
    #[arg(long, value_name = "WORKS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// What computes on all sides: cpu or cuda:0, which has works of its own.
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Cpu)]
    pub(crate) device: DeviceChoice,
    /// How exactly our side computes [default: f32; on a CUDA device bf16].
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) precision: Option<Precision>,
    /// Only works of so many images together. May be repeated.
    #[arg(long, value_name = "N")]
    pub(crate) batch: Vec<usize>,
    /// Classes of trainings in place of the works' own.
    #[arg(long, value_name = "C")]
    pub(crate) classes: Option<NonZeroUsize>,
    /// The small works, and 2 rounds.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Samples of each side [default: 7].
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<NonZeroU64>,
    /// Threads of each side.
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) threads: NonZeroUsize,
    /// Change one value of the configuration of both sides. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ParityArguments {
    /// Small images and few steps: seconds instead of minutes.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these cases.
    #[arg(long, value_name = "CASES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Train whole runs on both sides instead, and compare what the networks can do.
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    pub(crate) real: bool,
    /// Seeds of the whole runs.
    #[arg(long, requires = "real", value_name = "N", default_value = "3")]
    pub(crate) seeds: NonZeroU64,
    /// Configuration of the whole runs, of faces in files and with a list of pairs [default: a short `lfw_actors`].
    #[arg(long, requires = "real", value_name = "CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Change one of its values. May be repeated.
    #[arg(long = "set", requires = "real", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Keep what both sides read and wrote in this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print one JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}
