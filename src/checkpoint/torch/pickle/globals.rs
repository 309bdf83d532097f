//! The only classes and functions that mean anything here. All others become inert stubs.

use super::value::Global;

/// Type of a storage's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    F32,
    F16,
    BF16,
    F64,
    /// Integers, booleans, complex and quantised numbers: no weights of ours; bytes per element.
    Other(u8),
}

impl DType {
    /// Bytes per element.
    pub fn size(self) -> u64 {
        match self {
            DType::F32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::F64 => 8,
            DType::Other(size) => size.into(),
        }
    }
}

/// What a known function or class does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// `(storage, offset, size, stride, …)` to a tensor.
    Tensor,
    /// `(function, type, arguments, state)`: the function is called with the arguments.
    FromType,
    /// Gives back its first argument: parameters around tensors, type tags around containers.
    First,
    /// A dictionary, of pairs if given.
    Dict,
    /// A set, of the elements if given.
    Set,
    /// `(numbers, type, shape, order)` to a NumPy array.
    Buffer,
}

/// The allow-list: module, name, meaning.
const CALLABLES: [(&str, &str, Known); 18] = [
    ("torch._utils", "_rebuild_tensor", Known::Tensor),
    ("torch._utils", "_rebuild_tensor_v2", Known::Tensor),
    ("torch._tensor", "_rebuild_from_type", Known::FromType),
    ("torch._tensor", "_rebuild_from_type_v2", Known::FromType),
    ("torch._utils", "_rebuild_parameter", Known::First),
    ("torch._utils", "_rebuild_parameter_with_state", Known::First),
    ("torch.nn.parameter", "Parameter", Known::First),
    ("torch", "Size", Known::First),
    ("torch.jit._pickle", "build_intlist", Known::First),
    ("torch.jit._pickle", "restore_type_tag", Known::First),
    ("collections", "OrderedDict", Known::Dict),
    ("builtins", "dict", Known::Dict),
    ("__builtin__", "dict", Known::Dict),
    ("builtins", "set", Known::Set),
    ("__builtin__", "set", Known::Set),
    ("builtins", "frozenset", Known::Set),
    ("numpy.core.numeric", "_frombuffer", Known::Buffer),
    ("numpy._core.numeric", "_frombuffer", Known::Buffer),
];

/// Storage classes of `torch` and `torch.cuda`, and their elements.
const STORAGES: [(&str, DType); 16] = [
    ("FloatStorage", DType::F32),
    ("HalfStorage", DType::F16),
    ("BFloat16Storage", DType::BF16),
    ("DoubleStorage", DType::F64),
    ("LongStorage", DType::Other(8)),
    ("IntStorage", DType::Other(4)),
    ("ShortStorage", DType::Other(2)),
    ("CharStorage", DType::Other(1)),
    ("ByteStorage", DType::Other(1)),
    ("BoolStorage", DType::Other(1)),
    ("UntypedStorage", DType::Other(1)),
    ("ComplexFloatStorage", DType::Other(8)),
    ("ComplexDoubleStorage", DType::Other(16)),
    ("QInt8Storage", DType::Other(1)),
    ("QUInt8Storage", DType::Other(1)),
    ("QInt32Storage", DType::Other(4)),
];

/// What calling it means, if it is on the allow-list.
pub fn known(global: Global) -> Option<Known> {
    let found = CALLABLES.iter().find(|(module, name, _)| (*module, *name) == (global.module, global.name));
    found.map(|(_, _, known)| *known)
}

/// The elements of a storage class.
pub fn storage_type(global: Global) -> Option<DType> {
    if !matches!(global.module, "torch" | "torch.cuda" | "torch.storage") {
        return None;
    }
    STORAGES.iter().find(|(name, _)| *name == global.name).map(|(_, dtype)| *dtype)
}
