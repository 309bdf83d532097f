//! `foveate adapters`.

use foveate::{Error, gpu};

use super::args::BackendArg;
use super::{Outcome, say, tell};

/// Arguments of `foveate adapters`.
#[derive(clap::Args)]
pub struct Adapters {
    /// One line of JSON per adapter.
    #[arg(long)]
    pub json: bool,
    /// Look at this backend only.
    #[arg(long, value_enum)]
    pub backend: Option<BackendArg>,
}

pub fn run(args: &Adapters) -> Outcome {
    let backend = args.backend.map(gpu::Backend::from);
    let all = pollster::block_on(gpu::adapters());
    let wanted = |choice: &gpu::AdapterChoice| {
        backend.is_none_or(|b| gpu::parse_backend(choice.summary.backend).ok() == Some(b))
    };
    let adapters: Vec<_> = all.into_iter().filter(wanted).map(|choice| choice.summary).collect();
    if adapters.is_empty() {
        let looked = backend.map_or("all backends".to_owned(), |backend| format!("{backend:?}"));
        tell(format_args!(
            "no adapter found (looked at: {looked}); models run on the CPU. A GPU wants its driver installed; \
             WGPU_BACKEND and --backend narrow the search"
        ));
    }
    for adapter in &adapters {
        if args.json {
            say(serde_json::to_string(adapter).map_err(Error::argument)?);
        } else {
            describe(adapter);
        }
    }
    Ok(())
}

fn describe(adapter: &gpu::AdapterSummary) {
    let gpu::AdapterFeatures { shader_f16, subgroups, timestamp_query, dot4 } = adapter.features;
    let gpu::AdapterLimits { max_buffer_size, max_storage_buffer_binding_size, .. } = adapter.limits;
    let limits = &adapter.limits;
    let names = [(shader_f16, "f16"), (subgroups, "subgroups"), (timestamp_query, "timestamps"), (dot4, "dot4")];
    let features: Vec<&str> = names.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
    say(adapter);
    say(format_args!("   driver    {} {}", adapter.driver, adapter.driver_info));
    say(format_args!(
        "   features  {}",
        if features.is_empty() { "none that matter here".into() } else { features.join(", ") }
    ));
    say(format_args!(
        "   limits    buffer {}, binding {}, {} storage buffers, workgroup {} invocations and {} of memory, {} workgroups",
        size(max_buffer_size),
        size(max_storage_buffer_binding_size),
        limits.max_storage_buffers_per_shader_stage,
        limits.max_compute_invocations_per_workgroup,
        size(limits.max_compute_workgroup_storage_size.into()),
        limits.max_compute_workgroups_per_dimension,
    ));
}

/// Bytes in the largest unit that keeps at least one digit before the point, rounded.
fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..0x400 => (1, "B"),
        0x400..0x10_0000 => (1 << 10, "KiB"),
        0x10_0000..0x3ff0_0000 => (1 << 20, "MiB"),
        0x3ff0_0000..0x100_0000_0000 => (1 << 30, "GiB"),
        _ => return "unlimited".into(),
    };
    format!("{} {name}", (bytes + unit / 2) / unit)
}
