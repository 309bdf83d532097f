//! The window's panels, drawn from what is known; they return what the user asked for.

use egui::{Align2, RichText, Vec2};

use super::view::{Action, KEYS, View};
use super::{choices, figures, picture, theme};

/// The side panel's width.
const SIDE: f32 = 320.0;

/// How the room is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrangement {
    /// Figures and choices to the right of the picture.
    Beside,
    /// Under it.
    Below,
    /// The picture and what it shows: there is no room for more.
    Bare,
}

fn arrangement(room: Vec2) -> Arrangement {
    match room {
        Vec2 { x, y } if x >= 2.0 * SIDE && y >= 200.0 => Arrangement::Beside,
        Vec2 { x, y } if x >= 0.8 * SIDE && y >= 420.0 => Arrangement::Below,
        _ => Arrangement::Bare,
    }
}

/// Draws everything.
pub fn show(ui: &mut egui::Ui, view: &View) -> Vec<Action> {
    let mut asked = Vec::new();
    let room = ui.max_rect().size();
    let arrangement = arrangement(room);
    match arrangement {
        Arrangement::Beside => {
            egui::Panel::bottom("status").show(ui, |ui| status(ui, view));
            egui::Panel::right("side").resizable(false).exact_size(SIDE).show(ui, |ui| side(ui, view, &mut asked));
        }
        Arrangement::Below => {
            let panel = egui::Panel::bottom("below").resizable(false).exact_size(room.y * 0.55);
            panel.show(ui, |ui| side(ui, view, &mut asked));
        }
        Arrangement::Bare => {}
    }
    let bare = arrangement == Arrangement::Bare;
    let frame = egui::Frame::NONE.fill(theme::GROUND);
    egui::CentralPanel::default().frame(frame).show(ui, |ui| picture::show(ui, view, bare));
    if view.help {
        help(ui, &mut asked);
    }
    asked
}

fn side(ui: &mut egui::Ui, view: &View, asked: &mut Vec<Action>) {
    egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        figures::labels(ui, view);
        ui.separator();
        figures::latency(ui, view);
        ui.separator();
        choices::show(ui, view, asked);
    });
}

fn status(ui: &mut egui::Ui, view: &View) {
    ui.horizontal_wrapped(|ui| {
        if let Some(ready) = &view.ready {
            ui.label(&ready.model);
            ui.separator();
            ui.label(ready.precision.to_string());
            ui.separator();
            ui.label(&ready.device).on_hover_text("where the network runs");
            ui.separator();
            ui.label(format!("ready in {:.0} ms", ready.took)).on_hover_text("loading, uploading and compiling it");
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
            egui::Grid::new("keys").spacing([16.0, 4.0]).show(ui, |ui| {
                for (key, what, _) in &KEYS {
                    ui.label(RichText::new(*key).strong());
                    ui.label(*what);
                    ui.end_row();
                }
            });
            ui.separator();
            ui.label(
                "Drop a picture, an animated GIF or a folder on the window to look at it, a model file to run it.",
            );
        });
    if !open {
        asked.push(Action::Help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_keeps_room_in_every_window() {
        for (width, height, wanted) in [
            (1100.0, 640.0, Arrangement::Beside),
            (1300.0, 250.0, Arrangement::Beside),
            (420.0, 640.0, Arrangement::Below),
            (300.0, 200.0, Arrangement::Bare),
            (100.0, 900.0, Arrangement::Bare),
            (1300.0, 100.0, Arrangement::Bare),
            (0.0, 0.0, Arrangement::Bare),
        ] {
            assert_eq!(arrangement(Vec2::new(width, height)), wanted, "{width}×{height}");
        }
    }
}
