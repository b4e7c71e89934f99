//! The dense 3×3 convolution of stride 1 by Winograd's F(4×4, 3×3): tiles of 4×4 outputs for 36 products, not 144.
//! Knows slices; no tensors and no graph.
//!
//! A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308: of every 6×6 patch of the
//! input and of every kernel 36 values are made (`transform`); each of the 36 is a plane of matrices, multiplied plane
//! by plane (`planes`); from the 36 products come 4×4 outputs. The sums are rounded a little more than by the direct
//! way, about 3·10⁻⁶ of the largest value, so double precision stays with the direct way. A value that is not finite
//! spoils the whole of the tiles that see it.

mod gradient;
mod planes;
mod transform;

use std::ops::Range;

use candle_core::DType;

pub(crate) use gradient::weight_gradient;
use planes::{LANES, Planes, Sum, multiply};
use transform::{Kernels, TILE, Turn, input_planes, output_tiles, weight_planes};

use super::element::Element;
use super::finish::Finish;
use super::geometry::{Correlation, Geometry};
use super::parallel::{Scattered, build, build_scattered, piece};

/// Tiles of a batch that are few beside the kernels' planes.
const FEW: usize = 64;
/// Values of the input's planes that a task makes at a time, about: they stay in a second-level cache.
const TASK: usize = 64 * 1024;
/// Blocks of filters whose products are kept beside them.
const GROUP: usize = 2;
/// Blocks of channels whose kernels' planes are made at a time where tiles are few: they stay in a second-level cache.
const DEPTH: usize = 4;

/// Whether this way is the faster one for [`forward`] and [`weight_gradient`]; decided by type and shape alone.
pub(crate) fn suits<T: Element>(g: &Geometry) -> bool {
    T::DTYPE == DType::F32 && is_plain(g) && Correlation::forward(g).pays()
}

/// Whether this way is the faster one for [`input_gradient`]; decided by type and shape alone.
pub(crate) fn suits_input_gradient<T: Element>(g: &Geometry) -> bool {
    T::DTYPE == DType::F32 && is_plain(g) && Correlation::backward(g).pays()
}

fn is_plain(g: &Geometry) -> bool {
    (g.kernel_height, g.kernel_width, g.stride, g.groups) == (3, 3, 1, 1)
}

/// y = x ∗ w.
///
/// # Shapes
/// x (B, H, W, Cin), w (3, 3, Cin, Cout) → (B, H', W', Cout)
#[cfg(test)]
pub(crate) fn forward<T: Element>(g: &Geometry, x: &[T], weight: &[T]) -> Vec<T> {
    forward_finished(g, x, weight, Finish::none())
}

/// y = x ∗ w, finished.
///
/// # Shapes
/// x (B, H, W, Cin), w (3, 3, Cin, Cout) → (B, H', W', Cout)
pub(crate) fn forward_finished<T: Element>(g: &Geometry, x: &[T], weight: &[T], finish: Finish<'_, T>) -> Vec<T> {
    correlate(&Correlation::forward(g), x, Kernels { weight, turn: Turn::None }, finish)
}

/// A weight (3, 3, Cin, Cout) in the order in which [`forward_arranged`] reads it: memory is fastest then, and with few
/// images the weight is most of what is read.
pub(crate) fn arranged<T: Element>(g: &Geometry, weight: &[T]) -> Vec<T> {
    transform::arranged(&Correlation::forward(g), weight)
}

/// [`forward_finished`] of an arranged weight.
pub(crate) fn forward_arranged<T: Element>(g: &Geometry, x: &[T], weight: &[T], finish: Finish<'_, T>) -> Vec<T> {
    correlate(&Correlation::forward(g), x, Kernels { weight, turn: Turn::Arranged }, finish)
}

/// ∂L/∂x from w and ∂L/∂y: a convolution of ∂L/∂y with the kernel turned by half a turn, its channels exchanged.
///
/// # Shapes
/// w (3, 3, Cin, Cout), dy (B, H', W', Cout) → (B, H, W, Cin)
pub(crate) fn input_gradient<T: Element>(g: &Geometry, weight: &[T], dy: &[T]) -> Vec<T> {
    correlate(&Correlation::backward(g), dy, Kernels { weight, turn: Turn::Half }, Finish::none())
}

/// A correlation of stride 1, cut into tiles of outputs.
impl Correlation {
    /// Whether the tiles save more products than making them costs.
    fn pays(&self) -> bool {
        let direct = 9 * self.batch * self.out_height * self.out_width;
        LANES <= self.channels && LANES <= self.filters && self.tiles() * 36 * 3 <= direct * 2
    }

    /// Tiles in a column of an image.
    fn down(&self) -> usize {
        self.out_height.div_ceil(TILE)
    }

