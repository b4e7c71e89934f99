//! The lists of wrong faces that make `MegaFace` the refined one.
//! Knows no embedding.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, bail};

/// Those of `paths` that a list does not name, by their places.
///
/// A line is the end of a path, with or without a number and a tab before it; lines that begin with `#` are passed over.
///
/// # Errors
/// If the list cannot be read, or names none of the paths: it belongs to other faces then.
pub(super) fn clean(paths: &[String], list: &Path) -> anyhow::Result<Vec<usize>> {
    if !list.is_file() {
        bail!("{}: expected the wrong faces, the end of a path in each line, found no such file", list.display());
    }
    let text = std::fs::read_to_string(list).with_context(|| list.display().to_string())?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let names: HashSet<&str> = lines.map(|line| line.rsplit('\t').next().unwrap_or(line)).collect();
    let clean: Vec<usize> = (0..paths.len()).filter(|place| !is_named(&paths[*place], &names)).collect();
    if clean.len() == paths.len() && !names.is_empty() {
        bail!("{}: expected names of the {} faces, found none among its {}", list.display(), paths.len(), names.len());
    }
    Ok(clean)
}

/// Whether an end of the path is in the list; `.bin` behind it is that of a feature file.
fn is_named(path: &str, names: &HashSet<&str>) -> bool {
    let path = path.strip_suffix(".bin").unwrap_or(path);
    let starts = path.match_indices('/').map(|(at, _)| at + 1);
    [0].into_iter().chain(starts).any(|start| names.contains(&path[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_faces_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("noises.txt");
        let paths = ["m/1/a.jpg", "m/1/b.jpg", "m/2/a.jpg.bin"].map(str::to_owned);
        for (text, expected) in [("# wrong\nb.jpg\n", &[0, 2][..]), ("7\t2/a.jpg\nm/1/a.jpg\n", &[1]), ("", &[0, 1, 2])]
        {
            std::fs::write(&list, text).unwrap();
            assert_eq!(clean(&paths, &list).unwrap(), expected, "{text:?}");
        }
        std::fs::write(&list, "c.jpg\n").unwrap();
        let error = clean(&paths, &list).unwrap_err().to_string();
        assert!(error.ends_with("noises.txt: expected names of the 3 faces, found none among its 1"), "{error}");
    }
}
