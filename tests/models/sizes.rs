//! Parameters and multiply-accumulates of all named networks: the published numbers, and a count by
//! hand from the papers' depths and widths, which knows nothing of graphs.

use std::collections::BTreeMap;

use foveate::models::{self, Form};

use super::build;

/// Parameters in fused form as published, in millions.
#[test]
fn parameter_counts_are_the_published_ones() {
    let published = [
        ("repvgg-a0", 8.30, 0.01),
        ("repvgg-a1", 12.78, 0.01),
        ("repvgg-a2", 25.49, 0.01),
        ("repvgg-b0", 14.33, 0.01),
        ("repvgg-b1", 51.82, 0.01),
        ("repvgg-b1g2", 41.36, 0.01),
        ("repvgg-b1g4", 36.12, 0.01),
        ("repvgg-b2", 80.31, 0.01),
        ("repvgg-b2g4", 55.77, 0.01),
        ("repvgg-b3", 110.96, 0.01),
        ("repvgg-b3g4", 75.62, 0.01),
        ("qarepvgg-b0", 14.33, 0.01),
        ("repnext-m0", 2.3, 0.1),
        ("repnext-m1", 4.8, 0.1),
        ("repnext-m2", 6.5, 0.1),
        ("repnext-m3", 7.8, 0.1),
        ("repnext-m4", 13.3, 0.1),
        ("repnext-m5", 21.7, 0.1),
        ("mobileone-s0", 2.08, 0.1),
        ("mobileone-s1", 4.8, 0.1),
        ("mobileone-s2", 7.8, 0.1),
        ("mobileone-s3", 10.1, 0.1),
        ("mobileone-s4", 14.8, 0.1),
    ];
    for (name, millions, rounding) in published {
        let count = build(name, Form::Fused).parameter_count() as f64 / 1e6;
        assert!((count - millions).abs() < rounding, "{name} has {count} M, published are {millions} M");
    }
}

/// Parameters in training form as timm lists them, in millions with two digits.
#[test]
fn training_forms_have_the_parameters_that_timm_lists() {
    let published = [
        ("repvgg-a0", 9.11),
        ("repvgg-a1", 14.09),
        ("repvgg-a2", 28.21),
        ("repvgg-b0", 15.82),
        ("repvgg-b1", 57.42),
        ("repvgg-b1g4", 39.97),
        ("repvgg-b2", 89.02),
        ("repvgg-b2g4", 61.76),
        ("repvgg-b3", 123.09),
        ("repvgg-b3g4", 83.83),
        ("repvgg-d2se", 133.33),
        ("mobileone-s0", 5.29),
        ("mobileone-s1", 4.83),
        ("mobileone-s2", 7.88),
        ("mobileone-s3", 10.17),
        ("mobileone-s4", 14.95),
    ];
    for (name, millions) in published {
        let count = build(name, Form::Train).parameter_count() as f64 / 1e6;
        assert!((count - millions).abs() < 0.0055, "{name} has {count} M, timm lists {millions} M");
    }
}

/// Multiply-accumulates in fused form as published, in units of 10⁹.
#[test]
fn mac_counts_are_the_published_ones() {
    let published = [
        ("repvgg-a0", 1.4, 0.05),
        ("repvgg-a1", 2.4, 0.05),
        ("repvgg-a2", 5.1, 0.05),
        ("repvgg-b0", 3.1, 0.05),
        ("repvgg-b1", 11.8, 0.05),
        ("repvgg-b1g2", 8.8, 0.05),
        ("repvgg-b1g4", 7.3, 0.05),
        ("repvgg-b2", 18.4, 0.05),
        ("repvgg-b2g4", 11.3, 0.05),
        ("repvgg-b3", 26.2, 0.05),
        ("repvgg-b3g4", 16.1, 0.05),
        ("repnext-m0", 0.4, 0.06),
        ("repnext-m1", 0.8, 0.06),
        ("repnext-m2", 1.1, 0.06),
        ("repnext-m3", 1.3, 0.06),
        ("repnext-m4", 2.3, 0.06),
        ("repnext-m5", 4.5, 0.06),
        ("repnext-m0e", 0.46, 0.01),
        ("mobileone-s0", 0.275, 0.001),
        ("mobileone-s1", 0.825, 0.001),
        ("mobileone-s2", 1.299, 0.002),
        ("mobileone-s3", 1.896, 0.001),
        ("mobileone-s4", 2.978, 0.002),
    ];
    for (name, giga, rounding) in published {
        let count = build(name, Form::Fused).macs() as f64 / 1e9;
        assert!((count - giga).abs() < rounding, "{name} has {count} GMACs, published are {giga}");
    }
}

