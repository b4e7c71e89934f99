//! `cargo xtask ablate` end to end: cells, what is kept, what fails, what is refused, the table.
//! Knows no function of the library.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use insta::assert_snapshot;
use serde_json::Value;
use tempfile::tempdir;

use crate::report::assert_shown;
use crate::tiny::{fail, json, succeed, xtask};

/// Three rows of drawn faces, a second each.
const TINY: &str = r#"
about = "Tiny faces"
reference = "arcface"
seeds = 2
verification = "faces never seen"

[set]
data = { identities = 14, images_per_identity = 6, holdout = 4 }
model.input_size = 32
train = { batch_size = 10, epochs = 2, log_every = 1 }
eval = { count = 40, folds = 2, baselines = false }

[quick]
seeds = 1
set.train.epochs = 1

[[rows]]
name = "arcface"
set.loss.name = "arcface"
paper = { "faces never seen" = 99.53 }

[[rows]]
name = "softmax"
set.loss.name = "softmax"
tuned.optimizer.learning_rate = 0.1

[[rows]]
name = "no such weights"
set.model.weights = "nowhere.safetensors"
"#;

fn ablate(folder: &Path, text: &str, arguments: &[&str]) -> Command {
    std::fs::write(folder.join("tiny.toml"), text).unwrap();
    let mut command = xtask(folder);
    command.args(["ablate", "tiny.toml"]).args(arguments);
    command
}

fn written(folder: &Path, cell: &str) -> SystemTime {
    folder.join("runs/ablate-tiny").join(cell).join("summary.json").metadata().unwrap().modified().unwrap()
}

#[test]
fn an_ablation_leaves_a_table_and_repeats_no_cell() {
    let folder = tempdir().unwrap();
    let output = succeed(&mut ablate(folder.path(), TINY, &["--json"]));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let comparison = &document["comparisons"][0];
    assert_eq!(comparison["benchmark"], "faces never seen");
    let rows = comparison["rows"].as_array().unwrap();
    let summary = json(folder.path().join("runs/ablate-tiny/softmax-seed1/summary.json"));
    assert_eq!(rows[1]["figures"][0]["values"][1], summary["accuracy"]);
    assert_eq!(rows[0]["seeds"], serde_json::json!([0, 1]));
    assert_eq!(rows[1]["difference"]["runs"], 2);
    // A cell that fails is a row with its error.
    assert!(rows[2]["failures"]["0"].as_str().unwrap().contains("nowhere.safetensors"), "{}", rows[2]);
    let config = std::fs::read_to_string(folder.path().join("runs/ablate-tiny/softmax-seed1/config.toml")).unwrap();
    assert!(config.contains("learning_rate = 0.1") && config.contains("seed = 1"), "{config}");

    let cells = ["arcface-seed0", "arcface-seed1", "softmax-seed0", "softmax-seed1"];
    let before = cells.map(|cell| written(folder.path(), cell));
    // One more seed and one row less: what is there stays.
    let again = succeed(&mut ablate(folder.path(), TINY, &["--seeds", "3", "--only", "arcface,softmax"]));
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("6 cells, 4 of them finished before") && said.contains("2 of 2 cells"), "{said}");
    assert_eq!(cells.map(|cell| written(folder.path(), cell)), before);
    let table = String::from_utf8(again.stdout).unwrap();
    let lines: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    assert!(lines[0].starts_with("| faces never seen | seeds | accuracy, % | − arcface | 95 % interval |"), "{table}");
    assert!(lines[2].starts_with("| arcface | 3 | ") && lines[2].ends_with(" | 99.53 |"), "{table}");
    assert!(lines[3].starts_with("| softmax | 3 | ") && lines[3].ends_with(" | – |"), "{table}");
    let kept = std::fs::read_to_string(folder.path().join("runs/ablate-tiny/results.md")).unwrap();
    assert_eq!(kept, table);
    let page = std::fs::read_to_string(folder.path().join("runs/ablate-tiny/results.html")).unwrap();
    assert!(page.contains("<svg ") && page.contains("Tiny faces: 2 rows and 3 seeds of `default`"));
}

