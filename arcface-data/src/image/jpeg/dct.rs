//! The inverse cosine transform, with the roundings of libjpeg's accurate one, for eight blocks at once.
//! Knows no bits and no colours.

use std::array::from_fn;
use std::num::Wrapping;

use arcface_core::multiversion;

/// Blocks that are transformed at once.
pub(super) const TOGETHER: usize = 8;

/// Coefficients of eight blocks: row, then column · 8 + block.
pub(super) type Coefficients = [[i16; 8 * TOGETHER]; 8];

/// Samples of eight blocks: block, then row of eight bytes, the first of them the lowest.
pub(super) type Samples = [[u64; 8]; TOGETHER];

multiversion! {
    /// Eight blocks from dequantised coefficients to samples.
    pub(super) fn inverse[](coefficients: &Coefficients) -> Samples {
        let mut rows = [[0; 8 * TOGETHER]; 8];
        for place in 0..8 * TOGETHER {
            let column = transform::<11>(from_fn(|row| Wrapping(i32::from(coefficients[row][place]))));
            for row in 0..8 {
                rows[row][place] = column[row].0;
            }
        }
        let mut columns = [[0; 8]; 8];
        for (number, row) in rows.iter().enumerate() {
            let mut samples = [[0; TOGETHER]; 8];
            for block in 0..TOGETHER {
                let values = transform::<18>(from_fn(|column| Wrapping(row[column * TOGETHER + block])));
                for column in 0..8 {
                    samples[column][block] = sample(values[column].0);
                }
            }
            for column in 0..8 {
                columns[column][number] = u64::from_le_bytes(samples[column]);
            }
        }
        transpose(&mut columns);
        columns
    }
}

/// libjpeg looks values up by their lowest ten bits, the rest is cut off.
#[inline(always)]
#[allow(clippy::inline_always)]
fn sample(value: i32) -> u8 {
    ((value << 22 >> 22) + 128).clamp(0, 255) as u8
}

/// Swaps the bytes of words with the words: byte b of word w becomes byte w of word b, for each row.
#[inline(always)]
#[allow(clippy::inline_always)]
fn transpose(words: &mut [[u64; 8]; 8]) {
    for (distance, low) in [(4, 0x0000_0000_ffff_ffff), (2, 0x0000_ffff_0000_ffff), (1, 0x00ff_00ff_00ff_00ff_u64)] {
        for first in (0..8).filter(|word| word & distance == 0) {
            let (before, after) = words.split_at_mut(first + distance);
            for (one, other) in before[first].iter_mut().zip(&mut after[0]) {
                let (a, b) = (*one, *other);
                *one = (a & low) | ((b & low) << (8 * distance));
                *other = ((a >> (8 * distance)) & low) | (b & !low);
            }
        }
    }
}

/// √2 · cos(k·π/16) and sums of such, times 2¹³.
mod factor {
    use std::num::Wrapping;

    pub(super) const C6: Wrapping<i32> = Wrapping(4433);
    pub(super) const C2_MINUS_C6: Wrapping<i32> = Wrapping(6270);
    pub(super) const C2_PLUS_C6: Wrapping<i32> = Wrapping(15137);
    pub(super) const C3: Wrapping<i32> = Wrapping(9633);
    pub(super) const C5_MINUS_C3: Wrapping<i32> = Wrapping(-3196);
    pub(super) const C3_PLUS_C5: Wrapping<i32> = Wrapping(16069);
    pub(super) const C3_MINUS_C7: Wrapping<i32> = Wrapping(7373);
    pub(super) const C1_PLUS_C3: Wrapping<i32> = Wrapping(20995);
    pub(super) const SEVEN: Wrapping<i32> = Wrapping(2446);
    pub(super) const FIVE: Wrapping<i32> = Wrapping(16819);
    pub(super) const THREE: Wrapping<i32> = Wrapping(25172);
    pub(super) const ONE: Wrapping<i32> = Wrapping(12299);
}

/// Eight values transformed, scaled by 2¹³ and rounded to their upper bits from `SHIFT` on.
///
/// Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications", 1989, with twelve
/// multiplications as in libjpeg. Sums are exact, so that only factors and roundings must be libjpeg's.
#[inline(always)]
#[allow(clippy::inline_always)]
fn transform<const SHIFT: usize>(values: [Wrapping<i32>; 8]) -> [Wrapping<i32>; 8] {
    use factor::{C1_PLUS_C3, C2_MINUS_C6, C2_PLUS_C6, C3, C3_MINUS_C7, C3_PLUS_C5, C5_MINUS_C3, C6};
    let [v0, v1, v2, v3, v4, v5, v6, v7] = values;

    let turned = (v2 + v6) * C6;
    let (even2, even6) = (turned + v2 * C2_MINUS_C6, turned - v6 * C2_PLUS_C6);
    let round = Wrapping(1 << (SHIFT - 1));
    let (sum, difference) = (((v0 + v4) << 13) + round, ((v0 - v4) << 13) + round);
    let even = [sum + even2, difference + even6, difference - even6, sum - even2];

    let shared = (v1 + v3 + v5 + v7) * C3;
    let (outer, inner) = ((v1 + v7) * C3_MINUS_C7, (v3 + v5) * C1_PLUS_C3);
    let (down, up) = (shared - (v3 + v7) * C3_PLUS_C5, shared + (v1 + v5) * C5_MINUS_C3);
    let odd = [
        v1 * factor::ONE - outer + up,
        v3 * factor::THREE - inner + down,
        v5 * factor::FIVE - inner + up,
        v7 * factor::SEVEN - outer + down,
    ];
    from_fn(|place| if place < 4 { even[place] + odd[place] } else { even[7 - place] - odd[7 - place] } >> SHIFT)
}
