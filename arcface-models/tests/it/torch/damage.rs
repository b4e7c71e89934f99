//! Torch files that are damaged, hostile or of a form that is not read, and wider archives than torch writes here.

use arcface_core::seed::{Purpose, rng};
use rand::Rng;

use super::fixtures::{LEGACY, ZIP};
use super::{read_bytes, values};

fn refusal(bytes: &[u8]) -> String {
    read_bytes(bytes).unwrap_err()
}

/// A zip archive as plain as can be, with sizes and places of 64 bits; `method` as in the format, 0 for stored.
fn archive(records: &[(&str, &[u8])], method: u16) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in records {
        let start = bytes.len() as u64;
        let [size, name_length] = [data.len() as u64, name.len() as u64];
        let common = [&method.to_le_bytes()[..], &[0; 4], &crc32(data).to_le_bytes(), &[0xff; 8]].concat();
        let sizes = [size.to_le_bytes(), size.to_le_bytes()].concat();
        let wide = [&[1, 0, 16, 0][..], &sizes].concat();
        bytes.extend([b"PK\x03\x04\x2d\0\0\0", &common[..], &name_length.to_le_bytes()[..2], &[20, 0]].concat());
        bytes.extend([name.as_bytes(), &wide, data].concat());
        let wide = [&[1, 0, 24, 0][..], &sizes, &start.to_le_bytes()].concat();
        directory.extend([b"PK\x01\x02\x2d\0\x2d\0\0\0", &common[..], &name_length.to_le_bytes()[..2]].concat());
        directory.extend([&[28, 0][..], &[0; 10], &[0xff; 4], name.as_bytes(), &wide].concat());
    }
    let [start, size, count] =
        [bytes.len(), directory.len(), records.len()].map(|number| (number as u64).to_le_bytes());
    bytes.extend(&directory);
    let end = (bytes.len() as u64).to_le_bytes();
    bytes.extend([b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0", &[0; 8][..], &count, &count, &size, &start].concat());
    bytes.extend([b"PK\x06\x07\0\0\0\0", &end[..], &[1, 0, 0, 0]].concat());
    bytes.extend([b"PK\x05\x06", &[0; 4][..], &[0xff; 12], &[0; 2]].concat());
    bytes
}

/// The checksum of zip archives, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}

/// The pickle of {"w": a tensor} in storage "0" of four floats, with these numbers in place of its own.
fn objects(offset: &str, shape: &str, strides: &str) -> Vec<u8> {
    let tensor = "ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI4\ntQ";
    format!("(Vw\n{tensor}{offset}({shape}t({strides}tI00\n}}tRd.").into_bytes()
}

fn with_objects(objects: &[u8]) -> Vec<u8> {
    archive(&[("net/data.pkl", objects), ("net/data/0", &[0; 16])], 0)
}

#[test]
fn archives_with_wide_numbers_are_read() {
    let four: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let objects = objects("I1\n", "I3\n", "I1\n");
    let file = read_bytes(&archive(&[("net/data.pkl", &objects), ("net/data/0", &four)], 0)).unwrap();
    assert!(values(&file.state["w"]) == [2.0, 3.0, 4.0]);
}

#[test]
fn archives_that_hold_no_weights_are_refused() {
    insta::assert_snapshot!(refusal(b"PK\x03\x04"), @"DIR/net.pth: zip archive: its end, with the directory, is missing; the file is truncated or damaged, copy it again");
    insta::assert_snapshot!(refusal(&ZIP[..ZIP.len() / 2]), @"DIR/net.pth: zip archive: its end, with the directory, is missing; the file is truncated or damaged, copy it again");
    insta::assert_snapshot!(refusal(&archive(&[("word/document.xml", b"<xml/>")], 0)), @"DIR/net.pth: expected torch's weights, got a zip archive without `data.pkl`");
    insta::assert_snapshot!(refusal(&archive(&[("net/data.pkl", b"N."), ("net/constants.pkl", b"N.")], 0)), @"DIR/net.pth: a TorchScript program, not the weights of a network; save the state dict: torch.save(module.state_dict(), …)");
    insta::assert_snapshot!(refusal(&archive(&[("net/data.pkl", b"N."), ("net/byteorder", b"big")], 0)), @"DIR/net.pth: expected numbers in little-endian order, got big-endian ones");
    insta::assert_snapshot!(refusal(&archive(&[("net/data.pkl", b"N.")], 8)), @"DIR/net.pth: record `net/data.pkl` is compressed, which torch's own are not; unpack the archive and pack it with `zip -0`");
    insta::assert_snapshot!(refusal(&archive(&[("net/data.pkl", &objects("I0\n", "I4\n", "I1\n"))], 0)), @"DIR/net.pth: record `net/data/0`, the storage of a tensor, is missing");
    insta::assert_snapshot!(refusal(&with_objects(b"cposix\nsystem\n.")), @"DIR/net.pth: record `net/data.pkl`: pickle, byte 0: `posix.system` is not among the names of plain data, numpy arrays and torch tensors; nothing was run: save arrays or a state dict alone");
    let mut damaged = ZIP.to_vec();
    let at = ZIP.windows(4).position(|window| window == 4.5_f32.to_le_bytes()).unwrap();
    damaged[at] ^= 1;
    insta::assert_snapshot!(refusal(&damaged), @"DIR/net.pth: record `archive/data/0`: checksum 1f8c612f, expected a730064a; copy the file again, or save it with torch's checksums switched on");
}

#[test]
fn state_dicts_that_are_none_are_refused() {
    insta::assert_snapshot!(refusal(&with_objects(b"N.")), @"DIR/net.pth: pickle, byte 0: expected a state dict, got None");
    insta::assert_snapshot!(refusal(&with_objects(b"}.")), @"DIR/net.pth: expected a state dict, got an empty dict");
    insta::assert_snapshot!(refusal(&with_objects(b"(Vepoch\nI3\nVoptimizer\n}VI\nNVj\nNd.")), @"DIR/net.pth: expected a state dict, got a dict without tensors: `epoch` (the integer 3), `optimizer` (a dict of 0), `I` (None), …; save the state dict alone: torch.save(model.state_dict(), …)");
    insta::assert_snapshot!(refusal(&with_objects(b"(Vmodel\n(Vmodel\n(Vmodel\n(Vmodel\n(Vmodel\nNddddd.")), @"DIR/net.pth: expected a state dict, got a dict without tensors under `model.model.model`: `model` (a dict of 1); save the state dict alone: torch.save(model.state_dict(), …)");
    // A dict that holds itself under `model`.
    insta::assert_snapshot!(refusal(&with_objects(b"}p0\nVmodel\ng0\ns.")), @"DIR/net.pth: expected a state dict, got a dict without tensors under `model.model.model`: `model` (a dict of 1); save the state dict alone: torch.save(model.state_dict(), …)");
    insta::assert_snapshot!(refusal(&with_objects(b"(Va\nVb\nQd.")), @"DIR/net.pth: pickle, byte 4: expected a reference to a storage of a known type, got the text `b`");
}

#[test]
fn tensors_beyond_their_storage_are_refused() {
    let check = |offset: &str, shape: &str, strides: &str| refusal(&with_objects(&objects(offset, shape, strides)));
    insta::assert_snapshot!(check("I0\n", "I5\n", "I1\n"), @"DIR/net.pth: tensor `w`: storage `0`: expected a tensor within its 4 elements, got shape [5], strides [1], offset 0");
    insta::assert_snapshot!(check("I5\n", "I0\n", "I1\n"), @"DIR/net.pth: tensor `w`: storage `0`: expected a tensor within its 4 elements, got shape [0], strides [1], offset 5");
    insta::assert_snapshot!(check("I0\n", "I2\nI2\n", "I3\nI1\n"), @"DIR/net.pth: tensor `w`: storage `0`: expected a tensor within its 4 elements, got shape [2, 2], strides [3, 1], offset 0");
    insta::assert_snapshot!(check("I0\n", "I4611686018427387904\nI4611686018427387904\n", "I0\nI0\n"), @"DIR/net.pth: tensor `w`: storage `0`: expected a tensor within its 4 elements, got shape [4611686018427387904, 4611686018427387904], strides [0, 0], offset 0");
    insta::assert_snapshot!(check("I0\n", "I2\n", "I18446744073709551615\n"), @"DIR/net.pth: tensor `w`: storage `0`: expected a tensor within its 4 elements, got shape [2], strides [18446744073709551615], offset 0");
    insta::assert_snapshot!(check("I-1\n", "I2\n", "I1\n"), @"DIR/net.pth: tensor `w`: pickle, byte 81: expected the offset of a tensor, got the integer -1");
    insta::assert_snapshot!(check("I0\n", "I2\n", "I1\nI1\n"), @"DIR/net.pth: tensor `w`: pickle, byte 96: expected 1 strides, got a tuple of 2");
    insta::assert_snapshot!(check("I0\n", "I0\nI4611686018427387904\nI4611686018427387904\n", "I1\nI1\nI1\n"), @"DIR/net.pth: tensor `w`: storage `0`: expected a tensor within its 4 elements, got shape [0, 4611686018427387904, 4611686018427387904], strides [1, 1, 1], offset 0");
    // One float seen as a terabyte.
    insta::assert_snapshot!(check("I0\n", "I274877906944\n", "I0\n"), @"DIR/net.pth: tensor `w`: its tensors take more than 4 times the length of the file; it is damaged or hostile");
}

#[test]
fn an_empty_tensor_may_have_any_strides() {
    let file = read_bytes(&with_objects(&objects("I4\n", "I0\nI7\n", "I1\nI9\n"))).unwrap();
    assert_eq!(file.state["w"].dims(), [0, 7]);
}

#[test]
fn pickles_and_other_forms_that_hold_no_weights_are_refused() {
    insta::assert_snapshot!(refusal(b"\x80\x02N."), @"DIR/net.pth: a pickle without the magic number of torch; expected torch's weights or .safetensors");
    insta::assert_snapshot!(refusal(b"\x80\x02]q\0."), @"DIR/net.pth: a pickle without the magic number of torch; expected torch's weights or .safetensors");
    let tar = [&[b'a'; 257][..], b"ustar", &[0; 300]].concat();
    insta::assert_snapshot!(refusal(&tar), @"DIR/net.pth: a tar archive, which torch wrote before 0.2; load and save it once with a torch of today");
    insta::assert_snapshot!(refusal(&LEGACY[..LEGACY.len() - 1]), @"DIR/net.pth: storage `94181522019232` at byte 2164 is cut short; copy the file again");
    let changed = |from: &[u8], to: &[u8]| {
        let at = LEGACY.windows(from.len()).position(|window| window == from).unwrap();
        [&LEGACY[..at], to, &LEGACY[at + from.len()..]].concat()
    };
    insta::assert_snapshot!(refusal(&changed(b"\x4d\xe9\x03\x2e", b"\x4d\xea\x03\x2e")), @"DIR/net.pth: torch's protocol: expected 1001, got 1002");
    insta::assert_snapshot!(refusal(&changed(b"little_endianq\x02\x88", b"little_endianq\x02\x89")), @"DIR/net.pth: expected numbers in little-endian order, got big-endian ones");
    insta::assert_snapshot!(refusal(b"neither"), @"DIR/net.pth: expected a whole .safetensors file, but it is truncated, damaged or of another format (header too small)");
}

#[test]
fn thousands_of_damaged_copies_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.pth");
    let mut random = rng(0, Purpose::Testing, 0, 3);
    // Checksums guard the records of ZIP; archives around damaged pickles of their own get further.
    let plain = objects("I0\n", "I2\nI2\n", "I1\nI2\n");
    for round in 0..3000 {
        let original = match round % 3 {
            0 => ZIP.to_vec(),
            1 => LEGACY.to_vec(),
            _ => plain.clone(),
        };
        let mut copy = original;
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..copy.len());
            match random.random_range(0..3) {
                0 => copy[at] = random.random(),
                1 => copy[at] ^= 1 << random.random_range(0..8),
                _ => copy.truncate(at + 1),
            }
        }
        std::fs::write(&path, if round % 3 == 2 { with_objects(&copy) } else { copy }).unwrap();
        if let Ok(file) = arcface_models::weights::read(&path) {
            assert!(file.state.values().all(|tensor| tensor.elem_count() < ZIP.len()));
        }
    }
}
