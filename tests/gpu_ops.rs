//! The GPU executor against the oracle, on every backend: all activation memory is filled with NaN
//! before a run, and canaries lie behind every buffer.

mod cases;
mod device;
mod oracle;

use std::sync::Arc;

use cases::Case;
use cases::convolutions::ConvSpec;
use foveate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use foveate::kernels::{Choices, Element, Step, Storage, Target, TensorId};
use foveate::ops::AvgPool;
use foveate::plan::Plan;
use foveate::{Graph, NodeId, Result, Shape, Tensor};
use pollster::block_on;
use proptest::prelude::*;

/// Whatever a plan may be made for; every device computes each of them, the one with subgroups where it
/// has some.
fn all_targets(context: &GpuContext) -> Vec<Target> {
    cases::targets().into_iter().chain(with_subgroups(context)).collect()
}

/// The target that shares loads within subgroups, where the device has some of known size.
fn with_subgroups(context: &GpuContext) -> Option<Target> {
    Some(context.target().subgroup).filter(|subgroup| *subgroup > 0).map(Target::software_with_subgroups)
}

/// Relative L2 distance that the design allows.
const BOUND: f64 = 1e-5;

/// The same with 16-bit floats.
const F16_BOUND: f64 = 5e-3;

fn plan(case: &Case, wanted: &[NodeId], target: &Target) -> Result<Plan> {
    Plan::for_target(&case.graph, case.input.shape()[0], wanted, target.clone())
}

/// The network's output and what is wanted besides.
fn execute(context: &GpuContext, plan: Plan, input: &Tensor) -> Result<Vec<Tensor>> {
    let options = ExecutorOptions { canaries: true, ..Default::default() };
    block_on(async {
        let mut executor = GpuExecutor::new(context, plan, options).await?;
        let outputs = executor.run_tensor(input).await?;
        executor.check_canaries().await?;
        Ok(outputs)
    })
}

fn run(context: &GpuContext, case: &Case, target: &Target) -> Result<Tensor> {
    Ok(execute(context, plan(case, &[], target)?, &case.input)?.swap_remove(0))
}

/// The targets of which a case's plan has other steps than of those before.
fn targets(case: &Case, context: &GpuContext) -> Vec<Target> {
    targets_among(case, &all_targets(context))
}

fn targets_among(case: &Case, all: &[Target]) -> Vec<Target> {
    let mut seen: Vec<Vec<Step>> = Vec::new();
    let mut is_new = |target: &Target| match plan(case, &[], target) {
        Ok(plan) if seen.contains(&plan.steps) => false,
        Ok(plan) => {
            seen.push(plan.steps);
            true
        }
        // Running it says why.
        Err(_) => true,
    };
    all.iter().filter(|target| is_new(target)).cloned().collect()
}

/// Halfway between two 16-bit floats and beside that, of both signs: of all sizes that there are, the smallest and the
/// largest among them.
fn between_halves() -> Vec<f32> {
    let near = |bits: u16| [bits, bits + 1].map(|bits| half::f16::from_bits(bits).to_f32());
    let all = (0..0x7bff).step_by(7).chain([0x3ff, 0x400, 0x3bff, 0x3c00, 0x7bfe]).flat_map(|bits| {
        let [low, high] = near(bits);
        let middle = (low + high) / 2.0;
        [low, middle.next_down(), middle, middle.next_up(), high]
    });
    // The last are beyond the largest, and no number.
    all.chain([65519.996, 65520.0, 1e9, f32::MAX, f32::INFINITY]).flat_map(|value| [value, -value]).collect()
}

