//! What is done with an input of each kind. Every answer is right but a panic, and memory beyond a
//! small multiple of the input.

use std::io::Cursor;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use foveate::checkpoint::{self, Checkpoint, LoadOptions, LoadedModel};
use foveate::cpu::{CpuExecutor, Int8Executor};
use foveate::kernels::Target;
use foveate::plan::Plan;
use foveate::preprocess::{Filter, Preprocess, Resize};
use foveate::quant::{Quantization, Scheme};
use foveate::{Graph, Picture, Tensor, int8, passes};

use super::forge;
use super::memory::bounded;

/// Memory that may be taken besides a multiple of the input.
const BASE: usize = 64 << 20;
const FACTOR: usize = 8;
/// In a pickle every byte may make an object, up to four million of them.
const PICKLE_FACTOR: usize = 96;

/// Pictures with more pixels take too long to be tried often.
const MAX_PIXELS: usize = 1 << 20;
/// Memory for each of them: 16-bit RGBA or floats while decoding, a copy that is turned upright.
const PIXEL: usize = 64;

/// Networks that take more multiply-accumulates or values are not run, only planned.
const MAX_WORK: u64 = 1 << 20;

/// Of so many inputs one gets what costs most of the time: a small network run on the CPU, one planned with choices.
/// Which ones the input's own bytes say, so that an input is always treated the same.
pub static RUN_ONE_IN: AtomicU64 = AtomicU64::new(1);

/// Whether these bytes are among those.
pub fn chosen(bytes: &[u8]) -> bool {
    u64::from(crc32fast::hash(bytes)).is_multiple_of(RUN_ONE_IN.load(Relaxed))
}

pub fn limited<T>(bytes: &[u8], run: impl FnOnce() -> T) -> T {
    bounded(BASE + FACTOR * bytes.len(), "the input", run)
}

/// Reads a checkpoint, detects its network, fuses and plans it.
pub fn safetensors(bytes: &[u8]) -> bool {
    limited(bytes, || {
        read(bytes);
        checkpoint::load(bytes, "input", None).is_ok_and(|loaded| network(&loaded, chosen(bytes)))
    })
}

/// Reads an archive, whatever network is in it, if one is.
pub fn torch_zip(bytes: &[u8]) -> bool {
    limited(bytes, || {
        let loaded = checkpoint::load(bytes, "input", None);
        let read = read(bytes);
        loaded.map_or(read, |loaded| network(&loaded, chosen(bytes)))
    })
}

/// Reads the tensors, with and without their average.
fn read(bytes: &[u8]) -> bool {
    let read = [false, true].map(|use_ema| Checkpoint::read_ema(bytes, "input", use_ema));
    for checkpoint in read.iter().flatten() {
        let finite = |tensor: &Tensor| !tensor.is_empty() && tensor.data().iter().all(|v| v.is_finite());
        assert!(checkpoint.tensors.values().all(finite));
    }
    read[0].is_ok()
}

/// Reads a pickle in an archive, in a legacy file, and as a file of its own.
pub fn pickle(bytes: &[u8]) -> bool {
    let storage = forge::floats(&[0.5; 64]);
    let names: Vec<String> = (0..10).map(|key| format!("net/data/{key}")).collect();
    let storages = names.iter().map(|name| forge::entry(name, &storage));
    let archive = forge::zip(&std::iter::once(forge::entry("net/data.pkl", bytes)).chain(storages).collect::<Vec<_>>());
    let legacy = forge::legacy(bytes, &[0.5; 64]);
    [&archive[..], &legacy, bytes]
        .map(|file| {
            let bound = BASE + PICKLE_FACTOR * file.len();
            bounded(bound, "the pickle", || Checkpoint::read(file, "input").is_ok())
        })
        .contains(&true)
}

/// Decodes a picture by its content and by a name, and prepares it for a network.
pub fn picture(bytes: &[u8]) -> bool {
    ["input", "input.tga"].map(|origin| picture_as(bytes, origin)).contains(&true)
}

