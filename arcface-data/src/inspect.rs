//! What a data set holds: identities, images, how many per identity, their sizes, and the files that cannot be read.
//! Knows no training; changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::source::Source;

/// Identities that are named.
const NAMES: usize = 3;

/// How closely the files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Not at all: names and numbers only.
    Names,
    /// Their headers: format and size.
    #[default]
    Headers,
    /// All of them, decoded.
    Pixels,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// Identities.
    pub identities: usize,
    /// Names of the first identities.
    pub names: Vec<String>,
    /// Images.
    pub images: usize,
    /// Images per identity.
    pub images_per_identity: Spread,
    /// Identities by their number of images: 1, 2–3, 4–7, 8–15, …
    pub histogram: Vec<Bin>,
    /// Images by size, `112×112`; of those that could be read.
    pub sizes: BTreeMap<String, usize>,
    /// A message for every image that could not be read.
    pub unreadable: Vec<String>,
}

/// Least, middle and most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Smallest.
    pub min: usize,
    /// Middle one; the mean of both where there are two.
    pub median: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Largest.
    pub max: usize,
}

/// One bar of the histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// Fewest images.
    pub from: usize,
    /// Most images.
    pub to: usize,
    /// Identities with so many.
    pub identities: usize,
}

impl Inspection {
    /// Looks through `source` with `threads` threads; unreadable images are listed, not an error.
    pub fn of(source: &(dyn Source + '_), depth: Depth, threads: usize) -> Self {
        let mut counts = vec![0; source.num_identities()];
        (0..source.len()).for_each(|index| counts[source.label(index) as usize] += 1);
        let mut inspection = Self {
            identities: counts.len(),
            names: (0..counts.len().min(NAMES) as u32).map(|label| source.identity(label)).collect(),
            images: source.len(),
            images_per_identity: spread(&mut counts),
            histogram: histogram(&counts),
            sizes: BTreeMap::new(),
            unreadable: Vec::new(),
        };
        if depth != Depth::Names {
            inspection.look(source, depth, threads);
        }
        inspection
    }

    fn look(&mut self, source: &(dyn Source + '_), depth: Depth, threads: usize) {
        for size in sizes(source, depth, threads) {
            match size {
                Ok((width, height)) => *self.sizes.entry(format!("{width}×{height}")).or_default() += 1,
                Err(message) => self.unreadable.push(message),
            }
        }
    }
}

type Size = Result<(usize, usize), String>;

/// Size of every image, in order.
fn sizes(source: &(dyn Source + '_), depth: Depth, threads: usize) -> Vec<Size> {
    let found = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if source.len() <= index {
                return;
            }
            let size = size(source, depth, index);
            found.lock().unwrap_or_else(PoisonError::into_inner).insert(index, size);
        }
    };
    std::thread::scope(|scope| (0..threads.max(1)).for_each(|_| drop(scope.spawn(work))));
    found.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn size(source: &(dyn Source + '_), depth: Depth, index: usize) -> Size {
    let size = match depth {
        Depth::Pixels => source.image(index).map(|image| (image.width, image.height)),
        Depth::Names | Depth::Headers => source.dimensions(index),
    };
    size.map_err(|error| error.to_string())
}

/// Sorts `counts`.
fn spread(counts: &mut [usize]) -> Spread {
    counts.sort_unstable();
    let at = |place: usize| counts.get(place).copied().unwrap_or(0);
    let (length, sum) = (counts.len(), counts.iter().sum::<usize>());
    let median = f64::midpoint(at(length.saturating_sub(1) / 2) as f64, at(length / 2) as f64);
    let mean = sum as f64 / length.max(1) as f64;
    Spread { min: at(0), median, mean, max: at(length.saturating_sub(1)) }
}

fn histogram(sorted: &[usize]) -> Vec<Bin> {
    let most = sorted.last().copied().unwrap_or(0);
    let bins = (0..usize::BITS).map(|power| 1_usize << power).take_while(|from| *from <= most);
    let counted = |(from, to)| sorted.iter().filter(|count| from <= **count && **count <= to).count();
    let bins = bins.map(|from| (from, from + (from - 1)));
    bins.map(|(from, to)| Bin { from, to, identities: counted((from, to)) }).collect()
}

const BAR: usize = 40;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { min, median, mean, max } = self.images_per_identity;
        let more = if self.names.len() < self.identities { ", …" } else { "" };
        writeln!(f, "identities           {}: {}{more}", self.identities, self.names.join(", "))?;
        writeln!(f, "images               {}", self.images)?;
        writeln!(f, "images per identity  min {min}, median {median}, mean {mean:.1}, max {max}")?;
        let most = self.histogram.iter().map(|bin| bin.identities).max().unwrap_or(0).max(1);
        for Bin { from, to, identities } in &self.histogram {
            let range = if from == to { format!("{from}") } else { format!("{from}–{to}") };
            let bar = "█".repeat((identities * BAR).div_ceil(most));
            writeln!(f, "{}", format!("{range:>19}  {identities:>7} {bar}").trim_end())?;
        }
        for (size, images) in &self.sizes {
            writeln!(f, "size                 {size}: {images} images")?;
        }
        if !self.unreadable.is_empty() {
            writeln!(f, "unreadable           {} images", self.unreadable.len())?;
        }
        self.unreadable.iter().try_for_each(|message| writeln!(f, "  {message}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_a_spread_and_a_histogram() {
        let mut counts = vec![9, 1, 2, 3, 1, 8];
        let spread = spread(&mut counts);
        assert_eq!((spread.min, spread.median, spread.mean, spread.max), (1, 2.5, 4.0, 9));
        let bars: Vec<_> = histogram(&counts).iter().map(|bin| (bin.from, bin.to, bin.identities)).collect();
        assert_eq!(bars, [(1, 1, 2), (2, 3, 2), (4, 7, 0), (8, 15, 2)]);
    }
}
