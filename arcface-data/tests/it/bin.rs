//! Verification sets in one file: from every Python, written for it, and damaged.

use std::path::Path;

use arcface_core::seed::{Purpose, rng};
use arcface_data::image::encode_png;
use arcface_data::pairs::Pair;
use arcface_data::{PairList, PairSet, read_bin, write_bin};
use insta::assert_snapshot;
use rand::Rng;

use crate::support::{folder, message, noise};

// Of ([b"one", b"two\xff\n", b"three", b"four"], [True, False]). Python 3.11.7 with numpy 2.4.6 made PYTHON3 and ARRAYS:
// there the images are arrays of bytes, the bools an array (2, its modules called `numpy.core`) or numpy's own (5).
// Python 2.7.18 made PYTHON2, with cPickle.
const PYTHON3_0: &[u8] = b"((lp0\nc_codecs\nencode\np1\n(Vone\np2\nVlatin1\np3\ntp4\nRp5\nag1\n(Vtwo\xff\\u000a\np6\ng3\ntp7\nRp8\nag1\n(Vthree\np9\ng3\ntp10\nRp11\nag1\n(Vfour\np12\ng3\ntp13\nRp14\na(lp15\nI01\naI00\natp16\n.";
const PYTHON3_2: &[u8] = b"\x80\x02]q\x00(c_codecs\nencode\nq\x01X\x03\x00\x00\x00oneq\x02X\x06\x00\x00\x00latin1q\x03\x86q\x04Rq\x05h\x01X\x06\x00\x00\x00two\xc3\xbf\nq\x06h\x03\x86q\x07Rq\x08h\x01X\x05\x00\x00\x00threeq\x09h\x03\x86q\nRq\x0bh\x01X\x04\x00\x00\x00fourq\x0ch\x03\x86q\x0dRq\x0ee]q\x0f(\x88\x89e\x86q\x10.";
const PYTHON3_5: &[u8] = b"\x80\x05\x95*\x00\x00\x00\x00\x00\x00\x00]\x94(C\x03one\x94C\x05two\xff\n\x94C\x05three\x94C\x04four\x94e]\x94(\x88\x89e\x86\x94.";
const ARRAYS_2: &[u8] = b"\x80\x02]q\x00(cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85q\x03c_codecs\nencode\nq\x04X\x01\x00\x00\x00bq\x05X\x06\x00\x00\x00latin1q\x06\x86q\x07Rq\x08\x87q\x09Rq\n(K\x01K\x03\x85q\x0bcnumpy\ndtype\nq\x0cX\x02\x00\x00\x00u1q\x0d\x89\x88\x87q\x0eRq\x0f(K\x03X\x01\x00\x00\x00|q\x10NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x11b\x89h\x04X\x03\x00\x00\x00oneq\x12h\x06\x86q\x13Rq\x14tq\x15bh\x01h\x02K\x00\x85q\x16h\x08\x87q\x17Rq\x18(K\x01K\x05\x85q\x19h\x0f\x89h\x04X\x06\x00\x00\x00two\xc3\xbf\nq\x1ah\x06\x86q\x1bRq\x1ctq\x1dbh\x01h\x02K\x00\x85q\x1eh\x08\x87q\x1fRq (K\x01K\x05\x85q!h\x0f\x89h\x04X\x05\x00\x00\x00threeq\"h\x06\x86q#Rq$tq%bh\x01h\x02K\x00\x85q&h\x08\x87q'Rq((K\x01K\x04\x85q)h\x0f\x89h\x04X\x04\x00\x00\x00fourq*h\x06\x86q+Rq,tq-beh\x01h\x02K\x00\x85q.h\x08\x87q/Rq0(K\x01K\x02\x85q1h\x0cX\x02\x00\x00\x00b1q2\x89\x88\x87q3Rq4(K\x03h\x10NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq5b\x89h\x04X\x02\x00\x00\x00\x01\x00q6h\x06\x86q7Rq8tq9b\x86q:.";
const ARRAYS_5: &[u8] = b"\x80\x05\x956\x01\x00\x00\x00\x00\x00\x00]\x94(\x8c\x13numpy._core.numeric\x94\x8c\x0b_frombuffer\x94\x93\x94(\x96\x03\x00\x00\x00\x00\x00\x00\x00one\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bK\x03\x85\x94\x8c\x01C\x94t\x94R\x94h\x03(\x96\x05\x00\x00\x00\x00\x00\x00\x00two\xff\n\x94h\nK\x05\x85\x94h\x0et\x94R\x94h\x03(\x96\x05\x00\x00\x00\x00\x00\x00\x00three\x94h\nK\x05\x85\x94h\x0et\x94R\x94h\x03(\x96\x04\x00\x00\x00\x00\x00\x00\x00four\x94h\nK\x04\x85\x94h\x0et\x94R\x94e]\x94(\x8c\x16numpy._core.multiarray\x94\x8c\x06scalar\x94\x93\x94h\x07\x8c\x02b1\x94\x89\x88\x87\x94R\x94(K\x03h\x0bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bC\x01\x01\x94\x86\x94R\x94h h#C\x01\x00\x94\x86\x94R\x94e\x86\x94.";
const PYTHON2_0: &[u8] =
    b"((lp1\nS'one'\np2\naS'two\\xff\\n'\np3\naS'three'\np4\naS'four'\np5\na(lp6\nI01\naI00\natp7\n.";
