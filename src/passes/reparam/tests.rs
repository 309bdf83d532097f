//! The algebra of [`LinearConv`] against a naive convolution.

use proptest::prelude::*;

use super::linear_conv::LinearConv;
use crate::Error;

/// `[c][h][w]` in f64.
#[derive(Clone, Debug)]
struct Map {
    size: [usize; 2],
    planes: Vec<Vec<f64>>,
}

/// A stream of values in −1…1 that differ everywhere, borders included.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

fn input(channels: usize, size: [usize; 2], seed: u64) -> Map {
    let mut next = noise(seed);
    Map { size, planes: (0..channels).map(|_| (0..size[0] * size[1]).map(|_| next()).collect()).collect() }
}

/// The definition, tap by tap. `None` where the window does not fit.
fn apply(conv: &LinearConv, x: &Map) -> Option<Map> {
    let extent = conv.extent();
    let mut size = [0; 2];
    for axis in 0..2 {
        let room = (x.size[axis] + 2 * conv.padding()[axis]).checked_sub(extent[axis])?;
        size[axis] = room / conv.stride()[axis] + 1;
    }
    let [outputs, per_group, kh, kw] = conv.shape();
    let plane = |o: usize| {
        let group = o / (outputs / conv.groups());
        let pixel = |p: usize| {
            let mut sum = conv.bias()[o];
            for c in 0..per_group {
                for t in 0..kh * kw {
                    let at = |axis: usize, p: usize, t: usize| {
                        let i =
                            (p * conv.stride()[axis] + t * conv.dilation()[axis]).checked_sub(conv.padding()[axis])?;
                        (i < x.size[axis]).then_some(i)
                    };
                    if let (Some(row), Some(column)) = (at(0, p / size[1], t / kw), at(1, p % size[1], t % kw)) {
                        let weight = conv.kernel()[(o * per_group + c) * kh * kw + t];
                        sum += weight * x.planes[group * per_group + c][row * x.size[1] + column];
                    }
                }
            }
            sum
        };
        (0..size[0] * size[1]).map(pixel).collect()
    };
    Some(Map { size, planes: (0..outputs).map(plane).collect() })
}

fn add(maps: &[Map]) -> Map {
    let mut sum = maps[0].clone();
    for map in &maps[1..] {
        assert_eq!(map.size, sum.size);
        for (a, b) in sum.planes.iter_mut().flatten().zip(map.planes.iter().flatten()) {
            *a += b;
        }
    }
    sum
}

/// Largest difference, on maps of the same size.
fn apart(a: &Map, b: &Map) -> f64 {
    assert_eq!((a.size, a.planes.len()), (b.size, b.planes.len()));
    a.planes.iter().flatten().zip(b.planes.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

struct Spec {
    channels: [usize; 2],
    groups: usize,
    size: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
}

/// Depthwise, stride 1, centred.
fn depthwise(channels: usize, size: [usize; 2]) -> Spec {
    let padding = size.map(|k| k / 2);
    Spec { channels: [channels; 2], groups: channels, size, stride: [1; 2], padding, dilation: [1; 2] }
}

impl Spec {
    fn conv(&self, bias: bool, seed: u64) -> LinearConv {
        let Spec { channels: [inputs, outputs], groups, size: [kh, kw], .. } = *self;
        let shape = [outputs, inputs / groups, kh, kw];
        let mut next = noise(seed);
        let kernel = (0..shape.iter().product()).map(|_| next()).collect();
        let bias = bias.then(|| (0..outputs).map(|_| next()).collect());
        let conv = LinearConv::new(shape, kernel, bias).unwrap();
        conv.with_window(self.stride, self.padding, self.dilation).unwrap().with_groups(groups).unwrap()
    }
}

fn batch_norm(channels: usize, seed: u64) -> LinearConv {
    let mut next = noise(seed);
    LinearConv::diagonal(&(0..channels).map(|_| (next() + 1.5, next())).collect::<Vec<_>>())
}

fn refusal(result: crate::Result<LinearConv>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Inexact { .. }), "{error}");
    error.to_string()
}

