//! `foveate plan`.

use foveate::models::{Architecture, Form, Zeros};
use foveate::plan;
use foveate::{Graph, Result, passes};

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
    let graph = graph(&args.model)?;
    let plan = plan::Plan::new(&graph, args.batch, &[])?;
    say(&graph);
    say(plan);
    Ok(())
}

/// The fused graph. A plan depends on no weight's value, so a name is enough.
pub fn graph(args: &ModelArgs) -> Result<Graph> {
    let name = args.name().filter(|name| !args.random && Architecture::named(name).is_ok());
    match name {
        Some(name) if !std::path::Path::new(name).exists() => {
            Ok(passes::fuse(&Architecture::named(name)?.build(Form::Fused, &mut Zeros)?)?.0)
        }
        _ => Ok(source::load(args)?.graph().clone()),
    }
}
