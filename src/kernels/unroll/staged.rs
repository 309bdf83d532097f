//! Loops that store results.

use super::tokens;

/// Functions that write to memory.
const STORES: [&str; 2] = ["store", "y_put"];

/// How a copy is declared.
pub(super) const COPY: &str = "var kept = ";

/// A loop over results that are stored: over a copy of them, so that they themselves are indexed by constants alone once
/// the loops around it are written out. `None` if the loop stores nothing, or not what one array holds.
///
/// `for (…) { store(…, sum[i][t]); }` becomes `{ var kept = sum[i]; for (…) { store(…, kept[t]); } }`, and a loop over `i`
/// around that a loop over a copy of `sum`.
pub(super) fn staged(head: &str, body: &str, counter: &str) -> Option<String> {
    tokens(body).any(|token| STORES.contains(&token)).then_some(())?;
    if body.contains(COPY) {
        return around(head, body, counter);
    }
    let index = format!("[{counter}]");
    let mut array = None;
    let mut kept = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find(&index) {
        let (before, after) = (&rest[..at], &rest[at + index.len()..]);
        let start = array_before(before)?;
        let this = &before[start..];
        // It is the last index of an array that is only read, and always the same array.
        let read = !after.starts_with('[') && !assigned(after);
        (read && *array.get_or_insert(this) == this).then_some(())?;
        kept.push_str(&before[..start]);
        kept.push_str("kept");
        kept.push_str(&index);
        rest = after;
    }
    kept.push_str(rest);
    // Nothing else may be indexed by the counter, and the array may not be declared within.
    let (array, rest) = (array?, kept.replace(&index, ""));
    (!indexed_by(&rest, counter) && !rest.contains("var ")).then_some(())?;
    Some(format!("{{\n{COPY}{array};\nfor ({head}) {{{kept}}}\n}}\n"))
}

/// The same for a loop around one that became such a loop: the copy is made once, of all that it goes through.
fn around(head: &str, body: &str, counter: &str) -> Option<String> {
    let (before, rest) = body.split_once(COPY)?;
    let (copied, after) = rest.split_once(";\n")?;
    let (array, indices) = copied.split_once(&format!("[{counter}]"))?;
    let body = format!("{before}{}", after.replace("kept[", &format!("kept[{counter}]{indices}[")));
    let others = body.replace(&format!("kept[{counter}]"), "");
    let alone = !indexed_by(array, counter) && !indexed_by(indices, counter) && !indexed_by(&others, counter);
    (alone && !body.replace("for (var ", "").contains("var ")).then_some(())?;
    Some(format!("{{\n{COPY}{array};\nfor ({head}) {{{body}}}\n}}\n"))
}

/// Where the name begins that a text ends with, with its indices.
fn array_before(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = bytes.len();
    while at > 0 && bytes[at - 1] == b']' {
        let mut depth = 0usize;
        loop {
            at = at.checked_sub(1)?;
            depth += usize::from(bytes[at] == b']');
            depth -= usize::from(bytes[at] == b'[');
            if depth == 0 {
                break;
            }
        }
    }
    let name = bytes[..at].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    (name > 0).then(|| at - name)
}

/// Whether what precedes this text is assigned to.
fn assigned(after: &str) -> bool {
    let after = after.trim_start();
    let operator = after.trim_start_matches(['+', '-', '*', '/', '%', '&', '|', '^', '<', '>']);
    operator.starts_with('=') && !operator.starts_with("==")
}

fn indexed_by(text: &str, counter: &str) -> bool {
    let mut depth = 0;
    tokens(text).any(|token| {
        depth += i32::from(token == "[") - i32::from(token == "]");
        depth > 0 && token == counter
    })
}
