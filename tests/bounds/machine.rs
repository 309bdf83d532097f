//! Executes a shader's integers, for many invocations at once, and checks every index that it comes by.
//!
//! Control flow is followed for each invocation by itself: a mask says which of them execute a statement.
//! Where a condition depends on data, both ways are taken and what differs becomes a range of numbers
//! ("weakly"), so that whatever the data are is among what is checked.

use naga::{Block, Expression as E, Function, Handle, Module, ScalarKind, Span, Statement};

use super::facts::{Facts, leaves};
use super::value::{Mask, Scalar, unknown};

/// Turns of a loop after which it is said not to end.
const MOST_TURNS: usize = 1 << 20;

/// What is bound: how many elements there are, and their words where they are known (tables).
#[derive(Clone, Copy)]
pub struct Bound<'a> {
    pub elements: u64,
    pub words: Option<&'a [u32]>,
    /// Texels in a row, of textures.
    pub row: Option<u64>,
}

/// Integers and booleans of a value, in order; of floats none.
pub type Leaves = std::rc::Rc<[Scalar]>;

#[derive(Clone)]
pub enum Slot {
    Value(Leaves),
    Pointer(Place, Scalar),
}

/// Where a pointer points to; beside it the number of the leaf.
#[derive(Clone)]
pub enum Place {
    Variable(usize),
    /// Workgroup memory: anybody may have written anything.
    Shared,
    Buffer(u32, Option<Scalar>),
}

pub struct Variable {
    pub leaves: Vec<Scalar>,
    /// Depth of the call that it belongs to.
    pub depth: usize,
}

/// A call under way.
pub struct Frame<'a> {
    pub function: &'a Function,
    pub facts: &'a Facts,
    pub values: Vec<Option<Slot>>,
    pub arguments: Vec<Slot>,
    locals: Vec<usize>,
    depth: usize,
    returned: Mask,
    result: Option<Leaves>,
    /// Weakness at its beginning, and at that of each loop under way, with who has continued.
    weakness: usize,
    /// Whether it may have been returned from.
    unsure: bool,
    loops: Vec<(usize, Mask)>,
}

pub struct Machine<'a, 'w> {
    pub text: &'a str,
    pub module: &'a Module,
    pub facts: &'a [Facts],
    pub bound: &'a dyn Fn(u32) -> Option<Bound<'w>>,
    pub lanes: usize,
    /// Invocations of a subgroup, where any are used.
    pub subgroup: u32,
    /// How many indices were checked, of all invocations.
    pub checked: u64,
    pub variables: Vec<Variable>,
    globals: Vec<Option<usize>>,
    /// Invocations that are still in each of the calls.
    pub live: Vec<usize>,
    /// How many conditions that depend on data are around what is executed.
    pub weak: usize,
    /// How many calls under way may have been returned from.
    pub unsure: usize,
}

impl<'a, 'w> Machine<'a, 'w> {
    /// `facts` are those of the functions in order, then of the entry point.
    pub fn new(
        text: &'a str,
        module: &'a Module,
        facts: &'a [Facts],
        bound: &'a dyn Fn(u32) -> Option<Bound<'w>>,
        lanes: usize,
        subgroup: u32,
    ) -> Self {
        let mut machine = Machine {
            text,
            module,
            facts,
            bound,
            lanes,
            subgroup: subgroup.max(1),
            checked: 0,
            variables: vec![],
            globals: vec![],
            live: vec![],
            weak: 0,
            unsure: 0,
        };
        for (_, global) in module.global_variables.iter() {
            let own = global.space == naga::AddressSpace::Private;
            let id = own.then(|| machine.variable(leaves(module, &module.types[global.ty].inner), 0));
            machine.globals.push(id);
        }
        machine
    }

    /// Executes the entry point for a batch of invocations, whose built-in values are the arguments.
    pub fn run(&mut self, arguments: Vec<Slot>) -> Result<(), String> {
        let entry = &self.module.entry_points[0].function;
        let facts = self.facts.last().ok_or("no facts")?;
        self.call(entry, facts, arguments, &Mask::all(self.lanes)).map(drop)
    }

    fn variable(&mut self, leaves: usize, depth: usize) -> usize {
        self.variables.push(Variable { leaves: vec![Scalar::Same(0); leaves], depth });
        self.variables.len() - 1
    }

