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

/// Calls `work` for every item, on that many threads that are not rayon's: while one of those waits, it may begin
/// other work, and that may wait for what this call is part of.
pub(super) fn on_threads<T: Send>(mut items: Vec<T>, threads: usize, work: impl Fn(&mut T) + Sync) {
    #[cfg(not(target_arch = "wasm32"))]
    if threads > 1 && items.len() > 1 {
        let mut shares: Vec<Vec<T>> = (0..threads.min(items.len())).map(|_| Vec::new()).collect();
        let count = shares.len();
        items.into_iter().enumerate().for_each(|(i, item)| shares[i % count].push(item));
        let work = &work;
        return std::thread::scope(|scope| {
            for mut share in shares {
                scope.spawn(move || share.iter_mut().for_each(work));
            }
        });
    }
    #[cfg(target_arch = "wasm32")]
    let _ = threads;
    items.iter_mut().for_each(work);
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
