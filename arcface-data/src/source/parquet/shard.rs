//! One Parquet file: where the pages of its images lie, and the values of a page.
//! Knows no identities; what is decoded is kept by nobody here.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arcface_core::{Error, Result};
use bytes::Bytes;
use parquet::basic::{Compression, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::serialized_reader::SerializedPageReader;

use super::Said;
use super::claims::{check_metadata, page_header};
use crate::record::map;

/// What a file ends with, after four bytes that tell the length of the metadata before them.
const MAGIC: &[u8] = b"PAR1";
const TAIL: usize = 8;

/// Snappy makes at most 64 bytes of 3.
const MOST_OF_A_PACKED_BYTE: usize = 22;

/// Names that columns of labels go by.
const LABELS: [&str; 4] = ["label", "labels", "identity", "class"];

/// A file whose claims are checked; values are decoded when they are asked for.
#[derive(Debug)]
pub(super) struct Shard {
    path: PathBuf,
    bytes: Bytes,
    metadata: ParquetMetaData,
    images: usize,
    pages: Vec<Place>,
}

/// Where a page lies.
#[derive(Debug, Clone)]
struct Place {
    group: usize,
    /// Of the file's rows.
    first_row: usize,
    rows: usize,
    span: Span,
    dictionary: Option<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    offset: usize,
    length: usize,
    unpacked: usize,
}

impl Shard {
    /// The file, and the label of each of its rows.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Vec<u32>)> {
        let bytes = Bytes::from_owner(map(&path, "a .parquet")?);
        Self::of(path.clone(), bytes).map_err(|message| Error::file(path, message))
    }

    fn of(path: PathBuf, bytes: Bytes) -> Said<(Self, Vec<u32>)> {
        let metadata = metadata(&bytes)?;
        let images = find(&metadata, &[&["image", "bytes"], &["image"]], &[Type::BYTE_ARRAY], "image")?;
        let paths = LABELS.each_ref().map(std::slice::from_ref);
        let labels = find(&metadata, &paths, &[Type::INT32, Type::INT64], "label")?;
        let mut shard = Self { path, bytes, metadata, images, pages: Vec::new() };
        let labels = shard.labels(labels)?;
        shard.pages = shard.places(images)?;
        Ok((shard, labels))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The page that holds `row`, and the row's number in it.
    pub(super) fn page_of(&self, row: usize) -> (usize, usize) {
        let page = self.pages.partition_point(|page| page.first_row <= row).saturating_sub(1);
        (page, row - self.pages[page].first_row)
    }

    /// Bytes that the values of a page take in memory.
    pub(super) fn unpacked(&self, page: usize) -> usize {
        let Place { span, dictionary, .. } = &self.pages[page];
        span.unpacked + dictionary.map_or(0, |span| span.unpacked)
    }

    /// The encoded images of a page.
    pub(super) fn images(&self, page: usize) -> Said<Vec<Option<ByteArray>>> {
        self.values::<ByteArrayType>(self.images, &self.pages[page])
    }

    fn labels(&self, column: usize) -> Said<Vec<u32>> {
        let mut labels = Vec::new();
        for page in self.places(column)? {
            let values: Vec<Option<i64>> =
                match self.metadata.file_metadata().schema_descr().column(column).physical_type() {
                    Type::INT32 => {
                        self.values::<Int32Type>(column, &page)?.into_iter().map(|value| value.map(i64::from)).collect()
                    }
                    _ => self.values::<Int64Type>(column, &page)?,
                };
            for value in values {
                labels.push(label(labels.len(), value)?);
            }
        }
        Ok(labels)
    }

    fn places(&self, column: usize) -> Said<Vec<Place>> {
        let (mut places, mut first_row) = (Vec::new(), 0);
        for (group, row_group) in self.metadata.row_groups().iter().enumerate() {
            // An image, if only the place of one in a dictionary, takes some of the file.
            let rows = usize::try_from(row_group.num_rows())
                .ok()
                .filter(|rows| *rows <= self.bytes.len() - first_row.min(self.bytes.len()));
            let rows = rows.ok_or_else(|| {
                format!(
                    "its metadata claims {} rows; a file of {} bytes cannot hold them",
                    row_group.num_rows(),
                    self.bytes.len()
                )
            })?;
            let start = places.len();
            self.walk(group, column, first_row, &mut places)?;
            let found = places[start..].iter().map(|place: &Place| place.rows).fold(0, usize::saturating_add);
            if found != rows {
                return Err(format!("row group {group}: expected {rows} rows, its pages hold {found}; fetch it again"));
            }
            first_row += rows;
        }
        Ok(places)
    }

    /// Lists the pages of a column in a row group.
    fn walk(&self, group: usize, column: usize, mut first_row: usize, places: &mut Vec<Place>) -> Said<()> {
        let chunk = self.metadata.row_group(group).column(column);
        check_codec(chunk)?;
        let (mut at, end) = self.range(chunk)?;
        let mut dictionary = None;
        while at < end {
            let header = page_header(&self.bytes[at..end]).map_err(|message| format!("offset {at}: {message}"))?;
            let length = header.length.saturating_add(header.packed);
            let most = header.packed.saturating_mul(MOST_OF_A_PACKED_BYTE);
            if end - at < length || most < header.unpacked {
                return Err(format!(
                    "offset {at}: a page claims {} bytes, unpacked {}; more than can be, fetch the file again",
                    header.packed, header.unpacked
                ));
            }
            let span = Span { offset: at, length, unpacked: header.unpacked };
            match header.kind {
                0 | 3 => {
                    places.push(Place { group, first_row, rows: header.values, span, dictionary });
                    first_row = first_row.saturating_add(header.values);
                }
                2 => dictionary = Some(span),
                _ => {}
            }
            at += length;
        }
        Ok(())
    }

    fn range(&self, chunk: &ColumnChunkMetaData) -> Said<(usize, usize)> {
        let data = chunk.data_page_offset();
        let start = chunk.dictionary_page_offset().filter(|place| 0 < *place && *place < data).unwrap_or(data);
        let end = start.saturating_add(chunk.compressed_size());
        match (usize::try_from(start), usize::try_from(end)) {
            (Ok(start), Ok(end)) if start <= end && end <= self.bytes.len() => Ok((start, end)),
            _ => Err(format!(
                "column `{}` is said to lie at {start} to {end}, outside of it; fetch it again",
                chunk.column_path().string()
            )),
        }
    }

    /// The values of a page, `None` for those that are missing.
    fn values<T: DataType>(&self, column: usize, place: &Place) -> Said<Vec<Option<T::T>>> {
        // Lengths are checked above, but how indices and levels are packed only the decoder knows, and it asserts what
        // it expects of them: a damaged page must not end a training run.
        let decoded = catch_unwind(AssertUnwindSafe(|| self.decode::<T>(column, place)));
        let decoded = decoded.unwrap_or_else(|_| Err("the decoder gave up".to_owned()));
        decoded
            .map_err(|message| format!("offset {}: corrupt page: {message}; fetch the file again", place.span.offset))
    }

    fn decode<T: DataType>(&self, column: usize, place: &Place) -> Said<Vec<Option<T::T>>> {
        let chunk = self.metadata.row_group(place.group).column(column);
        let spans = place.dictionary.into_iter().chain([place.span]);
        let pages = spans.map(|span| self.page(chunk, span, place.rows)).collect::<Said<_>>()?;
        let mut reader = ColumnReaderImpl::<T>::new(chunk.column_descr_ptr(), Box::new(Pages(pages)));
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        reader.read_records(place.rows, Some(&mut levels), None, &mut values).map_err(|error| error.to_string())?;
        let whole = chunk.column_descr().max_def_level();
        if whole == 0 {
            levels = vec![whole; values.len()];
        }
        let present = levels.iter().filter(|level| **level == whole).count();
        if levels.len() != place.rows || present != values.len() {
            return Err(format!("expected {} values, got {}", place.rows, levels.len()));
        }
        let mut values = values.into_iter();
        Ok(levels.into_iter().map(|level| if level == whole { values.next() } else { None }).collect())
    }

    /// One page, unpacked: the reader is told of a column that begins and ends with it.
    fn page(&self, chunk: &ColumnChunkMetaData, span: Span, rows: usize) -> Said<Page> {
        let narrowed = chunk.clone().into_builder().set_dictionary_page_offset(None);
        let narrowed = narrowed.set_data_page_offset(span.offset as i64).set_total_compressed_size(span.length as i64);
        let page = narrowed.build().and_then(|narrowed| {
            SerializedPageReader::new(Arc::new(self.bytes.clone()), &narrowed, rows, None)?.get_next_page()
        });
        page.map_err(|error| error.to_string())?.ok_or_else(|| "there is none".to_owned())
    }
}

fn metadata(bytes: &Bytes) -> Said<ParquetMetaData> {
    let not_parquet = || "expected a Parquet file, from PAR1 to PAR1; it is another, or cut short".to_owned();
    if bytes.len() < MAGIC.len() + TAIL || !bytes.starts_with(MAGIC) || !bytes.ends_with(MAGIC) {
        return Err(not_parquet());
    }
    let tail = bytes.len() - TAIL;
    let length = bytes[tail..tail + 4].iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let Some(start) = tail.checked_sub(length).filter(|start| MAGIC.len() <= *start) else {
        return Err(format!("it claims {length} bytes of metadata; a file of {} bytes cannot hold them", bytes.len()));
    };
    let footer = &bytes[start..tail];
    check_metadata(footer)?;
    let decoded = catch_unwind(|| ParquetMetaDataReader::decode_metadata(footer));
    let decoded = decoded.map_err(|_| "its metadata are corrupt; fetch it again".to_owned())?;
    decoded.map_err(|error| format!("its metadata are corrupt: {error}; fetch it again"))
}

/// The column under the first of `paths` that is there, if it is of one of the `types`.
fn find(metadata: &ParquetMetaData, paths: &[&[&str]], types: &[Type], what: &str) -> Said<usize> {
    let schema = metadata.file_metadata().schema_descr();
    let fits = |path: &[&str]| {
        schema.columns().iter().position(|column| {
            column.path().parts() == path && types.contains(&column.physical_type()) && column.max_rep_level() == 0
        })
    };
    let found = paths.iter().find_map(|path| fits(path));
    found.ok_or_else(|| {
        let names = paths.iter().map(|path| path.join(".")).collect::<Vec<_>>().join(", ");
        let types = types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        let columns =
            schema.columns().iter().map(|column| format!("{} ({})", column.path().string(), column.physical_type()));
        let columns = columns.collect::<Vec<_>>().join(", ");
        format!("expected a column of {what}s ({names}; {types}), found {columns}")
    })
}

/// Others unpack without an end that is known beforehand, or have to be compiled from C.
fn check_codec(chunk: &ColumnChunkMetaData) -> Said<()> {
    match chunk.compression() {
        Compression::UNCOMPRESSED | Compression::SNAPPY => Ok(()),
        other => {
            let other = other.to_string();
            let other = other.split('(').next().unwrap_or_default();
            let path = chunk.column_path().string();
            Err(format!("column `{path}` is packed with {other}, expected snappy or none; write it again with snappy"))
        }
    }
}

fn label(row: usize, value: Option<i64>) -> Said<u32> {
    let found = value.map_or_else(|| "none".to_owned(), |value| value.to_string());
    let label = value.and_then(|value| u32::try_from(value).ok());
    label.ok_or_else(|| format!("row {row}: expected a label from 0 to {}, got {found}; leave the row out", u32::MAX))
}

/// Pages that are unpacked already.
struct Pages(VecDeque<Page>);

impl Iterator for Pages {
    type Item = parquet::errors::Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.pop_front().map(Ok)
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> parquet::errors::Result<Option<Page>> {
        Ok(self.0.pop_front())
    }
    fn peek_next_page(&mut self) -> parquet::errors::Result<Option<PageMetadata>> {
        Ok(None)
    }
    fn skip_next_page(&mut self) -> parquet::errors::Result<()> {
        self.0.pop_front();
        Ok(())
    }
}
