//! Networks that plain 8 bits break and the default repairs.

use foveate::Model;
use foveate::ops::Op;
use foveate::quant::{CalibrationSet, Calibrator, Granularity, Options, Part};

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

/// One glaring pixel in one calibration picture must not cost all others their resolution.
#[test]
fn a_pixel_far_out_of_range() {
    let model = Model::builtin().unwrap();
    let clean = pictures(&model);
    let mut inputs = clean.inputs().to_vec();
    inputs[17].data_mut()[16 * 32 + 16] = 400.0;
    let glaring = CalibrationSet::new(inputs).unwrap();
    let plain = output_db(&model, &glaring, &clean, Options::plain());
    let options = Options { calibrator: Calibrator::Percentile, percentile: 99.8, ..Options::default() };
    let repaired = output_db(&model, &glaring, &clean, options);
    assert!(plain < 12.0 && repaired > plain + 8.0, "{plain} {repaired}");
}

/// Every family: depthwise and pointwise layers in turn (MobileOne), squeeze-and-excitation, GELU
/// with residual sums and token mixers (RepNeXt), with batch norms whose factors differ by decades.
#[test]
fn rough_networks_of_every_family() {
    let mut gains = Vec::new();
    for name in TINY {
        let model = rough(name, 1.0);
        let input = model.graph().input_shape();
        let set = CalibrationSet::noise(input, 12, 1).unwrap();
        let test = CalibrationSet::noise(input, 4, 2).unwrap();
        let plain = output_db(&model, &set, &test, Options::plain());
        let repaired = output_db(&model, &set, &test, Options::default());
        gains.push((name, plain, repaired));
    }
    assert_eq!(gains.len(), TINY.len());
    assert!(gains.iter().all(|(_, plain, repaired)| repaired > plain), "{gains:?}");
    let mean = gains.iter().map(|(_, plain, repaired)| repaired - plain).sum::<f64>() / gains.len() as f64;
    assert!(mean > 5.0, "{mean} {gains:?}");
}
