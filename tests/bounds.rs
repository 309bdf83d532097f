//! No kernel reads or writes outside of what it binds, on any shape of any network: kernels run without
//! runtime checks, so this is shown here, without a device.
//!
//! Each shader's integers are executed, as naga understands the text, for every invocation of the whole
//! grid and every turn of every loop: nothing is sampled. Every index into a buffer, a texture, workgroup
//! memory, an array or a vector is checked, and so are divisors, shift counts, and that loops end. Floats
//! are not followed: an index never depends on them, or it is taken for any number that its type has, and
//! both ways of a branch. What buffers hold is unknown in the same way, but for tables that the plan itself
//! makes. So what is shown holds for whatever weights, pictures and intermediate values there are.
//!
//! It says nothing of races between invocations, of drivers' compilers, nor of shapes that no network here
//! has: `--safe-shaders` turns the checks on.

mod cases;

#[path = "bounds"]
mod interpreter {
    pub mod evaluate;
    pub mod facts;
    pub mod machine;
    pub mod memory;
    pub mod value;
}

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use foveate::kernels::{
    Binding, KERNELS, Passes, PreprocessSteps, Step, Storage, TEXTURE_WIDTH, Target, preprocess_words, top_step,
};
use foveate::models::{Architecture, Form, Zeros};
use foveate::plan::Plan;
use foveate::preprocess::{Filter, Preprocess, Resize};
use foveate::quant::{Options, Quantization};
use foveate::{Graph, int8, passes};
use interpreter::facts::Facts;
use interpreter::machine::{Bound, Machine, Slot};
use interpreter::value::Scalar;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{BuiltIn, Module, TypeInner};

/// Invocations that are executed at once.
const LANES: u32 = 2048;

/// A dispatch with the sizes of what it binds, in bytes, and the words of tables.
#[derive(Clone)]
struct Dispatch {
    step: Step,
    sizes: Vec<u64>,
    tables: Vec<Option<Vec<u32>>>,
}

impl Dispatch {
    /// A step of a plan; `others` are the sizes of what is not the plan's.
    fn of(plan: &Plan, step: &Step, other: impl Fn(Binding) -> (u64, Option<Vec<u32>>)) -> Dispatch {
        let (mut sizes, mut tables) = (vec![], vec![]);
        for (argument, binding) in step.arguments().zip(&step.bindings) {
            let (size, words) = match binding {
                Binding::Tensor(id) => {
                    let tensor = &plan.tensors[id.0 as usize];
                    // Of a texture what is used of its last row, not all of it.
                    (tensor.vec4s() * tensor.format.element.bytes(), None)
                }
                Binding::Weights(id) => {
                    let words = &plan.weights[id.0 as usize].words;
                    let known = matches!(argument.name, "table" | "factors" | "sizes");
                    (words.len() as u64 * 4, known.then(|| words.to_vec()))
                }
                other_binding => other(*other_binding),
            };
            sizes.push(size);
            tables.push(words);
        }
        Dispatch { step: step.clone(), sizes, tables }
    }

    /// What it is the same as another by.
    fn key(&self) -> String {
        format!("{:?} {:?} {:?} {}", self.step.grid, self.sizes, self.tables, self.step.shader())
    }

    /// Executes all invocations; how many indices were checked.
    fn prove(&self) -> Result<u64, String> {
        let text = self.step.shader();
        let module = naga::front::wgsl::parse_str(&text).map_err(|e| e.emit_to_string(&text))?;
        let constants = self.step.kernel.constants.iter().zip(&self.step.constants);
        let subgroup = constants.filter(|(name, _)| **name == "SUBGROUP").map(|(_, size)| *size).next().unwrap_or(0);
        execute(&text, &|binding| self.bound(&module, binding), self.step.grid, self.step.workgroup(), subgroup)
    }

