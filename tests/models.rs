//! Architectures and named variants: structure, published sizes, random weights.

#[path = "models/sizes.rs"]
mod sizes;

use foveate::models::{self, Architecture, Form, ParamSource, Random, Role, Zeros};
use foveate::ops::Op;
use foveate::{Error, Graph, Shape, Tensor};

fn build(name: &str, form: Form) -> Graph {
    Architecture::named(name).unwrap().build(form, &mut Zeros).unwrap()
}

#[test]
fn every_variant_builds_in_both_forms() {
    let mut count = 0;
    for name in models::names() {
        for form in [Form::Train, Form::Fused] {
            let graph = build(name, form);
            let cifar = name.ends_with("-cifar");
            let (side, classes) = if cifar { (32, 10) } else { (224, 1000) };
            assert_eq!(graph.name, name);
            assert_eq!(graph.input_shape(), Shape::new(3, side, side), "{name}");
            assert_eq!(graph.node(graph.output()).shape, Shape::new(classes, 1, 1), "{name}");
            let taps: Vec<&str> = graph.taps().iter().map(|(tap, _)| tap.as_str()).collect();
            let stages = if cifar { 4 } else { 5 };
            assert_eq!(taps, ["stage0", "stage1", "stage2", "stage3", "stage4"][..stages], "{name}");
            let last = graph.node(graph.taps()[stages - 1].1).shape;
            assert_eq!((last.height, last.width), if cifar { (4, 4) } else { (7, 7) }, "{name}");
            let norms = graph.nodes().iter().any(|node| matches!(node.op, Op::BatchNorm(_)));
            assert_eq!(norms, form == Form::Train || name.starts_with("repnext"), "{name} {form:?}");
        }
        count += 1;
    }
    assert_eq!(count, 44);
}

#[test]
fn every_node_and_parameter_has_a_name_of_its_own() {
    for name in ["repvgg-d2se", "qarepvgg-a0", "repnext-m0", "repnext-m0e", "mobileone-s0", "mobileone-s4"] {
        for form in [Form::Train, Form::Fused] {
            let graph = build(name, form);
            let params: Vec<_> = graph.params().iter().map(|(_, p)| p.clone()).collect();
            let (nodes, taps) = (graph.nodes().to_vec(), graph.taps().to_vec());
            let again = Graph::from_parts(name, nodes, params, graph.output(), taps).unwrap();
            assert!(again == graph, "{name}");
        }
    }
}

/// The authors' CIFAR-100 log of M0E states `n_parameters`: exact, training form, two heads.
#[test]
fn the_single_branch_form_has_exactly_the_parameters_of_the_authors_log() {
    let model = Architecture::named("repnext-m0e").unwrap().with_classes(100);
    let graph = model.build(Form::Train, &mut Zeros).unwrap();
    assert_eq!(graph.parameter_count(), 2_298_620);
}

/// Records what a builder asks for.
#[derive(Default)]
struct Record(Vec<(String, Role, Vec<usize>)>);

impl ParamSource for Record {
    fn tensor(&mut self, name: &str, role: Role, shape: &[usize]) -> foveate::Result<Tensor> {
        self.0.push((name.to_owned(), role, shape.to_vec()));
        Zeros.tensor(name, role, shape)
    }
}

#[test]
fn builders_ask_by_official_names_with_the_right_roles() {
    let mut record = Record::default();
    Architecture::named("mobileone-s4").unwrap().build(Form::Train, &mut record).unwrap();
    let asked =
        |name: &str| record.0.iter().find(|(asked, ..)| asked == name).map(|(_, role, shape)| (*role, shape.clone()));
    assert_eq!(asked("stage3.10.se.reduce.weight"), Some((Role::Weight, vec![56, 896, 1, 1])));
    assert_eq!(asked("stage3.9.se.reduce.weight"), None);
    assert_eq!(asked("stage4.0.rbr_scale.conv.weight"), Some((Role::Weight, vec![896, 1, 1, 1])));
    assert_eq!(asked("stage4.1.rbr_conv.0.bn.running_var"), Some((Role::Variance, vec![2048])));
    assert_eq!(asked("stage4.1.rbr_skip.weight"), None);
    assert_eq!(asked("stage2.3.rbr_skip.weight"), Some((Role::Gamma, vec![448])));
    assert_eq!(asked("linear.bias"), Some((Role::Bias, vec![1000])));
}

