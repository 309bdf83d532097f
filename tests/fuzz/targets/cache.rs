#![no_main]
foveate_fuzz::fuzz_kind!(foveate_fuzz::Kind::Cache);
