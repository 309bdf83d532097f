//! From a state dict, or a tree of inert modules, to named tensors.

use super::pickle::{Fallible, Heap, Object, TensorRef, Value, lookup};
use super::shown;
use super::wrappers::{Found, is_module};

/// How deep modules may be nested.
const MAX_DEPTH: usize = 64;

/// Attributes that are looked at. Modules may be shared, so that a small file can be a large tree.
const MAX_VISITS: usize = 1 << 18;

/// The longest name of a tensor, in bytes.
const MAX_NAME: usize = 512;

/// Tensors by name, and what was passed over.
#[derive(Debug, Default)]
pub struct Collected<'a> {
    pub tensors: Vec<(String, TensorRef<'a>)>,
    pub ignored: Vec<String>,
}

/// The tensors of what was found, their names joined with dots.
pub fn collect<'a>(heap: &Heap<'a>, found: &Found<'a>) -> Fallible<Collected<'a>> {
    let mut walk = Walk { heap, path: String::new(), visits: 0, collected: Collected::default() };
    if found.is_module {
        walk.module(found.weights, 0)?;
    } else {
        walk.state_dict(found.weights)?;
    }
    if walk.collected.tensors.is_empty() {
        return Err("is a module without weights in it: those of a frozen TorchScript module have lost their names; \
                    save it before torch.jit.freeze"
            .into());
    }
    Ok(walk.collected)
}

struct Walk<'a, 'h> {
    heap: &'h Heap<'a>,
    path: String,
    visits: usize,
    collected: Collected<'a>,
}

impl<'a> Walk<'a, '_> {
    fn state_dict(&mut self, value: Value<'a>) -> Fallible<()> {
        let pairs = match self.heap.get(value) {
            Some(Object::Dict(pairs)) => pairs,
            Some(Object::Stub(stub)) => &stub.items,
            _ => return Ok(()),
        };
        for (key, value) in pairs {
            self.tensor(*key, *value, true)?;
        }
        Ok(())
    }

    fn module(&mut self, value: Value<'a>, depth: usize) -> Fallible<()> {
        if depth == MAX_DEPTH {
            return Err(format!("has modules nested more than {MAX_DEPTH} deep, at {}", shown(&self.path)));
        }
        let Some(stub) = self.heap.stub(value) else { return Ok(()) };
        let state = self.heap.attributes(stub);
        let part = |name| lookup(state, name).and_then(|v| self.heap.dict(v));
        if part("_parameters").is_none() && part("_modules").is_none() {
            // TorchScript: parameters, buffers and modules are attributes like others.
            for (key, value) in state {
                self.tensor(*key, *value, false)?;
                self.child(*key, *value, depth)?;
            }
            return Ok(());
        }
        let (parameters, buffers, modules) = (part("_parameters"), part("_buffers"), part("_modules"));
        // What `state_dict()` leaves out.
        let fleeting = match lookup(state, "_non_persistent_buffers_set").and_then(|v| self.heap.get(v)) {
            Some(Object::Set(names)) => names.as_slice(),
            _ => &[],
        };
        for (key, value) in parameters.unwrap_or_default() {
            self.tensor(*key, *value, true)?;
        }
        for (key, value) in buffers.unwrap_or_default() {
            self.visit(fleeting.len())?;
            if !fleeting.contains(key) {
                self.tensor(*key, *value, true)?;
            }
        }
        for (key, value) in modules.unwrap_or_default() {
            self.child(*key, *value, depth)?;
        }
        Ok(())
    }

    fn child(&mut self, key: Value<'a>, value: Value<'a>, depth: usize) -> Fallible<()> {
        // Finding out what it is takes a look at all of its attributes.
        let attributes = self.heap.stub(value).map_or(0, |stub| self.heap.attributes(stub).len());
        self.visit(1 + attributes)?;
        let Value::Text(key) = key else { return Ok(()) };
        if !is_module(self.heap, value) {
            return Ok(());
        }
        let length = self.path.len();
        self.enter(key)?;
        self.module(value, depth + 1)?;
        self.path.truncate(length);
        Ok(())
    }

    /// Takes an entry if it is a tensor; if not, `expected` ones are noted as ignored.
    fn tensor(&mut self, key: Value<'a>, value: Value<'a>, expected: bool) -> Fallible<()> {
        self.visit(1)?;
        let Value::Text(key) = key else { return Ok(()) };
        let tensor = self.heap.tensor(value);
        if tensor.is_none() && (!expected || value == Value::None) {
            return Ok(());
        }
        let length = self.path.len();
        self.enter(key)?;
        match tensor {
            Some(tensor) => self.collected.tensors.push((self.path.clone(), *tensor)),
            None => self.collected.ignored.push(self.path.clone()),
        }
        self.path.truncate(length);
        Ok(())
    }

    fn enter(&mut self, key: &str) -> Fallible<()> {
        if self.path.len() + key.len() >= MAX_NAME {
            return Err(format!("has names of more than {MAX_NAME} bytes, at {}", shown(&self.path)));
        }
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(key);
        Ok(())
    }

    fn visit(&mut self, count: usize) -> Fallible<()> {
        self.visits = self.visits.saturating_add(count);
        if self.visits > MAX_VISITS {
            return Err(format!("has more than {MAX_VISITS} attributes in its modules"));
        }
        Ok(())
    }
}
