//! What calls of Python's own types stand for; those of numpy and torch are left as they are.
//! Knows no opcode.

use std::borrow::Cow;

use super::bytes::Said;
use super::machine::Machine;
use super::text::{is_latin1, latin1};
use super::value::Node;
use super::{Global, Id};

impl<'a> Machine<'a> {
    /// The value of `function` called with the tuple `arguments`.
    pub(super) fn call(&mut self, function: Global, arguments: Id) -> Said<Node<'a>> {
        match function {
            Global::List => Ok(Node::List(self.only_items(arguments)?)),
            Global::Tuple => Ok(Node::Tuple(self.only_items(arguments)?)),
            Global::Set => Ok(Node::Set(self.only_items(arguments)?)),
            Global::Dict => Ok(Node::Dict(self.only_entries(arguments)?)),
            Global::Bytes | Global::ByteArray | Global::Encode => Ok(Node::Bytes(self.encoded(arguments)?)),
            _ => Ok(Node::Call { function, arguments, state: None }),
        }
    }

    /// Nothing, or the items of the only argument.
    fn only_items(&mut self, arguments: Id) -> Said<Vec<Id>> {
        match self.items(arguments)? {
            [] => Ok(Vec::new()),
            [only] => self.copied_items(*only),
            _ => Err(self.mismatch("one argument at most", arguments)),
        }
    }

    fn copied_items(&mut self, id: Id) -> Said<Vec<Id>> {
        self.copy(self.items(id)?.len())?;
        Ok(self.items(id)?.to_vec())
    }

    /// Nothing, or the entries that the only argument lists as pairs.
    fn only_entries(&mut self, arguments: Id) -> Said<Vec<(Id, Id)>> {
        let pairs = self.only_items(arguments)?;
        let entry = |pair: Id| match self.items(pair)? {
            [key, value] => Ok((*key, *value)),
            _ => Err(self.mismatch("a key and a value", pair)),
        };
        pairs.into_iter().map(entry).collect()
    }

    fn items(&self, id: Id) -> Said<&[Id]> {
        match &self.slots[id as usize].node {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) => Ok(items),
            _ => Err(self.mismatch("a list or tuple", id)),
        }
    }

    /// The bytes of `bytes()`, `bytes(b"…")` or `encode("…", "latin1")`.
    fn encoded(&mut self, arguments: Id) -> Said<Cow<'a, [u8]>> {
        let (first, encoding) = match self.items(arguments)? {
            [] => return Ok(Cow::Borrowed(&[])),
            [first] => (*first, None),
            [first, encoding] => (*first, Some(*encoding)),
            _ => return Err(self.mismatch("two arguments at most", arguments)),
        };
        match (&self.slots[first as usize].node, encoding) {
            (Node::Bytes(Cow::Borrowed(bytes)), None) => Ok(Cow::Borrowed(*bytes)),
            (Node::Bytes(Cow::Owned(bytes)), None) => {
                let bytes = bytes.len();
                self.copy(bytes)?;
                self.copied_bytes(first)
            }
            (Node::Text(text), Some(encoding)) if self.names_latin1(encoding) => {
                let length = text.len();
                self.copy(length)?;
                self.latin1(first)
            }
            _ => Err(self.mismatch("bytes, or a text to be encoded as latin1", first)),
        }
    }

    fn copied_bytes(&self, id: Id) -> Said<Cow<'a, [u8]>> {
        match &self.slots[id as usize].node {
            Node::Bytes(bytes) => Ok(bytes.clone()),
            _ => Err(self.mismatch("bytes", id)),
        }
    }

    fn latin1(&self, id: Id) -> Said<Cow<'a, [u8]>> {
        match &self.slots[id as usize].node {
            Node::Text(text) => latin1(text).map(Cow::Owned),
            _ => Err(self.mismatch("a text", id)),
        }
    }

    fn names_latin1(&self, id: Id) -> bool {
        match &self.slots[id as usize].node {
            Node::Text(name) => is_latin1(name),
            Node::Bytes(name) => std::str::from_utf8(name).is_ok_and(is_latin1),
            _ => false,
        }
    }
}
