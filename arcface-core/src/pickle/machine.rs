//! The machine that a pickle is a program for: a stack, marks in it, and a memo.
//! Knows how values are put together, not what numpy or torch would make of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::bytes::{Bytes, Said};
use super::text::{integer, long, shortened, unescaped, unquoted};
use super::value::{Node, Slot};
use super::{Global, Id, Limits, Pickle};

/// The latest protocol there is.
const PROTOCOL: u8 = 5;

/// What a value takes at most, in bytes, in a list that grows by doubling, with the least that a container allocates.
const SLOT: usize = 2 * size_of::<Slot<'_>>() + 16;

/// What an entry of the memo takes at most, in bytes: a key and a value in a tree whose nodes may be half empty.
const MEMORISED: usize = 24;

/// Runs the program that begins at byte `start`; an error tells the byte of the opcode.
pub(super) fn run(bytes: &[u8], start: usize, limits: Limits) -> Result<Pickle<'_>, (usize, String)> {
    let mut machine = Machine {
        input: Bytes::new(bytes, start),
        slots: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        limits,
        constants: [None; 3],
        spent: 0,
        copied: 0,
        at: start,
    };
    loop {
        machine.at = machine.input.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => return Ok(Pickle { slots: machine.slots, root, end: machine.input.at }),
            Err(message) => return Err((machine.at, message)),
        }
    }
}

pub(super) struct Machine<'a> {
    input: Bytes<'a>,
    pub(super) slots: Vec<Slot<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at which containers were opened.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
    limits: Limits,
    /// None, False and True, once they were made.
    constants: [Option<Id>; 3],
    /// Bytes of memory taken for values.
    spent: usize,
    /// Bytes and items that were copied out of other values.
    copied: usize,
    /// The opcode that is being run.
    at: usize,
}

