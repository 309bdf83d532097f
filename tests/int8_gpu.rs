//! Integer programs on GPUs: every integer that a run leaves anywhere is that of the definition and of the CPU, bit
//! for bit. All memory is filled with garbage before, and canaries lie behind every buffer.

mod cases;
mod device;
#[path = "int8_gpu/support.rs"]
mod support;

use std::collections::BTreeMap;

use cases::quantized::lowered;
use foveate::kernels::Target;
use support::check;

/// Both kinds of memory.
fn targets() -> [Target; 2] {
    [Target::software(), Target::default()]
}

#[test]
fn every_case_s_integers_are_those_of_the_cpu() {
    let cases = cases::all();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, context) in device::contexts().iter().enumerate() {
        for (case, target) in cases.iter().flat_map(|case| targets().into_iter().map(move |target| (case, target))) {
            let start = std::time::Instant::now();
            let program = lowered(case);
            let kernels = check(context, &program, &case.input, target, &case.name);
            kernels.into_iter().for_each(|kernel| *seen.entry(kernel).or_default() += 1);
            eprintln!("{number} {} {:?}", case.name, start.elapsed());
        }
    }
    assert!(device::contexts().is_empty() || seen.len() >= 11, "{seen:?}");
}
