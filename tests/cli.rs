//! The command line, run as its users run it.

#[path = "cli/contract.rs"]
mod contract;
#[path = "cli/info.rs"]
mod info;
#[path = "cli/run.rs"]
mod run;
