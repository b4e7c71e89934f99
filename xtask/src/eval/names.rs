//! Names of embeddings: which row of a file a list means by a path or a number.
//! Knows no list and no embedding.

use std::collections::BTreeMap;

use anyhow::bail;

/// Rows by name: a path, any end of it, either without the ending of an image; or the row's number.
pub(super) struct Names {
    /// `None` where two rows end so.
    rows: BTreeMap<String, Option<u32>>,
    number: usize,
}

impl Names {
    /// Rows that are called by their numbers alone, of which there are `number`.
    pub(super) fn numbered(number: usize) -> Self {
        Self { rows: BTreeMap::new(), number }
    }

    /// Rows with a path each.
    pub(super) fn new(paths: &[String]) -> Self {
        let mut rows: BTreeMap<String, Option<u32>> = BTreeMap::new();
        for (row, path) in (0..).zip(paths) {
            for end in ends(path) {
                rows.entry(end.to_owned())
                    .and_modify(|known| *known = known.filter(|known| *known == row))
                    .or_insert(Some(row));
            }
        }
        Self { rows, number: paths.len() }
    }

    /// The row that is called `name`.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub(super) fn row(&self, name: &str) -> anyhow::Result<u32> {
        match (self.rows.get(name), name.parse::<u32>()) {
            (Some(Some(row)), _) => Ok(*row),
            (Some(None), _) => bail!("`{name}`: expected the end of one path, got that of several; write more of it"),
            (None, Ok(row)) if self.rows.is_empty() && (row as usize) < self.number => Ok(row),
            (None, _) if self.rows.is_empty() => {
                bail!("`{name}`: expected a row below {} (there is no FILE.paths.txt with names)", self.number)
            }
            (None, _) => bail!("`{name}`: expected the end of a path in FILE.paths.txt, found none that ends so"),
        }
    }
}

/// The ends of a path at its slashes, each with and without the ending of an image.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    let starts = path.match_indices('/').map(|(at, _)| at + 1);
    let whole = [0].into_iter().chain(starts).map(|start| &path[start..]);
    whole.flat_map(|end| {
        let stem = [".jpg", ".jpeg", ".png"].iter().find_map(|ending| end.strip_suffix(ending));
        [Some(end), stem].into_iter().flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_end_of_a_path_names_its_row() {
        let names = Names::new(&["f/a/1.png".to_owned(), "f/b/1.png".to_owned(), "f/b/2.jpg".to_owned()]);
        for (name, row) in [("f/a/1.png", 0), ("a/1", 0), ("b/1.png", 1), ("2", 2), ("2.jpg", 2)] {
            assert_eq!(names.row(name).unwrap(), row, "{name}");
        }
        let words = |name: &str| names.row(name).unwrap_err().to_string();
        assert!(words("1").contains("got that of several"));
        assert!(words("c/1").contains("found none"));
    }

    #[test]
    fn rows_without_names_have_numbers() {
        let names = Names::numbered(3);
        assert_eq!(names.row("2").unwrap(), 2);
        assert!(names.row("3").unwrap_err().to_string().contains("expected a row below 3"));
    }
}