    fn bound<'a>(&'a self, module: &Module, binding: u32) -> Option<Bound<'a>> {
        let at = self.step.arguments().position(|argument| argument.binding == binding)?;
        let variable = module.global_variables.iter().find(|(_, v)| v.binding.is_some_and(|b| b.binding == binding))?;
        let format = self.step.formats[at];
        let (element, row) = match (&module.types[variable.1.ty].inner, format.storage) {
            (TypeInner::Array { stride, .. }, Storage::Buffer) => (u64::from(*stride), None),
            (TypeInner::Image { .. }, Storage::Texture) => (format.element.bytes(), Some(TEXTURE_WIDTH)),
            _ => return None,
        };
        Some(Bound { elements: self.sizes[at] / element, words: self.tables[at].as_deref(), row })
    }
}

/// Executes a shader for a whole grid of workgroups; how many indices were checked.
fn execute<'w>(
    text: &str,
    bound: &dyn Fn(u32) -> Option<Bound<'w>>,
    grid: [u32; 3],
    workgroup: u32,
    subgroup: u32,
) -> Result<u64, String> {
    assert!(subgroup == 0 || workgroup.is_multiple_of(subgroup));
    let module = naga::front::wgsl::parse_str(text).map_err(|e| e.emit_to_string(text))?;
    let capabilities = Capabilities::default() | Capabilities::SHADER_FLOAT16_IN_FLOAT32 | Capabilities::SUBGROUP;
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    let info = info.map_err(|e| e.emit_to_string(text))?;
    let entry = &module.entry_points[0].function;
    let functions = module.functions.iter().map(|(handle, function)| Facts::new(&module, function, &info[handle]));
    let facts: Vec<Facts> = functions.chain([Facts::new(&module, entry, info.get_entry_point(0))]).collect();
    let [columns, rows, layers] = grid;
    let groups = (0..layers).flat_map(|z| (0..rows).flat_map(move |y| (0..columns).map(move |x| [x, y, z])));
    let groups: Vec<[u32; 3]> = groups.collect();
    let mut checked = 0;
    for batch in groups.chunks((LANES / workgroup).max(1) as usize) {
        let mut machine = Machine::new(text, &module, &facts, bound, batch.len() * workgroup as usize, subgroup);
        let arguments = entry.arguments.iter().map(|argument| built_in(argument, batch, workgroup, grid));
        machine.run(arguments.collect())?;
        checked += machine.checked;
    }
    Ok(checked)
}

/// The built-in values of workgroups' invocations.
fn built_in(argument: &naga::FunctionArgument, groups: &[[u32; 3]], size: u32, grid: [u32; 3]) -> Slot {
    let Some(naga::Binding::BuiltIn(which)) = argument.binding else {
        panic!("main has other arguments: {argument:?}")
    };
    let each = |of: &dyn Fn([u32; 3], u32) -> u32| {
        Scalar::of(groups.iter().flat_map(|group| (0..size).map(|local| of(*group, local))).collect())
    };
    let leaves = match which {
        BuiltIn::GlobalInvocationId => {
            vec![each(&|[x, ..], local| x * size + local), each(&|[_, y, _], _| y), each(&|[.., z], _| z)]
        }
        BuiltIn::WorkGroupId => (0..3).map(|axis| each(&|group, _| group[axis])).collect(),
        BuiltIn::LocalInvocationIndex => vec![each(&|_, local| local)],
        BuiltIn::NumWorkGroups => grid.map(Scalar::Same).to_vec(),
        other => panic!("no kernel had this built-in value before: {other:?}"),
    };
    Slot::Value(leaves.into())
}

/// The dispatches of a plan, those that find the best classes with them.
fn dispatches(plan: &Plan) -> Vec<Dispatch> {
    let nothing = |binding| panic!("a plan binds no {binding:?}");
    let mut all: Vec<Dispatch> = plan.steps.iter().map(|step| Dispatch::of(plan, step, nothing)).collect();
    if let Some((step, record)) = top_step(&plan.outputs[0], plan.batch) {
        let bytes = (record.words() * plan.batch * 4) as u64;
        all.push(Dispatch::of(plan, &step, |_| (bytes, None)));
    }
    all
}

