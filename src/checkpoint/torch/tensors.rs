//! From the description of a tensor in a pickle to its numbers.

use std::borrow::Cow;

use super::pickle::{DType, Fallible, Heap, Object, TensorRef, Value};
use super::storages::Storages;
use crate::checkpoint::weights::{self, Format};
use crate::tensor::Tensor;

/// No weight has more dimensions.
const MAX_DIMENSIONS: usize = 8;

/// Reads tensors, and keeps count of what they take: views may share a storage, but a small file
/// must not become a large network.
pub struct Tensors<'a, 's> {
    heap: &'s Heap<'a>,
    storages: Storages<'a>,
    /// Bytes that tensors may still take.
    allowance: u64,
}

/// A view with its numbers checked: all elements lie within the storage, no two share a place.
struct View {
    offset: usize,
    size: Vec<usize>,
    stride: Vec<usize>,
}

impl<'a, 's> Tensors<'a, 's> {
    /// `file` is the size of the file in bytes.
    pub fn new(heap: &'s Heap<'a>, storages: Storages<'a>, file: usize) -> Self {
        Tensors { heap, storages, allowance: (file as u64).saturating_mul(2) }
    }

    /// The numbers of a tensor and what they are in the file; `None` if they are of a type that
    /// weights do not have.
    ///
    /// # Errors
    /// What is wrong, to follow the tensor's name.
    pub fn read(&mut self, tensor: &TensorRef<'a>) -> Fallible<Option<(Tensor, Format)>> {
        let (dtype, held) = match self.heap.get(tensor.storage) {
            Some(Object::Storage(storage)) => (storage.dtype, Some(storage.count)),
            Some(Object::Array(array)) => (array.dtype, None),
            _ => return Err("has no storage".into()),
        };
        let format = match dtype {
            DType::F32 => Format::F32,
            DType::F16 => Format::F16,
            DType::BF16 => Format::BF16,
            DType::F64 => Format::F64,
            DType::Other(_) => return Ok(None),
        };
        // An array's numbers are counted when its shape is known.
        let view = self.view(tensor, held.unwrap_or(1 << 40))?;
        let count: usize = view.size.iter().product();
        let (bytes, big_endian) = match self.heap.get(tensor.storage) {
            Some(Object::Storage(storage)) => {
                (Cow::Borrowed(self.storages.bytes(storage)?), self.storages.big_endian())
            }
            Some(Object::Array(array)) => (array.bytes(self.heap, count as u64)?, array.big_endian),
            _ => return Err("has no storage".into()),
        };
        let taken = (count as u64).saturating_mul(dtype.size());
        self.allowance = self
            .allowance
            .checked_sub(taken)
            .ok_or("shares its numbers with others: together the tensors are more than twice as large as the file")?;
        let width = dtype.size() as usize;
        let gathered = view.gather(&bytes, width);
        let tensor = weights::tensor(view.size, weights::numbers(&gathered, format, big_endian))?;
        Ok(Some((tensor, format)))
    }

    fn view(&self, tensor: &TensorRef<'a>, held: u64) -> Fallible<View> {
        let (size, stride) = (self.indices(tensor.size, "size")?, self.indices(tensor.stride, "stride")?);
        let offset = index(tensor.offset, "offset")?;
        if size.len() != stride.len() || size.len() > MAX_DIMENSIONS {
            return Err(format!("has {} sizes and {} strides", size.len(), stride.len()));
        }
        if size.contains(&0) {
            return Err(format!("is empty (shape {size:?})"));
        }
        let mut steps: Vec<(usize, usize)> =
            stride.iter().zip(&size).filter(|(_, size)| **size > 1).map(|(stride, size)| (*stride, *size)).collect();
        crate::order::sort_by(&mut steps, Ord::cmp);
        // The furthest element of the dimensions so far; the next has to step over it.
        let mut reach = 0usize;
        for (stride, size) in steps {
            if stride <= reach {
                return Err(format!(
                    "overlaps itself (shape {:?}, strides {:?})",
                    self.shown(tensor.size),
                    self.shown(tensor.stride)
                ));
            }
            let further = stride.checked_mul(size - 1).and_then(|n| n.checked_add(reach));
            reach = further.ok_or_else(|| format!("is impossibly large (shape {:?})", self.shown(tensor.size)))?;
        }
        match reach.checked_add(offset) {
            Some(last) if (last as u64) < held => {
                // Strides that are never taken may be anything.
                let stride = stride.iter().zip(&size).map(|(n, size)| if *size > 1 { *n } else { 0 }).collect();
                Ok(View { offset, size, stride })
            }
            _ => Err(format!(
                "of shape {size:?}, strides {stride:?}, offset {offset} does not fit its storage of {held} elements"
            )),
        }
    }

    fn indices(&self, value: Value<'a>, what: &str) -> Fallible<Vec<usize>> {
        let values = self.heap.sequence(value).ok_or_else(|| format!("has a {what} that is no list of numbers"))?;
        if values.len() > MAX_DIMENSIONS {
            return Err(format!("has {} dimensions; weights have at most {MAX_DIMENSIONS}", values.len()));
        }
        values.iter().map(|value| index(*value, what)).collect()
    }

    /// Numbers for a message.
    fn shown(&self, value: Value<'a>) -> Vec<usize> {
        self.indices(value, "size").unwrap_or_default()
    }
}

fn index(value: Value, what: &str) -> Fallible<usize> {
    match value {
        Value::Int(n) => usize::try_from(n).map_err(|_| format!("has an impossible {what} ({n})")),
        _ => Err(format!("has an impossible {what}: it is no number")),
    }
}

impl View {
    /// The elements in row-major order, `width` bytes each. The storage's length was checked
    /// against its number of elements, and the view against that.
    fn gather<'b>(&self, bytes: &'b [u8], width: usize) -> Cow<'b, [u8]> {
        let count: usize = self.size.iter().product();
        if self.is_contiguous() {
            return bytes.get(self.offset * width..(self.offset + count) * width).unwrap_or_default().into();
        }
        let mut gathered = Vec::with_capacity(count * width);
        let mut at = vec![0; self.size.len()];
        let mut place = self.offset;
        for _ in 0..count {
            gathered.extend_from_slice(bytes.get(place * width..(place + 1) * width).unwrap_or_default());
            for ((at, size), stride) in at.iter_mut().zip(&self.size).zip(&self.stride).rev() {
                *at += 1;
                place += stride;
                if *at < *size {
                    break;
                }
                place -= stride * *at;
                *at = 0;
            }
        }
        gathered.into()
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.size.iter().zip(&self.stride).rev().all(|(size, stride)| {
            let right = *size == 1 || *stride == expected;
            expected *= size;
            right
        })
    }
}
