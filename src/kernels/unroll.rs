//! Writes loops of a shader out, for drivers whose compilers unroll none.
//!
//! Kernels keep what they sum up in arrays that short loops go through. A compiler has to unroll those
//! loops before it can keep the elements in registers. SwiftShader's never does, and goes through memory for
//! each element, invocation by invocation: RepVGG-A0 takes several times as long there.
//!
//! It is done to the text, because a browser takes nothing else: a loop `for (var i = 0u; i < N; i++)` whose
//! counter indexes an array and whose bound is known from the text's constants becomes N blocks. Everything
//! else stays as it is, so a loop that is not of this form is slow, never wrong.

use std::collections::HashMap;

/// Bytes of text that one loop may become. Compile time goes by the text's length: a tile that needs more is
/// a bad choice anyway.
const MAX_TEXT: usize = 1 << 20;

/// The text with its short loops over arrays written out, without comments.
pub(super) fn unroll(text: &str) -> String {
    let text = without_comments(text);
    let mut constants = Constants::default();
    for line in text.lines() {
        constants.declare(line);
    }
    expand(&text, &constants)
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or(line).trim_end()).collect::<Vec<_>>().join("\n")
}

/// A text with all its loops dealt with, inner ones first.
fn expand(text: &str, constants: &Constants<'_>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, head, body, after)) = first_loop(rest) {
        out.push_str(before);
        let body = expand(body, constants);
        match counted(head, constants).filter(|(counter, n)| fits(&body, counter, *n)) {
            Some((counter, n)) => {
                for value in 0..n {
                    out.push('{');
                    replace(&body, counter, value, &mut out);
                    out.push_str("}\n");
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
fn tokens(text: &str) -> impl Iterator<Item = &str> {
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

/// The `const NAME: u32 = …;` of a text.
#[derive(Default)]
struct Constants<'a> {
    values: HashMap<&'a str, u32>,
}

impl<'a> Constants<'a> {
    /// Takes a line in, if it is such a declaration whose value can be known.
    fn declare(&mut self, line: &'a str) {
        let declared = line.strip_prefix("const ").and_then(|line| line.trim_end().strip_suffix(';'));
        let Some((name, expression)) = declared.and_then(|line| line.split_once(": u32 = ")) else { return };
        if let Some(value) = self.value(expression) {
            self.values.insert(name, value);
        }
    }

    /// The value of an expression of constants; `None` if it holds anything else.
    fn value(&self, expression: &str) -> Option<u32> {
        let words: Vec<&str> = tokens(expression).filter(|token| !token.trim().is_empty()).collect();
        let mut reader = Reader { words: &words, constants: self };
        let value = reader.sum()?;
        reader.words.is_empty().then_some(value)
    }
}

/// Reads an expression of sums, products, brackets, `min` and `max`.
struct Reader<'t, 'c> {
    words: &'t [&'t str],
    constants: &'c Constants<'c>,
}

impl Reader<'_, '_> {
    fn take(&mut self, wanted: &[&str]) -> Option<&str> {
        let (first, rest) = self.words.split_first()?;
        wanted.contains(first).then(|| self.words = rest)?;
        Some(first)
    }

    fn sum(&mut self) -> Option<u32> {
        let mut value = self.product()?;
        while let Some(operator) = self.take(&["+", "-"]) {
            let add = operator == "+";
            let other = self.product()?;
            value = if add { value.checked_add(other)? } else { value.checked_sub(other)? };
        }
        Some(value)
    }

    fn product(&mut self) -> Option<u32> {
        let mut value = self.factor()?;
        while let Some(operator) = self.take(&["*", "/", "%"]) {
            let operator = operator.to_owned();
            let other = self.factor()?;
            value = match operator.as_str() {
                "*" => value.checked_mul(other)?,
                "/" => value.checked_div(other)?,
                _ => value.checked_rem(other)?,
            };
        }
        Some(value)
    }

    fn factor(&mut self) -> Option<u32> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        match *first {
            "(" => self.bracket(),
            "min" | "max" => {
                self.take(&["("])?;
                let one = self.sum()?;
                self.take(&[","])?;
                let other = self.bracket()?;
                Some(if *first == "min" { one.min(other) } else { one.max(other) })
            }
            number if number.starts_with(|c: char| c.is_ascii_digit()) => number.strip_suffix('u')?.parse().ok(),
            name => self.constants.values.get(name).copied(),
        }
    }

    /// The rest of an expression in brackets.
    fn bracket(&mut self) -> Option<u32> {
        let value = self.sum()?;
        self.take(&[")"])?;
        Some(value)
    }
}

#[cfg(test)]
#[path = "unroll/tests.rs"]
mod tests;
