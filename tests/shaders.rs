//! Every shader without a GPU: validated, translated to all five languages, and checked by reflection against the
//! kernel table. `tests/shaders.sh` has other compilers read what is written here.

mod cases;
#[path = "shaders/languages.rs"]
mod languages;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cases::Case;
use cases::convolutions::ConvSpec;
use cases::quantized;
use foveate::kernels::{Access, Element, KERNELS, Kernel, PreprocessSteps, Source, Step, Storage, Target, top_step};
use foveate::plan::Plan;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, ImageClass, Module, ShaderStage, StorageAccess, TypeInner};

/// Bytes of workgroup memory that every WebGPU device has.
const WORKGROUP_MEMORY: u32 = 16 << 10;

/// Bytes that WGSL grants to a function's variables, and to private ones; browsers enforce it.
const VARIABLES: u32 = 8 << 10;

/// Each distinct shader of the test graphs' plans, with a step that it belongs to, in all number formats.
fn shaders() -> BTreeMap<String, Step> {
    let mut shaders = shaders_in_f32();
    let before = shaders.values().filter(|step| !step.kernel.name.starts_with("int8/")).count();
    let cases = cases::all();
    let quantised: Vec<Case> = cases.iter().map(Case::quantised).collect();
    collect(&cases, &cases::f16_targets(), &mut shaders);
    collect(&quantised, &cases::targets(), &mut shaders);
    collect(&quantised, &cases::f16_targets(), &mut shaders);
    assert!(shaders.len() > 2 * before, "{before} and then {}", shaders.len());
    shaders
}

fn shaders_in_f32() -> BTreeMap<String, Step> {
    let mut cases = cases::all();
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    // The widest rows that a tile holds.
    let wide = ConvSpec::new(1, [8, 9, 70], 16, [3, 9]);
    let wide = ConvSpec { padding: [1, 130], dilation: [1, 31], ..wide };
    cases.extend([1, 8].map(|groups| ConvSpec { groups, ..wide.clone() }.case().expect("it fits")));
    let mut shaders = BTreeMap::new();
    let subgroups = [4, 8].map(Target::software_with_subgroups);
    let unrolled = Target { software: true, unrolled: true, ..Target::default() };
    let targets: Vec<Target> = cases::targets().into_iter().chain(subgroups).chain([unrolled]).collect();
    collect(&cases, &targets, &mut shaders);
    integers(&cases, &mut shaders);
    assert!(shaders.len() > cases.len() / 2, "only {} shaders", shaders.len());
    shaders
}

/// Those of integer programs.
fn integers(cases: &[Case], shaders: &mut BTreeMap<String, Step>) {
    for case in cases {
        let program = quantized::lowered(case);
        for target in [Target::default(), Target::software(), Target::for_software("webgpu", ["", ""], 0)] {
            let plan =
                Plan::for_program(&program, case.input.shape()[0], &[], target).expect("every case can be planned");
            shaders.extend(plan.steps.iter().map(|step| (step.shader(), step.clone())));
        }
    }
}

fn collect(cases: &[Case], targets: &[Target], shaders: &mut BTreeMap<String, Step>) {
    for (case, target) in cases.iter().flat_map(|case| targets.iter().map(move |target| (case, target))) {
        let plan = Plan::for_target(&case.graph, case.input.shape()[0], &[], target.clone());
        let plan = plan.expect("every case can be planned");
        let preprocess = PreprocessSteps::new(plan.input, [32, 24]);
        let top = top_step(&plan.outputs[0], plan.batch).map(|(step, _)| step);
        let steps = plan.steps.iter().chain(preprocess.all()).chain(&top);
        shaders.extend(steps.map(|step| (step.shader(), step.clone())));
    }
}

fn validate(text: &str, kernel: &Kernel) -> (Module, ModuleInfo) {
    let named = |problem: String| -> ! { panic!("{}: {problem}\n{text}", kernel.name) };
    let module = naga::front::wgsl::parse_str(text).unwrap_or_else(|e| named(e.emit_to_string(text)));
    // `pack2x16float` is in WebGPU's core; subgroups are only taken where a device has them.
    let capabilities = Capabilities::default() | Capabilities::SHADER_FLOAT16_IN_FLOAT32 | Capabilities::SUBGROUP;
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    let info = info.unwrap_or_else(|e| named(e.emit_to_string(text)));
    (module, info)
}

#[test]
fn every_shader_is_valid_and_agrees_with_the_kernel_table() {
    let shaders = shaders();
    for (text, step) in &shaders {
        check(&validate(text, step.kernel).0, step);
    }
    let seen: BTreeSet<_> = shaders.values().map(|step| step.kernel.name).collect();
    assert_eq!(seen, KERNELS.iter().map(|kernel| kernel.name).collect(), "kernels of the cases and of the table");
}

