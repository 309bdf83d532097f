//! Frame after frame the same: no object is made on the device, one submission each, and the heap does
//! not grow. A test program of its own, because it counts every allocation of the process.
//!
//! What is held to what: *our* side makes no object and submits once, exactly. wgpu's own side of a frame
//! (an encoder and its command buffer, staging memory for uploads, error scopes) is made and freed by
//! each frame; it is held to not growing: neither the heap in use, nor wgpu's registries, nor what a
//! frame allocates. Nothing that is as large as a picture is allocated at all.

mod device;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foveate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use foveate::plan::Plan;
use foveate::{Model, Picture, Tensor, wgpu};
use pollster::block_on;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system allocator's; it is only counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        ALLOCATED.fetch_add(layout.size(), Relaxed);
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

const FRAMES: usize = 10;

/// The built-in network, two pictures at a time.
fn executor(context: &GpuContext) -> GpuExecutor {
    let model = Model::builtin().unwrap();
    let plan = Plan::for_target(model.graph(), 2, &[], context.target()).unwrap();
    let preprocess = Some(model.preprocess().clone());
    let options = ExecutorOptions { preprocess, top: true, ..Default::default() };
    block_on(GpuExecutor::new(context, plan, options)).unwrap()
}

fn pictures() -> [Picture; 2] {
    [(640, 480), (64, 48)].map(|(width, height)| {
        let bytes = (0..width * height * 4).map(|i| (i % 251) as u8).collect();
        Picture::from_rgba(width, height, bytes).unwrap()
    })
}

/// A frame of each kind, then three at once.
fn frames(executor: &mut GpuExecutor, pictures: &[Picture], tensor: &Tensor) -> u64 {
    block_on(executor.run_pictures(pictures)).unwrap();
    block_on(executor.top_pictures(pictures)).unwrap();
    block_on(executor.run_tensor(tensor)).unwrap();
    let under_way: Vec<_> = (0..3).map(|_| executor.submit_pictures(pictures).unwrap()).collect();
    under_way.into_iter().for_each(|pending| drop(block_on(pending.wait()).unwrap()));
    6
}

#[test]
fn a_frame_makes_no_object_and_submits_once() {
    let (pictures, tensor) = (pictures(), Tensor::zeros([2, 3, 32, 32]));
    for context in device::contexts() {
        let mut executor = executor(context);
        frames(&mut executor, &pictures, &tensor);
        let before = context.counts();
        assert!(before.objects > 50 && before.submissions > 0, "{before:?}");
        let submitted: u64 = (0..FRAMES).map(|_| frames(&mut executor, &pictures, &tensor)).sum();
        let after = context.counts();
        assert_eq!(after.objects, before.objects, "{}", context.summary());
        assert_eq!(after.submissions, before.submissions + submitted, "{}", context.summary());
        assert_eq!(after.encoders, before.encoders + submitted, "{}", context.summary());
        // The counters do count: a larger picture needs larger buffers.
        let large = Picture::from_rgba(1000, 900, vec![7; 1000 * 900 * 4]).unwrap();
        block_on(executor.run_pictures(&[large])).unwrap();
        assert!(context.counts().objects > after.objects);
    }
}

#[test]
fn the_heap_does_not_grow_from_frame_to_frame() {
    let (pictures, tensor) = (pictures(), Tensor::zeros([2, 3, 32, 32]));
    for context in device::contexts() {
        let mut executor = executor(context);
        let mut block = || {
            ALLOCATED.store(0, Relaxed);
            LARGEST.store(0, Relaxed);
            let done: u64 = (0..FRAMES).map(|_| frames(&mut executor, &pictures, &tensor)).sum();
            assert!(done > 0);
            [LIVE.load(Relaxed), ALLOCATED.load(Relaxed), LARGEST.load(Relaxed)]
        };
        block();
        let [first, second, third] = [block(), block(), block()];
        eprintln!("{}: live, allocated, largest: {first:?} {second:?} {third:?}", context.summary());
        // A queue of wgpu's may double now and then.
        assert!(third[0] <= first[0] + (8 << 10), "{}: {first:?} {second:?} {third:?}", context.summary());
        assert!(third[1] <= first[1] + first[1] / 20, "{}: {first:?} {second:?} {third:?}", context.summary());
        let picture = pictures[0].rgba().len();
        assert!(third[2] < picture / 8, "{}: an allocation of {} bytes", context.summary(), third[2]);
    }
}

/// wgpu's own registries, besides our counters.
#[test]
fn wgpu_keeps_no_more_objects_after_many_frames() {
    if device::contexts().is_empty() {
        return;
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapters = block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let Some(adapter) = adapters.into_iter().next() else { return };
    let (device, queue) = block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    let context = GpuContext::from_device(device, queue);
    let mut executor = executor(&context);
    let (pictures, tensor) = (pictures(), Tensor::zeros([2, 3, 32, 32]));
    let kept = || {
        let hub = instance.generate_report().unwrap().hub;
        let registries = [hub.buffers, hub.textures, hub.bind_groups, hub.compute_pipelines, hub.command_buffers];
        registries.map(|registry| registry.num_allocated)
    };
    frames(&mut executor, &pictures, &tensor);
    frames(&mut executor, &pictures, &tensor);
    let before = kept();
    assert!(before[0] > 0 && before[2] > 0 && before[3] > 0, "{before:?}");
    let done: u64 = (0..FRAMES).map(|_| frames(&mut executor, &pictures, &tensor)).sum();
    assert!(done > 0);
    assert_eq!(kept(), before, "buffers, textures, bind groups, pipelines, command buffers");
}
