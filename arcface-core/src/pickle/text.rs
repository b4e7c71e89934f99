//! The spellings of texts and numbers: Python 2's quoted strings, escaped Unicode, Latin-1, decimal lines.
//! Knows no opcode and no place in the input.

use std::borrow::Cow;

use super::bytes::Said;

/// The bytes of a Python 2 string in quotes: `'a\x00\n'`.
pub(super) fn unquoted(line: &[u8]) -> Said<Cow<'_, [u8]>> {
    let ([b'\'', inside @ .., b'\''] | [b'"', inside @ .., b'"']) = line else {
        return Err("expected a string in quotes".to_owned());
    };
    if !inside.contains(&b'\\') {
        return Ok(Cow::Borrowed(inside));
    }
    let mut bytes = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'\\' {
            let (byte, after) = escaped(rest)?;
            bytes.push(byte);
            rest = after;
        } else {
            bytes.push(first);
        }
    }
    Ok(Cow::Owned(bytes))
}

/// The byte that an escape stands for, and what follows; the backslash is gone already.
fn escaped(rest: &[u8]) -> Said<(u8, &[u8])> {
    let simple = |byte| Ok((byte, &rest[1..]));
    match rest {
        [b'n', ..] => simple(b'\n'),
        [b'r', ..] => simple(b'\r'),
        [b't', ..] => simple(b'\t'),
        [quoted @ (b'\\' | b'\'' | b'"'), ..] => simple(*quoted),
        [b'x', high, low, after @ ..] => match (hexadecimal(*high), hexadecimal(*low)) {
            (Some(high), Some(low)) => Ok(((16 * high + low) as u8, after)),
            _ => Err("expected two hexadecimal digits behind `\\x`".to_owned()),
        },
        _ => Err("expected an escape of a string: \\n, \\r, \\t, \\\\, a quote or \\x with two digits".to_owned()),
    }
}

fn hexadecimal(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}

/// The text of a line of `raw-unicode-escape`: Latin-1 with `\u` and four digits or `\U` and eight.
pub(super) fn unescaped(line: &[u8]) -> Said<Cow<'_, str>> {
    if !line.contains(&b'\\')
        && line.is_ascii()
        && let Ok(text) = std::str::from_utf8(line)
    {
        return Ok(Cow::Borrowed(text));
    }
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&first, after)) = rest.split_first() {
        let digits = match rest {
            [b'\\', b'u', ..] => 4,
            [b'\\', b'U', ..] => 8,
            _ => {
                text.push(char::from(first));
                rest = after;
                continue;
            }
        };
        text.push(
            rest.get(2..2 + digits).and_then(code_point).ok_or("expected the number of a character behind `\\u`")?,
        );
        rest = &rest[2 + digits..];
    }
    Ok(Cow::Owned(text))
}

fn code_point(digits: &[u8]) -> Option<char> {
    let number =
        digits.iter().try_fold(0_u32, |number, digit| number.checked_mul(16)?.checked_add(hexadecimal(*digit)?));
    number.and_then(char::from_u32)
}

/// The bytes of `text` in Latin-1, in which Python's older protocols hide bytes.
pub(super) fn latin1(text: &str) -> Said<Vec<u8>> {
    let byte = |c: char| u8::try_from(u32::from(c)).map_err(|_| format!("expected characters of Latin-1, got `{c}`"));
    text.chars().map(byte).collect()
}

/// Whether Python knows Latin-1 under `name`.
pub(super) fn is_latin1(name: &str) -> bool {
    ["latin1", "latin-1", "iso-8859-1"].contains(&name)
}

/// A whole number on a line; Python 2 ends a long one with `L`.
pub(super) fn integer(line: &str) -> Said<i128> {
    let digits = line.strip_suffix('L').unwrap_or(line);
    digits.parse().map_err(|_| format!("expected a whole number of at most 128 bits, got `{}`", shortened(line)))
}

/// A number of little-endian bytes in two's complement.
pub(super) fn long(bytes: &[u8]) -> Said<i128> {
    let Some(last) = bytes.last() else { return Ok(0) };
    let mut wide = if last & 0x80 == 0 { [0; 16] } else { [0xff; 16] };
    let low = wide.get_mut(..bytes.len());
    low.ok_or_else(|| format!("expected a whole number of at most 16 bytes, got {}", bytes.len()))?
        .copy_from_slice(bytes);
    Ok(i128::from_le_bytes(wide))
}

/// Enough of `text` to recognise it in a message.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let start: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() { format!("{start}…") } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings() {
        let check = |line: &[u8], expected: &[u8]| assert_eq!(unquoted(line).unwrap(), expected);
        check(b"''", b"");
        check(b"'plain'", b"plain");
        check(b"\"it's\"", b"it's");
        check(b"'a\\x00\\xff\\n\\\\\\'\\t\\r'", b"a\x00\xff\n\\'\t\r");
        for damaged in [&b"'"[..], b"", b"'a", b"'\\'", b"'\\x0'", b"'\\xgg'", b"'\\q'"] {
            assert!(unquoted(damaged).is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn escaped_unicode() {
        let check = |line: &[u8], expected: &str| assert_eq!(unescaped(line).unwrap(), expected);
        check(b"plain", "plain");
        check(b"\xe9\\u4e2d\\U0001f600\\n", "é中😀\\n");
        for damaged in [&b"\\u"[..], b"\\u12", b"\\ud800", b"\\U7fffffff", b"\\uzzzz"] {
            assert!(unescaped(damaged).is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(integer("-12L"), Ok(-12));
        assert!(integer("").is_err() && integer("1.5").is_err() && integer(&"9".repeat(50)).is_err());
        assert_eq!(long(&[]), Ok(0));
        assert_eq!(long(&[0xff, 0x7f]), Ok(32767));
        assert_eq!(long(&[0xff]), Ok(-1));
        assert!(long(&[1; 17]).is_err());
    }
}
