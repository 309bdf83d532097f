//! Readers of the files in the cache's folder that nobody but this crate reads: for `tests/fuzz`, which gives them any
//! bytes. No part of the interface that versions keep.

use crate::gpu::{unwrap_pipelines, wrap_pipelines};
use crate::verify::Record;

/// What a file of [`DriverTests`](crate::DriverTests) holds that can be used, written anew; and how many devices that is.
pub fn drivers(json: &[u8]) -> (String, usize) {
    let record = Record::parse(json);
    let mut merged = Record::default();
    merged.merge(&record);
    (merged.to_json(), merged.devices())
}

/// The compiled pipelines in a file of a [`PipelineCache::Folder`](crate::gpu::PipelineCache::Folder): what a driver is shown.
pub fn pipelines(bytes: &[u8]) -> Option<&[u8]> {
    unwrap_pipelines(bytes)
}

/// Such a file.
pub fn pipelines_file(compiled: &[u8]) -> Vec<u8> {
    wrap_pipelines(compiled)
}
