//! Whether a device computes a network as it should: one picture through its plan and through the CPU executor.
//! 16-bit floats have to be what rounding explains, and enough; integers the same.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::model::Model;
use crate::cpu::{CpuExecutor, Int8Executor};
use crate::error::Result;
use crate::gpu::GpuExecutor;
use crate::int8::Program;
use crate::picture::Picture;
use crate::verify::Case;

/// Relative L2 distance of the outputs of integers where nodes were kept float: they round otherwise on every device, and
/// what they make may get to the next integer.
const FLOAT_NODES_BOUND: f64 = 0.05;

/// Tests integers. `Ok` says what was seen, `Err` what is wrong.
///
/// # Errors
/// If the device fails.
pub(super) async fn integers(
    executor: &mut GpuExecutor,
    model: &Model,
    program: Program,
) -> Result<std::result::Result<String, String>> {
    let [height, width] = model.preprocess().crop;
    let input = model.preprocess().apply(&picture(width, height)?)?;
    let exact = program.float_nodes() == 0;
    let expected = Int8Executor::new(program).run(&input)?;
    let found = executor.run_tensor(&input).await?.into_iter().next();
    let found = found.as_ref().map_or(&[][..], |found| found.data());
    if !exact {
        return Ok(compare(found, expected.data(), FLOAT_NODES_BOUND));
    }
    Ok(match found.iter().zip(expected.data()).position(|(a, b)| a != b) {
        None if found.len() == expected.len() => Ok("bit for bit the CPU's".to_owned()),
        None => Err(format!("it made {} outputs of {}", found.len(), expected.len())),
        Some(at) => Err(format!("output {at} is {}, not {}", found[at], expected.data()[at])),
    })
}

/// Tests 16-bit floats by the rule of `foveate verify`. `Ok` says how far outputs are apart, `Err` why 16-bit floats are not
/// enough.
///
/// # Errors
/// If the device fails.
pub(super) async fn f16(executor: &mut GpuExecutor, model: &Model) -> Result<std::result::Result<String, String>> {
    let [height, width] = model.preprocess().crop;
    let input = model.preprocess().apply(&picture(width, height)?)?;
    let expected = CpuExecutor::new(model.graph().clone())?.run(&input)?;
    let found = executor.run_tensor(&input).await?.into_iter().next();
    let found = found.as_ref().map_or(&[][..], |found| found.data());
    if let Err(broken) = whole(found, expected.data()) {
        return Ok(Err(broken));
    }
    let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let (found, expected) = (wide(found), wide(expected.data()));
    let case = Case { graph: model.graph(), plan: executor.plan(), input: &input, expected: &expected };
    Ok(case.judge(&found)?.enough())
}

/// A picture with the spectrum of photographs: waves whose height goes with their length, and noise.
pub(super) fn picture(width: u32, height: u32) -> Result<Picture> {
    let mut rng = Pcg64::seed_from_u64(16);
    let mut waves = Vec::new();
    for octave in 0..5 {
        for _ in 0..4 {
            let mut number = |most: f32| (rng.random::<f32>() * 2.0 - 1.0) * most;
            let most = 6.3 * (1 << octave) as f32;
            waves.push((
                [number(most), number(most), number(3.2)],
                [(); 3].map(|()| number(60.0) / (1 << octave) as f32),
            ));
        }
    }
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
        let [x, y] = [column as f32 / width as f32, row as f32 / height as f32];
        let mut pixel = [128.0; 3].map(|grey: f32| grey + rng.random::<f32>() * 16.0 - 8.0);
        for ([fx, fy, phase], heights) in &waves {
            let wave = (fx * x + fy * y + phase).sin();
            pixel.iter_mut().zip(heights).for_each(|(value, height)| *value += height * wave);
        }
        rgb.extend(pixel.map(|value| value.clamp(0.0, 255.0) as u8));
    }
    Picture::from_rgb(width, height, &rgb)
}

/// Whether there is an output to compare at all.
fn whole(found: &[f32], expected: &[f32]) -> std::result::Result<(), String> {
    if found.len() != expected.len() || found.is_empty() {
        return Err(format!("it made {} outputs of {}", found.len(), expected.len()));
    }
    if let Some(value) = found.iter().find(|value| !value.is_finite()) {
        return Err(format!("its output holds {value}"));
    }
    Ok(())
}

fn compare(found: &[f32], expected: &[f32], bound: f64) -> std::result::Result<String, String> {
    whole(found, expected)?;
    let pairs = || found.iter().zip(expected).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let apart = pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
    let size = pairs().map(|(_, b)| b * b).sum::<f64>().sqrt();
    // An expected output that is not finite fails too.
    if apart > bound * size || !apart.is_finite() {
        return Err(format!("relative error {:.1e}, at most {bound:.0e} is allowed", apart / size));
    }
    let [best, expected_best] = [found, expected].map(best);
    // Two classes may be closer than the bound; then neither is wrong.
    let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
    if f64::from(expected[expected_best] - expected[best]) > bound * f64::from(largest) {
        return Err(format!("class {best} comes first instead of {expected_best}"));
    }
    Ok(format!("relative error {:.1e}", apart / size.max(f64::MIN_POSITIVE)))
}

/// Position of the largest value.
fn best(values: &[f32]) -> usize {
    let first = |best: usize, (at, value): (usize, &f32)| if *value > values[best] { at } else { best };
    values.iter().enumerate().fold(0, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_not_flat_and_always_the_same() {
        let made = picture(40, 30).unwrap();
        assert_eq!((made.width(), made.height()), (40, 30));
        assert_eq!(made, picture(40, 30).unwrap());
        let distinct: std::collections::BTreeSet<u8> = made.rgba().iter().copied().collect();
        assert!(distinct.len() > 100, "{}", distinct.len());
    }

    const BOUND: f64 = 5e-3;

    #[test]
    fn only_close_outputs_with_the_same_best_class_pass() {
        let expected = [1.0, 3.0, -2.0];
        assert!(compare(&[1.001, 3.001, -2.0], &expected, BOUND).unwrap().starts_with("relative error 3.8e-4"));
        for (found, reason) in [
            (&[1.0, 3.1, -2.0][..], "relative error 2.7e-2, at most 5e-3"),
            (&[1.0, f32::INFINITY, -2.0], "holds inf"),
            (&[1.0, f32::NAN, -2.0], "holds NaN"),
            (&[1.0, 3.0], "2 outputs of 3"),
            (&[], "0 outputs of 3"),
        ] {
            let message = compare(found, &expected, BOUND).unwrap_err();
            assert!(message.contains(reason), "{message}");
        }
        assert!(compare(&expected, &[f32::NAN; 3], BOUND).is_err());
        // Closer than the bound: either may come first.
        assert!(compare(&[3.001, 3.0], &[3.0, 3.001], BOUND).is_ok());
        // Within the bound as a whole, but another class comes first by more than a tie.
        let mut long = vec![3.0; 5000];
        long[7] = 4.0;
        let mut other = long.clone();
        (other[7], other[9]) = (3.5, 3.8);
        assert_eq!(compare(&other, &long, BOUND).unwrap_err(), "class 9 comes first instead of 7");
    }
}
