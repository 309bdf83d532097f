//! Colours, all readable on the window's dark ground.

use egui::Color32;

/// Behind the picture.
pub const GROUND: Color32 = Color32::from_gray(14);
/// Behind graphs and bars.
pub const WELL: Color32 = Color32::from_gray(18);
/// The best class's bar, and switches that are on.
pub const ACCENT: Color32 = Color32::from_rgb(52, 104, 184);
/// The other classes' bars.
pub const BAR: Color32 = Color32::from_gray(70);
pub const FAILURE: Color32 = Color32::from_rgb(255, 150, 130);
pub const PROGRESS: Color32 = Color32::from_rgb(190, 215, 255);
pub const MESSAGE: Color32 = Color32::from_rgb(255, 220, 140);
/// Of the clocks, in their order; their names stand beside them in the same colour.
pub const CLOCKS: [Color32; 3] =
    [Color32::from_rgb(120, 200, 120), Color32::from_rgb(110, 170, 250), Color32::from_rgb(240, 180, 90)];

pub fn apply(egui: &egui::Context) {
    egui.set_theme(egui::Theme::Dark);
    egui.style_mut_of(egui::Theme::Dark, |style| {
        let visuals = &mut style.visuals;
        visuals.widgets.noninteractive.fg_stroke.color = Color32::from_gray(205);
        visuals.weak_text_color = Some(Color32::from_gray(150));
        visuals.selection.bg_fill = ACCENT;
    });
}