/// Those that prepare pictures of some sizes for a network.
fn pictures(plan: &Plan) -> Vec<Dispatch> {
    let [rows, columns] = [plan.input_shape.height as u32, plan.input_shape.width as u32];
    let mut all = vec![];
    for (width, height, stride) in
        [(640, 480, 640), (31, 17, 31), (17, 900, 64), (224, 224, 256), (1, 1, 1), (3000, 2000, 3008)]
    {
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let resize = Resize { shorter: rows.max(columns) * 8 / 7, filter };
            let spec = Preprocess { resize, crop: [rows, columns], mean: [0.5; 3], std: [0.25; 3] };
            let tables = spec.tables(width, height).unwrap();
            let Some(best) = Passes::best(&tables) else { continue };
            let span = tables.vertical.span().len() as u32;
            for passes in [best, Passes::One, Passes::Two { rows: span }] {
                let words = preprocess_words(&spec, &tables, [width, height], stride, plan.batch as u32 - 1);
                let other = |binding| match binding {
                    Binding::Picture => (u64::from(stride) * u64::from(height) * 4, None),
                    Binding::Tables => (words.len() as u64 * 4, Some(words.clone())),
                    Binding::Lines => (passes.line_bytes(columns), None),
                    other => panic!("pictures are prepared without {other:?}"),
                };
                let steps = PreprocessSteps::new(plan.input, spec.crop).of(passes);
                all.extend(steps.iter().map(|step| Dispatch::of(plan, step, other)));
            }
        }
    }
    all
}

/// A network as it is planned: in floats, with weights of 8 bits, in integers.
struct Network {
    floats: Graph,
    bytes: Graph,
    integers: int8::Program,
}

impl Network {
    fn named(name: &str) -> Network {
        let graph = Architecture::named(name).unwrap().build(Form::Fused, &mut Zeros).unwrap();
        let (floats, _) = passes::fuse(&graph).unwrap();
        let mut bytes = floats.clone();
        passes::quantize_weights(&mut bytes).unwrap();
        let scale = |_| 0.05;
        let (graph, quantization) = Quantization::with_scales(&floats, Options::plain(), scale, |_, _| 0.03).unwrap();
        let integers = int8::lower(&graph, &quantization).unwrap();
        Network { floats, bytes, integers }
    }

    fn plans(&self, batch: usize, targets: &[Target]) -> Vec<Plan> {
        let plans = targets.iter().flat_map(|target| {
            let graph = |graph| Plan::for_target(graph, batch, &[], target.clone()).unwrap();
            let halves = Target { f16: true, ..target.clone() };
            let f16 = Plan::for_target(&self.floats, batch, &[], halves).unwrap();
            let program = Plan::for_program(&self.integers, batch, &[], target.clone()).unwrap();
            [graph(&self.floats), f16, graph(&self.bytes), program]
        });
        plans.collect()
    }
}

/// All that a session may be planned for.
fn targets() -> Vec<Target> {
    let swiftshader = Target::for_software("webgpu", ["", ""], 0);
    let subgroups = [4, 8].map(Target::software_with_subgroups);
    cases::targets().into_iter().chain(subgroups).chain([swiftshader]).collect()
}

/// Proves all of them, on all processors; the distinct ones, and the indices that were checked.
fn prove(all: impl IntoIterator<Item = Dispatch>) -> (usize, u64) {
    let distinct: BTreeMap<_, Dispatch> = all.into_iter().map(|dispatch| (dispatch.key(), dispatch)).collect();
    let distinct: Vec<Dispatch> = distinct.into_values().collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new((0u64, vec![])));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(dispatch) = distinct.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let proved = dispatch.prove();
                    let mut found = found.lock().unwrap();
                    match proved {
                        Ok(checked) => found.0 += checked,
                        Err(error) => found.1.push(format!("{}: {error}", dispatch.step)),
                    }
                }
            });
        }
    });
    let (checked, wrong) = found.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} dispatches:\n{}", wrong.len(), distinct.len(), wrong.join("\n"));
    (distinct.len(), checked)
}

/// The smallest network of each family, at full size.
const NETWORKS: [&str; 4] = ["repvgg-a0", "repnext-m0", "mobileone-s0", "repvgg-cifar"];

