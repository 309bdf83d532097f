//! Decoding of pictures: formats, EXIF orientation, and everything that can be wrong with a file.

use std::path::{Path, PathBuf};

use foveate::{Error, Picture};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/preprocess").join(name)
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

/// Decodes, and expects an image error that names the origin and holds all of `words`.
#[track_caller]
fn refused(bytes: &[u8], words: &[&str]) {
    let error = Picture::decode(bytes, "some.file").expect_err("must be refused");
    assert!(matches!(error, Error::Image { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.starts_with("some.file: "), "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn every_exif_orientation_comes_out_upright() {
    let upright = Picture::open(fixture("upright.png")).unwrap();
    assert_eq!((upright.width(), upright.height()), (48, 32));
    let mut stored = std::collections::BTreeSet::new();
    for orientation in 1..=8 {
        let name = format!("orientation{orientation}.jpg");
        let picture = Picture::open(fixture(&name)).unwrap();
        stored.insert(bytes_of(&name));
        assert_eq!((picture.width(), picture.height()), (48, 32), "{name}");
        let worst = picture.rgba().iter().zip(upright.rgba()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 4, "{name}: {worst} levels from upright");
    }
    assert_eq!(stored.len(), 8, "the files must differ, or the test shows nothing");
}

#[test]
fn orientation_in_a_png_is_obeyed_too() {
    // An eXIf chunk (big-endian TIFF, one entry: orientation 6) after IHDR of a 26×20 picture.
    let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut png = bytes_of("alpha.png");
    let mut chunk = (tiff.len() as u32).to_be_bytes().to_vec();
    chunk.extend(b"eXIf");
    chunk.extend(tiff);
    chunk.extend(crc32(&chunk[4..]).to_be_bytes());
    png.splice(33..33, chunk);
    let (plain, turned) = (Picture::open(fixture("alpha.png")).unwrap(), Picture::decode(&png, "image").unwrap());
    assert_eq!((turned.width(), turned.height()), (plain.height(), plain.width()));
    // Turned a quarter clockwise, the left bottom pixel comes to the left top.
    let bottom_left = (plain.height() as usize - 1) * plain.width() as usize * 4;
    assert_eq!(turned.rgba()[..4], plain.rgba()[bottom_left..][..4]);
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| (c >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(c & 1)))
    })
}

