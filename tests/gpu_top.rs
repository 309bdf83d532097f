//! The best classes found on the GPU against a plain sort.

mod device;

use foveate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use foveate::kernels::{MAX_TOP, Ranking};
use foveate::plan::Plan;
use foveate::{Error, Graph, Shape, Tensor};
use pollster::block_on;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// An executor whose output is its input, bit for bit: no step between.
fn executor(context: &GpuContext, classes: usize, batch: usize) -> GpuExecutor {
    let graph = Graph::new("logits", Shape::new(classes, 1, 1));
    let plan = Plan::new(&graph, batch, &[]).unwrap();
    assert!(plan.steps.is_empty());
    block_on(GpuExecutor::new(context, plan, ExecutorOptions { top: true, ..Default::default() })).unwrap()
}

/// Classes and the bits of their logits, best first.
fn sorted(logits: &[f32]) -> Vec<(usize, u32)> {
    let mut all: Vec<(usize, f32)> = logits.iter().copied().enumerate().collect();
    // The sort is stable: of equal logits the lower class stays first.
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.into_iter().map(|(class, logit)| (class, logit.to_bits())).take(MAX_TOP).collect()
}

fn assert_ranks(what: &str, found: &Ranking, logits: &[f32]) {
    let bits: Vec<(usize, u32)> = found.best.iter().map(|(class, logit)| (*class, logit.to_bits())).collect();
    assert_eq!(bits, sorted(logits), "{what}");
    assert_eq!(found.not_finite, None, "{what}");
    let greatest = f64::from(found.best[0].1);
    let sum: f64 = logits.iter().map(|v| (f64::from(*v) - greatest).exp()).sum();
    assert!((found.sum / sum - 1.0).abs() <= 1e-5, "{what}: sum {} instead of {sum}", found.sum);
}

/// Logits of all kinds for that many classes.
fn kinds(classes: usize) -> Vec<(&'static str, Vec<f32>)> {
    let mut rng = Pcg64::seed_from_u64(classes as u64);
    let mut draw = |make: &dyn Fn(f32) -> f32| (0..classes).map(|_| make(rng.random_range(-1.0..1.0))).collect();
    vec![
        ("between -20 and 20", draw(&|v| 20.0 * v)),
        ("negative", draw(&|v| -30.0 + 25.0 * v)),
        ("a handful of values", draw(&|v| (4.0 * v).round())),
        ("all the same", vec![-2.5; classes]),
        ("zeros of both signs", draw(&|v| if v < 0.0 { -0.0 } else { 0.0 })),
        ("far apart", draw(&|v| 3e38 * v)),
        ("next to each other", draw(&|v| f32::from_bits(1.0f32.to_bits() + (8.0 * v) as i32 as u32 % 8))),
        ("ascending", (0..classes).map(|i| i as f32 * 0.01).collect()),
    ]
}

#[test]
fn the_best_classes_are_those_of_a_plain_sort() {
    let mut tried = 0;
    for context in device::contexts() {
        for classes in [1, 2, 3, 4, 5, 10, 31, 32, 33, 100, 257, 1000, 1003, 4096] {
            let mut executor = executor(context, classes, 3);
            assert!(executor.ranks());
            let kinds = kinds(classes);
            // Three at a time, the last ones fewer: every sample has its own record.
            for some in kinds.chunks(3) {
                let logits: Vec<f32> = some.iter().flat_map(|(_, logits)| logits).copied().collect();
                let input = Tensor::new([some.len(), classes, 1, 1], logits).unwrap();
                let found = block_on(executor.top_tensor(&input)).unwrap();
                assert_eq!(found.len(), some.len());
                for (found, (kind, logits)) in found.iter().zip(some) {
                    assert_ranks(&format!("{}: {classes} classes, {kind}", context.summary()), found, logits);
                    tried += 1;
                }
            }
        }
    }
    assert!(tried == 0 || tried >= 14 * 8, "{tried}");
}

#[test]
fn logits_that_are_not_finite_are_told_by_class_and_value() {
    let strange = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7f80_0001)];
    for context in device::contexts() {
        for (classes, at) in [(1, 0), (7, 6), (10, 0), (1000, 999), (1000, 511), (1003, 258)] {
            let mut executor = executor(context, classes, 2);
            for value in strange {
                let mut logits: Vec<f32> = (0..2 * classes).map(|i| (i % 17) as f32).collect();
                logits[classes + at] = value;
                // A second one does not hide the first.
                logits[2 * classes - 1] = value;
                let input = Tensor::new([2, classes, 1, 1], logits.clone()).unwrap();
                let found = block_on(executor.top_tensor(&input)).unwrap();
                assert_ranks("its neighbour", &found[0], &logits[..classes]);
                let (class, bad) = found[1].not_finite.unwrap();
                assert_eq!((class, bad.is_nan()), (at, value.is_nan()), "{value} at {at} of {classes}");
                assert!(bad.is_nan() || bad == value, "{bad} instead of {value}");
                assert!(found[1].best.is_empty());
            }
        }
    }
}

#[test]
fn only_vectors_of_classes_are_ranked() {
    let Some(context) = device::contexts().first() else { return };
    for shape in [Shape::new(5, 1, 2), Shape::new(4097, 1, 1)] {
        let plan = Plan::new(&Graph::new("other", shape), 1, &[]).unwrap();
        let options = ExecutorOptions { top: true, ..Default::default() };
        let mut executor = block_on(GpuExecutor::new(context, plan, options)).unwrap();
        assert!(!executor.ranks());
        let input = Tensor::zeros([1, shape.channels, shape.height, shape.width]);
        let error = block_on(executor.top_tensor(&input)).unwrap_err();
        assert!(matches!(&error, Error::Argument(_)), "{error}");
        assert_eq!(block_on(executor.run_tensor(&input)).unwrap()[0], input);
    }
}
