//! A matrix of embeddings that grows on the disk, batch by batch, and goes on after a stop.
//! Knows no network and no image: images are counted, rows are numbers.
//!
//! `FILE.partial` has the rows, `FILE.partial.log` a line of JSON for what they depend on and one per batch, written
//! after its rows. Whoever goes on keeps the batches whose rows are there and whole.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arcface_core::checkpoint::atomic_write;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::format::{About, Format};
use crate::digest::Digest;
use crate::output;

/// What a table is begun with.
#[derive(Debug)]
pub(crate) struct Begun {
    /// All that the rows depend on, by name.
    pub(crate) key: Value,
    /// Images, of which each gives a row or is skipped.
    pub(crate) images: usize,
    /// Images per batch.
    pub(crate) batch: usize,
    /// Values per row D.
    pub(crate) columns: usize,
}

/// The matrix and how far it has come.
#[derive(Debug)]
pub(crate) struct Table {
    out: PathBuf,
    format: Format,
    begun: Begun,
    about: About,
    data: File,
    log: File,
    done: Done,
}

#[derive(Debug, Default)]
struct Done {
    images: usize,
    /// Numbers of the images that gave no row, and why.
    skipped: BTreeMap<usize, String>,
}

impl Done {
    fn rows(&self) -> usize {
        self.images - self.skipped.len()
    }

    fn add(&mut self, entry: Entry) {
        let first = self.images;
        self.skipped.extend(entry.skipped.into_iter().map(|(place, message)| (first + place, message)));
        self.images += entry.images;
    }
}

/// A line of the log.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    images: usize,
    /// Places in the batch, and why they gave no row.
    skipped: Vec<(usize, String)>,
    /// Of the rows' bytes.
    digest: String,
}

impl Table {
    /// Begins the table of `out`, or goes on with one that was begun so.
    ///
    /// # Errors
    /// If the file is there already, another process writes it, or it was begun with something else.
    pub(crate) fn open(out: &Path, format: Format, begun: Begun, about: About) -> anyhow::Result<Self> {
        if begun.batch < 1 {
            bail!("--batch-size: expected at least 1, got 0");
        }
        let log_path = beside(out, ".partial.log");
        refuse_existing(out)?;
        if !log_path.exists() {
            refuse_existing(&beside(out, ".paths.txt"))?;
            output::file(&log_path, &format!("{}\n", begun.key))?;
        }
        let log = open(&log_path)?;
        if log.try_lock().is_err() {
            bail!("{}: another process writes this file; wait for it", out.display());
        }
        let data = open(&beside(out, ".partial"))?;
        let mut table = Self { out: out.to_owned(), format, begun, about, data, log, done: Done::default() };
        table.go_on().with_context(|| log_path.display().to_string())?;
        Ok(table)
    }

