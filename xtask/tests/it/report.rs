//! `report.html` as its readers meet it: what is in it, and that a browser shows it all without a network.
//! Knows no function of the library.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::tempdir;

use crate::tiny::{json, resume, succeed, train, xtask};

#[test]
fn a_run_and_an_evaluation_leave_a_report_with_the_same_pairs() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &[]));
    succeed(xtask(folder.path()).args(["eval", "runs/one", "--out", "figures"]));
    let [of_run, of_eval] = ["runs/one", "figures"]
        .map(|name| std::fs::read_to_string(folder.path().join(name).join("report.html")).unwrap());
    let summary = json(folder.path().join("runs/one/summary.json"));
    let accuracy = format!("<dd>{:.2} %<small>±", 100.0 * summary["accuracy"].as_f64().unwrap());
    for page in [&of_run, &of_eval] {
        assert!(page.contains(&accuracy), "no {accuracy}");
        assert_eq!((pictures(page).len(), page.matches("✗ wrong").count() + page.matches("✓ right").count()), (48, 24));
        assert_nothing_outside(page);
    }
    assert_eq!(pictures(&of_run), pictures(&of_eval));
    assert_eq!((of_run.matches("<svg ").count(), of_eval.matches("<svg ").count()), (3, 2));
    for words in ["untrained network", "raw pixels", "identities = 14", "<th scope=\"row\">seed</th><td>0</td>"] {
        assert!(of_run.contains(words), "no {words}");
    }
}

#[test]
fn a_report_of_a_run_that_was_resumed_after_its_last_verification_is_whole() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &["train.epochs=1"]));
    let report = folder.path().join("runs/one/report.html");
    let before = std::fs::read_to_string(&report).unwrap();
    std::fs::remove_file(&report).unwrap();
    succeed(&mut resume(folder.path(), "one", &[]));
    assert_eq!(pictures(&std::fs::read_to_string(&report).unwrap()), pictures(&before));
}

/// A run that logged no training line failed at its curves, before its summary.
#[test]
fn a_run_that_logs_no_training_line_has_a_summary_and_a_report() {
    let folder = tempdir().unwrap();
    // The first step throws the network away; every one after it is skipped, the last, which would be logged, too.
    let thrown = ["optimizer.learning_rate=1e30", "schedule.warmup_epochs=0", "train.log_every=100"];
    let unverified = ["data.holdout=0", "eval.baselines=false", "data.identities=10"];
    succeed(&mut train(folder.path(), "one", &[thrown, unverified].concat()));
    let run = folder.path().join("runs/one");
    let summary = json(run.join("summary.json"));
    assert_eq!(
        (&summary["skipped_steps"], &summary["steps"], &summary["accuracy"]),
        (&11.into(), &12.into(), &Value::Null)
    );
    assert!(!run.join("curves.svg").exists());
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("skipped steps") && !page.contains("<svg ") && !page.contains("<img "));
}

#[test]
fn a_browser_shows_every_plot_and_picture() {
    let folder = tempdir().unwrap();
    succeed(&mut train(folder.path(), "one", &[]));
    assert_shown(folder.path(), &folder.path().join("runs/one/report.html"), 3, 48);
}

/// That nothing is fetched, and that a browser, if there is one, shows so many plots and pictures of 32×32 pixels.
pub(crate) fn assert_shown(folder: &Path, page: &Path, plots: usize, pictures: usize) {
    assert_nothing_outside(&std::fs::read_to_string(page).unwrap());
    let Some(chromium) = chromium() else { return };
    let seen = open(&chromium, folder, page);
    let sizes = |what: &str| -> Vec<[f64; 2]> { serde_json::from_value(seen[what].clone()).unwrap() };
    assert_eq!((sizes("svg").len(), sizes("img").len()), (plots, pictures));
    assert!(sizes("svg").iter().all(|[width, height]| 200.0 < *width && 100.0 < *height), "{seen}");
    assert!(sizes("img").concat().iter().all(|side| (side - 32.0).abs() < 0.5), "{seen}");
    assert_eq!(seen["fetched"], Value::Array(Vec::new()));
    assert_eq!(seen["too_wide"], false);
}

/// What a browser finds in the page, by a script that stands in a copy of it.
fn open(chromium: &Path, folder: &Path, page: &Path) -> Value {
    let text = std::fs::read_to_string(page).unwrap();
    let (policy, copy) = ("Content-Security-Policy", folder.join("looked-at.html"));
    assert!(text.contains(policy));
    std::fs::write(&copy, text.replace(policy, "").replace("</body>", &format!("{LOOK}</body>"))).unwrap();
    let output = succeed(
        Command::new(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--window-size=500,900", "--dump-dom"])
            .arg(format!("--user-data-dir={}", folder.join("browser").display()))
            .arg(format!("file://{}", copy.display())),
    );
    let dom = String::from_utf8(output.stdout).unwrap();
    let (_, seen) = dom.split_once("<output>").expect("the script has run");
    serde_json::from_str(seen.split_once("</output>").unwrap().0).unwrap()
}

const LOOK: &str = "<script>
addEventListener('load', () => {
  const all = (name, size) => [...document.querySelectorAll(name)].map(size);
  const box = svg => { const { width, height } = svg.getBoundingClientRect(); return [width, height]; };
  const output = document.createElement('output');
  output.textContent = JSON.stringify({
    svg: all('svg', box),
    img: all('img', img => [img.naturalWidth, img.naturalHeight]),
    fetched: performance.getEntriesByType('resource').map(e => e.name).filter(name => !name.startsWith('data:')),
    too_wide: innerWidth < document.documentElement.scrollWidth,
  });
  document.body.append(output);
});
</script>";

/// Chromium, if it is there.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("ARCFACE_CHROMIUM").map_or_else(|| "chromium".into(), PathBuf::from);
    if Command::new(&path).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Some(path);
    }
    // Written past the test harness, which would swallow it.
    let _ = writeln!(std::io::stderr(), "skipped: no browser at {} (set ARCFACE_CHROMIUM)", path.display());
    None
}

/// The pictures of a page, in their order.
fn pictures(page: &str) -> Vec<&str> {
    page.split("<img src=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

fn assert_nothing_outside(page: &str) {
    let found: BTreeSet<&str> = page.split('"').filter(|text| text.contains("http")).collect();
    let expected = BTreeSet::from(["http://www.w3.org/2000/svg"]);
    // An equivalent of a header of HTTP, which is said in the page instead.
    let found: BTreeSet<&str> = found.into_iter().filter(|text| !text.contains("http-equiv")).collect();
    assert_eq!(found, expected);
}
