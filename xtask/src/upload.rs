//! Batches on their way from the loader to where they are computed on; to a device they go ahead of the steps.
//! Knows no step and no figure.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use arcface_core::candle::{DType, Tensor};
use arcface_core::device::Uploads;
use arcface_data::{Batch, Batches};

use crate::host::Computer;

/// A batch where it is computed on.
#[derive(Debug, Clone)]
pub(crate) struct Uploaded {
    /// (B, 3, S, S).
    pub(crate) images: Tensor,
    pub(crate) labels: Vec<u32>,
    /// Number of the forward pass.
    pub(crate) step: u64,
    /// Why images were replaced, one message per image.
    pub(crate) skipped: Vec<String>,
}

/// Brings batches to where they are computed on.
pub(crate) struct Uploader {
    uploads: Uploads,
    dtype: DType,
    /// Side of an image.
    side: usize,
}

impl Uploader {
    /// Of images of `side` to `computer`.
    pub(crate) fn new(computer: &Computer, side: usize) -> Self {
        Self { uploads: Uploads::to(&computer.device), dtype: computer.dtype(), side }
    }

    /// The batch there.
    ///
    /// # Errors
    /// If the device has no more memory.
    pub(crate) fn upload(&mut self, batch: Batch) -> anyhow::Result<Uploaded> {
        let Batch { images, labels, step, skipped, .. } = batch;
        let images = self.uploads.tensor(images, &[labels.len(), 3, self.side, self.side])?;
        Ok(Uploaded { images: images.to_dtype(self.dtype)?, labels, step, skipped })
    }
}

/// Batches one after the other.
pub(crate) enum Arriving {
    /// On the CPU they are there as soon as they are read.
    Here { batches: Batches, uploader: Uploader },
    /// A thread brings the next ones to a device while this one computes there.
    Ahead(Ahead),
}

/// What comes from a thread, which ends when it is not asked any more.
pub(crate) struct Ahead {
    arrived: Option<Receiver<anyhow::Result<Uploaded>>>,
    thread: Option<JoinHandle<()>>,
}

impl Arriving {
    /// All of `batches`, images of `side`, at `computer`.
    pub(crate) fn at(computer: &Computer, side: usize, batches: Batches) -> Self {
        let uploader = Uploader::new(computer, side);
        if computer.device.is_cpu() {
            return Self::Here { batches, uploader };
        }
        Self::Ahead(Ahead::new(batches, uploader))
    }
}

impl Iterator for Arriving {
    type Item = anyhow::Result<Uploaded>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Here { batches, uploader } => {
                Some(batches.next()?.map_err(Into::into).and_then(|batch| uploader.upload(batch)))
            }
            Self::Ahead(ahead) => ahead.arrived.as_ref()?.recv().ok(),
        }
    }
}

impl Ahead {
    fn new(batches: Batches, mut uploader: Uploader) -> Self {
        // One waits, one is on its way.
        let (sender, arrived) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            for batch in batches {
                let uploaded = batch.map_err(Into::into).and_then(|batch| uploader.upload(batch));
                if sender.send(uploaded).is_err() {
                    return;
                }
            }
        });
        Self { arrived: Some(arrived), thread: Some(thread) }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.arrived = None;
        if let Some(thread) = self.thread.take() {
            // What it panicked with is said by itself; here nothing is asked of it any more.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arcface_core::candle::Device;
    use arcface_data::{Loader, LoaderConfig, ProceduralConfig, ProceduralSource};

    use super::*;
    use crate::config::Precision;

    fn batches(loader: &Loader) -> Batches {
        loader.batches(0, 7)
    }

    #[test]
    fn batches_that_go_ahead_are_the_same_in_the_same_order() {
        let config =
            ProceduralConfig { identities: 3, images_per_identity: 4, image_size: 16, ..ProceduralConfig::default() };
        let config_of_loader = LoaderConfig { batch_size: 2, image_size: 16, ..LoaderConfig::default() };
        let loader = Loader::new(Arc::new(ProceduralSource::new(config).unwrap()), &config_of_loader).unwrap();
        let computer = Computer { device: Device::Cpu, precision: Precision::F32 };
        let here = Arriving::at(&computer, 16, batches(&loader));
        let ahead = Ahead::new(batches(&loader), Uploader::new(&computer, 16));
        let shown = |batch: anyhow::Result<Uploaded>| {
            let Uploaded { images, labels, step, .. } = batch.unwrap();
            (images.flatten_all().unwrap().to_vec1::<f32>().unwrap(), labels, step)
        };
        let expected: Vec<_> = here.map(shown).collect();
        assert_eq!(Arriving::Ahead(ahead).map(shown).collect::<Vec<_>>(), expected);
        assert_eq!(expected.len(), 7);
        // One that is not asked to its end ends with it.
        let mut ahead = Arriving::Ahead(Ahead::new(batches(&loader), Uploader::new(&computer, 16)));
        assert!(ahead.next().is_some());
    }
}
