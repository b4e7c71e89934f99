//! How kernels over activations (rows, channels) are cut into blocks: by the shape alone.
//! Knows no kernel.

use candle_core::DType;

use super::machine::Shape;
use super::memory::Pointer;
use crate::{Error, Result};

/// Threads of a block at most.
const THREADS: usize = 256;
/// Blocks that keep a large device busy.
const BLOCKS: usize = 2048;
/// Rows that a thread works on one after the other: enough to pay for what it begins with, and not more than a sum in
/// f32 takes without loss.
const ROWS: std::ops::RangeInclusive<usize> = 4..=64;

/// Activations (rows, channels) cut into blocks of whole rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "the words of the kernels")]
pub(super) struct Rows {
    pub(super) rows: u32,
    pub(super) channels: u32,
    /// Threads side by side over the channels.
    pub(super) lanes: u32,
    /// Rows of a block.
    pub(super) rows_per_block: u32,
    /// Values that a thread loads at once.
    pub(super) width: u32,
    dtype: DType,
}

impl Rows {
    /// Those of values of `dtype` at `pointers`, all of one shape.
    pub(super) fn new(rows: usize, channels: usize, dtype: DType, pointers: &[Pointer]) -> Result<Self> {
        let wide = match dtype {
            DType::F32 => 4,
            DType::BF16 => 8,
            other => return Err(Error::value("CUDA operator", "activations in f32 or bf16", other.as_str())),
        };
        let is_wide = channels.is_multiple_of(wide) && pointers.iter().all(|pointer| pointer.is_aligned());
        let width = if is_wide { wide } else { 1 };
        let lanes = (channels / width).min(THREADS);
        let side = THREADS / lanes;
        let rows_per_block = side * rows.div_ceil(side * BLOCKS).clamp(*ROWS.start(), *ROWS.end());
        // The grid's first side has 2³¹ − 1 blocks; a row's number has 32 bits.
        let Ok(count) = u32::try_from(rows) else {
            return Err(Error::value("CUDA operator", "fewer than 2³² rows (a smaller batch)", rows));
        };
        Ok(Self {
            rows: count,
            channels: channels as u32,
            lanes: lanes as u32,
            rows_per_block: rows_per_block as u32,
            width: width as u32,
            dtype,
        })
    }

    /// Blocks along the rows.
    pub(super) fn blocks(&self) -> u32 {
        self.rows.div_ceil(self.rows_per_block)
    }

    /// The shape of a kernel that writes activations.
    pub(super) fn shape(&self) -> Shape {
        let columns = self.channels.div_ceil(self.lanes * self.width);
        let block = THREADS as u32 / self.lanes * self.lanes;
        Shape { grid: [self.blocks(), columns], block: [block, 1], shared: 0 }
    }

    /// The shape of a kernel that sums `quantities` per channel in shared memory.
    pub(super) fn summing(&self, quantities: u32) -> Shape {
        let shape = self.shape();
        Shape { shared: quantities * self.width * shape.block[0] * 4, ..shape }
    }

    /// The kernel `name` for these activations.
    pub(super) fn kernel(&self, name: &str) -> String {
        let wide = if self.width == 1 { String::new() } else { format!("x{}", self.width) };
        format!("{name}_{}{wide}", self.dtype.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_one_thread() {
        for (rows, channels) in [(1, 1), (3, 7), (1000, 64), (70_000, 96), (5, 513), (9, 2048), (2, 5000)] {
            for dtype in [DType::F32, DType::BF16] {
                let cut = Rows::new(rows, channels, dtype, &[]).unwrap();
                let shape = cut.shape();
                let lanes = (cut.lanes * cut.width) as usize;
                assert!(channels <= lanes * shape.grid[1] as usize && lanes * (shape.grid[1] as usize - 1) < channels);
                assert!(rows <= (cut.rows_per_block * shape.grid[0]) as usize);
                assert!(shape.block[0].is_multiple_of(cut.lanes) && cut.summing(3).shared <= 48 << 10);
            }
        }
    }

    #[test]
    fn vectors_need_whole_channels_and_whole_addresses() {
        let kernel =
            |channels, address| Rows::new(4, channels, DType::BF16, &[Pointer(address)]).unwrap().kernel("bend");
        assert_eq!([kernel(64, 32), kernel(64, 34), kernel(12, 32)], ["bend_bf16x8", "bend_bf16", "bend_bf16"]);
    }
}
