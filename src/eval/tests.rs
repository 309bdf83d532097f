//! Evaluation of the built-in network on the pictures in `tests/data`.

use super::*;
use crate::checkpoint;
use crate::dataset::{ClassIndex, Dataset, Mapping};
use crate::models::{Architecture, Form, Random};
use crate::session::{DeviceChoice, Model, Session};

const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cifar10");
const TRAINED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cifar/S4.safetensors");

fn on_cpu(model: Model, batch: usize) -> Session {
    let builder = Session::builder().model(model).device(DeviceChoice::Cpu).batch(batch);
    pollster::block_on(builder.load()).unwrap()
}

fn both() -> (Model, Model) {
    let loaded = checkpoint::load_file(TRAINED, Some("qarepvgg-cifar")).unwrap();
    (Model::unfused(loaded.clone()).unwrap(), Model::fused(loaded, false).unwrap())
}

#[test]
fn answers_are_pytorchs_whatever_the_batch() {
    let model = Model::builtin().unwrap();
    let set = Dataset::folder(PICTURES, &ClassIndex::of(&model)).unwrap();
    assert_eq!((set.samples().len(), set.mapping()), (100, Mapping::Labels));
    let mut tallies = Vec::new();
    for batch in [1, 7, 100] {
        let mut done = 0;
        let mut count = |_: Progress<'_>| done += 1;
        let found = evaluate(&mut on_cpu(model.clone(), batch), None, &set, &mut count).unwrap();
        assert_eq!((found.first.all().top1, found.first.all().total, done), (86, 100, 100));
        assert!(found.second.is_none() && found.unreadable.is_empty());
        assert!(found.speed.pictures == 100 && found.speed.network.len() == 1 && found.speed.wall > 0.0);
        tallies.push(found.first);
    }
    assert!(tallies.iter().all(|tally| *tally == tallies[0]));
}

#[test]
fn training_form_and_fused_form_agree_and_a_damaged_one_does_not() {
    let (train, fused) = both();
    let set = Dataset::folder(PICTURES, &ClassIndex::of(&fused)).unwrap();
    let [mut first, mut second] = [fused, train.clone()].map(|model| on_cpu(model, 16));
    let found = evaluate(&mut first, Some(&mut second), &set, &mut |_| {}).unwrap();
    let (tally, paired, agreement) = found.second.unwrap();
    assert_eq!((tally.all().top1, paired), (86, Paired { both: 86, neither: 14, ..Paired::default() }));
    assert_eq!((agreement.samples, agreement.same_top1), (100, 100));
    assert!(agreement.max_abs > 0.0 && agreement.max_rel() < 1e-5, "{agreement:?}");

    // ImageNet's mean instead of CIFAR's: 83 of 100, as PyTorch counts.
    let mut details = train.details().clone();
    details.preprocess.mean = [0.485, 0.456, 0.406];
    details.preprocess.std = [0.229, 0.224, 0.225];
    let mut damaged = on_cpu(Model::unfused(details).unwrap(), 16);
    let (tally, paired, agreement) =
        evaluate(&mut first, Some(&mut damaged), &set, &mut |_| {}).unwrap().second.unwrap();
    assert_eq!(tally.all().top1, 83);
    assert_eq!(paired.difference(), -0.03);
    assert!(agreement.same_top1 < 100 && agreement.max_rel() > 1e-2, "{agreement:?}");
    let pictures: Vec<_> = set.samples().iter().map(|sample| sample.path.clone()).collect();
    let (alone, _) = super::agreement(&mut first, &mut damaged, &pictures, &mut |_| {}).unwrap();
    assert_eq!(alone, agreement);
}

#[test]
fn what_cannot_be_read_is_left_out_and_named() {
    let root = tempfile::tempdir().unwrap();
    let cat = root.path().join("cat");
    std::fs::create_dir(&cat).unwrap();
    std::fs::write(cat.join("bad.png"), "no picture").unwrap();
    let model = Model::builtin().unwrap();
    let classes = ClassIndex::of(&model);
    let mut session = on_cpu(model, 4);
    let set = Dataset::folder(root.path(), &classes).unwrap();
    let error = evaluate(&mut session, None, &set, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("no picture can be read, 1 tried") && error.contains("bad.png"), "{error}");
    std::fs::copy(format!("{PICTURES}/cat/{}", any(&format!("{PICTURES}/cat"))), cat.join("good.png")).unwrap();
    let set = Dataset::folder(root.path(), &classes).unwrap();
    let mut named = Vec::new();
    let mut note = |progress: Progress<'_>| {
        if let Progress::Unreadable(bad) = progress {
            named.push(bad.path.clone());
        }
    };
    let found = evaluate(&mut session, None, &set, &mut note).unwrap();
    assert_eq!((found.first.all().total, found.unreadable.len(), found.speed.pictures), (1, 1, 1));
    assert_eq!(named, [cat.join("bad.png")]);
}

fn any(dir: &str) -> String {
    std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().file_name().to_string_lossy().into_owned()
}

#[test]
fn networks_of_other_classes_are_not_compared() {
    let builtin = Model::builtin().unwrap();
    let set = Dataset::folder(PICTURES, &ClassIndex::of(&builtin)).unwrap();
    let seven = Architecture::named("repvgg-cifar").unwrap().with_classes(7);
    let mut details = builtin.details().clone();
    (details.graph, details.labels) = (seven.build(Form::Fused, &mut Random::new(0)).unwrap(), None);
    let (mut first, mut second) = (on_cpu(builtin, 1), on_cpu(Model::unfused(details).unwrap(), 1));
    let error = evaluate(&mut first, Some(&mut second), &set, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("10 classes") && error.contains("has 7;"), "{error}");
}
