//! Branches and loops that constants decide.

use super::constants::Constants;
use super::enclosed;

/// The text without branches that are never taken, and without loops of no rounds. Whatever is not certain stays.
pub(super) fn fold(text: &str, constants: &Constants<'_>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, head, body_text, after)) = first(rest) {
        out.push_str(before);
        let (otherwise, after) = alternative(after);
        let body = || fold(body_text, constants);
        match head {
            Head::If(condition) => match (decide(condition, constants), otherwise) {
                (Some(true), _) => {
                    block(&body(), &mut out);
                    if returns(body_text) {
                        rest = rest_of(after);
                        continue;
                    }
                }
                (Some(false), None) => {}
                (Some(false), Some(otherwise)) => block(&fold(otherwise, constants), &mut out),
                (None, otherwise) => {
                    out.extend(["if (", condition, ") {", &body(), "}"]);
                    if let Some(otherwise) = otherwise {
                        out.extend([" else {", &fold(otherwise, constants), "}"]);
                    }
                }
            },
            Head::For(head) if rounds(head, constants) == Some(0) => {}
            Head::For(head) => out.extend(["for (", head, ") {", &body(), "}"]),
        }
        rest = after;
    }
    out + rest
}

fn block(body: &str, out: &mut String) {
    out.extend(["{", body, "}"]);
}

/// Whether a block's last statement returns.
fn returns(body: &str) -> bool {
    let statements = body.trim_end().strip_suffix(';');
    let last = statements.and_then(|text| text.rsplit([';', '{', '}']).next());
    last.is_some_and(|last| last.trim_start().starts_with("return"))
}

/// From where the block ends that a text begins in: compilers warn of what nothing reaches.
fn rest_of(text: &str) -> &str {
    let mut depth = 0i32;
    let end = text.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '{') - i32::from(*c == '}');
        depth < 0
    });
    end.map_or("", |(at, _)| &text[at..])
}

enum Head<'a> {
    If(&'a str),
    For(&'a str),
}

/// The first branch or loop: the text before it, its head and body without their brackets, and the text behind it.
fn first(text: &str) -> Option<(&str, Head<'_>, &str, &str)> {
    let at = ["if (", "for ("].into_iter().filter_map(|word| text.find(word)).min()?;
    let (before, from) = text.split_at(at);
    let (word, rest) = from.split_at(from.find('(')?);
    let (head, rest) = enclosed(rest, b'(', b')')?;
    let (body, after) = enclosed(rest.trim_start(), b'{', b'}')?;
    let head = if word.starts_with("if") { Head::If(head) } else { Head::For(head) };
    // An `else if` belongs to what was before it: it is left alone, with all that follows.
    (!before.trim_end().ends_with("else") && !after.trim_start().starts_with("else if"))
        .then_some((before, head, body, after))
}

/// The block of an `else` that a text begins with, and the text behind it.
fn alternative(text: &str) -> (Option<&str>, &str) {
    let block = text.trim_start().strip_prefix("else").and_then(|rest| enclosed(rest.trim_start(), b'{', b'}'));
    block.map_or((None, text), |(block, after)| (Some(block), after))
}

fn rounds(head: &str, constants: &Constants<'_>) -> Option<u32> {
    super::counted(head, constants).map(|(_, rounds)| rounds)
}

/// Whether a condition holds; `None` if constants alone do not say.
fn decide(condition: &str, constants: &Constants<'_>) -> Option<bool> {
    let condition = condition.trim();
    if let Some((inner, "")) = enclosed(condition, b'(', b')').filter(|_| condition.starts_with('(')) {
        return decide(inner, constants);
    }
    if let Some((left, right)) = split(condition, "||") {
        return match (decide(left, constants), decide(right, constants)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), other) | (other, Some(false)) => other,
            (None, None) => None,
        };
    }
    if let Some((left, right)) = split(condition, "&&") {
        return match (decide(left, constants), decide(right, constants)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), other) | (other, Some(true)) => other,
            (None, None) => None,
        };
    }
    type Compare = fn(&u32, &u32) -> bool;
    let comparisons: [(&str, Compare); 6] =
        [("==", u32::eq), ("!=", u32::ne), ("<=", u32::le), (">=", u32::ge), ("<", u32::lt), (">", u32::gt)];
    let (sides, compare) = comparisons.into_iter().find_map(|(sign, how)| Some((split(condition, sign)?, how)))?;
    Some(compare(&constants.value(sides.0)?, &constants.value(sides.1)?))
}

/// What stands on both sides of the first such sign that is in no brackets.
fn split<'a>(text: &'a str, sign: &str) -> Option<(&'a str, &'a str)> {
    let mut depth = 0i32;
    for (at, c) in text.char_indices() {
        depth += i32::from(matches!(c, '(' | '[')) - i32::from(matches!(c, ')' | ']'));
        if depth == 0 && text[at..].starts_with(sign) {
            return Some((&text[..at], &text[at + sign.len()..]));
        }
    }
    None
}
