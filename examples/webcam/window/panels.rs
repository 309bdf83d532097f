//! The window's panels, drawn from what is known; they return what the user asked for.

use egui::{Align2, Color32, FontId, Pos2, Rect, RichText, Sense, Stroke, StrokeKind, Vec2, pos2, vec2};

use super::view::{Action, KEYS, View};
use crate::args::PRECISIONS;
use crate::latency::line;
use crate::source::Spec;

/// Of the clocks, in their order: readable on dark grey, and told apart without colour by their labels.
const COLOURS: [Color32; 3] =
    [Color32::from_rgb(120, 200, 120), Color32::from_rgb(110, 170, 250), Color32::from_rgb(240, 180, 90)];
const SIDE: f32 = 320.0;

/// Draws everything.
pub fn show(ui: &mut egui::Ui, view: &View) -> Vec<Action> {
    let mut asked = Vec::new();
    egui::Panel::bottom("status").show(ui, |ui| status(ui, view));
    egui::Panel::right("side").resizable(false).exact_size(SIDE).show(ui, |ui| {
        egui::ScrollArea::vertical().show(ui, |ui| {
            labels(ui, view);
            ui.separator();
            latency(ui, view);
            ui.separator();
            choices(ui, view, &mut asked);
        });
    });
    egui::CentralPanel::default().frame(egui::Frame::NONE.fill(Color32::from_gray(16))).show(ui, |ui| {
        picture(ui, view);
    });
    if view.help {
        help(ui, &mut asked);
    }
    asked
}

/// The frame as large as it fits, maps over it, and what is wrong.
fn picture(ui: &mut egui::Ui, view: &View) {
    let whole = ui.max_rect();
    if let Some((id, [width, height])) = view.picture {
        let rect = fitted(whole, vec2(width as f32, height as f32));
        let (left, right) = if view.mirror { (1.0, 0.0) } else { (0.0, 1.0) };
        ui.painter().image(id, rect, Rect::from_min_max(pos2(left, 0.0), pos2(right, 1.0)), Color32::WHITE);
    }
    if let (Some(name), Some(maps)) = (&view.layer, &view.maps) {
        let room = Rect::from_min_max(whole.center() - vec2(0.0, whole.height() * 0.1), whole.max).shrink(10.0);
        let rect = fitted(room, maps.size_vec2());
        let rect = rect.translate(room.max - rect.max);
        ui.painter().rect_filled(rect.expand(4.0), 4.0, Color32::from_black_alpha(200));
        ui.painter().image(maps.id(), rect, Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0)), Color32::WHITE);
        banner(ui, rect.min - vec2(0.0, 26.0), name, Color32::WHITE, rect.width());
    }
    let mut at = whole.min + vec2(12.0, 12.0);
    let wide = (whole.width() - 24.0).max(60.0);
    let lines = [
        view.source_failed.as_deref().map(|reason| (reason, Color32::from_rgb(255, 150, 130))),
        view.busy.as_deref().map(|what| (what, Color32::from_rgb(200, 220, 255))),
        view.paused.then_some(("paused (Space goes on)", Color32::WHITE)),
    ];
    for (text, colour) in lines.into_iter().flatten() {
        at.y += banner(ui, at, text, colour, wide) + 8.0;
    }
    for (_, message) in &view.messages {
        at.y += banner(ui, at, message, Color32::from_rgb(255, 220, 140), wide) + 8.0;
    }
}

/// Text on a dark ground; its height.
fn banner(ui: &egui::Ui, at: Pos2, text: &str, colour: Color32, wide: f32) -> f32 {
    let galley = ui.painter().layout(text.to_owned(), FontId::proportional(15.0), colour, wide - 16.0);
    let rect = Rect::from_min_size(at, galley.size() + vec2(16.0, 10.0));
    ui.painter().rect_filled(rect, 5.0, Color32::from_black_alpha(210));
    ui.painter().galley(at + vec2(8.0, 5.0), galley, colour);
    rect.height()
}

