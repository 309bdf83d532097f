//! The page: one file that fetches nothing, for light and dark screens, wide and narrow.

use std::fmt;

use foveate::bench::{Machine, Measured, Mode, Protocol, Record};

use super::bars::Bars;
use super::gather::{Gathered, Named};
use super::layers::{Layers, roofline};
use super::plot::class;
use super::scatter::{accuracy, curves};
use super::table::markdown;
use crate::cli::html::escape;

/// The page of a report.
pub struct Page<'a>(pub &'a Gathered);

/// Styles are the page's own; nothing else may be loaded or run, whatever names come from files.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")?;
        writeln!(f, "<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">")?;
        f.write_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")?;
        writeln!(
            f,
            "<title>Latency of networks on GPUs</title>\n<style>\n{}</style>\n</head>\n<body>",
            include_str!("page.css")
        )?;
        f.write_str("<header><h1>Latency of networks on GPUs</h1>\n<ul class=\"legend\">\n")?;
        for (at, device) in self.0.devices.iter().enumerate() {
            writeln!(f, "<li><span class=\"key {}\"></span>{}</li>", class(at), escape(device))?;
        }
        f.write_str("</ul></header>\n<main>\n")?;
        self.accuracy(f)?;
        self.bars(f)?;
        self.sustained(f)?;
        self.layers(f)?;
        self.roofline(f)?;
        self.machines(f)?;
        self.table(f)?;
        f.write_str("</main>\n</body>\n</html>\n")
    }
}

fn open(f: &mut fmt::Formatter<'_>, title: &str, about: &str) -> fmt::Result {
    writeln!(f, "<section>\n<h2>{title}</h2>\n<p class=\"soft\">{about}</p>")
}

fn names(f: &mut fmt::Formatter<'_>, names: &[(usize, String)]) -> fmt::Result {
    f.write_str("<ul class=\"legend\">\n")?;
    for (series, name) in names {
        writeln!(f, "<li><span class=\"key {}\"></span>{}</li>", class(*series), escape(name))?;
    }
    f.write_str("</ul>\n")
}

impl Page<'_> {
    fn accuracy(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(plot) = accuracy(self.0) else { return Ok(()) };
        let about = "One picture to a run. Accuracy is what the weights' publishers state for their own precision; it was \
                     not measured here. Up and to the left is better.";
        open(f, "Latency and accuracy", about)?;
        writeln!(f, "<figure>{plot}</figure>\n</section>")
    }

    fn bars(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.results().next().is_none() {
            return Ok(());
        }
        let about = "Milliseconds, medians. Dark: the device's own time. Lighter: from submission until the result is in \
                     memory. Lightest: from a camera's RGBA bytes to labels; the line goes to its 99th percentile.";
        open(f, "Devices", about)?;
        writeln!(f, "<figure>{}</figure>\n</section>", Bars(self.0))
    }

    fn sustained(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((plot, series)) = curves(self.0) else { return Ok(()) };
        open(f, "Over minutes", "Whether a device slows down when it grows warm.")?;
        f.write_str("<figure>")?;
        names(f, &series)?;
        writeln!(f, "{plot}</figure>\n</section>")
    }

    fn layers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.profiles.is_empty() {
            return Ok(());
        }
        let about = "Where the time goes. Each picture is a network from left to right, its parts above their layers, as wide as \
                     their time; the darker a layer, the nearer it is to the roof. Of roof is the least time that the \
                     device's memory or its arithmetic would need for the layer, as a part of the time taken.";
        open(f, "Layers", about)?;
        writeln!(f, "<figure>{}</figure>\n</section>", Layers { gathered: self.0 })
    }

    fn roofline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((plot, series)) = roofline(self.0) else { return Ok(()) };
        let about = "A point for each layer with arithmetic; the lines are what the devices reach at best. Layers under the \
                     slope are held back by memory, under the flat part by f32 arithmetic. Points above a slope read from \
                     caches.";
        open(f, "Roofline", about)?;
        f.write_str("<figure>")?;
        names(f, &series)?;
        writeln!(f, "{plot}</figure>\n</section>")
    }

    fn machines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.records.is_empty() {
            return Ok(());
        }
        open(f, "How and where", "What the files say of themselves.")?;
        f.write_str("<div class=\"panels\">\n")?;
        self.0.records.iter().try_for_each(|record| machine(f, record))?;
        f.write_str("</div>\n</section>\n")
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.results().next().is_none() {
            return Ok(());
        }
        open(f, "To copy", "All numbers as Markdown; one click selects them.")?;
        writeln!(f, "<pre class=\"copy\">{}</pre>\n</section>", escape_lines(&markdown(self.0)))
    }
}

