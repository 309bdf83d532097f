//! Crop, resize and normalise from RGBA8, in one kernel or in two, one for each axis.
//!
//! Everything that depends on the picture is data, not a constant: pictures of any size run
//! through the same pipelines.

use super::{Access, Argument, Binding, Format, Kernel, PICTURE, Step, TABLES, TensorId, Y, source};
use crate::preprocess::{PRECISION, Preprocess, Tables, Taps};

/// Lines that are resized along their rows, on their way from one kernel to the other.
static LINES_OUT: Argument = Argument { name: "lines", binding: 8, access: Access::Write, accessors: &[] };
static LINES: Argument = Argument { name: "lines", binding: 8, access: Access::Read, accessors: &[] };

/// Both axes at once.
pub(super) static KERNEL: Kernel = Kernel {
    name: "preprocess",
    arguments: &[&PICTURE, &TABLES, &Y],
    sources: &[&source!("preprocess.wgsl")],
    constants: &["OUT_H", "OUT_W"],
    workgroup: WORKGROUP,
    tiling: None,
    open: &[],
    fixed: HEADER,
};

/// Along rows.
pub(super) static ROWS: Kernel = Kernel {
    name: "preprocess_rows",
    arguments: &[&PICTURE, &TABLES, &LINES_OUT],
    sources: &[&source!("preprocess_rows.wgsl")],
    constants: &["OUT_W"],
    ..KERNEL
};

/// Along columns.
pub(super) static COLUMNS: Kernel = Kernel {
    name: "preprocess_columns",
    arguments: &[&LINES, &TABLES, &Y],
    sources: &[&source!("preprocess_columns.wgsl")],
    ..KERNEL
};

const WORKGROUP: u32 = 64;

/// Words of the tables' header, in order, and bits behind the point of weights; the shaders find them by these
/// names.
const HEADER: &[(&str, u32)] = &[
    ("WIDTH", 0),
    ("HEIGHT", 1),
    ("SAMPLE", 2),
    ("TAPS_X", 3),
    ("TAPS_Y", 4),
    ("FIRST_ROW", 5),
    ("ROWS", 6),
    ("STRIDE", 7),
    ("LEVELS", 8),
    ("HEADER_WORDS", 8 + 3 * 256),
    ("PRECISION", PRECISION),
];

/// Turns of a shader's loops for one output beyond which the CPU preprocesses. LLVM's software drivers
/// silently stop them after 65,535, and a real GPU's watchdog might too.
const MAX_TURNS: u64 = 1 << 14;

/// What an intermediate value costs beside its taps, in taps along rows: measured on lavapipe.
const LINE_TAPS: u64 = 4;

/// The dispatches for pictures, the same for all: an executor compiles them all, and each picture
/// takes the one that needs the least work.
#[derive(Clone, Debug)]
pub struct PreprocessSteps {
    /// Both axes at once.
    pub whole: Step,
    /// Along rows, then along columns. The grid of the first depends on the picture
    /// ([`Passes::Two`]): here it is one line.
    pub passes: [Step; 2],
}

impl PreprocessSteps {
    /// Those that fill a sample of the network's input; the sample's number is part of the tables
    /// ([`preprocess_words`]).
    pub fn new(input: TensorId, crop: [u32; 2]) -> Self {
        let step = |kernel: &'static Kernel, constants: &[u32], bindings: [Binding; 3], [x, y]: [u32; 2]| Step {
            node: "input".into(),
            kernel,
            constants: constants.to_vec(),
            tile: None,
            bindings: bindings.to_vec(),
            formats: vec![Format::HOST; bindings.len()],
            grid: [x.div_ceil(kernel.workgroup), y, 1],
            macs: 0,
            unrolled: false,
        };
        let (pixels, input) = (crop[0] * crop[1], Binding::Tensor(input));
        PreprocessSteps {
            whole: step(&KERNEL, &crop, [Binding::Picture, Binding::Tables, input], [pixels, 1]),
            passes: [
                step(&ROWS, &crop[1..], [Binding::Picture, Binding::Tables, Binding::Lines], [crop[1], 1]),
                step(&COLUMNS, &crop, [Binding::Lines, Binding::Tables, input], [pixels, 1]),
            ],
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Step> {
        std::iter::once(&self.whole).chain(&self.passes)
    }

    /// Those that a picture takes, in order.
    pub fn of(&self, passes: Passes) -> Vec<Step> {
        match passes {
            Passes::One => vec![self.whole.clone()],
            Passes::Two { rows } => {
                let mut steps = self.passes.to_vec();
                steps[0].grid[1] = rows;
                steps
            }
        }
    }
}

/// In how many passes a picture is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// Both axes at once.
    One,
    /// One axis after the other.
    Two {
        /// Lines of the picture that any output reads.
        rows: u32,
    },
}

