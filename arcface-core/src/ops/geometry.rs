//! Sizes of a convolution and which input pixels its taps meet.
//! Knows no values.

use crate::{Error, Result};

/// How a convolution moves over its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvConfig {
    /// Input pixels from one output pixel to the next, in both directions.
    pub stride: usize,
    /// Zeros around the input on every side.
    pub padding: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

impl Default for ConvConfig {
    /// Stride 1, no padding, one group.
    fn default() -> Self {
        Self { stride: 1, padding: 0, groups: 1 }
    }
}

/// The sizes of a convolution, proven to fit each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    /// Input.
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Output.
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
    pub(crate) filters: usize,
    pub(crate) kernel_height: usize,
    pub(crate) kernel_width: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) groups: usize,
}

impl Geometry {
    /// The sizes for an input (B, H, W, Cin) and a weight (KH, KW, Cin/groups, Cout).
    pub(crate) fn new(x: &[usize], weight: &[usize], config: ConvConfig) -> Result<Self> {
        let ConvConfig { stride, padding, groups } = config;
        let &[batch, height, width, channels] = x else {
            return Err(Error::shape("conv2d input", "(B, H, W, Cin)", x));
        };
        let &[kernel_height, kernel_width, group_channels, filters] = weight else {
            return Err(Error::shape("conv2d weight", "(KH, KW, Cin/groups, Cout)", weight));
        };
        check_config(config, channels, filters)?;
        if group_channels * groups != channels {
            let expected =
                format!("(KH, KW, {}, Cout) for {channels} channels and groups = {groups}", channels / groups);
            return Err(Error::shape("conv2d weight", expected, weight));
        }
        let out_height = steps("height", height, kernel_height, config)?;
        let out_width = steps("width", width, kernel_width, config)?;
        Ok(Self {
            batch,
            height,
            width,
            channels,
            out_height,
            out_width,
            filters,
            kernel_height,
            kernel_width,
            stride,
            padding,
            groups,
        })
    }

    /// Whether every group has one channel, two or four, going in and coming out.
    pub(crate) fn has_narrow_groups(&self) -> bool {
        self.channels == self.filters && matches!(self.group_channels(), 1 | 2 | 4)
    }

    pub(crate) fn input_dims(&self) -> [usize; 4] {
        [self.batch, self.height, self.width, self.channels]
    }

    pub(crate) fn output_dims(&self) -> [usize; 4] {
        [self.batch, self.out_height, self.out_width, self.filters]
    }

    pub(crate) fn weight_dims(&self) -> [usize; 4] {
        [self.kernel_height, self.kernel_width, self.group_channels(), self.filters]
    }

    /// Input channels of a group.
    pub(crate) fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    /// Output channels of a group.
    pub(crate) fn group_filters(&self) -> usize {
        self.filters / self.groups
    }

    /// Output pixels of the batch.
    pub(crate) fn out_pixels(&self) -> usize {
        self.batch * self.out_height * self.out_width
    }
}

/// The sizes of a correlation: output pixel (i, j) meets source pixels from (i·stride − top, j·stride − left).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Correlation {
    pub(crate) batch: usize,
    /// Source.
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Output.
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
    pub(crate) filters: usize,
    pub(crate) kernel_height: usize,
    pub(crate) kernel_width: usize,
    pub(crate) stride: usize,
    pub(crate) top: isize,
    pub(crate) left: isize,
}

impl Correlation {
    /// From x to y.
    pub(crate) fn forward(g: &Geometry) -> Self {
        Self {
            batch: g.batch,
            height: g.height,
            width: g.width,
            channels: g.channels,
            out_height: g.out_height,
            out_width: g.out_width,
            filters: g.filters,
            kernel_height: g.kernel_height,
            kernel_width: g.kernel_width,
            stride: g.stride,
            top: g.padding as isize,
            left: g.padding as isize,
        }
    }

