//! What rewrites, proves and quantises, on networks that nobody would train: kernels of any window, graphs of whatever
//! the operators allow, scales that are no numbers, nodes of another network.

use foveate::cpu::CpuExecutor;
use foveate::describe::ModelInfo;
use foveate::int8::arith::{Blend, Enlarge, Requant, ToGrid, shift_round};
use foveate::int8::{lower, table};
use foveate::kernels::Storage;
use foveate::passes::reparam::LinearConv;
use foveate::passes::{self, reparameterise};
use foveate::predict::{Demand, Efficiency, Peak, predict};
use foveate::proof;
use foveate::quant::{
    Calibrator, Costs, Granularity, Histogram, Noise, Part, Quantization, Scheme, Simulation, grid, range, restore,
    sensitivities,
};
use foveate::registry::Registry;
use foveate::roofline::Work;
use foveate::verify::{Bound, Distance};
use foveate::{NodeId, Tensor};

use super::*;

fn pair() -> impl Strategy<Value = [usize; 2]> {
    prop_oneof![4 => [0usize..5, 0usize..5], 1 => [size(), size()]]
}

/// With a kernel that fits its shape or does not.
fn linear_conv() -> impl Strategy<Value = Option<LinearConv>> {
    let shape = prop_oneof![6 => [1usize..5, 1usize..5, 1usize..4, 1usize..4], 1 => [size(), size(), size(), size()]];
    (shape, -1isize..2, prop::option::of(0usize..5), [pair(), pair(), pair()], 1usize..5, float()).prop_map(
        |(shape, off, biases, [stride, padding, dilation], groups, value)| {
            let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side));
            let count = count.filter(|count| *count < 1 << 12).unwrap_or(7).saturating_add_signed(off);
            let bias = biases.map(|biases| vec![f64::from(value); biases]);
            let made = judge(LinearConv::new(shape, vec![f64::from(value); count], bias))?;
            let made = judge(made.clone().with_window(stride, padding, dilation)).unwrap_or(made);
            Some(judge(made.clone().with_groups(groups)).unwrap_or(made))
        },
    )
}

/// A step of a network: an operator, which of the nodes before it reads, and numbers for its attributes.
type Step = (usize, [usize; 2], [usize; 4], f32);

/// Whatever of the steps the graph takes.
fn built(input: [usize; 3], steps: &[Step]) -> Graph {
    let mut graph = Graph::new("any", Shape::new(input[0], input[1], input[2]));
    for (at, (op, reads, [a, b, c, d], value)) in steps.iter().enumerate() {
        let ids: Vec<NodeId> = graph.ids().collect();
        let [first, second] = reads.map(|read| ids[read % ids.len()]);
        let channels = graph.node(first).shape.channels;
        let activation = Activation::ALL[a % 4];
        let vector = |graph: &mut Graph, n: usize| graph.param(format!("v{at}"), Tensor::full([n], *value));
        let (made, inputs): (Op, Vec<NodeId>) = match op {
            0 | 1 => {
                let groups = if *op == 1 { channels.max(1) } else { 1 };
                let outputs = if *op == 1 { channels } else { b % 5 + 1 };
                let kernel = Tensor::full([outputs, channels / groups, c % 4, d % 4], *value);
                let weight = graph.param(format!("w{at}"), kernel);
                let bias = (a % 2 == 0).then(|| vector(&mut graph, outputs));
                let (stride, padding) = ([b % 2 + 1; 2], [c % 4 / 2, d % 4 / 2]);
                (Conv2d { weight, bias, stride, padding, dilation: [1; 2], groups, activation }.into(), vec![first])
            }
            2 => {
                let mut one = || vector(&mut graph, channels);
                let (gamma, beta, mean, variance) = (one(), one(), one(), one());
                (BatchNorm { gamma, beta, mean, variance, eps: 1e-5, activation }.into(), vec![first])
            }
            3 => (Add { activation }.into(), vec![first, second]),
            4 => (Gate { activation }.into(), vec![first, second]),
            5 => (Concat.into(), vec![first, second]),
            6 => (Slice { start: a % 5, channels: b % 5 }.into(), vec![first]),
            7 => (Scale { factor: *value }.into(), vec![first]),
            8 => (AvgPool { kernel: a % 4, stride: b % 3, padding: c % 3 }.into(), vec![first]),
            9 => (GlobalAvgPool.into(), vec![first]),
            _ => {
                let weight = graph.param(format!("w{at}"), Tensor::full([b % 5 + 1, channels], *value));
                (Linear { weight, bias: None, activation }.into(), vec![first])
            }
        };
        if let Some(id) = judge(graph.add(format!("n{at}"), made, &inputs)) {
            graph.set_output(id);
            graph.tap(format!("t{}", a % 3), id);
        }
    }
    graph
}

