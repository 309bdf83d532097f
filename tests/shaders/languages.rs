//! A shader in the languages that drivers take, as wgpu's backends have naga write them, and files of it for
//! other compilers: `tests/shaders.sh`.

use std::path::Path;

use naga::back::{self, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::ModuleInfo;
use naga::{Module, ShaderStage};

/// A folder's name, how its files' names end, and the text or the words in it.
pub type Written = (&'static str, &'static str, Result<Vec<u8>, String>);

/// In each language, with the runtime checks of wgpu and without them where it can be said.
pub fn translate(module: &Module, info: &ModuleInfo) -> Vec<Written> {
    let msl = |policy| {
        let options = back::msl::Options {
            lang_version: (2, 4),
            fake_missing_bindings: true,
            bounds_check_policies: policies(policy),
            zero_initialize_workgroup_memory: false,
            force_loop_bounding: policy != BoundsCheckPolicy::Unchecked,
            ..Default::default()
        };
        let written = back::msl::write_string(module, info, &options, &Default::default());
        written.map(|(text, _)| text.into_bytes()).map_err(|e| e.to_string())
    };
    let wgsl = back::wgsl::write_string(module, info, back::wgsl::WriterFlags::empty());
    let mut written = vec![
        ("vulkan1.1", "spv", vulkan(module, info, (1, 3), BoundsCheckPolicy::Restrict)),
        ("vulkan1.3", "spv", vulkan(module, info, (1, 6), BoundsCheckPolicy::Unchecked)),
        ("metal", "metal", msl(BoundsCheckPolicy::Unchecked)),
        ("metal-safe", "metal", msl(BoundsCheckPolicy::Restrict)),
        ("wgsl-of-naga", "wgsl", wgsl.map(String::into_bytes).map_err(|e| e.to_string())),
        ("gles", "comp", glsl(module, info)),
    ];
    for (folder, model) in [
        ("hlsl-5.1", back::hlsl::ShaderModel::V5_1),
        ("hlsl-6.0", back::hlsl::ShaderModel::V6_0),
        ("hlsl-6.4", back::hlsl::ShaderModel::V6_4),
    ] {
        written.push((folder, "hlsl", hlsl(module, info, model)));
    }
    written
}

/// What there is another compiler for here. (Apple's exists on its own systems alone.)
const READ: [&str; 4] = ["vulkan1.1", "vulkan1.3", "hlsl-6.0", "hlsl-6.4"];

/// Writes that as `FOLDER/LANGUAGE/NAME.…`.
pub fn save(folder: &Path, name: &str, module: &Module, info: &ModuleInfo) {
    for (language, ending, text) in translate(module, info).into_iter().filter(|(language, ..)| READ.contains(language))
    {
        let folder = folder.join(language);
        std::fs::create_dir_all(&folder).unwrap();
        let text = text.unwrap_or_else(|e| panic!("{name} as {language}: {e}"));
        std::fs::write(folder.join(format!("{name}.{ending}")), text).unwrap();
    }
}

fn policies(policy: BoundsCheckPolicy) -> BoundsCheckPolicies {
    BoundsCheckPolicies { index: policy, buffer: policy, image_load: policy, ..Default::default() }
}

/// For a device of Vulkan 1.1 as wgpu writes it with its checks, for one of 1.3 with everything that it has and
/// without checks, as foveate does it.
fn vulkan(module: &Module, info: &ModuleInfo, version: (u8, u8), policy: BoundsCheckPolicy) -> Result<Vec<u8>, String> {
    use spv::Capability::*;
    let mut capabilities = vec![
        Shader,
        Matrix,
        ImageQuery,
        Sampled1D,
        Image1D,
        StorageImageExtendedFormats,
        GroupNonUniform,
        GroupNonUniformVote,
        GroupNonUniformArithmetic,
        GroupNonUniformBallot,
        GroupNonUniformShuffle,
        GroupNonUniformShuffleRelative,
        GroupNonUniformQuad,
    ];
    if version >= (1, 6) {
        capabilities.extend([DotProductInputAll, DotProductInput4x8Bit, DotProductInput4x8BitPacked, DotProduct, Int8]);
    }
    let options = spv::Options {
        lang_version: version,
        flags: spv::WriterFlags::empty(),
        capabilities: Some(capabilities.into_iter().collect()),
        bounds_check_policies: policies(policy),
        zero_initialize_workgroup_memory: match policy {
            BoundsCheckPolicy::Unchecked => spv::ZeroInitializeWorkgroupMemoryMode::None,
            _ => spv::ZeroInitializeWorkgroupMemoryMode::Polyfill,
        },
        force_loop_bounding: policy != BoundsCheckPolicy::Unchecked,
        emit_int_div_checks: policy != BoundsCheckPolicy::Unchecked,
        ..Default::default()
    };
    let entry = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".to_owned() };
    let words = spv::write_vec(module, info, &options, Some(&entry)).map_err(|e| e.to_string())?;
    Ok(words.into_iter().flat_map(u32::to_le_bytes).collect())
}

fn glsl(module: &Module, info: &ModuleInfo) -> Result<Vec<u8>, String> {
    let options = back::glsl::Options { version: back::glsl::Version::new_gles(310), ..Default::default() };
    let pipeline = back::glsl::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: "main".to_owned(),
        multiview: None,
    };
    let (mut text, policies) = (String::new(), Default::default());
    let mut writer =
        back::glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies).map_err(|e| e.to_string())?;
    writer.write().map_err(|e| e.to_string())?;
    Ok(text.into_bytes())
}

fn hlsl(module: &Module, info: &ModuleInfo, shader_model: back::hlsl::ShaderModel) -> Result<Vec<u8>, String> {
    let options = back::hlsl::Options { shader_model, ..Default::default() };
    let mut text = String::new();
    let pipeline = back::hlsl::PipelineOptions::default();
    let mut writer = back::hlsl::Writer::new(&mut text, &options, &pipeline);
    let reflection = writer.write(module, info, None).map_err(|e| e.to_string())?;
    let name = reflection.entry_point_names.into_iter().next().ok_or("no entry point")?.map_err(|e| e.to_string())?;
    // The compiler is told so.
    if name != "main" {
        return Err(format!("the entry point is {name}"));
    }
    Ok(text.into_bytes())
}