    /// From ∂L/∂y to ∂L/∂x, with the kernel turned by half a turn; for stride 1.
    pub(crate) fn backward(g: &Geometry) -> Self {
        Self {
            height: g.out_height,
            width: g.out_width,
            channels: g.filters,
            out_height: g.height,
            out_width: g.width,
            filters: g.channels,
            top: g.kernel_height as isize - 1 - g.padding as isize,
            left: g.kernel_width as isize - 1 - g.padding as isize,
            ..Self::forward(g)
        }
    }
}

fn check_config(config: ConvConfig, channels: usize, filters: usize) -> Result<()> {
    let ConvConfig { stride, groups, .. } = config;
    if stride == 0 {
        return Err(Error::value("conv2d stride", "at least 1", stride));
    }
    if groups == 0 || !channels.is_multiple_of(groups) || !filters.is_multiple_of(groups) {
        let expected = format!("a divisor of {channels} input and {filters} output channels");
        return Err(Error::value("conv2d groups", expected, groups));
    }
    Ok(())
}

/// Output pixels along one side: ⌊(size + 2·padding − kernel) / stride⌋ + 1.
fn steps(side: &str, size: usize, kernel: usize, config: ConvConfig) -> Result<usize> {
    let padded = size + 2 * config.padding;
    if kernel == 0 || padded < kernel {
        let expected = format!("1 <= kernel <= {padded}, the padded input");
        return Err(Error::value(format!("conv2d kernel {side}"), expected, kernel));
    }
    Ok((padded - kernel) / config.stride + 1)
}

/// The input pixels along one side whose distance from the padded edge leaves the same rest by the stride: all of them
/// meet the same taps, at output pixels that are neighbours.
///
/// The input gradient of a strided convolution is, phase by phase, an unstrided convolution of the output's gradient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phase {
    /// Pixels `first`, `first + stride`, … of the input.
    pub(crate) first: usize,
    /// Number of these pixels.
    pub(crate) count: usize,
    /// The taps that meet them, last tap first; never any other.
    pub(crate) taps: Vec<usize>,
    /// The output pixel at which pixel `first` meets `taps[0]`; the following taps meet it at the following ones.
    pub(crate) start: isize,
}

impl Phase {
    /// The phases of a side of `size` input pixels; those that no tap meets have no taps.
    pub(crate) fn all(size: usize, kernel: usize, stride: usize, padding: usize) -> Vec<Self> {
        (0..stride.min(size)).map(|first| Self::new(first, size, kernel, stride, padding)).collect()
    }

    fn new(first: usize, size: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        let count = (size - first).div_ceil(stride);
        let taps: Vec<usize> = ((first + padding) % stride..kernel).step_by(stride).rev().collect();
        let reached = (first + padding) as isize - taps.first().copied().unwrap_or(0) as isize;
        Self { first, count, taps, start: reached.div_euclid(stride as isize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_list_every_meeting_of_an_input_pixel_with_a_tap() {
        for (size, kernel, stride, padding) in [(7, 3, 1, 1), (8, 3, 2, 1), (5, 2, 3, 0), (9, 5, 2, 3), (2, 1, 3, 2)] {
            for phase in Phase::all(size, kernel, stride, padding) {
                for j in 0..phase.count {
                    let pixel = phase.first + j * stride;
                    let listed: Vec<(usize, isize)> =
                        (0..).zip(&phase.taps).map(|(t, &tap)| (tap, phase.start + (j + t) as isize)).collect();
                    let met: Vec<(usize, isize)> = (0..kernel)
                        .rev()
                        .map(|tap| (tap, (pixel + padding) as isize - tap as isize))
                        .filter(|(_, at)| at.rem_euclid(stride as isize) == 0)
                        .map(|(tap, at)| (tap, at.div_euclid(stride as isize)))
                        .collect();
                    assert_eq!(listed, met);
                }
            }
        }
    }
}