    /// Tiles in a row of an image.
    fn across(&self) -> usize {
        self.out_width.div_ceil(TILE)
    }

    /// Tiles of the batch.
    fn tiles(&self) -> usize {
        self.batch * self.down() * self.across()
    }

    /// Where tile `index` of the batch lies: its image, and its upper left output pixel.
    fn tile(&self, index: usize) -> Tile {
        let (line, column) = (index / self.across(), index % self.across());
        Tile { image: line / self.down(), y: line % self.down() * TILE, x: column * TILE }
    }

    fn channel_blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    fn filter_blocks(&self) -> usize {
        self.filters.div_ceil(LANES)
    }

    /// The planes of `tiles` tiles of the source.
    fn inputs(&self, tiles: usize) -> Planes {
        Planes { panels: self.channel_blocks(), rows: tiles }
    }

    /// The planes of the kernels of a block of filters, for `blocks` blocks of channels.
    fn kernels(blocks: usize) -> Planes {
        Planes { panels: 1, rows: blocks * LANES }
    }

    /// Values of the output.
    fn out_len(&self) -> usize {
        self.batch * self.out_height * self.out_width * self.filters
    }
}

/// An image and the upper left output pixel of a tile in it.
#[derive(Debug, Clone, Copy)]
struct Tile {
    image: usize,
    y: usize,
    x: usize,
}

/// The correlation of `x` with kernels, finished.
fn correlate<T: Element>(tiling: &Correlation, x: &[T], weight: Kernels<'_, T>, finish: Finish<'_, T>) -> Vec<T> {
    if tiling.tiles() <= FEW { by_filters(tiling, x, weight, finish) } else { by_tiles(tiling, x, weight, finish) }
}

/// For few tiles: all of their planes are made first, then the kernels' planes, which are the larger part, block by block
/// of filters and of a few channels, so that they never leave the cache.
fn by_filters<T: Element>(tiling: &Correlation, x: &[T], weight: Kernels<'_, T>, finish: Finish<'_, T>) -> Vec<T> {
    let tiles = 0..tiling.tiles();
    let inputs = tiling.inputs(tiles.len());
    let one = Planes { panels: 1, ..inputs };
    let fill = |(): &mut (), block: usize, planes: &mut [T]| input_planes(tiling, x, tiles.clone(), block, one, planes);
    let inputs_planes = build(inputs.len(), inputs.panel(), || (), fill);
    let outputs = one;
    let fill = |block: usize, y: &Scattered<T>| {
        let most = Correlation::kernels(DEPTH.min(inputs.panels)).len();
        T::with_scratch(most + outputs.len(), |scratch| {
            let (kernel_planes, products) = scratch.split_at_mut(most);
            for first in (0..inputs.panels).step_by(DEPTH) {
                let kernels = Correlation::kernels(DEPTH.min(inputs.panels - first));
                weight_planes(tiling, weight, block, first * LANES, kernels, kernel_planes);
                let from = &inputs_planes[first * inputs.panel()..];
                let sum = if first == 0 { Sum::Begin } else { Sum::GoOn };
                multiply(from, inputs, kernel_planes, kernels, sum, products, outputs);
            }
            output_tiles(tiling, products, outputs, tiles.clone(), block..block + 1, finish, y);
        });
    };
    // SAFETY: the blocks of filters are all filters, each once, and every block has all tiles.
    #[allow(unsafe_code)]
    unsafe {
        build_scattered(tiling.out_len(), tiling.filter_blocks(), fill)
    }
}

/// For many tiles: all of the kernels' planes are made first, then part by part the tiles.
fn by_tiles<T: Element>(tiling: &Correlation, x: &[T], weight: Kernels<'_, T>, finish: Finish<'_, T>) -> Vec<T> {
    let kernels = Correlation::kernels(tiling.channel_blocks());
    let fill = |(): &mut (), block: usize, planes: &mut [T]| {
        weight_planes(tiling, weight, block, 0, kernels, planes);
    };
    let weight = build(tiling.filter_blocks() * kernels.len(), kernels.len(), || (), fill);
    let fitting = (TASK / (36 * LANES * tiling.channel_blocks())).clamp(24, 48);
    let parts = tiling.tiles().div_ceil(fitting);
    let fill = |part: usize, y: &Scattered<T>| {
        let tiles = piece(tiling.tiles(), parts, part);
        fill_tiles(tiling, x, &weight, tiles, finish, y);
    };
    // SAFETY: the parts are all tiles, each once, and every part has all filters.
    #[allow(unsafe_code)]
    unsafe {
        build_scattered(tiling.out_len(), parts, fill)
    }
}

