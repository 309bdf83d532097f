//! The command line, run as its users run it.

#[path = "cli/analyze.rs"]
mod analyze;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/browser.rs"]
mod browser;
#[path = "cli/contract.rs"]
mod contract;
#[path = "cli/eval.rs"]
mod eval;
#[path = "cli/features.rs"]
mod features;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/info.rs"]
mod info;
#[path = "cli/pull.rs"]
mod pull;
#[path = "cli/pull_bench.rs"]
mod pull_bench;
#[path = "cli/pull_faults.rs"]
mod pull_faults;
#[path = "cli/quantize.rs"]
mod quantize;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/server.rs"]
mod server;
#[path = "cli/tune.rs"]
mod tune;
#[path = "cli/verify.rs"]
mod verify;