    /// Removes what stands at `out` of rows that depend on anything but `key`, whole or begun.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn discard_other(out: &Path, key: &Value) -> anyhow::Result<()> {
        let [paths, partial, log] = [".paths.txt", ".partial", ".partial.log"].map(|ending| beside(out, ending));
        let begun = fs::read_to_string(&log).unwrap_or_default();
        let is_begun_so = begun.lines().next() == Some(&key.to_string());
        let begun_otherwise: &[PathBuf] = if is_begun_so { &[] } else { &[partial, log] };
        for file in [out.to_owned(), paths].iter().chain(begun_otherwise).filter(|file| file.exists()) {
            fs::remove_file(file).with_context(|| format!("{} cannot be removed", file.display()))?;
        }
        Ok(())
    }

    /// The batch that comes next, counted from 0.
    pub(crate) fn next_batch(&self) -> u64 {
        self.done.images.div_ceil(self.begun.batch) as u64
    }

    /// Images there are to be.
    pub(crate) fn expected(&self) -> usize {
        self.begun.images
    }

    /// Images done, skipped ones included.
    pub(crate) fn images(&self) -> usize {
        self.done.images
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> usize {
        self.done.rows()
    }

    /// Adds a batch: its rows, and the places in it that gave none.
    ///
    /// # Errors
    /// If the disk is full.
    pub(crate) fn push(&mut self, rows: &[f32], skipped: Vec<(usize, String)>) -> anyhow::Result<()> {
        let bytes = self.about.element.encoded(rows);
        let images = rows.len() / self.begun.columns + skipped.len();
        let entry = Entry { images, skipped, digest: Digest::of(&bytes) };
        let line = serde_json::to_string(&entry)? + "\n";
        let written = self.data.write_all(&bytes).and_then(|()| self.log.write_all(line.as_bytes()));
        written.with_context(|| beside(&self.out, ".partial").display().to_string())?;
        self.done.add(entry);
        Ok(())
    }

    /// Puts the head before the rows, writes the paths of the images that have one, and gives the file its name.
    ///
    /// # Errors
    /// If no image gave a row, or the disk is full.
    pub(crate) fn finish<I: IntoIterator>(mut self, images: I) -> anyhow::Result<()>
    where
        I::Item: Display,
    {
        let (out, partial) = (&self.out, beside(&self.out, ".partial"));
        if self.done.rows() == 0 {
            bail!("{}: none of the images could be used", out.display());
        }
        let head = self.format.head(self.done.rows(), self.begun.columns, &self.about);
        let whole = self.data.rewind().and_then(|()| self.data.write_all(&head)).and_then(|()| self.data.sync_all());
        whole.with_context(|| partial.display().to_string())?;
        let used = images.into_iter().enumerate().filter(|(index, _)| !self.done.skipped.contains_key(index));
        atomic_write(&beside(out, ".paths.txt"), |file| {
            used.into_iter().try_for_each(|(_, image)| writeln!(file, "{image}"))
        })?;
        fs::rename(&partial, out).with_context(|| out.display().to_string())?;
        let log = beside(out, ".partial.log");
        fs::remove_file(&log).with_context(|| log.display().to_string())
    }

    /// Reads what is there, keeps the whole batches and cuts off the rest.
    fn go_on(&mut self) -> anyhow::Result<()> {
        let mut text = Vec::new();
        self.log.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.split_inclusive('\n');
        let first = lines.next().unwrap_or_default();
        self.refuse_other(first)?;
        let mut kept = first.len();
        self.data.seek(SeekFrom::Start(self.head_length()))?;
        for line in lines {
            let Some(entry) = self.whole(line)? else { break };
            self.done.add(entry);
            kept += line.len();
        }
        self.log.set_len(kept as u64)?;
        self.log.seek(SeekFrom::End(0))?;
        self.data.set_len(self.head_length() + (self.row_bytes() * self.done.rows()) as u64)?;
        self.data.seek(SeekFrom::End(0))?;
        Ok(())
    }

    fn row_bytes(&self) -> usize {
        self.about.element.bytes() * self.begun.columns
    }

    fn head_length(&self) -> u64 {
        self.format.head(self.begun.images, self.begun.columns, &self.about).len() as u64
    }

    fn refuse_other(&self, first: &str) -> anyhow::Result<()> {
        let advice = "remove it and begin anew, or choose another --out";
        let Ok(before) = serde_json::from_str::<Value>(first) else {
            bail!("expected what the rows depend on, got `{}`; {advice}", first.trim_end());
        };
        let names = self.begun.key.as_object().into_iter().flat_map(|key| key.keys());
        let changed: Vec<_> = names.filter(|name| before[*name] != self.begun.key[*name]).map(String::as_str).collect();
        if changed.is_empty() { Ok(()) } else { bail!("begun with other {}; {advice}", changed.join(", ")) }
    }

    /// The entry of a line if it is whole and its rows stand in the data.
    fn whole(&mut self, line: &str) -> anyhow::Result<Option<Entry>> {
        let entry = line.strip_suffix('\n').and_then(|line| serde_json::from_str::<Entry>(line).ok());
        let expected = self.begun.batch.min(self.begun.images - self.done.images);
        let fits = |entry: &Entry| entry.images == expected && entry.skipped.iter().all(|(place, _)| *place < expected);
        let Some(entry) = entry.filter(fits).filter(|entry| entry.skipped.len() <= expected) else { return Ok(None) };
        let mut bytes = Vec::new();
        let length = self.row_bytes() * (entry.images - entry.skipped.len());
        (&self.data).take(length as u64).read_to_end(&mut bytes)?;
        Ok((bytes.len() == length && Digest::of(&bytes) == entry.digest).then_some(entry))
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    file.with_context(|| path.display().to_string())
}

fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        bail!("{}: expected a new file, found one; choose another name", path.display());
    }
    Ok(())
}