/// WGSL leaves it to the driver how a 16-bit float is rounded: shaders do it themselves.
#[test]
fn halves_are_stored_rounded_to_nearest() {
    let mut values = between_halves();
    values.extend([0x7fc00000, 0xffc00000, 0x7fffffff, 0xffffffff, 0x7f800001].map(f32::from_bits));
    values.resize(values.len().next_multiple_of(4), 0.0);
    let (pixels, pool) = (values.len() / 4, AvgPool { kernel: 1, stride: 1, padding: 0 });
    let mut graph = Graph::new("halves", Shape::new(4, 1, pixels));
    let stored = graph.add("stored", pool.clone(), &[graph.input()]).unwrap();
    let read = graph.add("read", pool, &[stored]).unwrap();
    graph.set_output(read);
    // Four channels of a pixel lie beside each other.
    let planes = (0..4).flat_map(|channel| values.iter().skip(channel).step_by(4)).copied().collect();
    let input = Tensor::new([1, 4, 1, pixels], planes).unwrap();
    for context in device::contexts() {
        for activations in [Storage::Buffer, Storage::Texture] {
            let target = Target { f16: true, activations, ..context.target() };
            let plan = Plan::for_target(&graph, 1, &[], target).unwrap().without_reuse();
            let at = plan.tensors.iter().position(|tensor| tensor.name == "stored").unwrap();
            assert_eq!(plan.tensors[at].format.element, Element::F16);
            let words = block_on(async {
                let mut executor = GpuExecutor::new(context, plan, ExecutorOptions::default()).await?;
                executor.run_tensor(&input).await?;
                executor.read_tensor(TensorId(at as u32)).await
            });
            let halves = words.unwrap().into_iter().flat_map(|word| [word as u16, (word >> 16) as u16]);
            for (value, bits) in values.iter().zip(halves) {
                let (found, expected) = (half::f16::from_bits(bits), half::f16::from_f32(*value));
                // WGSL lets values beyond the largest be anything: infinite, the largest, NaN (1e9 on SwiftShader).
                let beyond = expected.is_infinite() && (!found.is_finite() || found.to_f32().abs() == 65504.0);
                // Where 16-bit floats have fewer digits, the driver takes one of the two nearest. Zeros lose their sign
                // in the sum.
                let small = value.abs() < 2f32.powi(-14) && (found.to_f32() - value).abs() < 6e-8;
                let same = found == expected || small || (found.is_nan() && expected.is_nan());
                let name = &context.summary().name;
                assert!(same || beyond, "{name}, {activations:?}: {value:e} became {found:e}, not {expected:e}");
            }
        }
    }
}

#[test]
fn every_case_is_within_the_bound_on_every_backend() {
    let cases = cases::all();
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    within(device::contexts(), &cases, all_targets, BOUND);
}

#[test]
fn every_case_in_16_bits_is_within_the_bound_on_every_backend() {
    let worst = within_here_and_there(&cases::all(), f16_targets, F16_BOUND);
    // 32-bit floats would be a hundred times closer.
    assert!(device::contexts().is_empty() || worst > 1e-4, "{worst}");
}

/// The oracle has the weights that the bytes stand for, so nothing is lost to it.
#[test]
fn every_case_with_weights_of_8_bits_is_within_the_bound_on_every_backend() {
    let cases: Vec<Case> = cases::all().iter().map(Case::quantised).filter(Case::is_quantised).collect();
    assert!(cases.len() >= 80, "only {} cases", cases.len());
    let targets = [Target::default(), Target::software()];
    for target in &targets {
        let bytes =
            |case: &Case| plan(case, &[], target).unwrap().weights.iter().any(|w| w.format.element == Element::Snorm8);
        assert!(cases.iter().all(bytes));
    }
    within_here_and_there(&cases, |_| targets.to_vec(), BOUND);
    // Together with 16-bit floats the accessors are the same as without.
    let some: Vec<Case> = cases.into_iter().step_by(4).collect();
    within(device::contexts().get(..1).unwrap_or_default(), &some, f16_targets, F16_BOUND);
}

fn f16_targets(_: &GpuContext) -> Vec<Target> {
    cases::f16_targets().to_vec()
}

/// All cases on the first device, each for one target in turn, and every fourth for all of them on the others:
/// what differs there are the drivers' accessors, and each shader takes its time to compile.
fn within_here_and_there(cases: &[Case], all: impl Fn(&GpuContext) -> Vec<Target> + Copy, bound: f64) -> f64 {
    let (first, others) = device::contexts().split_at(device::contexts().len().min(1));
    let targets: Vec<Target> = first.iter().flat_map(all).collect();
    let in_turn = targets.iter().enumerate().map(|(at, target)| {
        let share: Vec<Case> = cases.iter().skip(at).step_by(targets.len()).cloned().collect();
        within(first, &share, |_| vec![target.clone()], bound)
    });
    let some: Vec<Case> = cases.iter().step_by(4).cloned().collect();
    in_turn.fold(0.0, f64::max).max(within(others, &some, all, bound))
}