/// Lines stay lines.
fn escape_lines(text: &str) -> String {
    text.lines().map(|line| escape(line) + "\n").collect()
}

fn machine(f: &mut fmt::Formatter<'_>, named: &Named<Record>) -> fmt::Result {
    let Record { foveate, git, started, complete, note, machine, protocol, results, .. } = &named.item;
    let Machine { os, arch, cpu, threads, power, browser } = machine;
    let Protocol { mode, warm_ups, runs, seconds, frame: [width, height] } = protocol;
    let how = match mode {
        Mode::Latency => "latency, one frame in flight",
        Mode::Throughput => "throughput, several frames in flight",
        Mode::SingleStream => "single stream, MLPerf's least counts (no result of MLPerf)",
        Mode::Sustained => "sustained, one frame in flight",
    };
    let git = git.as_ref().map_or(String::new(), |git| format!(" ({git})"));
    let mut rows = vec![
        ("machine", format!("{os}, {arch}, {cpu}, {threads} threads")),
        ("power", power.clone().unwrap_or_else(|| "unknown".to_owned())),
        (
            "protocol",
            format!("{how}; {width}×{height} frames; {warm_ups} warm-ups, then at least {runs} runs and {seconds} s"),
        ),
        ("program", format!("foveate {foveate}{git}, begun {}", utc(*started))),
    ];
    rows.extend(note.clone().map(|note| ("note", note)));
    rows.extend(browser.clone().map(|browser| ("browser", browser)));
    if !complete {
        rows.push(("incomplete", "it was interrupted, or something failed: see below".to_owned()));
    }
    let mut devices: Vec<String> = Vec::new();
    for Measured { device, .. } in results {
        let tick = device.timestamp_ns.map_or("no timestamps".to_owned(), |ns| format!("timestamps of {ns} ns"));
        let checks = if device.safe_shaders { "; shader checks on" } else { "" };
        let line = match device.kind.as_str() {
            "gpu" => {
                format!("{}, {}, {}; {}; {tick}{checks}", device.name, device.backend, device.driver, device.tuning)
            }
            _ => device.name.clone(),
        };
        if !devices.contains(&line) {
            devices.push(line);
        }
    }
    rows.extend(devices.into_iter().map(|line| ("device", line)));
    let failed = results.iter().filter_map(|m| Some((m, m.error.as_ref()?)));
    rows.extend(
        failed.map(|(m, error)| ("error", format!("{}, {}, batch {}: {error}", m.model, m.precision, m.batch))),
    );
    let mut weights: Vec<String> = results.iter().map(|m| format!("{}: {}", m.model, m.weights)).collect();
    weights.sort();
    weights.dedup();
    rows.push(("weights", weights.join("; ")));
    writeln!(f, "<article><h3>{}</h3><dl>", escape(&named.label))?;
    rows.iter().try_for_each(|(name, text)| writeln!(f, "<dt>{name}</dt><dd>{}</dd>", escape(text)))?;
    f.write_str("</dl></article>\n")
}

/// A date and time of the Gregorian calendar from seconds since 1970 (days from civil, by Hinnant, turned
/// around).
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Counted from the first of March of the year 0, in eras of 400 years.
    let days = days.min(1 << 40) + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + era * 400 + u64::from(month >= 10), if month < 10 { month + 3 } else { month - 9 });
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_795_401_960, "2026-11-23 02:46 UTC"),
            (4_107_542_399, "2100-02-28 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), date);
        }
        assert!(utc(u64::MAX).ends_with("UTC"));
    }
}
