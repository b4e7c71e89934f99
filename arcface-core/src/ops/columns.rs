//! Windows of pixels copied into the rows of a matrix (im2col), so that a convolution becomes a matrix product.
//! Knows no weights.

use super::element::Element;

/// A batch of images (B, H, W, C) in a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Images<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

/// The upper left pixel of a window in image `image`; it may lie outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub(crate) image: usize,
    pub(crate) y: isize,
    pub(crate) x: isize,
}

/// What is copied of each window: `rows` × `cols` pixels, of each `channels` channels beginning at `first_channel`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) first_channel: usize,
    pub(crate) channels: usize,
}

impl Window {
    /// Values of a window.
    pub(crate) fn len(&self) -> usize {
        self.rows * self.cols * self.channels
    }
}

/// Fills the rows of `columns`, one per site, each with the window's values in the order (row, column, channel); pixels
/// outside of the image are zeros.
pub(crate) fn gather<T: Element>(
    images: Images<'_, T>,
    window: Window,
    sites: impl Iterator<Item = Site>,
    columns: &mut [T],
) {
    let line = window.cols * window.channels;
    for (site, column) in sites.zip(columns.chunks_exact_mut(window.len())) {
        for (y, line) in (site.y..).zip(column.chunks_exact_mut(line)) {
            if 0 <= y && y < images.height as isize {
                let row = (site.image * images.height + y as usize) * images.width * images.channels;
                gather_line(images, &images.data[row..], window, site.x, line);
            } else {
                line.fill(T::ZERO);
            }
        }
    }
}

/// One row of a window, `left` being its first column in the image whose row begins at `row[0]`.
#[inline]
fn gather_line<T: Element>(images: Images<'_, T>, row: &[T], window: Window, left: isize, line: &mut [T]) {
    let channels = images.channels;
    let before = left.min(0).unsigned_abs().min(window.cols);
    let inside = (left + window.cols as isize).clamp(0, images.width as isize) - left.max(0);
    if inside <= 0 {
        return line.fill(T::ZERO);
    }
    let inside = inside as usize;
    let first = left.max(0) as usize * channels;
    let (zeros, rest) = line.split_at_mut(before * window.channels);
    let (copied, more_zeros) = rest.split_at_mut(inside * window.channels);
    zeros.fill(T::ZERO);
    more_zeros.fill(T::ZERO);
    if window.channels == channels {
        copied.copy_from_slice(&row[first..][..inside * channels]);
    } else {
        let pixels = row[first..].chunks(channels);
        for (copied, pixel) in copied.chunks_exact_mut(window.channels).zip(pixels) {
            copied.copy_from_slice(&pixel[window.first_channel..][..window.channels]);
        }
    }
}
