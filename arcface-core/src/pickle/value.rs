//! A value of a pickle as its readers see it, and how readers say what they expected instead.
//! Knows no opcode, no tensor and no image.

use std::borrow::Cow;

use super::text::shortened;
use super::{Global, Id, Pickle};
use crate::{Error, Result};

/// A value as the machine keeps it, and the opcode that made it.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    pub(super) node: Node<'a>,
    pub(super) at: usize,
}

/// As [`Kind`], with numbers of values in place of values.
#[derive(Debug)]
pub(super) enum Node<'a> {
    None,
    Bool(bool),
    /// The bytes of an `i128`, whose alignment would make every value larger.
    Int([u8; 16]),
    Float(f64),
    Bytes(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Call {
        function: Global,
        arguments: Id,
        state: Option<Id>,
    },
    Persistent(Id),
}

/// A value of a pickle; copying it copies nothing of the pickle.
#[derive(Clone, Copy)]
pub struct Value<'p> {
    pickle: &'p Pickle<'p>,
    id: Id,
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'p> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 128 bits.
    Int(i128),
    /// A float.
    Float(f64),
    /// `bytes` or `bytearray`, or a `str` of Python 2.
    Bytes(&'p [u8]),
    /// A text.
    Text(&'p str),
    /// A list.
    List(Items<'p>),
    /// A tuple.
    Tuple(Items<'p>),
    /// A set, frozen or not, in the order of the pickle.
    Set(Items<'p>),
    /// A dict, ordered or not, in the order of the pickle.
    Dict(Entries<'p>),
    /// A name.
    Global(Global),
    /// What numpy or torch would make of some values.
    Call(Call<'p>),
    /// What stands outside the pickle, under this name.
    Persistent(Value<'p>),
}

/// A function of numpy's or torch's that was not called.
#[derive(Debug, Clone, Copy)]
pub struct Call<'p> {
    /// The function.
    pub function: Global,
    /// Its arguments.
    pub arguments: Items<'p>,
    /// What the result was to be given with `__setstate__`.
    pub state: Option<Value<'p>>,
}

/// Values in a row.
#[derive(Clone, Copy)]
pub struct Items<'p> {
    pickle: &'p Pickle<'p>,
    ids: &'p [Id],
}

/// Keys and values.
#[derive(Clone, Copy)]
pub struct Entries<'p> {
    pickle: &'p Pickle<'p>,
    ids: &'p [(Id, Id)],
}

impl<'p> Value<'p> {
    pub(super) fn new(pickle: &'p Pickle<'p>, id: Id) -> Self {
        Self { pickle, id }
    }

    /// What it is.
    pub fn kind(self) -> Kind<'p> {
        let items = |ids: &'p [Id]| Items { pickle: self.pickle, ids };
        match &self.pickle.slot(self.id).node {
            Node::None => Kind::None,
            Node::Bool(value) => Kind::Bool(*value),
            Node::Int(value) => Kind::Int(i128::from_ne_bytes(*value)),
            Node::Float(value) => Kind::Float(*value),
            Node::Bytes(bytes) => Kind::Bytes(bytes),
            Node::Text(text) => Kind::Text(text),
            Node::List(ids) => Kind::List(items(ids)),
            Node::Tuple(ids) => Kind::Tuple(items(ids)),
            Node::Set(ids) => Kind::Set(items(ids)),
            Node::Dict(ids) => Kind::Dict(Entries { pickle: self.pickle, ids }),
            Node::Global(global) => Kind::Global(*global),
            Node::Call { function, arguments, state } => {
                let arguments = self.pickle.value(*arguments).items_or_none();
                let state = state.map(|state| self.pickle.value(state));
                Kind::Call(Call { function: *function, arguments, state })
            }
            Node::Persistent(name) => Kind::Persistent(self.pickle.value(*name)),
        }
    }

    /// The byte of the opcode that made it.
    pub fn at(self) -> usize {
        self.pickle.slot(self.id).at
    }

    /// Whether both are one and the same value of one pickle.
    pub fn is(self, other: Self) -> bool {
        std::ptr::eq(self.pickle, other.pickle) && self.id == other.id
    }

    /// The items of a list or tuple.
    ///
    /// # Errors
    /// If it is something else; the error says that `what` was expected, and at which byte.
    pub fn items(self, what: &str) -> Result<Items<'p>> {
        match self.kind() {
            Kind::List(items) | Kind::Tuple(items) => Ok(items),
            _ => Err(self.unexpected(what)),
        }
    }

    /// The entries of a dict.
    ///
    /// # Errors
    /// As [`items`](Self::items).
    pub fn entries(self, what: &str) -> Result<Entries<'p>> {
        if let Kind::Dict(entries) = self.kind() { Ok(entries) } else { Err(self.unexpected(what)) }
    }

    /// A text, or a `str` of Python 2 that is UTF-8.
    ///
    /// # Errors
    /// As [`items`](Self::items).
    pub fn text(self, what: &str) -> Result<&'p str> {
        match self.kind() {
            Kind::Text(text) => Ok(text),
            Kind::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|_| self.unexpected(what)),
            _ => Err(self.unexpected(what)),
        }
    }

    /// Bytes.
    ///
    /// # Errors
    /// As [`items`](Self::items).
    pub fn bytes(self, what: &str) -> Result<&'p [u8]> {
        if let Kind::Bytes(bytes) = self.kind() { Ok(bytes) } else { Err(self.unexpected(what)) }
    }

    /// An integer.
    ///
    /// # Errors
    /// As [`items`](Self::items).
    pub fn int(self, what: &str) -> Result<i128> {
        if let Kind::Int(value) = self.kind() { Ok(value) } else { Err(self.unexpected(what)) }
    }

    /// An integer that is a count or place.
    ///
    /// # Errors
    /// As [`items`](Self::items), and if it is negative or too large.
    pub fn index(self, what: &str) -> Result<usize> {
        usize::try_from(self.int(what)?).map_err(|_| self.unexpected(what))
    }

    /// The error that `what` was expected here, at this byte, and not this.
    pub fn unexpected(self, what: &str) -> Error {
        Error::Invalid(format!("pickle, byte {}: expected {what}, got {}", self.at(), self.describe()))
    }

    /// A few words on it; never its whole content.
    pub fn describe(self) -> String {
        match self.kind() {
            Kind::None => "None".to_owned(),
            Kind::Bool(value) => if value { "True" } else { "False" }.to_owned(),
            Kind::Int(value) => format!("the integer {value}"),
            Kind::Float(value) => format!("the float {value}"),
            Kind::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Kind::Text(text) => format!("the text `{}`", shortened(text)),
            Kind::List(items) => format!("a list of {}", items.len()),
            Kind::Tuple(items) => format!("a tuple of {}", items.len()),
            Kind::Set(items) => format!("a set of {}", items.len()),
            Kind::Dict(entries) => format!("a dict of {}", entries.len()),
            Kind::Global(global) => format!("the name `{}`", global.name()),
            Kind::Call(call) => format!("what `{}` returns", call.function.name()),
            Kind::Persistent(_) => "a reference to something outside the pickle".to_owned(),
        }
    }

    /// Arguments are a tuple; the machine saw to it.
    fn items_or_none(self) -> Items<'p> {
        match self.kind() {
            Kind::Tuple(items) => items,
            _ => Items { pickle: self.pickle, ids: &[] },
        }
    }
}

/// A few words, so that no value that contains itself is followed.
impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Value({})", self.describe())
    }
}

impl<'p> Items<'p> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.ids.is_empty()
    }

    /// The item at `index`, from 0.
    pub fn get(self, index: usize) -> Option<Value<'p>> {
        self.ids.get(index).map(|id| self.pickle.value(*id))
    }

    /// All items in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Value<'p>> {
        self.ids.iter().map(move |id| self.pickle.value(*id))
    }
}

impl std::fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Items({})", self.len())
    }
}

impl<'p> Entries<'p> {
    /// How many there are; a key that was set twice counts twice.
    pub fn len(self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.ids.is_empty()
    }

    /// The value under the text `key`; the last one, as in Python, if it was set twice.
    pub fn get(self, key: &str) -> Option<Value<'p>> {
        let mut found = self.iter().rev().filter(|entry| entry.0.text("a text").is_ok_and(|text| text == key));
        found.next().map(|entry| entry.1)
    }

    /// All keys and values in order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = (Value<'p>, Value<'p>)> {
        self.ids.iter().map(move |(key, value)| (self.pickle.value(*key), self.pickle.value(*value)))
    }
}

impl std::fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entries({})", self.len())
    }
}
