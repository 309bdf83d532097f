//! Aligned text for terminals.

/// The width that text is wrapped to.
pub const WIDTH: usize = 100;

/// How a column is aligned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Rows under headings, each column as wide as its widest cell.
pub struct Table<const N: usize> {
    columns: [(&'static str, Align); N],
    rows: Vec<Row<N>>,
}

enum Row<const N: usize> {
    Cells([String; N]),
    /// A line across all columns.
    Heading(String),
}

impl<const N: usize> Table<N> {
    pub fn new(columns: [(&'static str, Align); N]) -> Self {
        Table { columns, rows: Vec::new() }
    }

    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(Row::Cells(cells));
    }

    pub fn heading(&mut self, text: impl Into<String>) {
        self.rows.push(Row::Heading(text.into()));
    }

    /// The lines, without spaces at their ends.
    pub fn lines(&self) -> Vec<String> {
        let cells = self.rows.iter().filter_map(|row| match row {
            Row::Cells(cells) => Some(cells),
            Row::Heading(_) => None,
        });
        let mut widths = self.columns.map(|(title, _)| length(title));
        for cells in cells {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = length(cell).max(*width);
            }
        }
        let titles = self.columns.map(|(title, _)| title.to_owned());
        let line = |cells: &[String; N]| {
            let mut line = String::new();
            for ((cell, width), (_, align)) in cells.iter().zip(widths).zip(self.columns) {
                let gap = " ".repeat(width - length(cell));
                let (before, after) = if align == Align::Right { (gap.as_str(), "") } else { ("", gap.as_str()) };
                line += &format!("{}{before}{cell}{after}", if line.is_empty() { "" } else { "  " });
            }
            line.trim_end().to_owned()
        };
        let rows = self.rows.iter().map(|row| match row {
            Row::Cells(cells) => line(cells),
            Row::Heading(text) => text.clone(),
        });
        std::iter::once(line(&titles)).chain(rows).collect()
    }
}

/// Characters, each of which is taken to be one column wide.
pub fn length(text: &str) -> usize {
    text.chars().count()
}

/// Words in lines of at most `width` characters; a longer word has a line of its own.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            *line += word;
        } else if length(line) + 1 + length(word) <= width {
            line.push(' ');
            *line += word;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in thousands, millions or billions with three digits or more: `8.31 M`.
pub fn rounded(number: u64) -> String {
    let units = [(1e9, " G"), (1e6, " M"), (1e3, " k")];
    let value = number as f64;
    // What would be rounded to a thousand is one of the next unit.
    match units.into_iter().find(|(unit, _)| value >= unit * 0.9995) {
        None => number.to_string(),
        Some((unit, name)) => {
            let scaled = value / unit;
            let digits = if scaled < 9.995 { 2 } else { usize::from(scaled < 99.95) };
            format!("{scaled:.digits$}{name}")
        }
    }
}

/// Text of a file as a terminal may see it: no control characters.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), text);
        }
        for (number, text) in [
            (0, "0"),
            (994, "994"),
            (1_000, "1.00 k"),
            (8_309_384, "8.31 M"),
            (999_999, "1.00 M"),
            (9_999, "10.0 k"),
            (99_960, "100 k"),
            (15_400_000_000, "15.4 G"),
        ] {
            assert_eq!(rounded(number), text, "{number}");
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([("name", Align::Left), ("size", Align::Right)]);
        table.row(["a×b".into(), "1,000".into()]);
        table.heading("between");
        table.row(["longer".into(), String::new()]);
        assert_eq!(table.lines(), ["name     size", "a×b     1,000", "between", "longer"]);
    }

    #[test]
    fn words_are_wrapped_and_none_is_lost() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable x", 4), ["unbreakable", "x"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn nothing_of_a_file_moves_the_cursor() {
        assert_eq!(shown("a\u{1b}[2J\tb×"), "a\\u{1b}[2J\\tb×");
    }
}
