//! RecordIO, the container that MXNet and insightface keep faces in: `.rec`, with `.idx`, `property` and ours, `.names`, beside it.
//! Knows no order of training and decodes no image; [`RecordSource`](crate::RecordSource) does.

mod file;
mod frame;
mod header;
mod index;
mod names;
mod writer;

#[cfg(feature = "parquet")]
pub(crate) use file::map;
pub use file::{IndexOrigin, Record, RecordFile, read_property};
pub use header::LARGEST_LABEL;
pub(crate) use names::names_path;
pub use names::read_names;
pub use writer::{RecordWriter, Written};

/// What is wrong with some bytes, to be put behind the name of their file.
type Said<T> = std::result::Result<T, String>;
