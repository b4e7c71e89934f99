//! The work itself: batch after batch from noise to pictures in the folder, stopped and gone on with at any step.
//! Knows neither classes nor faces: each batch has its goal.

use std::ops::Range;
use std::time::{Duration, Instant};

use arcface_core::candle::{DType, Tensor};
use arcface_core::seed::name_index;
use arcface_data::{Image, image};
use arcface_models::Watch;
use arcface_synth::{Inversion, InversionConfig};

use super::folder::{Folder, Record};
use super::pixels;
use super::targets::{BatchGoal, Target, Targets};
use crate::interrupt;
use crate::net::Net;
use crate::progress::Progress;
use crate::sheet::{Tile, sheet};

/// Work that a crash may lose.
const BETWEEN_SAVES: Duration = Duration::from_secs(30);

/// How all batches are made.
pub(super) struct Making<'a> {
    pub(super) net: &'a Net,
    pub(super) config: &'a InversionConfig,
    pub(super) folder: &'a Folder,
    pub(super) seed: u64,
    /// How often every image is begun from other noise; the one that is nearest to its target is kept.
    pub(super) beginnings: u64,
    /// Places of the images of each batch.
    pub(super) batches: Vec<Range<usize>>,
    /// Steps, of all beginnings, after which all pictures of a batch are kept.
    pub(super) frames: Vec<u64>,
}

/// `count` images in batches of at most `most`, as even as they can be: the prior is over a batch, and one of a single
/// image would not be like the others.
pub(super) fn batches(count: usize, most: usize) -> Vec<Range<usize>> {
    let batches = count.div_ceil(most);
    (0..batches).map(|batch| batch * count / batches..(batch + 1) * count / batches).collect()
}

/// The steps of `count` frames, evenly up to the last.
pub(super) fn frames(count: u64, steps: u64) -> Vec<u64> {
    let mut frames: Vec<u64> = (1..=count).map(|number| (number * steps).div_ceil(count)).collect();
    frames.dedup();
    frames
}

impl Making<'_> {
    /// Makes all batches, and tells what each came to.
    ///
    /// # Errors
    /// If a loss is not finite, the disk is full, or the user interrupts.
    pub(super) fn run(&self, targets: &mut Targets) -> anyhow::Result<Vec<Record>> {
        if !self.frames.is_empty() {
            self.folder.make_frames()?;
        }
        let progress = Progress::new("synth", "steps", self.batches.len() as u64 * self.steps());
        let Targets { list, goal, .. } = targets;
        let records = self.batches.iter().enumerate().map(|(number, places)| {
            let batch = Batch { making: self, number, targets: &list[places.clone()], progress: &progress };
            batch.record(goal.of_batch(list, places.clone())?)
        });
        let records = records.collect();
        progress.finish();
        records
    }

    /// Steps of a batch.
    pub(super) fn steps(&self) -> u64 {
        self.beginnings * self.config.steps
    }

    /// Other noise for every batch and every beginning.
    fn seed(&self, batch: usize, beginning: u64) -> u64 {
        match (batch, beginning) {
            (0, 0) => self.seed,
            (_, 0) => name_index(&format!("{} batch {batch}", self.seed)),
            _ => name_index(&format!("{} batch {batch} beginning {beginning}", self.seed)),
        }
    }
}

/// One of them.
struct Batch<'a> {
    making: &'a Making<'a>,
    number: usize,
    targets: &'a [Target],
    progress: &'a Progress,
}

