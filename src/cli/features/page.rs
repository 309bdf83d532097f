//! The page that shows all pictures of a run with their captions. It needs nothing but the PNGs
//! beside it.

use std::fmt::{self, Write};

use foveate::Shape;
use foveate::features::{Branch, Feature, Scale, Stats, Style};

use crate::cli::html::escape;
use crate::cli::table::shown;

/// The page.
pub struct Page {
    model: String,
    device: String,
    style: Style,
    /// One per picture.
    pub groups: Vec<Group>,
}

/// What belongs to one picture.
pub struct Group {
    image: String,
    /// Its folder within the output, empty if there is one picture only.
    pub folder: String,
    input: Figure,
    pub figures: Vec<Figure>,
}

/// A picture with its caption.
pub struct Figure {
    kind: Kind,
    file: String,
    title: String,
    caption: String,
    /// A line for each: name, range, mean, standard deviation, zeros.
    rows: Vec<(String, Stats)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Input,
    Stage,
    Mixer,
    Other,
}

impl Page {
    pub fn new(model: &str, device: &str, style: Style) -> Self {
        Page { model: model.into(), device: device.into(), style, groups: Vec::new() }
    }
}

impl Group {
    pub fn new(image: &str, folder: &str, input: Figure) -> Self {
        Group { image: image.into(), folder: folder.into(), input, figures: Vec::new() }
    }
}

impl Figure {
    /// The picture as the network saw it; `width` and `height` are those of the file.
    pub fn input(file: String, shape: Shape, width: u32, height: u32) -> Self {
        let (rows, columns) = (shape.height, shape.width);
        let caption = format!("{columns}×{rows} pixels, from a picture of {width}×{height}");
        Figure { kind: Kind::Input, file, title: "as the network saw it".into(), caption, rows: Vec::new() }
    }

    /// A value, of which `channels` at most are shown.
    pub fn of(map: &Feature, branches: &[Branch], file: String, channels: usize) -> Self {
        let kind = match map.stage() {
            Some(_) => Kind::Stage,
            None if !branches.is_empty() => Kind::Mixer,
            None => Kind::Other,
        };
        let shape = map.shape();
        let mut caption = format!("{shape}");
        if let Some([rows, columns]) = map.stride() {
            let _ = if rows == columns {
                write!(caption, ", stride {rows}")
            } else {
                write!(caption, ", stride {rows}×{columns}")
            };
        }
        if name(map) != map.node() {
            let _ = write!(caption, ", node {}", map.node());
        }
        let parts = branches.len().max(1);
        let all = shape.channels / parts;
        let shown = channels.div_ceil(parts).min(all);
        let channels =
            if shown < all { format!("the first {shown} of {all} channels") } else { format!("all {all} channels") };
        let above = if branches.is_empty() { "" } else { "mean over each branch, and " };
        let _ = write!(caption, "; {above}{channels}");
        let mut rows = vec![("all".to_owned(), map.stats())];
        rows.extend(branches.iter().map(|b| (format!("{} {}", b.name, b.kernel), b.stats())));
        Figure { kind, file, title: name(map), caption, rows }
    }
}

/// What a value is called where people read it: its stage's name or its own.
pub fn name(map: &Feature) -> String {
    shown(map.stage().unwrap_or(map.node()))
}

/// The numbers in one line.
pub fn numbers(stats: &Stats) -> String {
    let Stats { min, max, mean, std, zeros, not_finite } = stats;
    let mut line = format!("{min:.4} … {max:.4}, mean {mean:.4}, std {std:.4}, zeros {:.1} %", zeros * 100.0);
    if *not_finite > 0 {
        let _ = write!(line, ", NaN or infinite {not_finite}");
    }
    line
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (model, device) = (escape(&self.model), escape(&self.device));
        f.write_str("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n")?;
        f.write_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")?;
        writeln!(f, "<title>What {model} sees</title>\n<style>\n{}</style>", include_str!("page.css"))?;
        writeln!(f, "<h1>What {model} sees</h1>\n<p class=\"soft\">foveate features, on {device}</p>")?;
        self.legend(f)?;
        if self.groups.len() > 1 {
            f.write_str("<nav>")?;
            for (i, group) in self.groups.iter().enumerate() {
                writeln!(f, "<a href=\"#picture-{i}\">{}</a>", escape(&group.image))?;
            }
            f.write_str("</nav>\n")?;
        }
        self.groups.iter().enumerate().try_for_each(|(i, group)| group.write(f, i))?;
        f.write_str("</html>\n")
    }
}

