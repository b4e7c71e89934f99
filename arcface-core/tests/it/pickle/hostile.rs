//! Truncated, damaged and malicious pickles: errors in words, and nothing that grows beyond the input.

use arcface_core::pickle::{Array, Kind, Limits, load, load_from, scalar};
use arcface_core::seed::{Purpose, rng};
use insta::assert_snapshot;
use rand::Rng;

use super::fixtures::{ALL, NUMPY_2, PLAIN_4};

fn refusal(bytes: &[u8]) -> String {
    load(bytes).unwrap_err().to_string()
}

#[test]
fn names_beyond_the_list_are_refused() {
    assert_snapshot!(refusal(b"cos\nsystem\n(Vrm -r\ntR."), @"pickle, byte 0: `os.system` is not among the names of plain data, numpy arrays and torch tensors; nothing was run: save arrays or a state dict alone");
    assert_snapshot!(refusal(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R."), @"pickle, byte 18: `builtins.eval` is not among the names of plain data, numpy arrays and torch tensors; nothing was run: save arrays or a state dict alone");
    assert_snapshot!(refusal(b"cnumpy.core.multiarray\nfromfile\n."), @"pickle, byte 0: `numpy.core.multiarray.fromfile` is not among the names of plain data, numpy arrays and torch tensors; nothing was run: save arrays or a state dict alone");
    assert_snapshot!(refusal(b"ctorch.storage\n_load_from_bytes\n."), @"pickle, byte 0: `torch.storage._load_from_bytes` is not among the names of plain data, numpy arrays and torch tensors; nothing was run: save arrays or a state dict alone");
    assert_snapshot!(refusal(b"(S'a'\nios\nsystem\n."), @"pickle, byte 6: instances of classes are no plain data; nothing was run");
    assert_snapshot!(refusal(b"\x82\x01."), @"pickle, byte 0: the registry of extensions is no plain data; nothing was run");
    assert_snapshot!(refusal(b"\x80\x05\x97."), @"pickle, byte 2: buffers outside the pickle are not supported; save without them");
    let long = format!("c{}\n{}\n.", "m".repeat(1000), "n".repeat(1000));
    assert_snapshot!(refusal(long.as_bytes()), @"pickle, byte 0: `mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm…` is not among the names of plain data, numpy arrays and torch tensors; nothing was run: save arrays or a state dict alone");
}

#[test]
fn damage_is_told_with_its_place() {
    assert_snapshot!(refusal(b""), @"pickle, byte 0: expected an opcode, found the end of the file; the pickle is truncated");
    assert_snapshot!(refusal(b"hello"), @"pickle, byte 0: nothing was put into the memo as 101");
    assert_snapshot!(refusal(b"\xff\xd8\xff"), @"pickle, byte 0: no opcode 0xff; this is no pickle, or a damaged one");
    assert_snapshot!(refusal(b"\x80\x09."), @"pickle, byte 0: expected a protocol from 0 to 5, got 9");
    assert_snapshot!(refusal(b"K"), @"pickle, byte 0: expected a value of 1 bytes, found 0 to the end; the pickle is truncated or damaged");
    assert_snapshot!(refusal(b"N"), @"pickle, byte 1: expected an opcode, found the end of the file; the pickle is truncated");
    assert_snapshot!(refusal(b"."), @"pickle, byte 0: expected a value on the stack, found none; the pickle is damaged");
    assert_snapshot!(refusal(b"N(."), @"pickle, byte 2: expected a value on the stack, found none; the pickle is damaged");
    assert_snapshot!(refusal(b"e."), @"pickle, byte 0: expected an open container, found none; the pickle is damaged");
    assert_snapshot!(refusal(b"\x87."), @"pickle, byte 0: expected 3 values on the stack, found 0; the pickle is damaged");
    assert_snapshot!(refusal(b"(]d."), @"pickle, byte 2: expected a value for every key of a dict; the pickle is damaged");
    assert_snapshot!(refusal(b"NNa."), @"pickle, byte 2: expected a list or set to add items to, got None of byte 0");
    assert_snapshot!(refusal(b"NNNs."), @"pickle, byte 3: expected a dict to add entries to, got None of byte 0");
    assert_snapshot!(refusal(b"h\x05."), @"pickle, byte 0: nothing was put into the memo as 5");
    assert_snapshot!(refusal(b"NNR."), @"pickle, byte 2: expected a name to call, got None of byte 0");
    assert_snapshot!(refusal(b"ccollections\nOrderedDict\nNR."), @"pickle, byte 26: expected a tuple of arguments, got None of byte 25");
    assert_snapshot!(refusal(b"ccollections\nOrderedDict\n(NtR."), @"pickle, byte 28: expected a list or tuple, got None of byte 26");
    assert_snapshot!(refusal(b"ccollections\nOrderedDict\n((lNatR."), @"pickle, byte 31: expected a list or tuple, got None of byte 28");
    assert_snapshot!(refusal(b"c_codecs\nencode\n(Va\nVutf-8\ntR."), @"pickle, byte 28: expected bytes, or a text to be encoded as latin1, got the text of byte 17");
    assert_snapshot!(refusal(b"c_codecs\nencode\n(V\\u4e2d\nVlatin1\ntR."), @"pickle, byte 34: expected characters of Latin-1, got `中`");
    assert_snapshot!(refusal(b"NNb."), @"pickle, byte 2: expected a value that takes a state, got None of byte 0");
    assert_snapshot!(refusal(b"Iseven\n."), @"pickle, byte 0: expected a whole number of at most 128 bits, got `seven`");
    assert_snapshot!(refusal(b"Fseven\n."), @"pickle, byte 0: expected a number, got `seven`");
    assert_snapshot!(refusal(b"S'open\n."), @"pickle, byte 0: expected a string in quotes");
    assert_snapshot!(refusal(b"T\xff\xff\xff\xff."), @"pickle, byte 0: expected a length, got -1");
    assert_snapshot!(refusal(b"X\x02\0\0\0\xc3\x28."), @"pickle, byte 0: expected UTF-8, got something else after 0 bytes");
    assert_snapshot!(refusal(b"\x8a\x11aaaaaaaaaaaaaaaaa."), @"pickle, byte 0: expected a whole number of at most 16 bytes, got 17");
    assert_snapshot!(refusal(b"pmany\n."), @"pickle, byte 0: expected a place in the memo, got `many`");
}

#[test]
fn lengths_beyond_the_end_allocate_nothing() {
    assert_snapshot!(refusal(b"B\xff\xff\xff\xff."), @"pickle, byte 0: expected a value of 4294967295 bytes, found 1 to the end; the pickle is truncated or damaged");
    assert_snapshot!(refusal(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff."), @"pickle, byte 0: expected a value of 18446744073709551615 bytes, found 1 to the end; the pickle is truncated or damaged");
    assert_snapshot!(refusal(b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f."), @"pickle, byte 2: expected a frame of 9223372036854775807 bytes, got 1; the pickle is truncated or damaged");
    assert_snapshot!(refusal(b"\x80\x05\x96\0\0\0\0\0\0\0\x40."), @"pickle, byte 2: expected a value of 4611686018427387904 bytes, found 1 to the end; the pickle is truncated or damaged");
}

#[test]
fn limits_hold() {
    let tight = Limits { values: 3, memo: 1, depth: 2, memory: 1000 };
    let refusal = |bytes: &[u8]| load_from(bytes, 0, &tight).unwrap_err().to_string();
    assert_snapshot!(refusal(b"]]]]."), @"pickle, byte 3: more than 3 values");
    assert_snapshot!(refusal(b"Np0\np1\n."), @"pickle, byte 4: more than 1 values in the memo");
    assert_snapshot!(refusal(b"((("), @"pickle, byte 2: more than 2 containers are open at once");
}

/// Seventeen million bytes may not become a gigabyte of values.
#[test]
fn values_take_little_more_memory_than_the_pickle_is_long() {
    for filling in [b"]".as_slice(), b")", b"K\x07", b"]2", b"N2", b"]\x94"] {
        let mut bytes = filling.repeat(17_000_000 / filling.len());
        bytes.push(b'.');
        let message = refusal(&bytes);
        assert!(message.contains("its values take 16777216 bytes more memory than it is long"), "{message}");
    }
    // None, False and True are kept once: a long list of bools is no reason to refuse.
    let mut bytes = b"(".to_vec();
    bytes.resize(1_000_000, b'\x88');
    bytes.extend(b"l.");
    assert_eq!(
        (load(&bytes).unwrap().len(), load(&bytes).unwrap().root().items("a list").unwrap().len()),
        (2, 999_999)
    );
}

/// A list that holds the one before it twice, again and again: Python would print 2^1000 items.
#[test]
fn a_list_that_doubles_a_thousand_times_stays_small() {
    let mut bytes = b"]".to_vec();
    (0..1000).for_each(|_| bytes.extend(b"2\x86"));
    bytes.push(b'.');
    let pickle = load(&bytes).unwrap();
    assert_eq!(pickle.len(), 1001);
    let mut bytes = b"]".to_vec();
    (0..1000).for_each(|_| bytes.extend(b"q\x00(h\x00h\x00l"));
    bytes.push(b'.');
    assert_eq!(load(&bytes).unwrap().len(), 1001);
}

#[test]
fn copying_one_value_again_and_again_is_refused() {
    let text = "a".repeat(1000);
    let mut bytes = format!("V{text}\np0\n0c_codecs\nencode\np1\n0Vlatin1\np2\n0(").into_bytes();
    (0..1000).for_each(|_| bytes.extend(b"h\x01h\x00h\x02\x86R"));
    bytes.extend(b"t.");
    assert_snapshot!(refusal(&bytes), @"pickle, byte 1118: values are copied again and again beyond the length of the pickle; it is damaged or hostile");
    let mut bytes = b"(".to_vec();
    (0..1000).for_each(|_| bytes.push(b'N'));
    bytes.extend(b"lp0\n0c__builtin__\nset\np1\n0(");
    (0..1000).for_each(|_| bytes.extend(b"h\x01h\x00\x85R"));
    bytes.extend(b"t.");
    assert_snapshot!(refusal(&bytes), @"pickle, byte 1075: values are copied again and again beyond the length of the pickle; it is damaged or hostile");
}

/// Nothing recurses: reading, looking at and dropping need no stack, however deep the values stand in each other.
#[test]
fn a_million_tuples_in_each_other() {
    let mut bytes = b")".to_vec();
    bytes.resize(1_000_000, b'\x85');
    bytes.push(b'.');
    let pickle = load_from(&bytes, 0, &Limits { memory: 1 << 30, ..Limits::default() }).unwrap();
    assert_eq!((pickle.len(), format!("{:?}", pickle.root())), (1_000_000, "Value(a tuple of 1)".to_owned()));
    let mut value = pickle.root();
    let mut depth = 0;
    while let Kind::Tuple(items) = value.kind()
        && let Some(inner) = items.get(0)
    {
        (value, depth) = (inner, depth + 1);
    }
    assert_eq!(depth, 999_999);
}

#[test]
fn a_list_may_hold_itself() {
    let pickle = load(b"]q\x00h\x00a.").unwrap();
    let inner = pickle.root().items("a list").unwrap().get(0).unwrap();
    assert!(inner.is(pickle.root()));
}

#[test]
fn arrays_that_are_not_what_they_say_are_refused() {
    let array = |bytes: &[u8]| Array::of(load(bytes).unwrap().root()).unwrap_err().to_string();
    let built = |state: &str| {
        let state = state.as_bytes();
        [b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR".as_slice(), state, b"b."].concat()
    };
    let dtype = |code: &str| format!("cnumpy\ndtype\n(V{code}\nI0\nI1\ntR");
    let bytes = |code: &str, shape: &str| array(&built(&format!("(I1\n({shape}t{}I0\nS'abc'\nt", dtype(code))));
    assert_snapshot!(array(b"N."), @"pickle, byte 0: expected a numpy array, got None");
    assert_snapshot!(array(&built("N")), @"pickle, byte 62: expected the state of a numpy array, got None");
    assert_snapshot!(array(&built("(t")), @"pickle, byte 61: expected a numpy array with an argument 3, got what `numpy.core.multiarray._reconstruct` returns");
    assert_snapshot!(bytes("u1", "I4\n"), @"pickle, byte 61: numpy array of shape [4], 1 bytes each: expected as many bytes, got 3");
    assert_snapshot!(bytes("u2", "I2\n"), @"pickle, byte 61: numpy array of shape [2], 2 bytes each: expected as many bytes, got 3");
    assert_snapshot!(bytes("u8", "I4611686018427387904\nI4611686018427387904\n"), @"pickle, byte 61: numpy array of shape [4611686018427387904, 4611686018427387904], 8 bytes each: expected as many bytes, got 3");
    assert_snapshot!(bytes("u1", "I-3\n"), @"pickle, byte 67: expected a length of a numpy array, got the integer -3");
    assert_snapshot!(bytes("O", "I3\n"), @"pickle, byte 85: expected a numpy dtype of bools, integers or floats, got the text `O`");
    assert_snapshot!(bytes("S3", "I1\n"), @"pickle, byte 85: expected a numpy dtype of bools, integers or floats, got the text `S3`");
    let of = |code: &str| {
        let bytes = format!("cnumpy.core.multiarray\nscalar\n({}S'ab'\ntR.", dtype(code));
        scalar(load(bytes.as_bytes()).unwrap().root()).unwrap_err().to_string()
    };
    assert_snapshot!(of("f2"), @"pickle, byte 64: expected a numpy bool or integer, got what `numpy.core.multiarray.scalar` returns");
    assert_snapshot!(of("i4"), @"pickle, byte 64: expected a numpy bool or integer, got what `numpy.core.multiarray.scalar` returns");
}

/// Looks at everything that was read, to the depth that readers go to.
fn look(bytes: &[u8]) {
    let Ok(pickle) = load(bytes) else { return };
    assert!(pickle.len() <= bytes.len() && pickle.end() <= bytes.len());
    let Ok(items) = pickle.root().items("a list") else { return };
    for value in items.iter() {
        let _ = (Array::of(value).map(|array| array.integers().map(Iterator::count)), scalar(value), value.describe());
    }
}

#[test]
fn thousands_of_damaged_copies_are_read_or_refused() {
    let mut random = rng(0, Purpose::Testing, 0, 0);
    for original in ALL {
        (0..original.len()).for_each(|end| assert!(load(&original[..end]).is_err(), "cut at {end}"));
        for _ in 0..1500 {
            let mut copy = original.to_vec();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..copy.len());
                match random.random_range(0..3) {
                    0 => copy[at] = random.random(),
                    1 => copy[at] ^= 1 << random.random_range(0..8),
                    _ => drop(copy.splice(at..at, ALL[random.random_range(0..ALL.len())][..20].iter().copied())),
                }
            }
            look(&copy);
        }
    }
}

/// Programs of opcodes alone, which get further than damaged copies.
#[test]
fn thousands_of_random_programs_are_read_or_refused() {
    let mut random = rng(0, Purpose::Testing, 0, 1);
    let pieces: Vec<&[u8]> = vec![
        b"(",
        b"]",
        b"}",
        b")",
        b"N",
        b"K\x01",
        b"l",
        b"t",
        b"d",
        b"e",
        b"a",
        b"s",
        b"u",
        b"R",
        b"b",
        b"0",
        b"1",
        b"2",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x8f",
        b"\x90",
        b"\x91",
        b"\x94",
        b"h\x00",
        b"h\x01",
        b"q\x00",
        b"q\x01",
        b"Q",
        b"\x81",
        b"Va\n",
        b"S'b'\n",
        b"cnumpy\ndtype\n",
        b"ccollections\nOrderedDict\n",
        b"c__builtin__\nset\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"c__builtin__\nbytearray\n",
        b"Vlatin1\n",
        b"c_codecs\nencode\n",
    ];
    let mut read = 0;
    for _ in 0..20_000 {
        let mut program: Vec<u8> = Vec::new();
        (0..random.random_range(1..25)).for_each(|_| program.extend(pieces[random.random_range(0..pieces.len())]));
        program.push(b'.');
        read += usize::from(load(&program).is_ok());
        look(&program);
    }
    assert!(500 < read, "only {read} programs ran to their end");
}

#[test]
fn whole_fixtures_are_looked_at() {
    look(PLAIN_4);
    look(NUMPY_2);
}
