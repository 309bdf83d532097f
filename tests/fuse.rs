//! Whole networks: the golden checkpoints of the official implementations, and full-size ones.

#[path = "fuse/golden.rs"]
mod golden;
#[path = "fuse/networks.rs"]
mod networks;