    fn call(
        &mut self,
        function: &'a Function,
        facts: &'a Facts,
        arguments: Vec<Slot>,
        mask: &Mask,
    ) -> Result<Leaves, String> {
        let (depth, before) = (self.live.len(), self.variables.len());
        self.live.push(mask.count());
        let inner = |ty| leaves(self.module, &self.module.types[ty].inner);
        let sizes: Vec<usize> = function.local_variables.iter().map(|(_, local)| inner(local.ty)).collect();
        let locals = sizes.into_iter().map(|size| self.variable(size, depth)).collect();
        let mut frame = Frame {
            function,
            facts,
            values: vec![None; function.expressions.len()],
            arguments,
            locals,
            depth,
            returned: mask.without(mask),
            result: None,
            weakness: self.weak,
            unsure: false,
            loops: vec![],
        };
        for (handle, local) in function.local_variables.iter() {
            if let Some(init) = local.init {
                let value = self.value(&mut frame, init)?;
                let id = frame.locals[handle.index()];
                self.variables[id].leaves = value.to_vec();
            }
        }
        self.block(&mut frame, &function.body, mask.clone())?;
        self.variables.truncate(before);
        self.live.pop();
        self.unsure -= usize::from(frame.unsure);
        Ok(frame.result.unwrap_or_default())
    }

    /// Executes a block for the invocations of a mask; those that come to its end.
    fn block(&mut self, frame: &mut Frame<'a>, block: &'a Block, mut mask: Mask) -> Result<Mask, String> {
        for (statement, span) in block.span_iter() {
            if mask.count() == 0 {
                break;
            }
            mask = self.statement(frame, statement, *span, mask)?;
        }
        Ok(mask)
    }

    fn statement(
        &mut self,
        frame: &mut Frame<'a>,
        statement: &'a Statement,
        span: Span,
        mask: Mask,
    ) -> Result<Mask, String> {
        match statement {
            Statement::Emit(range) => {
                for handle in range.clone().filter(|handle| frame.facts.matters(*handle)) {
                    let slot = self.evaluate(frame, handle, &mask)?;
                    frame.values[handle.index()] = Some(slot);
                }
            }
            Statement::Block(block) => return self.block(frame, block, mask),
            Statement::If { condition, accept, reject } => {
                let holds = self.value(frame, *condition)?[0].clone();
                if let Scalar::Within(..) = holds {
                    self.weak += 1;
                    let narrowed = self.narrow(frame, *condition, &mask)?;
                    let after = self.block(frame, accept, mask.clone())?;
                    if let Some((variable, leaf, before)) = narrowed {
                        let place = &mut self.variables[variable].leaves[leaf];
                        *place = place.or(&before, ScalarKind::Uint, &mask);
                    }
                    let after = after.or(&self.block(frame, reject, mask)?);
                    self.weak -= 1;
                    return Ok(after);
                }
                let after = self.block(frame, accept, mask.where_(&holds, true))?;
                return Ok(after.or(&self.block(frame, reject, mask.where_(&holds, false))?));
            }
            Statement::Loop { body, continuing, break_if } => {
                let mut active = mask.clone();
                for turn in 0.. {
                    if active.count() == 0 {
                        break;
                    }
                    if turn == MOST_TURNS {
                        return Err("a loop does not end".to_owned());
                    }
                    frame.loops.push((self.weak, mask.without(&mask)));
                    let through = self.block(frame, body, active)?;
                    let (_, continued) = frame.loops.pop().unwrap_or((0, through.clone()));
                    active = self.block(frame, continuing, through.or(&continued))?;
                    if let Some(condition) = break_if.filter(|_| active.count() > 0) {
                        let ends = self.value(frame, condition)?[0].clone();
                        active = active.where_(&ends, false);
                    }
                }
                return Ok(mask.without(&frame.returned));
            }
            Statement::Break | Statement::Continue => {
                let (weakness, continued) = frame.loops.last_mut().ok_or("no loop is to be left")?;
                if self.weak > *weakness {
                    return Err("leaves a turn of a loop where data say so".to_owned());
                }
                if matches!(statement, Statement::Continue) {
                    *continued = continued.or(&mask);
                }
                return Ok(mask.without(&mask));
            }
            Statement::Return { value } => {
                if self.weak > frame.weakness {
                    // Whether what follows is executed is not known either, until the call's end.
                    if value.is_some() {
                        return Err("returns a value where data say so".to_owned());
                    }
                    self.unsure += usize::from(!std::mem::replace(&mut frame.unsure, true));
                    return Ok(mask);
                }
                if let Some(value) = value {
                    let (new, kind) = (self.value(frame, *value)?, frame.facts.kind(*value));
                    let blended =
                        |old: Leaves| old.iter().zip(new.iter()).map(|(o, n)| o.blend(n, kind, &mask)).collect();
                    frame.result = Some(frame.result.take().map_or(new.clone(), blended));
                }
                frame.returned = frame.returned.or(&mask);
                self.live[frame.depth] -= mask.count();
                return Ok(mask.without(&mask));
            }
            Statement::Store { pointer, value } => {
                let Some(Slot::Pointer(place, leaf)) = self.slot(frame, *pointer)? else {
                    return Err("a store to no pointer".to_owned());
                };
                if let Place::Variable(variable) = place
                    && frame.facts.leaves(*value) > 0
                {
                    let value_of = self.value(frame, *value)?;
                    self.store(variable, &leaf, &value_of, frame.facts.kind(*value), &mask);
                }
            }
            Statement::ImageStore { image, coordinate, .. } => self.texel(frame, *image, *coordinate, &mask)?,
            Statement::Call { function, arguments, result } => {
                let slots = arguments.iter().map(|argument| self.slot(frame, *argument));
                let given = slots.map(|slot| slot.map(|slot| slot.unwrap_or(Slot::Value(Leaves::default()))));
                let given = given.collect::<Result<Vec<_>, _>>()?;
                let called = &self.module.functions[*function];
                let value = self.call(called, &self.facts[function.index()], given, &mask)?;
                if let Some(result) = result {
                    frame.values[result.index()] = Some(Slot::Value(value));
                }
            }
            // How many invocations of the subgroup come before this one: they lie side by side in it.
            Statement::SubgroupCollectiveOperation {
                op: naga::SubgroupOperation::Add,
                collective_op: naga::CollectiveOperation::ExclusiveScan,
                argument,
                result,
            } if mask.count() == self.lanes && self.value(frame, *argument)?[..] == [Scalar::Same(1)] => {
                let before = (0..self.lanes as u32).map(|lane| lane % self.subgroup);
                frame.values[result.index()] = Some(Slot::Value([Scalar::of(before.collect())].into()));
            }
            Statement::SubgroupGather { result, .. } => {
                let anything = vec![unknown(frame.facts.kind(*result)); frame.facts.leaves(*result)];
                frame.values[result.index()] = Some(Slot::Value(anything.into()));
            }
            Statement::ControlBarrier(_) | Statement::MemoryBarrier(_) => {}
            other => return Err(format!("no kernel had this statement before: {other:?} at {span:?}")),
        }
        Ok(mask)
    }