impl<'a> Machine<'a> {
    /// Runs one opcode; the value of the pickle if it was the last.
    fn step(&mut self) -> Said<Option<Id>> {
        let opcode =
            self.input.u8().map_err(|_| "expected an opcode, found the end of the file; the pickle is truncated")?;
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => self.protocol()?,
            0x95 => self.frame()?,
            b'(' => self.mark()?,
            b'0' => self.discard()?,
            b'1' => drop(self.pop_mark()?),
            b'2' => self.stack(self.top()?)?,
            b'N' => self.constant(0, Node::None)?,
            0x88 | 0x89 => self.constant(usize::from(opcode - 0x87), Node::Bool(opcode == 0x88))?,
            b'g' | b'h' | b'j' => self.recall(opcode)?,
            b'p' | b'q' | b'r' | 0x94 => self.remember(opcode)?,
            b'a' | b'e' | 0x90 => self.append(opcode)?,
            b's' | b'u' => self.set(opcode)?,
            b'R' | 0x81 => self.reduce()?,
            b'b' => self.build()?,
            b'i' | b'o' | 0x92 => return Err("instances of classes are no plain data; nothing was run".to_owned()),
            0x82..=0x84 => return Err("the registry of extensions is no plain data; nothing was run".to_owned()),
            0x97 | 0x98 => return Err("buffers outside the pickle are not supported; save without them".to_owned()),
            _ => {
                let node = self.literal(opcode)?;
                self.push(node)?;
            }
        }
        Ok(None)
    }

    /// The value that an opcode makes of itself, its argument and the stack.
    fn literal(&mut self, opcode: u8) -> Said<Node<'a>> {
        Ok(match opcode {
            b'I' => decimal(self.input.ascii_line()?)?,
            b'L' => int(integer(self.input.ascii_line()?)?),
            b'J' => int(self.input.i32()?),
            b'K' => int(self.input.u8()?),
            b'M' => int(self.input.u16()?),
            0x8a | 0x8b => int(long(self.counted(opcode)?)?),
            b'F' => Node::Float(float(self.input.ascii_line()?)?),
            b'G' => Node::Float(f64::from_be_bytes(self.input.array()?)),
            b'S' => Node::Bytes(unquoted(self.input.line()?)?),
            b'V' => Node::Text(unescaped(self.input.line()?)?),
            b'T' | b'U' | b'B' | b'C' | 0x8e | 0x96 => Node::Bytes(Cow::Borrowed(self.counted(opcode)?)),
            b'X' | 0x8c | 0x8d => Node::Text(Cow::Borrowed(utf8(self.counted(opcode)?)?)),
            b']' => Node::List(Vec::new()),
            b'}' => Node::Dict(Vec::new()),
            b')' => Node::Tuple(Vec::new()),
            0x8f => Node::Set(Vec::new()),
            b'l' => Node::List(self.pop_mark()?),
            b't' => Node::Tuple(self.pop_mark()?),
            0x91 => Node::Set(self.pop_mark()?),
            b'd' => Node::Dict(paired(&self.pop_mark()?)?),
            0x85..=0x87 => Node::Tuple(self.pop_many(usize::from(opcode - 0x84))?),
            b'c' | 0x93 => Node::Global(self.global(opcode)?),
            b'P' => Node::Persistent(self.named()?),
            b'Q' => Node::Persistent(self.pop()?),
            _ => return Err(format!("no opcode 0x{opcode:02x}; this is no pickle, or a damaged one")),
        })
    }

    /// The bytes behind their own length, which is as wide as the opcode says.
    fn counted(&mut self, opcode: u8) -> Said<&'a [u8]> {
        let length = match opcode {
            b'U' | b'C' | 0x8c | 0x8a => self.input.u8()?.into(),
            b'X' | b'B' => self.input.u32()?.into(),
            b'T' | 0x8b => {
                let length = self.input.i32()?;
                u64::try_from(length).map_err(|_| format!("expected a length, got {length}"))?
            }
            _ => self.input.u64()?,
        };
        self.input.take(length)
    }

    fn protocol(&mut self) -> Said<()> {
        let protocol = self.input.u8()?;
        if PROTOCOL < protocol {
            return Err(format!("expected a protocol from 0 to {PROTOCOL}, got {protocol}"));
        }
        Ok(())
    }

    /// A frame only says that so many bytes follow.
    fn frame(&mut self) -> Said<()> {
        let (length, left) = (self.input.u64()?, self.input.left());
        if (left as u64) < length {
            return Err(format!("expected a frame of {length} bytes, got {left}; the pickle is truncated or damaged"));
        }
        Ok(())
    }

    fn mark(&mut self) -> Said<()> {
        if self.limits.depth <= self.marks.len() {
            return Err(format!("more than {} containers are open at once", self.limits.depth));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Takes away the top of the stack, which may be a mark.
    fn discard(&mut self) -> Said<()> {
        match self.marks.last() {
            Some(mark) if *mark == self.stack.len() => drop(self.marks.pop()),
            _ => drop(self.pop()?),
        }
        Ok(())
    }

    pub(super) fn push(&mut self, node: Node<'a>) -> Said<()> {
        if self.limits.values.min(Id::MAX as usize) <= self.slots.len() {
            return Err(format!("more than {} values", self.limits.values));
        }
        self.spend(SLOT)?;
        self.slots.push(Slot { node, at: self.at });
        self.stack(self.slots.len() as Id - 1)
    }

    /// Pushes a value that takes one byte of the pickle and is the same wherever it stands: it is kept once.
    fn constant(&mut self, which: usize, node: Node<'a>) -> Said<()> {
        if let Some(id) = self.constants[which] {
            return self.stack(id);
        }
        self.constants[which] = Some(self.slots.len() as Id);
        self.push(node)
    }

    fn stack(&mut self, id: Id) -> Said<()> {
        // Twice for a stack that grows by doubling, once for the container into which it goes.
        self.spend(3 * size_of::<Id>())?;
        self.stack.push(id);
        Ok(())
    }

    /// Counts memory that is taken and not given back before the end.
    fn spend(&mut self, bytes: usize) -> Said<()> {
        self.spent += bytes;
        if self.input.total().saturating_add(self.limits.memory) < self.spent {
            return Err(format!(
                "its values take {} bytes more memory than it is long; it is damaged or hostile",
                self.limits.memory
            ));
        }
        Ok(())
    }

    /// The height below which the stack belongs to an outer container.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Said<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top(&self) -> Said<Id> {
        let own = &self.stack[self.floor()..];
        own.last().copied().ok_or_else(|| "expected a value on the stack, found none; the pickle is damaged".to_owned())
    }

    /// The `count` values at the top, the topmost last.
    fn pop_many(&mut self, count: usize) -> Said<Vec<Id>> {
        let own = self.stack.len() - self.floor();
        if own < count {
            return Err(format!("expected {count} values on the stack, found {own}; the pickle is damaged"));
        }
        Ok(self.take_from(self.stack.len() - count))
    }

    fn pop_mark(&mut self) -> Said<Vec<Id>> {
        let mark = self.marks.pop().ok_or("expected an open container, found none; the pickle is damaged")?;
        Ok(self.take_from(mark))
    }

    /// The stack from height `from` on, in no more memory than that.
    fn take_from(&mut self, from: usize) -> Vec<Id> {
        self.stack.drain(from..).collect()
    }

    fn remember(&mut self, opcode: u8) -> Said<()> {
        let key = if opcode == 0x94 { self.memo.len() as u32 } else { self.memo_key(opcode)? };
        if self.memo.insert(key, self.top()?).is_none() {
            self.spend(MEMORISED)?;
        }
        if self.limits.memo < self.memo.len() {
            return Err(format!("more than {} values in the memo", self.limits.memo));
        }
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Said<()> {
        let key = self.memo_key(opcode)?;
        let id = self.memo.get(&key).ok_or_else(|| format!("nothing was put into the memo as {key}"))?;
        self.stack(*id)
    }

    fn memo_key(&mut self, opcode: u8) -> Said<u32> {
        match opcode {
            b'h' | b'q' => Ok(self.input.u8()?.into()),
            b'j' | b'r' => self.input.u32(),
            _ => {
                let line = self.input.ascii_line()?;
                line.parse().map_err(|_| format!("expected a place in the memo, got `{}`", shortened(line)))
            }
        }
    }

    /// APPEND, APPENDS or ADDITEMS.
    fn append(&mut self, opcode: u8) -> Said<()> {
        let items = if opcode == b'a' { self.pop_many(1)? } else { self.pop_mark()? };
        let container = self.top()?;
        match &mut self.slots[container as usize].node {
            Node::List(own) if opcode != 0x90 => own.extend(items),
            Node::Set(own) if opcode == 0x90 => own.extend(items),
            _ => return Err(self.mismatch("a list or set to add items to", container)),
        }
        Ok(())
    }

    /// SETITEM or SETITEMS.
    fn set(&mut self, opcode: u8) -> Said<()> {
        let items = if opcode == b's' { self.pop_many(2)? } else { self.pop_mark()? };
        let entries = paired(&items)?;
        let container = self.top()?;
        let Node::Dict(own) = &mut self.slots[container as usize].node else {
            return Err(self.mismatch("a dict to add entries to", container));
        };
        own.extend(entries);
        Ok(())
    }

    /// GLOBAL or `STACK_GLOBAL`.
    fn global(&mut self, opcode: u8) -> Said<Global> {
        let (module, name) = if opcode == b'c' {
            (Cow::Borrowed(self.input.ascii_line()?), Cow::Borrowed(self.input.ascii_line()?))
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            (self.text(module)?, self.text(name)?)
        };
        Global::find(&module, &name).ok_or_else(|| {
            let name = shortened(&format!("{module}.{name}"));
            format!("`{name}` is not among the names of plain data, numpy arrays and torch tensors; nothing was run: save arrays or a state dict alone")
        })
    }

    fn text(&self, id: Id) -> Said<Cow<'a, str>> {
        match &self.slots[id as usize].node {
            // Names are short; a text that was escaped is copied.
            Node::Text(Cow::Owned(text)) => Ok(Cow::Owned(shortened(text))),
            Node::Text(Cow::Borrowed(text)) => Ok(Cow::Borrowed(*text)),
            _ => Err(self.mismatch("the text of a name", id)),
        }
    }

    /// The name of a persistent value on a line, as a value.
    fn named(&mut self) -> Said<Id> {
        let line = self.input.ascii_line()?;
        self.push(Node::Text(Cow::Borrowed(line)))?;
        self.pop()
    }

    /// REDUCE or NEWOBJ: the call of a name on the list.
    fn reduce(&mut self) -> Said<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Node::Global(function) = self.slots[function as usize].node else {
            return Err(self.mismatch("a name to call", function));
        };
        if !matches!(self.slots[arguments as usize].node, Node::Tuple(_)) {
            return Err(self.mismatch("a tuple of arguments", arguments));
        }
        let node = self.call(function, arguments)?;
        self.push(node)
    }

    /// BUILD: the state of the value below it. That of an `OrderedDict` are attributes, which are no entries of it.
    fn build(&mut self) -> Said<()> {
        let (given, built) = (self.pop()?, self.top()?);
        match &mut self.slots[built as usize].node {
            Node::Call { state, .. } => *state = Some(given),
            Node::Dict(_) => {}
            _ => return Err(self.mismatch("a value that takes a state", built)),
        }
        Ok(())
    }

    /// Counts what is copied out of a value, since a pickle can name one value as often as it likes.
    pub(super) fn copy(&mut self, count: usize) -> Said<()> {
        self.copied = self.copied.saturating_add(count);
        if self.input.total() < self.copied {
            return Err(
                "values are copied again and again beyond the length of the pickle; it is damaged or hostile".into()
            );
        }
        Ok(())
    }

    pub(super) fn mismatch(&self, expected: &str, id: Id) -> String {
        let slot = &self.slots[id as usize];
        format!("expected {expected}, got {} of byte {}", kind_of(&slot.node), slot.at)
    }
}

