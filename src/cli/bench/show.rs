//! A record in words.

use foveate::bench::{Clocks, Machine, Measured, Mode, Protocol, Record, Samples, Summary, sustained};

use crate::cli::table::{Align, Table, rounded, shown};

/// All lines.
pub fn lines(record: &Record) -> Vec<String> {
    let mut lines = vec![protocol(record), machine(&record.machine)];
    lines.extend(record.note.iter().map(|note| shown(&format!("note: {note}"))));
    for measured in &record.results {
        lines.push(String::new());
        lines.extend(one(measured, &record.protocol));
    }
    lines
}

/// What a result is of.
pub fn subject(measured: &Measured) -> String {
    let Measured { model, precision, batch, device, .. } = measured;
    let backend = match device.backend.as_str() {
        "" | "none" => String::new(),
        backend => format!(", {backend}"),
    };
    shown(&format!("{model}, {precision}, batch {batch}, {}{backend}", device.name))
}

fn protocol(record: &Record) -> String {
    let Protocol { mode, warm_ups, runs, seconds, frame: [width, height] } = &record.protocol;
    let how = match mode {
        Mode::Latency => "latency, one frame in flight",
        Mode::Throughput => "throughput, three frames in flight",
        Mode::SingleStream => "single stream with MLPerf's least counts (no result of MLPerf)",
        Mode::Sustained => "sustained, one frame in flight",
    };
    let turns = match record.results.len() {
        0 | 1 => String::new(),
        n => format!("; {n} subjects in turn"),
    };
    let counts = format!("{warm_ups} warm-ups, then at least {runs} runs and {seconds} s");
    format!("protocol: {how}; camera frames of {width}×{height} RGBA; {counts}{turns}")
}

fn machine(machine: &Machine) -> String {
    let Machine { os, arch, cpu, threads, power, .. } = machine;
    let power = power.as_deref().unwrap_or("unknown");
    shown(&format!("machine: {os}, {arch}, {cpu}, {threads} threads, power: {power}"))
}

fn one(measured: &Measured, protocol: &Protocol) -> Vec<String> {
    let Measured { load_ms, compile_ms, first_ms, macs, steps, weight_bytes, .. } = measured;
    let mut lines = vec![subject(measured)];
    let error = measured.error.iter().map(|error| shown(&format!("  error: {error}")));
    if measured.steps == 0 {
        // It could not be opened.
        lines.extend(error);
        return lines;
    }
    let shaders = if measured.device.safe_shaders { "; shader checks on" } else { "" };
    if measured.device.kind == "gpu" {
        let tick =
            measured.device.timestamp_ns.map_or("no timestamps".to_owned(), |ns| format!("timestamps of {ns} ns"));
        let (driver, tuning) = (&measured.device.driver, &measured.device.tuning);
        lines.push(shown(&format!("  {driver}; {tuning}; {tick}{shaders}")));
    }
    lines.extend(measured.note.iter().map(|note| shown(&format!("  {note}"))));
    let (macs, bytes) = (rounded(*macs), rounded(*weight_bytes));
    lines.push(shown(&format!("  weights: {} ({bytes}B); {macs}MACs in {steps} steps a run", measured.weights)));
    let quantised = measured.quantize_ms.map_or(String::new(), |ms| format!("quantise {ms:.1} ms, "));
    lines.push(format!("  load {load_ms:.1} ms, {quantised}compile {compile_ms:.1} ms, first run {first_ms:.2} ms"));
    lines.extend(clocks(&measured.clocks).into_iter().map(|line| format!("  {line}")));
    lines.extend(rates(measured, protocol).into_iter().map(|line| format!("  {line}")));
    lines.extend(error);
    lines
}

/// A row for each clock.
fn clocks(clocks: &Clocks) -> Vec<String> {
    let columns = ["ms", "n", "min", "mean", "p50", "p90", "p99", "max", "sd"];
    let align = |at| if at == 0 { Align::Left } else { Align::Right };
    let mut table = Table::new(std::array::from_fn::<_, 9, _>(|at| (columns[at], align(at))));
    let mut any = false;
    let rows =
        [("GPU", &clocks.gpu), ("submit to readback", &clocks.submit_to_readback), ("end to end", &clocks.end_to_end)];
    for (name, samples) in rows {
        let Some(Samples { summary, .. }) = samples else { continue };
        let Summary { n, min, mean, p50, p90, p99, max, std_dev } = *summary;
        let [min, mean, p50, p90, p99, max, sd] = [min, mean, p50, p90, p99, max, std_dev].map(ms);
        table.row([name.to_owned(), n.to_string(), min, mean, p50, p90, p99, max, sd]);
        any = true;
    }
    if any { table.lines() } else { vec!["nothing was measured".to_owned()] }
}

/// What else the mode is about.
fn rates(measured: &Measured, protocol: &Protocol) -> Vec<String> {
    let batch = measured.batch as f64;
    let Some(samples) = &measured.clocks.end_to_end else { return Vec::new() };
    let summary = samples.summary;
    match protocol.mode {
        Mode::Throughput => {
            let rate = measured.runs_per_second.unwrap_or(0.0);
            vec![format!("{rate:.1} runs/s, {:.1} pictures/s; the times above are with others in flight", rate * batch)]
        }
        Mode::SingleStream => {
            let seconds = samples.us.iter().sum::<f64>() / 1e6;
            let ([p90], n) = ([summary.p90].map(ms), summary.n);
            vec![format!("90th percentile {p90} ms over {n} queries in {seconds:.0} s")]
        }
        Mode::Sustained => curve(measured),
        Mode::Latency if measured.batch > 1 => vec![format!("{:.1} pictures/s", batch * 1e6 / summary.p50)],
        Mode::Latency => Vec::new(),
    }
}

/// Latency over time, a line for each part of it.
fn curve(measured: &Measured) -> Vec<String> {
    const PARTS: usize = 20;
    const WIDTH: f64 = 40.0;
    let parts = sustained(measured, PARTS);
    let most = parts.iter().map(|part| part.summary.p50).fold(0.0, f64::max);
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Vec::new() };
    let columns = ["from s", "runs", "p50 ms", "p99 ms", "p50"];
    let align = |at| if at == 4 { Align::Left } else { Align::Right };
    let mut table = Table::new(std::array::from_fn::<_, 5, _>(|at| (columns[at], align(at))));
    for part in &parts {
        let bar = "█".repeat((part.summary.p50 / most * WIDTH).round() as usize);
        let [p50, p99] = [part.summary.p50, part.summary.p99].map(ms);
        table.row([format!("{:.1}", part.from_s), part.summary.n.to_string(), p50, p99, bar]);
    }
    let change = 100.0 * (last.summary.p50 / first.summary.p50 - 1.0);
    let mut lines = table.lines();
    lines.push(format!("from the first part to the last the median changed by {change:+.1} %"));
    lines
}

/// Microseconds as milliseconds with at least three digits that count.
pub fn ms(us: f64) -> String {
    let ms = us / 1e3;
    match ms {
        100.0.. => format!("{ms:.1}"),
        10.0.. => format!("{ms:.2}"),
        _ => format!("{ms:.3}"),
    }
}