impl Page {
    fn legend(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stops: Vec<String> = (0..=16)
            .map(|i| {
                let [r, g, b] = self.style.colormap.colour(i as f32 / 16.0);
                format!("#{r:02x}{g:02x}{b:02x}")
            })
            .collect();
        let range = match self.style.scale {
            Scale::Map => {
                "Each map has the whole range of colours to itself, from its own lowest value to its own highest."
            }
            Scale::Tensor => "All maps of a picture share one range of colours, from the lowest value to the highest.",
        };
        let bar =
            format!("<span class=\"range\" style=\"background:linear-gradient(90deg,{})\"></span>", stops.join(","));
        writeln!(f, "<p>low{bar}high</p>\n<p class=\"soft\">{range} Magenta: NaN or infinite.</p>")
    }
}

impl Group {
    fn write(&self, f: &mut fmt::Formatter<'_>, index: usize) -> fmt::Result {
        writeln!(f, "<section id=\"picture-{index}\">\n<h2>{}</h2>\n<div class=\"row input\">", escape(&self.image))?;
        self.input.write(f)?;
        f.write_str("</div>\n")?;
        for (kind, title) in [(Kind::Stage, "Stages"), (Kind::Mixer, "Token mixers, by branch"), (Kind::Other, "Nodes")]
        {
            let mut figures = self.figures.iter().filter(|figure| figure.kind == kind).peekable();
            if figures.peek().is_some() {
                writeln!(f, "<h3>{title}</h3>\n<div class=\"row\">")?;
                figures.try_for_each(|figure| figure.write(f))?;
                f.write_str("</div>\n")?;
            }
        }
        f.write_str("</section>\n")
    }
}

impl Figure {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, title, caption) = (escape(&self.file), escape(&self.title), escape(&self.caption));
        writeln!(f, "<figure><a href=\"{file}\"><img src=\"{file}\" alt=\"{title}\" loading=\"lazy\"></a>")?;
        write!(f, "<figcaption><b>{title}</b><br><span class=\"soft\">{caption}</span>")?;
        if !self.rows.is_empty() {
            f.write_str("<table><tr><th></th><th>min</th><th>max</th><th>mean</th><th>std</th><th>zeros</th></tr>\n")?;
            for (name, stats) in &self.rows {
                let Stats { min, max, mean, std, zeros, not_finite } = stats;
                write!(f, "<tr><td>{}</td><td>{min:.4}</td><td>{max:.4}</td><td>{mean:.4}</td>", escape(name))?;
                write!(f, "<td>{std:.4}</td><td>{:.1} %</td>", zeros * 100.0)?;
                let bad =
                    if *not_finite > 0 { format!("<td>NaN or infinite: {not_finite}</td>") } else { String::new() };
                writeln!(f, "{bad}</tr>")?;
            }
            f.write_str("</table>")?;
        }
        f.write_str("</figcaption></figure>\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files_cannot_add_to_the_page() {
        let shape = Shape::new(3, 2, 4);
        let evil = "<script>alert(\"x\")</script>&\u{1b}";
        let mut page = Page::new(evil, "CPU", Style::default());
        page.groups.push(Group::new(evil, "", Figure::input("input.png".into(), shape, 8, 4)));
        page.groups.push(Group::new("b.png", "b", Figure::input("b/input.png".into(), shape, 8, 4)));
        let html = page.to_string();
        assert!(!html.contains("<script") && !html.contains('\u{1b}'), "{html}");
        assert_eq!(html.matches("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;\u{fffd}").count(), 4);
        assert!(html.contains("4×2 pixels, from a picture of 8×4") && html.contains("href=\"#picture-1\">b.png"));
    }
}
