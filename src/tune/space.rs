//! What can be chosen for a network: the distinct steps whose kernels leave their tiles open, and the
//! decisions between kernels.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::kernels::{Choices, Decision, Target};
use crate::plan::{Excerpt, Plan};

/// Rounds of planning with every option of the decisions known so far: an option may bring decisions
/// of its own.
const DEPTH: usize = 3;

/// Steps that belong together, on their own, and the node whose value they end with.
#[derive(Clone)]
pub(super) struct Unit {
    pub excerpt: Excerpt,
    pub node: NodeId,
}

/// A step that has several tiles.
pub(super) struct TileChoice {
    /// [`Step::key`](crate::kernels::Step::key).
    pub key: String,
    /// The steps of its node.
    pub unit: Unit,
    /// Which of them it is.
    pub at: usize,
    /// Steps of the network that share the choice.
    pub count: usize,
    /// Nodes that it is for, or those computed together with them.
    pub nodes: Vec<String>,
}

/// A decision between kernels.
pub(super) struct KernelChoice {
    /// What would be decided without tuning.
    pub decision: Decision,
    /// Decisions of the network that share the choice.
    pub count: usize,
    /// All nodes that it is for.
    pub nodes: Vec<String>,
    /// The options that can be planned; the one taken without tuning comes first.
    pub options: Vec<(&'static str, Unit)>,
}

/// All choices of a network.
pub(super) struct Space {
    /// The plan without tuning.
    pub rules: Plan,
    pub tiles: Vec<TileChoice>,
    pub kernels: Vec<KernelChoice>,
}

/// The target without what was tuned.
pub(super) fn untuned(target: &Target) -> Target {
    with(target, Choices::default())
}

/// The target with these choices and no others.
pub(super) fn with(target: &Target, choices: Choices) -> Target {
    Target { choices: Arc::new(choices), ..target.clone() }
}

impl Space {
    /// Plans the network with every option of every decision.
    pub fn new(graph: &Graph, batch: usize, target: &Target) -> Result<Self> {
        let rules = Plan::for_target(graph, batch, &[], untuned(target))?;
        let mut space = Space { rules: rules.clone(), tiles: Vec::new(), kernels: Vec::new() };
        space.collect(graph, &rules);
        drop(rules);
        // Decisions of which one option has been seen, and the choices that bring them.
        let decisions = |choices: &[KernelChoice]| choices.iter().map(|choice| choice.decision.clone()).collect();
        let mut open: Vec<(BTreeMap<String, String>, Vec<Decision>)> =
            vec![(BTreeMap::new(), decisions(&space.kernels))];
        for _ in 0..DEPTH {
            for (brought_by, decided) in std::mem::take(&mut open) {
                let most = decided.iter().map(|decision| decision.options.len()).max().unwrap_or(0);
                for option in 0..most {
                    let forced = |decision: &Decision| {
                        let option = decision.options[option % decision.options.len()];
                        (decision.key.clone(), option.to_owned())
                    };
                    let mut kernels = brought_by.clone();
                    kernels.extend(decided.iter().map(forced));
                    let choices = Choices { kernels: kernels.clone(), ..Choices::default() };
                    // An option that cannot be planned is none.
                    let Ok(plan) = Plan::for_target(graph, batch, &[], with(target, choices)) else { continue };
                    let known = space.kernels.len();
                    space.collect(graph, &plan);
                    open.push((kernels, decisions(&space.kernels[known..])));
                }
            }
        }
        Ok(space)
    }

    /// Adds what is new in a plan.
    fn collect(&mut self, graph: &Graph, plan: &Plan) {
        let mut counts: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
        for decision in &plan.decisions {
            let (count, nodes) = counts.entry(&decision.key).or_default();
            *count += 1;
            nodes.extend(decision.nodes.iter().cloned());
        }
        for decision in &plan.decisions {
            let Some(unit) = unit(graph, plan, &decision.nodes) else { continue };
            let at = self.kernels.iter().position(|known| known.decision.key == decision.key);
            let at = at.unwrap_or_else(|| {
                let (count, nodes) = counts.get(decision.key.as_str()).cloned().unwrap_or_default();
                self.kernels.push(KernelChoice { decision: decision.clone(), count, nodes, options: Vec::new() });
                self.kernels.len() - 1
            });
            let options = &mut self.kernels[at].options;
            if options.iter().all(|(name, _)| *name != decision.taken) {
                options.push((decision.taken, unit));
            }
        }
        let keys: Vec<String> = plan.steps.iter().map(|step| step.key()).collect();
        for (step, key) in plan.steps.iter().zip(&keys) {
            if self.tiles.iter().any(|known| known.key == *key) || step.candidates().len() < 2 {
                continue;
            }
            let together = |node: &str| {
                let decision = plan.decisions.iter().find(|decision| decision.nodes.iter().any(|name| name == node));
                decision.map_or_else(|| vec![node.to_owned()], |decision| decision.nodes.clone())
            };
            let Some(unit) = unit(graph, plan, &together(&step.node)) else { continue };
            let Some(at) = unit.excerpt.plan.steps.iter().position(|part| part.key() == *key) else { continue };
            let alike = || plan.steps.iter().zip(&keys).filter(|(_, other)| *other == key).map(|(step, _)| step);
            let nodes = alike().flat_map(|step| together(&step.node)).collect();
            self.tiles.push(TileChoice { key: key.clone(), unit, at, count: alike().count(), nodes });
        }
    }
}

/// The steps of some nodes of a plan; the last of the nodes has the value.
fn unit(graph: &Graph, plan: &Plan, nodes: &[String]) -> Option<Unit> {
    let node = nodes.iter().filter_map(|name| graph.find(name)).max_by_key(|id| id.index())?;
    let excerpt = Excerpt::new(plan, |step| nodes.contains(&step.node));
    (!excerpt.plan.steps.is_empty()).then_some(Unit { excerpt, node })
}
