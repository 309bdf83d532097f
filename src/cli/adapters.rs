//! `foveate adapters`.

use foveate::{Error, gpu};

use super::{Outcome, args, say};

pub fn run(args: &args::Adapters) -> Outcome {
    let backend = args.backend.map(gpu::Backend::from);
    let all = pollster::block_on(gpu::adapters());
    let wanted = |choice: &gpu::AdapterChoice| {
        backend.is_none_or(|b| gpu::parse_backend(choice.summary.backend).ok() == Some(b))
    };
    let adapters: Vec<_> = all.into_iter().filter(wanted).map(|choice| choice.summary).collect();
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
