//! The table of layers.

use foveate::Shape;
use foveate::describe::{FormInfo, LayerInfo};
use foveate::ops::{Activate, Activation, Conv2d, Operator, Window};

use crate::cli::table::{Align, Table, grouped, rounded, shown};

/// A line per layer, those of one block under its name, and the totals.
pub fn lines(form: &FormInfo, what: &str) -> Vec<String> {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("layer", Left),
        ("operator", Left),
        ("output", Left),
        ("kernel", Left),
        ("stride", Right),
        ("groups", Right),
        ("parameters", Right),
        ("MACs", Right),
    ]);
    for block in form.layers.chunk_by(|a, b| a.block == b.block) {
        let alone = block.len() == 1;
        if let (false, Some(first)) = (alone, block.first()) {
            table.heading(shown(&first.block));
        }
        for layer in block {
            let name = match layer.name.strip_prefix(&layer.block).and_then(|rest| rest.strip_prefix('.')) {
                Some(rest) if !alone => format!("  {rest}"),
                _ => layer.name.clone(),
            };
            table.row(row(layer, &name));
        }
    }
    table.heading(format!(
        "{} layers ({what}): {} parameters, {} MACs",
        form.layers.len(),
        grouped(form.parameters),
        rounded(form.macs)
    ));
    table.lines()
}

fn row(layer: &LayerInfo, name: &str) -> [String; 8] {
    let mut operator = layer.operator.to_owned();
    if layer.operator == Conv2d::NAME && layer.inputs.len() > 1 {
        operator += "+add";
    }
    if layer.operator == Activate::NAME {
        operator = layer.activation.name().to_owned();
    } else if layer.activation != Activation::None {
        operator += &format!("+{}", layer.activation.name());
    }
    let Shape { channels, height, width } = layer.output;
    let output = if (height, width) == (1, 1) { channels.to_string() } else { layer.output.to_string() };
    let count = |number: u64| if number == 0 { String::new() } else { grouped(number) };
    let macs = if layer.macs == 0 { String::new() } else { rounded(layer.macs) };
    let kernels: Vec<String> = layer.windows.iter().map(kernel).collect();
    [
        shown(name),
        operator,
        output,
        kernels.join(" "),
        each(&layer.windows, |window| pair(window.stride, "×")),
        each(&layer.windows, |window| window.groups.to_string()),
        count(layer.parameters),
        macs,
    ]
}

fn kernel(window: &Window) -> String {
    let dilated = if window.dilation == [1, 1] { String::new() } else { format!("/{}", pair(window.dilation, "×")) };
    format!("{}×{}{dilated}", window.kernel[0], window.kernel[1])
}

/// One number for two that are the same.
fn pair([a, b]: [usize; 2], between: &str) -> String {
    if a == b { a.to_string() } else { format!("{a}{between}{b}") }
}

/// What all windows have, or of each what it has.
fn each(windows: &[Window], what: impl Fn(&Window) -> String) -> String {
    let mut texts: Vec<String> = windows.iter().map(what).collect();
    texts.dedup();
    texts.join(" ")
}