/// Whatever `compose` accepts is exact, on every combination of these.
fn window() -> impl Strategy<Value = ([usize; 2], [usize; 2], [usize; 2], [usize; 2])> {
    let pair = |range: std::ops::RangeInclusive<usize>| [range.clone(), range];
    (pair(1..=3), pair(1..=2), pair(0..=2), pair(1..=2))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn what_compose_accepts_is_exact(
        a in window(), b in window(), groups in (0usize..3, 0usize..3), bias: bool, zero_padded: bool, seed: u64,
    ) {
        let (ga, gb) = ([1, 2, 4][groups.0], [1, 2, 4][groups.1]);
        let spec = |channels, groups, w: ([usize; 2], [usize; 2], [usize; 2], [usize; 2]), padding| {
            Spec { channels, groups, size: w.0, stride: w.1, padding, dilation: w.3 }
        };
        let first = spec([4, 8], ga, a, a.2).conv(bias, seed);
        let second = spec([8, 4], gb, b, if zero_padded { b.2 } else { [0; 2] }).conv(true, !seed);
        let x = input(4, [9, 12], seed ^ 7);
        let serial = apply(&first, &x).and_then(|y| apply(&second, &y));
        if let (Ok(composed), Some(serial)) = (first.compose(&second), serial) {
            let together = apply(&composed, &x).unwrap();
            prop_assert!(apart(&together, &serial) < 1e-12, "{first:?} then {second:?}");
            prop_assert_eq!(composed.groups(), ga.min(gb));
        }
    }

    #[test]
    fn parallel_convolutions_add(
        sizes in proptest::collection::vec((0usize..3, 0usize..3, 1usize..3, 0usize..4), 1..5),
        stride in 1usize..3, seed: u64,
    ) {
        let parts: Vec<LinearConv> = sizes.iter().enumerate().map(|(i, &(h, w, dilation, groups))| {
            let size = [2 * h + 1, 2 * w + 1];
            Spec {
                channels: [4, 4],
                groups: [1, 2, 4, 4][groups],
                size,
                stride: [stride; 2],
                padding: size.map(|k| dilation * (k / 2)),
                dilation: [dilation; 2],
            }.conv(i % 2 == 0, seed.wrapping_add(i as u64))
        }).collect();
        let x = input(4, [7, 10], seed);
        let apart_sum = add(&parts.iter().map(|p| apply(p, &x).unwrap()).collect::<Vec<_>>());
        let sum = LinearConv::sum(&parts).unwrap();
        prop_assert!(apart(&apply(&sum, &x).unwrap(), &apart_sum) < 1e-12);
    }
}

#[test]
fn many_compositions_are_accepted() {
    // Guards the property above against refusing everything.
    let x = input(6, [7, 10], 1);
    let pointwise = Spec { channels: [6, 4], groups: 1, padding: [0; 2], ..depthwise(6, [1, 1]) }.conv(true, 2);
    let dense = Spec { channels: [4, 6], groups: 1, size: [3, 2], stride: [2, 1], padding: [0; 2], dilation: [1, 2] };
    let norm = batch_norm(6, 4);
    let composed = norm.compose(&pointwise).and_then(|c| c.compose(&dense.conv(true, 3))).unwrap();
    let composed = composed.compose(&batch_norm(6, 5)).unwrap();
    assert_eq!((composed.dilation(), composed.shape()), ([1, 2], [6, 6, 3, 2]));
    let serial =
        [norm, pointwise, dense.conv(true, 3), batch_norm(6, 5)].iter().fold(x.clone(), |x, c| apply(c, &x).unwrap());
    assert!(apart(&apply(&composed, &x).unwrap(), &serial) < 1e-12);
}

#[test]
fn wide_then_tall_is_the_outer_product() {
    let x = input(3, [8, 13], 1);
    for stride in [1, 2] {
        let wide = Spec { stride: [1, stride], ..depthwise(3, [1, 7]) }.conv(false, 2);
        let tall = Spec { stride: [stride, 1], ..depthwise(3, [7, 1]) }.conv(true, 3);
        let both = wide.compose(&tall).unwrap();
        assert_eq!((both.shape(), both.stride(), both.padding()), ([3, 1, 7, 7], [stride; 2], [3, 3]));
        assert!(apart(&apply(&both, &x).unwrap(), &apply(&tall, &apply(&wide, &x).unwrap()).unwrap()) < 1e-12);
        for (c, block) in both.kernel().chunks_exact(49).enumerate() {
            for (t, value) in block.iter().enumerate() {
                assert_eq!(*value, tall.kernel()[c * 7 + t / 7] * wide.kernel()[c * 7 + t % 7]);
            }
        }
    }
}

#[test]
fn a_dilated_2x2_is_a_sparse_3x3() {
    let x = input(2, [6, 9], 1);
    for stride in [1, 2] {
        let spec = Spec { padding: [1; 2], dilation: [2; 2], stride: [stride; 2], ..depthwise(2, [2, 2]) };
        let dilated = spec.conv(true, 2);
        let sparse = dilated.embed([3, 3]).unwrap();
        assert_eq!((sparse.shape(), sparse.padding(), sparse.dilation()), ([2, 1, 3, 3], [1; 2], [1; 2]));
        let k = dilated.kernel();
        assert_eq!(sparse.kernel()[..9], [k[0], 0.0, k[1], 0.0, 0.0, 0.0, k[2], 0.0, k[3]]);
        assert!(apart(&apply(&dilated, &x).unwrap(), &apply(&sparse, &x).unwrap()) < 1e-12);
    }
}

#[test]
fn grouped_is_block_sparse_dense() {
    let x = input(6, [4, 7], 1);
    let grouped = Spec { channels: [6, 12], groups: 6, ..depthwise(6, [3, 3]) }.conv(true, 2);
    for groups in [3, 2, 1] {
        let coarser = grouped.regroup(groups).unwrap();
        assert_eq!(coarser.shape(), [12, 6 / groups, 3, 3]);
        assert!(apart(&apply(&grouped, &x).unwrap(), &apply(&coarser, &x).unwrap()) < 1e-12);
    }
    let reason = refusal(grouped.regroup(4));
    assert!(reason.contains("6 groups"), "{reason}");
}

