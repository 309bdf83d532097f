use super::Fallible;

/// Walks over the bytes of a pickle; never past their end.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// How many bytes are read.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn take(&mut self, count: u64) -> Fallible<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = usize::try_from(count).ok().and_then(|n| rest.get(..n)).ok_or_else(|| {
            format!("{count} bytes are announced, but {} follow: the file is truncated or damaged", rest.len())
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Fallible<[u8; N]> {
        let taken = self.take(N as u64)?;
        taken.try_into().map_err(|_| "the pickle ends early".to_owned())
    }

    pub fn u8(&mut self) -> Fallible<u8> {
        self.array().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Fallible<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Fallible<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn i32(&mut self) -> Fallible<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Fallible<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Floats are the one thing that pickles hold in big-endian order.
    pub fn f64(&mut self) -> Fallible<f64> {
        self.array().map(f64::from_be_bytes)
    }

    pub fn text(&mut self, count: u64) -> Fallible<&'a str> {
        std::str::from_utf8(self.take(count)?).map_err(|_| "a string is not valid UTF-8".to_owned())
    }

    /// Up to the end of the line, which is read but not returned.
    pub fn line(&mut self) -> Fallible<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or("a line has no end")?;
        let line = self.text(length as u64)?;
        self.at += 1;
        Ok(line)
    }
}
