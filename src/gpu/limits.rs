//! Whether a plan fits a device, before anything is allocated.

use super::context::GpuContext;
use crate::error::{Error, Result};
use crate::kernels::{Binding, Step};
use crate::plan::Plan;

/// # Errors
/// [`Error::Limit`] for the first thing that does not fit. `readback` is the size in bytes of all
/// outputs together, `beside` the dispatches that are not the plan's: in front of its steps or behind.
pub(super) fn check<'a>(
    plan: &Plan,
    beside: impl IntoIterator<Item = &'a Step>,
    readback: u64,
    context: &GpuContext,
) -> Result<()> {
    let limits = &context.limits;
    let buffer = ("max_buffer_size", limits.max_buffer_size);
    let binding = ("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size);
    let smaller = "use a smaller batch or input, or the CPU executor";
    for tensor in &plan.tensors {
        let what = || {
            let (name, planes, pixels) = (&tensor.name, tensor.planes, tensor.pixels);
            format!("the value of node {name:?} ({planes} planes of {pixels} pixels, batch {})", plan.batch)
        };
        within(what, tensor.bytes(), binding, context, smaller)?;
        within(what, tensor.bytes(), buffer, context, smaller)?;
    }
    for weights in &plan.weights {
        let what = || format!("the weights of node {:?}", weights.name);
        within(what, weights.bytes(), binding, context, "use another device, or the CPU executor")?;
        within(what, weights.bytes(), buffer, context, "use another device, or the CPU executor")?;
    }
    within(|| "the outputs together".to_owned(), readback, buffer, context, smaller)?;
    plan.steps.iter().try_for_each(|step| check_step(step, context))?;
    beside.into_iter().try_for_each(|step| check_step(step, context))
}

/// Whether a plan fits into so many bytes, with `host` bytes of what goes to the host.
///
/// # Errors
/// [`Error::Limit`] with what it needs for what.
pub(super) fn check_budget(plan: &Plan, host: u64, budget: u64, context: &GpuContext) -> Result<()> {
    let (weights, values) = (plan.weight_bytes(), plan.memory.bytes());
    let needed = weights.saturating_add(values).saturating_add(host);
    let what = || {
        let Plan { name, batch, .. } = plan;
        format!("{name} at batch {batch} (bytes: {weights} of weights, {values} of values, {host} of results)")
    };
    let hint = "use a smaller batch, input or number format, a larger budget, or the CPU executor";
    within(what, needed, ("memory budget in bytes", budget), context, hint)
}

/// # Errors
/// [`Error::Limit`] if the device does not run such a step.
pub(super) fn check_step(step: &Step, context: &GpuContext) -> Result<()> {
    let (limits, kernel) = (&context.limits, step.kernel);
    let what = || format!("kernel {} of node {:?}", kernel.name, step.node);
    let device = "use another device, or the CPU executor";
    let buffers = ("max_storage_buffers_per_shader_stage", limits.max_storage_buffers_per_shader_stage.into());
    let bound = step.arguments().count() as u64;
    within(what, bound, buffers, context, device)?;
    let bindings = ("max_bindings_per_bind_group", limits.max_bindings_per_bind_group.into());
    within(what, bound, bindings, context, device)?;
    let invocations = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
    let invocations = ("max_compute_invocations_per_workgroup", invocations.into());
    within(what, step.workgroup().into(), invocations, context, device)?;
    let groups = ("max_compute_workgroups_per_dimension", limits.max_compute_workgroups_per_dimension.into());
    let largest = step.grid.into_iter().max().unwrap_or(0);
    within(what, largest.into(), groups, context, "use a smaller batch or input")
}

fn within(
    what: impl FnOnce() -> String,
    needed: u64,
    (limit_name, limit): (&'static str, u64),
    context: &GpuContext,
    hint: &str,
) -> Result<()> {
    if needed <= limit {
        return Ok(());
    }
    let device = context.summary().to_string();
    Err(Error::Limit { what: what(), needed, device, limit, limit_name, hint: hint.to_owned() })
}

/// Whether every binding of a step names something that the plan has.
///
/// # Errors
/// [`Error::Plan`], for plans that were not made by [`Plan::new`].
pub(super) fn check_bindings(plan: &Plan) -> Result<()> {
    let outside = |step: &&Step| {
        step.bindings.len() != step.arguments().count()
            || step.bindings.iter().any(|binding| match binding {
                Binding::Tensor(id) => id.0 as usize >= plan.tensors.len(),
                Binding::Weights(id) => id.0 as usize >= plan.weights.len(),
                Binding::Picture | Binding::Tables | Binding::Lines | Binding::Best => true,
            })
    };
    match plan.steps.iter().find(outside) {
        None => Ok(()),
        Some(step) => {
            Err(Error::Plan { node: step.node.clone(), reason: format!("{step}: its bindings are not the plan's") })
        }
    }
}
