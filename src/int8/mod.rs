//! Quantised networks in integers: what CPU and GPU both compute, bit for bit.
//!
//! [`lower()`] turns a fused graph and its [`Quantization`](crate::quant::Quantization) into a [`Program`] of integer
//! operations, a pure function; [`arith`] and [`table`] define every rounding, with 32 bits only, as shaders need it;
//! [`mod@reference`] is the definition of each operation in plain loops. The executors are
//! [`Int8Executor`](crate::cpu::Int8Executor) and the GPU's.

pub mod arith;
mod lower;
pub mod program;
pub mod reference;
pub mod table;

pub use lower::lower;
pub use program::{IntOp, Program, Type, ValueId};
