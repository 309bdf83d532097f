//! Pickles, archives and legacy files of PyTorch put together by hand, byte by byte.

/// A pickle in the making. Opcodes are those of Python's `pickletools`.
#[derive(Clone, Default)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Pickle(b"\x80\x02".to_vec())
    }

    /// Opcodes as they are.
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    pub fn text(self, text: &str) -> Self {
        self.raw(b"X").raw((text.len() as u32).to_le_bytes()).raw(text)
    }

    /// An integer of 64 bits.
    pub fn int(self, n: i64) -> Self {
        self.raw(b"\x8a\x08").raw(n.to_le_bytes())
    }

    pub fn ints(self, numbers: &[i64]) -> Self {
        numbers.iter().fold(self.raw(b"("), |p, n| p.int(*n)).raw(b"t")
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n"))
    }

    pub fn put(self, index: u32) -> Self {
        self.raw(b"r").raw(index.to_le_bytes())
    }

    pub fn get(self, index: u32) -> Self {
        self.raw(b"j").raw(index.to_le_bytes())
    }

    pub fn storage(self, class: &str, key: &str, count: i64) -> Self {
        self.raw(b"(").text("storage").global("torch", class).text(key).text("cpu").int(count).raw(b"tQ")
    }

    /// A tensor of floats in the storage "0" of `count` elements.
    pub fn tensor(self, count: i64, offset: i64, size: &[i64], stride: &[i64]) -> Self {
        let p = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(").storage("FloatStorage", "0", count);
        p.int(offset).ints(size).ints(stride).raw(b"\x89NtR")
    }

    pub fn stop(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// The pickle of `{"w": tensor of shape [2, 2] in a storage of 4}`.
pub fn small() -> Vec<u8> {
    Pickle::new().raw(b"}").text("w").tensor(4, 0, &[2, 2], &[2, 1]).raw(b"s").stop()
}

/// The bytes of a storage of these floats.
pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub struct Entry<'a> {
    pub name: &'a str,
    pub data: &'a [u8],
    pub flags: u16,
    pub method: u16,
    /// What the directory says, if not the truth.
    pub size: Option<u64>,
    pub offset: Option<u64>,
}

pub fn entry<'a>(name: &'a str, data: &'a [u8]) -> Entry<'a> {
    Entry { name, data, flags: 0, method: 0, size: None, offset: None }
}

/// A zip archive of stored entries; what does not fit 32 bits goes to zip64 fields.
pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for Entry { name, data, flags, method, size, offset } in entries {
        let at = offset.unwrap_or(file.len() as u64);
        let size = size.unwrap_or(data.len() as u64);
        let crc = crc32fast::hash(data);
        let length = (name.len() as u16).to_le_bytes();
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let about = [
            &flags.to_le_bytes()[..],
            &method.to_le_bytes(),
            &[0; 4],
            &crc.to_le_bytes(),
            &narrow(size),
            &narrow(size),
            &length,
        ]
        .concat();
        file.extend([b"PK\x03\x04\x14\x00", &about[..], b"\x00\x00", name.as_bytes(), data].concat());
        let wide: Vec<u8> =
            [size, size, at].iter().filter(|n| **n >= u32::MAX.into()).flat_map(|n| n.to_le_bytes()).collect();
        let extra = if wide.is_empty() { wide } else { [&[1, 0, wide.len() as u8, 0][..], &wide[..]].concat() };
        let more = [&(extra.len() as u16).to_le_bytes()[..], &[0; 10], &narrow(at)].concat();
        directory.extend([b"PK\x01\x02\x14\x00\x14\x00", &about[..], &more, name.as_bytes(), &extra].concat());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (size, offset) = ((directory.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes());
    [&file[..], &directory, b"PK\x05\x06\x00\x00\x00\x00", &count, &count, &size, &offset, b"\x00\x00"].concat()
}

/// An archive as `torch.save` writes it, with the storage "0" of floats.
pub fn archive(pickle: &[u8], storage: &[f32]) -> Vec<u8> {
    let storage = floats(storage);
    zip(&[entry("net/data.pkl", pickle), entry("net/byteorder", b"little"), entry("net/data/0", &storage)])
}

/// A legacy file with the storage "0" of floats.
pub fn legacy(pickle: &[u8], storage: &[f32]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let system = Pickle::new().raw(b"}").text("little_endian").raw(b"\x88s").stop();
    let keys = Pickle::new().raw(b"]").text("0").raw(b"a").stop();
    let count = (storage.len() as u64).to_le_bytes();
    let protocol = b"\x80\x02M\xe9\x03.";
    [&magic[..], protocol, &system, pickle, &keys, &count, &floats(storage)].concat()
}
