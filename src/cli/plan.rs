//! `foveate plan`.

use foveate::kernels::Target;
use foveate::models::{Architecture, Form, Zeros};
use foveate::plan;
use foveate::quant::{Quantization, Scheme};
use foveate::{Graph, Result, int8, passes};

use super::args::{ModelArgs, at_least_one};
use super::{Outcome, say, source};

/// Arguments of `foveate plan`.
#[derive(clap::Args)]
pub struct Plan {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Samples per run.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    pub batch: usize,
}

pub fn run(args: &Plan) -> Outcome {
    let (graph, quantization) = network(&args.model)?;
    if let Some(quantization) = quantization.filter(|found| found.scheme() == Scheme::W8a8) {
        let program = int8::lower(&graph, &quantization)?;
        let plan = plan::Plan::for_program(&program, args.batch, &[], Target::default())?;
        say(&graph);
        say(&program);
        say(plan);
        return Ok(());
    }
    let plan = plan::Plan::new(&graph, args.batch, &[])?;
    say(&graph);
    say(plan);
    Ok(())
}

/// The fused graph. A plan depends on no weight's value, so a name is enough.
pub fn graph(args: &ModelArgs) -> Result<Graph> {
    Ok(network(args)?.0)
}

/// The same, with the scales of a quantised file.
fn network(args: &ModelArgs) -> Result<(Graph, Option<Quantization>)> {
    let name = args.name().filter(|name| !args.random && Architecture::named(name).is_ok());
    match name {
        Some(name) if !std::path::Path::new(name).exists() => {
            Ok((passes::fuse(&Architecture::named(name)?.build(Form::Fused, &mut Zeros)?)?.0, None))
        }
        _ => {
            let model = source::load(args)?;
            Ok((model.graph().clone(), model.quantization().cloned()))
        }
    }
}