fn graph() -> impl Strategy<Value = Graph> {
    let step = (0usize..11, [size(), size()], [size(), size(), size(), size()], float());
    ([0usize..5, 0usize..7, 0usize..7], vec(step, 0..7)).prop_map(|(input, steps)| built(input, &steps))
}

fn options() -> impl Strategy<Value = Options> {
    let calibrators = vec![Calibrator::Max, Calibrator::Percentile, Calibrator::Mse, Calibrator::Entropy];
    let scheme = prop::sample::select(vec![Scheme::W8, Scheme::W8a8]);
    let granularity = prop::sample::select(vec![Granularity::PerChannel, Granularity::PerTensor]);
    (scheme, prop::sample::select(calibrators), any::<f64>(), granularity, any::<bool>(), vec(name(), 0..2)).prop_map(
        |(scheme, calibrator, percentile, granularity, repair, keep_float)| {
            let (equalize, bias_correct) = (repair, repair);
            Options { scheme, calibrator, percentile, granularity, equalize, bias_correct, keep_float }
        },
    )
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn kernels(one in linear_conv(), other in linear_conv(), to in pair(), groups in size(), factor in any::<f64>()) {
        let (Some(one), Some(other)) = (one, other) else { return Ok(()) };
        let _ = (one.extent(), one.is_unbiased(), one.composition_explodes(&other));
        judge(one.check_compose(&other));
        // What multiplies the work a thousandfold is refused by who composes, after asking.
        if !one.composition_explodes(&other) {
            judge(one.compose(&other));
        }
        judge(LinearConv::sum(&[one.clone(), other]));
        judge(LinearConv::sum(&[]));
        if to.iter().all(|side| *side < 1 << 9 || *side > 1 << 40) {
            judge(one.embed(to));
        }
        judge(one.regroup(groups));
        one.scale(factor);
        modest();
    }

    #[test]
    fn networks_of_anything(graph in graph(), wanted in vec(size(), 0..3), batch in 0usize..3) {
        let ids: Vec<NodeId> = graph.ids().collect();
        let wanted: Vec<NodeId> = wanted.iter().map(|at| ids[at % ids.len()]).collect();
        for (rewritten, _) in [
            judge(passes::fuse(&graph)), judge(passes::fuse_epilogues(&graph)), judge(passes::fuse_token_mixers(&graph)),
            judge(reparameterise(&graph)),
        ].into_iter().flatten() {
            prop_assert_eq!(rewritten.node(rewritten.output()).shape, graph.node(graph.output()).shape);
            judge(proof::prove(&graph, &rewritten, 1));
        }
        judge(passes::single_branch(&graph));
        judge(proof::prove_layers(&graph, |graph| Ok(passes::fuse(graph)?.0), 1));
        for target in [Target::default(), Target::software(), Target { f16: true, ..Target::default() }] {
            judge(Plan::for_target(&graph, batch, &wanted, target));
        }
        let shape = graph.input_shape();
        let input = Tensor::full([batch, shape.channels, shape.height, shape.width], 0.5);
        if let Some(executor) = judge(CpuExecutor::new(graph.clone())) {
            judge(executor.run(&input));
            judge(executor.run_with(&input, &wanted));
            judge(executor.run_timed(&input));
            let forced: Vec<(NodeId, &Tensor)> = wanted.iter().map(|id| (*id, &input)).collect();
            judge(executor.run_forced(&input, &forced));
        }
        let mut swept = graph.clone();
        swept.sweep();
        judge(passes::quantize_weights(&mut swept));
        judge(passes::forget_scales(&mut swept));
    }

    #[test]
    fn scales_of_anything(graph in graph(), options in options(), scale in float(), between in float(), batch in 0usize..3) {
        let made = Quantization::with_scales(&graph, options, |_| scale, |_, _| between);
        let Some((quantized, quantization)) = judge(made) else { return Ok(()) };
        let program = judge(lower(&quantized, &quantization));
        let shape = graph.input_shape();
        let input = Tensor::full([batch, shape.channels, shape.height, shape.width], scale);
        if let Some(program) = program {
            judge(Plan::for_program(&program, batch, &[], Target::default()));
            judge(Demand::of_program(&program, batch));
            judge(foveate::cpu::Int8Executor::new(program).run(&input));
        }
        if let Some(simulation) = judge(Simulation::new(graph, quantized, quantization)) {
            for part in [Part::Nothing, Part::Everything, Part::Layers(simulation.layers())] {
                if let Some(simulated) = judge(simulation.with(part)) {
                    judge(simulated.run(&input));
                }
            }
        }
    }

    #[test]
    fn integers(
        factors in vec(any::<f64>(), 0..4), sum in any::<i32>(), shift in any::<u32>(), byte in any::<i8>(),
        scales in [float(), float()], which in 0usize..4, values in vec(float(), 0..9),
    ) {
        for factor in &factors {
            let requant = Requant::new(*factor);
            prop_assert_eq!(requant.apply(sum), requant.apply_in_halves(sum));
            let _ = (requant.factor(), Enlarge::new(*factor).apply(byte), Enlarge::new(*factor).factor());
        }
        let _ = (shift_round(sum, shift), Blend::new(&factors), ToGrid::new(scales[0]).apply(scales[1]));
        let activation = Activation::ALL[which];
        table::Table::of_grid(activation, scales[0], scales[1]).at(sum);
        table::Table::of_sums(activation, scales[1]).0.at(sum);
        let scale = grid::scale_of(scales[0]);
        let _ = (grid::quantize(scales[1], scale), grid::dequantize(byte, scales[0]), grid::round(scales[1], scales[0]));
        let _ = (grid::all_lie_on(&values, scales[0]), grid::is_scale(scales[0]));
        grid::quantize_all(&values, scales[0], &mut Vec::new());
        grid::round_all(&mut values.clone(), scales[0]);
    }

    #[test]
    fn measures(values in vec(float(), 0..9), more in vec(float(), 0..9), options in options(), shape in vec(0usize..4, 0..6), bound in any::<f64>()) {
        let mut histogram = Histogram::of(&values);
        histogram.add(&more);
        let _ = (histogram.width(), range(&histogram, &options), Noise::of(&values, &more).sqnr());
        if let Some(mut tensor) = filled(shape, bound as f32) {
            judge(restore(&mut tensor, &values));
        }
        let [a, b] = [&values, &more].map(|values| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>());
        let distance = Distance::of(&a, &b);
        let _ = (distance.within(Bound::Exact), distance.within(Bound::Relative(bound)));
        modest();
    }

    #[test]
    fn predictions(work in vec((name(), any::<u64>(), any::<u64>()), 0..4), rates in [any::<f64>(), any::<f64>()], f16 in any::<bool>()) {
        let steps = work.into_iter().map(|(name, macs, bytes)| (name, Work { macs, bytes, dot4: f16 })).collect();
        let demand = Demand { steps, f16 };
        let _ = (demand.macs(), demand.bytes());
        let [memory_gb_s, f32_gflop_s] = rates;
        let (f16_gflop_s, sources) = (f16.then_some(f32_gflop_s), Vec::new());
        let peak = Peak { name: String::new(), device: String::new(), memory_gb_s, f32_gflop_s, f16_gflop_s, sources };
        predict(&demand, &peak, &[] as &[Efficiency]);
        modest();
    }
}

