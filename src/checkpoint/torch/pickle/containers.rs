use super::value::{Object, Pair, Value};
use super::{Fallible, Machine, op};

impl<'a> Machine<'a> {
    /// Tuples, lists, dictionaries and sets. False if it is no such opcode.
    pub(super) fn container(&mut self, opcode: u8) -> Fallible<bool> {
        match opcode {
            op::EMPTY_TUPLE => self.push(Object::Tuple(Vec::new())),
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let length = opcode - op::TUPLE1 + 1;
                let mut values = Vec::with_capacity(length.into());
                for _ in 0..length {
                    values.push(self.pop()?);
                }
                values.reverse();
                self.push(Object::Tuple(values));
            }
            op::TUPLE => {
                let values = self.pop_to_mark()?;
                self.push(Object::Tuple(values));
            }
            op::EMPTY_LIST => self.push(Object::List(Vec::new())),
            op::LIST => {
                let values = self.pop_to_mark()?;
                self.push(Object::List(values));
            }
            op::EMPTY_DICT => self.push(Object::Dict(Vec::new())),
            op::DICT => {
                let pairs = pairs(self.pop_to_mark()?)?;
                self.push(Object::Dict(pairs));
            }
            op::EMPTY_SET => self.push(Object::Set(Vec::new())),
            op::FROZENSET => {
                let values = self.pop_to_mark()?;
                self.push(Object::Set(values));
            }
            _ => return self.filling(opcode),
        }
        Ok(true)
    }

    /// Opcodes that put something into the container on the stack.
    fn filling(&mut self, opcode: u8) -> Fallible<bool> {
        match opcode {
            op::APPEND => {
                let value = self.pop()?;
                self.extend(vec![value])?;
            }
            op::APPENDS | op::ADDITEMS => {
                let values = self.pop_to_mark()?;
                self.extend(values)?;
            }
            op::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![(key, value)])?;
            }
            op::SETITEMS => {
                let items = pairs(self.pop_to_mark()?)?;
                self.set_items(items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn push(&mut self, object: Object<'a>) {
        let value = self.heap.add(object);
        self.stack.push(value);
    }

    fn extend(&mut self, values: Vec<Value<'a>>) -> Fallible<()> {
        let target = self.top()?;
        match self.heap.get_mut(target) {
            // Taken as it is, without room for more: there may be a million lists of one value.
            Some(Object::List(list) | Object::Set(list)) if list.is_empty() => *list = values,
            Some(Object::List(list) | Object::Set(list)) => list.extend(values),
            // A class that acts as a list: what is in it is of no use.
            Some(Object::Stub(_)) => {}
            _ => return Err("values are appended to what is no list".into()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<Pair<'a>>) -> Fallible<()> {
        let target = self.top()?;
        match self.heap.get_mut(target) {
            Some(Object::Dict(dict)) if dict.is_empty() => *dict = items,
            Some(Object::Dict(dict)) => dict.extend(items),
            Some(Object::Stub(stub)) => stub.items.extend(items),
            _ => return Err("items are set in what is no dictionary".into()),
        }
        Ok(())
    }
}

fn pairs(values: Vec<Value>) -> Fallible<Vec<Pair>> {
    match values.as_chunks() {
        (pairs, []) => Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()),
        _ => Err("a dictionary has a key without a value".into()),
    }
}
