//! Batches read ahead by threads; what is in them is a pure function of (seed, step), whatever the number of threads.
//! Knows no network and no loss; a batch is plain numbers.

mod cache;
mod planes;
mod sizes;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use arcface_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::augment::{Augmentation, Normalisation};
use crate::sampler::{Sampler, SamplerKind};
use crate::source::Source;
use cache::Cache;
use planes::Values;
use worker::{Plan, Reader};

/// Batches that wait finished for each thread, besides the one it works on.
const READ_AHEAD: usize = 2;

/// How batches are made.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderConfig {
    /// Images per batch B.
    pub batch_size: usize,
    /// Which images make up a batch.
    pub sampler: SamplerKind,
    /// Seed of the order and of all augmentation.
    pub seed: u64,
    /// Threads that read ahead; with 0 the caller's thread reads when asked.
    pub workers: usize,
    /// Whether a fair coin mirrors each image.
    pub flip: bool,
    /// Changes beyond the mirror image.
    pub augmentation: Augmentation,
    /// How bytes become numbers.
    pub normalisation: Normalisation,
    /// Width and height that every image must have.
    pub image_size: usize,
    /// What becomes of an image that cannot be used.
    pub on_corrupt: OnCorrupt,
    /// Bytes of decoded images to keep in memory; later epochs then decode nothing. 0 keeps none.
    pub cache_bytes: usize,
}

impl Default for LoaderConfig {
    /// 64 images of 112×112 per batch, shuffled, mirrored by a coin, 2 threads, a cache of at most 1 GiB.
    fn default() -> Self {
        Self {
            batch_size: 64,
            sampler: SamplerKind::Shuffle,
            seed: 0,
            workers: 2,
            flip: true,
            augmentation: Augmentation::default(),
            normalisation: Normalisation::default(),
            image_size: 112,
            on_corrupt: OnCorrupt::Error,
            cache_bytes: 1 << 30,
        }
    }
}

/// What becomes of an image that cannot be read or has another size than expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCorrupt {
    /// It ends the batches with an error that names it.
    #[default]
    Error,
    /// The next usable image of the same identity takes its place, else the next one at all; [`Batch::skipped`] lists
    /// it. After 100 unusable images in a row this is an error too.
    Skip,
}

/// Images and labels of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Normalised images (B, 3, H, W).
    pub images: Vec<f32>,
    /// Labels (B).
    pub labels: Vec<u32>,
    /// Numbers of the images in their source (B).
    pub indices: Vec<usize>,
    /// The step that the batch is for.
    pub step: u64,
    /// Why images were replaced, one message per image.
    pub skipped: Vec<String>,
}

/// Makes the batches of a source.
pub struct Loader {
    reader: Arc<Reader>,
    workers: usize,
}

impl Loader {
    /// Batches for training, in the order of the sampler, without end.
    ///
    /// # Errors
    /// As [`Sampler::new`] and [`Augmentation::check`], and if `image_size` is 0.
    ///
    /// # Example
    /// ```no_run
    /// use std::sync::Arc;
    /// use arcface_data::{FolderOptions, FolderSource, Loader, LoaderConfig};
    /// let source = Arc::new(FolderSource::open("faces", &FolderOptions::default())?);
    /// let loader = Loader::new(source, &LoaderConfig { batch_size: 32, ..LoaderConfig::default() })?;
    /// for batch in loader.batches(0, loader.batches_per_epoch()) {
    ///     println!("{:?}", batch?.labels);
    /// }
    /// # Ok::<(), arcface_core::Error>(())
    /// ```
    pub fn new(source: Arc<dyn Source>, config: &LoaderConfig) -> Result<Self> {
        let sampler = Sampler::new(config.sampler, &*source, config.batch_size, config.seed)?;
        Self::with_plan(source, config, Plan::Sampled(sampler))
    }

