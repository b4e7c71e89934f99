//! Kernels of convolutions whose groups have one channel (depthwise), two or four: loops over channels, line by line.
//! Knows slices; no tensors and no graph.
//!
//! In groups of G channels every output channel sees the G channels of its group. So the loops go over channels as in
//! a depthwise convolution, G times: with the channels as they are, and turned round by 1 to G − 1 places within each
//! group. The weights are arranged for it: (KH, KW, G turns, C).
//!
//! Kernels of 3×3 have a way of their own through the pixels whose three columns lie inside the image; lines above and
//! below the image are lines of zeros there.

#![allow(clippy::inline_always, reason = "only what is inlined is compiled for the wide vectors")]

use super::element::Element;
use super::finish::Finish;
use super::geometry::{Correlation, Geometry};
use super::parallel::{CHUNK, build, piece, sum_parts};
use crate::multiversion;

/// Channels that the 3×3 kernels keep in registers at a time: one vector of 512 bits of f32.
const LANES: usize = 16;
/// Neighbouring pixels that they make at a time, so that a value read is used up to three times.
const PIXELS: usize = 4;

/// y = x ∗ w, every group of G channels with kernels of its own.
///
/// # Shapes
/// x (B, H, W, C), w (KH, KW, G, C) → (B, H', W', C)
pub(crate) fn forward<T: Element>(g: &Geometry, x: &[T], weight: &[T]) -> Vec<T> {
    forward_finished(g, x, weight, Finish::none())
}

/// [`forward`], its sums finished.
pub(crate) fn forward_finished<T: Element>(g: &Geometry, x: &[T], weight: &[T], finish: Finish<'_, T>) -> Vec<T> {
    let size = g.group_channels();
    let arranged = turned(weight, g.channels, size, |tap, turn, channel| {
        (tap * size + turn_of(channel % size, turn, size)) * g.channels + channel
    });
    correlate(&Correlation::forward(g), size, x, &arranged, finish)
}

/// ∂L/∂x from w and ∂L/∂y; with stride 1 it is a convolution of ∂L/∂y with the flipped kernel.
///
/// # Shapes
/// w (KH, KW, G, C), dy (B, H', W', C) → (B, H, W, C)
pub(crate) fn input_gradient<T: Element>(g: &Geometry, weight: &[T], dy: &[T]) -> Vec<T> {
    let size = g.group_channels();
    let exchanged = turned(weight, g.channels, size, |tap, turn, channel| {
        let place = channel % size;
        (tap * size + place) * g.channels + channel - place + turn_of(place, turn, size)
    });
    if g.stride == 1 {
        let flipped: Vec<T> = exchanged.chunks_exact(size * g.channels).rev().flatten().copied().collect();
        return correlate(&Correlation::backward(g), size, dy, &flipped, Finish::none());
    }
    let line = g.width * g.channels;
    let lines = lines_of_chunk(line);
    build(
        g.batch * g.height * line,
        lines * line,
        || (),
        |(), index, dx| {
            for (at, dx) in (index * lines..).zip(dx.chunks_exact_mut(line)) {
                strided_gradient_line(g, &exchanged, dy, at / g.height, at % g.height, dx);
            }
        },
    )
}

/// ∂L/∂w from x and ∂L/∂y: one sum per fixed part of the output lines, added in order.
///
/// # Shapes
/// x (B, H, W, C), dy (B, H', W', C) → (KH, KW, G, C)
pub(crate) fn weight_gradient<T: Element>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<T> {
    const PARTS: usize = 16;
    let plane = Correlation::forward(g);
    let line = g.out_width * g.channels;
    let lines = g.batch * g.out_height;
    let zeros = vec![T::ZERO; plane.width * plane.channels];
    let parts = (lines * line / CHUNK).clamp(1, PARTS);
    let (size, taps) = (g.group_channels(), plane.kernel_height * plane.kernel_width);
    let arranged = sum_parts(parts, taps * size * plane.channels, |part, dw| {
        for at in piece(lines, parts, part) {
            let source = Source::new(&plane, x, &zeros, at / g.out_height, at % g.out_height);
            weight_gradient_line(&plane, size, source, &dy[at * line..][..line], dw);
        }
    });
    // The turn that brings an input's place to an output's is the way back of `forward`'s.
    turned(&arranged, g.channels, size, |tap, input, channel| {
        (tap * size + turn_of(size - channel % size, input, size)) * g.channels + channel
    })
}

