//! NumPy arrays as `pickle.dump` writes them: their numbers are in the pickle itself. Protocols 2 to
//! 4 call `_reconstruct` and give its result a state, protocol 5 calls `_frombuffer`.

use std::borrow::Cow;

use super::globals::DType;
use super::value::{Global, Heap, Object, TensorRef, Value};
use super::{Fallible, Machine};

/// The numbers of an array.
#[derive(Clone, Copy, Debug)]
pub struct ArrayRef<'a> {
    pub dtype: DType,
    pub big_endian: bool,
    data: Value<'a>,
}

impl<'a> ArrayRef<'a> {
    /// The numbers, as many as were announced.
    ///
    /// # Errors
    /// What is wrong, to follow the tensor's name.
    pub fn bytes(&self, heap: &Heap<'a>, count: u64) -> Fallible<Cow<'a, [u8]>> {
        let length = count.saturating_mul(self.dtype.size());
        let wrong = |found: usize| format!("holds {found} bytes, but its shape and type ask for {length}");
        let bytes = match self.data {
            Value::Bytes(bytes) => Cow::Borrowed(bytes),
            // Python 2's strings that happen to be text.
            Value::Text(text) => Cow::Borrowed(text.as_bytes()),
            // Protocol 2 has no bytes: they are characters up to U+00FF, to be encoded.
            _ => {
                let text = encoded(heap, self.data).ok_or("has numbers that are no bytes")?;
                if text.len() as u64 > length.saturating_mul(2) {
                    return Err(wrong(text.len()));
                }
                text.chars()
                    .map(|c| u8::try_from(u32::from(c)))
                    .collect::<Result<_, _>>()
                    .map_err(|_| "is not Latin-1")?
            }
        };
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(wrong(bytes.len())) }
    }
}

/// The text of `_codecs.encode(text, 'latin1')`, a call that was not made.
fn encoded<'a>(heap: &Heap<'a>, value: Value<'a>) -> Option<&'a str> {
    let stub = heap.stub(value).filter(|stub| stub.class == Global { module: "_codecs", name: "encode" })?;
    match heap.sequence(stub.args)? {
        [Value::Text(text), Value::Text("latin1")] => Some(text),
        _ => None,
    }
}

/// Whether it is the function that makes an empty array, to be given a state.
fn is_reconstruct(global: Global) -> bool {
    matches!(global.module, "numpy.core.multiarray" | "numpy._core.multiarray") && global.name == "_reconstruct"
}

impl<'a> Machine<'a> {
    /// Turns the stub of an array into a tensor once its state is known: version, shape, type,
    /// whether columns lie together, numbers. False if it is no array of numbers.
    pub(super) fn array_of_state(&mut self, target: Value<'a>, state: Value<'a>) -> Fallible<bool> {
        if !self.heap.stub(target).is_some_and(|stub| is_reconstruct(stub.class)) {
            return Ok(false);
        }
        let Some(&[_, shape, dtype, Value::Bool(columns), data]) = self.heap.sequence(state) else { return Ok(false) };
        let Some(tensor) = self.array(shape, dtype, columns, data)? else { return Ok(false) };
        if let Some(object) = self.heap.get_mut(target) {
            *object = Object::Tensor(Box::new(tensor));
        }
        Ok(true)
    }

    /// The tensor of `_frombuffer(numbers, type, shape, order)`; `None` if it is no array of numbers.
    pub(super) fn array_of_buffer(&mut self, args: Value<'a>) -> Fallible<Option<Value<'a>>> {
        let Some(&[data, dtype, shape, Value::Text(order)]) = self.heap.sequence(args) else { return Ok(None) };
        let tensor = self.array(shape, dtype, order == "F", data)?;
        Ok(tensor.map(|tensor| self.heap.add(Object::Tensor(Box::new(tensor)))))
    }

    fn array(
        &mut self,
        shape: Value<'a>,
        dtype: Value<'a>,
        columns: bool,
        data: Value<'a>,
    ) -> Fallible<Option<TensorRef<'a>>> {
        let Some((dtype, big_endian)) = self.dtype(dtype) else { return Ok(None) };
        let Some(sizes) = self.heap.sequence(shape).map(<[Value]>::to_vec) else { return Ok(None) };
        self.spend(sizes.len())?;
        let mut strides = vec![Value::Int(1); sizes.len()];
        let mut step = 1i64;
        let mut along = |(size, stride): (&Value, &mut Value)| {
            *stride = Value::Int(step);
            // What is no size is found out when the tensor is read.
            step = if let Value::Int(size) = size { step.saturating_mul(*size) } else { step };
        };
        let pairs = sizes.iter().zip(&mut strides);
        if columns {
            pairs.for_each(&mut along)
        } else {
            pairs.rev().for_each(&mut along)
        }
        let stride = self.heap.add(Object::Tuple(strides));
        let storage = self.heap.add(Object::Array(ArrayRef { dtype, big_endian, data }));
        Ok(Some(TensorRef { storage, offset: Value::Int(0), size: shape, stride }))
    }

    /// A type of `numpy.dtype('f4', …)` with its state: version, byte order and so on.
    fn dtype(&self, value: Value<'a>) -> Option<(DType, bool)> {
        let stub = self.heap.stub(value).filter(|stub| stub.class == Global { module: "numpy", name: "dtype" })?;
        let Value::Text(name) = *self.heap.sequence(stub.args)?.first()? else { return None };
        let big_endian = matches!(self.heap.sequence(stub.state), Some([_, Value::Text(">"), ..]));
        let dtype = match name {
            "f4" => DType::F32,
            "f2" => DType::F16,
            "f8" => DType::F64,
            _ => DType::Other(
                name.strip_prefix(['i', 'u', 'b', 'c'])?.parse().ok().filter(|size| (1..=16).contains(size))?,
            ),
        };
        Some((dtype, big_endian))
    }
}
