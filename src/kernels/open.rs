//! Shaders that read their sizes from memory, so that steps of different shapes share one.
//!
//! A pipeline is compiled for each distinct text. Most sizes only go into addresses and bounds of loops that stay loops:
//! what they cost as variables is little, and a driver that compiles for a tenth of a second has one pipeline to compile
//! instead of six.

use std::fmt::Write;

/// The text with the constants of those names read from the table [`SIZES`](super::argument::SIZES) when `main` begins,
/// and with them those that are computed of them. `values` are theirs here.
pub(super) fn open(text: &str, names: &[&str], values: &[u32]) -> String {
    let given: Vec<(usize, &str)> = opened(names, values).collect();
    let mut opened: Vec<&str> = Vec::new();
    let (mut out, mut reads) = (String::with_capacity(text.len() + 1024), String::new());
    let _ = writeln!(out, "@group(0) @binding(8) var<storage, read> sizes: array<u32, {}>;", names.len());
    for line in text.lines() {
        let declared = line.strip_prefix("const ").and_then(|line| line.strip_suffix(';'));
        if let Some((name, expression)) = declared.and_then(|line| line.split_once(": u32 = ")) {
            let given = given.iter().find(|(_, known)| *known == name).map(|(at, _)| at);
            let computed = super::unroll::tokens(expression).any(|token| opened.contains(&token));
            if given.is_some() || computed {
                let value = given.map_or(expression.to_owned(), |at| format!("sizes[{at}u]"));
                let _ = writeln!(reads, "{name} = {value};");
                let _ = writeln!(out, "var<private> {name}: u32;");
                opened.push(name);
                continue;
            }
        }
        out.push_str(line);
        out.push('\n');
    }
    let main = out.find("fn main(").and_then(|at| Some(at + out[at..].find("{\n")? + 2));
    if let Some(body) = main {
        out.insert_str(body, &reads);
    }
    out
}

/// The constants that are read, and where in the table: one that is zero leaves something out, and so stays what it is,
/// unless it is the place of an operand.
pub(super) fn opened<'n>(names: &[&'n str], values: &[u32]) -> impl Iterator<Item = (usize, &'n str)> {
    let all = names.iter().copied().zip(values).enumerate();
    all.filter(|(_, (name, value))| **value > 0 || name.ends_with("_PLANE")).map(|(at, (name, _))| (at, name))
}

#[cfg(test)]
mod tests {
    use super::open;

    #[test]
    fn sizes_are_read_when_main_begins() {
        let text = "const A: u32 = 7u;\nconst B: u32 = 0u;\nconst C: u32 = 2u;\nconst X_PLANE: u32 = 0u;\n\
            const TILES: u32 = (A + C - 1u) / C;\nconst D: u32 = B + C;\nconst E: u32 = TILES * C;\n\
            fn f() {}\nfn main(\n    id: u32,\n) {\n    g(E);\n}\n";
        let opened = "@group(0) @binding(8) var<storage, read> sizes: array<u32, 3>;\nvar<private> A: u32;\n\
            const B: u32 = 0u;\nconst C: u32 = 2u;\nvar<private> X_PLANE: u32;\nvar<private> TILES: u32;\n\
            const D: u32 = B + C;\nvar<private> E: u32;\nfn f() {}\nfn main(\n    id: u32,\n) {\n\
            A = sizes[0u];\nX_PLANE = sizes[2u];\nTILES = (A + C - 1u) / C;\nE = TILES * C;\n    g(E);\n}\n";
        assert_eq!(open(text, &["A", "B", "X_PLANE"], &[7, 0, 0]), opened);
        // Another shape's is the same.
        let other = text.replace("A: u32 = 7u", "A: u32 = 9u");
        assert_eq!(open(&other, &["A", "B", "X_PLANE"], &[9, 0, 0]), opened);
    }
}
