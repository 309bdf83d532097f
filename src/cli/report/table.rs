//! All numbers as a table of Markdown, to be copied.

use foveate::bench::Samples;

use super::gather::Gathered;
use crate::cli::bench::ms;

/// The table.
pub fn markdown(gathered: &Gathered) -> String {
    let mut text = String::from(
        "| network | precision | batch | device | GPU p50 ms | submit to readback p50 ms | end to end p50 ms | p90 ms | p99 ms | n |\n\
         |---|---|--:|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for found in gathered.results() {
        let clocks = &found.measured.clocks;
        let p50 = |samples: &Option<Samples>| samples.as_ref().map_or("–".to_owned(), |s| ms(s.summary.p50));
        let Some(whole) = clocks.end_to_end.as_ref().map(|samples| samples.summary) else { continue };
        let device = gathered.devices.get(found.device).map_or("", String::as_str);
        let cells = [
            found.key.model.clone(),
            found.key.precision.clone(),
            found.key.batch.to_string(),
            device.to_owned(),
            p50(&clocks.gpu),
            p50(&clocks.submit_to_readback),
            ms(whole.p50),
            ms(whole.p90),
            ms(whole.p99),
            whole.n.to_string(),
        ];
        // What a name holds must not end its cell or line.
        let cells = cells.map(|cell| cell.replace('|', "/").replace(char::is_control, " "));
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}
