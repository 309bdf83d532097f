//! Threads: rayon's global pool natively, none on wasm.

use gemm::Parallelism;

/// Calls `work(index, piece)` for every consecutive piece of `len` values, on several threads.
pub(super) fn for_each_piece(data: &mut [f32], len: usize, work: impl Fn(usize, &mut [f32]) + Sync + Send) {
    for_each_piece_if(true, data, len, work);
}

/// Like [`for_each_piece`], but on the calling thread alone unless `shared`.
pub(super) fn for_each_piece_if(
    shared: bool,
    data: &mut [f32],
    len: usize,
    work: impl Fn(usize, &mut [f32]) + Sync + Send,
) {
    let len = len.max(1);
    #[cfg(not(target_arch = "wasm32"))]
    if shared && data.len() >= SMALL && data.len() > len {
        use rayon::prelude::*;
        return data.par_chunks_mut(len).enumerate().for_each(|(i, piece)| work(i, piece));
    }
    #[cfg(target_arch = "wasm32")]
    let _ = shared;
    data.chunks_mut(len).enumerate().for_each(|(i, piece)| work(i, piece));
}

/// Calls `work(index, piece)` for every consecutive piece of `len` values, however few values there are:
/// for pieces that are much work each.
pub(super) fn for_each_chunk(data: &mut [f32], len: usize, work: impl Fn(usize, &mut [f32]) + Sync + Send) {
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        data.par_chunks_mut(len).enumerate().for_each(|(i, piece)| work(i, piece));
    }
    #[cfg(target_arch = "wasm32")]
    data.chunks_mut(len).enumerate().for_each(|(i, piece)| work(i, piece));
}

/// Below this many values, waking other threads costs more than they save.
#[cfg(not(target_arch = "wasm32"))]
const SMALL: usize = 4096;

/// Number of threads that the CPU executor may use.
pub fn threads() -> usize {
    #[cfg(not(target_arch = "wasm32"))]
    return rayon::current_num_threads();
    #[cfg(target_arch = "wasm32")]
    return 1;
}

/// How a matrix product spreads its work: over all threads if `shared`.
pub(super) fn gemm_threads(shared: bool) -> Parallelism {
    match shared {
        #[cfg(not(target_arch = "wasm32"))]
        true => Parallelism::Rayon(0),
        _ => Parallelism::None,
    }
}