/// Consecutive values as keys and values.
fn paired(items: &[Id]) -> Said<Vec<(Id, Id)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("expected a value for every key of a dict; the pickle is damaged".to_owned());
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}

fn int(value: impl Into<i128>) -> Node<'static> {
    Node::Int(value.into().to_ne_bytes())
}

/// Protocols 0 and 1 write `True` as `01` and `False` as `00`.
fn decimal(line: &str) -> Said<Node<'static>> {
    match line {
        "01" => Ok(Node::Bool(true)),
        "00" => Ok(Node::Bool(false)),
        number => integer(number).map(int),
    }
}

fn float(line: &str) -> Said<f64> {
    line.parse().map_err(|_| format!("expected a number, got `{}`", shortened(line)))
}

fn utf8(bytes: &[u8]) -> Said<&str> {
    std::str::from_utf8(bytes)
        .map_err(|error| format!("expected UTF-8, got something else after {} bytes", error.valid_up_to()))
}

fn kind_of(node: &Node<'_>) -> &'static str {
    match node {
        Node::None => "None",
        Node::Bool(_) => "a bool",
        Node::Int(_) => "an integer",
        Node::Float(_) => "a float",
        Node::Bytes(_) => "the bytes",
        Node::Text(_) => "the text",
        Node::List(_) => "the list",
        Node::Tuple(_) => "the tuple",
        Node::Set(_) => "the set",
        Node::Dict(_) => "the dict",
        Node::Global(_) => "the name",
        Node::Call { .. } => "the value",
        Node::Persistent(_) => "the reference",
    }
}