/// Faces of each network, judged by that of another row, which none are made of; what is made already stays.
#[test]
fn faces_are_made_of_every_network_but_the_judge() {
    let folder = tempdir().unwrap();
    let synth = "[synth]\njudge = \"judge\"\nclasses = 2\npeople = 2\nset.steps = 3\n";
    let text = TINY.replace("[quick]", &format!("{synth}\n[quick]"));
    let text = format!("{text}\n[[rows]]\nname = \"judge\"\nset.loss.name = \"cosface\"\n");
    let output = succeed(&mut ablate(folder.path(), &text, &["--json", "--only", "arcface,softmax"]));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("10 of 10 cells") && words.contains("softmax, seed 1, faces: done"), "{words}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cells = folder.path().join("runs/ablate-tiny");
    let faces = document["faces"].as_array().unwrap();
    assert_eq!((&faces[0]["aims"], &faces[1]["aims"]), (&"classes".into(), &"people".into()));
    for of_aims in faces {
        let rows = of_aims["rows"].as_array().unwrap();
        assert_eq!(rows.iter().map(|row| &row["name"]).collect::<Vec<_>>(), ["arcface", "softmax"]);
        for row in rows {
            let cosine = |seed: u64| {
                let place =
                    format!("{}-seed{seed}/synth/{}", row["name"].as_str().unwrap(), of_aims["aims"].as_str().unwrap());
                let summary = json(cells.join(place).join("summary.json"));
                assert_eq!((&summary["seed"], summary["images"].as_array().unwrap().len()), (&seed.into(), 2));
                assert!(summary["judges"][1]["net"].as_str().unwrap().contains(&format!("judge-seed{seed}")));
                summary["judges"][1]["cosine"]["value"].as_f64().unwrap()
            };
            let mean = f64::midpoint(cosine(0), cosine(1));
            assert!((row["cosine"]["value"].as_f64().unwrap() - mean).abs() < 1e-9, "{row}");
        }
    }
    assert!(!cells.join("judge-seed0/synth").exists());
    // What is missing is made again, and nothing else.
    let [gone, stays] = ["arcface-seed1/synth/people", "arcface-seed1/synth/classes"].map(|place| cells.join(place));
    std::fs::remove_dir_all(&gone).unwrap();
    let written = stays.join("summary.json").metadata().unwrap().modified().unwrap();
    let again = succeed(&mut ablate(folder.path(), &text, &["--only", "arcface,softmax"]));
    assert!(String::from_utf8(again.stderr).unwrap().contains("1 of 1 cells"));
    assert!(gone.join("summary.json").is_file());
    assert_eq!(stays.join("summary.json").metadata().unwrap().modified().unwrap(), written);
    let table = String::from_utf8(again.stdout).unwrap();
    assert!(table.contains("| faces of classes (closed set) | seeds | recognised by itself, % |"), "{table}");
    assert!(table.contains("`arcface` is number"), "{table}");
    // A row that fails has no faces, and says why.
    let all = String::from_utf8(succeed(&mut ablate(folder.path(), &text, &[])).stdout).unwrap();
    assert!(all.contains("`no-such-weights-seed0` failed: ") && all.contains("nowhere.safetensors"), "{all}");
    let page = std::fs::read_to_string(cells.join("results.html")).unwrap();
    assert!(page.contains("faces of people never seen (open set)"));
    // Two faces of two rows, closed and open set.
    assert_shown(folder.path(), &cells.join("results.html"), 1, 8);
    let alone = fail(&mut ablate(folder.path(), &text, &["--only", "judge"]));
    assert_snapshot!(alone, @"error: --only: expected a row beside `judge`, which judges what is made of the others");
}

#[test]
fn cells_do_not_depend_on_what_runs_beside_them() {
    let [a, b] = [tempdir().unwrap(), tempdir().unwrap()];
    for (folder, jobs) in [(&a, "1"), (&b, "2")] {
        let mut command = ablate(folder.path(), TINY, &["--quick", "--only", "arcface,softmax"]);
        succeed(command.args(["--jobs", jobs]));
    }
    let weights =
        |folder: &Path| std::fs::read(folder.join("runs/ablate-tiny-quick/softmax-seed0/weights.safetensors"));
    let [of_a, of_b] =
        [&a, &b].map(|folder| json(folder.path().join("runs/ablate-tiny-quick/results.json"))["comparisons"].clone());
    assert_eq!(of_a, of_b);
    assert_eq!(weights(a.path()).unwrap(), weights(b.path()).unwrap());
}

