//! Menus of source, model, precision and layer, and the switches.

use egui::RichText;
use foveate::Precision;

use super::view::{Action, View};
use crate::source::Spec;

/// The menus' names take this much.
const NAMES: f32 = 74.0;

pub fn show(ui: &mut egui::Ui, view: &View, asked: &mut Vec<Action>) {
    let wide = (ui.available_width() - NAMES).max(80.0);
    egui::Grid::new("choices").num_columns(2).show(ui, |ui| {
        ui.label("source");
        menu(ui, "source", &short(&view.source), wide, |ui| {
            for (number, name) in &view.cameras {
                if ui.button(name).clicked() {
                    asked.push(Action::Source(Spec::Camera(*number)));
                }
            }
            if ui.button("synthetic scene").clicked() {
                asked.push(Action::Source(Spec::Synthetic));
            }
            ui.label(RichText::new("or drop a picture or a folder on the window").weak());
        });
        ui.end_row();
        ui.label("model");
        let model = view.models.get(view.model).map_or("", String::as_str);
        menu(ui, "model", &short(model), wide, |ui| {
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
        menu(ui, "precision", &now.map_or(String::new(), |now| now.to_string()), wide, |ui| {
            let known = view.ready.as_ref().map_or(&[][..], |ready| &ready.precisions);
            for precision in known {
                if ui.selectable_label(now == Some(*precision), precision.to_string()).clicked() {
                    asked.push(Action::Precision(*precision));
                }
            }
            if !known.contains(&Precision::W8a8) {
                ui.label(RichText::new("w8a8 is for files of `foveate quantize`").weak());
            }
        });
        ui.end_row();
        ui.label("maps");
        menu(ui, "maps", view.layer.as_deref().unwrap_or("none"), wide, |ui| {
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
    ui.add_space(4.0);
    ui.horizontal_wrapped(|ui| {
        let mut switch = |ui: &mut egui::Ui, on: bool, name: &str, action: Action| {
            if ui.add(egui::Button::new(name).selected(on)).clicked() {
                asked.push(action);
            }
        };
        switch(ui, view.mirror, "mirror", Action::Mirror);
        switch(ui, view.paused, "pause", Action::Pause);
        switch(ui, false, "screenshot", Action::Screenshot);
        switch(ui, view.help, "help", Action::Help);
    });
}

fn menu(ui: &mut egui::Ui, id: &str, now: &str, wide: f32, entries: impl FnOnce(&mut egui::Ui)) {
    egui::ComboBox::from_id_salt(id).selected_text(now).width(wide).truncate().show_ui(ui, entries);
}

/// The end of a long text, which tells more of a path than its beginning.
fn short(text: &str) -> String {
    let count = text.chars().count();
    if count <= 32 { text.to_owned() } else { format!("…{}", text.chars().skip(count - 31).collect::<String>()) }
}