/// Writes the outputs of some tiles.
fn fill_tiles<T: Element>(
    tiling: &Correlation,
    x: &[T],
    weight: &[T],
    tiles: Range<usize>,
    finish: Finish<'_, T>,
    y: &Scattered<T>,
) {
    let blocks = 0..tiling.filter_blocks();
    let kernels = Correlation::kernels(tiling.channel_blocks());
    let inputs = tiling.inputs(tiles.len());
    let outputs = Planes { panels: GROUP.min(blocks.len()), ..inputs };
    T::with_scratch(inputs.len() + outputs.len(), |scratch| {
        let (from, to) = scratch.split_at_mut(inputs.len());
        input_planes(tiling, x, tiles.clone(), 0, inputs, from);
        for first in blocks.clone().step_by(GROUP) {
            let group = first..blocks.end.min(first + GROUP);
            let outputs = Planes { panels: group.len(), ..outputs };
            multiply(from, inputs, &weight[first * kernels.len()..], kernels, Sum::Begin, to, outputs);
            output_tiles(tiling, to, outputs, tiles.clone(), group, finish, y);
        }
    });
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::ops::ConvConfig;
    use crate::ops::dense;
    use crate::testing::{normal, slice_difference, values};

    /// Batch, height, width, channels, filters, padding: odd sizes, edges, rests of tiles, of blocks and of parts.
    const CASES: [[usize; 6]; 8] = [
        [1, 4, 4, 16, 16, 1],
        [2, 7, 7, 17, 33, 1],
        [1, 5, 9, 1, 3, 1],
        [3, 14, 13, 40, 24, 1],
        [1, 3, 3, 16, 16, 0],
        [2, 9, 6, 20, 70, 2],
        [1, 2, 11, 5, 130, 3],
        [1, 57, 41, 16, 16, 1],
    ];

    fn geometry([batch, height, width, channels, filters, padding]: [usize; 6]) -> Geometry {
        let config = ConvConfig { padding, ..ConvConfig::default() };
        Geometry::new(&[batch, height, width, channels], &[3, 3, channels, filters], config).unwrap()
    }

    fn drawn(dims: [usize; 4], index: u64) -> Vec<f64> {
        values(&normal(&dims, DType::F64, index).unwrap()).unwrap()
    }

    /// Output and both gradients in the type of the arguments.
    fn all<T: Element>(g: &Geometry, x: &[T], weight: &[T], dy: &[T]) -> [Vec<T>; 3] {
        [forward(g, x, weight), input_gradient(g, weight, dy), weight_gradient(g, x, dy)]
    }

    #[test]
    fn is_the_direct_way_up_to_rounding() {
        for case in CASES {
            let g = geometry(case);
            let [x, weight, dy] = [(g.input_dims(), 0), (g.weight_dims(), 1), (g.output_dims(), 2)]
                .map(|(dims, index)| drawn(dims, index));
            let direct = [
                dense::forward(&g, &x, &weight),
                dense::input_gradient(&g, &weight, &dy),
                dense::weight_gradient(&g, &x, &dy),
            ];
            for (ours, direct) in all(&g, &x, &weight, &dy).iter().zip(&direct) {
                assert!(slice_difference(ours, direct) < 1e-13, "f64 {case:?}");
            }
            let single = [&x, &weight, &dy].map(|values| values.iter().map(|&x| x as f32).collect::<Vec<f32>>());
            for (ours, direct) in all(&g, &single[0], &single[1], &single[2]).iter().zip(&direct) {
                let ours: Vec<f64> = ours.iter().map(|&x| x.into()).collect();
                let difference = slice_difference(&ours, direct);
                assert!(difference < 1e-5, "f32 {case:?}: {difference:e}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so_where_it_is_seen_and_spoils_no_other_image() {
        let g = geometry([2, 8, 8, 16, 16, 1]);
        let mut x = vec![1_f32; 2 * 8 * 8 * 16];
        for poison in [f32::NAN, f32::INFINITY] {
            x[5] = poison;
            let y = forward(&g, &x, &vec![1.0; 9 * 16 * 16]);
            assert!(y[..16].iter().all(|y| !y.is_finite()), "the pixel itself");
            assert!(y[8 * 8 * 16..].iter().all(|y| y.is_finite()), "the other image");
        }
    }

    #[test]
    fn serves_single_precision_where_tiles_fill_the_image() {
        let at = |size, channels| geometry([2, size, size, channels, channels, 1]);
        assert!([56, 28, 14, 7].into_iter().all(|size| suits::<f32>(&at(size, 64))));
        assert!(!suits::<f64>(&at(56, 64)), "double precision goes the direct way");
        assert!(!suits::<f32>(&at(1, 64)) && !suits::<f32>(&at(56, 3)));
    }
}
