//! Charts: a row for each layer, with a drawing across a common axis and the numbers beside it.
//!
//! Drawings are stretched to the width there is, and hold no text; axis labels, names and numbers are
//! ordinary text of the page, so that all can be read on a phone and by a screen reader.

use std::fmt::{self, Write};

use foveate::analyze::Spread;

use super::axis::Axis;
use crate::cli::html::escape;

/// A chart of one or two models.
pub struct Chart<'a> {
    pub title: &'static str,
    /// What a row is.
    pub rows: &'static str,
    /// What is to be seen, without markup.
    pub about: String,
    pub axis: Axis,
    /// Headings of the numbers.
    pub columns: &'static [&'static str],
    pub series: Vec<Series<'a>>,
}

/// The rows of one model.
pub struct Series<'a> {
    pub label: String,
    /// Where its dashed line is.
    pub line: Option<f64>,
    pub rows: Vec<Row<'a>>,
}

/// One row.
pub struct Row<'a> {
    pub name: String,
    pub mark: Mark<'a>,
    /// As many as the chart has columns.
    pub cells: Vec<String>,
    /// Whether it is over its share.
    pub bad: bool,
}

/// What is drawn.
pub enum Mark<'a> {
    /// A distribution, with a line over its range and a thicker one over mean ± standard deviation.
    Violin(&'a Spread),
    /// A stroke for each value, and a dot at the median.
    Strip(&'a [f64], f64),
    /// From the left to a value; none is as long as the axis.
    Bar(Option<f64>),
}

/// Height of drawings, in their own units; the width is 1000.
const HEIGHT: f64 = 24.0;
const WIDTH: f64 = 1000.0;

impl fmt::Display for Chart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "<figure>\n<figcaption><h3>{}</h3><p>{}</p></figcaption>", self.title, escape(&self.about))?;
        if self.axis.is_bent() {
            f.write_str("<p class=\"soft\">The axis is bent: far from zero, equal steps are equal factors.</p>\n")?;
        }
        let names = |series: &Series| series.rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
        let alike = self.series.windows(2).all(|pair| names(&pair[0]) == names(&pair[1]));
        if alike {
            self.table(f, &self.series.iter().enumerate().collect::<Vec<_>>())?;
        } else {
            f.write_str("<div class=\"panels\">\n")?;
            for (at, series) in self.series.iter().enumerate() {
                let label = escape(&series.label);
                writeln!(f, "<div><h4><span class=\"key {}\"></span>{label}</h4>", class(at))?;
                self.table(f, &[(at, series)])?;
                f.write_str("</div>\n")?;
            }
            f.write_str("</div>\n")?;
        }
        f.write_str("</figure>\n")
    }
}

