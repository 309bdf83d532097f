//! Preprocessing on the GPU against the CPU's, through a network that gives back its input.

mod device;

use foveate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use foveate::ops::Scale;
use foveate::plan::Plan;
use foveate::preprocess::{Filter, Preprocess, Resize};
use foveate::{Graph, Picture, PictureSource, Shape, Tensor, wgpu};
use pollster::block_on;

const CROP: [u32; 2] = [30, 22];

fn spec(filter: Filter) -> Preprocess {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    Preprocess { resize: Resize { shorter: 34, filter }, crop: CROP, mean, std }
}

fn noise(width: u32, height: u32) -> Picture {
    let mut state = width * 31 + height;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    Picture::from_rgba(width, height, (0..width * height * 4).map(|_| byte()).collect()).unwrap()
}

fn executor(context: &GpuContext, batch: usize, preprocess: Option<Preprocess>) -> foveate::Result<GpuExecutor> {
    let mut graph = Graph::new("identity", Shape::new(3, CROP[0] as usize, CROP[1] as usize));
    let same = graph.add("same", Scale { factor: 1.0 }, &[graph.input()])?;
    graph.set_output(same);
    let plan = Plan::new(&graph, batch, &[])?;
    block_on(GpuExecutor::new(context, plan, ExecutorOptions { preprocess, canaries: true, ..Default::default() }))
}

/// The largest difference in grey levels.
fn distance(spec: &Preprocess, found: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(found.shape(), expected.shape());
    let pixels = (CROP[0] * CROP[1]) as usize;
    let pairs = found.data().iter().zip(expected.data()).enumerate();
    // `max` would swallow a NaN.
    let levels = pairs.map(|(i, (f, e))| (f - e).abs() * spec.std[i / pixels % 3] * 255.0);
    levels.fold(0.0, |most, level| if level <= most { most } else { level })
}

#[test]
fn pictures_of_all_sizes_are_the_cpus_to_the_bit() {
    // Resized in one pass and in two, by turns, and needing more memory between the passes.
    let sizes =
        [(1, 1), (34, 34), (35, 34), (21, 90), (300, 200), (64, 48), (7, 400), (401, 37), (1300, 900), (60, 300)];
    for context in device::contexts() {
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let spec = spec(filter);
            let mut executor = executor(context, 3, Some(spec.clone())).unwrap();
            // Three at a time and then the rest, so buffers are kept, grown and given other sizes.
            for some in sizes.chunks(3).chain(sizes[..2].chunks(1)) {
                let pictures: Vec<Picture> = some.iter().map(|(width, height)| noise(*width, *height)).collect();
                let expected = spec.apply_batch(&pictures).unwrap();
                let found = block_on(executor.run_pictures(&pictures)).unwrap().swap_remove(0);
                let levels = distance(&spec, &found, &expected);
                assert!(levels == 0.0, "{}: {filter:?} {some:?}: {levels} grey levels", context.summary());
                block_on(executor.check_canaries()).unwrap();
            }
        }
    }
}

/// 87,000 taps an output pixel if both axes were resized at once: software drivers cut a shader's
/// loops short there, silently. One after the other, each has 300.
#[test]
fn photographs_reduced_a_hundredfold_are_right_too() {
    for context in device::contexts() {
        let spec = spec(Filter::Bilinear);
        let picture = noise(5000, 5200);
        let expected = spec.apply(&picture).unwrap();
        let mut executor = executor(context, 1, Some(spec.clone())).unwrap();
        let found = block_on(executor.run_pictures(&[&picture])).unwrap().swap_remove(0);
        let levels = distance(&spec, &found, &expected);
        assert!(levels == 0.0, "{}: {levels} grey levels", context.summary());
    }
}

#[test]
fn wrong_pictures_are_refused() {
    for context in device::contexts().iter().take(1) {
        let mut with = executor(context, 2, Some(spec(Filter::Bilinear))).unwrap();
        let picture = noise(40, 40);
        let message = |result: foveate::Result<Vec<Tensor>>| result.unwrap_err().to_string();
        assert!(message(block_on(with.run_pictures::<Picture>(&[]))).contains("got 0 pictures, expected 1 to 2"));
        let three = [&picture, &picture, &picture];
        assert!(message(block_on(with.run_pictures(&three))).contains("got 3 pictures"));
        let mut without = executor(context, 2, None).unwrap();
        assert!(message(block_on(without.run_pictures(&[&picture]))).contains("without preprocessing"));
        let other = Preprocess { crop: [22, 30], ..spec(Filter::Bilinear) };
        let refused = executor(context, 1, Some(other)).err().unwrap().to_string();
        assert!(refused.contains("takes 3×30×22") && refused.contains("makes 3×22×30"), "{refused}");
    }
}

