//! `foveate features`.

mod folder;
mod list;
mod page;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use foveate::features::{self, Branch, Colormap, Feature, Features as Values, Scale, Stats, Style};
use foveate::{Error, Model, Picture, Result, Session};
use serde::Serialize;

use super::args::{DeviceArgs, ModelArgs};
use super::calibrate::PrecisionArgs;
use super::{Failure, Lines, Outcome, device, progress, source, tell};
use folder::Folder;
use page::{Figure, Group, Page};

/// Arguments of `foveate features`.
#[derive(clap::Args)]
pub struct Features {
    /// The pictures.
    #[arg(required_unless_present = "list", value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    precision: PrecisionArgs,
    /// Draw the value of this stage or node (see --list) instead of all stages and token mixers; may be repeated.
    #[arg(long, value_name = "NODE")]
    at: Vec<String>,
    /// Rows and columns of the network's input, e.g. 320x480; what it was trained with if not given.
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = size)]
    size: Option<[usize; 2]>,
    /// How many channels to draw of each map, the first ones.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = channels())]
    channels: usize,
    /// The colours.
    #[arg(long, value_enum, default_value_t = ColormapArg::Viridis)]
    colormap: ColormapArg,
    /// Whether each map has a range of colours to itself, or all maps of a picture share one.
    #[arg(long, value_enum, default_value_t = ScaleArg::Map)]
    scale: ScaleArg,
    /// Write the values too, to DIR/features.safetensors.
    #[arg(long)]
    tensors: bool,
    /// One line of JSON per value on stdout.
    #[arg(long)]
    json: bool,
    /// Print the nodes with their shapes and draw nothing; pictures are not looked at.
    #[arg(long, conflicts_with_all = ["output", "at", "tensors"])]
    list: bool,
    /// Where to write pictures and index.html; a folder that is new or empty.
    #[arg(short, long, value_name = "DIR", required_unless_present = "list")]
    output: Option<PathBuf>,
    /// Write to a folder that has something in it; files of the same name are replaced, others stay.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ColormapArg {
    Viridis,
    Magma,
    Gray,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScaleArg {
    Map,
    Tensor,
}

/// The most bytes that the values of one picture may take, and with `--tensors` those of all: they
/// are held in memory.
const MAX_TENSORS: u64 = 4 << 30;

/// A value's line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    image: &'a str,
    model: &'a str,
    node: &'a str,
    stage: Option<&'a str>,
    /// Channels, rows, columns.
    shape: [usize; 3],
    /// Rows and columns of the input per row and column of the value.
    stride: Option<[usize; 2]>,
    #[serde(flatten)]
    stats: Stats,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    branches: Vec<BranchLine<'a>>,
    file: &'a str,
}

#[derive(Serialize)]
struct BranchLine<'a> {
    name: &'a str,
    kernel: &'a str,
    #[serde(flatten)]
    stats: Stats,
}

