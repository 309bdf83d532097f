//! The shaders, and the constants put in front of them.

/// Invocations of a workgroup.
pub(super) const WORKGROUP: u32 = 256;

/// A shader with the names of its constants.
pub(super) struct Shader {
    pub name: &'static str,
    text: &'static str,
    constants: &'static [&'static str],
    /// What stands before everything else.
    head: &'static str,
}

macro_rules! text {
    ($file:literal) => {
        include_str!(concat!("../../shaders/roofline/", $file))
    };
}

pub(super) static READ: Shader =
    Shader { name: "read", text: text!("read.wgsl"), constants: &["THREADS", "EACH"], head: "" };
pub(super) static COPY: Shader =
    Shader { name: "copy", text: text!("copy.wgsl"), constants: &["THREADS", "EACH"], head: "" };
pub(super) static F32: Shader =
    Shader { name: "f32", text: text!("fma.wgsl"), constants: &["ROUNDS"], head: "alias T = f32;\n" };
pub(super) static F16: Shader =
    Shader { name: "f16", text: text!("fma.wgsl"), constants: &["ROUNDS"], head: "enable f16;\nalias T = f16;\n" };
pub(super) static DOT4: Shader = Shader { name: "dot4", text: text!("dot4.wgsl"), constants: &["ROUNDS"], head: "" };
pub(super) static EMPTY: Shader = Shader { name: "empty", text: text!("empty.wgsl"), constants: &[], head: "" };

impl Shader {
    /// The whole text, with values for the constants.
    pub fn with(&self, values: &[u32]) -> String {
        let mut text = format!("{}const WORKGROUP: u32 = {WORKGROUP}u;\n", self.head);
        for (name, value) in self.constants.iter().zip(values) {
            text += &format!("const {name}: u32 = {value}u;\n");
        }
        text + self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    #[test]
    fn every_shader_is_valid() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/roofline");
        // One of them is there for two number formats.
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 5);
        let capabilities = Capabilities::default() | Capabilities::SHADER_FLOAT16;
        for shader in [&READ, &COPY, &F32, &F16, &DOT4, &EMPTY] {
            let text = shader.with(&[64, 8][..shader.constants.len()]);
            let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&text)));
            Validator::new(ValidationFlags::all(), capabilities)
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}: {}", shader.name, e.emit_to_string(&text)));
        }
    }
}