#[test]
fn every_format_of_the_message_is_read() {
    let original = Picture::open(fixture("photo.png")).unwrap();
    let rgb: Vec<u8> = original.rgba().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    let image = image::RgbImage::from_raw(original.width(), original.height(), rgb).unwrap();
    let image = image::DynamicImage::from(image);
    use image::ImageFormat::*;
    // Format, file name, and the mean difference allowed in grey levels (lossy or 256 colours).
    let formats = [
        (Png, "a.png", 0),
        (Jpeg, "a.jpg", 8),
        (Gif, "a.gif", 8),
        (WebP, "a.webp", 0),
        (Bmp, "a.bmp", 0),
        (Tiff, "a.tiff", 0),
        (Pnm, "a.ppm", 0),
        (Tga, "a.tga", 0),
        (Ico, "a.ico", 0),
        (Qoi, "a.qoi", 0),
    ];
    for (format, name, bound) in formats {
        let mut bytes = std::io::Cursor::new(Vec::new());
        // Icons are written with alpha, or not at all.
        let image = if format == Ico { image.to_rgba8().into() } else { image.clone() };
        image.write_to(&mut bytes, format).unwrap();
        let bytes = bytes.into_inner();
        let picture = Picture::decode(&bytes, name).unwrap_or_else(|e| panic!("{format:?}: {e}"));
        assert_eq!((picture.width(), picture.height()), (131, 99), "{format:?}");
        let sum: u64 = picture.rgba().iter().zip(original.rgba()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(sum <= bound * picture.rgba().len() as u64, "{format:?}: a sum of {sum} levels");
        // Told by the content, not the name; only TGA has no signature.
        assert_eq!(Picture::decode(&bytes, "image").is_ok(), format != Tga, "{format:?}");
        assert!(Picture::decode(&bytes[..bytes.len() / 2], name).is_err(), "half a {format:?} must be refused");
    }
}

/// An icon with these pictures: side, bits per pixel, bytes.
fn icon(pictures: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let mut file = [0, 0, 1, 0, pictures.len() as u8, 0].to_vec();
    let mut offset = file.len() + 16 * pictures.len();
    for (side, bits, bytes) in pictures {
        file.extend([*side, *side, 0, 0, 1, 0]);
        file.extend(bits.to_le_bytes());
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend((offset as u32).to_le_bytes());
        offset += bytes.len();
    }
    pictures.iter().for_each(|(.., bytes)| file.extend(*bytes));
    file
}

#[test]
fn icons_may_hold_any_png() {
    let mut seen = 0;
    for name in ["photo.png", "grey.png", "alpha.png", "pixel.png"] {
        let (png, other) = (bytes_of(name), bytes_of("edges.png"));
        let picture = Picture::decode(&png, "image").unwrap();
        let icon = icon(&[(16, 8, &other), (32, 24, &png), (16, 24, &other)]);
        assert_eq!(Picture::decode(&icon, "image").unwrap(), picture, "{name}");
        refused(&icon[..icon.len() - other.len() - 20], &["ICO"]);
        seen += 1;
    }
    assert_eq!(seen, 4);
    refused(&icon(&[]), &["ICO"]);
    refused(&icon(&[(16, 32, b"\x89PNG\r\n\x1a\n")]), &["PNG"]);
}

/// A BMP of 24 bits per pixel that says it is of this size, with four pixels.
fn bmp(width: i32, height: i32) -> Vec<u8> {
    let header = [&54u32.to_le_bytes()[..], &40u32.to_le_bytes(), &width.to_le_bytes(), &height.to_le_bytes()].concat();
    let rows = [1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0];
    [&b"BM\x46\0\0\0\0\0\0\0"[..], &header, &[1, 0, 24, 0], &[0; 24], &rows].concat()
}

#[test]
fn bitmaps_may_be_upside_down_and_not_the_wrong_way_round() {
    let (up, down) = (Picture::decode(&bmp(2, 2), "a").unwrap(), Picture::decode(&bmp(2, -2), "a").unwrap());
    assert_eq!((down.width(), down.height()), (2, 2));
    assert_eq!(down.rgba()[..8], [3, 2, 1, 255, 6, 5, 4, 255]);
    assert_eq!((&up.rgba()[..8], &up.rgba()[8..]), (&down.rgba()[8..], &down.rgba()[..8]));
    refused(&bmp(-2, 2), &["damaged", "BMP", "its width is -2"]);
    refused(&bmp(2, i32::MIN), &["2×2147483648 pixels", "512 MiB"]);
    refused(&bmp(0, 2), &["has no pixels"]);
    refused(&bmp(2, 0), &["has no pixels"]);
    refused(&bmp(2, -3), &["damaged", "BMP"]);
    refused(&bmp(i32::MAX, 1), &["512 MiB"]);
    refused(&bmp(i32::MIN, i32::MIN), &["its width is -2147483648"]);
    refused(&bmp(60_000, -60_000), &["512 MiB"]);
}

#[test]
fn missing_file() {
    let error = Picture::open("no/such/picture.png").unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(error.to_string().starts_with("cannot read no/such/picture.png: "), "{error}");
}

#[test]
fn a_folder_is_no_picture() {
    let error = Picture::open(fixture("")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
}

#[test]
fn empty_file() {
    refused(b"", &["empty"]);
}

#[test]
fn not_a_picture() {
    refused(b"#!/bin/sh\necho hello\n", &["is a text, not a picture", "PNG"]);
    refused(&[0x90; 100], &["not a picture of a known format", "PNG"]);
    // What people hold by mistake.
    for (start, words) in [
        (&b"\x40\0\0\0\0\0\0\0{\"stage0.weight\":"[..], ["is a safetensors file, not a picture", "--model"]),
        (b"PK\x03\x04\0\0\x08\x08\0\0archive/data.pkl", ["is a zip archive, as checkpoints of PyTorch are", "--model"]),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", ["is a Python pickle", "--model"]),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.4.0", ["is an ONNX model, not a picture", "PNG"]),
        (b"\0\0\0\x18ftypheic\0\0\0\0", ["is a HEIC picture, which cannot be read", "save it as PNG or JPEG"]),
        (b"<?xml version=\"1.0\"?><svg xmlns=\"\">", ["is an SVG drawing, which cannot be read", "save it as PNG"]),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", ["film, not a picture", "take a picture out of it"]),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", ["is a gzip file, not a picture", "unpack it"]),
        (b"<!doctype html><html>", ["is a web page", "download the file itself"]),
        (b"version https://git-lfs.github.com/spec/v1\n", ["is a pointer of Git LFS", "git lfs pull"]),
    ] {
        refused(start, &words);
    }
}

