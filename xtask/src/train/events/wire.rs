//! The bytes of an event file: `TFRecord` frames around messages in protobuf's wire format.
//! Knows no file and no metrics; only the few fields that scalars need.
//!
//! Frames: <https://www.tensorflow.org/tutorials/load_data/tfrecord>. Fields: `event.proto` and `summary.proto` of
//! TensorBoard. Of the crates that write them, tensorboard-rs and tfrecord rest on protobuf and image libraries of years
//! ago, and tboard needs `protoc` to build.

/// Protobuf's wire types.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

/// Fields of `Event`.
const WALL_TIME: u64 = 1;
const STEP: u64 = 2;
const FILE_VERSION: u64 = 3;
const SUMMARY: u64 = 5;
/// Field of `Summary`.
const VALUE: u64 = 1;
/// Fields of `Summary.Value`.
const TAG: u64 = 1;
const SIMPLE_VALUE: u64 = 2;

/// The event that stands first in a file.
pub(super) fn file_version(wall_time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    fixed_64(&mut event, WALL_TIME, wall_time);
    bytes(&mut event, FILE_VERSION, b"brain.Event:2");
    event
}

/// The event of some scalars at one step.
pub(super) fn scalars(wall_time: f64, step: u64, scalars: &[(String, f32)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in scalars {
        let mut scalar = Vec::new();
        bytes(&mut scalar, TAG, tag.as_bytes());
        fixed_32(&mut scalar, SIMPLE_VALUE, *value);
        bytes(&mut summary, VALUE, &scalar);
    }
    let mut event = Vec::new();
    fixed_64(&mut event, WALL_TIME, wall_time);
    key(&mut event, STEP, VARINT);
    varint(&mut event, step);
    bytes(&mut event, SUMMARY, &summary);
    event
}

/// A frame: length, its checksum, `data`, its checksum.
pub(super) fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let parts = [&length[..], &masked(crc32c(&length)), data, &masked(crc32c(data))];
    parts.concat()
}

/// A checksum as frames hold it: a checksum over bytes that hold plain checksums would be weak.
fn masked(crc: u32) -> [u8; 4] {
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// The checksum of Castagnoli (RFC 3720, appendix B.4).
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

fn key(message: &mut Vec<u8>, field: u64, wire_type: u64) {
    varint(message, field << 3 | wire_type);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while 0x80 <= value {
        message.push(value as u8 | 0x80);
        value /= 0x80;
    }
    message.push(value as u8);
}

fn fixed_64(message: &mut Vec<u8>, field: u64, value: f64) {
    key(message, field, FIXED_64);
    message.extend(value.to_le_bytes());
}

fn fixed_32(message: &mut Vec<u8>, field: u64, value: f32) {
    key(message, field, FIXED_32);
    message.extend(value.to_le_bytes());
}

fn bytes(message: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(message, field, BYTES);
    varint(message, value.len() as u64);
    message.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(b""), 0);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
    }

    #[test]
    fn the_first_record_is_that_of_tensorboard() {
        // tensorboard 2.21: from tensorboard.compat.proto.event_pb2 import Event
        // Event(wall_time=1700000000.0, file_version="brain.Event:2").SerializeToString().hex()
        let expected = "0900000040fc54d9411a0d627261696e2e4576656e743a32";
        let event = file_version(1_700_000_000.0);
        assert_eq!(hex(&event), expected);
    }

    #[test]
    fn scalars_are_those_of_tensorboard() {
        // Event(wall_time=2.5, step=300, summary=Summary(value=[Summary.Value(tag="train/loss", simple_value=1.5)]))
        let expected = "09000000000000044010ac022a130a110a0a747261696e2f6c6f7373150000c03f";
        let event = scalars(2.5, 300, &[("train/loss".to_owned(), 1.5)]);
        assert_eq!(hex(&event), expected);
    }
}
