//! The one error type of the library crates: what was expected, what was found, what to do.
//! Knows no command line; `xtask` adds context and prints.

use std::path::PathBuf;

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong below the command line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has another shape than the operation takes.
    #[error("{what}: expected shape {expected}, got {got:?}")]
    Shape {
        /// The argument.
        what: String,
        /// The shape in letters, such as `(B, D)`.
        expected: String,
        /// The dimensions that were found.
        got: Vec<usize>,
    },
    /// A number lies outside its range.
    #[error("{what}: expected {expected}, got {got}")]
    Value {
        /// The quantity or configuration key.
        what: String,
        /// The range in words or as an inequality.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A name is not among the known ones.
    #[error("no {kind} named `{name}`; known: {}", known.join(", "))]
    UnknownName {
        /// What the name should stand for, such as `loss`.
        kind: &'static str,
        /// The name that was given.
        name: String,
        /// The names that exist, sorted.
        known: Vec<String>,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file could be read but does not hold what it should.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected, what was found, what to do.
        message: String,
    },
    /// Anything else, complete in itself.
    #[error("{0}")]
    Invalid(String),
    /// An error of the tensor library.
    #[error("tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// An [`Error::Shape`].
    pub fn shape(what: impl Into<String>, expected: impl Into<String>, got: &[usize]) -> Self {
        Self::Shape { what: what.into(), expected: expected.into(), got: got.to_vec() }
    }

    /// An [`Error::Value`].
    pub fn value(what: impl Into<String>, expected: impl Into<String>, got: impl std::fmt::Display) -> Self {
        Self::Value { what: what.into(), expected: expected.into(), got: got.to_string() }
    }

    /// An [`Error::Io`] about `path`.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// An [`Error::File`] about `path`.
    pub fn file(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::File { path: path.into(), message: message.into() }
    }

    /// An [`Error::UnknownName`] with the known names sorted.
    pub fn unknown<S: Into<String>>(kind: &'static str, name: &str, known: impl IntoIterator<Item = S>) -> Self {
        let mut known: Vec<String> = known.into_iter().map(Into::into).collect();
        known.sort();
        Self::UnknownName { kind, name: name.to_owned(), known }
    }
}

/// Lets an operator's kernel report through candle's `CustomOp` traits.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Tensor(inner) => inner,
            other => Self::wrap(other),
        }
    }
}
