//! What a file's header may claim before memory is taken for it. A header is a few bytes, and decoders
//! allocate what it says: so sizes are held against what the rest of the file could possibly fill.

use image::{ImageFormat, Limits};

use super::decode::{cut_short, too_large};
use super::{MAX_BYTES, bmp};

/// Bytes that any file may ask for.
const FREE: u64 = 64 << 20;
/// Bytes that decoders may take besides the pixels, and for each of the file: tables, profiles, texts.
const BESIDES: u64 = 32 << 20;
const FACTOR: u64 = 8;

/// The most pixels that a byte of a file may stand for, generously.
fn density(format: ImageFormat) -> u64 {
    match format {
        // One bit for a pixel, or a plain sum.
        ImageFormat::Pnm => 8,
        // A run is at most 62 pixels in a byte, 128 in two.
        ImageFormat::Qoi | ImageFormat::Tga => 64,
        // A block of 64 pixels takes a bit in a progressive file's first scan; runs of a bitmap are 255 in two bytes.
        ImageFormat::Jpeg | ImageFormat::Bmp => 1024,
        // Strings of LZW have at most 4096 pixels; a canvas may be a little larger than its first frame.
        ImageFormat::Gif => 4096,
        // Deflate makes at most 1032 bytes of one, with eight pixels in each.
        ImageFormat::Png | ImageFormat::Ico => 8 * 1032,
        // Where rows (fax) or whole pictures (lossless WebP) of one colour may cost nothing: no photographs.
        _ => 16_384,
    }
}

/// Width and height as a header says, where decoders have worse words for what is wrong with them.
pub(super) fn header(bytes: &[u8], format: ImageFormat) -> Option<(i64, i64)> {
    let side = |at: usize| Some(i64::from(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?)));
    match format {
        ImageFormat::Bmp => bmp::size(bytes).map(|(width, height)| (width.into(), height.into())),
        ImageFormat::Png => side(16).zip(side(20)),
        _ => None,
    }
}

/// Refuses a size without pixels, with too many, and with more than `bytes` of a file could fill. Rows may be
/// counted backwards, columns not.
pub(super) fn check(width: i64, height: i64, format: ImageFormat, bytes: usize) -> Result<(), String> {
    let rows = height.unsigned_abs();
    let pixels = width.unsigned_abs().saturating_mul(rows);
    if width < 0 {
        return Err(cut_short(format, format_args!("its width is {width}")));
    }
    if pixels == 0 {
        return Err(format!("the picture is {width}×{height}; it has no pixels"));
    }
    if pixels.saturating_mul(4) > MAX_BYTES {
        return Err(too_large(&format!("{width}×{rows} pixels take")));
    }
    if pixels.saturating_mul(4) > FREE && pixels > density(format).saturating_mul(bytes as u64) {
        return Err(cut_short(format, format_args!("{width}×{rows} pixels cannot be in {bytes} bytes")));
    }
    Ok(())
}

/// What a decoder may allocate for a file of `bytes` whose pixels take `pixels`, as far as it counts.
pub(super) fn limits(bytes: usize, pixels: u64) -> Limits {
    let besides = BESIDES.saturating_add(FACTOR.saturating_mul(bytes as u64));
    let mut limits = Limits::default();
    limits.max_alloc = Some(pixels.saturating_add(besides).min(MAX_BYTES));
    limits
}
