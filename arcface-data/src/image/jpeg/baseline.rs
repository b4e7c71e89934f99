//! The usual JPEG decoded with wide vectors, byte for byte as libjpeg does.
//! Knows no warnings: what is unusual or damaged is `None`, for libjpeg to take up or to refuse.

use super::super::{Image, MAX_PIXELS};
use super::colour;
use super::dct::{self, Coefficients, TOGETHER};
use super::header::{self, Component, Header};
use super::huffman::{Bits, Reader};

/// Decodes a file of one baseline scan, grey or YCbCr with chroma full, halved across, or halved both ways.
pub(super) fn decode(bytes: &[u8]) -> Option<Image> {
    let header = header::read(bytes)?;
    let (across, down) = header.sampling();
    // Chroma of one or two columns is not smoothed.
    if MAX_PIXELS < header.width * header.height || (across == 2 && header.width <= 4) {
        return None;
    }
    let mcus = Mcus { across: header.width.div_ceil(8 * across), down: header.height.div_ceil(8 * down) };
    let mut channels = channels(&header, mcus)?;
    read_scan(&header, mcus, &mut channels)?;
    let planes: Vec<Plane> = channels.into_iter().map(|channel| channel.plane).collect();
    Image::new(header.width, header.height, colour::rgb(header.width, header.height, (across, down), &planes)).ok()
}

/// Units of the scan: blocks of all components that lie on one another.
#[derive(Clone, Copy)]
struct Mcus {
    across: usize,
    down: usize,
}

/// Samples of a component, whole blocks.
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) samples: Vec<u8>,
}

/// A component while it is read.
struct Channel {
    reader: Reader,
    across: usize,
    down: usize,
    /// Of one row of MCUs, eight blocks together.
    coefficients: Vec<Coefficients>,
    plane: Plane,
}

/// Nothing is allocated that the bytes of the scan cannot fill: a block takes two bits at least.
fn channels(header: &Header<'_>, mcus: Mcus) -> Option<Vec<Channel>> {
    let blocks = |component: &Component<'_>| component.across * component.down * mcus.across * mcus.down;
    if 4 * header.scan.len() < header.components.iter().map(blocks).sum() {
        return None;
    }
    header.components.iter().map(|component| Channel::new(component, mcus)).collect()
}

impl Channel {
    fn new(component: &Component<'_>, mcus: Mcus) -> Option<Self> {
        let Component { across, down, factors, dc, ac } = *component;
        let width = 8 * across * mcus.across;
        Some(Self {
            reader: Reader::new(dc, ac, factors)?,
            across,
            down,
            coefficients: vec![[[0; 8 * TOGETHER]; 8]; (across * down * mcus.across).div_ceil(TOGETHER)],
            plane: Plane { width, samples: vec![0; width * 8 * down * mcus.down] },
        })
    }

    /// Reads the blocks of the MCU number `column` of its row.
    fn read(&mut self, bits: &mut Bits<'_>, column: usize) -> Option<()> {
        for y in 0..self.down {
            for x in 0..self.across {
                let number = y * (self.plane.width / 8) + column * self.across + x;
                let together = self.coefficients.get_mut(number / TOGETHER)?.as_flattened_mut();
                self.reader.block(bits, |place, value| {
                    if let Some(out) = together.get_mut(usize::from(place) * TOGETHER + number % TOGETHER) {
                        *out = value;
                    }
                })?;
            }
        }
        Some(())
    }

    /// Transforms the blocks of a row of MCUs to samples, and empties them.
    fn transform(&mut self, row: usize) {
        let width = self.plane.width;
        let stripes = &mut self.plane.samples[row * 8 * self.down * width..][..8 * self.down * width];
        let mut corners = (0..self.down).flat_map(|y| (0..width / 8).map(move |x| 8 * (y * width + x)));
        for coefficients in &mut self.coefficients {
            for (rows, corner) in dct::inverse(coefficients).iter().zip(&mut corners) {
                for (y, samples) in rows.iter().enumerate() {
                    stripes[corner + y * width..][..8].copy_from_slice(&samples.to_le_bytes());
                }
            }
            *coefficients = [[0; 8 * TOGETHER]; 8];
        }
    }
}

const FIRST_RESTART: u8 = 0xd0;
const END_OF_IMAGE: u8 = 0xd9;

fn read_scan(header: &Header<'_>, mcus: Mcus, channels: &mut [Channel]) -> Option<()> {
    let mut bytes = Vec::new();
    let (mut bits, mut marker, mut after) = Bits::open(header.scan, &mut bytes)?;
    let (mut left, mut restarts) = (header.restart_interval, (FIRST_RESTART..FIRST_RESTART + 8).cycle());
    for row in 0..mcus.down {
        for column in 0..mcus.across {
            if header.restart_interval != 0 {
                if left == 0 {
                    if !bits.are_used_up() || Some(marker) != restarts.next() {
                        return None;
                    }
                    (bits, marker, after) = Bits::open(after, &mut bytes)?;
                    for channel in &mut *channels {
                        channel.reader.restart();
                    }
                    left = header.restart_interval;
                }
                left -= 1;
            }
            for channel in &mut *channels {
                channel.read(&mut bits, column)?;
            }
        }
        for channel in &mut *channels {
            channel.transform(row);
        }
    }
    (bits.are_used_up() && marker == END_OF_IMAGE).then_some(())
}
