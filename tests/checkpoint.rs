//! Checkpoints and model files: golden networks load and compute what the reference computed, bad
//! files are refused with a message that names the fault.

#[path = "checkpoint/bad_archives.rs"]
mod bad_archives;
#[path = "checkpoint/bad_files.rs"]
mod bad_files;
#[path = "checkpoint/describe.rs"]
mod describe;
#[path = "checkpoint/forge.rs"]
mod forge;
#[path = "checkpoint/golden.rs"]
mod golden;
#[path = "checkpoint/hostile_pickles.rs"]
mod hostile_pickles;
#[path = "checkpoint/model_files.rs"]
mod model_files;
#[path = "checkpoint/numpy_files.rs"]
mod numpy_files;
#[path = "checkpoint/preprocess.rs"]
mod preprocess;
#[path = "checkpoint/support.rs"]
mod support;
#[path = "checkpoint/torch_files.rs"]
mod torch_files;
#[path = "checkpoint/wrappers.rs"]
mod wrappers;