impl Passes {
    /// What takes less work; `None` where either is more than a shader may do for one output.
    pub fn best(tables: &Tables) -> Option<Passes> {
        let Tables { horizontal, vertical } = tables;
        let [columns, lines] = [horizontal, vertical].map(|taps| taps.outputs() as u64);
        let [x, y] = [horizontal, vertical].map(|taps| u64::from(taps.width()));
        let rows = vertical.span().len() as u32;
        let one = columns * lines * x * y;
        let two = u64::from(rows) * columns * (x + LINE_TAPS) + columns * lines * y;
        if one <= two && x * y <= MAX_TURNS {
            Some(Passes::One)
        } else {
            (x.max(y) <= MAX_TURNS).then_some(Passes::Two { rows })
        }
    }

    /// Bytes of the lines in between, of so many columns.
    pub fn line_bytes(self, columns: u32) -> u64 {
        match self {
            Passes::One => 0,
            Passes::Two { rows } => u64::from(rows) * u64::from(columns) * 4,
        }
    }
}

/// What the shaders have to know of a picture of that size, whose rows begin `stride` pixels from each other, as
/// sample `sample`: header with the values of all grey levels, then for each axis the first tap of every output, then its weights.
pub fn preprocess_words(
    spec: &Preprocess,
    tables: &Tables,
    [width, height]: [u32; 2],
    stride: u32,
    sample: u32,
) -> Vec<u32> {
    let (horizontal, vertical) = (&tables.horizontal, &tables.vertical);
    let rows = vertical.span();
    let (across, down) = (horizontal.width(), vertical.width());
    let mut words = vec![width, height, sample, across, down, rows.start, rows.len() as u32, stride];
    words.extend(spec.levels().as_flattened().iter().map(|value| value.to_bits()));
    debug_assert_eq!(words.len(), HEADER[HEADER.len() - 2].1 as usize);
    let axis = |taps: &Taps| {
        taps.first().iter().copied().chain(taps.weights().iter().map(|w| w.cast_unsigned())).collect::<Vec<_>>()
    };
    words.extend(axis(horizontal));
    words.extend(axis(vertical));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::{Filter, Resize};

    fn passes(filter: Filter, width: u32, height: u32) -> Option<Passes> {
        let resize = Resize { shorter: 256, filter };
        let spec = Preprocess { resize, crop: [224, 224], mean: [0.0; 3], std: [1.0; 3] };
        Passes::best(&spec.tables(width, height).unwrap())
    }

    #[test]
    fn large_pictures_are_resized_one_axis_after_the_other() {
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            for (width, height) in [(1920, 1080), (1080, 1920), (4032, 3024)] {
                let Some(Passes::Two { rows }) = passes(filter, width, height) else { panic!("{width}×{height}") };
                assert!(rows < height && rows > height / 3, "{rows}");
            }
            // Nothing to add up, or hardly anything.
            for (width, height) in [(256, 256), (1, 1), (256, 400)] {
                assert_eq!(passes(filter, width, height), Some(Passes::One), "{width}×{height}");
            }
            // A product of taps that no shader may walk through, and a sum that none may either.
            assert!(matches!(passes(filter, 100_000, 90_000), Some(Passes::Two { .. })));
            assert_eq!(passes(filter, 4_000_000, 3_900_000), None);
        }
    }
}