impl Chart<'_> {
    /// One table for series whose rows have the same names.
    fn table(&self, f: &mut fmt::Formatter<'_>, series: &[(usize, &Series)]) -> fmt::Result {
        // In panels side by side there is half the room.
        let ticks = self.axis.ticks(if series.len() < self.series.len() { 0.24 } else { 0.13 });
        let rows = self.rows;
        write!(f, "<table class=\"chart\"><thead><tr><th scope=\"col\">{rows}</th><td><div class=\"axis\">")?;
        for (at, label) in &ticks {
            let side = if *at < 0.06 {
                " class=\"first\""
            } else if *at > 0.94 {
                " class=\"last\""
            } else {
                ""
            };
            write!(f, "<span{side} style=\"left:{:.1}%\">{label}</span>", at * 100.0)?;
        }
        f.write_str("</div></td>")?;
        self.columns.iter().try_for_each(|column| write!(f, "<th scope=\"col\">{}</th>", escape(column)))?;
        f.write_str("</tr></thead>\n<tbody>\n")?;
        let count = series.first().map_or(0, |(_, first)| first.rows.len());
        for at in 0..count {
            let both: Vec<(usize, Option<f64>, &Row)> =
                series.iter().filter_map(|(s, one)| Some((*s, one.line, one.rows.get(at)?))).collect();
            let Some((.., first)) = both.first() else { continue };
            write!(f, "<tr><th scope=\"row\">{}</th><td>", escape(&first.name))?;
            for (s, line, row) in &both {
                self.drawing(f, *s, *line, row, &ticks)?;
            }
            f.write_str("</td>")?;
            for (column, heading) in self.columns.iter().enumerate() {
                write!(f, "<td data-h=\"{}\">", escape(heading))?;
                for (s, _, row) in &both {
                    let cell = row.cells.get(column).map_or("", String::as_str);
                    write!(f, "<span class=\"{}\">{}</span>", class(*s), escape(cell))?;
                }
                f.write_str("</td>")?;
            }
            f.write_str("</tr>\n")?;
        }
        f.write_str("</tbody></table>\n")
    }

    fn drawing(
        &self,
        f: &mut fmt::Formatter<'_>,
        series: usize,
        line: Option<f64>,
        row: &Row,
        ticks: &[(f64, String)],
    ) -> fmt::Result {
        let bad = if row.bad { " bad" } else { "" };
        write!(f, "<svg class=\"{}{bad}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" ", class(series))?;
        f.write_str("preserveAspectRatio=\"none\" aria-hidden=\"true\"><path class=\"grid\" d=\"")?;
        for (at, _) in ticks {
            write!(f, "M{:.0} 0V{HEIGHT}", at * WIDTH)?;
        }
        f.write_str("\"/>")?;
        match &row.mark {
            Mark::Violin(spread) => self.violin(f, spread)?,
            Mark::Strip(values, median) => {
                f.write_str("<path class=\"strip\" d=\"")?;
                for value in *values {
                    write!(f, "M{:.1} 4V20", self.x(*value))?;
                }
                write!(f, "\"/><path class=\"dot\" d=\"M{:.1} 0V{HEIGHT}\"/>", self.x(*median))?;
            }
            Mark::Bar(value) => {
                let end = value.map_or(WIDTH, |value| self.x(value));
                write!(f, "<path class=\"fill\" d=\"M0 5H{end:.1}V19H0Z\"/>")?;
            }
        }
        if let Some(line) = line {
            write!(f, "<path class=\"line\" d=\"M{:.1} 0V{HEIGHT}\"/>", self.x(line))?;
        }
        f.write_str("</svg>")
    }

    fn violin(&self, f: &mut fmt::Formatter<'_>, spread: &Spread) -> fmt::Result {
        let density = &spread.density;
        let most = density.shares.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let width = (density.high - density.low) / density.shares.len().max(1) as f64;
        let middle = HEIGHT / 2.0;
        let mut upper = String::new();
        let mut lower = Vec::new();
        for (i, share) in density.shares.iter().enumerate() {
            let x = self.x(density.low + (i as f64 + 0.5) * width);
            // The root, so that tails can be seen.
            let half = (middle - 1.0) * (share / most).sqrt();
            write!(upper, "L{x:.0} {:.1}", middle - half)?;
            lower.push(format!("L{x:.0} {:.1}", middle + half));
        }
        lower.reverse();
        let (min, max) = (self.x(spread.min), self.x(spread.max));
        write!(f, "<path class=\"fill\" d=\"M{min:.0} {middle}{upper}L{max:.0} {middle}{}Z\"/>", lower.concat())?;
        let [from, to] = [spread.mean - spread.std, spread.mean + spread.std].map(|v| self.x(v));
        write!(f, "<path class=\"range\" d=\"M{min:.1} {middle}H{max:.1}\"/>")?;
        write!(f, "<path class=\"std\" d=\"M{from:.1} {middle}H{to:.1}\"/>")
    }

    fn x(&self, value: f64) -> f64 {
        self.axis.at(value) * WIDTH
    }
}

/// The class that colours a series.
pub fn class(series: usize) -> char {
    if series == 0 { 'a' } else { 'b' }
}
