//! Writes loops of a shader out, for drivers whose compilers unroll none, and drops what its constants rule out.
//!
//! Kernels keep what they sum up in arrays that short loops go through. A compiler has to unroll those
//! loops before it can keep the elements in registers. SwiftShader's never does, and goes through memory for
//! each element, invocation by invocation: RepVGG-A0 takes several times as long there.
//!
//! It is done to the text, because a browser takes nothing else: a loop `for (var i = 0u; i < N; i++)` whose
//! counter indexes an array and whose bound is known from the text's constants becomes N blocks. Everything
//! else stays as it is, so a loop that is not of this form is slow, never wrong.
//!
//! Such drivers also compile for as long as the text is. A loop that stores results runs once for each, and so need not
//! be fast: it stays a loop, over a copy of the results ([`staged`](staged::staged)). Branches that constants
//! decide are decided here, those in functions too, of which each set of constants gets its own copy.

mod constants;
mod fold;
mod specialise;
mod staged;

use constants::Constants;

/// Bytes of text that one loop may become. Compile time goes by the text's length: a tile that needs more is
/// a bad choice anyway.
const MAX_TEXT: usize = 1 << 20;

/// Copies of results that a shader may make: its variables have to fit in 8 KiB.
const MAX_COPIES: usize = 8;

/// Results that one copy may hold.
const MAX_KEPT: usize = 32;

/// The text with its short loops over arrays written out, without comments.
pub(super) fn unroll(text: &str) -> String {
    let text = without_comments(text);
    let mut constants = Constants::default();
    for line in text.lines() {
        constants.declare(line);
    }
    let text = specialise::specialise(&text, &constants);
    let mut expanded = expand(&text, &constants, true);
    if expanded.matches(staged::COPY).count() > MAX_COPIES {
        expanded = expand(&text, &constants, false);
    }
    fold::fold(&expanded, &constants)
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or(line).trim_end()).collect::<Vec<_>>().join("\n")
}

/// A text with all its loops dealt with, inner ones first.
fn expand(text: &str, constants: &Constants<'_>, copies: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, head, body, after)) = first_loop(rest) {
        out.push_str(before);
        let body = expand(body, constants, copies);
        match counted(head, constants).filter(|(counter, n)| fits(&body, counter, *n)) {
            Some((counter, n)) => {
                let few = || n as usize * rounds(&body, constants) <= MAX_KEPT;
                match staged::staged(head, &body, counter).filter(|_| copies && n > 1 && few()) {
                    Some(staged) => out.push_str(&staged),
                    None => write_out(&body, counter, n, &mut out),
                }
            }
            None => {
                for part in ["for (", head, ") {", &body, "}"] {
                    out.push_str(part);
                }
            }
        }
        rest = after;
    }
    out + rest
}

/// How often the innermost of loops within each other runs.
fn rounds(text: &str, constants: &Constants<'_>) -> usize {
    let Some((_, head, body, _)) = first_loop(text) else { return 1 };
    counted(head, constants).map_or(1, |(_, n)| n as usize) * rounds(body, constants)
}

fn write_out(body: &str, counter: &str, rounds: u32, out: &mut String) {
    for value in 0..rounds {
        out.push('{');
        replace(body, counter, value, out);
        out.push_str("}\n");
    }
}

/// The first loop: the text before it, its head and body without their brackets, and the text behind it.
fn first_loop(text: &str) -> Option<(&str, &str, &str, &str)> {
    let at = text.find("for (")?;
    let (head, rest) = enclosed(&text[at + "for ".len()..], b'(', b')')?;
    let (body, after) = enclosed(rest.trim_start(), b'{', b'}')?;
    Some((&text[..at], head, body, after))
}

/// What stands in the brackets that a text begins with, and what follows them.
fn enclosed(text: &str, open: u8, close: u8) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        depth += usize::from(byte == open);
        depth = depth.checked_sub(usize::from(byte == close))?;
        if depth == 0 {
            return (at > 0).then(|| (&text[1..at], &text[at + 1..]));
        }
    }
    None
}

/// Counter and number of rounds of a loop whose head has the form that is written out.
fn counted<'a>(head: &'a str, constants: &Constants<'_>) -> Option<(&'a str, u32)> {
    let mut parts = head.split(';').map(str::trim);
    let (start, condition, step) = (parts.next()?, parts.next()?, parts.next()?);
    let counter = start.strip_prefix("var ")?.strip_suffix(" = 0u")?;
    let bound = condition.strip_prefix(counter)?.strip_prefix(" < ")?;
    (step.strip_suffix("++") == Some(counter)).then_some(())?;
    Some((counter, constants.value(bound)?))
}

/// Whether a loop is worth writing out: its counter indexes an array, and nothing leaves it early.
fn fits(body: &str, counter: &str, rounds: u32) -> bool {
    let mut depth = 0;
    let (mut indexes, mut leaves) = (false, false);
    for token in tokens(body) {
        match token {
            "[" => depth += 1,
            "]" => depth -= 1,
            "break" | "continue" => leaves = true,
            token => indexes |= depth > 0 && token == counter,
        }
    }
    indexes && !leaves && body.len().saturating_mul(rounds as usize) <= MAX_TEXT
}

/// Appends the text with a number in place of a name. Members of the same name stay.
fn replace(text: &str, name: &str, value: u32, out: &mut String) {
    let mut member = false;
    for token in tokens(text) {
        if token == name && !member {
            out.push_str(&format!("{value}u"));
        } else {
            out.push_str(token);
        }
        member = token == ".";
    }
}

/// Names and numbers, and single characters between them.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut rest = text;
    std::iter::from_fn(move || {
        let length = rest.bytes().take_while(|byte| word(*byte)).count();
        let first = rest.chars().next()?.len_utf8();
        let (token, after) = rest.split_at(if length > 0 { length } else { first });
        rest = after;
        Some(token)
    })
}

#[cfg(test)]
#[path = "unroll/tests.rs"]
mod tests;
