//! The command line, run as its users run it.

#[path = "cli/contract.rs"]
mod contract;
#[path = "cli/eval.rs"]
mod eval;
#[path = "cli/run.rs"]
mod run;
