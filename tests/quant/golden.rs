//! Against PyTorch's fake quantisation with the same scales (`tests/data/quant/make.py`): both the rounding of floats
//! and the arithmetic of integers.

use foveate::checkpoint::Checkpoint;
use foveate::cpu::Int8Executor;
use foveate::quant::{Noise, Part, Simulation};
use foveate::{Model, Shape, Tensor, int8};

use crate::support::top1;

#[test]
fn the_answers_of_pytorch() {
    let mut seen = 0;
    for name in ["mobileone", "qarepvgg", "repnext"] {
        let file = |end: &str| {
            let path = format!("{}/tests/data/quant/{name}{end}.safetensors", env!("CARGO_MANIFEST_DIR"));
            std::fs::read(path).unwrap()
        };
        let model = Model::from_bytes(&file(""), name, None, true).unwrap();
        let golden = Checkpoint::read(&file(".io"), name).unwrap().tensors;
        let scales = model.quantization().unwrap().clone();
        let integers = Int8Executor::new(int8::lower(model.graph(), &scales).unwrap());
        let simulation = Simulation::quantized_only(model.graph().clone(), scales).unwrap();
        let Shape { channels, height, width } = model.graph().input_shape();
        let value = |i: usize| ((i * 7919 % 1009) as f64 / 252.25 - 2.0) as f32;
        let input = (0..4 * channels * height * width).map(value).collect();
        let input = Tensor::new([4, channels, height, width], input).unwrap();
        let run = |part| simulation.with(part).unwrap().run(&input).unwrap();
        let (found, floats, integers) = (run(Part::Everything), run(Part::Nothing), integers.run(&input).unwrap());
        let (classes, expected) = (model.classes(), &golden["logits"]);
        // The step of an 8-bit grid that spans the logits: one grid for a tensor.
        let step = expected.data().iter().fold(0f32, |most, v| most.max(v.abs())) / 127.0;
        let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        let row = |values: &Tensor, i: usize| values.data()[i * classes..][..classes].to_vec();
        let best = |values: &[f32]| top1(&Tensor::new([classes], values.to_vec()).unwrap());
        for i in 0..4 {
            let [expected, found, floats, integers] =
                [expected, &found, &floats, &integers].map(|values| row(values, i));
            assert_eq!(best(&expected), best(&found), "{name}");
            assert!(apart(&expected, &found) <= step, "{name}: {} of {step}", apart(&expected, &found));
            // The data tells: without rounding values they are further off.
            assert!(apart(&expected, &floats) > 4.0 * apart(&expected, &found), "{name}");
            // Integers round biases too. In the network that was made for 8 bits that costs less than a step.
            if name == "qarepvgg" {
                assert_eq!(best(&expected), best(&integers), "{name}");
                assert!(apart(&expected, &integers) <= step, "{name}: {} of {step}", apart(&expected, &integers));
            }
            seen += 1;
        }
        // In any network, a sum that lies between two integers may go either way, and so may what comes of it: PyTorch's
        // answers and those of integers are the floats' with as much rounding noise. If none of it were common to both,
        // they would be twice as far from each other as from the floats, in power; half of that again is for chance. A
        // bias or a scale that is wrong shows as a multiple.
        let [floats, integers] = [&floats, &integers].map(|other| Noise::of(expected.data(), other.data()).noise);
        assert!(integers <= 3.0 * floats, "{name}: {integers} {floats}");
    }
    assert_eq!(seen, 12);
}
