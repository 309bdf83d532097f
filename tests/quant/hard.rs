//! Networks that plain 8 bits break and the default repairs.

use foveate::Model;
use foveate::ops::Op;
use foveate::quant::{CalibrationSet, Calibrator, Granularity, Options, Part};

use crate::support::*;

/// The network with channels scaled behind every layer and scaled back before the next: the same function, ranges spread
/// over decades.
fn scaled_channels(model: &Model, roughness: f32) -> Model {
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
        let &[rows, columns, height, width] = graph.params().shape(next.weight) else { panic!("no convolution") };
        let channel = |at: usize| {
            let (row, column) = (at / (columns * height * width), at / (height * width) % columns);
            row / (rows / next.groups) * columns + column
        };
        scale(&mut graph, next.weight, |at| 1.0 / factors[channel(at)]);
        layers += 1;
    }
    assert!(layers >= 5, "{layers}");
    like(model, graph)
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
    let model = scaled_channels(&Model::builtin().unwrap(), 1.5);
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

/// One glaring pixel in one calibration picture must not cost all others their resolution. By the largest magnitude the
/// step of the input, 400 / 127, is beyond all other values, and what is left of them is no picture; by default the
/// network is still within what `analyze` calls bearable, noise of a hundredth of the signal.
#[test]
fn a_pixel_far_out_of_range() {
    let model = Model::builtin().unwrap();
    let clean = pictures(&model);
    let mut inputs = clean.inputs().to_vec();
    inputs[17].data_mut()[16 * 32 + 16] = 400.0;
    let glaring = CalibrationSet::new(inputs).unwrap();
    let of = |options: Options| output_db(&model, &glaring, &clean, options);
    let (plain, repaired) = (of(Options::plain()), of(Options::default()));
    assert!(plain < foveate::analyze::BUDGET_DB && repaired > foveate::analyze::BUDGET_DB, "{plain} {repaired}");
}

/// What MobileOne is known for: depthwise and pointwise layers in turn, without a sum between them, so that nothing
/// holds channels' ranges together, and some channels dead. Here on top of what training left, factors of two decades,
/// and every seventh channel dead. Equalisation sees the same network whatever the factors are, so it may leave at most
/// twice the noise (3 dB) that it leaves without them.
#[test]
fn a_trained_mobileone_whose_channels_are_decades_apart() {
    let model = mobileone();
    let set = pictures(&model);
    let of = |model: &Model, options: Options| output_db(model, &set, &set, options);
    let (smooth, wild) = (with_dead_channels(&model), scaled_channels(&with_dead_channels(&model), 1.5));
    let expected = of(&smooth, Options::default());
    let (plain, repaired) = (of(&wild, Options::plain()), of(&wild, Options::default()));
    assert!(plain < foveate::analyze::BUDGET_DB && repaired > expected - 3.0, "{plain} {repaired} {expected}");
    assert!(expected > foveate::analyze::BUDGET_DB, "{expected}");
    let (same, plain) = (same_answers(&wild, &set, Options::default()), same_answers(&wild, &set, Options::plain()));
    assert!(same > plain + 10, "{plain} {same}");
}

/// With weights and bias of every seventh channel zero in every depthwise layer.
fn with_dead_channels(model: &Model) -> Model {
    let mut graph = model.graph().clone();
    let mut layers = 0;
    for id in graph.ids() {
        let Op::Conv2d(conv) = graph.node(id).op.clone() else { continue };
        let channels = graph.node(id).shape.channels;
        if conv.groups == channels {
            let per_row = graph.params().tensor(conv.weight).len() / channels;
            let factor = |c: usize| if c % 7 == 3 { 0.0 } else { 1.0 };
            scale(&mut graph, conv.weight, |at| factor(at / per_row));
            scale(&mut graph, conv.bias.unwrap(), factor);
            layers += 1;
        }
    }
    assert_eq!(layers, 8);
    like(model, graph)
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