#[test]
fn a_row_may_be_another_rows_set_purified_and_trained_again() {
    let folder = tempdir().unwrap();
    let rows = r#"
[[rows]]
name = "three"
set.loss = { name = "arcface", sub_centers = 3 }

[[rows]]
name = "dropped at 89"
purify = { of = "three", angle = 89 }

[[rows]]
name = "dropped at 120"
purify = { of = "three", angle = 120 }

[[rows]]
name = "of one center"
purify = { of = "arcface", angle = 89 }
"#;
    let text = format!("{TINY}{rows}").replace("epochs = 2", "epochs = 1");
    let chosen = ["--seeds", "1", "--jobs", "2", "--only", "arcface,three,dropped at 89,dropped at 120,of one center"];
    let output = succeed(ablate(folder.path(), &text, &chosen).arg("--json"));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = document["comparisons"][0]["rows"].as_array().unwrap();
    let accuracy = |row: usize| rows[row]["figures"][0]["values"][0].as_f64();
    assert!((1..4).all(|row| accuracy(row).is_some()), "{rows:?}");
    assert!(rows[4]["failures"]["0"].as_str().unwrap().contains("sub-centers"), "{}", rows[4]);
    let run = folder.path().join("runs/ablate-tiny");
    let config = std::fs::read_to_string(run.join("dropped-at-89-seed0/config.toml")).unwrap();
    assert!(config.contains("sub_centers = 1") && config.contains("purify-89"), "{config}");
    assert!(run.join("three-seed0/purify-120/purify.json").is_file());
    // Another angle is another cell.
    let other = text.replace("angle = 120", "angle = 100");
    let words = fail(&mut ablate(folder.path(), &other, &chosen));
    assert!(
        words.contains("purify.angle of the cell `dropped-at-120-seed0` was 120.0 and would now be 100.0"),
        "{words}"
    );
}

#[test]
fn an_unfinished_cell_goes_on_and_a_broken_one_begins_anew() {
    let folder = tempdir().unwrap();
    let rows = ["--only", "arcface,softmax", "--seeds", "1"];
    succeed(&mut ablate(folder.path(), TINY, &rows));
    let results = || json(folder.path().join("runs/ablate-tiny/results.json"))["comparisons"].clone();
    let before = results();
    let cells = folder.path().join("runs/ablate-tiny");
    // One was killed after its first epoch, the other before it was anything.
    std::fs::remove_file(cells.join("arcface-seed0/summary.json")).unwrap();
    let last =
        std::fs::read_dir(cells.join("arcface-seed0/checkpoints")).unwrap().map(|entry| entry.unwrap().path()).max();
    std::fs::remove_dir_all(last.unwrap()).unwrap();
    std::fs::remove_dir_all(cells.join("softmax-seed0")).unwrap();
    std::fs::create_dir(cells.join("softmax-seed0")).unwrap();
    succeed(&mut ablate(folder.path(), TINY, &rows));
    let log = |cell: &str| std::fs::read_to_string(cells.join("logs").join(cell).with_extension("log")).unwrap();
    assert!(log("arcface-seed0").contains("goes on from step"), "{}", log("arcface-seed0"));
    assert!(!log("softmax-seed0").contains("goes on from step"));
    assert_eq!(results(), before);
}

#[test]
fn networks_are_verified_on_benchmarks_too() {
    let folder = tempdir().unwrap();
    succeed(
        xtask(folder.path()).args("data generate faces --identities 6 --images-per-identity 4 --size 32".split(' ')),
    );
    succeed(xtask(folder.path()).args("data pairs faces --out pairs.csv --count 40 --folds 2".split(' ')));
    succeed(xtask(folder.path()).args("data bin pairs.csv --images faces --out set.bin".split(' ')));
    let text = TINY.replace("[quick]", "[[benchmarks]]\nname = \"a set\"\nbin = \"set.bin\"\n[quick]");
    let rows = ["--only", "arcface,softmax", "--seeds", "1", "--json"];
    let output = succeed(&mut ablate(folder.path(), &text, &rows));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&Value> = document["comparisons"].as_array().unwrap().iter().map(|of| &of["benchmark"]).collect();
    assert_eq!(names, ["faces never seen", "a set"]);
    let cell = folder.path().join("runs/ablate-tiny/softmax-seed0");
    let figures = json(cell.join("benchmarks/a-set/eval.json"));
    assert_eq!(document["comparisons"][1]["rows"][1]["figures"][0]["values"][0], figures["accuracy"]);
    // A benchmark that is not there yet is all that is done again.
    let trained = written(folder.path(), "softmax-seed0");
    std::fs::remove_dir_all(cell.join("benchmarks")).unwrap();
    succeed(&mut ablate(folder.path(), &text, &rows));
    assert!(cell.join("benchmarks/a-set/pairs.safetensors").is_file());
    assert_eq!(written(folder.path(), "softmax-seed0"), trained);
}

#[test]
fn every_cell_failing_is_a_failure() {
    let folder = tempdir().unwrap();
    let message = fail(&mut ablate(folder.path(), TINY, &["--only", "no such weights", "--seeds", "1"]));
    assert!(message.starts_with("error: every cell failed; no-such-weights-seed0: "), "{message}");
    assert!(message.contains("nowhere.safetensors"), "{message}");
}

