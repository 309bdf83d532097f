//! `foveate plan`.

use foveate::plan::Plan;

use super::{Outcome, args, say, source};

pub fn run(args: &args::Plan) -> Outcome {
    let model = source::load(&args.model)?;
    let plan = Plan::new(model.graph(), args.batch, &[])?;
    say(model.graph());
    say(plan);
    Ok(())
}