/// Numbers in the order (tap, turn, channel), each from where `from` says.
fn turned<T: Element>(
    weight: &[T],
    channels: usize,
    size: usize,
    from: impl Fn(usize, usize, usize) -> usize,
) -> Vec<T> {
    if size == 1 {
        return weight.to_vec();
    }
    let numbers = 0..weight.len() / channels;
    let places = numbers.flat_map(|number| (0..channels).map(move |channel| (number / size, number % size, channel)));
    places.map(|(tap, turn, channel)| weight[from(tap, turn, channel)]).collect()
}

/// The place that a turn brings to `place` in a group of `size` channels.
#[inline(always)]
fn turn_of(place: usize, turn: usize, size: usize) -> usize {
    (place + turn) % size
}

/// Tasks that a small image is cut into, so that several threads have work.
const FEWEST_TASKS: usize = 8;

/// Lines of `line` values that make up about a chunk.
fn lines_of_chunk(line: usize) -> usize {
    (CHUNK / line).max(1)
}

impl Correlation {
    /// Output columns whose taps all lie inside the source, never more than there are.
    #[inline(always)]
    fn inside(&self) -> std::ops::Range<usize> {
        let stride = self.stride as isize;
        let room = self.width as isize - self.kernel_width as isize + self.left;
        let end = (room.div_euclid(stride) + 1).clamp(0, self.out_width as isize);
        let start = (self.left + stride - 1).div_euclid(stride).clamp(0, end);
        start as usize..end as usize
    }
}

/// The taps t with 0 ≤ first + t < size.
#[inline(always)]
fn taps_inside(first: isize, kernel: usize, size: usize) -> std::ops::Range<usize> {
    let start = (-first).clamp(0, kernel as isize);
    start as usize..(size as isize - first).clamp(start, kernel as isize) as usize
}

/// What the taps of one output line see.
#[derive(Debug, Clone, Copy)]
struct Source<'a, T> {
    image: &'a [T],
    /// A line of zeros.
    zeros: &'a [T],
    /// The line of the image that the first tap sees.
    first: isize,
}

impl<'a, T> Source<'a, T> {
    fn new(plane: &Correlation, images: &'a [T], zeros: &'a [T], image: usize, line: usize) -> Self {
        let size = plane.height * plane.width * plane.channels;
        let first = (line * plane.stride) as isize - plane.top;
        Self { image: &images[image * size..][..size], zeros, first }
    }

    /// The line that tap `tap` sees.
    #[inline(always)]
    fn line(&self, plane: &Correlation, tap: usize) -> &'a [T] {
        let line = self.first + tap as isize;
        if line < 0 || plane.height as isize <= line {
            return self.zeros;
        }
        let width = plane.width * plane.channels;
        &self.image[line as usize * width..][..width]
    }
}

fn correlate<T: Element>(plane: &Correlation, size: usize, x: &[T], weight: &[T], finish: Finish<'_, T>) -> Vec<T> {
    let line = plane.out_width * plane.channels;
    let lines = lines_of_chunk(line).min((plane.batch * plane.out_height).div_ceil(FEWEST_TASKS));
    let zeros = vec![T::ZERO; plane.width * plane.channels];
    build(
        plane.batch * plane.out_height * line,
        lines * line,
        || (),
        |(), index, y| {
            for (at, y) in (index * lines..).zip(y.chunks_exact_mut(line)) {
                let source = Source::new(plane, x, &zeros, at / plane.out_height, at % plane.out_height);
                correlate_line(plane, size, source, weight, y);
                finish.pixels(at * line, y);
            }
        },
    )
}

