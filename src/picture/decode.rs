//! Decoding of any enabled format, upright, to RGBA8; and PNG back.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageFormat, ImageReader};

use super::{MAX_BYTES, Picture, claim, ico, jpeg, tiff};
use crate::error::{Error, Result};
use crate::kind::Kind;

impl Picture {
    /// Decodes a PNG, JPEG, GIF (first frame), WebP, BMP, TIFF, PNM, TGA, ICO or QOI file and turns
    /// it upright as its EXIF orientation says. The format is told by the content; only TGA, which
    /// has no signature, by the file name in `origin`.
    ///
    /// `origin` names the bytes in error messages: a file name, or `"image"`.
    ///
    /// # Errors
    /// Bytes that are no picture, a damaged picture, one whose pixels would take more than [`MAX_BYTES`], and
    /// one of more than 16 million pixels that are more than so few bytes could hold.
    pub fn decode(bytes: &[u8], origin: &str) -> Result<Picture> {
        let fail = |reason: String| Error::Image { origin: origin.to_owned(), reason };
        if bytes.is_empty() {
            return Err(fail("the file is empty; a picture is needed".to_owned()));
        }
        let format = format_of(bytes, origin).ok_or_else(|| {
            let unknown = "not a picture of a known format; use PNG, JPEG, GIF, WebP, BMP, TIFF, PNM, TGA, ICO or QOI";
            fail(Kind::of(bytes).and_then(Kind::no_picture).unwrap_or_else(|| unknown.to_owned()))
        })?;
        let (bytes, format) = match ico::png_within(bytes).filter(|_| format == ImageFormat::Ico) {
            Some(png) => (png, ImageFormat::Png),
            None => (bytes, format),
        };
        let damaged = |e: ImageError| fail(describe(&e, format));
        if format == ImageFormat::Jpeg && !jpeg::is_whole(bytes) {
            return Err(fail(cut_short(format, "its end marker is missing")));
        }
        if format == ImageFormat::Jpeg && jpeg::is_oddly_sampled(bytes) {
            let why = "its colours are sampled more finely than its brightness, or not by whole steps";
            return Err(fail(format!("this kind of JPEG cannot be read ({why}); save it again")));
        }
        if format == ImageFormat::Tiff && !tiff::lists_fit(bytes) {
            return Err(fail(cut_short(format, "a tag has more values than the file has bytes")));
        }
        if let Some((width, height)) = claim::header(bytes, format) {
            claim::check(width, height, format, bytes.len()).map_err(fail)?;
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(claim::limits(bytes.len(), 0));
        let mut decoder = reader.into_decoder().map_err(damaged)?;
        let (width, height) = decoder.dimensions();
        claim::check(width.into(), height.into(), format, bytes.len()).map_err(fail)?;
        if decoder.total_bytes() > MAX_BYTES {
            return Err(fail(too_large(&format!("{width}×{height} pixels take"))));
        }
        decoder.set_limits(claim::limits(bytes.len(), decoder.total_bytes())).map_err(damaged)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        // Decoders are other people's, and pictures anybody's: a defect there is a damaged picture here.
        let decoded = catch_unwind(AssertUnwindSafe(|| DynamicImage::from_decoder(decoder)));
        let decoded = decoded.map_err(|_| fail(cut_short(format, "its decoder gave up")))?;
        let mut image = decoded.map_err(damaged)?;
        image.apply_orientation(orientation);
        let image = image.into_rgba8();
        Picture::from_rgba(image.width(), image.height(), image.into_raw())
    }

    /// Reads and decodes a picture file, as [`Picture::decode`].
    ///
    /// # Errors
    /// A file that cannot be read, and those of [`Picture::decode`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Picture> {
        let path = path.as_ref();
        let bytes = crate::files::read("cannot read", path, MAX_BYTES)?;
        Picture::decode(&bytes, &path.to_string_lossy())
    }

    /// The picture as a PNG file, alpha included.
    ///
    /// # Errors
    /// None but for pictures larger than PNG allows.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let encoder = PngEncoder::new(&mut bytes);
        let written = encoder.write_image(&self.rgba, self.width, self.height, ExtendedColorType::Rgba8);
        written.map_err(|e| Error::argument(format!("cannot encode {self:?} as PNG: {e}")))?;
        Ok(bytes)
    }
}

fn format_of(bytes: &[u8], origin: &str) -> Option<ImageFormat> {
    let named = || ImageFormat::from_path(origin).ok().filter(|format| *format == ImageFormat::Tga);
    image::guess_format(bytes).ok().or_else(named)
}

pub(super) fn too_large(what: &str) -> String {
    format!("{what} more than {} MiB once decoded; scale the picture down first", MAX_BYTES >> 20)
}

pub(super) fn cut_short(format: ImageFormat, why: impl std::fmt::Display) -> String {
    format!("damaged or cut-short {} file ({why}); get a whole copy or save it again", name_of(format))
}

fn name_of(format: ImageFormat) -> String {
    format.extensions_str().first().map_or_else(|| format!("{format:?}"), |e| e.to_uppercase())
}

fn describe(error: &ImageError, format: ImageFormat) -> String {
    match error {
        ImageError::Limits(_) => {
            format!("this {} asks for far more memory than its size and pixels explain; save it again", name_of(format))
        }
        ImageError::Unsupported(e) => {
            format!("this kind of {} cannot be read ({e}); save it as PNG or JPEG", name_of(format))
        }
        e => cut_short(format, e),
    }
}
