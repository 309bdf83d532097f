//! Many sessions on one device, sessions on several threads, runs that nobody waits for. What is asked of each is
//! the answer that it gives alone, to the bit: nothing of one run may get into another.
//!
//! On Vulkan alone: wgpu panics when two threads use a GL device and one waits for a second.

mod device;

use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Waker};
use std::thread;

use foveate::gpu::{GpuContext, GpuExecutor, PipelineCache, Watch};
use foveate::kernels::{Choices, MAX_TOP};
use foveate::{
    Answer, DeviceChoice, DeviceInfo, Error, Features, Flight, Graph, Landed, Model, OnRebuild, Picture, Precision,
    Preprocess, Session, SessionBuilder, Tensor, Top, wgpu,
};
use pollster::block_on;

/// What the documentation promises of types, for whom the compiler asks.
#[test]
fn what_may_change_threads_may() {
    fn anywhere<T: Send + Sync + 'static>() {}
    anywhere::<(Session, SessionBuilder, Model, Graph, Picture, Preprocess, Tensor)>();
    anywhere::<(Answer, Top, Features, Landed, DeviceInfo, DeviceChoice, Precision, Error)>();
    anywhere::<(GpuContext, GpuExecutor, PipelineCache, Watch, OnRebuild, Choices)>();
    fn moves<T: Send + 'static>() {}
    moves::<Flight>();
    // And futures, which executors with several threads ask for.
    fn sent<T: Send>(future: T) -> T {
        future
    }
    let picture = pictures().remove(0);
    let future = sent(async {
        let mut session = sent(Session::builder().device(DeviceChoice::Cpu).load()).await?;
        sent(session.run(&picture)).await?;
        sent(session.run_tensor(&Tensor::zeros([1, 3, 32, 32]))).await?;
        let flight = session.submit(std::slice::from_ref(&picture), 3)?;
        sent(flight.wait()).await?;
        sent(session.classify(&picture, 5)).await
    });
    assert_eq!(block_on(future).unwrap().len(), 5);
}

fn pictures() -> Vec<Picture> {
    let noise = |seed: u32| {
        let bytes = (0..40 * 30 * 4).map(|i: u32| (i.wrapping_mul(seed) >> 7) as u8).collect();
        Picture::from_rgba(40, 30, bytes).unwrap()
    };
    [2_654_435_761, 40_503, 97_531, 1_000_003].map(noise).into()
}

fn vulkan() -> Option<&'static GpuContext> {
    let found = device::contexts().iter().find(|context| context.summary().backend != "gl");
    assert!(found.is_some() || device::contexts().is_empty(), "no device but GL's");
    found
}

/// Different networks, and different kernels for one.
fn builders() -> Vec<SessionBuilder> {
    let files = ["repvgg_tiny", "mobileone_tiny"].map(|name| {
        let path = format!("{}/tests/data/golden/{name}.train.safetensors", env!("CARGO_MANIFEST_DIR"));
        Session::builder().file(path)
    });
    let mut builders =
        vec![Session::builder(), Session::builder().precision(Precision::W8), Session::builder().untuned()];
    builders.extend(files);
    builders
}

fn on(context: &GpuContext, builder: SessionBuilder) -> Session {
    block_on(builder.wgpu(context.device().clone(), context.queue().clone()).load()).unwrap()
}

fn run(session: &mut Session, picture: &Picture) -> Vec<f32> {
    block_on(session.run(picture)).unwrap().logits().to_vec()
}

/// Each network's logits of each picture, from sessions that are alone.
fn alone(context: &GpuContext) -> Vec<Vec<Vec<f32>>> {
    let answers = |builder| {
        let mut session = on(context, builder);
        let all: Vec<_> = pictures().iter().map(|picture| run(&mut session, picture)).collect();
        assert!(all[0] != all[1] && all[0].len() > 1, "pictures cannot be told apart");
        all
    };
    builders().into_iter().map(answers).collect()
}

#[test]
fn sessions_on_one_device_do_not_meet() {
    let Some(context) = vulkan() else { return };
    let (expected, pictures) = (alone(context), pictures());
    let mut sessions: Vec<Session> =
        builders().into_iter().chain(builders()).map(|builder| on(context, builder)).collect();
    assert!(sessions.len() >= 8);
    // One after the other, and then with runs of all of them under way at once, which end in another order.
    for (at, session) in sessions.iter_mut().enumerate() {
        assert_eq!(run(session, &pictures[at % 4]), expected[at % expected.len()][at % 4]);
    }
    for round in 0..3 {
        let mut flights: Vec<(usize, usize, Flight)> = Vec::new();
        for (at, session) in sessions.iter_mut().enumerate() {
            for picture in [(at + round) % 4, (at + round + 1) % 4] {
                flights.push((at, picture, session.submit(&pictures[picture..=picture], MAX_TOP + 1).unwrap()));
            }
        }
        let half = flights.len() / 2;
        flights.rotate_left(half);
        for (at, picture, flight) in flights.into_iter().rev() {
            let answers = block_on(flight.answers()).unwrap();
            assert_eq!(answers[0].logits(), expected[at % expected.len()][picture], "session {at}, picture {picture}");
        }
    }
}

#[test]
fn threads_share_a_device() {
    let Some(context) = vulkan() else { return };
    let (expected, pictures) = (&alone(context), &pictures());
    let start = &Barrier::new(expected.len());
    thread::scope(|scope| {
        for (network, builder) in builders().into_iter().enumerate() {
            scope.spawn(move || {
                start.wait();
                let mut session = on(context, builder);
                for frame in 0..40 {
                    let picture = (frame + network) % 4;
                    assert_eq!(run(&mut session, &pictures[picture]), expected[network][picture], "frame {frame}");
                }
            });
        }
    });
}