multiversion! {
    /// Adds one output line.
    fn correlate_line[T: Element](
        plane: &Correlation, size: usize, source: Source<'_, T>, weight: &[T], y: &mut [T],
    ) {
        match (plane.kernel_height, plane.kernel_width, plane.stride, size) {
            (3, 3, 1, 1) => correlate_line_3x3::<T, 1, 1>(plane, source, weight, y),
            (3, 3, 2, 1) => correlate_line_3x3::<T, 2, 1>(plane, source, weight, y),
            (3, 3, 1, 2) => correlate_line_3x3::<T, 1, 2>(plane, source, weight, y),
            (3, 3, 1, 4) => correlate_line_3x3::<T, 1, 4>(plane, source, weight, y),
            _ => correlate_columns(plane, size, source, weight, 0..plane.out_width, y),
        }
    }

    /// Adds what one output line contributes to the weight's gradient.
    fn weight_gradient_line[T: Element](
        plane: &Correlation, size: usize, source: Source<'_, T>, dy: &[T], dw: &mut [T],
    ) {
        match (plane.kernel_height, plane.kernel_width, plane.stride, size) {
            (3, 3, 1, 1) => weight_gradient_line_3x3::<T, 1, 1>(plane, source, dy, dw),
            (3, 3, 2, 1) => weight_gradient_line_3x3::<T, 2, 1>(plane, source, dy, dw),
            (3, 3, 1, 2) => weight_gradient_line_3x3::<T, 1, 2>(plane, source, dy, dw),
            (3, 3, 1, 4) => weight_gradient_line_3x3::<T, 1, 4>(plane, source, dy, dw),
            _ => weight_gradient_columns(plane, size, source, dy, 0..plane.out_width, dw),
        }
    }

    /// Adds one line of the input's gradient, for any stride.
    fn strided_gradient_line[T: Element](
        g: &Geometry, weight: &[T], dy: &[T], image: usize, line: usize, dx: &mut [T],
    ) {
        let reached = line + g.padding;
        for down in (reached % g.stride..g.kernel_height.min(reached + 1)).step_by(g.stride) {
            let out_line = (reached - down) / g.stride;
            if g.out_height <= out_line {
                continue;
            }
            let width = g.out_width * g.channels;
            let dy = &dy[(image * g.out_height + out_line) * width..][..width];
            let (size, numbers) = (g.group_channels(), g.group_channels() * g.channels);
            let weight = &weight[down * g.kernel_width * numbers..][..g.kernel_width * numbers];
            for (col, dx) in dx.chunks_exact_mut(g.channels).enumerate() {
                let reached = col + g.padding;
                for across in (reached % g.stride..g.kernel_width.min(reached + 1)).step_by(g.stride) {
                    let out_col = (reached - across) / g.stride;
                    if out_col < g.out_width {
                        add_turned(size, at(dy, out_col, g.channels), at(weight, across, numbers), dx);
                    }
                }
            }
        }
    }
}

/// The channels of pixel or tap `index`.
#[inline(always)]
fn at<T>(data: &[T], index: usize, channels: usize) -> &[T] {
    &data[index * channels..][..channels]
}

/// sum ← sum + a ⊙ b
#[inline(always)]
fn add_products<T: Element>(a: &[T], b: &[T], sum: &mut [T]) {
    for ((sum, &a), &b) in sum.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}

/// sum ← sum + Σ over turns of a, turned within its groups of `size` channels, ⊙ b of that turn
#[inline(always)]
fn add_turned<T: Element>(size: usize, a: &[T], b: &[T], sum: &mut [T]) {
    if size == 1 {
        return add_products(a, b, sum);
    }
    for (turn, b) in b.chunks_exact(sum.len()).enumerate() {
        let groups = sum.chunks_exact_mut(size).zip(a.chunks_exact(size)).zip(b.chunks_exact(size));
        for ((sum, a), b) in groups {
            for (place, (sum, &b)) in sum.iter_mut().zip(b).enumerate() {
                *sum += a[turn_of(place, turn, size)] * b;
            }
        }
    }
}

/// Adds some columns of an output line, for any kernel.
#[inline(always)]
fn correlate_columns<T: Element>(
    plane: &Correlation,
    size: usize,
    source: Source<'_, T>,
    weight: &[T],
    columns: std::ops::Range<usize>,
    y: &mut [T],
) {
    let channels = plane.channels;
    for column in columns {
        let y = &mut y[column * channels..][..channels];
        let first = (column * plane.stride) as isize - plane.left;
        for down in taps_inside(source.first, plane.kernel_height, plane.height) {
            let line = source.line(plane, down);
            for across in taps_inside(first, plane.kernel_width, plane.width) {
                let x = at(line, (first + across as isize) as usize, channels);
                add_turned(size, x, at(weight, down * plane.kernel_width + across, size * channels), y);
            }
        }
    }
}