proptest! {
    #![proptest_config(config(100))]

    /// Devices that are not built: every number of a target at its ends.
    #[test]
    fn targets(
        which in 0usize..2, numbers in [size(), size(), size()], subgroup in side(), invocations in any::<u64>(), flags in any::<[bool; 7]>(),
        batch in 1usize..4,
    ) {
        let [sums, mlp_sums, row] = numbers;
        let [f16, software, winograd, unrolled, brief, activations, weights] = flags;
        let storage = |texture| if texture { Storage::Texture } else { Storage::Buffer };
        let (activations, weights, choices) = (storage(activations), storage(weights), Default::default());
        let target = Target {
            activations, weights, f16, software, subgroup, invocations, sums, winograd, mlp_sums, row, unrolled, brief, choices,
        };
        let file = ["repnext_tiny", "mobileone_tiny_se"][which];
        let file = format!("{}/tests/data/golden/{file}.deploy.safetensors", env!("CARGO_MANIFEST_DIR"));
        let model = Model::open(file, None, false).unwrap();
        if let Some(plan) = judge(Plan::for_target(model.graph(), batch, &[], target)) {
            prop_assert!(plan.steps.iter().all(|step| step.shader().len() > 100));
        }
    }

    #[test]
    fn names_of_things(name in name(), json in vec(any::<u8>(), 0..60)) {
        judge(ModelInfo::named(&name));
        let registry = Registry::builtin().unwrap();
        judge(registry.resolve(&name));
        if let Some(other) = judge(Registry::parse(&String::from_utf8_lossy(&json), &name)) {
            judge(registry.over(other).resolve(&name));
        }
    }
}

