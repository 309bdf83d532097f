//! What the fuzz targets and `tests/fuzz_corpus.rs` share: what is done with an input ([`Kind::run`]),
//! how inputs are changed ([`mutate`]), and how much memory they may take ([`memory`]).

pub mod bodies;
pub mod documents;
pub mod memory;
pub mod mutate;

#[path = "../checkpoint/forge.rs"]
#[allow(dead_code)]
pub mod forge;

/// What an input is given to, and what it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A safetensors file with a checkpoint in it.
    Safetensors,
    /// A zip archive of PyTorch: state dicts, modules, TorchScript.
    TorchZip,
    /// A pickle, to be put into an archive and into a legacy file; or a whole legacy file.
    Pickle,
    /// A picture of any format.
    Picture,
    /// A model file of this crate's own, with its graph in the metadata.
    ModelFile,
    /// The metadata of a model file, as plain JSON, and its tensors.
    Metadata,
    /// What was tuned, tables of tiles, measured ceilings.
    Tuning,
    /// Benchmark records and profiles.
    Benchmark,
    /// Lists of published weights.
    Registry,
    /// Label files, and truth files of labelled pictures.
    Names,
    /// A layer that `foveate verify --write-repro` wrote.
    Repro,
    /// What lies in the cache's folder and no other target reads: tested drivers, compiled pipelines.
    Cache,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 12] = [
        Kind::Safetensors,
        Kind::TorchZip,
        Kind::Pickle,
        Kind::Picture,
        Kind::ModelFile,
        Kind::Metadata,
        Kind::Tuning,
        Kind::Benchmark,
        Kind::Registry,
        Kind::Names,
        Kind::Repro,
        Kind::Cache,
    ];

    /// Name of the target, and of its folders of inputs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Safetensors => "safetensors",
            Kind::TorchZip => "torch_zip",
            Kind::Pickle => "pickle",
            Kind::Picture => "picture",
            Kind::ModelFile => "model_file",
            Kind::Metadata => "metadata",
            Kind::Tuning => "tuning",
            Kind::Benchmark => "benchmark",
            Kind::Registry => "registry",
            Kind::Names => "names",
            Kind::Repro => "repro",
            Kind::Cache => "cache",
        }
    }

    /// Does with an input what the library does with a file, and asserts that memory stays bounded.
    /// Says whether the input was accepted.
    ///
    /// # Panics
    /// That is what is looked for.
    pub fn run(self, bytes: &[u8]) -> bool {
        match self {
            Kind::Safetensors => bodies::safetensors(bytes),
            Kind::TorchZip => bodies::torch_zip(bytes),
            Kind::Pickle => bodies::pickle(bytes),
            Kind::Picture => bodies::picture(bytes),
            Kind::ModelFile => bodies::model_file(bytes),
            Kind::Metadata => documents::metadata(bytes),
            Kind::Tuning => documents::tuning(bytes),
            Kind::Benchmark => documents::benchmark(bytes),
            Kind::Registry => documents::registry(bytes),
            Kind::Names => documents::names(bytes),
            Kind::Repro => documents::repro(bytes),
            Kind::Cache => documents::cache(bytes),
        }
    }
}

/// The whole of a fuzz target: counting allocator, body, mutator.
#[macro_export]
macro_rules! fuzz_kind {
    ($kind:expr) => {
        #[global_allocator]
        static ALLOCATOR: $crate::memory::Counting = $crate::memory::Counting;

        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            $crate::bodies::RUN_ONE_IN.store(16, std::sync::atomic::Ordering::Relaxed);
            $kind.run(bytes);
        });

        // Every other change is libFuzzer's own, which knows what it has seen compared.
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            if seed % 2 == 0 {
                return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
            }
            let changed = $crate::mutate::mutate($kind, &data[..size], u64::from(seed));
            let length = changed.len().min(max_size);
            data[..length].copy_from_slice(&changed[..length]);
            length
        });
    };
}
