//! What makes an entry of a list sound: lists come from files, and names become files.

use super::{Entry, MAX_BYTES};

const LONGEST_NAME: usize = 128;

/// Checks what the type does not.
///
/// # Errors
/// Which key is wrong, and what is wanted.
pub(super) fn entry(entry: &Entry) -> Result<(), String> {
    file_name(&entry.name).map_err(|reason| format!("name {reason}"))?;
    file_name(&entry.file).map_err(|reason| format!("file {reason}"))?;
    // Beside a file lie others of its name with these endings.
    if let Some(ending) = [".part", ".lock", ".sha256", ".json"].iter().find(|ending| entry.file.ends_with(**ending)) {
        return Err(format!("file {:?} must not end in {ending}", entry.file));
    }
    for (key, url) in [("url", &entry.url), ("source", &entry.source), ("licence.url", &entry.licence.url)] {
        let scheme = url.starts_with("https://") || url.starts_with("http://");
        if !scheme || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("{key} {url:?} is no http or https address"));
        }
    }
    if entry.licence.name.chars().any(char::is_control) {
        return Err("licence.name holds control characters".into());
    }
    let hex = |text: &String| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if let Some(hash) = entry.sha256.as_ref().filter(|hash| !hex(hash)) {
        return Err(format!("sha256 {hash:?} is not 64 lower-case hexadecimals"));
    }
    if let Some(size) = entry.size.filter(|size| !(1..=MAX_BYTES).contains(size)) {
        return Err(format!("size is {size}; it must be 1 to {MAX_BYTES} bytes"));
    }
    if let Some(size) = entry.size_mb.filter(|size| !(*size > 0.0 && size.is_finite())) {
        return Err(format!("size_mb is {size}; it must be above 0"));
    }
    if let Some(top1) = entry.top1.filter(|top1| !(0.0..=100.0).contains(top1)) {
        return Err(format!("top1 is {top1}; it must be a percentage"));
    }
    entry.architecture().map(drop).map_err(|error| error.to_string())
}

/// A name that is safe as a file name on every platform, and has no way out of its folder.
fn file_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let (first, last) = (name.chars().next(), name.chars().next_back());
    let edges = first.is_some_and(|c| c.is_ascii_alphanumeric()) && last.is_some_and(|c| c.is_ascii_alphanumeric());
    if !edges || !name.chars().all(plain) || name.len() > LONGEST_NAME {
        return Err(format!(
            "{name:?} is no plain name (letters, digits, '.', '_' and '-', a letter or digit at both ends, \
             at most {LONGEST_NAME})"
        ));
    }
    // Windows takes these for devices, whatever the ending.
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let numbered = |device: &str| stem.strip_prefix(device).is_some_and(|n| n.len() == 1);
    if ["con", "prn", "aux", "nul"].contains(&stem.as_str()) || numbered("com") || numbered("lpt") {
        return Err(format!("{name:?} is the name of a device on Windows"));
    }
    Ok(())
}