    /// Within `if (v < limit)` an unknown `v`, loaded from a variable, is below the limit. The variable, its
    /// leaf, and what it was.
    fn narrow(
        &mut self,
        frame: &mut Frame<'a>,
        condition: Handle<E>,
        mask: &Mask,
    ) -> Result<Option<(usize, usize, Scalar)>, String> {
        let E::Binary { op: naga::BinaryOperator::Less, left, right } = frame.function.expressions[condition] else {
            return Ok(None);
        };
        let E::Load { pointer } = frame.function.expressions[left] else { return Ok(None) };
        let Some(Slot::Pointer(Place::Variable(variable), leaf)) = self.slot(frame, pointer)? else { return Ok(None) };
        let (leaf, last) = leaf.span(ScalarKind::Uint, mask);
        if leaf != last {
            return Ok(None);
        }
        let (_, limit) = self.value(frame, right)?[0].span(frame.facts.kind(right), mask);
        let place = &mut self.variables[variable].leaves[leaf as usize];
        let Scalar::Within(low, high) = *place else { return Ok(None) };
        *place = Scalar::Within(low, high.min(limit - 1));
        Ok(Some((variable, leaf as usize, Scalar::Within(low, high))))
    }

    /// What an expression was evaluated to, or is without having been: `None` for floats.
    pub fn slot(&mut self, frame: &mut Frame<'a>, handle: Handle<E>) -> Result<Option<Slot>, String> {
        if let Some(slot) = &frame.values[handle.index()] {
            return Ok(Some(slot.clone()));
        }
        let expression = &frame.function.expressions[handle];
        if frame.facts.leaves(handle) == 0 && !expression.needs_pre_emit() {
            return Ok(None);
        }
        let slot = match expression {
            E::FunctionArgument(index) => frame.arguments[*index as usize].clone(),
            E::LocalVariable(local) => Slot::Pointer(Place::Variable(frame.locals[local.index()]), Scalar::Same(0)),
            E::GlobalVariable(global) => {
                let variable = &self.module.global_variables[*global];
                let place = match (&variable.binding, self.globals[global.index()]) {
                    (Some(binding), _) => Place::Buffer(binding.binding, None),
                    (None, Some(id)) => Place::Variable(id),
                    (None, None) => Place::Shared,
                };
                Slot::Pointer(place, Scalar::Same(0))
            }
            // Vectors of constants are not emitted either.
            other => match super::facts::constant(self.module, &frame.function.expressions, other) {
                Some(leaves) => Slot::Value(leaves),
                None => return Err(format!("{other:?} is used before it is known")),
            },
        };
        frame.values[handle.index()] = Some(slot.clone());
        Ok(Some(slot))
    }

    /// The leaves of a value.
    pub fn value(&mut self, frame: &mut Frame<'a>, handle: Handle<E>) -> Result<Leaves, String> {
        match self.slot(frame, handle)? {
            Some(Slot::Value(leaves)) => Ok(leaves),
            None => Ok(Leaves::default()),
            Some(Slot::Pointer(..)) => Err("a pointer is no value".to_owned()),
        }
    }
}
