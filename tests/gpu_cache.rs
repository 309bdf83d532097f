//! Compiled pipelines kept in files and bytes: whatever lies there, the network runs and answers the same.
#![cfg(not(target_arch = "wasm32"))]

mod device;

use std::path::{Path, PathBuf};

use foveate::gpu::{ExecutorOptions, GpuContext, GpuExecutor, PipelineCache};
use foveate::plan::Plan;
use foveate::{Model, Tensor};
use pollster::block_on;

/// The Vulkan device, the only kind that has such a cache; none if GPU tests are skipped.
fn vulkan() -> Option<&'static GpuContext> {
    device::contexts().iter().find(|context| context.summary().backend == "vulkan")
}

fn executor(context: &GpuContext, pipelines: Option<PipelineCache>) -> GpuExecutor {
    let model = Model::builtin().unwrap();
    let plan = Plan::for_target(model.graph(), 1, &[], context.target()).unwrap();
    block_on(GpuExecutor::new(context, plan, ExecutorOptions { pipelines, ..Default::default() })).unwrap()
}

fn answer(executor: &mut GpuExecutor) -> Tensor {
    let input = Tensor::new([1, 3, 32, 32], (0..3 * 32 * 32).map(|i| (i % 13) as f32 - 6.0).collect()).unwrap();
    block_on(executor.run_tensor(&input)).unwrap().swap_remove(0)
}

/// A folder of one's own that is empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pipelines").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn pipelines_are_kept_in_a_folder_and_in_bytes() {
    let Some(context) = vulkan() else { return };
    let mut without = executor(context, None);
    assert_eq!(without.compiled(), None);
    let expected = answer(&mut without);
    let folder = folder("kept").join("not there yet");
    let mut first = executor(context, Some(PipelineCache::Folder(folder.clone())));
    assert_eq!(answer(&mut first), expected);
    let file = only_file(&folder);
    let kept = std::fs::read(&file).unwrap();
    assert!(kept.starts_with(b"foveate pipelines ") && first.compiled().is_some());
    for again in [PipelineCache::Folder(folder.clone()), PipelineCache::Bytes(kept), PipelineCache::Bytes(Vec::new())] {
        assert_eq!(answer(&mut executor(context, Some(again))), expected);
    }
    assert_eq!(only_file(&folder), file);
}

#[test]
fn damaged_and_foreign_files_are_replaced() {
    let Some(context) = vulkan() else { return };
    let expected = answer(&mut executor(context, None));
    let folder = folder("damaged");
    executor(context, Some(PipelineCache::Folder(folder.clone())));
    let file = only_file(&folder);
    let good = std::fs::read(&file).unwrap();
    let noise: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // The mark and the hash are right, and what is wrapped is nothing that wgpu or a driver wrote.
    let wrapped = |data: &[u8]| {
        use sha2::Digest;
        let mark = good.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        [&good[..mark], &sha2::Sha256::digest(data), data].concat()
    };
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let bad = [Vec::new(), noise.clone(), good[..good.len() / 2].to_vec(), flipped, wrapped(&noise), wrapped(b"")];
    for bytes in bad {
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(answer(&mut executor(context, Some(PipelineCache::Folder(folder.clone())))), expected);
        let now = std::fs::read(&file).unwrap();
        assert!(now.starts_with(b"foveate pipelines ") && now != bytes, "{} bytes were left", bytes.len());
        assert_eq!(answer(&mut executor(context, Some(PipelineCache::Bytes(bytes)))), expected);
    }
}

#[test]
fn places_that_cannot_be_written_are_no_error() {
    let Some(context) = vulkan() else { return };
    let expected = answer(&mut executor(context, None));
    let folder = folder("unwritable");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("a file");
    std::fs::write(&file, b"mine").unwrap();
    // A file where a folder should be, and a folder where the file should be.
    assert_eq!(answer(&mut executor(context, Some(PipelineCache::Folder(file.clone())))), expected);
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    std::fs::remove_file(&file).unwrap();
    executor(context, Some(PipelineCache::Folder(folder.clone())));
    let place = only_file(&folder);
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    assert_eq!(answer(&mut executor(context, Some(PipelineCache::Folder(folder)))), expected);
    assert!(place.is_dir());
}

/// Only Vulkan has it; elsewhere the option does nothing.
#[test]
fn devices_without_a_cache_run_as_ever() {
    for context in device::contexts().iter().filter(|context| context.summary().backend != "vulkan") {
        let folder = folder("other");
        let kept = executor(context, Some(PipelineCache::Folder(folder.clone())));
        assert!(kept.compiled().is_none() && !folder.exists());
    }
}
