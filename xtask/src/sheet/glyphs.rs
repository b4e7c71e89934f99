//! Digits of a few pixels, for pictures that no font is at hand for.
//! Knows no picture; a character is seven rows of five bits.

/// Pixels across.
pub(super) const GLYPH_WIDTH: usize = 5;
/// Pixels down.
pub(super) const GLYPH_HEIGHT: usize = 7;

const DIGITS: [[u8; GLYPH_HEIGHT]; 10] = [
    [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
    [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
    [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
    [0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110],
    [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
    [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
    [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
    [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
    [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
    [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
];

/// The rows of a digit, a point, a minus or a degree sign from top to bottom, the leftmost pixel the highest bit; else nothing.
pub(super) fn glyph(character: char) -> [u8; GLYPH_HEIGHT] {
    match character {
        '.' => [0, 0, 0, 0, 0, 0b01100, 0b01100],
        '-' | '−' => [0, 0, 0, 0b01110, 0, 0, 0],
        '°' => [0b01100, 0b10010, 0b10010, 0b01100, 0, 0, 0],
        other => other.to_digit(10).map_or([0; GLYPH_HEIGHT], |digit| DIGITS[digit as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_characters_look_alike() {
        let all: std::collections::BTreeSet<_> = "0123456789.-° ".chars().map(glyph).collect();
        assert_eq!(all.len(), 14);
    }
}
