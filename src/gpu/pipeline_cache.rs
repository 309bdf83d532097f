//! Compiled pipelines kept from one process to the next: on Vulkan drivers without a cache of their own,
//! compiling is most of the time to the first result.
//!
//! A driver is trusted to read what it wrote, and little more. So the bytes are wrapped: a mark, the
//! version of this crate, and a hash of the rest. What does not match is not shown to the driver, and
//! never is a file that is damaged, foreign, locked or unwritable an error: pipelines are then compiled
//! as if there were none.

use sha2::{Digest, Sha256};

use super::context::GpuContext;
use super::scopes::guarded;

/// Where compiled pipelines are kept.
#[derive(Clone, Debug)]
pub enum PipelineCache {
    /// A folder, made if it is not there: a file for each device, read and written while an executor
    /// is built.
    #[cfg(not(target_arch = "wasm32"))]
    Folder(std::path::PathBuf),
    /// What [`GpuExecutor::compiled`](super::GpuExecutor::compiled) gave earlier; empty at first.
    Bytes(Vec<u8>),
}

/// The beginning of the bytes. Another version of this crate has other shaders.
const MARK: &[u8] = concat!("foveate pipelines ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();
/// Bytes of a SHA-256.
const HASH: usize = 32;
/// Beyond this a file begins anew: networks that nobody runs any more would stay in it for ever.
const MAX_BYTES: usize = 64 << 20;

/// A cache of the device's, in use.
pub(super) struct OpenCache {
    cache: wgpu::PipelineCache,
    #[cfg(not(target_arch = "wasm32"))]
    file: Option<std::path::PathBuf>,
    /// Hash of what was read, so that nothing is written if nothing was added.
    read: Option<[u8; HASH]>,
}

impl OpenCache {
    /// `None` where the device has no such thing.
    pub fn new(context: &GpuContext, kept: PipelineCache) -> Option<Self> {
        if !context.device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        #[cfg(not(target_arch = "wasm32"))]
        let (bytes, file) = match kept {
            PipelineCache::Bytes(bytes) => (bytes, None),
            PipelineCache::Folder(folder) => {
                let key = wgpu::util::pipeline_cache_key(&context.device.adapter_info())?;
                let file = folder.join(format!("{key}-foveate-{}.bin", env!("CARGO_PKG_VERSION")));
                (read_file(&file), Some(file))
            }
        };
        #[cfg(target_arch = "wasm32")]
        let PipelineCache::Bytes(bytes) = kept;
        let data = unwrap(&bytes);
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("foveate"), data, fallback: true };
        // SAFETY: the bytes come from `get_data` of this version, or their hash would not match: a hash that somebody
        // made to match is beyond what a cache's folder is protected from (SECURITY.md). For another device or driver
        // wgpu and the driver look at their own headers.
        let make = || unsafe { context.make().create_pipeline_cache(&descriptor) };
        let (cache, scope) = guarded(&context.device, make);
        // An error value stands for the driver's default.
        drop(scope);
        Some(OpenCache {
            cache,
            #[cfg(not(target_arch = "wasm32"))]
            file,
            read: data.map(|data| Sha256::digest(data).into()),
        })
    }

    /// For pipelines to be compiled with.
    pub fn cache(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// All that was compiled, wrapped.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        self.cache.get_data().map(|data| wrap(&data))
    }

    /// Writes the file, if there is one and something was added.
    pub fn keep(&self) {
        #[cfg(not(target_arch = "wasm32"))]
        if let (Some(file), Some(data)) = (&self.file, self.cache.get_data()) {
            if self.read == Some(Sha256::digest(&data).into()) {
                return;
            }
            let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
            let write = || crate::files::write(file, &wrap(&data));
            if let Err(error) =
                folder.map_err(|error| error.to_string()).and_then(|()| write().map_err(|e| e.to_string()))
            {
                log::debug!("compiled pipelines are not kept in {}: {error}", file.display());
            }
        }
        #[cfg(target_arch = "wasm32")]
        let _ = self.read;
    }
}

/// The whole file, or nothing.
#[cfg(not(target_arch = "wasm32"))]
fn read_file(file: &std::path::Path) -> Vec<u8> {
    crate::files::read_own("cannot read", file, MAX_BYTES as u64).unwrap_or_default()
}

/// The bytes of a file.
pub(crate) fn wrap(data: &[u8]) -> Vec<u8> {
    [MARK, &Sha256::digest(data), data].concat()
}

/// What was wrapped, if it is that.
pub(crate) fn unwrap(bytes: &[u8]) -> Option<&[u8]> {
    let (hash, data) = bytes.strip_prefix(MARK)?.split_at_checked(HASH)?;
    let same = Sha256::digest(data).as_slice() == hash;
    (same && bytes.len() <= MAX_BYTES).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_bytes_of_this_version_are_unwrapped() {
        let whole = wrap(b"compiled");
        assert_eq!(unwrap(&whole), Some(&b"compiled"[..]));
        assert_eq!(unwrap(&wrap(b"")), Some(&b""[..]));
        for end in 0..whole.len() {
            assert_eq!(unwrap(&whole[..end]), None, "cut at {end}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            assert_eq!(unwrap(&damaged), None, "damaged at {at}");
        }
        assert_eq!(unwrap(&[&whole[..], b"more"].concat()), None);
        assert_eq!(unwrap(&wrap(&vec![0; MAX_BYTES])), None, "too large");
    }
}
