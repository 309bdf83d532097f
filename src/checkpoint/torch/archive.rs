//! Zip archives of PyTorch: what `torch.save` has written since 1.6, and TorchScript's.

use super::File;
use super::pickle::{self, Fallible};
use super::shown;
use super::storages::Storages;
use super::zip::Archive;

/// The pickle of an archive, beside which the storages are.
const PICKLE: &str = "data.pkl";

/// Reads the pickle, and tells where the storages are.
pub fn read(bytes: &[u8]) -> Fallible<File<'_>> {
    let archive = Archive::open(bytes)?;
    let folder = folder(&archive)?;
    let entry = |name: &str| archive.read(&format!("{folder}{name}"));
    let big_endian = match entry("byteorder")? {
        None | Some(b"little") => false,
        Some(b"big") => true,
        Some(other) => {
            let order = String::from_utf8_lossy(other.get(..16).unwrap_or(other));
            return Err(format!("has byte order {order:?}; little and big are known"));
        }
    };
    let data = entry(PICKLE)?.ok_or("the archive has no data.pkl")?;
    let pickle = pickle::read(data).map_err(|reason| format!("{PICKLE}: {reason}"))?;
    let storages = Storages::of_archive(archive, format!("{folder}data/"), big_endian);
    Ok(File { pickle, storages })
}

/// The folder of everything in the archive, with a slash at its end; it is named after the file
/// that was first written.
fn folder(archive: &Archive) -> Fallible<String> {
    let mut folders: Vec<&str> = archive
        .names()
        .filter_map(|name| name.strip_suffix(PICKLE))
        .filter(|folder| folder.is_empty() || folder.find('/') == Some(folder.len() - 1))
        .collect();
    crate::order::sort_by(&mut folders, Ord::cmp);
    match folders.as_slice() {
        [folder] => Ok((*folder).to_owned()),
        [] if archive.names().any(|name| name.ends_with("/model.json")) => {
            Err("is a TorchScript archive of PyTorch 1.3 or older: load it with PyTorch and save its state_dict".into())
        }
        [] => Err(format!("is a zip archive, but not of PyTorch: it has no data.pkl{}", other(archive))),
        several => Err(format!("has {} entries data.pkl: which one is meant cannot be told", several.len())),
    }
}

/// What to do about an archive that is something else, as far as its entries tell.
fn other(archive: &Archive) -> String {
    let ends = |name: &&str, endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let packed = archive.names().find(|name| ends(name, &[".safetensors", ".pth", ".pt", ".pth.tar"]));
    if let Some(name) = packed {
        return format!("; unpack it, and give {}", shown(name));
    }
    if archive.names().any(|name| ends(&name, &[".weights.h5", "keras_metadata.pb"])) {
        return "; it is a Keras model: foveate reads checkpoints of PyTorch and safetensors".to_owned();
    }
    if archive.names().any(|name| ends(&name, &[".npy"])) {
        return "; it holds NumPy arrays: save them with safetensors.numpy.save_file".to_owned();
    }
    String::new()
}
