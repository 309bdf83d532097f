//! A bitmap font, 5×7 dots, of the characters that titles of branches are made of.

/// Width of a character and of the gap behind it, in dots.
pub const ADVANCE: usize = 6;
/// Height of a character, in dots.
pub const HEIGHT: usize = 9;

/// Rows from top to bottom, the leftmost dot in the highest of five bits. The last two rows are
/// for descenders.
const GLYPHS: [(char, [u8; HEIGHT]); 22] = [
    ('0', [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110, 0, 0]),
    ('1', [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110, 0, 0]),
    ('2', [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111, 0, 0]),
    ('3', [0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110, 0, 0]),
    ('4', [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010, 0, 0]),
    ('5', [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110, 0, 0]),
    ('6', [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110, 0, 0]),
    ('7', [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000, 0, 0]),
    ('8', [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110, 0, 0]),
    ('9', [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100, 0, 0]),
    ('S', [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110, 0, 0]),
    ('M', [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001, 0, 0]),
    ('L', [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111, 0, 0]),
    ('×', [0, 0b00000, 0b10001, 0b01010, 0b00100, 0b01010, 0b10001, 0, 0]),
    ('→', [0, 0b00100, 0b00010, 0b11111, 0b00010, 0b00100, 0b00000, 0, 0]),
    ('i', [0b00100, 0b00000, 0b01100, 0b00100, 0b00100, 0b00100, 0b01110, 0, 0]),
    ('d', [0b00001, 0b00001, 0b01101, 0b10011, 0b10001, 0b10001, 0b01111, 0, 0]),
    ('e', [0b00000, 0b00000, 0b01110, 0b10001, 0b11111, 0b10000, 0b01110, 0, 0]),
    ('n', [0b00000, 0b00000, 0b10110, 0b11001, 0b10001, 0b10001, 0b10001, 0, 0]),
    ('t', [0b01000, 0b01000, 0b11100, 0b01000, 0b01000, 0b01001, 0b00110, 0, 0]),
    ('y', [0b00000, 0b00000, 0b10001, 0b10001, 0b10001, 0b10011, 0b01101, 0b00001, 0b01110]),
    (' ', [0; HEIGHT]),
];

/// The dots of a text, as (column, row), row by row of each character. Characters that the font
/// does not have are left blank.
pub fn dots(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.chars().enumerate().flat_map(|(at, wanted)| {
        let rows = GLYPHS.iter().find(|(c, _)| *c == wanted).map_or([0; HEIGHT], |(_, rows)| *rows);
        let dot = move |row: usize, column: usize| rows[row] >> (4 - column) & 1 == 1;
        let all = (0..HEIGHT).flat_map(|row| (0..5).map(move |column| (row, column)));
        all.filter(move |(row, column)| dot(*row, *column)).map(move |(row, column)| (at * ADVANCE + column, row))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_title_can_be_written() {
        for title in ["identity", "S 3×3", "M 7×7", "L 1×11→11×1", "0245689"] {
            for c in title.chars() {
                assert!(GLYPHS.iter().any(|(known, _)| *known == c), "{c:?} of {title:?}");
            }
        }
        let l: Vec<_> = dots("1L").filter(|(x, _)| *x >= ADVANCE).collect();
        assert_eq!(l.len(), 11, "seven dots down and four beside: {l:?}");
        assert!(l[..6].iter().all(|(x, _)| *x == ADVANCE) && dots("\u{1f600} ").next().is_none());
    }
}