fn picture_as(bytes: &[u8], origin: &str) -> bool {
    // The crate's own limit holds here, a quarter more for indices of GIFs.
    let header = foveate::picture::MAX_BYTES as usize / 4 * 5 + BASE;
    let pixels = bounded(header, "the header", || {
        let reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
        let (width, height) = reader.into_dimensions().ok()?;
        usize::try_from(u64::from(width) * u64::from(height)).ok()
    });
    // What the crate refuses may be large; it is ours to refuse it.
    if pixels.is_some_and(|pixels| pixels > MAX_PIXELS && pixels < (512 << 20)) {
        return false;
    }
    let claimed = pixels.unwrap_or(0).min(MAX_PIXELS) * PIXEL;
    // Decoders may believe a file's tables up to what `picture/claim.rs` allows for any file, a quarter more for
    // indices of GIFs.
    let base = 2 * BASE + BASE / 4;
    bounded(base + 2 * FACTOR * bytes.len() + claimed, "the picture", || {
        let Ok(picture) = Picture::decode(bytes, origin) else { return false };
        assert_eq!(picture.rgba().len(), picture.width() as usize * picture.height() as usize * 4);
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let resize = Resize { shorter: 9, filter };
            let preprocess = Preprocess { resize, crop: [7, 8], mean: [0.5; 3], std: [0.25; 3] };
            let input = preprocess.apply(&picture).expect("a picture with pixels can be prepared");
            assert!(input.data().iter().all(|v| v.is_finite() && v.abs() <= 2.01));
        }
        true
    })
}

/// Reads a model file, fuses and plans its network, and runs it if it is small.
pub fn model_file(bytes: &[u8]) -> bool {
    limited(bytes, || match checkpoint::load(bytes, "input", LoadOptions::default()) {
        Ok(model) => network(&model, chosen(bytes)) && prepared(&model),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    })
}

fn prepared(model: &LoadedModel) -> bool {
    model.preprocess.tables(31, 17).expect("what was validated makes tables").horizontal.outputs() > 0
}

/// Fuses, plans, and if `run` says so runs a small network. Says whether all of it worked.
fn network(model: &LoadedModel, run: bool) -> bool {
    if let Some(quantization) = &model.quantization {
        return quantized(&model.graph, quantization, run);
    }
    let Ok((fused, _)) = passes::fuse(&model.graph) else { return false };
    for graph in [&model.graph, &fused] {
        let taps: Vec<_> = graph.taps().iter().map(|(_, id)| *id).collect();
        let Ok(plan) = Plan::new(graph, 2, &taps) else { return false };
        assert!(!plan.to_string().is_empty() && plan.outputs.len() == 1 + taps.len());
        if run && small(graph) {
            let executor = CpuExecutor::new(graph.clone()).expect("small values fit the address space");
            let output = executor.run(&sample(graph)).expect("the input has the graph's shape");
            assert_eq!(output.len(), graph.node(graph.output()).shape.len());
        }
    }
    true
}

/// The same for a network in 8 bits, which is fused: in floats, and in integers if it has scales for them.
fn quantized(graph: &Graph, quantization: &Quantization, run: bool) -> bool {
    let Ok(floats) = Plan::new(graph, 2, &[]) else { return false };
    assert!(!floats.to_string().is_empty());
    if quantization.scheme() != Scheme::W8a8 {
        return true;
    }
    let Ok(program) = int8::lower(graph, quantization) else { return false };
    let Ok(plan) = Plan::for_program(&program, 2, &[], Target::default()) else { return false };
    assert!(!plan.to_string().is_empty() && program.float_nodes() <= graph.nodes().len());
    if run && small(graph) {
        let output = Int8Executor::new(program).run(&sample(graph)).expect("the input has the graph's shape");
        assert_eq!(output.len(), graph.node(graph.output()).shape.len());
    }
    true
}

fn small(graph: &Graph) -> bool {
    let values: usize = graph.nodes().iter().map(|node| node.shape.len()).sum();
    graph.macs().max(values as u64) <= MAX_WORK
}

fn sample(graph: &Graph) -> Tensor {
    let shape = graph.input_shape();
    Tensor::full([1, shape.channels, shape.height, shape.width], 0.5)
}