#[test]
fn what_is_not_right_is_refused_before_anything_is_trained() {
    let folder = tempdir().unwrap();
    let refused = |text: &str, arguments: &[&str]| fail(&mut ablate(folder.path(), text, arguments));
    assert_snapshot!(refused(TINY, &["--only", "arcfase"]), @"error: --only arcfase: no such row; rows: arcface, softmax, no such weights");
    assert_snapshot!(refused(TINY, &["--set", "seed=3"]), @"error: --set seed=3: every row is trained with several seeds; say how many with --seeds");
    assert_snapshot!(refused(TINY, &["--set", "loss.name=cosface"]), @"error: --set loss.name=cosface: `loss.name` is what row `arcface` is; take other rows with --only, or copy the ablation's file and change it there");
    assert_snapshot!(refused(TINY, &["--set", "train.epochs=0"]), @"error: row `arcface`: --set: train.epochs: expected at least 1, got 0");
    assert_snapshot!(refused(TINY, &["--name", "../elsewhere"]), @"error: --name `../elsewhere`: expected letters, digits, `_`, `.` and single hyphens");
    assert_snapshot!(refused(&TINY.replace("learning_rate", "learning_rat"), &[]), @"error: row `softmax`: --set: optimizer: unknown field `learning_rat`, expected one of `name`, `learning_rate`, `momentum`, `weight_decay`, `beta1`, `beta2`, `eps`, `clip_norm`");
    assert_snapshot!(fail(xtask(folder.path()).args(["ablate", "nothing"])), @"error: nothing: No such file or directory (os error 2); expected the file of an ablation or the name of a built-in one: losses, margins, sub-centers, noise, real-noise, real-losses, embedding, synth, paper/table2, paper/table3");
    assert!(!folder.path().join("runs").exists());
}

/// A table over runs of different configurations would compare nothing.
#[test]
fn another_configuration_of_the_same_name_is_refused() {
    let folder = tempdir().unwrap();
    let rows = ["--only", "arcface", "--seeds", "1"];
    succeed(&mut ablate(folder.path(), TINY, &rows));
    let changed = TINY.replace("epochs = 2", "epochs = 3");
    assert_snapshot!(fail(&mut ablate(folder.path(), &changed, &rows)), @"error: runs/ablate-tiny: train.epochs of the cell `arcface-seed0` was 2 and would now be 3; give this ablation a folder of its own with --name, or remove that one");
    std::fs::create_dir_all(folder.path().join("runs/ablate-mine")).unwrap();
    assert_snapshot!(fail(&mut ablate(folder.path(), TINY, &["--name", "mine"])), @"error: runs/ablate-mine: expected a new folder or that of an ablation, found one without cells.json; choose another with --name");
}

/// The first Ctrl-C leaves what the same command goes on with.
#[cfg(unix)]
#[test]
fn an_interrupted_ablation_goes_on() {
    let folder = tempdir().unwrap();
    let text = TINY.replace("epochs = 2", "epochs = 400, checkpoint_every = \"end\"");
    let rows = ["--only", "arcface", "--seeds", "1"];
    let mut process = ablate(folder.path(), &text, &rows).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let metrics = folder.path().join("runs/ablate-tiny/arcface-seed0/metrics.jsonl");
    while std::fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 3 {
        assert!(process.try_wait().unwrap().is_none(), "ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    succeed(Command::new("kill").args(["-TERM", &process.id().to_string()]));
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped with 1 of 1 cells to go; the same command goes on"), "{said}");
    let run = folder.path().join("runs/ablate-tiny/arcface-seed0");
    assert!(!run.join("summary.json").exists());
    // That of the step at which it stopped.
    assert_eq!(std::fs::read_dir(run.join("checkpoints")).unwrap().count(), 1);
}

#[test]
fn recipes_of_the_paper_resolve() {
    let folder = tempdir().unwrap();
    for recipe in ["casia_r50", "vgg2_r50", "ms1mv3_r50", "ms1mv3_r100", "ms1mv0_subcenter_r50"] {
        let output = succeed(xtask(folder.path()).args(["config", &format!("paper/{recipe}")]));
        let config: toml::Table = toml::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap();
        let epochs = config["train"]["epochs"].as_integer().unwrap();
        let milestones: Vec<f64> =
            config["schedule"]["milestones"].as_array().unwrap().iter().filter_map(toml::Value::as_float).collect();
        let expected: (i64, &[f64]) = match recipe {
            "casia_r50" => (32, &[20.0, 28.0]),
            "vgg2_r50" => (12, &[6.0, 9.0]),
            _ => (18, &[8.0, 14.0]),
        };
        assert_eq!((epochs, milestones.as_slice()), expected, "{recipe}");
        let loss = &config["loss"];
        assert_eq!(loss["warmup_steps"].as_integer(), Some(0), "{recipe}");
        assert!(
            (loss["margin"].as_float().unwrap() - 0.5).abs() < 1e-12 && loss["scale"].as_float() == Some(64.0),
            "{recipe}"
        );
    }
}
