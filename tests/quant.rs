//! INT8: what 8 bits cost, what repairs them, and what files and odd input do.

#[path = "quant/files.rs"]
mod files;
#[path = "quant/golden.rs"]
mod golden;
#[path = "quant/hard.rs"]
mod hard;
#[path = "quant/odd.rs"]
mod odd;
#[path = "quant/repair.rs"]
mod repair;
#[path = "quant/support.rs"]
mod support;
