//! Pictures on their way in, from memory or a texture: per sample a buffer of pixels, a buffer of resampling tables, and the
//! dispatches that make the network's input of them.

use super::buffers::Buffers;
use super::context::GpuContext;
use super::executor::{Dispatch, dispatch};
use super::pack;
use super::pipelines::Pipelines;
use super::source::PictureSource;
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::kernels::{Binding, Layout, Passes, PreprocessSteps, Step, preprocess_words};
use crate::plan::Plan;
use crate::preprocess::Preprocess;

/// Preprocessing in front of a plan.
pub(super) struct PictureInput {
    spec: Preprocess,
    steps: PreprocessSteps,
    samples: Vec<Option<Sample>>,
    /// Lines between two passes. Samples take turns in it: one is done with it before the next begins.
    lines: Option<wgpu::Buffer>,
}

/// What is kept for one sample of the batch; grown when a larger picture comes.
struct Sample {
    picture: wgpu::Buffer,
    tables: wgpu::Buffer,
    /// The dispatches for pictures of `measures`, which the tables are for.
    passes: Vec<(Step, Dispatch)>,
    measures: Measures,
}

/// How the pixels of a picture lie in its buffer.
#[derive(Clone, Copy, PartialEq)]
struct Measures {
    size: [u32; 2],
    /// In pixels.
    stride: u32,
}

impl Measures {
    fn of(picture: PictureSource<'_>) -> Self {
        Measures { size: picture.size(), stride: picture.stride() }
    }

    fn bytes(self) -> u64 {
        u64::from(self.stride) * u64::from(self.size[1]) * 4
    }
}

/// A sample that is to be preprocessed on the GPU.
pub(super) struct Entering {
    sample: usize,
    /// What is to be copied into its buffer first, where that is not done yet.
    texture: Option<wgpu::Texture>,
}

/// Sizes of a picture's buffers.
#[derive(Clone, Copy)]
struct Bytes {
    picture: u64,
    tables: u64,
    lines: u64,
}

/// A plan on a device.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub context: &'a GpuContext,
    pub plan: &'a Plan,
    pub buffers: &'a Buffers,
    pub pipelines: &'a Pipelines,
}

impl PictureInput {
    /// # Errors
    /// [`Error::Argument`] if the preprocessing does not make the plan's input.
    pub fn new(spec: Preprocess, plan: &Plan) -> Result<Self> {
        spec.validate()?;
        let Shape { channels, height, width } = plan.input_shape;
        if channels != 3 || [height, width] != spec.crop.map(|side| side as usize) {
            let ([rows, columns], name) = (spec.crop, &plan.name);
            let input = plan.input_shape;
            return Err(Error::argument(format!(
                "{name} takes {input} (channels × rows × columns), but its preprocessing makes 3×{rows}×{columns}"
            )));
        }
        let steps = PreprocessSteps::new(plan.input, spec.crop);
        Ok(PictureInput { spec, steps, samples: (0..plan.batch).map(|_| None).collect(), lines: None })
    }

