//! What a pickle is made of. Objects lie in one flat list and refer to each other by index, so
//! sharing costs nothing, cycles are harmless, and nothing recurses when they are dropped.

use std::fmt;

use super::globals::DType;
use super::numpy::ArrayRef;

/// A value; copying it never copies what it refers to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, as its little-endian bytes.
    Long(&'a [u8]),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Object(ObjectId),
}

/// Index of an object in its [`Heap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectId(usize);

/// Key and value.
pub type Pair<'a> = (Value<'a>, Value<'a>);

/// An object.
#[derive(Debug)]
pub enum Object<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    Set(Vec<Value<'a>>),
    Dict(Vec<Pair<'a>>),
    Global(Global<'a>),
    Storage(StorageRef<'a>),
    Array(ArrayRef<'a>),
    Tensor(Box<TensorRef<'a>>),
    Stub(Box<Stub<'a>>),
}

/// The name of a class or function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global<'a> {
    pub module: &'a str,
    pub name: &'a str,
}

impl fmt::Display for Global<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// A storage: its bytes are elsewhere in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageRef<'a> {
    pub dtype: DType,
    pub key: &'a str,
    /// Number of elements that the pickle claims.
    pub count: u64,
}

/// A view of a storage, as the pickle claims it; checked when its numbers are read, because only
/// then it has a name.
#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    pub storage: Value<'a>,
    pub offset: Value<'a>,
    pub size: Value<'a>,
    pub stride: Value<'a>,
}

/// What stands for an instance of a class that is not known, or for the result of a call that was
/// not made: names and arguments, nothing that could run.
#[derive(Debug)]
pub struct Stub<'a> {
    pub class: Global<'a>,
    pub args: Value<'a>,
    /// What `__setstate__` would have got; an instance's `__dict__` as a rule.
    pub state: Value<'a>,
    /// Items that were set, if it is some kind of dictionary.
    pub items: Vec<Pair<'a>>,
}

/// All objects of a pickle.
#[derive(Debug, Default)]
pub struct Heap<'a> {
    objects: Vec<Object<'a>>,
}

impl<'a> Heap<'a> {
    pub fn add(&mut self, object: Object<'a>) -> Value<'a> {
        self.objects.push(object);
        Value::Object(ObjectId(self.objects.len() - 1))
    }

    /// The object that a value refers to.
    pub fn get(&self, value: Value<'a>) -> Option<&Object<'a>> {
        match value {
            Value::Object(ObjectId(index)) => self.objects.get(index),
            _ => None,
        }
    }

    pub fn get_mut(&mut self, value: Value<'a>) -> Option<&mut Object<'a>> {
        match value {
            Value::Object(ObjectId(index)) => self.objects.get_mut(index),
            _ => None,
        }
    }

    /// Whether there are NumPy arrays.
    pub fn has_arrays(&self) -> bool {
        self.objects.iter().any(|object| matches!(object, Object::Array(_)))
    }

    /// The elements of a tuple or list.
    pub fn sequence(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.get(value)? {
            Object::Tuple(values) | Object::List(values) => Some(values),
            _ => None,
        }
    }

    /// Keys and values of a dictionary.
    pub fn dict(&self, value: Value<'a>) -> Option<&[Pair<'a>]> {
        match self.get(value)? {
            Object::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    pub fn global(&self, value: Value<'a>) -> Option<Global<'a>> {
        match self.get(value)? {
            Object::Global(global) => Some(*global),
            _ => None,
        }
    }

    pub fn stub(&self, value: Value<'a>) -> Option<&Stub<'a>> {
        match self.get(value)? {
            Object::Stub(stub) => Some(stub),
            _ => None,
        }
    }

    /// Attributes of an instance: its state, or else the dictionary that it was made from (as
    /// `torch.fx` pickles its modules).
    pub fn attributes(&self, stub: &Stub<'a>) -> &[Pair<'a>] {
        let made_from = || self.sequence(stub.args).and_then(|args| self.dict(*args.first()?));
        self.dict(stub.state).or_else(made_from).unwrap_or_default()
    }

    pub fn tensor(&self, value: Value<'a>) -> Option<&TensorRef<'a>> {
        match self.get(value)? {
            Object::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
}

/// The value of a text key; of several the last, as in Python.
pub fn lookup<'a>(pairs: &[Pair<'a>], key: &str) -> Option<Value<'a>> {
    pairs.iter().rev().find(|(k, _)| *k == Value::Text(key)).map(|(_, value)| *value)
}