#[test]
fn a_session_and_its_runs_go_from_thread_to_thread() {
    let Some(context) = vulkan() else { return };
    let (expected, pictures) = (&alone(context)[0], &pictures());
    let mut session = on(context, Session::builder());
    for picture in 0..4 {
        let flight = session.submit(&pictures[picture..=picture], MAX_TOP + 1).unwrap();
        // The run ends on one thread, while another has the session and starts the next.
        session = thread::scope(|scope| {
            let other = scope.spawn(move || {
                assert_eq!(run(&mut session, &pictures[3 - picture]), expected[3 - picture]);
                session
            });
            let ended = scope.spawn(|| block_on(flight.answers()).unwrap());
            assert_eq!(ended.join().unwrap()[0].logits(), expected[picture]);
            other.join().unwrap()
        });
    }
}

#[test]
fn a_session_may_go_before_its_runs_and_runs_before_they_are_done() {
    let Some(context) = vulkan() else { return };
    let (expected, pictures) = (&alone(context)[0], &pictures());
    let mut session = on(context, Session::builder());
    // More than there are buffers for; nobody waits for them.
    for _ in 0..20 {
        drop(session.submit(&pictures[..1], 3).unwrap());
        drop(session.submit(&pictures[1..2], MAX_TOP + 1).unwrap());
    }
    assert_eq!(run(&mut session, &pictures[2]), expected[2]);
    let flights: Vec<Flight> = (0..4).map(|at| session.submit(&pictures[at..=at], MAX_TOP + 1).unwrap()).collect();
    let forgotten = session.submit(&pictures[..1], 3).unwrap();
    drop(session);
    for (at, flight) in flights.into_iter().enumerate() {
        assert_eq!(block_on(flight.answers()).unwrap()[0].logits(), expected[at]);
    }
    drop(forgotten);
    assert_eq!(run(&mut on(context, Session::builder()), &pictures[3]), expected[3]);
}

/// Natively a future waits for the device when it is polled, so that it is hardly ever left half way by one thread:
/// another that polls the device meanwhile makes it so.
#[test]
fn a_run_that_is_dropped_half_way_spoils_no_other() {
    let Some(context) = vulkan() else { return };
    let (expected, pictures) = (&alone(context)[0], &pictures());
    let mut waker = Context::from_waker(Waker::noop());
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = context.device().poll(wgpu::PollType::Poll);
            }
        });
        // Set however this ends, or the other thread would not.
        let stop = Stop(&done);
        let mut session = on(context, Session::builder());
        let mut halves = 0;
        for frame in 0..60 {
            let picture = frame % 4;
            if frame % 3 == 0 {
                // Never polled at all.
                drop(session.run(&pictures[picture]));
            }
            {
                let mut future = pin!(session.classify(&pictures[picture], 3));
                halves += usize::from(future.as_mut().poll(&mut waker).is_pending());
            }
            {
                let mut future = pin!(session.features(&pictures[picture]));
                assert!(future.as_mut().poll(&mut waker).is_ready(), "it keeps no features");
            }
            assert_eq!(run(&mut session, &pictures[picture]), expected[picture], "frame {frame}");
        }
        println!("{halves} of 60 runs were left half way");
        drop(stop);
    });
    // Loading, too.
    let builder = || Session::builder().wgpu(context.device().clone(), context.queue().clone());
    drop(builder().load());
    let _ = pin!(builder().load()).as_mut().poll(&mut waker);
    assert_eq!(run(&mut on(context, Session::builder()), &pictures[0]), expected[0]);
}

struct Stop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// The loss of a device reaches each session that borrowed it, on whatever thread, and a run that is under way.
#[test]
fn all_sessions_of_a_device_hear_of_its_loss() {
    if vulkan().is_none() {
        return;
    }
    let context = device::fresh().unwrap();
    let picture = &pictures()[0];
    let mut sessions: Vec<Session> = (0..3).map(|_| on(&context, Session::builder())).collect();
    let flights: Vec<Flight> =
        sessions.iter_mut().map(|session| session.submit(std::slice::from_ref(picture), 3).unwrap()).collect();
    context.device().destroy();
    let lost = |error: Option<Error>| assert!(matches!(error, Some(Error::DeviceLost { .. })), "{error:?}");
    thread::scope(|scope| {
        for (mut session, flight) in sessions.into_iter().zip(flights) {
            scope.spawn(move || {
                // It may have been done before.
                if let Err(error) = block_on(flight.wait()) {
                    lost(Some(error));
                }
                lost(block_on(session.run(picture)).err());
                lost(block_on(session.classify(picture, 3)).err());
            });
        }
    });
}

#[test]
fn threads_share_the_processor() {
    let pictures = &pictures();
    let files = &builders();
    let load = |builder: &SessionBuilder| block_on(builder.clone().device(DeviceChoice::Cpu).load()).unwrap();
    thread::scope(|scope| {
        for builder in files {
            scope.spawn(move || {
                let mut session = load(builder);
                let expected: Vec<_> = pictures.iter().map(|picture| run(&mut session, picture)).collect();
                thread::scope(|scope| {
                    for first in 0..2 {
                        let expected = &expected;
                        scope.spawn(move || {
                            let mut session = load(builder);
                            for frame in 0..12 {
                                let picture = (frame + first) % 4;
                                assert_eq!(run(&mut session, &pictures[picture]), expected[picture], "frame {frame}");
                            }
                        });
                    }
                });
            });
        }
    });
}
