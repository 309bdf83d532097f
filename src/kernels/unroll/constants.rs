//! What a shader's text says of its constants.

use std::collections::HashMap;

use super::tokens;

/// The `const NAME: u32 = …;` of a text.
#[derive(Default)]
pub(super) struct Constants<'a> {
    values: HashMap<&'a str, u32>,
}

impl<'a> Constants<'a> {
    /// Takes a line in, if it is such a declaration whose value can be known.
    pub fn declare(&mut self, line: &'a str) {
        let declared = line.strip_prefix("const ").and_then(|line| line.trim_end().strip_suffix(';'));
        let Some((name, expression)) = declared.and_then(|line| line.split_once(": u32 = ")) else { return };
        if let Some(value) = self.value(expression) {
            self.values.insert(name, value);
        }
    }

    /// The value of an expression of constants; `None` if it holds anything else.
    pub fn value(&self, expression: &str) -> Option<u32> {
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
