//! A restricted unpickler: it builds tensors' descriptions, containers, numbers and strings. Every
//! class or function outside a short allow-list becomes an inert stub. Nothing is ever executed.
//!
//! Time and memory are bounded by a number of steps that is itself at most the number of bytes:
//! each opcode is a step, and so is each element that an opcode copies. A step takes some hundred
//! bytes at most.

mod constants;
mod containers;
mod globals;
mod memo;
mod numpy;
mod objects;
mod opcodes;
mod reader;
mod value;

pub use globals::DType;
pub use value::{Heap, Object, Pair, StorageRef, TensorRef, Value, lookup};

use std::collections::HashMap;

use opcodes as op;
use reader::Reader;

/// A result whose error says what is wrong, without the name of the file.
pub type Fallible<T> = Result<T, String>;

/// More steps than any checkpoint takes: one of ten thousand tensors with its optimizer takes half
/// a million.
const MAX_STEPS: usize = 1 << 22;

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle<'a> {
    /// What was pickled.
    pub root: Value<'a>,
    /// The objects that it is made of.
    pub heap: Heap<'a>,
    /// The storages that it mentions.
    pub storages: Vec<StorageRef<'a>>,
    /// Bytes that it takes.
    pub length: usize,
}

/// Reads the pickle at the beginning of the bytes; others may follow.
pub fn read(bytes: &[u8]) -> Fallible<Pickle<'_>> {
    let mut machine = Machine {
        reader: Reader::new(bytes),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        heap: Heap::default(),
        storages: Vec::new(),
        steps: 0,
    };
    let root =
        machine.run().map_err(|reason| format!("{reason} (byte {} of the pickle)", machine.reader.position()))?;
    Ok(Pickle { root, heap: machine.heap, storages: machine.storages, length: machine.reader.position() })
}

/// The pickle machine: a stack, marks into it, a memo.
struct Machine<'a> {
    reader: Reader<'a>,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    heap: Heap<'a>,
    storages: Vec<StorageRef<'a>>,
    steps: usize,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Fallible<Value<'a>> {
        loop {
            self.spend(1)?;
            let opcode = self.reader.u8()?;
            if opcode == op::STOP {
                return self.pop();
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Fallible<()> {
        if let Some(constant) = self.constant(opcode)? {
            self.stack.push(constant);
            return Ok(());
        }
        if self.stack_opcode(opcode)? || self.container(opcode)? || self.memo_opcode(opcode)? || self.object(opcode)? {
            return Ok(());
        }
        Err(format!("opcode {opcode:#04x} is not one that PyTorch writes: the file is damaged or of another program"))
    }

    /// Opcodes that move values or say how to read. False if it is none of them.
    fn stack_opcode(&mut self, opcode: u8) -> Fallible<bool> {
        match opcode {
            op::PROTO => match self.reader.u8()? {
                2..=5 => {}
                other => return Err(format!("pickle protocol {other} is not one of 2 to 5")),
            },
            op::FRAME => drop(self.reader.u64()?),
            op::MARK => self.marks.push(self.stack.len()),
            op::POP => drop(self.pop()?),
            op::POP_MARK => drop(self.pop_to_mark()?),
            op::DUP => {
                let top = self.top()?;
                self.stack.push(top);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn pop(&mut self) -> Fallible<Value<'a>> {
        // What lies below a mark belongs to whoever set it.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("an opcode wants a value, but the stack is empty".into());
        }
        self.stack.pop().ok_or_else(|| "the stack is empty".into())
    }

    fn top(&self) -> Fallible<Value<'a>> {
        self.stack.last().copied().ok_or_else(|| "an opcode wants a value, but the stack is empty".into())
    }

    fn pop_to_mark(&mut self) -> Fallible<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or("an opcode wants a mark, but there is none")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    /// Counts steps.
    fn spend(&mut self, steps: usize) -> Fallible<()> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS {
            return Err(format!("more than {MAX_STEPS} steps to build; no checkpoint takes as many"));
        }
        Ok(())
    }
}