const PYTHON2_2: &[u8] =
    b"\x80\x02]q\x01(U\x03oneq\x02U\x05two\xff\nq\x03U\x05threeq\x04U\x04fourq\x05e]q\x06(\x88\x89e\x86q\x07.";

const ALL: [&[u8]; 7] = [PYTHON3_0, PYTHON3_2, PYTHON3_5, ARRAYS_2, ARRAYS_5, PYTHON2_0, PYTHON2_2];

/// A file of `bytes` in a folder of its own.
fn file(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.bin");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn images(set: &PairSet) -> Vec<Vec<u8>> {
    set.images.iter().map(|image| set.source.encoded(*image).unwrap().unwrap().into_owned()).collect()
}

#[test]
fn sets_of_every_python_are_the_same() {
    for bytes in ALL {
        let (_folder, path) = file(bytes);
        let set = read_bin(&path).unwrap();
        assert_eq!(images(&set), [&b"one"[..], b"two\xff\n", b"three", b"four"]);
        assert_eq!((set.list.same(), set.list.folds()), (vec![true, false], vec![0, 1]));
        assert_eq!(set.positions, [[0, 1], [2, 3]]);
        assert_eq!((set.list.pairs[1].a.as_str(), set.list.pairs[1].b.as_str()), ("2", "3"));
    }
}

fn pair(a: &str, b: &str, same: bool, fold: usize) -> Pair {
    Pair { a: a.to_owned(), b: b.to_owned(), same, fold }
}

/// That Python reads such a file with `pickle.load`, to the bytes of the files, was tried with 3.11.7.
#[test]
fn what_is_written_is_read_again() {
    let root = folder(&[("anna", 2), ("ben", 2)], 16);
    let [anna, ben] = ["anna/anna_0001", "ben/ben_0002"];
    let pairs = vec![pair(anna, ben, false, 1), pair(anna, anna, true, 0), pair(ben, "ben/ben_0001", true, 1)];
    let set = PairList::new(pairs, "list").resolve(root.path()).unwrap();
    let path = root.path().join("faces.bin");
    write_bin(&path, &set).unwrap();
    let read = read_bin(&path).unwrap();
    assert_eq!(read.list.same(), [true, false, true], "pairs are sorted by their folds");
    let encoded = |key: &str| std::fs::read(root.path().join(format!("{key}.png"))).unwrap();
    let expected = [anna, anna, anna, ben, ben, "ben/ben_0001"].map(encoded);
    assert_eq!(images(&read), expected);
    assert_eq!(read.source.image(5).unwrap(), noise(16, 1));
    assert_eq!(read.source.dimensions(3).unwrap(), (16, 16));
    let again = root.path().join("again.bin");
    write_bin(&again, &read).unwrap();
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&again).unwrap());
}

#[test]
fn a_face_that_is_no_image_is_not_written() {
    let root = folder(&[("anna", 2)], 16);
    std::fs::write(root.path().join("anna/anna_0002.png"), "text").unwrap();
    let list = PairList::new(vec![pair("anna/anna_0001", "anna/anna_0002", true, 0)], "list");
    let path = root.path().join("faces.bin");
    let written = write_bin(&path, &list.resolve(root.path()).unwrap());
    assert_snapshot!(message(written, root.path()), @"ROOT/faces.bin: ROOT/anna/anna_0002.png: expected a JPEG or PNG image, the file begins with [74, 65, 78, 74]; nothing was overwritten");
    assert!(!path.exists());
}

fn refusal(bytes: &[u8]) -> String {
    let (folder, path) = file(bytes);
    message(read_bin(&path), folder.path())
}

