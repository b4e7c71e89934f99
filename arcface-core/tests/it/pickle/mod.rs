//! Pickles of every protocol read as Python wrote them, and what damaged and hostile ones are answered with.

mod fixtures;
mod hostile;

use arcface_core::pickle::{Array, Global, Kind, Limits, Storage, Value, load, load_from, scalar};
use insta::assert_snapshot;

use fixtures::{
    CPICKLE_1, NUMPY_0, NUMPY_2, NUMPY_3, NUMPY_5, NUMPY_OLD, PLAIN_0, PLAIN_1, PLAIN_2, PLAIN_3, PLAIN_4, PLAIN_5,
    PYTHON2_0, PYTHON2_1, PYTHON2_2,
};

/// What Python's `repr` says, nearly.
fn render(value: Value<'_>) -> String {
    let list = |values: &mut dyn Iterator<Item = Value<'_>>| values.map(render).collect::<Vec<_>>().join(", ");
    match value.kind() {
        Kind::None => "None".to_owned(),
        Kind::Bool(value) => value.to_string(),
        Kind::Int(value) => value.to_string(),
        Kind::Float(value) => format!("{value:?}"),
        Kind::Bytes(bytes) => format!("b\"{}\"", bytes.escape_ascii()),
        Kind::Text(text) => format!("{text:?}"),
        Kind::List(items) => format!("[{}]", list(&mut items.iter())),
        Kind::Tuple(items) => format!("({})", list(&mut items.iter())),
        Kind::Set(items) => format!("set({})", list(&mut items.iter())),
        Kind::Dict(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", render(key), render(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Kind::Global(global) => global.name(),
        Kind::Call(call) => format!("{}({})", call.function.name(), list(&mut call.arguments.iter())),
        Kind::Persistent(name) => format!("persistent({})", render(name)),
    }
}

fn rendered(bytes: &[u8]) -> String {
    render(load(bytes).unwrap().root())
}

#[test]
fn plain_data_of_every_protocol() {
    let expected = rendered(PLAIN_3);
    assert_snapshot!(expected, @r#"[None, true, false, 0, 255, 65535, -1, 1099511627776, -1180591620717411303424, 1.5, "text é中😀\\u\n", b"\x00\xff\n", b"", (), (1), (1, 2), (1, 2, 3), (1, 2, 3, 4), {"a": 1, "b": {}}, [[7], [7]], set(5), set(6), {"x": 1, "y": 2}, b"ab\xfe"]"#);
    for bytes in [PLAIN_0, PLAIN_1, PLAIN_2, PLAIN_4, PLAIN_5] {
        assert_eq!(rendered(bytes), expected);
    }
}

#[test]
fn plain_data_of_python_2() {
    let expected = rendered(PYTHON2_2);
    assert_snapshot!(expected, @r#"[None, true, false, 0, 255, 65535, -1, 1099511627776, -1180591620717411303424, 1.5, "text é中\n", b"\x00\xff\n\'\"\\", b"", (), (1), (1, 2), (1, 2, 3), (1, 2, 3, 4), {b"a": 1}, [[7], [7]], set(5), set(6), {b"x": 1, b"y": 2}, b"ab\xfe", b"LLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLL"]"#);
    for bytes in [PYTHON2_0, PYTHON2_1, CPICKLE_1] {
        assert_eq!(rendered(bytes), expected);
    }
}

#[test]
fn a_value_that_was_shared_is_one_value() {
    for bytes in [PLAIN_0, PLAIN_2, PLAIN_5] {
        let pickle = load(bytes).unwrap();
        let both = pickle.root().items("a list").unwrap().get(19).unwrap().items("a list").unwrap();
        let [first, second] = [both.get(0).unwrap(), both.get(1).unwrap()];
        assert!(first.is(second));
        assert!(!first.is(pickle.root()));
    }
}

#[test]
fn arrays_of_numpy() {
    for bytes in [NUMPY_0, NUMPY_2, NUMPY_OLD, NUMPY_3, NUMPY_5] {
        let pickle = load(bytes).unwrap();
        let items = pickle.root().items("a list").unwrap();
        let array = |index| Array::of(items.get(index).unwrap()).unwrap();
        let integers = |index| array(index).integers().unwrap().collect::<Vec<_>>();
        assert!(array(0).element.is_byte() && array(0).bytes == [1, 2, 255] && array(0).shape == [3]);
        assert_eq!((integers(1), array(1).shape), (vec![1, 0], vec![2, 1]));
        assert_eq!(integers(2), [-1, 1 << 40]);
        assert_eq!(integers(3), [1, -2]);
        assert_eq!(scalar(items.get(4).unwrap()).unwrap(), 1);
        assert_eq!(scalar(items.get(5).unwrap()).unwrap(), -3);
        assert!(array(6).integers().is_none() && array(6).bytes == 0.5_f32.to_le_bytes());
        assert!(Array::of(items.get(4).unwrap()).is_err() && scalar(items.get(0).unwrap()).is_err());
    }
}

#[test]
fn a_tensor_of_torch_stays_a_call() {
    let bytes = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nHalfStorage\nX\x010\0\0\0X\x03\0\0\0cpuK\x06tQK\0K\x03\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR.";
    let bytes = bytes.replace_once(b"X\x010\0\0\0", b"X\x01\0\0\x000");
    let pickle = load(&bytes).unwrap();
    assert_snapshot!(render(pickle.root()), @r#"torch._utils._rebuild_tensor(persistent(("storage", torch.HalfStorage, "0", "cpu", 6)), 0, (3), (1), false, {})"#);
    let Kind::Call(call) = pickle.root().kind() else { panic!("{:?}", pickle.root()) };
    let Kind::Persistent(name) = call.arguments.get(0).unwrap().kind() else { panic!() };
    let Kind::Global(kind) = name.items("a tuple").unwrap().get(1).unwrap().kind() else { panic!() };
    assert_eq!(kind, Global::TorchStorage(Storage::Half));
}

trait ReplaceOnce {
    fn replace_once(&self, from: &[u8], to: &[u8]) -> Vec<u8>;
}

impl ReplaceOnce for [u8] {
    fn replace_once(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = self.windows(from.len()).position(|window| window == from).unwrap();
        [&self[..at], to, &self[at + from.len()..]].concat()
    }
}

#[test]
fn pickles_stand_one_behind_the_other() {
    let bytes = [b"skip".as_slice(), PLAIN_2, b"I5\n.", PLAIN_5].concat();
    let limits = Limits::default();
    let first = load_from(&bytes, 4, &limits).unwrap();
    let second = load_from(&bytes, first.end(), &limits).unwrap();
    let third = load_from(&bytes, second.end(), &limits).unwrap();
    assert_eq!(second.root().int("five").unwrap(), 5);
    assert_eq!((render(first.root()), third.end()), (render(third.root()), bytes.len()));
}

#[test]
fn the_last_of_equal_keys_wins() {
    let pickle = load(b"}(Va\nI1\nVa\nI2\nu.").unwrap();
    let entries = pickle.root().entries("a dict").unwrap();
    assert_eq!(entries.get("a").unwrap().int("a number").unwrap(), 2);
    assert!(entries.get("b").is_none());
}

#[test]
fn readers_say_what_they_expected() {
    let pickle = load(PLAIN_2).unwrap();
    let items = pickle.root().items("a list").unwrap();
    let told: Vec<String> = items.iter().map(|value| value.unexpected("a face").to_string()).collect();
    assert_snapshot!(told.join("\n"), @r"
    pickle, byte 6: expected a face, got None
    pickle, byte 7: expected a face, got True
    pickle, byte 8: expected a face, got False
    pickle, byte 9: expected a face, got the integer 0
    pickle, byte 11: expected a face, got the integer 255
    pickle, byte 13: expected a face, got the integer 65535
    pickle, byte 16: expected a face, got the integer -1
    pickle, byte 21: expected a face, got the integer 1099511627776
    pickle, byte 29: expected a face, got the integer -1180591620717411303424
    pickle, byte 40: expected a face, got the float 1.5
    pickle, byte 49: expected a face, got the text `text é中😀\\u\n`
    pickle, byte 118: expected a face, got 3 bytes
    pickle, byte 143: expected a face, got 0 bytes
    pickle, byte 146: expected a face, got a tuple of 0
    pickle, byte 149: expected a face, got a tuple of 1
    pickle, byte 156: expected a face, got a tuple of 2
    pickle, byte 165: expected a face, got a tuple of 3
    pickle, byte 177: expected a face, got a tuple of 4
    pickle, byte 180: expected a face, got a dict of 2
    pickle, byte 206: expected a face, got a list of 2
    pickle, byte 247: expected a face, got a set of 1
    pickle, byte 284: expected a face, got a set of 1
    pickle, byte 315: expected a face, got a dict of 2
    pickle, byte 389: expected a face, got 3 bytes
    ");
    assert_snapshot!(items.get(6).unwrap().index("a count").unwrap_err(), @"pickle, byte 16: expected a count, got the integer -1");
}
