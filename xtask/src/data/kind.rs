//! What kind of data set stands under a path, and its source.
//! Knows no configuration and no training.

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use arcface_data::record::IndexOrigin;
use arcface_data::source::is_idx_folder;
#[cfg(feature = "parquet")]
use arcface_data::source::is_parquet_folder;
use arcface_data::{FolderOptions, FolderSource, IdxSource, RecordSource, Source};

/// How a data set is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One sub-folder per identity.
    Folder,
    /// RecordIO: a `.rec`, or a folder with `train.rec`.
    Record,
    /// MNIST's files: `…images-idx3-ubyte`, or a folder with those to train on.
    Idx,
    /// A `.parquet`, or a folder of them.
    Parquet,
    /// A verification set in one file: pairs, and no identities.
    Bin,
}

impl Kind {
    /// By the name of a file, and by what lies in a folder.
    pub(crate) fn of(path: &Path) -> Self {
        let has_extension = |wanted: &str| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(wanted));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if has_extension("rec") || path.join("train.rec").is_file() {
            Self::Record
        } else if name.contains("images") && name.contains("idx3") || is_idx_folder(path) {
            Self::Idx
        } else if has_extension("bin") {
            Self::Bin
        } else if has_extension("parquet") || is_parquet_folder(path) {
            Self::Parquet
        } else {
            Self::Folder
        }
    }
}

/// Opens the data set under `path`, of a folder only the `identities` that a file lists.
///
/// # Errors
/// If it cannot be read or is not whole, has no identities, or identities are chosen from another kind than a folder.
pub(crate) fn open(path: &Path, identities: Option<&Path>) -> anyhow::Result<Arc<dyn Source>> {
    Ok(match (Kind::of(path), identities) {
        (Kind::Bin, _) => bail!(
            "{}: expected a set of identities, found a verification set, which has pairs alone; \
             look at it with `data inspect`, verify with `eval --bin`",
            path.display()
        ),
        (Kind::Folder, identities) => {
            let options = FolderOptions { identities: identities.map(Path::to_owned) };
            Arc::new(FolderSource::open(path, &options)?)
        }
        (_, Some(list)) => bail!("--identities {}: expected a folder of identities to choose from", list.display()),
        (Kind::Record, None) => Arc::new(records(path)?),
        (Kind::Parquet, None) => crate::sources::parquet(path)?,
        (Kind::Idx, None) => Arc::new(IdxSource::open(path, None)?),
    })
}

fn records(path: &Path) -> anyhow::Result<RecordSource> {
    let source = RecordSource::open(path)?;
    if source.origin() == IndexOrigin::Scanned {
        eprintln!("{}: there is no .idx; its records were found by walking through", source.path().display());
    }
    Ok(source)
}

#[cfg(not(feature = "parquet"))]
fn is_parquet_folder(_folder: &Path) -> bool {
    false
}
