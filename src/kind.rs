//! What a file is that is not what was wanted, by its first bytes: so that a message calls it by its name and says what
//! to do with it. Asked only of files that could not be read.

/// What such a file is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// A picture that is read.
    Picture,
    /// A picture that is not.
    OtherPicture,
    Film,
    /// A checkpoint that is read.
    Checkpoint,
    /// The network or the tensors of another program.
    Foreign,
    Packed,
    /// What a server sent in place of the file.
    Page,
    /// What git keeps in place of a large file.
    Pointer,
    Text,
}

use Sort::{Checkpoint, Film, Foreign, OtherPicture, Packed, Page, Picture, Pointer, Text};

/// A kind of file: its name with the article, and what it is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(&'static str, Sort);

/// Which bytes are where; the first that holds counts.
const SIGNATURES: &[(usize, &[u8], Kind)] = &[
    (0, b"\x89PNG\r\n\x1a\n", Kind("a PNG picture", Picture)),
    (0, b"\xff\xd8\xff", Kind("a JPEG picture", Picture)),
    (0, b"GIF8", Kind("a GIF picture", Picture)),
    (8, b"WEBPVP8", Kind("a WebP picture", Picture)),
    (0, b"II*\0", Kind("a TIFF picture", Picture)),
    (0, b"MM\0*", Kind("a TIFF picture", Picture)),
    (0, b"qoif", Kind("a QOI picture", Picture)),
    (4, b"ftypavi", Kind("an AVIF picture", OtherPicture)),
    (4, b"ftyphe", Kind("a HEIC picture", OtherPicture)),
    (4, b"ftypmif1", Kind("a HEIC picture", OtherPicture)),
    (0, b"\0\0\0\x0cJXL ", Kind("a JPEG XL picture", OtherPicture)),
    (0, b"8BPS", Kind("a Photoshop picture", OtherPicture)),
    (0, b"%PDF-", Kind("a PDF document", OtherPicture)),
    (4, b"ftyp", Kind("an MP4 or QuickTime film", Film)),
    (0, b"\x1aE\xdf\xa3", Kind("a WebM or Matroska film", Film)),
    (8, b"AVI LIST", Kind("an AVI film", Film)),
    (0, b"PK\x03\x04", Kind("a zip archive, as checkpoints of PyTorch are", Checkpoint)),
    (0, b"\x80\x02", Kind("a Python pickle, as old checkpoints of PyTorch are", Checkpoint)),
    (4, b"TFL3", Kind("a TensorFlow Lite model", Foreign)),
    (0, b"GGUF", Kind("a GGUF model", Foreign)),
    (0, b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file, as Keras writes them", Foreign)),
    (0, b"\x93NUMPY", Kind("a NumPy array", Foreign)),
    (0, b"\x08\x01\x12", Kind("a TensorFlow SavedModel", Foreign)),
    (0, b"\x1f\x8b", Kind("a gzip file", Packed)),
    (0, b"\xfd7zXZ\0", Kind("an xz file", Packed)),
    (0, b"\x28\xb5\x2f\xfd", Kind("a zstd file", Packed)),
    (0, b"BZh", Kind("a bzip2 file", Packed)),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", Packed)),
    (0, b"Rar!\x1a\x07", Kind("a RAR archive", Packed)),
    (257, b"ustar", Kind("a tar archive", Packed)),
];

/// How texts begin, in lower case; any text begins with nothing.
const BEGINNINGS: &[(&str, Kind)] = &[
    ("version https://git-lfs", Kind("a pointer of Git LFS", Pointer)),
    ("<svg", Kind("an SVG drawing", OtherPicture)),
    ("<", Kind("a web page or a server's message", Page)),
    ("%pdf-", Kind("a PDF document", OtherPicture)),
    ("{", Kind("a JSON text", Text)),
    ("[", Kind("a JSON text", Text)),
    ("", Kind("a text", Text)),
];

impl Kind {
    /// The kind of a file, if its first bytes tell.
    pub fn of(bytes: &[u8]) -> Option<Kind> {
        // A header's length, whose first bytes may be anything, and its brace.
        if let [_, _, _, _, _, 0, 0, 0, b'{', ..] = bytes {
            return Some(Kind("a safetensors file", Checkpoint));
        }
        if let Some(start) = text(bytes) {
            return BEGINNINGS.iter().find(|(beginning, _)| start.starts_with(beginning)).map(|(_, kind)| *kind);
        }
        if is_onnx(bytes) {
            return Some(Kind("an ONNX model", Foreign));
        }
        // Its name is short, but the reserved bytes are zero.
        if let [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] = bytes {
            return Some(Kind("a BMP picture", Picture));
        }
        let holds = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|from| from.starts_with(magic));
        SIGNATURES.iter().find(|(at, magic, _)| holds(*at, magic)).map(|(.., kind)| *kind)
    }

    /// Why it is no checkpoint, to follow the file's name; nothing if it is meant to be one.
    pub fn no_checkpoint(self) -> Option<String> {
        let Kind(name, sort) = self;
        let advice = match sort {
            Checkpoint => return None,
            Picture => "give it as the picture, and a checkpoint (.pth, .pt, .safetensors) as the model",
            OtherPicture | Film | Text => "give the checkpoint itself (.pth, .pt, .safetensors)",
            Foreign => {
                "foveate reads checkpoints of PyTorch and safetensors: give the one that this was made from, or save \
                 its tensors with safetensors.torch.save_file"
            }
            Packed => "unpack it, and give the checkpoint in it (.pth, .pt, .safetensors)",
            Page | Pointer => download(sort),
        };
        Some(format!("is {name}, not a checkpoint; {advice}"))
    }

    /// Why it is no picture that can be read, to follow the file's name; nothing if it should be.
    #[cfg(feature = "decode")]
    pub fn no_picture(self) -> Option<String> {
        let Kind(name, sort) = self;
        let advice = match sort {
            Picture => return None,
            OtherPicture => return Some(format!("is {name}, which cannot be read; save it as PNG or JPEG")),
            Checkpoint => "give it as the model (--model)",
            Film => "take a picture out of it, as PNG or JPEG",
            Packed => "unpack it, and give the picture in it",
            Foreign | Text => "give a PNG, JPEG, GIF, WebP, BMP, TIFF, PNM, TGA, ICO or QOI file",
            Page | Pointer => download(sort),
        };
        Some(format!("is {name}, not a picture; {advice}"))
    }
}

