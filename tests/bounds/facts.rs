//! What is known of a shader's expressions before it runs: their types, as far as integers go.

use naga::proc::TypeResolution;
use naga::valid::FunctionInfo;
use naga::{Arena, ArraySize, Expression as E, Function, Handle, Literal, Module, ScalarKind, TypeInner};

use super::machine::Leaves;
use super::value::Scalar;

/// Of a function's expressions.
pub struct Facts {
    types: Vec<TypeResolution>,
    leaves: Vec<usize>,
    kinds: Vec<ScalarKind>,
    matters: Vec<bool>,
}

impl Facts {
    pub fn new(module: &Module, function: &Function, info: &FunctionInfo) -> Facts {
        let mut facts = Facts { types: vec![], leaves: vec![], kinds: vec![], matters: vec![] };
        for (handle, expression) in function.expressions.iter() {
            let ty = info[handle].ty.clone();
            let inner = ty.inner_with(&module.types);
            let count = leaves(module, inner);
            // Of floats only what reads memory or makes a pointer.
            let touches = matches!(expression, E::Access { .. } | E::AccessIndex { .. } | E::ImageLoad { .. });
            facts.matters.push(count > 0 || touches || is_pointer(inner));
            facts.leaves.push(count);
            facts.kinds.push(kind(module, inner));
            facts.types.push(ty);
        }
        facts
    }

    pub fn leaves(&self, handle: Handle<E>) -> usize {
        self.leaves[handle.index()]
    }

    pub fn kind(&self, handle: Handle<E>) -> ScalarKind {
        self.kinds[handle.index()]
    }

    pub fn matters(&self, handle: Handle<E>) -> bool {
        self.matters[handle.index()]
    }

    pub fn ty<'a>(&'a self, module: &'a Module, handle: Handle<E>) -> &'a TypeInner {
        self.types[handle.index()].inner_with(&module.types)
    }
}

fn is_pointer(ty: &TypeInner) -> bool {
    matches!(ty, TypeInner::Pointer { .. } | TypeInner::ValuePointer { .. })
}

/// How many integers and booleans a value of the type has; of what a pointer points to none.
pub fn leaves(module: &Module, ty: &TypeInner) -> usize {
    let inner = |ty: &Handle<naga::Type>| leaves(module, &module.types[*ty].inner);
    match ty {
        TypeInner::Scalar(scalar) => usize::from(scalar.kind != ScalarKind::Float),
        TypeInner::Vector { size, scalar } => *size as usize * usize::from(scalar.kind != ScalarKind::Float),
        TypeInner::Array { base, size: ArraySize::Constant(count), .. } => count.get() as usize * inner(base),
        TypeInner::Struct { members, .. } => members.iter().map(|member| inner(&member.ty)).sum(),
        _ => 0,
    }
}

/// The type of those, or of those that a pointer points to. A value has one type of them only.
fn kind(module: &Module, ty: &TypeInner) -> ScalarKind {
    match ty {
        TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } | TypeInner::ValuePointer { scalar, .. } => {
            scalar.kind
        }
        TypeInner::Array { base, .. } | TypeInner::Pointer { base, .. } => kind(module, &module.types[*base].inner),
        _ => ScalarKind::Float,
    }
}

/// Into how many parts an index goes, and how many leaves each has; an array whose size the binding decides
/// has no number. For pointers, of what they point to.
pub fn parts(module: &Module, ty: &TypeInner) -> Option<(Option<u64>, usize)> {
    let of = |ty: &Handle<naga::Type>| leaves(module, &module.types[*ty].inner);
    match ty {
        TypeInner::Vector { size, scalar } | TypeInner::ValuePointer { size: Some(size), scalar, .. } => {
            Some((Some(*size as u64), usize::from(scalar.kind != ScalarKind::Float)))
        }
        TypeInner::Matrix { columns, .. } => Some((Some(*columns as u64), 0)),
        TypeInner::Array { base, size: ArraySize::Constant(count), .. } => {
            Some((Some(u64::from(count.get())), of(base)))
        }
        TypeInner::Array { base, size: ArraySize::Dynamic, .. } => Some((None, of(base))),
        TypeInner::Pointer { base, .. } => parts(module, &module.types[*base].inner),
        _ => None,
    }
}

/// The leaves of a constant expression; `None` if it is none.
pub fn constant(module: &Module, arena: &Arena<E>, expression: &E) -> Option<Leaves> {
    let part = |handle: &Handle<E>| constant(module, arena, &arena[*handle]);
    match expression {
        E::Literal(literal) => Some(literal_bits(*literal).map(Scalar::Same).into_iter().collect()),
        E::ZeroValue(ty) => Some(vec![Scalar::Same(0); leaves(module, &module.types[*ty].inner)].into()),
        E::Constant(handle) => {
            let init = module.constants[*handle].init;
            constant(module, &module.global_expressions, &module.global_expressions[init])
        }
        E::Compose { components, .. } => {
            let parts = components.iter().map(part).collect::<Option<Vec<_>>>()?;
            Some(parts.iter().flat_map(|leaves| leaves.iter().cloned()).collect())
        }
        E::Splat { size, value } => {
            let one = part(value)?;
            Some(one.iter().cycle().take(one.len() * *size as usize).cloned().collect())
        }
        _ => None,
    }
}

fn literal_bits(literal: Literal) -> Option<u32> {
    match literal {
        Literal::U32(value) => Some(value),
        Literal::I32(value) => Some(value as u32),
        Literal::Bool(value) => Some(value.into()),
        Literal::AbstractInt(value) => Some(value as u32),
        _ => None,
    }
}