#[test]
fn no_kernel_of_the_smallest_networks_leaves_its_bindings() {
    let mut all = vec![];
    for name in NETWORKS {
        let network = Network::named(name);
        all.extend(
            network.plans(1, &[Target::default(), Target::software_with_subgroups(8)]).iter().flat_map(dispatches),
        );
    }
    all.extend(pictures(&Plan::new(&Network::named("repvgg-cifar").floats, 3, &[]).unwrap()));
    let (dispatches, checked) = prove(all);
    println!("{dispatches} dispatches, {checked} indices");
    assert!(dispatches > 200 && checked > 1_000_000_000, "{dispatches} dispatches, {checked} indices");
}

/// All networks, or those that the variable NETWORKS names with blanks between, for all targets, with one sample and with
/// three. What several networks have is executed once.
#[test]
#[ignore = "takes minutes for a small network, hours of processor time for all"]
fn no_kernel_of_any_network_leaves_its_bindings() {
    let all = foveate::models::names().map(str::to_owned);
    let wanted: Vec<String> = match std::env::var("NETWORKS") {
        Ok(names) => names.split_whitespace().map(str::to_owned).collect(),
        Err(_) => all.collect(),
    };
    let (mut known, mut seen) = (BTreeSet::new(), 0);
    for name in &wanted {
        let network = Network::named(name);
        let plans = [1, 3].map(|batch| network.plans(batch, &targets()));
        let new = plans.iter().flatten().flat_map(dispatches).filter(|dispatch| known.insert(dispatch.key()));
        let (dispatches, checked) = prove(new);
        println!("{name}: {dispatches} new dispatches, {checked} indices");
        seen += 1;
    }
    assert!(seen > 0 && (seen >= 30 || std::env::var("NETWORKS").is_ok()), "{seen}");
}

/// Small shapes of every operator, odd ones among them, as planned and with every third of the tiles that a
/// tuning file may choose, beginning with another one from case to case. `TILES=all` takes all of them.
#[test]
fn no_kernel_with_every_third_tile_leaves_its_bindings() {
    let (mut all, every) = (vec![], if std::env::var("TILES").is_ok_and(|tiles| tiles == "all") { 1 } else { 3 });
    let cases = cases::all();
    for (number, case) in cases.iter().enumerate() {
        let target = &targets()[number % targets().len()];
        let plan = Plan::for_target(&case.graph, case.input.shape()[0], &[], target.clone()).unwrap();
        let program =
            Plan::for_program(&cases::quantized::lowered(case), case.input.shape()[0], &[], target.clone()).unwrap();
        for plan in [plan, program] {
            for dispatch in dispatches(&plan) {
                let tiles = dispatch.step.candidates();
                let chosen = tiles.iter().skip(number % every).step_by(every);
                let steps = chosen.filter_map(|tile| dispatch.step.with_tile(*tile));
                all.extend(steps.map(|step| Dispatch { step, ..dispatch.clone() }));
                all.push(dispatch);
            }
        }
    }
    let kernels: BTreeSet<&str> = all.iter().map(|dispatch| dispatch.step.kernel.name).collect();
    let (dispatches, checked) = prove(all);
    println!("{dispatches} dispatches, {checked} indices");
    // Three prepare pictures.
    assert_eq!(kernels.len(), KERNELS.len() - 3, "{kernels:?}");
    assert!(dispatches > 2000 && checked > 10_000_000, "{dispatches} dispatches, {checked} indices");
}

