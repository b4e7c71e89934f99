//! JPEG files to the very grey level that Pillow and OpenCV give, and strictly: what libjpeg would only warn of is an
//! error. The usual kind is decoded here, everything else and whatever is damaged by libjpeg itself.
//! Knows nothing of other formats.

mod baseline;
mod colour;
mod dct;
mod header;
mod huffman;
#[cfg(test)]
mod tests;

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mozjpeg::Decompress;
use mozjpeg_sys::{
    JWRN_ADOBE_XFORM, JWRN_EXTRANEOUS_DATA, JWRN_JFIF_MAJOR, jpeg_common_struct, jpeg_error_mgr, jpeg_std_error,
};

use super::{Image, Said, corrupt, refuse_huge};

/// What a JPEG begins with.
pub(crate) const START: [u8; 3] = [0xff, 0xd8, 0xff];
const END: [u8; 2] = [0xff, 0xd9];
const SCAN: u8 = 0xda;

pub(super) fn decode(bytes: &[u8]) -> Said<Image> {
    baseline::decode(bytes).map_or_else(|| by_libjpeg(bytes), Ok)
}

/// Decodes every kind of JPEG and says what is wrong with a damaged one.
fn by_libjpeg(bytes: &[u8]) -> Said<Image> {
    if !ends_as_jpeg(bytes) {
        // A forgiving decoder would fill what is missing with grey.
        dimensions(bytes)?;
        return Err("truncated JPEG: its end marker is missing; fetch or export the file again".to_owned());
    }
    guarded(|| {
        let decoder = open(bytes)?;
        let (width, height) = decoder.size();
        refuse_huge(width, height)?;
        let pixels = decoder.rgb().and_then(|mut started| started.read_scanlines::<u8>());
        let rgb = pixels.map_err(|error| corrupt("JPEG", error))?;
        Image::new(width, height, rgb).map_err(|error| corrupt("JPEG", error))
    })
}

pub(super) fn dimensions(bytes: &[u8]) -> Said<(usize, usize)> {
    let (width, height) = guarded(|| Ok(open(bytes)?.size()))?;
    refuse_huge(width, height)?;
    Ok((width, height))
}

fn open(bytes: &[u8]) -> Said<Decompress<&[u8]>> {
    Decompress::with_err(strict()).from_mem(bytes).map_err(|error| corrupt("JPEG", error))
}

/// libjpeg reports through its error manager, which must not return: it unwinds to here with its message.
fn guarded<T>(work: impl FnOnce() -> Said<T>) -> Said<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|thrown| match thrown.downcast::<Thrown>() {
        Ok(message) => Err(corrupt("JPEG", message.0)),
        Err(other) => resume_unwind(other),
    })
}

/// What libjpeg had to say, on its way up.
struct Thrown(String);

#[allow(unsafe_code)]
fn strict() -> jpeg_error_mgr {
    // SAFETY: the manager is a plain C struct of numbers, pointers and optional functions, for all of which zero is a
    // value; `jpeg_std_error` then fills it in.
    let mut manager = unsafe { std::mem::zeroed() };
    unsafe { jpeg_std_error(&mut manager) };
    manager.error_exit = Some(throw);
    manager.emit_message = Some(throw_if_corrupt);
    manager
}

type FormatMessage = unsafe extern "C-unwind" fn(&mut jpeg_common_struct, &[u8; 80]);
type WriteMessage = unsafe extern "C-unwind" fn(&mut jpeg_common_struct, &mut [u8; 80]);

#[cold]
#[allow(unsafe_code)]
extern "C-unwind" fn throw(state: &mut jpeg_common_struct) {
    let mut text = [0; 80];
    // SAFETY: libjpeg calls with the state whose error manager `strict` made, which outlives the decoder. The function
    // writes at most the 80 bytes of its buffer, which the binding's signature calls shared.
    unsafe {
        if let Some(format) = (*state.err).format_message {
            std::mem::transmute::<FormatMessage, WriteMessage>(format)(state, &mut text);
        }
    }
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    resume_unwind(Box::new(Thrown(String::from_utf8_lossy(text).into_owned())));
}

#[allow(unsafe_code)]
extern "C-unwind" fn throw_if_corrupt(state: &mut jpeg_common_struct, level: c_int) {
    // SAFETY: as in `throw`.
    let code = unsafe { (*state.err).msg_code };
    // Below zero are warnings, from zero on traces.
    if level < 0 && !HARMLESS.iter().any(|&harmless| i64::from(harmless) == i64::from(code)) {
        throw(state);
    }
}

/// Filling between segments and unknown revisions are common in old files and change no pixel.
const HARMLESS: [mozjpeg_sys::J_MESSAGE_CODE; 3] = [JWRN_EXTRANEOUS_DATA, JWRN_JFIF_MAJOR, JWRN_ADOBE_XFORM];

/// Whether the end marker follows the first scan. A thumbnail in the headers has an end marker of its own, so the
/// headers are walked over; within a scan the two bytes cannot stand for anything else.
fn ends_as_jpeg(bytes: &[u8]) -> bool {
    let mut rest = &bytes[2..];
    while let [0xff, marker, after @ ..] = rest {
        match (*marker, after) {
            (SCAN, scan) => return scan.windows(2).any(|pair| pair == END),
            (0xff, _) => rest = &rest[1..],
            (_, [high, low, ..]) => match after.get(usize::from(u16::from_be_bytes([*high, *low]))..) {
                Some(next) => rest = next,
                None => return false,
            },
            _ => return false,
        }
    }
    false
}