    /// Batches for evaluation: the images `indices` in this order, neither mirrored nor changed; the last batch holds
    /// what is left.
    ///
    /// The sampler, `flip` and `augmentation` of `config` are not used.
    ///
    /// # Errors
    /// If `batch_size` or `image_size` is 0 or an index is not smaller than the number of images.
    pub fn in_order(source: Arc<dyn Source>, indices: Vec<usize>, config: &LoaderConfig) -> Result<Self> {
        if config.batch_size < 1 {
            return Err(Error::value("batch_size", "at least 1", config.batch_size));
        }
        if let Some(index) = indices.iter().find(|index| source.len() <= **index) {
            return Err(Error::value("index of an image", format!("less than {}", source.len()), index));
        }
        let plain = LoaderConfig { flip: false, augmentation: Augmentation::default(), ..config.clone() };
        Self::with_plan(source, &plain, Plan::InOrder { indices, batch_size: config.batch_size })
    }

    fn with_plan(source: Arc<dyn Source>, config: &LoaderConfig, plan: Plan) -> Result<Self> {
        config.augmentation.check()?;
        if config.image_size < 1 {
            return Err(Error::value("image_size", "at least 1", config.image_size));
        }
        let cache = Cache::new(source.len(), config.image_size, config.cache_bytes);
        let values = Values::new(config.normalisation);
        let workers = config.workers;
        Ok(Self { reader: Arc::new(Reader { source, config: config.clone(), plan, cache, values }), workers })
    }

    /// Batches of an epoch; for [`in_order`](Self::in_order) all that there are.
    pub fn batches_per_epoch(&self) -> u64 {
        self.reader.plan.batches()
    }

    /// The images of batch `step`, before any is replaced.
    pub fn batch_indices(&self, step: u64) -> Vec<usize> {
        self.reader.plan.indices(step)
    }

    /// Batches `first_step..last_step` in order; dropping the iterator stops its threads.
    ///
    /// After an error there are no more.
    pub fn batches(&self, first_step: u64, last_step: u64) -> Batches {
        let last_step = self.reader.plan.end().map_or(last_step, |end| last_step.min(end));
        let steps = last_step.saturating_sub(first_step);
        let workers = self.workers.min(usize::try_from(steps).unwrap_or(usize::MAX));
        let stop = Arc::new(AtomicBool::new(false));
        // Thread w makes steps first + w, first + w + workers, … in order: the caller takes turns and needs no sorting.
        let spawn = |worker| Worker::spawn(&self.reader, &stop, first_step + worker as u64..last_step, workers);
        let workers = (0..workers).map(spawn).collect();
        Batches { reader: self.reader.clone(), workers, stop, next: first_step, first: first_step, end: last_step }
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Loader({} images, {:?})", self.reader.source.len(), self.reader.config)
    }
}

/// Iterator over batches in the order of their steps.
#[derive(Debug)]
pub struct Batches {
    reader: Arc<Reader>,
    workers: Vec<Worker>,
    stop: Arc<AtomicBool>,
    first: u64,
    next: u64,
    end: u64,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.end <= self.next {
            return None;
        }
        let batch = match self.workers.len() as u64 {
            0 => self.reader.batch_or_panic_message(self.next, &self.stop),
            workers => self.workers[((self.next - self.first) % workers) as usize].receive(),
        };
        self.next += 1;
        if batch.is_err() {
            self.end = self.next;
            self.stop.store(true, Ordering::Relaxed);
        }
        Some(batch)
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.iter_mut().for_each(Worker::join);
    }
}

/// A thread and the batches it has finished.
#[derive(Debug)]
struct Worker {
    batches: Option<Receiver<Result<Batch>>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn spawn(reader: &Arc<Reader>, stop: &Arc<AtomicBool>, steps: std::ops::Range<u64>, stride: usize) -> Self {
        let (sender, batches) = sync_channel(READ_AHEAD);
        let (reader, stop) = (reader.clone(), stop.clone());
        let work = move || {
            for step in steps.step_by(stride) {
                let batch = reader.batch_or_panic_message(step, &stop);
                let failed = batch.is_err();
                if stop.load(Ordering::Relaxed) || sender.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("loader".to_owned()).spawn(work);
        Self { batches: Some(batches), thread: thread.ok() }
    }

    fn receive(&self) -> Result<Batch> {
        let batch = self.batches.as_ref().and_then(|batches| batches.recv().ok());
        batch.unwrap_or_else(|| Err(Error::Invalid("loader: a thread ended early or could not be started".to_owned())))
    }

    fn join(&mut self) {
        // Without a receiver a thread that waits to hand over a batch wakes up and ends.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // A panic has already been handed over as an error.
            let _ = thread.join();
        }
    }
}
