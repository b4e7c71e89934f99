//! What `--help` says.

use insta::assert_snapshot;
use tempfile::tempdir;

use crate::tiny::{succeed, xtask};

fn help(command: &[&str]) -> String {
    let folder = tempdir().unwrap();
    String::from_utf8(succeed(xtask(folder.path()).args(command).arg("-h")).stdout).unwrap()
}

#[test]
fn commands_are_listed_with_a_line_each() {
    assert_snapshot!(help(&[]), @r"
    Train, verify and study face recognisers

    Usage: cargo xtask <COMMAND>

    Commands:
      train   Train a network: without arguments a quick run on drawn faces
      eval    Verify pairs of faces with a network, or run a protocol of the field
      embed   Write the embeddings of images into a file
      export  Write a network's weights for torch (`.pth`) or as `.safetensors`
      purify  Find wrong labels by the sub-centers of a run, and drop them
      synth   Make faces from a network: of its classes, of images or of embeddings
      losses  List the losses that are linked in, or compute one on given embeddings
      config  Print a configuration, complete and checked
      data    Look at data sets, align photographs, draw faces, draw pairs
      ablate  Train variants of a configuration over several seeds, and compare them in one table
      figure  Draw figures of the paper from runs and losses, as SVG and PNG with their numbers
      bench   Compare our training with other people's
      test    Run every test and doctest
      lint    Run every check that is not a test
      ci      Run `lint` and `test`

    Options:
      -h, --help     Print help
      -V, --version  Print version
    ");
}

#[test]
fn training_and_evaluation_tell_their_options() {
    assert_snapshot!(help(&["train"]), @r"
    Train a network: without arguments a quick run on drawn faces

    Usage: cargo xtask train [OPTIONS] [CONFIG]

    Arguments:
      [CONFIG]  A configuration file, or the name of a built-in one; without it the quick run on drawn faces

    Options:
          --set <KEY=VALUE>  Change one value, such as `loss.margin=0.3`: a TOML value, else a string. May be repeated
          --name <NAME>      Name of the run, whose folder is `runs/NAME`; without it the configuration's name and a number
          --resume           Go on with the run NAME from its last checkpoint; `--set` then changes `train.epochs`, `device`, `precision` and `data.workers` only
          --runs <DIR>       Folder that runs are kept in [default: runs]
          --json             Print the summary as one JSON document on stdout
      -h, --help             Print help
    ");
    assert_snapshot!(help(&["eval"]), @r"
    Verify pairs of faces with a network, or run a protocol of the field

    Usage: cargo xtask eval [OPTIONS] <NET>...
           cargo xtask eval <COMMAND>

    Commands:
      embeddings  Compare embeddings that are there already: pairs of a list, or all pairs
      ijb         IJB-B and IJB-C: templates verified 1:1 and identified 1:N
      megaface    MegaFace: faces searched among up to a million distractors, and verified against them
      lfr-image   LFR2019-Image: all pairs of faces, and each with all distractors
      lfr-video   LFR2019-Video: all pairs of videos, each the mean of its frames
      ytf         YouTube Faces: listed pairs of videos, each the mean of its frames, by folds
      compare     Put evaluations that were written with `--out` side by side in one table

    Arguments:
      <NET>...  A run's folder, a checkpoint or a weights file; several are compared

    Options:
          --images <DIR>      Folder of aligned faces that the pairs list speaks of; without it, for a run, what it was verified on
          --pairs <FILE>      Pairs list: LFW's `pairs.txt` or a CSV with the columns a, b, same
          --bin <FILE>        Verification set in one file, insightface's `.bin`, in place of images and pairs
          --suite <DIR>       Folder of `.bin` files, which are verified one after the other and stand in one table
          --mirror[=<BOOL>]   Add the embedding of the mirror image [for a run as it was configured, else false] [possible values: true, false]
          --backbone <NAME>   The network of a file that does not say it
          --normalise <NAME>  How bytes become numbers where the file does not say it: 127.5, 128 or imagenet
          --batch-size <N>    Images per batch [default: 32]
          --device <DEVICE>   What computes: auto, cpu or cuda:0 [default: auto]
          --precision <NAME>  How exactly: tf32 and bf16 on a CUDA device, f64 on the CPU [default: f32] [possible values: f32, f64, tf32, bf16]
          --out <DIR>         Folder for the plots, the figures and a report
          --json              Print one JSON document on stdout
      -h, --help              Print help (see more with '--help')
    ");
}

#[test]
fn alignment_and_embedding_tell_their_options() {
    assert_snapshot!(help(&["data", "align"]), @r"
    Cut aligned faces out of photographs by their five landmarks

    Usage: cargo xtask data align [OPTIONS] --out <DIR> <IMAGES> <LANDMARKS>

    Arguments:
      <IMAGES>     Folder of photographs
      <LANDMARKS>  Landmarks: a CSV with the columns `path`, `x_leye`, `y_leye`, … or lines `path x1 y1 … x5 y5`

    Options:
          --out <DIR>          Folder to write, new or begun by the same command: the same paths as in IMAGES
          --size <PIXELS>      Pixels along an edge [default: 112]
          --jpeg <QUALITY>     Quality of the JPEG files (1 to 100) [default: 95]
          --png                Write PNG instead of JPEG
          --sides <WHOSE>      Whose left and right the list means: as seen in the image, or the person's own [default: image] [possible values: image, person]
          --missing <WHAT>     What becomes of images without landmarks and landmarks without image [default: error] [possible values: error, skip]
          --on-corrupt <WHAT>  What becomes of images and landmarks that cannot be used [default: error] [possible values: error, skip]
      -h, --help               Print help (see more with '--help')
    ");
    assert_snapshot!(help(&["embed"]), @r"
    Write the embeddings of images into a file

    Usage: cargo xtask embed [OPTIONS] --images <DIR|FILE>... --out <FILE> <NET>

    Arguments:
      <NET>  A run's folder, a checkpoint or a weights file

    Options:
          --images <DIR|FILE>...  Folders of aligned faces, flat or with sub-folders, and single images
          --out <FILE>            File to write, (N, D): `.npy` or `.safetensors`. The images stand in FILE.paths.txt, a line for each row
          --mirror                Add the embedding of the mirror image
          --half                  Store half precision: half the room, and cosines that are off by less than 0.001
          --length <LENGTH>       Embeddings as the network gives them, or of length 1 [default: raw; with --mirror, as `eval` compares them, unit] [possible values: raw, unit]
          --on-corrupt <WHAT>     What becomes of an image that cannot be used: the end, or a line that names it [default: error] [possible values: error, skip]
          --backbone <NAME>       The network of a file that does not say it
          --normalise <NAME>      How bytes become numbers where the file does not say it: 127.5, 128 or imagenet
          --batch-size <N>        Images per batch [default: 32]
          --workers <N>           Threads that read images ahead [default: 2]
          --device <DEVICE>       What computes: auto, cpu or cuda:0 [default: auto]
          --precision <NAME>      How exactly: tf32 and bf16 on a CUDA device, f64 on the CPU [default: f32] [possible values: f32, f64, tf32, bf16]
      -h, --help                  Print help (see more with '--help')
    ");
}

#[test]
fn purification_tells_its_options() {
    assert_snapshot!(help(&["purify"]), @r"
    Find wrong labels by the sub-centers of a run, and drop them

    Usage: cargo xtask purify [OPTIONS] <RUN>

    Arguments:
      <RUN>  Folder of a finished run with sub-centers

    Options:
          --angle <DEGREES>  Angle to the dominant sub-center of its class beyond which an image is dropped [default: 75]
          --out <DIR>        New folder for the cleaned set as RecordIO, with lists and report [default: only lists and report, in the run's folder]
          --on-empty <WHAT>  What becomes of an identity that loses all its images [default: error] [possible values: error, skip]
          --retrain          Train again from scratch on what is left, with one center per class
          --name <NAME>      Name of that run, which stands beside the old one [default: RUN-purified-DEGREES]
          --json             Print one JSON document on stdout
      -h, --help             Print help (see more with '--help')
    ");
}

#[test]
fn comparisons_tell_their_options() {
    assert_snapshot!(help(&["bench"]), @r"
    Compare our training with other people's

    Usage: cargo xtask bench <COMMAND>

    Commands:
      parity  Train the same beginnings here and in PyTorch (`ARCFACE_PYTHON`) and compare the losses of every step
      peer    Do the same work here and in PyTorch (`ARCFACE_PYTHON`) in turns, and compare time and memory
      eval    Measure the protocols of `eval` beside numpy (`ARCFACE_PYTHON`) and beside the bare matrix product

    Options:
      -h, --help  Print help
    ");
    assert_snapshot!(help(&["bench", "peer"]), @r"
    Do the same work here and in PyTorch (`ARCFACE_PYTHON`) in turns, and compare time and memory

    Usage: cargo xtask bench peer [OPTIONS]

    Options:
          --check             Fail if a figure misses the least that is asked of it
          --only <WORKS>      Only these works
          --device <DEVICE>   What computes on all sides: cpu or cuda:0, which has works of its own [default: cpu]
          --precision <NAME>  How exactly our side computes [default: f32; on a CUDA device bf16] [possible values: f32, f64, tf32, bf16]
          --batch <N>         Only works of so many images together. May be repeated
          --classes <C>       Classes of trainings in place of the works' own
          --quick             The small works, and 2 rounds
          --rounds <N>        Samples of each side [default: 7]
          --threads <N>       Threads of each side [default: 2]
          --set <KEY=VALUE>   Change one value of the configuration of both sides. May be repeated
          --json              Print one JSON document on stdout
      -h, --help              Print help (see more with '--help')
    ");
}

#[test]
fn ablations_tell_their_options() {
    assert_snapshot!(help(&["ablate"]), @r"
    Train variants of a configuration over several seeds, and compare them in one table

    Usage: cargo xtask ablate [OPTIONS] <ABLATION> [CONFIG]

    Arguments:
      <ABLATION>  What to vary: losses, margins, sub-centers, noise, real-noise, real-losses, embedding, synth, paper/table2, paper/table3, or a file like theirs
      [CONFIG]    Configuration to vary, a file or the name of a built-in one [default: that of the ablation]

    Options:
          --only <ROWS>      Only these rows
          --seeds <N>        Seeds of each row [default: those of the ablation]
          --quick            Smaller and shorter runs with fewer seeds
          --jobs <N>         Runs side by side, which share the cores [default: one for each core]
          --name <NAME>      Name of the ablation, whose folder is `runs/ablate-NAME`; the same command goes on with what is there
          --runs <DIR>       Folder that runs are kept in [default: runs]
          --set <KEY=VALUE>  Change one value of all rows, such as `train.epochs=2`. May be repeated
          --json             Print one JSON document on stdout
      -h, --help             Print help
    ");
}

#[test]
fn inversions_tell_their_options() {
    assert_snapshot!(help(&["synth"]), @r"
    Make faces from a network: of its classes, of images or of embeddings

    Usage: cargo xtask synth [OPTIONS] <--classes <CLASSES>|--images <DIR|FILE>...|--embeddings <FILE>|--held-out> <NET>

    Arguments:
      <NET>  A run's folder, a checkpoint or a weights file

    Options:
          --classes <CLASSES>     Classes of a run or checkpoint by their numbers, and ranges of them, such as `0,5,9` or `0-63`
          --images <DIR|FILE>...  Folders of aligned faces and single ones, whose embeddings are aimed at
          --embeddings <FILE>     Embeddings to aim at, (N, D) in f32 as `embed` writes them: `.npy` or `.safetensors`
          --pairs <FILE>          Pairs of the faces in --images, LFW's `pairs.txt` or a CSV: one face of each person is aimed at, and what is made is to pass for another of the same person
          --held-out              The same of the pairs that a run was verified on
          --judge <NET>           Another network that judges what was made: a run's folder, a checkpoint or a weights file. May be repeated
          --against <DIR>         A folder made for the same targets, such as one without the prior: each judge says what they differ in, image by image
          --per-class <N>         Images of each class [default: 1]
          --count <N>             Take at most the first N images, people or embeddings
          --preset <PRESET>       What single values lie over: few steps of several beginnings with more priors, or the paper's own [default: fast] [possible values: fast, paper]
          --set <KEY=VALUE>       Change one value, such as `steps=500` or `distance=cosine` (else euclidean): a TOML value, else a string. May be repeated
          --without-prior         Leave the statistics of the batch norms out: for a network without them, or to see what they do
          --seed <SEED>           Another seed begins with other noise [default: 0]
          --beginnings <N>        Begin every image N times with other noise, and keep the one that is nearest to its target [default: 5; with --preset paper 1]
          --batch-size <N>        Images that are made together, at most; the statistics are over them [default: 64]
          --frames <N>            Keep all images as they are at N times, evenly over the steps of all beginnings [default: 0; with --animation 20]
          --animation             Write the frames as one animated PNG
          --backbone <NAME>       The network of a file that does not say it
          --normalise <NAME>      How bytes become numbers where the file does not say it: 127.5, 128 or imagenet
          --device <DEVICE>       What computes: auto, cpu or cuda:0 [default: auto]
          --precision <NAME>      How exactly: tf32 and bf16 on a CUDA device, f64 on the CPU [default: f32] [possible values: f32, f64, tf32, bf16]
          --out <DIR>             Folder to write, new or begun by the same command [default: synth/NAME, after the network]
          --json                  Print the summary as one JSON document on stdout
      -h, --help                  Print help (see more with '--help')
    ");
}

#[test]
fn protocols_tell_their_options_and_folders() {
    assert_snapshot!(help(&["eval", "embeddings"]), @r"
    Compare embeddings that are there already: pairs of a list, or all pairs

    Usage: cargo xtask eval embeddings [OPTIONS] <FILE>

    Arguments:
      <FILE>  Embeddings (N, D): `.npy` or `.safetensors`, in single or half precision; FILE.paths.txt, where it is there, names their images, a line for each

    Options:
          --pairs <FILE>   Pairs list: LFW's `pairs.txt` or a CSV with the columns a, b, same and, if it has folds, fold. A face is the end of a path in FILE.paths.txt or, without that file, the number of a row
          --labels <FILE>  Compare all pairs of rows, a line of this file saying whom a row shows
          --all-pairs      Compare all pairs of rows; without --labels the folder of an image says whom it shows
          --far <RATES>    False accept rates of all pairs [default: 1e-6,1e-5,1e-4,1e-3,1e-2,1e-1]
          --out <DIR>      Folder for the plots, the figures and a report
          --json           Print one JSON document on stdout
      -h, --help           Print help
    ");
    assert_snapshot!(help(&["eval", "ijb"]), @r"
    IJB-B and IJB-C: templates verified 1:1 and identified 1:N

    Usage: cargo xtask eval ijb [OPTIONS] [NET]

    Arguments:
      [NET]  A run's folder, a checkpoint or a weights file

    Options:
          --dir <DIR>                Folder of the protocol; `--help` shows what it holds
          --features <FILE>          Embeddings in place of NET's: `.npy` or `.safetensors`, with the images in FILE.paths.txt as `embed` writes it
          --mirror[=<BOOL>]          Add the embedding of the mirror image [default: true] [possible values: true, false]
          --cache <DIR>              Folder that keeps embeddings; the same command goes on with what is there [default: embeddings]
          --half                     Keep them in half precision: half the room, and cosines that are off by less than 0.001
          --backbone <NAME>          The network of a file that does not say it
          --normalise <NAME>         How bytes become numbers where the file does not say it: 127.5, 128 or imagenet
          --batch-size <N>           Images per batch [default: 32]
          --device <DEVICE>          What computes: auto, cpu or cuda:0 [default: auto]
          --precision <NAME>         How exactly: tf32 and bf16 on a CUDA device, f64 on the CPU [default: f32] [possible values: f32, f64, tf32, bf16]
          --workers <N>              Threads that read images ahead [default: 2]
          --norm <NORM>              What the length of an image's embedding counts [default: kept] [possible values: kept, unit]
          --detector-score[=<BOOL>]  Multiply the embedding of an image by its detector's score [default: true] [possible values: true, false]
          --variants                 Also show what every other pooling comes to
          --out <DIR>                Folder for the plots, the figures and a report
          --json                     Print one JSON document on stdout
      -h, --help                     Print help (see more with '--help')
    ");
}

#[test]
fn megaface_and_comparing_tell_their_options() {
    assert_snapshot!(help(&["eval", "megaface"]), @r"
    MegaFace: faces searched among up to a million distractors, and verified against them

    Usage: cargo xtask eval megaface [OPTIONS] [NET]

    Arguments:
      [NET]  A run's folder, a checkpoint or a weights file

    Options:
          --dir <DIR>             Folder of the protocol; `--help` shows what it holds
          --features <FILE>       Embeddings in place of NET's: `.npy` or `.safetensors`, with the images in FILE.paths.txt as `embed` writes it
          --mirror[=<BOOL>]       Add the embedding of the mirror image [default: true] [possible values: true, false]
          --cache <DIR>           Folder that keeps embeddings; the same command goes on with what is there [default: embeddings]
          --half                  Keep them in half precision: half the room, and cosines that are off by less than 0.001
          --backbone <NAME>       The network of a file that does not say it
          --normalise <NAME>      How bytes become numbers where the file does not say it: 127.5, 128 or imagenet
          --batch-size <N>        Images per batch [default: 32]
          --device <DEVICE>       What computes: auto, cpu or cuda:0 [default: auto]
          --precision <NAME>      How exactly: tf32 and bf16 on a CUDA device, f64 on the CPU [default: f32] [possible values: f32, f64, tf32, bf16]
          --workers <N>           Threads that read images ahead [default: 2]
          --refined               Leave out the faces that the lists of wrong ones in DIR name
          --write-features <DIR>  Write a feature file for each face into this folder; `--features` takes such a folder too
          --seed <SEED>           Another seed draws other distractors for the small numbers of them [default: 0]
          --out <DIR>             Folder for the plots, the figures and a report
          --json                  Print one JSON document on stdout
      -h, --help                  Print help (see more with '--help')
    ");
    assert_snapshot!(help(&["eval", "compare"]), @r"
    Put evaluations that were written with `--out` side by side in one table

    Usage: cargo xtask eval compare [OPTIONS] <DIR|FILE>...

    Arguments:
      <DIR|FILE>...  Folders that evaluations were written into, or their `eval.json`

    Options:
          --out <DIR>  Folder for the plots, the figures and a report
          --json       Print one JSON document on stdout
      -h, --help       Print help
    ");
    let folder = tempdir().unwrap();
    for (protocol, expected) in [
        ("ijb", "DIR/meta/ijbc_face_tid_mid.txt"),
        ("megaface", "DIR/megaface/**/IMAGE.jpg"),
        ("lfr-image", "DIR/distractors/**/IMAGE.jpg"),
        ("lfr-video", "DIR/videos/PERSON/VIDEO/FRAME.jpg"),
        ("ytf", "DIR/splits.txt"),
    ] {
        let long = succeed(xtask(folder.path()).args(["eval", protocol, "--help"]));
        let long = String::from_utf8(long.stdout).unwrap();
        assert!(long.contains(expected), "{long}");
    }
}