#[test]
fn identity_and_factors() {
    let x = input(4, [3, 5], 1);
    let conv = Spec { channels: [4, 4], groups: 2, ..depthwise(4, [3, 3]) }.conv(true, 2);
    let sum = LinearConv::sum(&[conv.clone(), LinearConv::dirac(4)]).unwrap();
    assert_eq!(sum.groups(), 2);
    let expected = add(&[apply(&conv, &x).unwrap(), x.clone()]);
    assert!(apart(&apply(&sum, &x).unwrap(), &expected) < 1e-12);
    let twice = add(&[expected.clone(), expected]);
    assert!(apart(&apply(&sum.scale(2.0), &x).unwrap(), &twice) < 1e-12);
}

#[test]
fn a_biased_pair_before_padding_is_refused_and_would_be_wrong() {
    let x = input(2, [6, 9], 1);
    let (wide, tall) = (depthwise(2, [1, 11]).conv(true, 2), depthwise(2, [11, 1]).conv(true, 3));
    let reason = refusal(wide.compose(&tall));
    assert!(reason.contains("zero padding applies after the first one's bias"), "{reason}");
    // What composing regardless would give: right inside, wrong at the borders.
    let unbiased = depthwise(2, [1, 11]).conv(false, 2);
    let both = unbiased.compose(&tall).unwrap();
    let shift: Vec<(f64, f64)> =
        (0..2).map(|c| (1.0, tall.kernel()[c * 11..][..11].iter().sum::<f64>() * wide.bias()[c])).collect();
    let regardless = both.compose(&LinearConv::diagonal(&shift)).unwrap();
    let serial = apply(&tall, &apply(&wide, &x).unwrap()).unwrap();
    assert!(apart(&apply(&regardless, &x).unwrap(), &serial) > 0.1);
}

#[test]
fn two_padded_3x3_are_refused_and_would_be_wrong() {
    let x = input(1, [6, 9], 1);
    let (a, b) = (depthwise(1, [3, 3]).conv(false, 2), depthwise(1, [3, 3]).conv(false, 3));
    let reason = refusal(a.compose(&b));
    assert!(reason.contains("wider than a pixel"), "{reason}");
    // Without the second one's padding it is exact; that map with the padding put back is not.
    let b_valid = b.clone().with_window([1; 2], [0; 2], [1; 2]).unwrap();
    let valid = a.compose(&b_valid).unwrap();
    let regardless = valid.clone().with_window([1; 2], [2; 2], [1; 2]).unwrap();
    let serial = apply(&b, &apply(&a, &x).unwrap()).unwrap();
    assert!(apart(&apply(&regardless, &x).unwrap(), &serial) > 0.1);
}

#[test]
fn sums_of_unlike_windows_are_refused() {
    let centred = depthwise(2, [3, 3]).conv(true, 2);
    let stride = Spec { stride: [2; 2], ..depthwise(2, [3, 3]) }.conv(true, 3);
    let reason = refusal(LinearConv::sum(&[centred.clone(), stride]));
    assert!(reason.contains("strides"), "{reason}");
    // A 2×2 of padding 1 and stride 2 gives a map of the same size, but looks half a pixel away.
    let even = Spec { stride: [2; 2], padding: [1; 2], ..depthwise(2, [2, 2]) }.conv(true, 4);
    let odd = Spec { stride: [2; 2], ..depthwise(2, [3, 3]) }.conv(true, 5);
    let reason = refusal(LinearConv::sum(&[even, odd]));
    assert!(reason.contains("centred alike"), "{reason}");
    let reason = refusal(depthwise(2, [2, 2]).conv(true, 6).embed([3, 3]));
    assert!(reason.contains("centred"), "{reason}");
    let reason = refusal(LinearConv::sum(&[centred, depthwise(3, [3, 3]).conv(true, 7)]));
    assert!(reason.contains("channels"), "{reason}");
    refusal(LinearConv::sum(&[]));
}

#[test]
fn composing_needs_matching_channels_and_weights_a_matching_shape() {
    let reason = refusal(depthwise(2, [1, 1]).conv(true, 1).compose(&depthwise(3, [1, 1]).conv(true, 2)));
    assert!(reason.contains("2 channels go into 3"), "{reason}");
    assert!(LinearConv::new([2, 1, 3, 3], vec![0.0; 17], None).is_err());
    assert!(LinearConv::new([2, 1, 1, 1], vec![0.0; 2], Some(vec![0.0])).is_err());
    assert!(LinearConv::new([0, 1, 1, 1], vec![], None).is_err());
    assert!(depthwise(2, [1, 1]).conv(true, 1).with_window([0, 1], [0; 2], [1; 2]).is_err());
    assert!(depthwise(2, [1, 1]).conv(true, 1).with_groups(3).is_err());
}
