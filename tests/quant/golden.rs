//! Against PyTorch's fake quantisation with the same scales: `tests/data/quant/make.py`.

use foveate::checkpoint::Checkpoint;
use foveate::quant::{Part, Simulation};
use foveate::{Model, Shape, Tensor};

use crate::support::top1;

#[test]
fn the_answers_of_pytorch() {
    let mut seen = 0;
    for name in ["qarepvgg", "repnext"] {
        let file = |end: &str| {
            let path = format!("{}/tests/data/quant/{name}{end}.safetensors", env!("CARGO_MANIFEST_DIR"));
            std::fs::read(path).unwrap()
        };
        let model = Model::from_bytes(&file(""), name, None, true).unwrap();
        let golden = Checkpoint::read(&file(".io"), name).unwrap().tensors;
        let scales = model.quantization().unwrap().clone();
        let simulation = Simulation::quantized_only(model.graph().clone(), scales).unwrap();
        let Shape { channels, height, width } = model.graph().input_shape();
        let value = |i: usize| ((i * 7919 % 1009) as f64 / 252.25 - 2.0) as f32;
        let input = (0..4 * channels * height * width).map(value).collect();
        let input = Tensor::new([4, channels, height, width], input).unwrap();
        let run = |part| simulation.with(part).unwrap().run(&input).unwrap();
        let (found, floats) = (run(Part::Everything), run(Part::Nothing));
        let classes = model.classes();
        let expected = golden["logits"].data().chunks(classes);
        for ((expected, found), floats) in expected.zip(found.data().chunks(classes)).zip(floats.data().chunks(classes))
        {
            let row = |values: &[f32]| top1(&Tensor::new([classes], values.to_vec()).unwrap());
            assert_eq!(row(expected), row(found), "{name}");
            let step = expected.iter().fold(0f32, |most, v| most.max(v.abs())) / 127.0;
            let apart = |other: &[f32]| expected.iter().zip(other).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(apart(found) <= step, "{name}: {} of {step}", apart(found));
            // The data tells: without rounding values they are further off.
            assert!(apart(floats) > 4.0 * apart(found), "{name}: {} {}", apart(floats), apart(found));
            seen += 1;
        }
    }
    assert_eq!(seen, 8);
}
