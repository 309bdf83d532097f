//! Panics and warnings go to the browser's console.

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn say_error(message: &str);
    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    fn say_warning(message: &str);
}

struct Console;

impl log::Log for Console {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let say = if record.level() == log::Level::Error { say_error } else { say_warning };
            say(&format!("foveate: {}", record.args()));
        }
    }

    fn flush(&self) {}
}

#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| say_error(&format!("foveate: {info}"))));
    // Only a second start could have set one.
    if log::set_logger(&Console).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}
