//! Text and pictures in the form that HTML takes them.
//! Knows no page.

use arcface_core::{Error, Result};

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `text` as a browser shows it literally, within an element or a quoted attribute.
pub(in crate::report) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            c => safe.push(c),
        }
    }
    safe
}

/// A PNG or JPEG as the address of itself.
pub(in crate::report) fn data_uri(name: &str, picture: &[u8]) -> Result<String> {
    let kind = match picture {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [0xff, 0xd8, 0xff, ..] => "jpeg",
        other => {
            let start = format!("{} bytes that begin with {:02x?}", other.len(), &other[..other.len().min(4)]);
            return Err(Error::value(format!("picture of face `{name}`"), "a PNG or JPEG", start));
        }
    };
    Ok(format!("data:image/{kind};base64,{}", base64(picture)))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    bytes.chunks(3).flat_map(four_digits).collect()
}

/// Up to three bytes as four digits, filled up with `=`.
fn four_digits(bytes: &[u8]) -> [char; 4] {
    let byte = |index: usize| u32::from(bytes.get(index).copied().unwrap_or(0));
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    let digit = |index: usize| char::from(DIGITS[(bits >> (18 - 6 * index)) as usize & 63]);
    std::array::from_fn(|index| if index <= bytes.len() { digit(index) } else { '=' })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_fills_up_as_in_rfc_4648() {
        let known = [
            ("", ""),
            ("f", "Zg=="),
            ("me", "bWU="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (text, expected) in known {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn nothing_escapes_from_an_element_or_an_attribute() {
        assert_eq!(escaped("<a b='c' d=\"e\">&amp;"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;amp;");
    }
}