/// What a plan could get wrong is found: sizes of what is bound, constants, the grid, and the text itself.
#[test]
fn planted_faults_are_found() {
    let case = cases::convolutions::ConvSpec::new(2, [8, 9, 7], 12, [3, 3]);
    let case = cases::convolutions::ConvSpec { padding: [1, 1], ..case }.case().unwrap();
    let plan = Plan::new(&case.graph, 2, &[]).unwrap();
    let right = dispatches(&plan).into_iter().find(|dispatch| dispatch.step.kernel.name == "conv").unwrap();
    right.prove().unwrap();
    let wrong = |change: &dyn Fn(&mut Dispatch)| {
        let mut other = right.clone();
        change(&mut other);
        other.prove().expect_err("it leaves what it binds")
    };
    let constant = |name: &str| right.step.kernel.constants.iter().position(|known| *known == name).unwrap();
    for argument in 0..right.sizes.len() {
        // The residual is bound, but not read.
        if right.step.kernel.arguments[argument].name != "residual" {
            let error = wrong(&|dispatch| dispatch.sizes[argument] -= 16);
            assert!(error.contains("an index of") && error.contains('«'), "{error}");
        }
    }
    wrong(&|dispatch| dispatch.step.grid[1] += 1);
    wrong(&|dispatch| dispatch.step.constants[constant("X_PLANE")] += 1);
    wrong(&|dispatch| dispatch.step.constants[constant("BATCH")] += 1);
    wrong(&|dispatch| dispatch.step.constants[constant("IN_W")] += 1);
    // Left of the map no longer wraps, and the row before is read instead: that is no fault of bounds.
    wrong(&|dispatch| dispatch.step.constants[constant("K_W")] += 1);
    assert!(wrong(&|dispatch| dispatch.step.constants[constant("GROUP_OUT_PLANES")] = 0).contains("zero"));
}

/// Floats in branches, masks, loops that end at different times, arrays in arrays: each shader leaves its
/// buffer of eight words, or does not.
#[test]
fn small_shaders_are_judged_rightly() {
    let head = "@group(0) @binding(0) var<storage, read> x: array<f32>; @group(0) @binding(1) var<storage, read_write> y: array<u32>; var<workgroup> shared_: array<u32, 4>; @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {";
    let inside = [
        "y[id.x] = 1u;",
        "if (x[0] > 0.5) { y[id.x] = 1u; } else { y[7u - id.x] = 2u; }",
        "if (id.x > 3u) { return; } y[id.x * 2u] = 1u;",
        "var i = 0u; loop { if (i >= id.x) { break; } i++; } y[i] = 1u;",
        "var i = id.x; while (i > 0u) { if (i % 2u == 0u) { i -= 1u; continue; } y[i] = 1u; i -= 1u; }",
        "var a = array<array<u32, 3>, 2>(); a[id.x / 4u][id.x % 3u] = id.x; y[a[1][2]] = 1u;",
        "var v = u32(x[0]); if (v < 8u) { y[v] = 1u; }",
        "let v = min(u32(x[0]), 7u); y[v] = v;",
        "y[clamp(i32(x[0]), 0, 7)] = 1u;",
        "y[select(0u, 7u, x[0] > 0.0)] = 1u;",
        "y[shared_[id.x & 3u] % 8u] = 1u;",
        "var n = 0u; if (x[0] > 0.0) { n = 7u; } y[n] = 1u;",
    ];
    let outside = [
        "y[id.x + 1u] = 1u;",
        "y[id.x - 1u] = 1u;",
        "if (x[0] > 0.5) { y[id.x + 1u] = 1u; }",
        "if (id.x > 4u) { return; } y[id.x * 2u] = 1u;",
        "var i = 0u; loop { if (i > id.x) { break; } i++; } y[i] = 1u;",
        "y[u32(x[0])] = 1u;",
        "var v = u32(x[0]); if (v < 9u) { y[v] = 1u; }",
        "var v = u32(x[0]); if (v < 8u) { } y[v] = 1u;",
        "y[shared_[id.x] % 8u] = 1u;",
        "y[shared_[id.x & 3u] % 9u] = 1u;",
        "var a = array<u32, 4>(); y[0] = a[id.x];",
        "y[0] = 1u / (id.x - 3u);",
        "y[0] = 1u << (id.x * 5u);",
        "loop { if (x[0] > 0.0) { break; } }",
        "let v = vec3<f32>(x[0]); y[0] = u32(v[id.x]);",
        "var n = 0u; if (x[0] > 0.0) { n = 8u; } y[n] = 1u;",
    ];
    let judge = |body: &str| {
        let text = format!("{head} {body} }}");
        let sizes = |_: u32| Some(Bound { elements: 8, words: None, row: None });
        execute(&text, &sizes, [1, 1, 1], 8, 0)
    };
    for body in inside {
        judge(body).unwrap_or_else(|error| panic!("{body}: {error}"));
    }
    for body in outside {
        assert!(judge(body).is_err(), "{body}");
    }
}