/// Adds what some columns of an output line contribute to the weight's gradient, for any kernel.
#[inline(always)]
fn weight_gradient_columns<T: Element>(
    plane: &Correlation,
    size: usize,
    source: Source<'_, T>,
    dy: &[T],
    columns: std::ops::Range<usize>,
    dw: &mut [T],
) {
    let channels = plane.channels;
    for column in columns {
        let dy = at(dy, column, channels);
        let first = (column * plane.stride) as isize - plane.left;
        for down in taps_inside(source.first, plane.kernel_height, plane.height) {
            let line = source.line(plane, down);
            for across in taps_inside(first, plane.kernel_width, plane.width) {
                let x = at(line, (first + across as isize) as usize, channels);
                let tap = down * plane.kernel_width + across;
                let dw = &mut dw[tap * size * channels..][..size * channels];
                for (turn, dw) in dw.chunks_exact_mut(channels).enumerate() {
                    for (channel, (dw, &dy)) in dw.iter_mut().zip(dy).enumerate() {
                        let place = channel % size;
                        *dw += x[channel - place + turn_of(place, turn, size)] * dy;
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn correlate_line_3x3<T: Element, const STRIDE: usize, const SIZE: usize>(
    plane: &Correlation,
    source: Source<'_, T>,
    weight: &[T],
    y: &mut [T],
) {
    let (channels, inside) = (plane.channels, plane.inside());
    correlate_columns(plane, SIZE, source, weight, 0..inside.start, y);
    correlate_columns(plane, SIZE, source, weight, inside.end..plane.out_width, y);
    let first = (inside.start * STRIDE) as isize - plane.left;
    let mut lines = lines_from(plane, source, first);
    let mut y = &mut y[inside.start * channels..inside.end * channels];
    while PIXELS * channels <= y.len() {
        let (now, later) = y.split_at_mut(PIXELS * channels);
        correlate_pixels::<T, STRIDE, SIZE, PIXELS>(lines, weight, channels, now);
        (lines, y) = (advanced(lines, PIXELS * STRIDE * channels), later);
    }
    for y in y.chunks_exact_mut(channels) {
        correlate_pixels::<T, STRIDE, SIZE, 1>(lines, weight, channels, y);
        lines = advanced(lines, STRIDE * channels);
    }
}

#[inline(always)]
fn weight_gradient_line_3x3<T: Element, const STRIDE: usize, const SIZE: usize>(
    plane: &Correlation,
    source: Source<'_, T>,
    dy: &[T],
    dw: &mut [T],
) {
    let (channels, inside) = (plane.channels, plane.inside());
    weight_gradient_columns(plane, SIZE, source, dy, 0..inside.start, dw);
    weight_gradient_columns(plane, SIZE, source, dy, inside.end..plane.out_width, dw);
    let first = (inside.start * STRIDE) as isize - plane.left;
    let mut lines = lines_from(plane, source, first);
    let mut dy = &dy[inside.start * channels..inside.end * channels];
    while PIXELS * channels <= dy.len() {
        weight_gradient_pixels::<T, STRIDE, SIZE, PIXELS>(lines, dy, channels, dw);
        (lines, dy) = (advanced(lines, PIXELS * STRIDE * channels), &dy[PIXELS * channels..]);
    }
    for dy in dy.chunks_exact(channels) {
        weight_gradient_pixels::<T, STRIDE, SIZE, 1>(lines, dy, channels, dw);
        lines = advanced(lines, STRIDE * channels);
    }
}

/// The three lines that the taps see, from column `first` on.
#[inline(always)]
fn lines_from<'a, T: Element>(plane: &Correlation, source: Source<'a, T>, first: isize) -> [&'a [T]; 3] {
    let lines = [source.line(plane, 0), source.line(plane, 1), source.line(plane, 2)];
    advanced(lines, first.max(0) as usize * plane.channels)
}

#[inline(always)]
fn advanced<T>(lines: [&[T]; 3], by: usize) -> [&[T]; 3] {
    lines.map(|line| &line[by.min(line.len())..])
}

/// The first `N` neighbouring output pixels of a 3×3 kernel, all of their taps inside the image.
#[inline(always)]
fn correlate_pixels<T: Element, const STRIDE: usize, const SIZE: usize, const N: usize>(
    lines: [&[T]; 3],
    weight: &[T],
    channels: usize,
    y: &mut [T],
) {
    let whole = channels - channels % LANES;
    for channel in (0..whole).step_by(LANES) {
        correlate_block::<T, STRIDE, SIZE, N, LANES>(lines, weight, channels, channel, y);
    }
    for channel in (whole..channels).step_by(SIZE) {
        correlate_block::<T, STRIDE, SIZE, N, SIZE>(lines, weight, channels, channel, y);
    }
}

#[inline(always)]
fn correlate_block<T: Element, const STRIDE: usize, const SIZE: usize, const N: usize, const L: usize>(
    lines: [&[T]; 3],
    weight: &[T],
    channels: usize,
    channel: usize,
    y: &mut [T],
) {
    let mut weights = [[[T::ZERO; L]; SIZE]; 9];
    for (number, weights) in weights.as_flattened_mut().iter_mut().enumerate() {
        *weights = load(weight, number * channels + channel);
    }
    let mut sums = [[T::ZERO; L]; N];
    for (down, line) in lines.iter().enumerate() {
        for column in 0..(N - 1) * STRIDE + 3 {
            let x: [T; L] = load(line, column * channels + channel);
            for (turn, x) in turns::<T, L, SIZE>(&x).iter().enumerate() {
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    if pixel * STRIDE <= column && column < pixel * STRIDE + 3 {
                        add_products(x, &weights[down * 3 + column - pixel * STRIDE][turn], sum);
                    }
                }
            }
        }
    }
    for (pixel, sum) in sums.iter().enumerate() {
        y[pixel * channels + channel..][..L].copy_from_slice(sum);
    }
}

/// Adds what the first `N` output pixels contribute to the gradient of a 3×3 kernel, all taps inside the image.
#[inline(always)]
fn weight_gradient_pixels<T: Element, const STRIDE: usize, const SIZE: usize, const N: usize>(
    lines: [&[T]; 3],
    dy: &[T],
    channels: usize,
    dw: &mut [T],
) {
    let whole = channels - channels % LANES;
    for channel in (0..whole).step_by(LANES) {
        weight_gradient_block::<T, STRIDE, SIZE, N, LANES>(lines, dy, channels, channel, dw);
    }
    for channel in (whole..channels).step_by(SIZE) {
        weight_gradient_block::<T, STRIDE, SIZE, N, SIZE>(lines, dy, channels, channel, dw);
    }
}

#[inline(always)]
fn weight_gradient_block<T: Element, const STRIDE: usize, const SIZE: usize, const N: usize, const L: usize>(
    lines: [&[T]; 3],
    dy: &[T],
    channels: usize,
    channel: usize,
    dw: &mut [T],
) {
    let mut gradients = [[T::ZERO; L]; N];
    for (pixel, gradient) in gradients.iter_mut().enumerate() {
        *gradient = load(dy, pixel * channels + channel);
    }
    for (down, line) in lines.iter().enumerate() {
        let mut sums = [[[T::ZERO; L]; SIZE]; 3];
        for column in 0..(N - 1) * STRIDE + 3 {
            let x: [T; L] = load(line, column * channels + channel);
            for (turn, x) in turns::<T, L, SIZE>(&x).iter().enumerate() {
                for (pixel, gradient) in gradients.iter().enumerate() {
                    if pixel * STRIDE <= column && column < pixel * STRIDE + 3 {
                        add_products(x, gradient, &mut sums[column - pixel * STRIDE][turn]);
                    }
                }
            }
        }
        for (number, sum) in sums.as_flattened().iter().enumerate() {
            for (dw, &sum) in dw[(down * 3 * SIZE + number) * channels + channel..][..L].iter_mut().zip(sum) {
                *dw += sum;
            }
        }
    }
}

/// The channels of whole groups, turned round by 0 to `SIZE` − 1 places within each.
#[inline(always)]
fn turns<T: Element, const L: usize, const SIZE: usize>(x: &[T; L]) -> [[T; L]; SIZE] {
    let turned = |turn: usize, lane: usize| x[lane - lane % SIZE + turn_of(lane % SIZE, turn, SIZE)];
    std::array::from_fn(|turn| std::array::from_fn(|lane| turned(turn, lane)))
}

/// `L` values from `start` on.
#[inline(always)]
fn load<T: Element, const L: usize>(data: &[T], start: usize) -> [T; L] {
    let mut values = [T::ZERO; L];
    values.copy_from_slice(&data[start..start + L]);
    values
}
