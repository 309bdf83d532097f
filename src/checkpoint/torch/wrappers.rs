//! Where in a checkpoint the weights are: training scripts wrap state dicts and whole modules in
//! dictionaries, beside epochs, optimizers and averaged copies.

use super::pickle::{Fallible, Heap, Object, Pair, Value, lookup};
use super::shown;

/// Keys under which training scripts keep weights, most telling first.
const PLAIN: [&str; 10] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "checkpoint",
];

/// Keys under which they keep the exponential moving average of weights.
const EMA: [&str; 7] =
    ["state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "model_ema_state_dict", "params_ema", "ema"];

/// How deep wrappers may be nested.
const MAX_DEPTH: usize = 8;

/// Entries that are looked at; wrappers have a handful.
const MAX_VISITS: usize = 1 << 18;

/// Weights that were found.
#[derive(Debug, PartialEq)]
pub struct Found<'a> {
    /// A dictionary with tensors in it, or a module.
    pub weights: Value<'a>,
    pub is_module: bool,
    /// Whether they are an exponential moving average.
    pub ema: bool,
    /// Whether there is an exponential moving average that was not taken.
    pub ema_left: bool,
    /// Entries of the wrappers that were not taken.
    pub ignored: Vec<String>,
}

/// Finds the weights; with `ema`, their exponential moving average if there is one.
pub fn find<'a>(heap: &Heap<'a>, root: Value<'a>, ema: bool) -> Fallible<Found<'a>> {
    let mut finder = Finder { heap, visits: 0 };
    finder.find(root, ema, 0)?.ok_or_else(|| format!("holds no weights; {}", describe(heap, root)))
}

struct Finder<'a, 'h> {
    heap: &'h Heap<'a>,
    visits: usize,
}

impl<'a> Finder<'a, '_> {
    fn find(&mut self, value: Value<'a>, ema: bool, depth: usize) -> Fallible<Option<Found<'a>>> {
        let found = |is_module| Found { weights: value, is_module, ema: false, ema_left: false, ignored: Vec::new() };
        if depth == MAX_DEPTH {
            return Ok(None);
        }
        let pairs = match self.heap.get(value) {
            Some(Object::Dict(pairs)) => pairs,
            Some(Object::Stub(_)) if is_module(self.heap, value) => return Ok(Some(found(true))),
            Some(Object::Stub(stub)) if !stub.items.is_empty() => &stub.items,
            Some(Object::Stub(stub)) => self.heap.attributes(stub),
            _ => return Ok(None),
        };
        self.visits = self.visits.saturating_add(pairs.len()).saturating_add(1);
        if self.visits > MAX_VISITS {
            return Err(format!("has more than {MAX_VISITS} entries around its weights"));
        }
        let order = if ema { [(true, &EMA[..]), (false, &PLAIN[..])] } else { [(false, &PLAIN[..]), (true, &EMA[..])] };
        for (averaged, keys) in order {
            if let Some((key, mut inner)) = self.under(pairs, keys, ema && !averaged, depth)? {
                inner.ema |= averaged;
                inner.ema_left |= !inner.ema && self.under(pairs, &EMA, false, depth)?.is_some();
                inner.ignored.extend(pairs.iter().filter_map(|(k, _)| match k {
                    Value::Text(other) if *other != key => Some((*other).to_owned()),
                    _ => None,
                }));
                return Ok(Some(inner));
            }
        }
        let tensors = pairs.iter().any(|(key, v)| matches!(key, Value::Text(_)) && self.heap.tensor(*v).is_some());
        Ok(tensors.then(|| found(false)))
    }

    /// The first of the keys under which there are weights.
    fn under(
        &mut self,
        pairs: &[Pair<'a>],
        keys: &[&'static str],
        ema: bool,
        depth: usize,
    ) -> Fallible<Option<(&'static str, Found<'a>)>> {
        for key in keys {
            let Some(inner) = lookup(pairs, key) else { continue };
            if let Some(found) = self.find(inner, ema, depth + 1)? {
                return Ok(Some((*key, found)));
            }
        }
        Ok(None)
    }
}

/// Whether it is an instance of `torch.nn.Module`, or of a TorchScript class.
pub fn is_module<'a>(heap: &Heap<'a>, value: Value<'a>) -> bool {
    let Some(stub) = heap.stub(value) else { return false };
    let state = heap.attributes(stub);
    is_script(heap, value) || ["_parameters", "_modules"].iter().any(|key| lookup(state, key).is_some())
}

/// Whether it is an instance of a TorchScript class.
pub fn is_script<'a>(heap: &Heap<'a>, value: Value<'a>) -> bool {
    heap.stub(value).is_some_and(|stub| stub.class.module.split('.').next() == Some("__torch__"))
}

/// What a pickle holds instead of weights.
fn describe<'a>(heap: &Heap<'a>, root: Value<'a>) -> String {
    match heap.get(root) {
        Some(Object::Dict(pairs)) => {
            let keys = pairs.iter().filter_map(|(key, _)| match key {
                Value::Text(key) => Some(shown(key)),
                _ => None,
            });
            let keys: Vec<String> = keys.take(6).collect();
            format!("it is a dictionary of {} entries ({})", pairs.len(), keys.join(", "))
        }
        Some(Object::Stub(stub)) => {
            format!("it is an object of class {}, and nothing is known of it", shown(&stub.class.to_string()))
        }
        Some(Object::Tensor(_)) => "it is one tensor without a name".into(),
        Some(Object::List(values) | Object::Tuple(values)) => format!("it is a list of {} values", values.len()),
        _ => "it is no state dict and no module".into(),
    }
}
