//! What measures and analyses: lists of times, distributions, comparisons, evaluations.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::Duration;

use foveate::analyze::{self, NoiseLevel, Quantiles, Spread, analyze};
use foveate::bench::{
    self, Burst, Clock, Clocks, FrameTimes, Frames, Machine, Measured, Mode, Protocol, Record, Samples, Subject,
    Summary, compare, sustained,
};
use foveate::dataset::{ClassIndex, Dataset};
use foveate::eval::{self, Agreement, Paired, Speed, statistics};
use foveate::features::{Colormap, Features, Scale, select, to_safetensors};
use foveate::profile::{Layer, Method, Profile, spans, trace};
use foveate::quant::Noise;
use foveate::roofline::{Ceilings, Known, Work};
use foveate::tune::{DeviceKey, Store, Table};

use super::*;

/// Any number at all, most often a common one.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => -2f64..100.0,
        1 => proptest::num::f64::ANY,
        1 => prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324]),
    ]
}

fn numbers() -> impl Strategy<Value = Vec<f64>> {
    vec(number(), 0..9)
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![2 => (0u64..2_000_000).prop_map(Duration::from_nanos), 1 => Just(Duration::ZERO), 1 => Just(Duration::MAX)]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(vec![Mode::Latency, Mode::Throughput, Mode::SingleStream, Mode::Sustained])
}

fn device(name: String) -> DeviceKey {
    let (backend, driver, driver_info) = (name.clone(), name.clone(), name.clone());
    DeviceKey { backend, name: name.clone(), vendor: 1, device: 2, driver, driver_info, features: vec![name] }
}

fn ceilings(numbers: [f64; 6], timestamps: bool) -> Ceilings {
    let [read_gb_s, copy_gb_s, f32_gflop_s, dot4_gop_s, dispatch_us, round_trip_us] = numbers;
    let f16_gflop_s = timestamps.then_some(copy_gb_s);
    Ceilings { read_gb_s, copy_gb_s, f32_gflop_s, f16_gflop_s, dot4_gop_s, dispatch_us, round_trip_us, timestamps }
}

/// As somebody may fill it in, whatever its summary says.
fn samples(us: Vec<f64>, summary: f64) -> Samples {
    let summary = Summary::of(&us).unwrap_or(Summary { n: usize::MAX, p50: summary, ..Summary::default() });
    Samples { summary, us }
}

/// Takes as long as it is told, or fails.
struct Fake(Duration, usize, bool);

impl Subject for Fake {
    async fn run(&mut self) -> foveate::Result<FrameTimes> {
        if self.2 {
            return Err(Error::argument("planted by this test"));
        }
        Ok(FrameTimes { gpu: Some(self.0), submit_to_readback: self.0, end_to_end: self.0 })
    }

    async fn burst(&mut self, runs: usize) -> foveate::Result<Burst> {
        let one = self.run().await?;
        Ok(Burst { times: vec![one; runs.min(self.1)], took: self.0 })
    }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn times(mut times in numbers(), began in prop::option::of(numbers()), p in number(), count in size(), modes in [mode(), mode()]) {
        bench::quantile(&times, p);
        bench::median_interval(&times);
        times.sort_by(f64::total_cmp);
        bench::quantile(&times, p);
        if let Some(summary) = Summary::of(&times) {
            prop_assert!(summary.min <= summary.p50 && summary.p50 <= summary.max || times.iter().any(|v| v.abs() > 1e300));
        }
        let clocks = Clocks { end_to_end: Some(samples(times.clone(), p)), gpu: Samples::new(times), ..Clocks::default() };
        let measured = Measured { clocks, began_s: began, batch: count, ..Measured::default() };
        prop_assert!(sustained(&measured, count).len() <= 9);
        let [a, b] = modes.map(|mode| {
            let results = vec![measured.clone(), Measured::default()];
            Record { results, ..Record::new(Machine::default(), Protocol::of(mode), u64::MAX) }
        });
        for clock in [Clock::Gpu, Clock::EndToEnd, Clock::SubmitToReadback] {
            if let Some(comparison) = judge(compare(&a, &b, clock, p)) {
                comparison.slower().count();
            }
        }
        // What JSON cannot hold comes back as nothing or as an error.
        if let Some(json) = judge(a.to_json()) {
            judge(Record::parse(json.as_bytes(), "again"));
        }
        modest();
    }