pub fn run(args: &Features) -> Outcome {
    let Some(output) = args.output.as_deref().filter(|_| !args.list) else { return list::run(args) };
    let mut folder = Folder::check(output, args.force)?;
    let mut model = source::load(&args.model)?;
    if let Some([height, width]) = args.size {
        model = model.with_input_size(height, width)?;
    }
    let selected = features::select(model.graph(), &names(args, &model))?;
    let bytes = selected.iter().map(|s| s.shape.len() as u64 * 4).fold(0, u64::saturating_add);
    let held = if args.tensors { args.images.len() as u64 } else { 1 };
    if bytes.saturating_mul(held) > MAX_TENSORS {
        let reason = match args.tensors {
            true => "the values are more than 4 GiB, too many for one file; give fewer pictures or nodes",
            false => "the values of one picture are more than 4 GiB; choose a smaller --size or fewer nodes",
        };
        return Err(Error::argument(reason).into());
    }
    let model = args.precision.apply(model, args.model.random)?;
    let builder = device::builder(model, &args.device, args.precision.precision, 1)?;
    let builder = builder.features(selected.into_iter().map(|s| s.node));
    let mut session = device::start(builder)?;
    folder.create()?;
    let mut page = Page::new(session.model().name(), &session.device().to_string(), args.style());
    let (mut lines, mut kept, mut failed) = (Lines::default(), Vec::new(), false);
    for path in &args.images {
        match draw(args, &mut session, path, &mut folder, &mut lines) {
            Ok((group, values)) => {
                if args.tensors {
                    kept.push((if args.images.len() > 1 { group.folder.clone() } else { String::new() }, values));
                }
                page.groups.push(group);
            }
            Err(error) => {
                tell(format_args!("error: {error}"));
                failed = true;
            }
        }
    }
    if !kept.is_empty() {
        folder.write("features.safetensors", &features::to_safetensors(&kept)?)?;
    }
    if !page.groups.is_empty() {
        let index = folder.write("index.html", page.to_string().as_bytes())?;
        tell(format_args!("{}: all pictures with captions", index.display()));
    }
    lines.finish()?;
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// The names of what is wanted: that asked for, or every stage and token mixer.
fn names(args: &Features, model: &Model) -> Vec<String> {
    if !args.at.is_empty() {
        return args.at.clone();
    }
    let graph = model.graph();
    let mut names = features::stages(graph);
    names.extend(features::mixers(graph));
    names
}

/// Runs one picture, writes what is to be seen of it, and prints a line for each value.
fn draw(
    args: &Features,
    session: &mut Session,
    path: &Path,
    folder: &mut Folder,
    lines: &mut Lines,
) -> Result<(Group, Values)> {
    let picture = Picture::open(path)?;
    let values = progress::during("running the network", || pollster::block_on(session.features(&picture)))?;
    let (image, model) = (path.display().to_string(), session.model());
    let sub = if args.images.len() > 1 { folder.sub(path)? } else { String::new() };
    let seen = features::draw_input(&model.preprocess().apply(&picture)?, 0, model.preprocess())?;
    let file = folder.picture(&sub, "input", &seen)?;
    let shape = model.graph().input_shape();
    let mut group = Group::new(&image, &sub, Figure::input(file, shape, picture.width(), picture.height()));
    let widths = [|map: &Feature| page::name(map), |map: &Feature| map.shape().to_string()]
        .map(|text| values.iter().map(|map| text(map).chars().count()).max().unwrap_or(0));
    for map in &values {
        let branches = map.branches()?;
        let drawn = if branches.is_empty() {
            features::draw_grid(map.tensor(), 0, &args.style())?
        } else {
            features::draw_branches(&branches, 0, &args.style())?
        };
        let file = folder.picture(&sub, map.stage().unwrap_or(map.node()), &drawn)?;
        let written = folder.path(&file).display().to_string();
        lines.say(if args.json {
            json(&image, model.name(), map, &branches, &written)?
        } else {
            let ([name_width, shape_width], name, shape) = (widths, page::name(map), map.shape().to_string());
            format!("{name:name_width$}  {shape:shape_width$}  {}  {written}", page::numbers(&map.stats()))
        });
        group.figures.push(Figure::of(map, &branches, file, args.style().channels));
    }
    Ok((group, values))
}

/// A value's line of JSON.
fn json(image: &str, model: &str, map: &Feature, branches: &[Branch], file: &str) -> Result<String> {
    let (shape, stats) = (map.shape(), map.stats());
    let branches = branches.iter().map(|b| BranchLine { name: b.name, kernel: &b.kernel, stats: b.stats() }).collect();
    let (node, stage, stride) = (map.node(), map.stage(), map.stride());
    let shape = [shape.channels, shape.height, shape.width];
    let line = Line { schema_version: 1, image, model, node, stage, shape, stride, stats, branches, file };
    serde_json::to_string(&line).map_err(Error::argument)
}

impl Features {
    fn style(&self) -> Style {
        let colormap = match self.colormap {
            ColormapArg::Viridis => Colormap::Viridis,
            ColormapArg::Magma => Colormap::Magma,
            ColormapArg::Gray => Colormap::Gray,
        };
        let scale = match self.scale {
            ScaleArg::Map => Scale::Map,
            ScaleArg::Tensor => Scale::Tensor,
        };
        Style { channels: self.channels, colormap, scale }
    }
}

fn channels() -> impl clap::builder::TypedValueParser<Value = usize> {
    clap::builder::RangedU64ValueParser::<usize>::new().range(1..=features::MAX_CHANNELS as u64)
}

/// `320x480`, rows first as tensors have them, or `448` for a square.
fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |side: &str| {
        let side = side.trim().parse::<usize>().ok().filter(|side| *side > 0);
        side.ok_or_else(|| format!("{text:?} is no size; HEIGHTxWIDTH is wanted, e.g. 320x480"))
    };
    match text.split_once(['x', 'X', '×']) {
        Some((height, width)) => Ok([side(height)?, side(width)?]),
        None => Ok([side(text)?; 2]),
    }
}