/// Shaders of some steps with each way of dividing their work.
fn tiled(shaders: &BTreeMap<String, Step>) -> BTreeMap<String, Step> {
    let mut seen = BTreeMap::new();
    // Number formats change nothing that a tile does.
    for step in shaders.values() {
        let tiled = step.candidates().into_iter().map(|tile| {
            step.with_tile(tile).unwrap_or_else(|| panic!("{} refuses its own candidate {tile}", step.kernel.name))
        });
        // The size of a workgroup changes one number.
        let first = step.candidates().first().map(|tile| tile.workgroup);
        seen.extend(tiled.filter(|step| Some(step.workgroup()) == first).map(|step| (step.shader(), step)));
    }
    seen
}

/// Tuning may take any of them, and nobody checks a shader when it runs.
#[test]
fn every_tile_is_valid_and_agrees_with_the_kernel_table() {
    let seen = tiled(&shaders_in_f32());
    assert!(seen.len() > 1000, "only {} shaders", seen.len());
    for (text, step) in &seen {
        check(&validate(text, step.kernel).0, step);
    }
    let kernels: BTreeSet<_> = seen.values().map(|step| step.kernel.name).collect();
    let tiled = KERNELS.iter().filter(|kernel| kernel.tiling.is_some());
    assert_eq!(kernels, tiled.map(|kernel| kernel.name).collect());
}

/// Bindings, workgroup and memory against what the table and every device's limits say.
fn check(module: &Module, step: &Step) {
    let kernel = step.kernel;
    check_bindings(module, step);
    let [entry] = &module.entry_points[..] else { panic!("{}: not one entry point", kernel.name) };
    assert_eq!((entry.name.as_str(), entry.stage), ("main", ShaderStage::Compute), "{}", kernel.name);
    assert_eq!(entry.workgroup_size, [step.workgroup(), 1, 1], "{}", kernel.name);
    let size = |ty| module.types[ty].inner.size(module.to_ctx());
    let all = |space| module.global_variables.iter().filter(move |(_, v)| v.space == space);
    let shared: u32 = all(AddressSpace::WorkGroup).map(|(_, v)| size(v.ty)).sum();
    assert!(shared <= WORKGROUP_MEMORY, "{}: {shared} bytes of workgroup memory", kernel.name);
    let private: u32 = all(AddressSpace::Private).map(|(_, v)| size(v.ty)).sum();
    assert!(private <= VARIABLES, "{}: {private} bytes of private variables", kernel.name);
    for function in module.functions.iter().map(|(_, f)| f).chain([&entry.function]) {
        let local: u32 = function.local_variables.iter().map(|(_, v)| size(v.ty)).sum();
        assert!(local <= VARIABLES, "{}: {local} bytes of variables in {:?}", kernel.name, function.name);
    }
}

fn check_bindings(module: &Module, step: &Step) {
    let kernel = step.kernel;
    let mut found = BTreeMap::new();
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = variable.binding else { continue };
        assert_eq!(binding.group, 0, "{}: {:?}", kernel.name, variable.name);
        let argument = step.arguments().zip(&step.formats).find(|(a, _)| a.binding == binding.binding);
        let (argument, step_format) =
            argument.unwrap_or_else(|| panic!("{}: {:?} is undeclared", kernel.name, variable.name));
        let (access, storage) = match (variable.space, &module.types[variable.ty].inner) {
            (AddressSpace::Storage { access }, TypeInner::Array { stride, .. }) => {
                // Tables are of integers.
                assert!(
                    argument.accessors.is_empty() || u64::from(*stride) == step_format.element.bytes(),
                    "{}",
                    kernel.name
                );
                (access, Storage::Buffer)
            }
            (AddressSpace::Handle, TypeInner::Image { class: ImageClass::Storage { format, access }, .. }) => {
                let expected = match step_format.element {
                    Element::F32 => naga::StorageFormat::Rgba32Float,
                    Element::F16 => naga::StorageFormat::Rgba16Float,
                    Element::I8 => naga::StorageFormat::R32Uint,
                    Element::Snorm8 | Element::I8Block | Element::I32 => {
                        panic!("{}: activations of {:?}", kernel.name, step_format.element)
                    }
                };
                assert_eq!(*format, expected, "{}", kernel.name);
                (*access, Storage::Texture)
            }
            (AddressSpace::Handle, TypeInner::Image { .. }) => (StorageAccess::LOAD, Storage::Texture),
            other => panic!("{}: {:?} is {other:?}", kernel.name, variable.name),
        };
        let access = if access.contains(StorageAccess::STORE) { Access::Write } else { Access::Read };
        found.insert(binding.binding, (variable.name.clone().unwrap_or_default(), access, storage));
    }
    let arguments = step.arguments().zip(&step.formats);
    let declared = arguments.map(|(a, format)| (a.binding, (a.name.to_owned(), a.access, format.storage)));
    assert_eq!(found, declared.collect(), "{}", kernel.name);
}