/// How to have the file that something stands for.
fn download(sort: Sort) -> &'static str {
    if sort == Pointer { "`git lfs pull` fetches the file itself" } else { "download the file itself" }
}

/// The first fields of the message: a version, and then who made it, or the graph at once.
fn is_onnx(bytes: &[u8]) -> bool {
    match bytes {
        [8, 1..=0x1f, 0x3a, ..] => true,
        [8, 1..=0x1f, 0x12, length @ 1..=0x7f, rest @ ..] => {
            rest.get(..usize::from(*length)).is_some_and(|maker| maker.iter().all(|byte| (b' '..0x7f).contains(byte)))
        }
        _ => false,
    }
}

/// How a text begins, if it is one, in lower case. A drawing in XML begins with the drawing.
fn text(bytes: &[u8]) -> Option<String> {
    /// More than enough to tell a text, and no tensor is all of printable characters.
    const LOOKED_AT: usize = 512;
    /// Fewer bytes tell nothing.
    const FEWEST: usize = 8;
    let start = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let printable = |byte: &u8| *byte >= b' ' && *byte != 0x7f || matches!(byte, b'\t' | b'\n' | b'\r');
    // A text may be cut within a character; a binary file has control characters long before.
    if start.len() < FEWEST
        || !start.iter().all(printable)
        || std::str::from_utf8(start).is_err_and(|error| error.error_len().is_some())
    {
        return None;
    }
    let start = String::from_utf8_lossy(start).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let drawing = start.starts_with('<').then(|| start.find("<svg")).flatten();
    Some(drawing.and_then(|at| start.get(at..)).map_or(start.clone(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that begin a file of every kind, with its name.
    fn examples() -> Vec<(Vec<u8>, &'static str)> {
        let at = |at: usize, magic: &[u8]| [&vec![0x80; at][..], magic, &[0; 300]].concat();
        let mut examples: Vec<(Vec<u8>, &str)> =
            SIGNATURES.iter().map(|(offset, magic, Kind(name, _))| (at(*offset, magic), *name)).collect();
        let texts = [
            ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "a pointer of Git LFS"),
            ("<?xml version=\"1.0\"?>\n<!-- drawn -->\n<svg width=\"1\">", "an SVG drawing"),
            ("\u{feff}\n<!DOCTYPE html><html><title>Not Found</title>", "a web page or a server's message"),
            ("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", "a web page or a server's message"),
            ("%PDF-1.7\n1 0 obj", "a PDF document"),
            (" {\"error\": \"no such model\"}", "a JSON text"),
            ("[1, 2, 3]", "a JSON text"),
            ("404: Not Found", "a text"),
        ];
        examples.extend(texts.map(|(text, name)| (text.into(), name)));
        examples.extend([
            (b"\x08\x07\x12\x07pytorch\x1a\x052.4.0:".to_vec(), "an ONNX model"),
            (b"\x08\x0a\x3a\xf0\x01\x0a".to_vec(), "an ONNX model"),
            (b"BM\x36\x0c\0\0\0\0\0\0\x36".to_vec(), "a BMP picture"),
            (b"\x40\x00\x00\x00\x00\x00\x00\x00{\"w\":".to_vec(), "a safetensors file"),
        ]);
        examples
    }

    #[test]
    fn every_kind_is_called_by_its_name_and_begun_files_are_no_panic() {
        for (bytes, name) in examples() {
            let found = Kind::of(&bytes).unwrap_or_else(|| panic!("{name} is not told"));
            assert_eq!(found.0, name);
            for cut in 0..bytes.len().min(300) {
                let _ = Kind::of(&bytes[..cut]);
            }
        }
        assert_eq!([&b""[..], b"abc", &[0; 4000], &[0x90; 100]].map(Kind::of), [None; 4]);
    }

    /// What may be read is not refused for its kind, and all else says what to do.
    #[test]
    fn messages_follow_the_kind() {
        for (bytes, name) in examples() {
            let kind = Kind::of(&bytes).unwrap();
            let message = kind.no_checkpoint();
            assert_eq!(message.is_none(), kind.1 == Checkpoint, "{name}");
            assert!(message.is_none_or(|m| m.contains(name) && m.contains("not a checkpoint; ")), "{name}");
            #[cfg(feature = "decode")]
            {
                let message = kind.no_picture();
                assert_eq!(message.is_none(), kind.1 == Picture, "{name}");
                assert!(message.is_none_or(|m| m.contains(name) && m.contains("; ")), "{name}");
            }
        }
    }

    #[test]
    fn weights_are_not_taken_for_other_files() {
        for start in [&b"\x1f\x8b"[..], b"GIF8", b"BZh", b"\x80\x02", b"II*", b"\x08\x0a\x3a", b"aaaaa"] {
            let mut bytes = vec![0; 8];
            bytes[..start.len()].copy_from_slice(start);
            bytes.extend(b"{\"w\":{}}");
            assert_eq!(Kind::of(&bytes).unwrap().no_checkpoint(), None, "{start:?}");
        }
    }
}
