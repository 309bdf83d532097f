use super::*;
use crate::kernels::Target;
#[cfg(feature = "decode")]
use crate::picture::Picture;
use crate::session::Model;

#[cfg(feature = "decode")]
/// A deep network whose output rounding moves further than [`LEAST`], with what the CPU makes of a picture.
struct Deep {
    model: Model,
    plan: Plan,
    input: Tensor,
    expected: Vec<f64>,
}

#[cfg(feature = "decode")]
impl Deep {
    fn new() -> Self {
        let model = Model::random("mobileone-s0", 0, false).unwrap();
        let cat = Picture::decode(include_bytes!("../../../assets/cat.png"), "cat").unwrap();
        let input = model.preprocess().apply(&cat).unwrap();
        let target = Target { f16: true, ..Target::default() };
        let plan = Plan::for_target(model.graph(), 1, &[], target).unwrap();
        let output = CpuExecutor::new(model.graph().clone()).unwrap().run_with(&input, &[]).unwrap().0;
        let expected = output.data().iter().map(|v| f64::from(*v)).collect();
        Deep { model, plan, input, expected }
    }

    fn judge(&self, found: &[f64]) -> Halves {
        let (graph, plan, input, expected) = (self.model.graph(), &self.plan, &self.input, &self.expected[..]);
        Case { graph, plan, input, expected }.judge(found).unwrap()
    }
}

#[cfg(feature = "decode")]
#[test]
fn rounding_is_allowed_as_far_as_it_goes_and_faults_are_not() {
    let deep = Deep::new();
    let rounded = Rounded::new(deep.model.graph(), &deep.plan).unwrap();
    let near = rounded.run(&deep.input, nearest).unwrap();
    let zero = rounded.run(&deep.input, toward_zero).unwrap();

    let sound = deep.judge(&near);
    assert!(sound.agrees && sound.same_top1 && sound.against == Against::Nearest, "{sound:?}");
    let rounding = sound.rounding.unwrap();
    assert!(sound.distance == Some(0.0) && sound.from_f32 == Some(rounding) && rounding > LEAST, "{sound:?}");
    assert!(sound.bound == 2.0 * rounding && sound.bound < MOST, "{sound:?}");
    assert!(sound.reason.contains("twice the ") && sound.reason.contains("rounding alone moves them"), "{sound:?}");
    assert!(sound.enough().unwrap().contains("relative error"));

    // Sound too, but more than a session should put up with.
    let truncated = deep.judge(&zero);
    assert!(truncated.agrees && truncated.against == Against::TowardZero, "{truncated:?}");
    assert!(truncated.from_f32.unwrap() > 2.0 * sound.bound && truncated.bound == sound.bound, "{truncated:?}");
    assert!(truncated.reason.contains("towards zero") && truncated.enough().unwrap_err().contains("from f32"));

    // Further than rounding explains, though within the most that any network may have.
    let off: Vec<f64> = near.iter().map(|v| v * (1.0 + 1.2 * sound.bound)).collect();
    let off = deep.judge(&off);
    assert!(!off.agrees && off.distance.unwrap() < MOST, "{off:?}");
    assert!(off.enough().unwrap_err().contains("at most 1."), "{:?}", off.enough());

    // Sound and near enough, but rounding has changed the class.
    let other = Halves { f32_top1: false, ..sound.clone() };
    assert!(sound.f32_top1 && other.enough().unwrap_err().contains("another class comes first than in f32"));

    let mut broken = near.clone();
    broken[3] = f64::NAN;
    for broken in [&broken[..], &near[1..], &[]] {
        let judged = deep.judge(broken);
        assert!(!judged.agrees && judged.distance.is_none() && judged.enough().is_err(), "{judged:?}");
    }

    // Where the CPU too gets beyond what 16 bits hold, the report says so.
    let mut deep = deep;
    deep.input.data_mut().iter_mut().for_each(|v| *v *= 1e7);
    deep.expected.iter_mut().for_each(|v| *v *= 1e7);
    let judged = deep.judge(&vec![f64::INFINITY; near.len()]);
    assert!(!judged.agrees && judged.reason.contains("on the CPU too"), "{judged:?}");
}