/// The largest rectangle of that shape in the middle of another.
fn fitted(room: Rect, size: Vec2) -> Rect {
    let scale = (room.width() / size.x.max(1.0)).min(room.height() / size.y.max(1.0)).max(0.0);
    Rect::from_center_size(room.center(), size * scale)
}

/// The five best classes with bars.
fn labels(ui: &mut egui::Ui, view: &View) {
    ui.add_space(6.0);
    let Some(classified) = &view.classified else {
        ui.label(RichText::new("no answer yet").weak());
        return;
    };
    let name = classified.name.as_ref().map_or(String::new(), |name| format!(": {name}"));
    ui.label(RichText::new(format!("frame {}{name}", classified.number)).weak());
    for (rank, top) in classified.top.iter().enumerate() {
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 26.0), Sense::hover());
        let strong = rank == 0;
        let colour = if strong { Color32::from_rgb(60, 110, 190) } else { Color32::from_gray(62) };
        let mut bar = rect.shrink2(vec2(0.0, 2.0));
        ui.painter().rect_filled(bar, 3.0, Color32::from_gray(36));
        bar.set_width(bar.width() * top.score.clamp(0.0, 1.0));
        ui.painter().rect_filled(bar, 3.0, colour);
        let (font, inside) = (FontId::proportional(if strong { 17.0 } else { 14.0 }), rect.shrink2(vec2(8.0, 0.0)));
        // ImageNet's names are lists; the first is what everybody calls it.
        let name = top.label.split(',').next().unwrap_or(&top.label);
        ui.painter().text(inside.left_center(), Align2::LEFT_CENTER, name, font.clone(), Color32::WHITE);
        let score = format!("{:.1} %", top.score * 100.0);
        ui.painter().text(inside.right_center(), Align2::RIGHT_CENTER, score, font, Color32::WHITE);
    }
}

/// Frame rates, the three clocks, and their course.
fn latency(ui: &mut egui::Ui, view: &View) {
    ui.label(format!("{:.1} frames/s shown, {:.1} classified", view.rate(), view.latency.rate()));
    ui.label(RichText::new(format!("{} frames not classified: a newer one was there", view.dropped)).weak());
    let clocks = view.latency.clocks();
    egui::Grid::new("clocks").show(ui, |ui| {
        for ((name, samples), colour) in clocks.iter().zip(COLOURS) {
            ui.label(RichText::new(*name).color(colour));
            ui.label(if samples.is_empty() { "no such clock here".to_owned() } else { line(samples) });
            ui.end_row();
        }
    });
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 90.0), Sense::hover());
    ui.painter().rect_filled(rect, 3.0, Color32::from_gray(20));
    let most = clocks.iter().flat_map(|(_, samples)| samples).copied().fold(1.0, f64::max) * 1.1;
    for ((_, samples), colour) in clocks.iter().zip(COLOURS) {
        let last = samples.len().saturating_sub(1).max(1) as f32;
        let point = |(at, ms): (usize, &f64)| {
            let (across, up) = (at as f32 / last, (*ms / most) as f32);
            pos2(rect.left() + across * rect.width(), rect.bottom() - up * rect.height())
        };
        let points: Vec<Pos2> = samples.iter().enumerate().map(point).collect();
        ui.painter().line(points, Stroke::new(1.5, colour));
    }
    let scale = format!("{most:.0} ms");
    ui.painter().text(
        rect.left_top() + vec2(4.0, 2.0),
        Align2::LEFT_TOP,
        scale,
        FontId::proportional(11.0),
        Color32::GRAY,
    );
    ui.painter().rect_stroke(rect, 3.0, Stroke::new(1.0, Color32::from_gray(50)), StrokeKind::Inside);
}

