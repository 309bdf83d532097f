//! Drivers that compute on the processor, and how to plan for each of them.
//!
//! They differ more than GPUs do: what makes one three times as fast takes another minutes to compile. Each
//! row holds what was measured with `examples/times` on two cores (AVX-512, Mesa 22.3.6, Chromium's
//! SwiftShader); times are of the processor, since other programs ran beside it.

use super::{Storage, Target};

/// How to plan for a driver.
#[derive(Debug)]
struct Driver {
    /// Any of these is part of the adapter's or the driver's name, in small letters; none: every driver.
    names: &'static [&'static str],
    /// The only backend that it is about.
    backend: Option<&'static str>,
    /// [`Target::sums`] where subgroups share weights, and where none do.
    sums: [usize; 2],
    /// [`Target::mlp_sums`] likewise.
    mlp_sums: [usize; 2],
    /// [`Target::row`].
    row: usize,
    /// [`Target::unrolled`].
    unrolled: bool,
    /// [`Target::brief`].
    brief: bool,
}

/// The first row that is about a driver counts.
static DRIVERS: &[Driver] = &[SWIFTSHADER, Driver { backend: Some("webgpu"), ..SWIFTSHADER }, MESA_GL, MESA];

/// Google's Vulkan driver, which Chromium falls back to. Its compiler unrolls no loop: written out,
/// MobileOne-S0 takes 0.18 s instead of 0.91, RepVGG-A0 0.46 s instead of several. Its compile time goes by
/// the length of the text: two MLP layers at once compile for 10 to 34 s each, so never; 56 sums instead of 28
/// compile for half as long again and gain nothing; 14 outputs of a depthwise row compile for 1.5 s, 7 for 0.4.
///
/// Browsers give neither the driver's name nor subgroups; a fallback adapter there is SwiftShader.
const SWIFTSHADER: Driver = Driver {
    names: &["swiftshader"],
    backend: None,
    sums: [28, 28],
    mlp_sums: [0, 0],
    row: 7,
    unrolled: true,
    brief: true,
};

/// llvmpipe behind OpenGL, which has no subgroups of known size.
const MESA_GL: Driver = Driver {
    names: &["llvmpipe"],
    backend: Some("gl"),
    sums: [28, 28],
    mlp_sums: [0, 0],
    row: 14,
    unrolled: true,
    brief: false,
};

/// lavapipe, and whatever else there may be: the fewer loads to a multiplication, the better, however few
/// invocations that leaves. With subgroups smaller tiles do, which compile in a tenth of the time.
const MESA: Driver =
    Driver { names: &[], backend: None, sums: [64, 112], mlp_sums: [340, 340], row: 14, unrolled: false, brief: false };

impl Driver {
    fn is(&self, backend: &str, names: &[String]) -> bool {
        let named = |part: &&str| names.iter().any(|name| name.contains(*part));
        // A browser's adapter has no name to go by.
        let known = self.names.is_empty() || self.names.iter().any(named) || self.backend == Some("webgpu");
        known && self.backend.is_none_or(|only| only == backend)
    }
}

/// Whether the crate's own tests run on a driver: those that have a row by their name.
#[cfg(not(all(target_arch = "wasm32", feature = "web")))]
pub(crate) fn tested(backend: &str, names: [&str; 2]) -> bool {
    let names = names.map(str::to_lowercase);
    let lavapipe = names.iter().any(|name| name.contains("llvmpipe"));
    lavapipe
        || DRIVERS.iter().any(|driver| !driver.names.is_empty() && backend != "webgpu" && driver.is(backend, &names))
}

impl Target {
    /// For a driver that computes on the processor, by its backend's, adapter's and driver's names.
    /// `subgroup` is the size of all its subgroups, if it is 4 or 8, else 0.
    ///
    /// Operands lie in textures: some of them execute loads from buffers invocation by invocation, loads
    /// from textures for several at once.
    pub fn for_software(backend: &str, names: [&str; 2], subgroup: u32) -> Self {
        let names = names.map(str::to_lowercase);
        let driver = DRIVERS.iter().find(|driver| driver.is(backend, &names)).unwrap_or(&MESA);
        let shared = usize::from(subgroup == 0);
        Target {
            activations: Storage::Texture,
            weights: Storage::Texture,
            software: true,
            subgroup,
            winograd: subgroup > 0,
            invocations: 0,
            sums: driver.sums[shared],
            mlp_sums: driver.mlp_sums[shared],
            row: driver.row,
            unrolled: driver.unrolled,
            brief: driver.brief,
            ..Target::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tested_drivers_are_known_by_name() {
        for (backend, name) in
            [("vulkan", "SwiftShader Device (Subzero)"), ("gl", "llvmpipe"), ("vulkan", "llvmpipe (LLVM)")]
        {
            assert!(tested(backend, [name, ""]), "{name}");
        }
        for (backend, name) in [("vulkan", "NVIDIA T4"), ("webgpu", ""), ("dx12", "Microsoft Basic Render Driver")] {
            assert!(!tested(backend, [name, ""]), "{name}");
        }
    }

    #[test]
    fn drivers_are_told_apart() {
        let [native, mesa] = ["SwiftShader Device (Subzero)", "llvmpipe (LLVM 15.0.6, 256 bits)"];
        let swiftshader = Target::for_software("vulkan", [native, "SwiftShader driver"], 4);
        assert!(swiftshader.unrolled && swiftshader.winograd && swiftshader.mlp_sums == 0);
        let browser = Target::for_software("webgpu", ["", ""], 0);
        assert_eq!(browser, Target { subgroup: 0, winograd: false, ..swiftshader });
        let lavapipe = Target::for_software("vulkan", [mesa, "llvmpipe"], 8);
        assert!(!lavapipe.unrolled && lavapipe.sums == 64);
        let gl = Target::for_software("gl", [mesa, ""], 0);
        assert!(gl.unrolled && gl.sums < lavapipe.sums);
        let unknown = Target::for_software("dx12", ["Microsoft Basic Render Driver", ""], 0);
        assert_eq!(unknown, Target::software());
    }
}