#[test]
fn truncated_png() {
    let bytes = bytes_of("photo.png");
    for keep in [9, 20, 40, bytes.len() / 2, bytes.len() - 60] {
        refused(&bytes[..keep], &["damaged or cut-short PNG", "save it again"]);
    }
}

#[test]
fn damaged_png() {
    let mut bytes = bytes_of("photo.png");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    refused(&bytes, &["PNG"]);
}

#[test]
fn truncated_jpeg() {
    let bytes = bytes_of("orientation1.jpg");
    assert!(Picture::decode(&bytes, "image").is_ok());
    for keep in [3, 20, bytes.len() / 2, bytes.len() - 40, bytes.len() - 2] {
        refused(&bytes[..keep], &["damaged or cut-short JPG", "save it again"]);
    }
}

#[test]
fn a_jpeg_with_something_after_its_end_is_whole() {
    let mut bytes = bytes_of("orientation6.jpg");
    let plain = Picture::decode(&bytes, "image").unwrap();
    bytes.extend([0xff, 0xe1, 0xff, 0xff, 0, 1, 2]);
    assert_eq!(Picture::decode(&bytes, "image").unwrap(), plain);
}

#[test]
fn the_end_of_a_thumbnail_is_not_the_end_of_the_jpeg() {
    // A comment segment that holds an end-of-image marker, in a file cut in the middle.
    let bytes = bytes_of("orientation1.jpg");
    let mut cut = bytes[..2].to_vec();
    cut.extend([0xff, 0xfe, 0, 4, 0xff, 0xd9]);
    cut.extend(&bytes[2..bytes.len() - 40]);
    refused(&cut, &["end marker is missing"]);
}

#[test]
fn decompression_bombs() {
    refused(&bytes_of("bomb.png"), &["512 MiB", "scale the picture down"]);
    refused(&bytes_of("bomb.gif"), &["512 MiB", "scale the picture down"]);
}

/// Files of a few bytes that claim a picture within the limit of memory: nothing is allocated for them.
#[test]
fn claims_that_no_file_of_that_size_could_fill() {
    let claim = |name: &str, at: usize, sides: &[u8]| {
        let mut bytes = bytes_of(name);
        bytes[at..at + sides.len()].copy_from_slice(sides);
        bytes
    };
    // 8,192 by 8,192; in a PNG with the checksum of its header.
    let mut png = claim("alpha.png", 16, &[0, 0, 32, 0, 0, 0, 32, 0]);
    let sum = crc32(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&sum);
    let mut qoi = b"qoif\0\0\x20\0\0\0\x20\0\x04\0".to_vec();
    qoi.extend([0xfd; 40]);
    let mut gif = bytes_of("bomb.gif");
    gif[6..10].copy_from_slice(&[0, 32, 0, 32]);
    let pgm = b"P5\n8192 8192\n255\n12345".to_vec();
    for (bytes, format) in [(png, "PNG"), (qoi, "QOI"), (gif, "GIF"), (pgm, "PBM"), (bmp(8192, 8192), "BMP")] {
        assert!(bytes.len() < 8000, "{format} has {} bytes", bytes.len());
        refused(&bytes, &[format, "8192×8192", "cannot be in"]);
    }
}

