//! The command line, run as its users run it.

#[path = "cli/contract.rs"]
mod contract;
#[path = "cli/features.rs"]
mod features;
#[path = "cli/run.rs"]
mod run;
