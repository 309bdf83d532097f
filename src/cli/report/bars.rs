//! A row for each network, precision and batch, with a bar for each device: the three clocks, and how far
//! the slow runs go.

use std::fmt;

use foveate::bench::Summary;

use super::gather::{Found, Gathered};
use super::plot::{Scale, class};
use crate::cli::bench::ms;
use crate::cli::html::escape;

/// Bars of all results.
pub struct Bars<'a>(pub &'a Gathered);

/// Results of one network, precision and batch.
pub struct Group<'a> {
    pub name: String,
    pub results: Vec<Found<'a>>,
}

impl Group<'_> {
    /// What a result's bar is called: its device, and its file where another's is of the same.
    pub fn bar(&self, gathered: &Gathered, found: &Found) -> String {
        let name = gathered.devices.get(found.device).map_or("", String::as_str);
        match self.results.iter().filter(|other| other.device == found.device).count() {
            0 | 1 => name.to_owned(),
            _ => format!("{name} ({})", found.file),
        }
    }
}

/// All results, in the order of the first of each group.
pub fn groups<'a>(gathered: &'a Gathered) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for found in gathered.results() {
        let batch = if found.key.batch == 1 { String::new() } else { format!(", batch {}", found.key.batch) };
        let name = format!("{}, {}{batch}", found.key.model, found.key.precision);
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.results.push(found),
            None => groups.push(Group { name, results: vec![found] }),
        }
    }
    groups
}

/// p50, p90 and p99 from a camera's bytes to labels, and the medians of the other two clocks.
pub fn summaries(found: &Found) -> Option<(Summary, Option<f64>, Option<f64>)> {
    let clocks = &found.measured.clocks;
    let median = |samples: &Option<foveate::bench::Samples>| samples.as_ref().map(|samples| samples.summary.p50);
    Some((clocks.end_to_end.as_ref()?.summary, median(&clocks.submit_to_readback), median(&clocks.gpu)))
}

impl fmt::Display for Bars<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = groups(self.0);
        for group in &groups {
            let most = group.results.iter().filter_map(|found| Some(summaries(found)?.0.p99 / 1e3));
            let scale = Scale::from_zero(most);
            write!(
                f,
                "<h3>{}</h3>\n<table class=\"bars\"><thead><tr><th scope=\"col\">device</th><td><div class=\"axis\">",
                escape(&group.name)
            )?;
            for (at, text) in scale.ticks(5) {
                let side = if at < 0.05 { " class=\"first\"" } else { "" };
                write!(f, "<span{side} style=\"left:{:.1}%\">{text}</span>", at * 100.0)?;
            }
            f.write_str("</div></td>")?;
            COLUMNS.iter().try_for_each(|column| write!(f, "<th scope=\"col\">{column}</th>"))?;
            f.write_str("</tr></thead>\n<tbody>\n")?;
            group.results.iter().try_for_each(|found| self.row(f, group, found, &scale))?;
            f.write_str("</tbody></table>\n")?;
        }
        Ok(())
    }
}

/// Headings of the numbers, in milliseconds.
const COLUMNS: [&str; 5] = ["GPU", "submit to readback", "end to end p50", "p99", "pictures/s"];

impl Bars<'_> {
    fn row(&self, f: &mut fmt::Formatter<'_>, group: &Group<'_>, found: &Found, scale: &Scale) -> fmt::Result {
        let Some((whole, network, gpu)) = summaries(found) else { return Ok(()) };
        let name = group.bar(self.0, found);
        let x = |us: f64| scale.at(us / 1e3) * 1000.0;
        write!(
            f,
            "<tr><th scope=\"row\"><span class=\"key {}\"></span>{}</th><td>",
            class(found.device),
            escape(&name)
        )?;
        write!(
            f,
            "<svg class=\"{}\" viewBox=\"0 0 1000 24\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
            class(found.device)
        )?;
        write!(f, "<path class=\"light\" d=\"M0 6H{:.1}V18H0Z\"/>", x(whole.p50))?;
        if let Some(network) = network {
            write!(f, "<path class=\"half\" d=\"M0 6H{:.1}V18H0Z\"/>", x(network))?;
        }
        if let Some(gpu) = gpu {
            write!(f, "<path class=\"full\" d=\"M0 6H{:.1}V18H0Z\"/>", x(gpu))?;
        }
        let [from, to] = [whole.p50, whole.p99].map(x);
        write!(f, "<path class=\"range\" d=\"M{from:.1} 12H{to:.1}M{to:.1} 7V17\"/></svg></td>")?;
        let pictures = match found.measured.runs_per_second {
            Some(rate) => rate * found.key.batch as f64,
            None => 1e6 * found.key.batch as f64 / whole.p50,
        };
        let some = |us: Option<f64>| us.map_or("–".to_owned(), ms);
        let cells = [some(gpu), some(network), ms(whole.p50), ms(whole.p99), format!("{pictures:.1}")];
        for (cell, heading) in cells.iter().zip(COLUMNS) {
            write!(f, "<td data-h=\"{heading}\">{cell}</td>")?;
        }
        f.write_str("</tr>\n")
    }
}
