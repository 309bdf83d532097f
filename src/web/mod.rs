//! The browser's side: what `examples/web/build.sh` makes a package of. It has a WebAssembly module for each thing
//! that a page may need, so that none fetches what it does not use: [`gpu`] and [`processor`] compute the networks of
//! foveate's own model files, [`import`] makes such a file of any other. `--cfg foveate_module="…"` says which of them
//! is compiled; without it all are, for checking. What the web has of its own (fetching, caching, workers, video) is in
//! the scripts of `examples/web/package`.

#[cfg(not(foveate_module = "import"))]
mod answer;
mod console;
mod failure;
#[cfg(not(any(foveate_module = "cpu", foveate_module = "import")))]
mod gpu;
#[cfg(not(any(foveate_module = "gpu", foveate_module = "cpu")))]
mod import;
mod object;
#[cfg(not(foveate_module = "import"))]
mod options;
#[cfg(not(any(foveate_module = "gpu", foveate_module = "import")))]
mod processor;

use failure::failed;
use wasm_bindgen::JsValue;

/// What every function here returns to JavaScript, where errors are thrown.
type Outcome<T> = std::result::Result<T, JsValue>;