/// Parameters and multiply-accumulates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    parameters: u64,
    macs: u64,
}

impl Size {
    /// A convolution with bias: `inputs` channels each output sees, `taps` of its kernel, a square
    /// map of that side.
    fn conv(&mut self, inputs: u64, outputs: u64, taps: u64, side: u64) {
        self.parameters += inputs * outputs * taps + outputs;
        self.macs += inputs * outputs * taps * side * side;
    }

    fn squeeze_excite(&mut self, channels: u64) {
        self.conv(channels, channels / 16, 1, 1);
        self.conv(channels / 16, channels, 1, 1);
    }
}

/// RepVGG, table 2: depths, multipliers a and b; groups on even layers from the second to the 26th,
/// the stem being layer 0.
fn rep_vgg(depths: [usize; 4], a: f64, b: f64, groups: u64, squeeze: bool) -> Size {
    let widths = [64.0 * a, 128.0 * a, 256.0 * a, 512.0 * b].map(|width| width as u64);
    let (mut size, mut inputs, mut side, mut layer) = (Size::default(), 3, 224, 0);
    let stem = (1, widths[0].min(64));
    for (depth, width) in [stem].into_iter().chain(depths.into_iter().zip(widths)) {
        side /= 2;
        for _ in 0..depth {
            let groups = if layer > 0 && layer % 2 == 0 && layer <= 26 { groups } else { 1 };
            size.conv(inputs / groups, width, 9, side);
            if squeeze {
                size.squeeze_excite(width);
            }
            (inputs, layer) = (width, layer + 1);
        }
    }
    size.conv(inputs, 1000, 1, 1);
    size
}

/// The networks for CIFAR-10: stem of stride 1, three stages.
fn cifar() -> Size {
    let (mut size, mut inputs, mut side) = (Size::default(), 3, 64);
    for (depth, width) in [(1, 16), (2, 32), (3, 64), (1, 128)] {
        side /= 2;
        for _ in 0..depth {
            size.conv(inputs, width, 9, side);
            inputs = width;
        }
    }
    size.conv(inputs, 10, 1, 1);
    size
}

/// MobileOne, table 3: multipliers of (64, 128, 256, 512); the last `squeezed` of each stage's pairs
/// have squeeze-and-excitation.
fn mobile_one(multipliers: [f64; 4], squeezed: [u64; 4]) -> Size {
    let widths: Vec<u64> = [64.0, 128.0, 256.0, 512.0].iter().zip(multipliers).map(|(w, m)| (w * m) as u64).collect();
    let (mut size, mut side) = (Size::default(), 112);
    let mut inputs = widths[0].min(64);
    size.conv(3, inputs, 9, side);
    for ((pairs, width), squeezed) in [2, 8, 10, 1].into_iter().zip(widths).zip(squeezed) {
        side /= 2;
        for pair in 0..pairs {
            size.conv(1, inputs, 9, side);
            if pair + squeezed >= pairs {
                size.squeeze_excite(inputs);
            }
            size.conv(inputs, width, 1, side);
            if pair + squeezed >= pairs {
                size.squeeze_excite(width);
            }
            inputs = width;
        }
    }
    size.conv(inputs, 1000, 1, 1);
    size
}

/// RepNeXt: width and depths, one 11×11 or 7×7 kernel for each token mixer if `single`. The official
/// fuse leaves the token mixers' batch norms standing.
fn rep_next(width: u64, depths: [u64; 4], single: bool) -> Size {
    let mut size = Size::default();
    size.conv(3, width / 2, 9, 112);
    size.conv(width / 2, width, 9, 56);
    let (mut channels, mut side) = (width, 56);
    let mlp = |size: &mut Size, channels: u64, side: u64| {
        size.parameters += 2 * channels;
        size.conv(channels, 2 * channels, 1, side);
        size.conv(2 * channels, channels, 1, side);
    };
    for (stage, depth) in depths.into_iter().enumerate() {
        if stage > 0 {
            side /= 2;
            // Half of the channels from 3×3, half from 7×7, or all from 7×7.
            for taps in if single { [49, 49] } else { [9, 49] } {
                size.conv(1, channels, taps, side);
            }
            channels *= 2;
            mlp(&mut size, channels, side);
        }
        for _ in 0..depth {
            if single {
                size.conv(1, channels, 121, side);
            } else {
                // A quarter each: nothing, 3×3, 7×7, 1×11 and 11×1.
                [9, 49, 11, 11].into_iter().for_each(|taps| size.conv(1, channels / 4, taps, side));
            }
            mlp(&mut size, channels, side);
        }
    }
    size.conv(channels, 1000, 1, 1);
    size
}

