//! Threads: rayon's global pool natively, none on wasm.

/// Calls `work(index, piece)` for every consecutive piece of `len` values.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn for_each_piece(data: &mut [f32], len: usize, work: impl Fn(usize, &mut [f32]) + Sync + Send) {
    use rayon::prelude::*;
    if data.len() < SMALL || data.len() <= len {
        return data.chunks_mut(len.max(1)).enumerate().for_each(|(i, piece)| work(i, piece));
    }
    data.par_chunks_mut(len.max(1)).enumerate().for_each(|(i, piece)| work(i, piece));
}

/// Calls `work(index, piece)` for every consecutive piece of `len` values.
#[cfg(target_arch = "wasm32")]
pub(super) fn for_each_piece(data: &mut [f32], len: usize, work: impl Fn(usize, &mut [f32]) + Sync + Send) {
    data.chunks_mut(len.max(1)).enumerate().for_each(|(i, piece)| work(i, piece));
}

/// Below this many values, waking other threads costs more than they save.
#[cfg(not(target_arch = "wasm32"))]
const SMALL: usize = 4096;

/// Number of threads that [`for_each_piece`] may use.
pub(super) fn threads() -> usize {
    #[cfg(not(target_arch = "wasm32"))]
    return rayon::current_num_threads();
    #[cfg(target_arch = "wasm32")]
    return 1;
}

/// How the matrix product spreads its work.
pub(super) fn gemm_threads() -> gemm::Parallelism {
    #[cfg(not(target_arch = "wasm32"))]
    return gemm::Parallelism::Rayon(0);
    #[cfg(target_arch = "wasm32")]
    return gemm::Parallelism::None;
}
