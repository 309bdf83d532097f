//! The vector instructions that kernels run with.
//!
//! Natively the best that the machine has are found when the program runs, and every kernel is compiled for each.
//! WebAssembly cannot ask: a module with instructions that the browser lacks does not load. So the module is
//! compiled for one set (`tests/wasm.sh` has the flags).

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) use pulp::Arch as Vectors;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use wasm::Vectors;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use pulp::wasm::Simd128;
    use pulp::{Simd, WithSimd};

    /// The instructions that this module was compiled for.
    #[derive(Clone, Copy)]
    pub(crate) struct Vectors(Simd128);

    impl Vectors {
        pub(crate) fn new() -> Self {
            // SAFETY: the whole module is compiled with these instructions, so it runs only where they are.
            Vectors(unsafe { Simd128::new_unchecked() })
        }

        /// Runs `op`, compiled for these instructions.
        pub(crate) fn dispatch<Op: WithSimd>(self, op: Op) -> Op::Output {
            Simd::vectorize(self.0, op)
        }
    }
}