/// A device of the caller's own, on which buffers of more than 64 KiB cannot be bound.
fn narrow() -> Option<GpuContext> {
    device::contexts().first()?;
    block_on(async {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapter = instance.enumerate_adapters(wgpu::Backends::all()).await.into_iter().next().unwrap();
        let limits = wgpu::Limits { max_storage_buffer_binding_size: 1 << 16, ..wgpu::Limits::downlevel_defaults() };
        let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
        let (device, queue) = adapter.request_device(&descriptor).await.unwrap();
        Some(GpuContext::from_device(device, queue))
    })
}

#[test]
fn pictures_beyond_the_buffer_limit_are_preprocessed_on_the_cpu() {
    let Some(context) = narrow() else { return };
    assert!(context.is_borrowed());
    let spec = spec(Filter::Bicubic);
    let mut executor = executor(&context, 3, Some(spec.clone())).unwrap();
    let pictures = [noise(50, 40), noise(200, 150), noise(90, 44)];
    assert!(pictures[1].rgba().len() > 1 << 16);
    let expected = spec.apply_batch(&pictures).unwrap();
    let found = block_on(executor.run_pictures(&pictures)).unwrap().swap_remove(0);
    assert!(distance(&spec, &found, &expected) <= 0.5);
    let pixels = 3 * (CROP[0] * CROP[1]) as usize;
    assert_eq!(found.data()[pixels..2 * pixels], expected.data()[pixels..2 * pixels], "the CPU's own values");
}

/// The picture in a texture of the context's device.
fn texture_of(context: &GpuContext, picture: &Picture, format: wgpu::TextureFormat) -> wgpu::Texture {
    let size = wgpu::Extent3d { width: picture.width(), height: picture.height(), depth_or_array_layers: 1 };
    let (device, queue) = (context.device(), context.queue());
    let texture = device.create_texture(&wgpu::TextureDescriptor {
        label: Some("picture"),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    let bytes_per_row = Some(4 * picture.width());
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row, rows_per_image: None };
    queue.write_texture(texture.as_image_copy(), picture.rgba(), layout, size);
    texture
}

#[test]
fn textures_give_what_the_same_pictures_in_memory_give() {
    for context in device::contexts() {
        let spec = spec(Filter::Bilinear);
        let mut executor = executor(context, 2, Some(spec)).unwrap();
        // Rows of 64 pixels need no padding, others do; the last two are resized in two passes.
        for sizes in [[(64, 48), (65, 48)], [(1, 1), (300, 200)], [(1300, 900), (401, 337)]] {
            let pictures = sizes.map(|(width, height)| noise(width, height));
            let expected = block_on(executor.run_pictures(&pictures)).unwrap().swap_remove(0);
            let formats = [wgpu::TextureFormat::Rgba8Unorm, wgpu::TextureFormat::Rgba8UnormSrgb];
            let textures: Vec<_> = (0..2).map(|i| texture_of(context, &pictures[i], formats[i])).collect();
            let found = block_on(executor.run_pictures(&textures)).unwrap().swap_remove(0);
            assert_eq!(found, expected, "{}: {sizes:?}", context.summary());
            // One of each kind, and the tables of padded rows must not stay for those without.
            let mixed = [PictureSource::from(&pictures[0]), PictureSource::from(&textures[1])];
            let found = block_on(executor.run_pictures(&mixed)).unwrap().swap_remove(0);
            assert_eq!(found, expected, "{}: {sizes:?}, mixed", context.summary());
            block_on(executor.check_canaries()).unwrap();
        }
    }
}

#[test]
fn textures_that_are_no_pictures_are_refused() {
    for context in device::contexts().iter().take(1) {
        let mut executor = executor(context, 1, Some(spec(Filter::Bilinear))).unwrap();
        let picture = noise(40, 40);
        let good = texture_of(context, &picture, wgpu::TextureFormat::Rgba8Unorm);
        let make = |change: &dyn Fn(&mut wgpu::TextureDescriptor<'_>)| {
            let mut descriptor = wgpu::TextureDescriptor {
                label: None,
                size: good.size(),
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: wgpu::TextureFormat::Rgba8Unorm,
                usage: wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::RENDER_ATTACHMENT,
                view_formats: &[],
            };
            change(&mut descriptor);
            context.device().create_texture(&descriptor)
        };
        let wrong = [
            (make(&|d| d.format = wgpu::TextureFormat::Bgra8Unorm), "format Bgra8Unorm"),
            (make(&|d| d.size.depth_or_array_layers = 2), "layers"),
            (make(&|d| d.usage = wgpu::TextureUsages::TEXTURE_BINDING), "COPY_SRC"),
        ];
        for (texture, why) in &wrong {
            let refused = block_on(executor.run_pictures(&[texture])).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        block_on(executor.run_pictures(&[&good])).unwrap();
    }
}