#[test]
fn grouped_variants_have_groups_on_even_layers_only() {
    let graph = build("repvgg-b1g4", Form::Fused);
    let groups = |name: &str| match &graph.node(graph.find(name).unwrap()).op {
        Op::Conv2d(conv) => conv.groups,
        other => panic!("{name} is {}", other.name()),
    };
    assert_eq!(groups("stage0.rbr_reparam"), 1);
    assert_eq!([groups("stage1.0.rbr_reparam"), groups("stage1.1.rbr_reparam")], [1, 4]);
    assert_eq!([groups("stage2.0.rbr_reparam"), groups("stage2.1.rbr_reparam")], [1, 4]);
    assert_eq!([groups("stage3.15.rbr_reparam"), groups("stage4.0.rbr_reparam")], [4, 1]);
}

#[test]
fn random_networks_depend_on_the_seed() {
    let [a, b, c] = [(1, "repnext-m0"), (1, "repnext-m0"), (2, "repnext-m0")]
        .map(|(seed, name)| models::random(name, seed).unwrap());
    assert!(a == b && a != c);
    assert!(matches!(models::random("resnet-50", 0), Err(Error::UnknownModel { .. })));
}

#[test]
fn preprocessing_is_that_of_the_published_weights() {
    let crop = |name| {
        let model = Architecture::named(name).unwrap();
        model.preprocess.validate().unwrap();
        (model.preprocess.resize.shorter, format!("{:?}", model.preprocess.resize.filter), model.preprocess.crop)
    };
    assert_eq!(crop("repvgg-b1g4"), (256, "Bilinear".into(), [224, 224]));
    assert_eq!(crop("mobileone-s0"), (256, "Bilinear".into(), [224, 224]));
    assert_eq!(crop("mobileone-s3"), (248, "Bilinear".into(), [224, 224]));
    assert_eq!(crop("repnext-m2"), (256, "Bicubic".into(), [224, 224]));
    assert_eq!(crop("qarepvgg-cifar"), (32, "Bilinear".into(), [32, 32]));
}

#[test]
fn class_names_are_known_and_dropped_with_another_head() {
    let model = Architecture::named("repvgg-cifar").unwrap();
    assert_eq!(model.labels.as_ref().unwrap()[9], "truck");
    assert_eq!(model.clone().with_classes(10), model);
    assert_eq!(model.with_classes(7).labels, None);
    let model = Architecture::named("repvgg-a0").unwrap();
    assert_eq!(model.labels.as_ref().unwrap()[281], "tabby");
    assert_eq!(model.with_classes(21841).labels, None);
}

#[test]
fn a_configuration_that_makes_no_network_is_an_error() {
    let mut model = Architecture::named("repnext-m0").unwrap();
    let models::Config::RepNext(config) = &mut model.config else { panic!() };
    config.width = 42;
    assert!(matches!(model.build(Form::Train, &mut Random::new(0)), Err(Error::Graph { .. })));
}

/// Root mean square.
fn rms(tensor: &Tensor) -> f32 {
    (tensor.data().iter().map(|v| v * v).sum::<f32>() / tensor.len() as f32).sqrt()
}

#[test]
fn random_networks_keep_activations_of_order_one_once_settled() {
    use foveate::cpu::{CpuExecutor, settle_batch_norms};
    let mut checked = 0;
    for name in ["repvgg-a0", "qarepvgg-a0", "repnext-m0", "repnext-m0e", "mobileone-s0", "mobileone-s4"] {
        let mut graph = models::random(name, 3).unwrap().with_input(Shape::new(3, 64, 96)).unwrap();
        let input = Random::new(5).tensor("input", Role::Weight, &[2, 3, 64, 96]).unwrap();
        let scale = rms(&input).recip();
        let input = Tensor::new([2, 3, 64, 96], input.data().iter().map(|v| v * scale).collect::<Vec<_>>()).unwrap();
        settle_batch_norms(&mut graph, &input).unwrap();
        let taps: Vec<_> = graph.taps().iter().map(|(_, id)| *id).collect();
        let (logits, stages) = CpuExecutor::new(graph).unwrap().run_with(&input, &taps).unwrap();
        for (what, value) in stages.iter().map(|s| ("stage", s)).chain([("logits", &logits)]) {
            let rms = rms(value);
            assert!((0.1..10.0).contains(&rms), "{name} {what}: {rms}");
            checked += 1;
        }
    }
    assert_eq!(checked, 6 * 6);
}