/// The file's name with something behind it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::super::element::Element;
    use super::*;
    use serde_json::json;

    const IMAGES: usize = 11;

    fn table(out: &Path) -> anyhow::Result<Table> {
        let begun = Begun { key: json!({"weights": 1}), images: IMAGES, batch: 3, columns: 2 };
        let metadata = vec![("network", "tiny".to_owned())];
        let about = About { name: "embeddings", element: Element::Single, metadata };
        Table::open(out, Format::of(out)?, begun, about)
    }

    /// Batch `number`, of which the image 4 gives no row.
    fn push(table: &mut Table, number: usize) {
        let images = (3 * number..IMAGES.min(3 * number + 3)).filter(|image| *image != 4);
        let rows: Vec<f32> = images.flat_map(|image| [image as f32, 0.5]).collect();
        let skipped = if number == 1 { vec![(1, "torn".to_owned())] } else { vec![] };
        table.push(&rows, skipped).unwrap();
    }

    fn fill(mut table: Table) {
        (table.images().div_ceil(3)..4).for_each(|number| push(&mut table, number));
        let images: Vec<String> = (0..IMAGES).map(|image| format!("{image}.png")).collect();
        table.finish(&images).unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// Wherever either file is cut or spoilt, going on gives the bytes of a run that was not stopped.
    #[test]
    fn a_table_goes_on_from_any_state_of_its_files() {
        for name in ["e.npy", "e.safetensors"] {
            let whole = tempfile::tempdir().unwrap();
            fill(table(&whole.path().join(name)).unwrap());
            assert_eq!(names(whole.path()), [name.to_owned(), format!("{name}.paths.txt")]);
            let expected = fs::read(whole.path().join(name)).unwrap();
            for spoil in 0..60_usize {
                let folder = tempfile::tempdir().unwrap();
                let out = folder.path().join(name);
                let mut begun = table(&out).unwrap();
                (0..=spoil % 4).for_each(|number| push(&mut begun, number));
                drop(begun);
                let victim = beside(&out, if spoil % 2 == 0 { ".partial" } else { ".partial.log" });
                let mut bytes = fs::read(&victim).unwrap();
                // The first line of the log is written whole, before anything else.
                let from = if spoil % 2 == 0 { 0 } else { 14 };
                let at = from + spoil * 7 % (bytes.len() - from);
                match spoil % 3 {
                    0 => bytes.truncate(at),
                    _ => bytes[at] ^= 0x15,
                }
                fs::write(&victim, bytes).unwrap();
                fill(table(&out).unwrap());
                assert_eq!(fs::read(&out).unwrap(), expected, "{name}, {spoil}");
            }
        }
    }

    #[test]
    fn what_belongs_to_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("e.npy");
        let words = |result: anyhow::Result<Table>| {
            format!("{:#}", result.unwrap_err()).replace(&folder.path().display().to_string(), "DIR")
        };
        let first = table(&out).unwrap();
        assert_eq!(words(table(&out)), "DIR/e.npy: another process writes this file; wait for it");
        drop(first);
        let begun = Begun { key: json!({"weights": 2, "mirror": true}), images: IMAGES, batch: 3, columns: 2 };
        let other = Table::open(
            &out,
            Format::Npy,
            begun,
            About { name: "embeddings", element: Element::Single, metadata: vec![] },
        );
        let advice = "remove it and begin anew, or choose another --out";
        assert_eq!(words(other), format!("DIR/e.npy.partial.log: begun with other mirror, weights; {advice}"));
        fs::write(beside(&out, ".partial.log"), "torn").unwrap();
        let expected = format!("DIR/e.npy.partial.log: expected what the rows depend on, got `torn`; {advice}");
        assert_eq!(words(table(&out)), expected);
        fs::remove_file(beside(&out, ".partial.log")).unwrap();
        fill(table(&out).unwrap());
        assert_eq!(words(table(&out)), "DIR/e.npy: expected a new file, found one; choose another name");
    }
}