    #[test]
    fn turns(
        subjects in vec((duration(), 0usize..3, any::<bool>()), 0..4), warm_ups in size(), runs in size(), seconds in number(),
        mode in mode(),
    ) {
        let mut subjects: Vec<Fake> = subjects.into_iter().map(|(time, runs, fails)| Fake(time, runs, fails)).collect();
        let protocol = Protocol { mode, warm_ups, runs, seconds, frame: [0, u32::MAX] };
        let left = Cell::new(50);
        let watch = |progress: bench::Progress| {
            left.set(left.get() - 1);
            assert!(progress.done <= progress.of);
            if left.get() == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (all, _) = block_on(bench::interleave(&mut subjects, &protocol, watch));
        for collected in &all {
            let _ = (collected.clocks(), collected.runs_per_second());
        }
        prop_assert_eq!(all.len(), subjects.len());
        modest();
    }

    #[test]
    fn distributions(values in vec(float(), 0..9), others in vec(float(), 0..9), wide in numbers(), db in number(), counts in [any::<u64>(), any::<u64>(), any::<u64>()]) {
        let spread = Spread::of(&values);
        let _ = (spread.max_abs(), spread.rms(), spread.crest(), Quantiles::of(&wide));
        let level = NoiseLevel::from(Noise::of(&values, &others));
        level.below(db);
        let [hits, second, total] = counts;
        for [low, high] in [statistics::proportion(hits, total), statistics::paired_difference(hits, second, total)] {
            prop_assert!(low <= high || low.is_nan() || high.is_nan());
        }
        let (mut agreement, mut paired) = (Agreement::default(), Paired::default());
        agreement.add(&values, &others);
        for truth in [0, values.len(), usize::MAX] {
            paired.add(truth, &values, &others);
        }
        let _ = (agreement.max_rel(), agreement.rate(), paired.samples(), paired.difference(), paired.interval());
        modest();
    }

    #[test]
    fn speeds(pictures in size(), threads in size(), seconds in numbers(), decoding in number(), wall in number()) {
        let speed = Speed { pictures, threads, decoding, network: seconds, wall };
        let _ = (speed.rate(), speed.decode_rate(), speed.network_rate(), speed.session_rates().count(), speed.limit());
    }

    #[test]
    fn rooflines(
        numbers in [number(), number(), number(), number(), number(), number()], flag in any::<bool>(), macs in any::<u64>(),
        bytes in any::<u64>(), name in name(), times in numbers(),
    ) {
        let ceilings = ceilings(numbers, flag);
        let work = Work { macs, bytes, dot4: flag };
        let _ = (ceilings.floor(work), ceilings.arithmetic_us(work), ceilings.memory_gb_s());
        let mut known = Known::default();
        known.set(device(name.clone()), ceilings);
        known.set(device(name.clone()), Ceilings::default());
        prop_assert!(known.get(&device(name.clone())).is_none_or(Ceilings::is_sane) || !known.to_json().is_empty());
        drop(Known::parse(known.to_json().as_bytes()));
        let layer = |us: f64| Layer { node: name.clone(), us, macs, bytes, roofline: Some(us), ..Layer::default() };
        let profile = Profile {
            kind: name.clone(), schema_version: 2, model: name.clone(), precision: name.clone(), batch: 0,
            device: bench::Device::default(), method: Method::Cpu, runs: 0, ceilings: Some(ceilings),
            frame_us: times.first().copied(), layers: times.iter().map(|us| layer(*us)).collect(),
        };
        let _ = (profile.sum_us(), spans(&profile), trace(&profile), foveate::predict::Efficiency::of(&profile));
        modest();
    }

    #[test]
    fn choices(
        names in vec(name(), 0..4), tiles in vec((name(), size(), size(), side()), 0..4), bytes in vec(any::<u8>(), 0..60),
    ) {
        let mut store = Store::parse(&bytes, "any");
        let plan = plan();
        let mut choices = foveate::kernels::Choices::default();
        for (at, (key, pixels, planes, workgroup)) in tiles.into_iter().enumerate() {
            // Every other key is one that the plan looks up.
            let key = if at % 2 == 0 { plan.steps[at].key() } else { key };
            choices.tiles.insert(key, Tile { pixels, planes, workgroup });
        }
        for (name, decision) in names.iter().zip(&plan.decisions) {
            choices.kernels.insert(decision.key.clone(), name.clone());
        }
        for name in &names {
            store.merge(device(name.clone()), choices.clone());
        }
        store.remove(&device("nobody's".to_owned()));
        Store::parse(store.to_json().as_bytes(), "again");
        let table = Table { schema_version: 1, drivers: names, measured: String::new(), choices: choices.clone() };
        Table::parse(&table.to_json());
        let target = Target { choices: choices.into(), ..Target::default() };
        judge(Plan::for_target(Model::builtin().unwrap().graph(), 1, &[], target)).unwrap();
    }

    #[test]
    fn kept_values(
        names in vec(name(), 0..4), tensors in vec(tensor(), 0..4), stride in size(), at in size(), channels in size(), t in float(),
        prefix in name(),
    ) {
        let tensors: Vec<Tensor> = tensors.into_iter().flatten().collect();
        let graph = Model::builtin().unwrap().graph().clone();
        let selected = judge(select(&graph, &names)).unwrap_or_default();
        let output = Tensor::zeros([0, 0]);
        for colormap in [Colormap::Viridis, Colormap::Magma, Colormap::Gray] {
            colormap.colour(t);
            let style = Style { channels, colormap, scale: Scale::Tensor };
            for tensor in &tensors {
                judge(features::draw_grid(tensor, at, &style));
            }
        }
        let Some(kept) = judge(Features::new(&selected, tensors, output)) else { return Ok(()) };
        let _ = (kept.get(&prefix), kept.at_stride(stride));
        for map in kept.iter() {
            let _ = (map.shape(), map.stats(), map.stride());
            if let Some(branches) = judge(map.branches()) {
                judge(features::draw_branches(&branches, at, &Style { channels, ..Style::default() }));
            }
        }
        judge(to_safetensors(&[(prefix.clone(), kept.clone()), (prefix, kept)]));
    }
}

proptest! {
    #![proptest_config(config(12))]

    /// Settings that fit no network, a training form of another one, inputs of other shapes.
    #[test]
    fn analyses(
        layer in prop::option::of(name()), known in size(), channel in prop::option::of(size()), other in 0usize..3,
        shape in prop_oneof![Just([3, 32, 32]), [0usize..5, 0usize..40, 0usize..40]], count in 0usize..3, seed in any::<u64>(),
    ) {
        let model = Model::builtin().unwrap();
        let nodes = model.graph().nodes();
        let layer = layer.map(|name| if known % 2 == 0 { nodes[known % nodes.len()].name.clone() } else { name });
        let shape = Shape::new(shape[0], shape[1], shape[2]);
        let Some(set) = judge(CalibrationSet::noise(shape, count, seed)) else { return Ok(()) };
        let options = analyze::Options { layer, channel, sensitivity: false };
        let random = Model::random("repvgg-cifar", 1, false).unwrap();
        let training = [None, Some(model.graph()), Some(random.graph())][other];
        if let Some(analysis) = judge(analyze(&model, training, &set, &options, &mut |_| {})) {
            prop_assert!(!analysis.verdict.findings().is_empty() && !analysis.verdict.sentences().is_empty());
        }
    }

    /// Pictures that are not there, classes that the network has not got.
    #[test]
    fn evaluations(truth in vec(("[a-z]{1,9}", 0usize..11), 0..4), classes in 9usize..12) {
        let lines: Vec<String> = truth.iter().map(|(name, class)| format!("{name}.png\t{class}")).collect();
        let index = ClassIndex::new(classes, None);
        let parsed = Dataset::parse_truth("/nowhere", lines.join("\n").as_bytes(), "truth", &index);
        let Some(dataset) = judge(parsed) else { return Ok(()) };
        let session = || block_on(Session::builder().device(DeviceChoice::Cpu).load()).unwrap();
        judge(eval::evaluate(&mut session(), Some(&mut session()), &dataset, &mut |_| {}));
        judge(eval::agreement(&mut session(), &mut session(), &[], &mut |_| {}));
    }

    #[test]
    fn frames(sides in [side(), side()], at in size()) {
        // Frames of a size that is asked for are made.
        if sides.iter().any(|side| *side == 0 || *side > 300) && sides.iter().all(|side| (1..=8192).contains(side)) {
            return Ok(());
        }
        if let Some(frames) = judge(Frames::new(sides)) {
            judge(frames.picture(at));
        }
    }
}