/// Camera, model, precision, layer, and the switches.
fn choices(ui: &mut egui::Ui, view: &View, asked: &mut Vec<Action>) {
    egui::Grid::new("choices").num_columns(2).show(ui, |ui| {
        ui.label("source");
        menu(ui, "source", &short(&view.source), |ui| {
            for (number, name) in &view.cameras {
                if ui.button(name).clicked() {
                    asked.push(Action::Source(Spec::Camera(*number)));
                }
            }
            if ui.button("synthetic scene").clicked() {
                asked.push(Action::Source(Spec::Synthetic));
            }
            ui.label(RichText::new("or drop a picture on the window").weak());
        });
        ui.end_row();
        ui.label("model");
        let model = view.models.get(view.model).map_or("", String::as_str);
        menu(ui, "model", &short(model), |ui| {
            for (at, name) in view.models.iter().enumerate() {
                if ui.selectable_label(at == view.model, name).clicked() {
                    asked.push(Action::Model(at));
                }
            }
            ui.label(RichText::new("or drop a model file on the window").weak());
        });
        ui.end_row();
        let now = view.ready.as_ref().map(|ready| ready.precision);
        ui.label("precision");
        menu(ui, "precision", &now.map_or(String::new(), |now| now.to_string()), |ui| {
            for precision in PRECISIONS {
                if ui.selectable_label(now == Some(precision), precision.to_string()).clicked() {
                    asked.push(Action::Precision(precision));
                }
            }
        });
        ui.end_row();
        ui.label("maps");
        menu(ui, "maps", view.layer.as_deref().unwrap_or("none"), |ui| {
            if ui.selectable_label(view.layer.is_none(), "none").clicked() {
                asked.push(Action::Layer(None));
            }
            for name in view.ready.iter().flat_map(|ready| &ready.layers) {
                if ui.selectable_label(view.layer.as_ref() == Some(name), name).clicked() {
                    asked.push(Action::Layer(Some(name.clone())));
                }
            }
        });
        ui.end_row();
    });
    ui.horizontal_wrapped(|ui| {
        let mut switch = |ui: &mut egui::Ui, on: bool, name: &str, action: Action| {
            if ui.selectable_label(on, name).clicked() {
                asked.push(action);
            }
        };
        switch(ui, view.mirror, "mirror", Action::Mirror);
        switch(ui, view.paused, "pause", Action::Pause);
        switch(ui, false, "screenshot", Action::Screenshot);
        switch(ui, view.help, "help", Action::Help);
    });
}

fn menu(ui: &mut egui::Ui, id: &str, now: &str, entries: impl FnOnce(&mut egui::Ui)) {
    egui::ComboBox::from_id_salt(id).selected_text(now).width(220.0).show_ui(ui, entries);
}

/// The end of a long text, which tells more of a path than its beginning.
fn short(text: &str) -> String {
    let count = text.chars().count();
    if count <= 32 { text.to_owned() } else { format!("…{}", text.chars().skip(count - 31).collect::<String>()) }
}

fn status(ui: &mut egui::Ui, view: &View) {
    ui.horizontal_wrapped(|ui| {
        if let Some(ready) = &view.ready {
            ui.label(&ready.model);
            ui.separator();
            ui.label(ready.precision.to_string());
            ui.separator();
            ui.label(&ready.device);
            ui.separator();
            ui.label(format!("ready in {:.0} ms", ready.took));
            ui.separator();
        }
        ui.label(RichText::new(&view.source).weak());
        ui.separator();
        if view.ready.as_ref().is_some_and(|ready| !view.drawn_by.starts_with(&ready.device)) {
            ui.label(RichText::new(format!("drawn by {}", view.drawn_by)).weak());
            ui.separator();
        }
        ui.label(RichText::new("? for help").weak());
    });
}

fn help(ui: &egui::Ui, asked: &mut Vec<Action>) {
    let mut open = true;
    egui::Window::new("Help")
        .open(&mut open)
        .collapsible(false)
        .resizable(false)
        .anchor(Align2::CENTER_CENTER, Vec2::ZERO)
        .show(ui.ctx(), |ui| {
            egui::Grid::new("keys").show(ui, |ui| {
                for (key, what, _) in &KEYS {
                    ui.label(RichText::new(*key).strong());
                    ui.label(*what);
                    ui.end_row();
                }
            });
            ui.separator();
            ui.label("Drop a picture, an animated GIF or a folder on the window to see that; a model file to run it.");
        });
    if !open {
        asked.push(Action::Help);
    }
}
