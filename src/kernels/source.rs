//! The shaders' texts.

/// A file of WGSL.
#[derive(Debug)]
pub struct Source {
    /// Path below `shaders/`.
    pub file: &'static str,
    /// Its text: whole, but without comments and indentation in the browser package, where every byte is fetched.
    pub text: &'static str,
    /// The file in its place where a step's constant `SUBGROUP` is not zero: the same functions, for
    /// invocations that share what they read with their subgroup.
    pub subgroup: Option<&'static Source>,
}

macro_rules! source {
    ($file:expr) => {{
        const WHOLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $file));
        #[cfg(not(feature = "web"))]
        const TEXT: &str = WHOLE;
        #[cfg(feature = "web")]
        const TEXT: &str = {
            const BARE: [u8; $crate::kernels::source::bare_length(WHOLE)] = $crate::kernels::source::bare(WHOLE);
            match std::str::from_utf8(&BARE) {
                Ok(text) => text,
                Err(_) => WHOLE,
            }
        };
        $crate::kernels::Source { file: $file, text: TEXT, subgroup: None }
    }};
}
pub(crate) use source;

/// A text without comments, indentation and empty lines. WGSL has no strings that could hold two slashes; comments
/// between other signs are not taken out.
#[cfg(any(feature = "web", test))]
pub(crate) const fn bare<const N: usize>(whole: &str) -> [u8; N] {
    let mut kept = [0; N];
    strip(whole.as_bytes(), &mut kept);
    kept
}

/// The length of [`bare`]'s text.
#[cfg(any(feature = "web", test))]
pub(crate) const fn bare_length(whole: &str) -> usize {
    strip(whole.as_bytes(), &mut [])
}

/// Writes what is kept as far as there is room, and returns how much it is.
#[cfg(any(feature = "web", test))]
const fn strip(whole: &[u8], kept: &mut [u8]) -> usize {
    let (mut at, mut length, mut line_start) = (0, 0, true);
    while at < whole.len() {
        let byte = whole[at];
        if byte == b'/' && at + 1 < whole.len() && whole[at + 1] == b'/' {
            while at < whole.len() && whole[at] != b'\n' {
                at += 1;
            }
            continue;
        }
        at += 1;
        if line_start && matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            continue;
        }
        line_start = byte == b'\n';
        if length < kept.len() {
            kept[length] = byte;
        }
        length += 1;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::{bare, bare_length};

    #[test]
    fn comments_and_indentation_go() {
        const TEXT: &str = "// all\n\nfn f(x: f32) -> f32 { // why\n    return x / 2.0; // half\n}\n  // end";
        const BARE: [u8; bare_length(TEXT)] = bare(TEXT);
        assert_eq!(str::from_utf8(&BARE).unwrap(), "fn f(x: f32) -> f32 { \nreturn x / 2.0; \n}\n");
    }

    #[test]
    fn bare_shaders_are_the_same_shaders() {
        let mut seen = 0;
        for kernel in crate::kernels::KERNELS {
            for source in kernel.sources {
                let mut kept = vec![0; bare_length(source.text)];
                super::strip(source.text.as_bytes(), &mut kept);
                let kept = String::from_utf8(kept).unwrap();
                let lines = |text: &str| -> Vec<String> {
                    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default().trim().to_owned());
                    code.filter(|line| !line.is_empty()).collect()
                };
                assert_eq!(lines(&kept), lines(source.text), "{}", source.file);
                assert!(!kept.contains("//") && !source.text.contains("/*"), "{}", source.file);
                seen += 1;
            }
        }
        assert!(seen > 10, "{seen}");
    }
}
