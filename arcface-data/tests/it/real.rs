//! Real faces, where the reader has them: `ARCFACE_DATA`, or `../shared/data` beside the workspace.

use std::io::Write;
use std::path::{Path, PathBuf};

use arcface_data::{Depth, FolderOptions, FolderSource, Inspection, PairList, Source};

/// The folder of real faces, if it is there.
pub(crate) fn data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("ARCFACE_DATA").map_or_else(beside, PathBuf::from);
    if root.is_dir() {
        return Some(root);
    }
    // Written past the test harness, which would swallow it.
    let _ = writeln!(std::io::stderr(), "skipped: no real faces at {} (set ARCFACE_DATA)", root.display());
    None
}

fn folder(root: &Path, name: &str, list: Option<&str>) -> FolderSource {
    let options = FolderOptions { identities: list.map(|list| root.join("splits").join(list)) };
    FolderSource::open(root.join(name), &options).unwrap()
}

fn counts(source: &FolderSource) -> (usize, usize) {
    (source.num_identities(), source.len())
}

#[test]
fn folders_have_the_identities_and_images_that_are_known() {
    let Some(root) = data() else { return };
    assert_eq!(counts(&folder(&root, "lfw112", None)), (5749, 13233));
    assert_eq!(counts(&folder(&root, "lfw112", Some("lfw_train_identities.txt"))), (1324, 7007));
    assert_eq!(counts(&folder(&root, "bollywood112", None)), (100, 8597));
    assert_eq!(folder(&root, "bollywood112", Some("bollywood_not_in_lfw.txt")).num_identities(), 95);
    assert_eq!(counts(&folder(&root, "fixture-tiny/lfw112", None)), (12, 48));
}

#[test]
fn official_pairs_are_all_there() {
    let Some(root) = data() else { return };
    for (list, folds, pairs) in [("lfw-lists/pairs.txt", 10, 6000), ("splits/lfw_folds9_10_pairs.txt", 2, 1200)] {
        let set = PairList::read(&root.join(list)).unwrap().resolve(&root.join("lfw112")).unwrap();
        assert_eq!(set.list.len(), pairs);
        assert_eq!(set.list.same().iter().filter(|same| **same).count(), pairs / 2);
        for fold in 0..folds {
            assert_eq!(set.list.folds().iter().filter(|of| **of == fold).count(), pairs / folds);
        }
        assert!(set.images.len() < 2 * pairs);
    }
    for (list, pairs) in [("pairsDevTest.txt", 1000), ("pairsDevTrain.txt", 2200)] {
        let list = PairList::read(&root.join("lfw-lists").join(list)).unwrap();
        assert_eq!((list.len(), list.folds().into_iter().max()), (pairs, Some(9)));
    }
}

#[test]
fn pairs_of_the_fixture_are_all_there() {
    let Some(root) = data() else { return };
    let fixture = root.join("fixture-tiny");
    let set = PairList::read(&fixture.join("pairs.csv")).unwrap().resolve(&fixture.join("lfw112")).unwrap();
    assert_eq!((set.list.len(), set.images.len()), (144, 48));
    assert_eq!(set.list.same().iter().filter(|same| **same).count(), 72);
}

#[test]
fn pairs_written_again_are_the_same() {
    let Some(root) = data() else { return };
    let path = root.join("lfw-lists/pairs.txt");
    let copy = tempfile::tempdir().unwrap().path().join("pairs.txt");
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    PairList::read(&path).unwrap().write(&copy).unwrap();
    let text = |path: &Path| std::fs::read_to_string(path).unwrap().trim_end().to_owned();
    assert_eq!(text(&copy), text(&path));
}

#[test]
fn every_file_can_be_read() {
    let Some(root) = data() else { return };
    let inspection = Inspection::of(&folder(&root, "fixture-tiny/lfw112", None), Depth::Pixels, 2);
    assert_eq!((inspection.sizes["112×112"], inspection.unreadable.len()), (48, 0));
    let actors = Inspection::of(&folder(&root, "bollywood112", None), Depth::Headers, 2);
    assert_eq!((actors.sizes["112×112"], actors.unreadable.len()), (8597, 0));
    assert_eq!((actors.images_per_identity.min, actors.images_per_identity.max), (43, 157));
}
