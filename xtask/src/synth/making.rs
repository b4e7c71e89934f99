//! The work itself: batch after batch from noise to pictures in the folder, stopped and gone on with at any step.
//! Knows neither classes nor faces: each batch has its goal.

use std::ops::Range;
use std::time::{Duration, Instant};

use arcface_core::seed::name_index;
use arcface_data::image;
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
    /// Places of the images of each batch.
    pub(super) batches: Vec<Range<usize>>,
    /// Steps after which all pictures of a batch are kept.
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
        let progress = Progress::new("synth", "steps", self.batches.len() as u64 * self.config.steps);
        let Targets { list, goal, .. } = targets;
        let records = self.batches.iter().enumerate().map(|(number, places)| {
            let batch = Batch { making: self, number, targets: &list[places.clone()], progress: &progress };
            batch.record(goal.of_batch(list, places.clone())?)
        });
        let records = records.collect();
        progress.finish();
        records
    }

    /// Other noise for every batch.
    fn seed(&self, batch: usize) -> u64 {
        if batch == 0 { self.seed } else { name_index(&format!("{} batch {batch}", self.seed)) }
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
        let folder = self.making.folder;
        let before = folder.record(self.number)?;
        if let Some(record) = before.filter(|record| record.is_finished)
            && self.targets.iter().all(|target| folder.image(&target.name).is_file())
        {
            return Ok(record);
        }
        let mut inversion = self.begun()?;
        let is_gone_on_with = 0 < inversion.steps_done();
        let Record { seconds, losses, .. } = before.filter(|_| is_gone_on_with).unwrap_or_default();
        let mut record = Record { is_finished: false, seconds, losses };
        self.follow(&mut inversion, &mut goal, &mut record)?;
        self.write_pictures(&inversion)?;
        record.is_finished = true;
        folder.put_record(self.number, &record)?;
        // All that it was for is written.
        let _ = std::fs::remove_file(folder.state(self.number));
        Ok(record)
    }

    /// Noise, or what was saved.
    fn begun(&self) -> anyhow::Result<Inversion> {
        let Making { net, config, folder, .. } = self.making;
        let state = folder.state(self.number);
        if state.is_file() {
            return Ok(Inversion::resume(config, &state)?);
        }
        let (seed, size) = (self.making.seed(self.number), net.backbone.config().input_size);
        Ok(Inversion::new(config, seed, self.targets.len(), size)?)
    }

    /// All steps that are left.
    fn follow(&self, inversion: &mut Inversion, goal: &mut BatchGoal<'_>, record: &mut Record) -> anyhow::Result<()> {
        let network = self.making.net.backbone.network();
        let steps = self.making.config.steps;
        let (mut saved, mut clock) = (Instant::now(), Instant::now());
        self.progress.at(self.number as u64 * steps + inversion.steps_done(), "");
        while !inversion.is_done() {
            interrupt::check().or_else(|interrupted| self.stop(inversion, record, interrupted))?;
            let step = inversion.steps_done();
            record.losses = inversion.step(network, |embeddings| goal.loss(embeddings, step))?.into();
            record.seconds += std::mem::replace(&mut clock, Instant::now()).elapsed().as_secs_f64();
            self.write_frame(inversion)?;
            if BETWEEN_SAVES < saved.elapsed() {
                self.save(inversion, record)?;
                saved = Instant::now();
            }
            let message = format!("objective {:.4}", record.losses.objective);
            self.progress.at(self.number as u64 * steps + step + 1, &message);
        }
        Ok(())
    }

    /// Keeps everything for the same command to go on.
    fn stop(&self, inversion: &Inversion, record: &Record, interrupted: interrupt::Interrupted) -> anyhow::Result<()> {
        self.save(inversion, record)?;
        let (done, all) = (inversion.steps_done(), self.making.config.steps);
        eprintln!("{done} of {all} steps of batch {} are done; the same command goes on from there", self.number);
        Err(interrupted.into())
    }

    /// The record first: one that is ahead of its state is overwritten, one that is behind would be taken for the end's.
    fn save(&self, inversion: &Inversion, record: &Record) -> anyhow::Result<()> {
        let folder = self.making.folder;
        folder.put_record(self.number, record)?;
        Ok(inversion.save(&folder.state(self.number))?)
    }

    fn write_pictures(&self, inversion: &Inversion) -> anyhow::Result<()> {
        let pictures = pixels::pictures(&inversion.images()?, self.making.net.normalisation)?;
        for (target, picture) in self.targets.iter().zip(&pictures) {
            image::write_png(&self.making.folder.image(&target.name), picture)?;
        }
        Ok(())
    }

    /// All pictures as they are, if this is a step for it.
    fn write_frame(&self, inversion: &Inversion) -> anyhow::Result<()> {
        let Making { net, folder, batches, frames, .. } = self.making;
        if !frames.contains(&inversion.steps_done()) {
            return Ok(());
        }
        let pictures = pixels::pictures(&inversion.images()?, net.normalisation)?.into_iter();
        let tiles: Vec<Tile> = pictures.map(|picture| Tile { images: vec![picture], ..Tile::default() }).collect();
        let path = folder.frame(self.number, batches.len(), inversion.steps_done());
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