#[test]
fn little_is_always_allowed_and_much_never() {
    assert_eq!([bound(Some(1e-4)), bound(Some(4e-3)), bound(Some(0.3)), bound(None)], [LEAST, 8e-3, MOST, LEAST]);
    assert!(reason(Against::Nearest, MOST, Some(0.3)).contains("16 bits are too few"));
    assert!(reason(Against::Nearest, LEAST, Some(1e-4)).starts_with("5e-3 is allowed, as for every network"));
    assert!(reason(Against::Nearest, LEAST, None).contains("beyond 16-bit floats"));
}

#[test]
fn another_class_comes_first_only_where_it_is_as_good() {
    let mut expected = vec![3.0; 5000];
    expected[7] = 4.0;
    let (mut tie, mut other) = (expected.clone(), expected.clone());
    (other[7], other[9]) = (3.5, 3.8);
    let compared = Compared::new(&other, &expected, 1);
    assert!(compared.distance.unwrap() < LEAST && !compared.within(LEAST));
    // The second picture of two.
    let twice = |second: &[f64]| [&expected[..], second].concat();
    assert!(!Compared::new(&twice(&other), &twice(&expected), 2).within(LEAST));
    expected[9] = 3.999;
    (tie[7], tie[9]) = (3.999, 4.0);
    assert!(Compared::new(&tie, &expected, 1).within(LEAST));
}

#[test]
fn values_become_the_16_bit_float_beside_them() {
    let step = 2f32.powi(-10);
    for (value, near, zero) in [
        (1.0, 1.0, 1.0),
        (1.0 + 0.7 * step, 1.0 + step, 1.0),
        (-1.0 - 0.7 * step, -1.0 - step, -1.0),
        (1.0 + 0.2 * step, 1.0, 1.0),
        (65520.0, f32::INFINITY, 65504.0),
        (-65520.0, f32::NEG_INFINITY, -65504.0),
        (f32::INFINITY, f32::INFINITY, f32::INFINITY),
        (5e-8, 2f32.powi(-24), 0.0),
        (0.0, 0.0, 0.0),
    ] {
        assert_eq!((nearest(value), toward_zero(value)), (near, zero), "{value}");
    }
    assert!(nearest(f32::NAN).is_nan() && toward_zero(f32::NAN).is_nan());
}

/// Winograd's weights stay 32-bit, and what a step keeps to itself is not rounded.
#[test]
fn only_what_the_plan_stores_is_rounded() {
    let model = Model::random("repnext-m0", 0, false).unwrap();
    let stored = |f16: bool| {
        let plan = Plan::for_target(model.graph(), 1, &[], Target { f16, ..Target::default() }).unwrap();
        let rounded = Rounded::new(model.graph(), &plan).unwrap();
        let changed = |(a, b): (&crate::graph::Param, &crate::graph::Param)| a.tensor.data() != b.tensor.data();
        let params = |graph: &Graph| graph.params().iter().map(|(_, param)| param.clone()).collect::<Vec<_>>();
        let (before, after) = (params(model.graph()), params(rounded.executor.graph()));
        let weights = before.iter().zip(&after).filter(|pair| changed(*pair)).count();
        (rounded.values, weights)
    };
    let (values, weights) = stored(true);
    let graph = model.graph();
    assert!(!values[0] && !values[graph.output().index()], "the host's are 32-bit");
    let count = values.iter().filter(|stored| **stored).count();
    assert!(weights > 40 && count > 20 && count + 10 < values.len(), "{weights} weights, {count} of {}", values.len());
    let (values, weights) = stored(false);
    assert!(weights == 0 && !values.contains(&true));

    let model = Model::random("repvgg-a0", 0, false).unwrap();
    let plan = |winograd| {
        let target = Target { f16: true, winograd, ..Target::default() };
        Plan::for_target(model.graph(), 1, &[], target).unwrap()
    };
    let first =
        |plan: &Plan| plan.steps.iter().find(|step| step.kernel.name.contains("winograd")).map(|s| s.node.clone());
    assert_eq!(first(&plan(false)), None);
    let node = first(&plan(true)).unwrap();
    let weight = |plan: &Plan| {
        let rounded = Rounded::new(model.graph(), plan).unwrap();
        let graph = rounded.executor.graph();
        let id = graph.node(graph.find(&node).unwrap()).op.params()[0].1;
        graph.params().tensor(id).data().to_vec()
    };
    let exact = model.graph().node(model.graph().find(&node).unwrap()).op.params()[0].1;
    assert_eq!(weight(&plan(true)), model.graph().params().tensor(exact).data());
    assert_ne!(weight(&plan(false)), model.graph().params().tensor(exact).data());
}