/// As it was found by fuzzing: the frame is larger than the canvas, and the decoder took 618 MB for it.
#[test]
fn frames_larger_than_their_canvas() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds/picture/refused-wide-frame.gif");
    refused(&std::fs::read(path).unwrap(), &["GIF", "far more memory"]);
}

/// As it was found by fuzzing: a width of five million values, each 32 bytes of memory, in 399 bytes.
#[test]
fn tags_with_more_values_than_the_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds/picture/refused-wide-tag.tiff");
    refused(&std::fs::read(path).unwrap(), &["TIF", "more values than the file"]);
}

/// A picture of one colour is small for its pixels, and yet read.
#[test]
fn large_pictures_of_one_colour_are_read() {
    let (width, height) = (6000, 4000);
    let png = Picture::from_rgba(width, height, vec![77; 96_000_000]).unwrap().to_png().unwrap();
    let picture = Picture::decode(&png, "large").unwrap();
    assert_eq!((picture.width(), picture.height(), picture.rgba()[95_999_999]), (width, height, 77));
}

#[test]
fn one_flipped_byte_never_panics() {
    for name in ["upright.png", "orientation5.jpg"] {
        let bytes = bytes_of(name);
        let mut refused = 0;
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0xa5;
            refused += usize::from(Picture::decode(&bad, name).is_err());
        }
        assert!(refused > 0, "{name}: no flipped byte was noticed");
    }
}

#[test]
fn pixels_from_memory() {
    let rgb = Picture::from_rgb(2, 1, &[1, 2, 3, 4, 5, 6]).unwrap();
    assert_eq!(rgb.rgba(), [1, 2, 3, 255, 4, 5, 6, 255]);
    assert_eq!(Picture::from_rgba(2, 1, rgb.rgba().to_vec()).unwrap(), rgb);
    let message = Picture::from_rgba(2, 1, vec![0; 7]).unwrap_err().to_string();
    assert!(message.contains("2×1") && message.contains("7 bytes"), "{message}");
    assert!(Picture::from_rgb(2, 1, &[0; 8]).is_err());
    assert!(Picture::from_rgb(0, 1, &[]).unwrap_err().to_string().contains("no pixels"));
    assert!(Picture::from_rgba(u32::MAX, u32::MAX, vec![]).is_err());
}

/// The decoder panics over this one; what every program writes, brightness as fine as colours or finer, is read.
#[test]
fn a_jpeg_with_finer_colours_than_brightness_is_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let error = Picture::open(root.join("tests/fuzz/seeds/picture/refused-fine-colours.jpg")).unwrap_err().to_string();
    assert!(error.contains("sampled more finely") && error.contains("save it again"), "{error}");
    let whole = std::fs::read(root.join("assets/coffee.jpg")).unwrap();
    let frame = whole.windows(2).position(|two| matches!(two, [0xff, 0xc0 | 0xc2])).unwrap();
    assert_eq!(whole[frame + 9], 3, "components");
    for (sampling, odd) in [([0x22, 0x11, 0x11], false), ([0x11, 0x11, 0x21], true), ([0x31, 0x21, 0x11], true)] {
        let mut bytes = whole.clone();
        (0..3).for_each(|at| bytes[frame + 11 + 3 * at] = sampling[at]);
        let refused = Picture::decode(&bytes, "x.jpg").is_err_and(|e| e.to_string().contains("sampled more finely"));
        assert_eq!(refused, odd, "{sampling:x?}");
    }
}
