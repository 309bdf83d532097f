//! Integer programs on the CPU.
//!
//! [`Int8Executor`] runs a [`Program`]: weights are packed once, values lie in blocks of sixteen bytes ([`layout`]),
//! products are summed four at a time by whatever instructions the machine has ([`isa`]), threads go through the steps
//! together as those of the float executor do. One file per kernel; [`steps`] is their table.

mod conv;
mod depthwise;
mod executor;
mod isa;
mod kernel;
mod layout;
mod mixer;
mod plain;
mod prepared;
mod small;
mod steps;

pub use executor::Int8Executor;