/// Every name with its size by hand.
fn by_hand() -> BTreeMap<String, Size> {
    let (a, b, d) = ([2, 4, 14, 1], [4, 6, 16, 1], [8, 14, 24, 1]);
    let rep_vggs = [
        ("a0", rep_vgg(a, 0.75, 2.5, 1, false)),
        ("a1", rep_vgg(a, 1.0, 2.5, 1, false)),
        ("a2", rep_vgg(a, 1.5, 2.75, 1, false)),
        ("b0", rep_vgg(b, 1.0, 2.5, 1, false)),
        ("b1", rep_vgg(b, 2.0, 4.0, 1, false)),
        ("b1g2", rep_vgg(b, 2.0, 4.0, 2, false)),
        ("b1g4", rep_vgg(b, 2.0, 4.0, 4, false)),
        ("b2", rep_vgg(b, 2.5, 5.0, 1, false)),
        ("b2g2", rep_vgg(b, 2.5, 5.0, 2, false)),
        ("b2g4", rep_vgg(b, 2.5, 5.0, 4, false)),
        ("b3", rep_vgg(b, 3.0, 5.0, 1, false)),
        ("b3g2", rep_vgg(b, 3.0, 5.0, 2, false)),
        ("b3g4", rep_vgg(b, 3.0, 5.0, 4, false)),
        ("d2se", rep_vgg(d, 2.5, 5.0, 1, true)),
        ("cifar", cifar()),
    ];
    let rep_nexts = [
        ("m0", rep_next(40, [2, 2, 9, 1], false)),
        ("m1", rep_next(48, [3, 3, 15, 2], false)),
        ("m2", rep_next(56, [3, 3, 15, 2], false)),
        ("m3", rep_next(64, [3, 3, 13, 2], false)),
        ("m4", rep_next(64, [5, 5, 25, 4], false)),
        ("m5", rep_next(80, [7, 7, 35, 2], false)),
        ("m0e", rep_next(40, [2, 2, 9, 1], true)),
        ("m1e", rep_next(48, [3, 3, 15, 2], true)),
        ("m2e", rep_next(56, [3, 3, 15, 2], true)),
    ];
    let mobile_ones = [
        ("s0", mobile_one([0.75, 1.0, 1.0, 2.0], [0; 4])),
        ("s1", mobile_one([1.5, 1.5, 2.0, 2.5], [0; 4])),
        ("s2", mobile_one([1.5, 2.0, 2.5, 4.0], [0; 4])),
        ("s3", mobile_one([2.0, 2.5, 3.0, 4.0], [0; 4])),
        ("s4", mobile_one([3.0, 3.5, 3.5, 4.0], [0, 0, 5, 1])),
    ];
    let families: [(&str, &[(&str, Size)]); 4] =
        [("repvgg", &rep_vggs), ("qarepvgg", &rep_vggs), ("repnext", &rep_nexts), ("mobileone", &mobile_ones)];
    let named = families
        .iter()
        .flat_map(|(family, sizes)| sizes.iter().map(move |(name, size)| (format!("{family}-{name}"), *size)));
    named.collect()
}

#[test]
fn every_network_has_the_size_that_a_count_by_hand_gives() {
    let by_hand = by_hand();
    let mut names: Vec<&str> = models::names().collect();
    names.sort();
    assert_eq!(by_hand.keys().map(String::as_str).collect::<Vec<_>>(), names);
    assert_eq!(names.len(), 44);
    for (name, size) in by_hand {
        let graph = build(&name, Form::Fused);
        assert_eq!(Size { parameters: graph.parameter_count(), macs: graph.macs() }, size, "{name}");
    }
}