    /// All that a picture may need.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.all()
    }

    /// Uploads the picture of one sample, or says that it is to be copied out of its texture; what it returns is to be
    /// [recorded](Self::record). A picture beyond the device's limits is preprocessed on the CPU instead.
    pub fn upload(&mut self, sample: usize, picture: PictureSource<'_>, place: Place<'_>) -> Result<Option<Entering>> {
        picture.check()?;
        let measures = Measures::of(picture);
        let known = self.samples.get(sample).and_then(Option::as_ref);
        if known.is_none_or(|known| known.measures != measures) && !self.prepare(sample, measures, place)? {
            self.upload_from_cpu(sample, picture, place)?;
            return Ok(None);
        }
        let Some(Some(slot)) = self.samples.get(sample) else {
            return Err(Error::argument(format!("sample {sample} is beyond the batch of {}", place.plan.batch)));
        };
        let texture = match picture {
            PictureSource::Memory(picture) => {
                place.context.queue.write_buffer(&slot.picture, 0, picture.rgba());
                None
            }
            PictureSource::Texture(texture) => Some(texture.clone()),
        };
        Ok(Some(Entering { sample, texture }))
    }

    /// Records the copies out of textures, which come before any pass.
    pub fn record_copies(&self, entering: &[Entering], encoder: &mut wgpu::CommandEncoder) {
        for Entering { sample, texture } in entering {
            let (Some(texture), Some(Some(slot))) = (texture, self.samples.get(*sample)) else { continue };
            let bytes_per_row = Some(slot.measures.stride * 4);
            let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row, rows_per_image: None };
            let to = wgpu::TexelCopyBufferInfo { buffer: &slot.picture, layout };
            encoder.copy_texture_to_buffer(texture.as_image_copy(), to, texture.size());
        }
    }

    /// Tables, buffers and dispatches for a picture of another size than the sample's last; `false` if
    /// the device cannot take it.
    fn prepare(&mut self, sample: usize, measures: Measures, place: Place<'_>) -> Result<bool> {
        let Measures { size, stride } = measures;
        let limits = &place.context.limits;
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let taps = self.spec.tables(size[0], size[1])?;
        let Some(passes) = Passes::best(&taps) else { return Ok(false) };
        let words = preprocess_words(&self.spec, &taps, size, stride, sample as u32);
        let (picture, tables) = (measures.bytes(), words.len() as u64 * 4);
        let bytes = Bytes { picture, tables, lines: passes.line_bytes(self.spec.crop[1]) };
        let steps = self.steps.of(passes);
        let groups = steps.iter().flat_map(|step| step.grid).max().unwrap_or(0);
        let most = bytes.picture.max(bytes.tables).max(bytes.lines);
        if most > limit || groups > limits.max_compute_workgroups_per_dimension {
            return Ok(false);
        }
        let made = self.allocate(sample, bytes, steps, measures, limit, place)?;
        place.context.queue.write_buffer(&made.tables, 0, bytemuck::cast_slice(&words));
        if let Some(slot) = self.samples.get_mut(sample) {
            *slot = Some(made);
        }
        Ok(true)
    }

    /// The dispatches of one sample, whose picture was uploaded.
    pub fn passes(&self, entering: &Entering) -> impl Iterator<Item = &(Step, Dispatch)> {
        self.samples.get(entering.sample).into_iter().flatten().flat_map(|slot| &slot.passes)
    }

    fn upload_from_cpu(&self, sample: usize, picture: PictureSource<'_>, place: Place<'_>) -> Result<()> {
        let Place { context, plan, buffers, .. } = place;
        let PictureSource::Memory(picture) = picture else {
            let [width, height] = picture.size();
            return Err(Error::argument(format!(
                "a texture of {width}×{height} is more than this device can preprocess; draw it into a smaller one first"
            )));
        };
        let input = self.spec.apply(picture)?;
        let mut packed = Vec::new();
        pack::pack(&input, &Layout::new([plan.input_shape.channels]), 1, &mut packed);
        // Three channels are one plane, in which samples lie one behind the other.
        let bytes: &[u8] = bytemuck::cast_slice(&packed);
        context.queue.write_buffer(buffers.tensor(plan, plan.input)?, (sample * bytes.len()) as u64, bytes);
        Ok(())
    }

    /// A sample's buffers, those it has where they are large enough, and its dispatches.
    fn allocate(
        &mut self,
        sample: usize,
        bytes: Bytes,
        steps: Vec<Step>,
        measures: Measures,
        limit: u64,
        place: Place<'_>,
    ) -> Result<Sample> {
        let Place { context, plan, buffers, pipelines } = place;
        let known = self.samples.get(sample).and_then(Option::as_ref);
        let enough = |buffer: Option<&wgpu::Buffer>, label: &str, bytes: u64| match buffer {
            Some(buffer) if buffer.size() >= bytes => buffer.clone(),
            _ => context.storage(label, grown(bytes, limit)),
        };
        let picture = enough(known.map(|known| &known.picture), "picture", bytes.picture);
        let tables = enough(known.map(|known| &known.tables), "resampling tables", bytes.tables);
        if bytes.lines > 0 {
            // Samples whose dispatches bind a smaller one keep that.
            self.lines = Some(enough(self.lines.as_ref(), "resampled lines", bytes.lines));
        }
        let beside = |binding: &Binding| match binding {
            Binding::Picture => Some(&picture),
            Binding::Tables => Some(&tables),
            Binding::Lines => self.lines.as_ref(),
            _ => None,
        };
        let bind = |step: Step| {
            let dispatch = dispatch(context, plan, &step, buffers, pipelines, &beside)?;
            Ok((step, dispatch))
        };
        let passes = steps.into_iter().map(bind).collect::<Result<Vec<_>>>()?;
        Ok(Sample { picture, tables, passes, measures })
    }
}

/// A size with room for somewhat larger pictures, in whole kibibytes.
fn grown(bytes: u64, limit: u64) -> u64 {
    (bytes + bytes / 4).next_multiple_of(1024).min(limit - limit % 4)
}