#[test]
fn every_shader_can_be_written_in_every_language() {
    for (text, step) in &shaders() {
        let kernel = step.kernel;
        let (module, info) = validate(text, kernel);
        for (language, _, written) in languages::translate(&module, &info) {
            let written = written.unwrap_or_else(|e| panic!("{} as {language}: {e}\n{text}", kernel.name));
            assert!(written.len() > 100, "{} as {language}: only {} long", kernel.name, written.len());
        }
    }
}

/// Each shader, and what naga makes of it, as files in the folder `$SHADERS_TO`, for compilers that are not naga.
/// Of shaders that differ in sizes alone one, but with `SHADERS=all` all, and all tiles.
#[test]
#[ignore = "writes files: tests/shaders.sh"]
fn every_shader_is_written_for_other_compilers() {
    let folder = std::env::var_os("SHADERS_TO").expect("SHADERS_TO is a folder");
    let folder = Path::new(&folder);
    let mut chosen = shaders();
    if std::env::var("SHADERS").is_ok_and(|which| which == "all") {
        chosen.extend(tiled(&shaders_in_f32()));
    } else {
        let mut kinds = BTreeSet::new();
        chosen.retain(|_, step| {
            let formats: Vec<_> = step.formats.iter().map(|format| format.key()).collect();
            kinds.insert((step.kernel.name, formats, step.unrolled, step.uses_subgroups()))
        });
    }
    let kernels: BTreeSet<_> = chosen.values().map(|step| step.kernel.name).collect();
    assert_eq!(kernels.len(), KERNELS.len(), "{kernels:?}");
    std::fs::create_dir_all(folder.join("wgsl")).unwrap();
    for (number, (text, step)) in chosen.iter().enumerate() {
        // What a browser is given, but those that need what browsers have not.
        let group = if step.uses_subgroups() { "-subgroups" } else { "" };
        let name = format!("{}-{number:05}{group}", step.kernel.name.replace('/', "-"));
        std::fs::write(folder.join("wgsl").join(format!("{name}.wgsl")), text).unwrap();
        let (module, info) = validate(text, step.kernel);
        languages::save(folder, &name, &module, &info);
    }
    println!("{} shaders of {} kernels", chosen.len(), kernels.len());
}

/// The files of all kernels, and those in their places where subgroups share their loads.
fn sources() -> impl Iterator<Item = &'static Source> {
    KERNELS.iter().flat_map(|kernel| kernel.sources).flat_map(|source| [Some(*source), source.subgroup]).flatten()
}

#[test]
fn every_declared_constant_is_used() {
    assert!(!KERNELS.is_empty());
    let shaders = shaders_in_f32();
    for kernel in KERNELS {
        let code: String = kernel.sources.iter().flat_map(|s| s.text.lines()).map(without_comment).collect();
        let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let step = shaders.values().find(|step| step.kernel == *kernel).expect("every kernel has a case");
        for (at, name) in kernel.constants.iter().enumerate() {
            assert!(words.contains(name) || decides_the_grid(step, at), "{}: {name} is not used", kernel.name);
        }
        for name in kernel.tiling.iter().flat_map(|tiling| tiling.constants) {
            assert!(words.contains(name), "{}: {name} is not used", kernel.name);
        }
        assert!(words.contains("WORKGROUP"), "{}", kernel.name);
    }
}

/// Whether the grid of a step would be another with twice as much of a constant.
fn decides_the_grid(step: &Step, constant: usize) -> bool {
    let mut other = step.clone();
    other.constants[constant] *= 2;
    let tiled = step.tile.and_then(|tile| other.with_tile(tile));
    tiled.is_some_and(|tiled| tiled.grid != step.grid)
}

fn without_comment(line: &str) -> String {
    line.split("//").next().unwrap_or_default().to_owned() + "\n"
}

#[test]
fn every_shader_file_belongs_to_a_kernel() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut files = BTreeSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("roofline") {
                // No kernels of networks: src/roofline/shaders.rs tests them.
            } else if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(&root).unwrap();
                files.insert(below.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    assert!(!files.is_empty());
    let accessors = KERNELS.iter().flat_map(|kernel| kernel.arguments).flat_map(|argument| argument.accessors);
    let accessors = accessors.map(|accessor| &accessor.source);
    let used: Vec<&Source> = sources().chain(accessors).collect();
    assert_eq!(files, used.iter().map(|source| source.file.to_owned()).collect::<BTreeSet<_>>());
    for kernel in KERNELS {
        let own = kernel.sources.last().map(|source| source.file);
        assert_eq!(own, Some(format!("{}.wgsl", kernel.name).as_str()), "a kernel's file has its name");
    }
}