/// Nodes and parameters of another network, proofs of two that have nothing in common.
#[test]
fn what_is_another_networks_is_an_error() {
    let model = Model::builtin().unwrap();
    let mut small = Graph::new("small", Shape::new(4, 2, 2));
    let pool = small.add("pool", GlobalAvgPool, &[small.input()]).unwrap();
    small.set_output(pool);
    let foreign = model.graph().output();
    let params: Vec<_> = model.graph().params().iter().map(|(id, _)| id).collect();
    let last = *params.last().unwrap();
    assert!(judge(small.add("pool", GlobalAvgPool, &[foreign])).is_none());
    assert!(judge(small.replace(pool, GlobalAvgPool, &[foreign])).is_none());
    assert!(judge(small.replace(foreign, GlobalAvgPool, &[pool])).is_none());
    assert!(judge(small.set_param(last, Tensor::zeros([1]))).is_none());
    assert!(judge(small.set_scales(last, &[1.0])).is_none());
    let hollow = small.param("hollow", Tensor::zeros([2, 0]));
    judge(small.set_scales(hollow, &[1.0, 1.0]));
    assert!(
        judge(CpuExecutor::new(small.clone()).unwrap().run_with(&Tensor::zeros([1, 4, 2, 2]), &[foreign])).is_none()
    );
    assert!(judge(Plan::new(&small, 1, &[foreign])).is_none());
    for (before, after) in [(model.graph(), &small), (&small, model.graph())] {
        assert!(judge(proof::prove(before, after, 0)).is_none());
        assert!(judge(proof::same_top1(before, after, 0..2)).is_none());
        assert!(judge(proof::prove_at(before, after, Shape::new(3, 0, usize::MAX), 0)).is_none());
    }
    let quantized =
        quantize(&model, CalibrationSet::noise(model.graph().input_shape(), 2, 0).unwrap(), Options::plain());
    let quantized = judge(quantized).unwrap();
    let quantization = quantized.quantization().unwrap();
    assert!(judge(quantization.check(&small)).is_none() && judge(lower(&small, quantization)).is_none());
    assert!(judge(Simulation::new(small, quantized.graph().clone(), quantization.clone())).is_none());
    let simulation = Simulation::quantized_only(quantized.graph().clone(), quantization.clone()).unwrap();
    assert!(judge(simulation.with(Part::Layers(&[model.graph().input()]))).is_none());
    let other = CalibrationSet::noise(Shape::new(1, 2, 3), 2, 0).unwrap();
    assert!(judge(sensitivities(&simulation, &other, 1, &mut || {})).is_none());
    assert!(judge(Costs::of(&simulation, &other, 1)).is_none());
}

/// What this found, once.
#[test]
fn found_before() {
    // Sizes that only memory would have refused, or that overflow.
    assert!(judge(LinearConv::new([1 << 40, 1, 1, 1], vec![1.0], None)).is_none());
    let point = LinearConv::dirac(2);
    assert!(judge(point.embed([(1 << 40) + 1, 1])).is_none() && judge(point.embed([usize::MAX, 1])).is_none());
    for size in [usize::MAX, 1 << 30] {
        for window in [([size; 2], [0; 2], [1; 2]), ([1; 2], [size; 2], [1; 2]), ([1; 2], [0; 2], [size; 2])] {
            assert!(judge(point.clone().with_window(window.0, window.1, window.2)).is_none());
        }
    }
    let far = point.with_window([1 << 20; 2], [0; 2], [1; 2]).unwrap();
    assert!(judge(far.compose(&far)).is_none());
    // A shift that is none.
    assert_eq!((shift_round(7, 32), shift_round(6, 2), shift_round(i32::MIN, 31)), (7, 2, -1));
    // Values of another shape than their nodes'.
    let mut graph = Graph::new("two", Shape::new(1, 1, 2));
    let both = graph.add("both", Concat, &[graph.input(), graph.input()]).unwrap();
    let pool = graph.add("pool", AvgPool { kernel: 1, stride: 1, padding: 0 }, &[both]).unwrap();
    graph.set_output(pool);
    let executor = CpuExecutor::new(graph).unwrap();
    let input = Tensor::zeros([1, 1, 1, 2]);
    assert!(judge(executor.run_forced(&input, &[(both, &input), (pool, &input)])).is_none());
    assert!(judge(executor.run_forced(&input, &[(both, &Tensor::zeros([1, 2, 1, 2]))])).is_some());
}
