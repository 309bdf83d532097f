//! A program on a device, and its values.

use foveate::Tensor;
use foveate::cpu::Int8Executor;
use foveate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use foveate::int8::Program;
use foveate::int8::reference::{self, Data, Map};
use foveate::kernels::{Element, Place, Target};
use foveate::plan::Plan;
use pollster::block_on;

/// Runs a program and holds all its integers to the CPU's; those behind float nodes, which round otherwise on every
/// device, to the definition of their node. Returns the kernels that took part.
pub fn check(context: &GpuContext, program: &Program, input: &Tensor, target: Target, name: &str) -> Vec<&'static str> {
    let batch = input.shape()[0];
    let name = format!("{}, {:?}: {name}", context.summary(), target.activations);
    let plan = Plan::for_program(program, batch, &[], target).unwrap_or_else(|error| panic!("{name}: {error}"));
    let kernels = plan.steps.iter().map(|step| step.kernel.name).collect();
    let options = ExecutorOptions { canaries: true, ..Default::default() };
    let executor = block_on(GpuExecutor::new(context, plan.clone().without_reuse(), options));
    let mut executor = executor.unwrap_or_else(|error| panic!("{name}: {error}"));
    let logits = block_on(executor.run_tensor(input)).unwrap().swap_remove(0);
    block_on(executor.check_canaries()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut compared = 0;
    let each = input.len() / batch;
    let shape: Vec<usize> = [1].into_iter().chain(input.shape()[1..].iter().copied()).collect();
    let cpu = Int8Executor::new(program.clone());
    for sample in 0..batch {
        let one = Tensor::new(shape.clone(), input.data()[sample * each..][..each].to_vec()).unwrap();
        let expected = cpu.values(&one).unwrap();
        let found = values(&executor, program, &plan, sample);
        for (i, node) in program.nodes.iter().enumerate() {
            let Some(found_here) = &found[i] else { continue };
            let maps: Option<Vec<Map>> = (node.inputs.iter())
                .map(|id| Some(Map { shape: program.node(*id).shape, values: found[id.0].as_ref()?.as_i8() }))
                .collect();
            if let Some(own) = maps.and_then(|maps| reference::compute(node, &maps)) {
                same(&own, found_here, &format!("{name}: {} ({}), the definition", node.name, node.op.name()));
            }
            if program.float_nodes() == 0 {
                same(&expected[i], found_here, &format!("{name}: {} ({}), the CPU", node.name, node.op.name()));
            }
            compared += 1;
        }
    }
    assert!(compared > 0 || program.nodes.len() == program.float_nodes() + 1, "{name}: nothing compared");
    if program.float_nodes() == 0 {
        assert_eq!(cpu.run(input).unwrap().data(), logits.data(), "{name}: logits");
    }
    kernels
}

fn same(expected: &Data, found: &Data, what: &str) {
    let show = |data: &Data, at: usize| match data {
        Data::I8(values) => i64::from(values[at]),
        Data::I32(values) => i64::from(values[at]),
        Data::F32(_) => 0,
    };
    let (len, at) = match (expected, found) {
        (Data::I8(a), Data::I8(b)) if a.len() == b.len() => (a.len(), a.iter().zip(b).position(|(a, b)| a != b)),
        (Data::I32(a), Data::I32(b)) if a.len() == b.len() => (a.len(), a.iter().zip(b).position(|(a, b)| a != b)),
        _ => panic!("{what}: other types or sizes"),
    };
    if let Some(at) = at {
        panic!("{what}: at {at} of {len}: {}, expected {}", show(found, at), show(expected, at));
    }
}

/// The integers of one sample that lie on the device, by value.
fn values(executor: &GpuExecutor, program: &Program, plan: &Plan, sample: usize) -> Vec<Option<Data>> {
    let mut values: Vec<Option<Data>> = vec![None; program.nodes.len()];
    for place in &plan.places {
        let shape = program.nodes[place.node.index()].shape;
        let found = integers(executor, plan, place, shape.pixels(), sample);
        let slot = &mut values[place.node.index()];
        if let (Some(before), Some(found)) = (&*slot, &found) {
            assert!(place.times > 1 || before == found, "a copy differs");
        }
        if place.times == 1 && found.is_some() {
            *slot = found;
        }
    }
    values
}

fn integers(executor: &GpuExecutor, plan: &Plan, place: &Place, pixels: usize, sample: usize) -> Option<Data> {
    let mut planes: Vec<Vec<i32>> = Vec::new();
    let mut element = Element::F32;
    for piece in &place.pieces {
        element = plan.tensors[piece.tensor.0 as usize].format.element;
        let words = block_on(executor.read_tensor(piece.tensor)).unwrap();
        for plane in piece.first_plane..piece.first_plane + piece.planes {
            let start = (plane * plan.batch + sample) * pixels;
            planes.push(match element {
                Element::I8 => {
                    let words = &words[start..start + pixels];
                    words.iter().flat_map(|word| word.to_le_bytes().map(|byte| i32::from(byte as i8))).collect()
                }
                Element::I32 => words[start * 4..(start + pixels) * 4].iter().map(|word| *word as i32).collect(),
                _ => return None,
            });
        }
    }
    let lanes = place.layout.positions();
    let values = lanes.iter().flat_map(|at| planes[at / 4].iter().skip(at % 4).step_by(4));
    Some(match element {
        Element::I8 => Data::I8(values.map(|v| *v as i8).collect()),
        _ => Data::I32(values.copied().collect()),
    })
}
