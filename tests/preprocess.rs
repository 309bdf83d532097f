//! Resize, crop and normalisation against Pillow's own results (tests/data/preprocess), to the bit, against the
//! plain formula in f64, and by properties of the tap tables.

use std::path::{Path, PathBuf};

use foveate::preprocess::{Filter, MAX_SIDE, PRECISION, Preprocess, Resize, Taps};
use foveate::{Picture, Tensor};
use proptest::prelude::*;
use serde::Deserialize;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/preprocess").join(name)
}

/// Without normalisation beyond the division by 255.
fn plain(shorter: u32, filter: Filter, crop: [u32; 2]) -> Preprocess {
    Preprocess { resize: Resize { shorter, filter }, crop, mean: [0.0; 3], std: [1.0; 3] }
}

fn noise(width: u32, height: u32, seed: u32) -> Picture {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    Picture::from_rgba(width, height, (0..width * height * 4).map(|_| byte()).collect()).unwrap()
}

#[derive(Deserialize)]
struct Case {
    source: String,
    resize: Resize,
    crop: [u32; 2],
    expected: String,
}

#[test]
fn as_pillow_to_the_bit() {
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(fixture("cases.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 38);
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        assert_eq!(cases.iter().filter(|case| case.resize.filter == filter).count(), 19);
    }
    let (mut values, mut tall) = (0, 0);
    for case in cases {
        let source = Picture::open(fixture(&case.source)).unwrap();
        let expected = Picture::open(fixture(&case.expected)).unwrap();
        assert_eq!([expected.height(), expected.width()], case.crop, "{}", case.expected);
        let result = plain(case.resize.shorter, case.resize.filter, case.crop).apply(&source).unwrap();
        let [rows, columns] = case.crop.map(|side| side as usize);
        assert_eq!(result.shape(), [1, 3, rows, columns]);
        // Pillow 13 shrinks pictures more than twice as high as wide along their columns first, which rounds otherwise.
        let columns_first = source.height() > source.width() * 2 && case.resize.shorter < source.width();
        tall += usize::from(columns_first);
        for (pixel, rgba) in expected.rgba().chunks_exact(4).enumerate() {
            for (channel, theirs) in rgba[..3].iter().enumerate() {
                let value = result.data()[channel * rows * columns + pixel];
                let wanted = f32::from(*theirs) / 255.0;
                let near = if columns_first { 1.0 / 254.0 } else { 0.0 };
                assert!((value - wanted).abs() <= near, "{}: {pixel}, {channel}: {value} {wanted}", case.expected);
                values += 1;
            }
        }
    }
    assert!(values > 100_000 && tall == 2, "{values} values, {tall} pictures by columns first");
}

/// The formula in f64, pixel by pixel, with both roundings.
fn direct(spec: &Preprocess, picture: &Picture) -> Vec<f64> {
    let tables = spec.tables(picture.width(), picture.height()).unwrap();
    let taps = |t: &Taps, output: usize| -> Vec<(usize, f64)> {
        let width = t.width() as usize;
        let weights = &t.weights()[output * width..][..width];
        let unit = f64::from(1u32 << PRECISION);
        weights.iter().enumerate().map(|(i, w)| (t.first()[output] as usize + i, f64::from(*w) / unit)).collect()
    };
    let mut out = Vec::new();
    for channel in 0..3 {
        for row in 0..spec.crop[0] as usize {
            for column in 0..spec.crop[1] as usize {
                let mut value = 0.0;
                for (y, wy) in taps(&tables.vertical, row) {
                    let line: f64 = taps(&tables.horizontal, column)
                        .into_iter()
                        .map(|(x, wx)| wx * f64::from(picture.rgba()[(y * picture.width() as usize + x) * 4 + channel]))
                        .sum();
                    value += wy * (line + 0.5).floor().clamp(0.0, 255.0);
                }
                let (mean, std) = (f64::from(spec.mean[channel]), f64::from(spec.std[channel]));
                out.push(((value + 0.5).floor().clamp(0.0, 255.0) / 255.0 - mean) / std);
            }
        }
    }
    out
}

fn imagenet(shorter: u32, filter: Filter, crop: [u32; 2]) -> Preprocess {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    Preprocess { mean, std, ..plain(shorter, filter, crop) }
}

#[test]
fn agrees_with_the_plain_formula() {
    for (i, (width, height)) in [(37, 23), (23, 41), (64, 64), (7, 90), (90, 7), (3, 3)].into_iter().enumerate() {
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let picture = noise(width, height, i as u32);
            let spec = imagenet(20, filter, [17, 20]);
            let (ours, reference) = (spec.apply(&picture).unwrap(), direct(&spec, &picture));
            assert_eq!(ours.len(), reference.len());
            for (a, b) in ours.data().iter().zip(&reference) {
                assert!((f64::from(*a) - b).abs() < 1e-5, "{width}×{height} {filter:?}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_picture_of_the_right_size_is_only_normalised() {
    let picture = noise(32, 32, 5);
    let spec = imagenet(32, Filter::Bicubic, [32, 32]);
    let result = spec.apply(&picture).unwrap();
    for (pixel, rgba) in picture.rgba().chunks_exact(4).enumerate() {
        for (channel, level) in rgba[..3].iter().enumerate() {
            let exact = (f32::from(*level) / 255.0 - spec.mean[channel]) / spec.std[channel];
            assert_eq!(result.data()[channel * 1024 + pixel], exact);
        }
    }
}

#[test]
fn a_picture_that_is_only_cropped_keeps_its_pixels() {
    let spec = imagenet(20, Filter::Bicubic, [16, 14]);
    for (width, height, left, top) in [(20, 33, 3, 8), (25, 20, 6, 2)] {
        let picture = noise(width, height, 5);
        let input = spec.apply(&picture).unwrap();
        let levels = spec.levels();
        for (at, found) in input.data().iter().enumerate() {
            let (channel, y, x) = (at / (16 * 14), at / 14 % 16, at % 14);
            let level = picture.rgba()[((y + top) * width as usize + x + left) * 4 + channel];
            assert_eq!(*found, levels[channel][usize::from(level)], "{width}×{height}, channel {channel} at {y}, {x}");
        }
    }
}

#[test]
fn a_batch_is_its_pictures_one_by_one() {
    let pictures = [noise(50, 31, 1), noise(9, 80, 2), noise(20, 20, 3)];
    let spec = imagenet(20, Filter::Bilinear, [18, 19]);
    let batch = spec.apply_batch(&pictures).unwrap();
    assert_eq!(batch.shape(), [3, 3, 18, 19]);
    let single: Vec<Tensor> = pictures.iter().map(|p| spec.apply(p).unwrap()).collect();
    assert_eq!(batch.data(), single.iter().flat_map(|t| t.data()).copied().collect::<Vec<_>>());
    let mut slot = vec![f32::NAN; 3 * 18 * 19];
    spec.apply_into(&pictures[1], &mut slot).unwrap();
    assert_eq!(slot, single[1].data());
    assert!(spec.apply_batch::<Picture>(&[]).unwrap_err().to_string().contains("at least one"));
    assert!(spec.apply_into(&pictures[1], &mut slot[1..]).unwrap_err().to_string().contains("3×18×19"));
}

#[test]
fn extreme_pictures_keep_their_colour() {
    for (width, height) in [(1, 1), (20000, 3), (3, 20000), (1, 5000), (5000, 1)] {
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let picture = Picture::from_rgb(width, height, &[51, 102, 204].repeat((width * height) as usize)).unwrap();
            let result = plain(256, filter, [224, 224]).apply(&picture).unwrap();
            for (plane, grey) in result.data().chunks_exact(224 * 224).zip([0.2, 0.4, 0.8]) {
                assert!(plane.iter().all(|v| (v - grey).abs() < 1e-5), "{width}×{height} {filter:?}");
            }
        }
    }
}

#[test]
fn alpha_does_not_matter() {
    let picture = noise(30, 20, 9);
    let opaque: Vec<u8> = picture.rgba().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    let opaque = Picture::from_rgba(30, 20, opaque).unwrap();
    assert_ne!(picture, opaque);
    let spec = imagenet(12, Filter::Bicubic, [12, 12]);
    assert_eq!(spec.apply(&picture).unwrap(), spec.apply(&opaque).unwrap());
}

#[test]
fn tables_cost_only_what_the_crop_reads() {
    // 1 × 4·10⁹ pixels become 256 × 10¹²: the tables still hold 224 rows of at most 4 taps.
    let tables = plain(256, Filter::Bicubic, [224, 224]).tables(1, u32::MAX).unwrap();
    assert_eq!((tables.vertical.outputs(), tables.horizontal.outputs()), (224, 224));
    assert!(tables.vertical.width() <= 5 && tables.vertical.span().len() <= 10);
}

#[test]
fn bad_descriptions_are_refused() {
    let good = imagenet(256, Filter::Bilinear, [224, 192]);
    good.validate().unwrap();
    type Spoil = fn(&mut Preprocess);
    let cases: [(Spoil, &str); 12] = [
        (|p| p.resize.shorter = 0, "resize.shorter is 0"),
        (|p| p.resize.shorter = MAX_SIDE + 1, "resize.shorter is 8193"),
        (|p| p.crop[0] = 0, "crop rows is 0"),
        (|p| p.crop[1] = 0, "crop columns is 0"),
        (|p| p.crop[1] = u32::MAX, "crop columns is 4294967295"),
        (|p| p.crop[0] = 257, "resize.shorter must be at least 257"),
        (|p| p.crop[1] = 300, "resize.shorter must be at least 300"),
        (|p| p.mean[1] = f32::NAN, "mean holds NaN"),
        (|p| p.mean[2] = f32::INFINITY, "mean holds inf"),
        (|p| p.std[0] = 0.0, "std holds 0"),
        (|p| p.std[2] = -1.0, "std holds -1"),
        (|p| p.std[1] = f32::NAN, "std holds NaN"),
    ];
    let picture = noise(8, 8, 0);
    for (spoil, words) in cases {
        let mut bad = good.clone();
        spoil(&mut bad);
        for error in [bad.validate().unwrap_err(), bad.tables(8, 8).unwrap_err(), bad.apply(&picture).unwrap_err()] {
            let message = error.to_string();
            assert!(message.contains(words), "{words:?} is not in {message:?}");
        }
    }
    for (width, height) in [(0, 5), (5, 0), (0, 0)] {
        assert!(good.tables(width, height).unwrap_err().to_string().contains("no pixels"));
    }
}

#[test]
fn descriptions_survive_json() {
    let spec = imagenet(256, Filter::Bicubic, [224, 224]);
    let text = serde_json::to_string(&spec).unwrap();
    assert!(text.contains(r#""resize":{"shorter":256,"filter":"bicubic"},"crop":[224,224]"#), "{text}");
    assert_eq!(serde_json::from_str::<Preprocess>(&text).unwrap(), spec);
    assert!(serde_json::from_str::<Preprocess>(&text.replace("bicubic", "nearest")).is_err());
}

fn check_taps(taps: &Taps, source: u32, outputs: u32) -> Result<(), TestCaseError> {
    prop_assert_eq!(taps.outputs(), outputs as usize);
    prop_assert!(taps.width() >= 1);
    prop_assert_eq!(taps.weights().len(), taps.outputs() * taps.width() as usize);
    prop_assert!(taps.first().is_sorted());
    for (first, weights) in taps.first().iter().zip(taps.weights().chunks_exact(taps.width() as usize)) {
        prop_assert!(first + taps.width() <= source, "{} + {} of {}", first, taps.width(), source);
        let sum: f64 = weights.iter().map(|w| f64::from(*w) / f64::from(1u32 << PRECISION)).sum();
        prop_assert!((sum - 1.0).abs() < 1e-3, "weights sum to {}", sum);
        // So that no sum of grey levels leaves 32 bits.
        let magnitude: f64 = weights.iter().map(|w| f64::from(w.abs()) / f64::from(1u32 << PRECISION)).sum();
        prop_assert!(magnitude <= 2.0, "{:?}", weights);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn taps_sum_to_one_inside_the_picture(
        width in 1u32..5000, height in 1u32..5000, shorter in 1u32..600,
        rows in 0.0f64..1.0, columns in 0.0f64..1.0, bicubic: bool,
    ) {
        let side = |share: f64| 1 + (share * f64::from(shorter - 1)) as u32;
        let filter = if bicubic { Filter::Bicubic } else { Filter::Bilinear };
        let spec = plain(shorter, filter, [side(rows), side(columns)]);
        let tables = spec.tables(width, height).unwrap();
        check_taps(&tables.horizontal, width, spec.crop[1])?;
        check_taps(&tables.vertical, height, spec.crop[0])?;
    }
}
