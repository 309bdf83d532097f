//! Preprocessing that is known better than from the variant.

use foveate::checkpoint::{self, LoadOptions};
use foveate::preprocess::{Filter, Preprocess, Resize};
use foveate::{Error, Model, models};

use super::support::data;

const CHECKPOINT: &str = "cifar/S4.safetensors";

fn options(side: u32) -> LoadOptions {
    let resize = Resize { shorter: side + 4, filter: Filter::Bicubic };
    let preprocess = Preprocess { resize, crop: [side; 2], mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6] };
    LoadOptions { arch: Some("qarepvgg-cifar".into()), preprocess: Some(preprocess), use_ema: false }
}

#[test]
fn it_replaces_the_variants_and_sets_the_input_size() {
    let usual = models::Architecture::named("qarepvgg-cifar").unwrap();
    for side in [32, 40] {
        let wanted = options(side).preprocess.unwrap();
        let model = Model::open(data(CHECKPOINT), options(side), true).unwrap();
        assert_eq!(model.preprocess(), &wanted);
        assert_ne!(model.preprocess(), &usual.preprocess);
        let input = model.graph().input_shape();
        assert_eq!([input.channels, input.height, input.width], [3, side as usize, side as usize]);
        assert_eq!(model.labels().map(<[String]>::len), Some(10));
    }
}

#[test]
fn a_model_file_keeps_its_input_size() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/cifar10-qarepvgg.safetensors");
    let model = checkpoint::load_file(file, options(32)).unwrap();
    assert_eq!(Some(model.preprocess), options(32).preprocess);
    let error = checkpoint::load_file(file, options(40)).unwrap_err();
    assert!(matches!(&error, Error::Checkpoint { reason, .. } if reason.contains("40×40")), "{error}");
}

#[test]
fn nonsense_is_refused() {
    for side in [0, 1 << 20] {
        let error = checkpoint::load_file(data(CHECKPOINT), options(side)).unwrap_err();
        assert!(error.to_string().contains("preprocessing"), "{error}");
    }
}