#[test]
fn files_that_hold_no_set_are_refused() {
    assert_snapshot!(message(read_bin(Path::new("nowhere.bin")), Path::new("ROOT")), @"nowhere.bin: no such file; check the path");
    assert_snapshot!(refusal(b""), @"ROOT/faces.bin: pickle, byte 0: expected an opcode, found the end of the file; the pickle is truncated");
    assert_snapshot!(refusal(b"\xff\xd8\xff\xe0"), @"ROOT/faces.bin: pickle, byte 0: no opcode 0xff; this is no pickle, or a damaged one");
    assert_snapshot!(refusal(b"N."), @"ROOT/faces.bin: pickle, byte 0: expected a list of images and a list of whether each pair is genuine, got None");
    assert_snapshot!(refusal(b"(NNNt."), @"ROOT/faces.bin: pickle, byte 4: expected a list of images and a list of whether each pair is genuine, got a tuple of 3");
    assert_snapshot!(refusal(b"(]]t."), @"ROOT/faces.bin: expected at least one pair, found none");
    assert_snapshot!(refusal(b"((lp0\nS'a'\na(lI01\nat."), @"ROOT/faces.bin: images: expected two for each of 1 pairs, got 1");
    assert_snapshot!(refusal(b"((lS'a'\naI7\na(lI01\nat."), @"ROOT/faces.bin: pickle, byte 9: expected an encoded image: bytes, or a numpy array of bytes, got the integer 7");
    assert_snapshot!(refusal(b"((lS'a'\naS'b'\na(lI2\nat."), @"ROOT/faces.bin: pickle, byte 17: expected a bool or 0 or 1 (found 2), got the integer 2");
    assert_snapshot!(refusal(b"((lS'a'\naS'b'\na(lVx\nat."), @"ROOT/faces.bin: pickle, byte 17: expected a bool, got the text `x`");
    assert_snapshot!(refusal(b"((lS'a'\naS'b'\naI1\nt."), @"ROOT/faces.bin: pickle, byte 15: expected a list of bools, got the integer 1");
    assert_snapshot!(refusal(b"cos\nsystem\n(S'true'\ntR."), @"ROOT/faces.bin: pickle, byte 0: `os.system` is not among the names of plain data, numpy arrays and torch tensors; nothing was run: save arrays or a state dict alone");
}

/// Python writes an object once, in however many pairs it is.
#[test]
fn an_image_in_many_pairs_stands_once() {
    let items = format!("S'aaaaaaaaaaaaaaaaaaaa'\np0\n{}", "g0\n".repeat(39));
    let (_folder, path) = file(format!("(({items}l({}lt.", "I1\n".repeat(20)).as_bytes());
    assert_eq!(images(&read_bin(&path).unwrap()), vec![vec![b'a'; 20]; 40]);
}

#[test]
fn many_arrays_over_the_same_bytes_are_refused() {
    let long = "a".repeat(2000);
    let dtype = "cnumpy\ndtype\n(Vu1\ntRp3\n(I2000\ntp4\n";
    let first = format!("cnumpy.core.numeric\n_frombuffer\np1\n(S'{long}'\np2\n{dtype}tR");
    let others = "g1\n(g2\ng3\ng4\ntR".repeat(39);
    assert_snapshot!(refusal(format!("(({first}{others}l({}lt.", "I1\n".repeat(20)).as_bytes()), @"ROOT/faces.bin: pickle, byte 2095: expected images that are no longer than the file, together, got what `numpy.core.numeric._frombuffer` returns");
}

#[test]
fn images_that_are_none_are_named_when_they_are_read() {
    let (folder, path) = file(PYTHON3_5);
    let set = read_bin(&path).unwrap();
    assert_snapshot!(message(set.source.image(2), folder.path()), @"ROOT/faces.bin: image 2: expected a JPEG or PNG image, the file begins with [74, 68, 72, 65]");
    assert_snapshot!(message(set.source.dimensions(0), folder.path()), @"ROOT/faces.bin: image 0: expected a JPEG or PNG image, the file begins with [6f, 6e, 65]");
}

#[test]
fn thousands_of_damaged_copies_are_read_or_refused() {
    let png = encode_png(&noise(8, 0)).unwrap();
    let mut random = rng(0, Purpose::Testing, 0, 4);
    let (_folder, path) = file(b"");
    for round in 0..2000 {
        let mut copy = ALL[round % ALL.len()].to_vec();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..copy.len());
            match random.random_range(0..3) {
                0 => copy[at] = random.random(),
                1 => copy[at] ^= 1 << random.random_range(0..8),
                _ => drop(copy.splice(at..at, png.iter().copied())),
            }
        }
        std::fs::write(&path, &copy).unwrap();
        if let Ok(set) = read_bin(&path) {
            assert!(images(&set).iter().map(Vec::len).sum::<usize>() <= copy.len());
            set.images.iter().for_each(|image| drop(set.source.image(*image)));
        }
    }
}
