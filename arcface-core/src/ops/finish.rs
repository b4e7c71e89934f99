//! What becomes of a convolution's sums before they are written, while they are in registers or in cache.
//! Knows where channels lie; no convolution.

#![allow(clippy::inline_always, reason = "only what is inlined is compiled for the wide vectors")]

use super::element::Element;
use crate::multiversion;

/// y = `PReLU`(sum·scale + shift) + added, of which each part may be absent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finish<'a, T> {
    pub(crate) channels: Option<PerChannel<'a, T>>,
    /// A tensor of the shape of the output.
    pub(crate) added: Option<&'a [T]>,
}

/// Numbers of each channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PerChannel<'a, T> {
    pub(crate) scale: &'a [T],
    pub(crate) shift: &'a [T],
    /// 1 where nothing is bent.
    pub(crate) slope: &'a [T],
}

impl<T> Finish<'_, T> {
    /// The sums as they are.
    pub(crate) fn none() -> Self {
        Self { channels: None, added: None }
    }
}

impl<T: Element> Finish<'_, T> {
    /// Finishes the sums of some neighbouring channels of a pixel, from `channel` on, that will be element `at` and the
    /// following ones of the output.
    #[inline(always)]
    pub(crate) fn some(&self, channel: usize, at: usize, values: &mut [T]) {
        if let Some(PerChannel { scale, shift, slope }) = self.channels {
            let part = channel..channel + values.len();
            bend(&scale[part.clone()], &shift[part.clone()], &slope[part], values);
        }
        if let Some(added) = self.added {
            sum(&added[at..at + values.len()], values);
        }
    }

    /// Finishes whole pixels, the first of which will be element `at` of the output.
    pub(crate) fn pixels(&self, at: usize, values: &mut [T]) {
        if let Some(channels) = &self.channels {
            bend_pixels(channels, values);
        }
        if let Some(added) = self.added {
            sum_pixels(&added[at..at + values.len()], values);
        }
    }
}

#[inline(always)]
fn bend<T: Element>(scale: &[T], shift: &[T], slope: &[T], values: &mut [T]) {
    for (((value, &scale), &shift), &slope) in values.iter_mut().zip(scale).zip(shift).zip(slope) {
        let z = *value * scale + shift;
        *value = if T::ZERO < z { z } else { slope * z };
    }
}

#[inline(always)]
fn sum<T: Element>(added: &[T], values: &mut [T]) {
    for (value, &added) in values.iter_mut().zip(added) {
        *value += added;
    }
}

multiversion! {
    fn bend_pixels[T: Element](channels: &PerChannel<'_, T>, values: &mut [T]) {
        for values in values.chunks_exact_mut(channels.scale.len()) {
            bend(channels.scale, channels.shift, channels.slope, values);
        }
    }

    fn sum_pixels[T: Element](added: &[T], values: &mut [T]) {
        sum(added, values);
    }
}
