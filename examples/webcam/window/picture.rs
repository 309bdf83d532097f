//! The picture, the maps over it, and what there is to say.

use egui::{Color32, FontId, Pos2, Rect, Vec2, pos2, vec2};

use super::figures::common_name;
use super::theme;
use super::view::View;

/// The frame as large as it fits, maps over it, and what is wrong. With the best class if nothing else says it.
pub fn show(ui: &egui::Ui, view: &View, bare: bool) {
    let whole = ui.max_rect();
    if let Some((id, [width, height])) = view.picture {
        let rect = fitted(whole, vec2(width as f32, height as f32));
        ui.painter().image(id, rect, corners(view.mirror), Color32::WHITE);
    }
    if !bare {
        maps(ui, view, whole);
    }
    let mut at = whole.min + vec2(12.0, 12.0);
    let wide = (whole.width() - 24.0).max(60.0);
    let lines = [
        view.source_failed.as_deref().map(|reason| (reason, theme::FAILURE)),
        view.busy.as_deref().map(|what| (what, theme::PROGRESS)),
        view.paused.then_some(("paused (Space goes on)", Color32::WHITE)),
    ];
    let messages = view.messages.iter().map(|(_, message)| (message.as_str(), theme::MESSAGE));
    for (text, colour) in lines.into_iter().flatten().chain(messages) {
        at.y += banner(ui, at, text, colour, wide) + 8.0;
    }
    let best = view.classified.as_ref().and_then(|classified| classified.top.first());
    if let (true, Some(best)) = (bare, best) {
        banner(ui, at, &format!("{} {:.0} %", common_name(&best.label), best.score * 100.0), Color32::WHITE, wide);
    }
}

/// In the lower right.
fn maps(ui: &egui::Ui, view: &View, whole: Rect) {
    let (Some(name), Some(maps)) = (&view.layer, &view.maps) else { return };
    let room = Rect::from_min_max(whole.center() - vec2(0.0, whole.height() * 0.1), whole.max).shrink(10.0);
    let rect = fitted(room, maps.size_vec2());
    let rect = rect.translate(room.max - rect.max);
    let font = FontId::proportional(14.0);
    let title = ui.painter().layout_no_wrap(format!("maps of {name}"), font, Color32::WHITE);
    let above = Rect::from_min_max(pos2(room.max.x - title.size().x.max(rect.width()), rect.min.y - 22.0), rect.max);
    ui.painter().rect_filled(above.expand(5.0), 5.0, Color32::from_black_alpha(210));
    ui.painter().galley(above.min, title, Color32::WHITE);
    ui.painter().image(maps.id(), rect, corners(view.mirror), Color32::WHITE);
}

/// The part of a texture that is drawn: all of it.
fn corners(mirrored: bool) -> Rect {
    let (left, right) = if mirrored { (1.0, 0.0) } else { (0.0, 1.0) };
    Rect::from_min_max(Pos2::new(left, 0.0), Pos2::new(right, 1.0))
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
