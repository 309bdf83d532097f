//! Networks that plain 8 bits break and the default repairs.

use foveate::ops::Op;
use foveate::quant::{CalibrationSet, Calibrator, Granularity, Options, Part};
use foveate::{Model, Shape};

use crate::support::*;

/// The built-in network, whose channels are scaled behind every layer and scaled back before the
/// next: the same function, ranges spread over decades.
fn scaled_channels(roughness: f32) -> Model {
    let model = Model::builtin().unwrap();
    let mut graph = model.graph().clone();
    let mut layers = 0;
    for id in graph.ids() {
        let readers: Vec<_> = graph.ids().filter(|other| graph.node(*other).inputs.contains(&id)).collect();
        let (Op::Conv2d(conv), [reader]) = (graph.node(id).op.clone(), &readers[..]) else { continue };
        let Op::Conv2d(next) = graph.node(*reader).op.clone() else { continue };
        let channels = graph.node(id).shape.channels;
        let factors = spread(channels, roughness, u64::from(id.0));
        let per_row = graph.params().tensor(conv.weight).len() / channels;
        scale(&mut graph, conv.weight, |at| factors[at / per_row]);
        scale(&mut graph, conv.bias.unwrap(), |c| factors[c]);
        let taps: usize = graph.params().shape(next.weight)[2..].iter().product();
        scale(&mut graph, next.weight, |at| 1.0 / factors[at / taps % channels]);
        layers += 1;
    }
    assert!(layers >= 5, "{layers}");
    fused(graph)
}

/// On how many of the set's inputs both forms say the same.
fn same_answers(model: &Model, set: &CalibrationSet, options: Options) -> usize {
    let simulation = quantized(model, set, options).simulation;
    let [float, whole] = [Part::Nothing, Part::Everything].map(|part| simulation.with(part).unwrap());
    let same = |input: &&foveate::Tensor| top1(&float.run(input).unwrap()) == top1(&whole.run(input).unwrap());
    set.inputs().iter().filter(same).count()
}

#[test]
fn channels_of_ranges_decades_apart() {
    let model = scaled_channels(1.5);
    let set = pictures(&model);
    let plain = output_db(&model, &set, &set, Options::plain());
    let repaired = output_db(&model, &set, &set, Options::default());
    assert!(plain < 5.0 && repaired > 28.0, "{plain} {repaired}");
    let (plain, repaired) =
        (same_answers(&model, &set, Options::plain()), same_answers(&model, &set, Options::default()));
    assert!(plain < 60 && repaired >= 97, "{plain} {repaired}");
    // It is equalisation that does it, with any calibrator, and with one scale per weight too.
    let unequal = output_db(&model, &set, &set, Options { equalize: false, ..Options::default() });
    assert!(unequal < 5.0, "{unequal}");
    for calibrator in Calibrator::ALL {
        let db = output_db(&model, &set, &set, Options { calibrator, ..Options::default() });
        assert!(db > 26.0, "{calibrator} {db}");
    }
    let granularity = Granularity::PerTensor;
    let plain = output_db(&model, &set, &set, Options { granularity, ..Options::plain() });
    let repaired = output_db(&model, &set, &set, Options { granularity, ..Options::default() });
    assert!(plain < 5.0 && repaired > 15.0, "{plain} {repaired}");
}

/// One burnt-out calibration picture must not cost the others their resolution.
#[test]
fn a_picture_far_out_of_range() {
    let model = Model::builtin().unwrap();
    let clean = pictures(&model);
    let mut inputs = clean.inputs().to_vec();
    inputs[17].data_mut().iter_mut().for_each(|v| *v *= 60.0);
    let burnt = CalibrationSet::new(inputs).unwrap();
    let plain = output_db(&model, &burnt, &clean, Options::plain());
    let percentile = Options { calibrator: Calibrator::Percentile, percentile: 98.5, ..Options::default() };
    let repaired = output_db(&model, &burnt, &clean, percentile);
    assert!(plain < 8.0 && repaired > plain + 10.0, "{plain} {repaired}");
}

/// Depthwise and pointwise layers in turn (MobileOne), and GELU with residual sums and token mixers
/// (RepNeXt), with batch norms whose factors differ by decades.
#[test]
fn rough_networks_of_other_families() {
    let mut seen = 0;
    for (name, least) in [("mobileone-s0", 5.0), ("repnext-m0", 4.0)] {
        let model = rough(name, 64, 0.7);
        let input = Shape::new(3, 64, 64);
        let set = CalibrationSet::noise(input, 12, 1).unwrap();
        let test = CalibrationSet::noise(input, 4, 2).unwrap();
        let plain = output_db(&model, &set, &test, Options::plain());
        let repaired = output_db(&model, &set, &test, Options::default());
        assert!(repaired > plain + least, "{name}: {plain} {repaired}");
        seen += 1;
    }
    assert_eq!(seen, 2);
}
