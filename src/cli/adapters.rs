//! `foveate adapters`.

use foveate::{Error, gpu};

use super::{Outcome, args, say};

pub fn run(args: &args::Adapters) -> Outcome {
    let adapters = pollster::block_on(gpu::adapters(args.backend.map(Into::into)));
    if adapters.is_empty() {
        eprintln!("wgpu sees no adapter: models run on the CPU; a GPU wants its Vulkan (or GL) driver installed");
    }
    for adapter in &adapters {
        if args.json {
            say(serde_json::to_string(adapter).map_err(Error::argument)?);
        } else {
            say(adapter);
        }
    }
    Ok(())
}