/// Runs cases for targets on devices; the largest error.
fn within(contexts: &[GpuContext], cases: &[Case], all: impl Fn(&GpuContext) -> Vec<Target>, bound: f64) -> f64 {
    let mut wrong = Vec::new();
    let mut largest = 0f64;
    let targets: Vec<Vec<Target>> = contexts.iter().map(all).collect();
    let each = contexts.iter().zip(&targets).flat_map(|(context, all)| all.iter().map(move |one| (context, all, one)));
    for (context, all, target) in each {
        let mut worst = (0.0, "");
        for case in cases.iter().filter(|case| targets_among(case, all).contains(target)) {
            match run(context, case, target) {
                Ok(found) => {
                    let error = oracle::relative_l2(&found, &oracle::output(&case.graph, &case.input));
                    if error.is_nan() || error > bound {
                        wrong.push(format!(
                            "{}, {target:?}: {}: relative error {error:e}",
                            context.summary(),
                            case.name
                        ));
                    }
                    worst = if error > worst.0 { (error, &case.name) } else { worst };
                }
                Err(error) => wrong.push(format!("{}, {target:?}: {}: {error}", context.summary(), case.name)),
            }
        }
        eprintln!("{}, {target:?}: largest relative error {:e} ({})", context.summary(), worst.0, worst.1);
        largest = largest.max(worst.0);
    }
    assert!(wrong.is_empty(), "{} failures:\n{}", wrong.len(), wrong.join("\n"));
    largest
}

#[test]
fn long_strides_and_wide_dilations_are_within_the_bound() {
    let dense = ConvSpec::new(2, [5, 3, 40], 6, [3, 3]);
    let mut specs = vec![];
    for (groups, input, out) in [(1, [5, 3, 40], 6), (5, [5, 3, 40], 5)] {
        let spec = ConvSpec { groups, input, out, ..dense.clone() };
        specs.push(ConvSpec { padding: [300, 300], dilation: [300, 300], ..spec.clone() });
        specs.push(ConvSpec { padding: [4, 250], dilation: [2, 240], stride: [1, 90], ..spec.clone() });
        specs.push(ConvSpec { padding: [0, 6], dilation: [1, 6], stride: [1, 4], ..spec });
    }
    for context in device::contexts() {
        for spec in &specs {
            let case = spec.case().unwrap();
            for target in all_targets(context) {
                let found = run(context, &case, &target).unwrap_or_else(|e| panic!("{}: {e}", case.name));
                let error = oracle::relative_l2(&found, &oracle::output(&case.graph, &case.input));
                assert!(error <= BOUND, "{}: {}: relative error {error:e}", context.summary(), case.name);
            }
        }
    }
}

/// What is asked for is computed, fused or not, and nothing else changes.
#[test]
fn wanted_hidden_layers_are_within_the_bound() {
    let fused = |step: &&Step| step.kernel.name.starts_with("mlp") || step.kernel.name == "pool_linear";
    let count = |plan: &Plan| plan.steps.iter().filter(fused).count();
    let chain = |case: &Case| ["mlp in a chain", "head in a chain"].iter().any(|name| case.name.starts_with(name));
    let cases: Vec<Case> = cases::all().into_iter().filter(chain).collect();
    assert!(cases.len() >= 10, "only {}", cases.len());
    assert!(cases.iter().any(|case| count(&plan(case, &[], &Target::default()).unwrap()) > 0), "none is fused");
    for (context, case) in device::contexts().iter().flat_map(|context| cases.iter().map(move |case| (context, case))) {
        for target in targets(case, context) {
            let all: Vec<NodeId> = case.graph.ids().collect();
            let plan = plan(case, &all, &target).unwrap();
            assert_eq!(count(&plan), 0, "{}: every hidden layer is wanted", case.name);
            let found = execute(context, plan, &case.input).unwrap();
            for (id, found) in all.iter().zip(&found[1..]) {
                let mut graph = case.graph.clone();
                graph.set_output(*id);
                let error = oracle::relative_l2(found, &oracle::output(&graph, &case.input));
                assert!(error <= BOUND, "{}: {}: node {}: {error:e}", context.summary(), case.name, id.0);
            }
        }
    }
}

/// The target with one of the candidates tuned for each step that has any, and how many have.
fn tuned(case: &Case, target: &Target, pick: usize) -> (Target, usize) {
    let plan = plan(case, &[], target).unwrap();
    let mut choices = Choices::default();
    for step in &plan.steps {
        let candidates = step.candidates();
        if !candidates.is_empty() {
            choices.tiles.insert(step.key(), candidates[pick % candidates.len()]);
        }
    }
    let tiles = choices.tiles.len();
    (Target { choices: Arc::new(choices), ..target.clone() }, tiles)
}

