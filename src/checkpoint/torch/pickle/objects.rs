use super::globals::{Known, known, storage_type};
use super::value::{Global, Object, StorageRef, Stub, TensorRef, Value};
use super::{Fallible, Machine, op};
use crate::checkpoint::torch::shown;

/// How deep calls may be wrapped in `_rebuild_from_type`.
const MAX_WRAPPING: usize = 4;

/// What calls something that is no name.
const NAMELESS: Global = Global { module: "", name: "" };

impl<'a> Machine<'a> {
    /// Classes, calls and storages. False if it is no such opcode.
    pub(super) fn object(&mut self, opcode: u8) -> Fallible<bool> {
        match opcode {
            op::GLOBAL => {
                let (module, name) = (self.reader.line()?, self.reader.line()?);
                self.push(Object::Global(Global { module, name }));
            }
            op::STACK_GLOBAL => {
                let (Value::Text(name), Value::Text(module)) = (self.pop()?, self.pop()?) else {
                    return Err("the name of a class is no text".into());
                };
                self.push(Object::Global(Global { module, name }));
            }
            op::REDUCE | op::NEWOBJ => {
                let (args, callable) = (self.pop()?, self.pop()?);
                self.call(callable, args)?;
            }
            op::NEWOBJ_EX => {
                let (_keywords, args, callable) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callable, args)?;
            }
            op::OBJ => {
                let mut values = self.pop_to_mark()?.into_iter();
                let callable = values.next().ok_or("an object has no class")?;
                let args = self.heap.add(Object::Tuple(values.collect()));
                self.call(callable, args)?;
            }
            op::BUILD => {
                let state = self.pop()?;
                self.build(state)?;
            }
            op::BINPERSID => {
                let id = self.pop()?;
                let value = self.persistent(id)?;
                self.stack.push(value);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What a call gives: something for the allow-list, a stub for all else.
    fn call(&mut self, callable: Value<'a>, args: Value<'a>) -> Fallible<()> {
        let (mut callable, mut args) = (callable, args);
        for _ in 0..MAX_WRAPPING {
            let global = self.heap.global(callable);
            let given = self.heap.sequence(args).unwrap_or_default();
            let made = match (global.and_then(known), given) {
                (Some(Known::FromType), [function, _type, arguments, ..]) => {
                    (callable, args) = (*function, *arguments);
                    continue;
                }
                (Some(Known::Tensor), [storage, offset, size, stride, ..]) => {
                    let tensor = TensorRef { storage: *storage, offset: *offset, size: *size, stride: *stride };
                    self.heap.add(Object::Tensor(Box::new(tensor)))
                }
                (Some(Known::First), [first, ..]) => *first,
                (Some(Known::Dict), given) => {
                    let items = given.first().copied();
                    self.dict_of(items)?
                }
                (Some(Known::Set), given) => {
                    let elements = given.first().and_then(|v| self.heap.sequence(*v)).unwrap_or_default().to_vec();
                    self.spend(elements.len())?;
                    self.heap.add(Object::Set(elements))
                }
                (Some(Known::Buffer), _) => match self.array_of_buffer(args)? {
                    Some(array) => array,
                    None => break,
                },
                _ => break,
            };
            self.stack.push(made);
            return Ok(());
        }
        // Calling a stub, such as what an attribute's look-up would have given, is no less inert.
        let class = self.heap.global(callable).or_else(|| self.heap.stub(callable).map(|stub| stub.class));
        let (class, items) = (class.unwrap_or(NAMELESS), Vec::new());
        self.push(Object::Stub(Box::new(Stub { class, args, state: Value::None, items })));
        Ok(())
    }

    /// A dictionary of a list of pairs, as `OrderedDict` is called in pickles of Python 2.
    fn dict_of(&mut self, items: Option<Value<'a>>) -> Fallible<Value<'a>> {
        let items = items.and_then(|items| self.heap.sequence(items)).unwrap_or_default();
        let pairs: Vec<_> = items
            .iter()
            .filter_map(|pair| match self.heap.sequence(*pair)? {
                [key, value] => Some((*key, *value)),
                _ => None,
            })
            .collect();
        self.spend(pairs.len())?;
        Ok(self.heap.add(Object::Dict(pairs)))
    }

    /// Gives a stub its state. Whatever else has state does not need it: of an `OrderedDict` it is
    /// the versions of modules.
    fn build(&mut self, state: Value<'a>) -> Fallible<()> {
        let target = self.top()?;
        if self.array_of_state(target, state)? {
            return Ok(());
        }
        // With slots: (dictionary or nothing, slots).
        let state = match self.heap.sequence(state) {
            Some([Value::None, slots]) => *slots,
            Some([dict, _]) => *dict,
            _ => state,
        };
        if let Some(Object::Stub(stub)) = self.heap.get_mut(target) {
            stub.state = state;
        }
        Ok(())
    }

    /// `('storage', class, key, location, count)`, in old files `('module', class, …)`.
    fn persistent(&mut self, id: Value<'a>) -> Fallible<Value<'a>> {
        let storage = match self.heap.sequence(id).unwrap_or_default() {
            [Value::Text("module"), class, ..] => return Ok(*class),
            [Value::Text("storage"), class, Value::Text(key), _location, count, rest @ ..] => {
                let class = self.heap.global(*class).ok_or("a storage has no class")?;
                let dtype = storage_type(class)
                    .ok_or_else(|| format!("{} is no known kind of storage", shown(&class.to_string())))?;
                let Value::Int(count @ 0..) = count else {
                    return Err(format!("storage {} has an impossible size", shown(key)));
                };
                if rest.iter().any(|view| *view != Value::None) {
                    return Err(format!(
                        "storage {} is a view of another: save the file anew with torch.save",
                        shown(key)
                    ));
                }
                StorageRef { dtype, key, count: count.unsigned_abs() }
            }
            _ => return Err("a persistent id is not that of a storage".into()),
        };
        self.storages.push(storage);
        Ok(self.heap.add(Object::Storage(storage)))
    }
}
