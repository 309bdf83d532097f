//! The five best classes, frame rates, and the three clocks.

use egui::{Align2, Color32, FontId, Pos2, RichText, Sense, Stroke, StrokeKind, pos2, vec2};
use foveate::bench::Summary;

use super::theme;
use super::view::View;

/// What each clock counts, in the order of [`theme::CLOCKS`].
const MEANINGS: [&str; 3] = [
    "on the GPU's own clock: the network alone",
    "from submission until the classes are in memory",
    "from the frame's arrival until its classes are in memory",
];

/// ImageNet's names are lists; the first is what everybody calls it.
pub fn common_name(label: &str) -> &str {
    label.split(',').next().unwrap_or(label)
}

/// The five best classes with bars.
pub fn labels(ui: &mut egui::Ui, view: &View) {
    ui.add_space(6.0);
    let Some(classified) = &view.classified else {
        ui.label(RichText::new("no answer yet").weak());
        return;
    };
    let name = classified.name.as_ref().map_or(String::new(), |name| format!(": {name}"));
    ui.add(egui::Label::new(RichText::new(format!("frame {}{name}", classified.number)).weak()).truncate());
    for (rank, top) in classified.top.iter().enumerate() {
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 26.0), Sense::hover());
        let best = rank == 0;
        let mut bar = rect.shrink2(vec2(0.0, 2.0));
        ui.painter().rect_filled(bar, 3.0, theme::WELL);
        bar.set_width(bar.width() * top.score.clamp(0.0, 1.0));
        ui.painter().rect_filled(bar, 3.0, if best { theme::ACCENT } else { theme::BAR });
        let (font, inside) = (FontId::proportional(if best { 17.0 } else { 14.0 }), rect.shrink2(vec2(8.0, 0.0)));
        let score = format!("{:.1} %", top.score * 100.0);
        let score = ui.painter().text(inside.right_center(), Align2::RIGHT_CENTER, score, font.clone(), Color32::WHITE);
        // A long name ends before the figure.
        let room = egui::Rect::from_min_max(inside.min, pos2(score.left() - 8.0, inside.max.y));
        let painter = ui.painter().with_clip_rect(room);
        painter.text(inside.left_center(), Align2::LEFT_CENTER, common_name(&top.label), font, Color32::WHITE);
    }
}

/// Frame rates, the three clocks, and their course.
pub fn latency(ui: &mut egui::Ui, view: &View) {
    ui.label(format!("{:.1} frames/s shown, {:.1} classified", view.rate(), view.latency.rate()));
    let frames = if view.dropped == 1 { "frame" } else { "frames" };
    ui.label(RichText::new(format!("{} {frames} skipped", view.dropped)).weak())
        .on_hover_text("frames that were not classified, because a newer one was there");
    let clocks = view.latency.clocks();
    egui::Grid::new("clocks").num_columns(3).min_col_width(76.0).show(ui, |ui| {
        ui.label(RichText::new("latency, ms").weak());
        ui.label(RichText::new("p50").weak()).on_hover_text("half of the last frames took no longer");
        ui.label(RichText::new("p99").weak()).on_hover_text("99 of 100 of the last frames took no longer");
        ui.end_row();
        for (((name, samples), colour), meaning) in clocks.iter().zip(theme::CLOCKS).zip(MEANINGS) {
            ui.label(RichText::new(*name).color(colour)).on_hover_text(meaning);
            match Summary::of(samples) {
                Some(summary) => {
                    ui.label(milliseconds(summary.p50));
                    ui.label(milliseconds(summary.p99));
                }
                None => {
                    ui.label(RichText::new("–").weak()).on_hover_text("none yet, or this device has no such clock");
                }
            }
            ui.end_row();
        }
    });
    graph(ui, &clocks);
}

fn milliseconds(ms: f64) -> String {
    if ms < 100.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

fn graph(ui: &mut egui::Ui, clocks: &[(&'static str, Vec<f64>)]) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 90.0), Sense::hover());
    ui.painter().rect_filled(rect, 3.0, theme::WELL);
    let most = clocks.iter().flat_map(|(_, samples)| samples).copied().fold(1.0, f64::max) * 1.1;
    for ((_, samples), colour) in clocks.iter().zip(theme::CLOCKS) {
        let last = samples.len().saturating_sub(1).max(1) as f32;
        let point = |(at, ms): (usize, &f64)| {
            let (across, up) = (at as f32 / last, (*ms / most) as f32);
            pos2(rect.left() + across * rect.width(), rect.bottom() - up * rect.height())
        };
        let points: Vec<Pos2> = samples.iter().enumerate().map(point).collect();
        ui.painter().line(points, Stroke::new(1.5, colour));
    }
    let scale =
        ui.painter().layout_no_wrap(format!("{most:.0} ms"), FontId::proportional(11.0), Color32::from_gray(170));
    let at = rect.left_top() + vec2(4.0, 2.0);
    ui.painter().rect_filled(egui::Rect::from_min_size(at, scale.size()), 0.0, theme::WELL);
    ui.painter().galley(at, scale, Color32::WHITE);
    ui.painter().rect_stroke(rect, 3.0, Stroke::new(1.0, Color32::from_gray(50)), StrokeKind::Inside);
}