/// Whether the plan has the tiles and kernels that were chosen.
fn follows(plan: &Plan, choices: &Choices) -> bool {
    let mut tiles = plan.steps.iter().filter(|step| !step.candidates().is_empty());
    let mut kernels = plan.decisions.iter().filter(|decision| choices.kernels.contains_key(&decision.key));
    tiles.all(|step| step.tile == choices.tiles.get(&step.key()).copied())
        && kernels.all(|decision| choices.kernels[&decision.key] == decision.taken)
}

#[test]
fn tiles_that_were_tuned_are_taken_and_within_the_bound() {
    let cases = cases::all();
    let mut tiled = 0;
    // One device: tiles are the same everywhere, and each is another shader to compile.
    for context in device::contexts().iter().take(1) {
        for (number, (case, target)) in cases
            .iter()
            .flat_map(|case| targets(case, context).into_iter().map(move |target| (case, target)))
            .enumerate()
            .filter(|(number, _)| number % 2 == 0)
        {
            // Another candidate in each case: all of all of them would take an hour to compile.
            let (target, tiles) = tuned(case, &target, number * 7 + 3);
            tiled += tiles;
            if tiles == 0 {
                continue;
            }
            assert!(follows(&plan(case, &[], &target).unwrap(), &target.choices), "{}", case.name);
            let found = run(context, case, &target).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let error = oracle::relative_l2(&found, &oracle::output(&case.graph, &case.input));
            assert!(error <= BOUND, "{}, {:?}: relative error {error:e}", case.name, target.choices);
        }
    }
    assert!(device::contexts().is_empty() || tiled > 100, "only {tiled} tiles");
}

/// Each way of each decision, whatever the target would take by itself.
#[test]
fn kernels_that_were_tuned_are_taken_and_within_the_bound() {
    let mut decided = std::collections::BTreeSet::new();
    let first = device::contexts().iter().take(1);
    let cases = first.flat_map(|context| cases::all().into_iter().map(move |case| (context, case)));
    for (number, (context, case)) in cases.enumerate() {
        // Once for each case, for one target or another: all of all of them would take an hour to compile.
        let mut targets = targets(&case, context);
        let turn = number % targets.len();
        targets.rotate_left(turn);
        let mut done = std::collections::BTreeSet::new();
        for target in targets {
            for decision in plan(&case, &[], &target).unwrap().decisions {
                for option in decision.options.iter().filter(|option| **option != decision.taken) {
                    if !done.insert((decision.nodes.clone(), *option)) {
                        continue;
                    }
                    let kernels = [(decision.key.clone(), option.to_string())].into();
                    let choices = Arc::new(Choices { kernels, ..Choices::default() });
                    let target = Target { choices, ..target.clone() };
                    let plan = plan(&case, &[], &target).unwrap();
                    assert!(plan.decisions.iter().any(|made| made.key == decision.key && made.taken == *option));
                    let found = execute(context, plan, &case.input).unwrap_or_else(|e| panic!("{}: {e}", case.name));
                    let error = oracle::relative_l2(&found[0], &oracle::output(&case.graph, &case.input));
                    assert!(error <= BOUND, "{}, {option}: relative error {error:e}", case.name);
                    decided.insert(*option);
                }
            }
        }
    }
    assert!(device::contexts().is_empty() || decided.len() >= 3, "{decided:?}");
}

proptest! {
    // Each case compiles a shader or two, which is what costs time here.
    #![proptest_config(ProptestConfig { cases: 48, max_global_rejects: 4096, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_convolutions_are_within_the_bound(
        spec in cases::convolutions::any(),
        target in 0..5usize,
        pick in proptest::option::of(any::<u16>()),
    ) {
        let Some(context) = device::contexts().first() else { return Ok(()) };
        let case = spec.case();
        prop_assume!(case.is_ok());
        let case = case.unwrap();
        let targets = all_targets(context);
        let mut target = targets[target % targets.len()].clone();
        if let Some(pick) = pick {
            target = tuned(&case, &target, pick.into()).0;
        }
        let found = run(context, &case, &target).unwrap();
        let error = oracle::relative_l2(&found, &oracle::output(&case.graph, &case.input));
        prop_assert!(error <= BOUND, "{}, {target:?}: relative error {error:e}", case.name);
    }
}