impl Batch<'_> {
    /// Makes its pictures unless they are there.
    fn record(&self, mut goal: BatchGoal<'_>) -> anyhow::Result<Record> {
        let Making { folder, beginnings, .. } = self.making;
        let mut record = folder.record(self.number)?.unwrap_or_default();
        if 0 < record.beginnings && !self.targets.iter().all(|target| folder.image(&target.name).is_file()) {
            record = Record::default();
        }
        while record.beginnings < *beginnings {
            let mut inversion = self.begun(record.beginnings)?;
            if record.beginnings == 0 && inversion.steps_done() == 0 {
                record = Record::default();
            }
            self.follow(&mut inversion, &mut goal, &mut record)?;
            self.keep_better(&inversion, &goal, &mut record)?;
            let state = folder.state(self.number, record.beginnings);
            record.beginnings += 1;
            folder.put_record(self.number, &record)?;
            // All that it was for is written.
            let _ = std::fs::remove_file(state);
        }
        Ok(record)
    }

    /// Noise, or what was saved.
    fn begun(&self, beginning: u64) -> anyhow::Result<Inversion> {
        let Making { net, config, folder, .. } = self.making;
        let state = folder.state(self.number, beginning);
        if state.is_file() {
            return Ok(Inversion::resume(config, &state)?);
        }
        let (seed, size) = (self.making.seed(self.number, beginning), net.backbone.config().input_size);
        Ok(Inversion::new(config, seed, self.targets.len(), size)?)
    }

    /// All steps that are left of a beginning.
    fn follow(&self, inversion: &mut Inversion, goal: &mut BatchGoal<'_>, record: &mut Record) -> anyhow::Result<()> {
        let network = self.making.net.backbone.network();
        let (mut saved, mut clock) = (Instant::now(), Instant::now());
        self.show(inversion, record, "");
        while !inversion.is_done() {
            interrupt::check().or_else(|interrupted| self.stop(inversion, record, interrupted))?;
            let step = inversion.steps_done();
            record.losses = inversion.step(network, |embeddings| goal.loss(embeddings, step))?.into();
            record.seconds += std::mem::replace(&mut clock, Instant::now()).elapsed().as_secs_f64();
            // At the end of a beginning those that are kept are shown.
            if !inversion.is_done() {
                self.write_frame(self.done(inversion, record), || self.pictures(&inversion.images()?))?;
            }
            if BETWEEN_SAVES < saved.elapsed() {
                self.save(inversion, record)?;
                saved = Instant::now();
            }
            self.show(inversion, record, &format!("objective {:.4}", record.losses.objective));
        }
        Ok(())
    }

    /// Steps of all beginnings that are done.
    fn done(&self, inversion: &Inversion, record: &Record) -> u64 {
        record.beginnings * self.making.config.steps + inversion.steps_done()
    }

    fn show(&self, inversion: &Inversion, record: &Record, message: &str) {
        self.progress.at(self.number as u64 * self.making.steps() + self.done(inversion, record), message);
    }

    /// Keeps everything for the same command to go on.
    fn stop(&self, inversion: &Inversion, record: &Record, interrupted: interrupt::Interrupted) -> anyhow::Result<()> {
        self.save(inversion, record)?;
        let (done, all) = (self.done(inversion, record), self.making.steps());
        eprintln!("{done} of {all} steps of batch {} are done; the same command goes on from there", self.number);
        Err(interrupted.into())
    }

    /// The record first: one that is ahead of its state is overwritten, one that is behind would be taken for the end's.
    fn save(&self, inversion: &Inversion, record: &Record) -> anyhow::Result<()> {
        let folder = self.making.folder;
        folder.put_record(self.number, record)?;
        Ok(inversion.save(&folder.state(self.number, record.beginnings))?)
    }

    /// Writes the pictures of those images that are nearer to their targets than what was made of them before.
    fn keep_better(&self, inversion: &Inversion, goal: &BatchGoal<'_>, record: &mut Record) -> anyhow::Result<()> {
        let folder = self.making.folder;
        let images = inversion.images()?;
        let (cosines, pictures) = (self.cosines(&images, goal)?, self.pictures(&images)?);
        let before = std::mem::take(&mut record.cosines);
        for (place, (target, picture)) in self.targets.iter().zip(pictures).enumerate() {
            let best = before.get(place).copied().unwrap_or(f64::NEG_INFINITY);
            if best < cosines[place] {
                image::write_png(&folder.image(&target.name), &picture)?;
            }
            record.cosines.push(best.max(cosines[place]));
        }
        let kept = || self.targets.iter().map(|target| Ok(image::read(&folder.image(&target.name))?)).collect();
        self.write_frame(self.done(inversion, record), kept)
    }

    /// How near images are to their targets, as the network sees them without noise and as they lie.
    fn cosines(&self, images: &Tensor, goal: &BatchGoal<'_>) -> anyhow::Result<Vec<f64>> {
        let network = self.making.net.backbone.network();
        let images = images.to_dtype(network.parameters().dtype())?.to_device(network.parameters().device())?;
        let embeddings = network.image_pass(&images, Watch::Nothing)?.embeddings().to_dtype(DType::F32)?;
        Ok(embeddings.to_vec2()?.iter().enumerate().map(|(place, row)| goal.cosine(place, row)).collect())
    }

    fn pictures(&self, images: &Tensor) -> anyhow::Result<Vec<Image>> {
        pixels::pictures(images, self.making.net.normalisation)
    }

    /// All `pictures`, if so many steps are `done` that they are to be kept.
    fn write_frame(&self, done: u64, pictures: impl FnOnce() -> anyhow::Result<Vec<Image>>) -> anyhow::Result<()> {
        let Making { folder, batches, frames, .. } = self.making;
        if !frames.contains(&done) {
            return Ok(());
        }
        let tile = |picture| Tile { images: vec![picture], ..Tile::default() };
        let tiles: Vec<Tile> = pictures()?.into_iter().map(tile).collect();
        let path = folder.frame(self.number, batches.len(), done);
        sheet(&tiles).map_or(Ok(()), |sheet| Ok(image::write_png(&path, &sheet)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_even_and_whole() {
        assert_eq!(batches(65, 64), [0..32, 32..65]);
        for (count, most) in [(1, 1), (5, 64), (7, 3), (64, 64), (200, 64)] {
            let all = batches(count, most);
            assert!(all.iter().all(|places| !places.is_empty() && places.len() <= most));
            assert_eq!(all.into_iter().flatten().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn frames_end_with_the_last_step() {
        assert!(frames(0, 10).is_empty());
        assert_eq!(frames(4, 10), [3, 5, 8, 10]);
        assert_eq!(frames(1, 10), [10]);
        assert_eq!(frames(9, 3), [1, 2, 3]);
    }
}
