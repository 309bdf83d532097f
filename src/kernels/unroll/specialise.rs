//! Functions of their own for calls with constants.
//!
//! A function whose loops and branches go by an argument is compiled with all of them, wherever it is inlined, also
//! where the argument is a constant that leaves one.

use super::constants::Constants;
use super::{enclosed, replace, tokens};

/// Calls within calls that are followed.
const DEPTH: usize = 4;

/// The text with a copy of each such function for each set of constants that it is called with, in which they are
/// known. Functions that nothing calls any more are gone.
pub(super) fn specialise(text: &str, constants: &Constants<'_>) -> String {
    let mut text = text.to_owned();
    for _ in 0..DEPTH {
        let mut made = Vec::new();
        let mut changed = text.clone();
        for function in functions(&text).iter().filter(|function| function.decides()) {
            changed = with_calls(&changed, function, constants, &mut made);
        }
        if made.is_empty() {
            break;
        }
        changed.extend(made.into_iter().map(|(_, copy)| copy));
        text = without_uncalled(&text, changed);
    }
    text
}

struct Function<'a> {
    name: &'a str,
    /// Names and types.
    parameters: Vec<(&'a str, &'a str)>,
    /// What stands between the parameters and the body.
    result: &'a str,
    body: &'a str,
}

impl Function<'_> {
    /// Which parameters loops and branches go by.
    fn deciding(&self) -> impl Iterator<Item = usize> {
        let heads: Vec<&str> = heads(self.body).collect();
        let numbers = self.parameters.iter().enumerate().filter(|(_, (_, kind))| *kind == "u32");
        numbers
            .filter(move |(_, (name, _))| heads.iter().any(|head| tokens(head).any(|t| t == *name)))
            .map(|(at, _)| at)
    }

    fn decides(&self) -> bool {
        self.deciding().next().is_some()
    }

    /// A copy under another name, in which some of the parameters are numbers.
    fn with(&self, name: &str, known: &[(usize, u32)]) -> String {
        let left = self.parameters.iter().enumerate().filter(|(at, _)| !knows(known, *at));
        let left: Vec<String> = left.map(|(_, (name, kind))| format!("{name}: {kind}")).collect();
        let body = known.iter().fold(self.body.to_owned(), |body, (at, value)| {
            let mut out = String::with_capacity(body.len());
            replace(&body, self.parameters[*at].0, *value, &mut out);
            out
        });
        format!("\nfn {name}({}){}{{{body}}}\n", left.join(", "), self.result)
    }
}

fn knows(known: &[(usize, u32)], at: usize) -> bool {
    known.iter().any(|(one, _)| *one == at)
}

/// The heads of a text's branches and loops.
fn heads(text: &str) -> impl Iterator<Item = &str> {
    let starts = ["if (", "for ("].into_iter().flat_map(|word| text.match_indices(word));
    starts.filter_map(|(at, word)| Some(enclosed(&text[at + word.len() - 1..], b'(', b')')?.0))
}

/// The functions of a text that can be read.
fn functions(text: &str) -> Vec<Function<'_>> {
    let starts = text.match_indices("fn ").filter(|(at, _)| *at == 0 || text[..*at].ends_with('\n'));
    let read = |(at, word): (usize, &str)| {
        let rest = &text[at + word.len()..];
        let (name, rest) = rest.split_at(rest.find('(')?);
        let (parameters, rest) = enclosed(rest, b'(', b')')?;
        let (result, rest) = rest.split_at(rest.find('{')?);
        let (body, _) = enclosed(rest, b'{', b'}')?;
        let parameters = arguments(parameters).into_iter();
        let parameters = parameters.map(|one| one.split_once(": ").map(|(name, kind)| (name.trim(), kind.trim())));
        Some(Function { name, parameters: parameters.collect::<Option<_>>()?, result, body })
    };
    starts.filter_map(read).collect()
}

/// What stands between the commas that are in no brackets.
fn arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0i32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        depth += i32::from(matches!(c, '(' | '[' | '<')) - i32::from(matches!(c, ')' | ']' | '>'));
        if c == ',' && depth == 0 {
            found.push(text[start..at].trim());
            start = at + 1;
        }
    }
    found.push(text[start..].trim());
    found.retain(|one| !one.is_empty());
    found
}

/// The text whose calls of a function with constants go to copies, which are added to those made.
fn with_calls(
    text: &str,
    function: &Function<'_>,
    constants: &Constants<'_>,
    made: &mut Vec<(String, String)>,
) -> String {
    let call = format!("{}(", function.name);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&call) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let copy = called(before, &from[function.name.len()..]).and_then(|(given, after)| {
            let known: Vec<(usize, u32)> =
                function.deciding().filter_map(|at| Some((at, constants.value(given.get(at)?)?))).collect();
            let left = given.iter().enumerate().filter(|(at, _)| !knows(&known, *at)).map(|(_, one)| *one);
            let name = known.iter().fold(function.name.to_owned(), |name, (_, value)| format!("{name}_{value}"));
            let call = format!("{name}({})", left.collect::<Vec<_>>().join(", "));
            (!known.is_empty() && given.len() == function.parameters.len()).then_some((name, known, call, after))
        });
        rest = match copy {
            Some((name, known, call, after)) => {
                if !made.iter().any(|(other, _)| *other == name) {
                    let copy = function.with(&name, &known);
                    made.push((name, copy));
                }
                out.push_str(&call);
                after
            }
            None => {
                out.push_str(&call);
                &from[call.len()..]
            }
        };
    }
    out + rest
}

/// The arguments of a call, and what follows it; `None` for a declaration or another name's end.
fn called<'a>(before: &str, from: &'a str) -> Option<(Vec<&'a str>, &'a str)> {
    let inside = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let (given, after) = enclosed(from, b'(', b')')?;
    (!inside && !before.ends_with("fn ")).then(|| (arguments(given), after))
}

/// The changed text without those of the old one's functions that are called no more.
fn without_uncalled(old: &str, mut changed: String) -> String {
    for function in functions(old).iter().filter(|function| function.decides()) {
        let uses = tokens(&changed).filter(|token| *token == function.name).count();
        let start = changed.find(&format!("fn {}(", function.name));
        let end = start.and_then(|start| {
            let body = start + changed[start..].find('{')?;
            let (_, after) = enclosed(&changed[body..], b'{', b'}')?;
            Some(changed.len() - after.len())
        });
        if let (1, Some(start), Some(end)) = (uses, start, end) {
            changed.replace_range(start..end, "");
        }
    }
    changed
}
