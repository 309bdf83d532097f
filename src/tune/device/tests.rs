//! Candidates on a real device (Mesa's software driver): what is right passes, what is wrong does not.

use pollster::block_on;

use super::super::space::Space;
use super::*;
use crate::gpu::{Backend, DeviceRequest, select_adapter};
use crate::kernels::{Choices, Target};
use crate::plan::Plan;
use crate::{DeviceChoice, Model, Session};

/// The software driver (llvmpipe, or what `TEST_ADAPTER` names); without it the caller's test is skipped, with `REQUIRE_GPU=1` that is a failure.
fn context() -> Option<GpuContext> {
    open(cfg!(target_os = "linux").then_some(Backend::Vulkan))
}

fn open(backend: Option<Backend>) -> Option<GpuContext> {
    let opened = block_on(async {
        let named = std::env::var("TEST_ADAPTER").unwrap_or_else(|_| "llvmpipe".to_owned());
        let choice = select_adapter(&DeviceRequest::Named(named), backend).await?;
        GpuContext::request(&choice).await
    });
    if let Err(error) = &opened {
        assert!(std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1").then_some(()).is_none(), "REQUIRE_GPU=1, {error}");
        eprintln!("\n*** GPU TEST SKIPPED: {error} ***\n");
    }
    opened.ok()
}

const BOUND: f64 = 5e-5;

/// The steps of a unit, run on their own, compute what the CPU does.
fn check(context: &GpuContext, reference: &Reference, what: &str, unit: Unit) {
    let entry = Entry { stage: 0, steps: unit.excerpt.plan.steps.clone(), timed: None };
    let stage = block_on(Stage::new(context, unit, reference, false)).unwrap();
    let mut timer = DeviceTimer::new(vec![stage], vec![entry], BOUND, Instant::now());
    match block_on(timer.prepare(0)).unwrap() {
        Prepared::Ready { .. } => {}
        Prepared::Rejected(reason) => panic!("{what}: {reason}"),
    }
    assert!(!block_on(timer.run(0, 3)).unwrap().is_zero());
}

/// Every tile's and every kernel's steps: of networks whose values lie in several pieces and under several
/// layouts too.
#[test]
fn every_unit_of_a_network_can_be_checked_and_is_right() {
    let Some(context) = context() else { return };
    let (mut tiles, mut kernels) = (0, 0);
    for (name, batch) in [("repnext-m0", 1), ("repnext-m1", 3), ("mobileone-s0", 1)] {
        let model = Model::random(name, 1, false).unwrap().with_input_size(64, 64).unwrap();
        for target in [Target::default(), Target::software()] {
            let space = Space::new(model.graph(), batch, &target).unwrap();
            let reference = Reference::new(model.graph(), batch, 0).unwrap();
            for choice in space.tiles {
                // One of each kernel and position: the rest differ in sizes only.
                if tiles % 3 == 0 || choice.unit.excerpt.plan.steps.len() > 1 {
                    check(&context, &reference, &format!("{name}, {}", choice.key), choice.unit);
                }
                tiles += 1;
            }
            for choice in space.kernels {
                assert!(choice.options.len() > 1, "{}: only {:?}", choice.decision.key, choice.decision.options);
                for (option, unit) in choice.options.into_iter().take(3) {
                    if kernels % 2 == 0 {
                        check(&context, &reference, &format!("{name}, {}: {option}", choice.decision.key), unit);
                    }
                    kernels += 1;
                }
            }
        }
    }
    assert!(tiles > 20 && kernels > 10, "{tiles} tiles, {kernels} kernels");
}

/// Every kernel that computes a layer, on every shape that the networks have (maps of a picture of 64², all
/// channels), on each software driver, planned for GPUs and for it. One to three minutes of processor time for a
/// network, hours for all:
/// `NETWORKS=repvgg-a0,repnext-m1 cargo test --lib every_shape -- --ignored --nocapture`, or `NETWORKS=all`.
///
/// On another driver, whose loops are written out: `VK_DRIVER_FILES=/usr/lib/chromium/vk_swiftshader_icd.json
/// TEST_ADAPTER=swiftshader` before it.
#[test]
#[ignore = "takes minutes for each network; NETWORKS names them"]
fn every_kernel_computes_every_shape_of_the_networks() {
    let named = std::env::var("NETWORKS").expect("NETWORKS: `all`, or names with commas between them");
    let all = || crate::models::names().map(str::to_owned).collect::<Vec<_>>();
    let names = if named == "all" { all() } else { named.split(',').map(str::to_owned).collect() };
    sweep(names, &[Backend::Vulkan, Backend::Gl]);
}

/// The cheapest slice of it.
#[test]
#[cfg(target_os = "linux")]
fn every_kernel_computes_every_shape_of_one_network() {
    if context().is_some() {
        sweep(vec!["mobileone-s0".to_owned()], &[Backend::Vulkan]);
    }
}

fn sweep(names: Vec<String>, backends: &[Backend]) {
    let mut seen = BTreeSet::new();
    for name in names {
        let model = Model::random(&name, 1, false).unwrap().with_input_size(64, 64).unwrap();
        let reference = Reference::new(model.graph(), 1, 0).unwrap();
        for backend in backends {
            let Some(context) = open(Some(*backend)) else { continue };
            let mut checked = 0;
            for target in [Target::default(), context.target()] {
                let space = Space::new(model.graph(), 1, &target).unwrap();
                let decided = space.kernels.into_iter().flat_map(|choice| {
                    let key = choice.decision.key;
                    choice.options.into_iter().map(move |(option, unit)| (format!("{key}: {option}"), unit))
                });
                let units: Vec<_> = decided.chain(space.tiles.into_iter().map(|tile| (tile.key, tile.unit))).collect();
                for (key, unit) in units {
                    if seen.insert((backend.to_string(), key.clone())) {
                        check(&context, &reference, &format!("{name}, {backend}, {key}"), unit);
                        checked += 1;
                    }
                }
            }
            eprintln!("{name}, {backend}: {checked} that no network before had");
        }
    }
    assert!(seen.len() > 20, "{}", seen.len());
}

#[test]
fn a_planted_wrong_candidate_is_rejected() {
    let Some(context) = context() else { return };
    let model = Model::builtin().unwrap();
    let space = Space::new(model.graph(), 1, &Target::software()).unwrap();
    let reference = Reference::new(model.graph(), 1, 0).unwrap();
    let choice = space.tiles.into_iter().find(|choice| choice.key.starts_with("conv ")).unwrap();
    let right = choice.unit.excerpt.plan.steps.clone();
    // Another activation, another padding, rows that are left out: each is a constant's or the grid's fault.
    let constant = |name: &str| right[choice.at].kernel.constants.iter().position(|known| *known == name).unwrap();
    let mut wrong = vec![right.clone(); 3];
    wrong[0][choice.at].constants[constant("ACTIVATION")] ^= 1;
    wrong[1][choice.at].constants[constant("PADDING_X")] = 0;
    wrong[2][choice.at].grid[1] -= 1;
    let entries = std::iter::once(right).chain(wrong).map(|steps| Entry { stage: 0, steps, timed: Some(choice.at) });
    let entries: Vec<Entry> = entries.collect();
    let stage = block_on(Stage::new(&context, choice.unit, &reference, false)).unwrap();
    let mut timer = DeviceTimer::new(vec![stage], entries, BOUND, Instant::now());
    assert!(matches!(block_on(timer.prepare(0)).unwrap(), Prepared::Ready { .. }));
    for candidate in 1..4 {
        match block_on(timer.prepare(candidate)).unwrap() {
            Prepared::Rejected(reason) => assert!(reason.contains("relative") || reason.contains("NaN"), "{reason}"),
            Prepared::Ready { .. } => panic!("candidate {candidate} is wrong"),
        }
    }
}

/// While loading, with hardly any time: what comes of it is planned with, and says the same.
#[test]
fn a_session_can_tune_itself() {
    let Some(context) = context() else { return };
    let backend = if cfg!(target_os = "linux") { Backend::Vulkan } else { Backend::Metal };
    let builder = || Session::builder().device(DeviceChoice::Named("llvmpipe".to_owned())).backend(backend);
    let input = crate::Tensor::full([1, 3, 32, 32], 0.3);
    let run = |builder: crate::SessionBuilder| {
        let mut session = block_on(builder.load()).unwrap();
        let output = block_on(session.run_tensor(&input)).unwrap();
        (output, session.choices().clone(), session.device().to_string())
    };
    let (untuned, none, said) = run(builder().untuned());
    assert!(none.tiles.is_empty() && !said.contains("tuned"), "{said}");
    let (tuned, choices, said) = run(builder().tune(Duration::from_millis(500)));
    // Whether anything wins is the machine's to say.
    let tuned_any = !(choices.tiles.is_empty() && choices.kernels.is_empty());
    assert_eq!(said.contains("tuned: "), tuned_any, "{said}");
    assert_eq!(wrong(tuned.data(), untuned.data(), 1e-5), None);
    let (again, same, _) = run(builder().choices(choices.clone()));
    assert_eq!((again.data(), same), (tuned.data(), choices));
    // Other tiles than the rules', whatever is fastest here.
    let target = Target { choices: Default::default(), ..context.target() };
    let plan = Plan::for_target(Model::builtin().unwrap().graph(), 1, &[], target).unwrap();
    let other = |step: &Step| step.candidates().into_iter().find(|tile| step.tile != Some(*tile));
    let tiles = plan.steps.iter().filter_map(|step| Some((step.key(), other(step)?))).collect();
    let given = Choices { tiles, ..Choices::default() };
    let (output, kept, said) = run(builder().choices(given.clone()));
    assert!(given.tiles.len() > 3 && said.contains("tuned: "), "{given:?}: {said}");
    assert_eq!((wrong(output.data(), untuned.data(), 1e-5), kept), (None, given));
}
