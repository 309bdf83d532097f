//! Makes the JavaScript bindings of the browser package: `foveate-bindgen foveate.wasm OUT_DIR NAME` writes
//! `NAME.js` and `NAME_bg.wasm`.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, name] = arguments.as_slice() else {
        eprintln!("usage: foveate-bindgen FILE.wasm OUT_DIR NAME");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(input).out_name(name).typescript(false).omit_default_module_path(false);
    let made = bindgen.web(true).and_then(|bindgen| bindgen.generate(output));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("foveate-bindgen: {input}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
