//! Truth files: a line per picture, its name and its class.

use std::collections::HashMap;
use std::path::Path;

use super::{ClassIndex, Dataset, Mapping, Sample, fault};
use crate::error::Result;
use crate::files;

/// Largest truth file that is read, in bytes: a million lines and more.
const MAX_BYTES: u64 = 256 << 20;

/// How many bad lines an error names.
const SHOWN: usize = 5;

pub(super) fn read(dir: &Path, truth: &Path, classes: &ClassIndex) -> Result<Dataset> {
    read_bytes(dir, &files::read("cannot read truth file", truth, MAX_BYTES)?, truth, classes)
}

pub(super) fn read_bytes(dir: &Path, bytes: &[u8], truth: &Path, classes: &ClassIndex) -> Result<Dataset> {
    let about = "lines of a file name, a tab and a class are wanted";
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes.iter().take(error.valid_up_to()).filter(|b| **b == b'\n').count() + 1;
        fault(truth, format!("line {line} is not UTF-8 text; {about}"))
    })?;
    let (lines, bad) = parse(text, classes);
    if bad.count > 0 {
        let shown = bad.first.iter().map(|(line, reason)| format!("line {line}: {reason}"));
        let more = bad.count.saturating_sub(SHOWN);
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        return Err(fault(truth, shown.collect::<Vec<_>>().join("; ") + &rest));
    }
    if lines.is_empty() {
        return Err(fault(truth, format!("lists no picture; {about}")));
    }
    let samples = lines.into_iter().map(|(name, class)| Sample { path: dir.join(name), class }).collect();
    Ok(Dataset { samples, mapping: Mapping::Truth, notes: Vec::new() })
}

type Good<'a> = Vec<(&'a str, usize)>;

/// Lines that name no picture and class: the first few with number and reason, and how many there are. All
/// reasons of a file that is something else would take many times its memory.
#[derive(Debug, Default, PartialEq)]
struct Bad {
    first: Vec<(usize, String)>,
    count: usize,
}

/// The lines that name a picture and a class, and those that do not.
fn parse<'a>(text: &'a str, classes: &ClassIndex) -> (Good<'a>, Bad) {
    let (mut good, mut bad, mut seen) = (Vec::new(), Bad::default(), HashMap::new());
    // Some editors put a byte order mark in front.
    for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        let entry = split(line).and_then(|(name, class)| Ok((name, classes.parse(class)?)));
        let entry = entry.and_then(|(name, class)| match seen.insert(name, number) {
            Some(before) => Err(format!("{} is in line {before} too", quoted(name))),
            None => Ok((name, class)),
        });
        match entry {
            Ok(entry) => good.push(entry),
            Err(reason) => {
                bad.count += 1;
                if bad.first.len() < SHOWN {
                    bad.first.push((number, reason));
                }
            }
        }
    }
    (good, bad)
}

fn split(line: &str) -> Result<(&str, &str), String> {
    let (name, class) = line
        .split_once('\t')
        .ok_or_else(|| format!("there is no tab between file name and class in {}", quoted(line)))?;
    if name.trim().is_empty() {
        return Err("there is no file name in front of the tab".to_owned());
    }
    if class.trim().is_empty() {
        return Err("there is no class behind the tab".to_owned());
    }
    if name.contains('\0') || class.contains('\t') {
        return Err(format!("one file name and one class are wanted, not {}", quoted(line)));
    }
    Ok((name, class))
}

/// Text from a file that may be anything: short, and without control characters.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(60).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> ClassIndex {
        ClassIndex::new(2, Some(&["cat", "big dog"].map(str::to_owned)))
    }

    #[test]
    fn names_and_classes_are_read() {
        let text = "\u{feff}a.png\t0\r\n\nsub/b c.png\tBig Dog\nd.png\t1";
        let (good, bad) = parse(text, &two());
        assert_eq!((good, bad), (vec![("a.png", 0), ("sub/b c.png", 1), ("d.png", 1)], Bad::default()));
    }

    #[test]
    fn bad_lines_are_named_by_number() {
        let lines = ["b.png 1", "\t1", "c.png\t", "d.png\t2", "e.png\tbird", "f.png\t1\t1", "a.png\t0", "g\0.png\t1"];
        let text = ["a.png\t0", &lines.join("\n")].join("\n");
        let (good, bad) = parse(&text, &two());
        assert_eq!((good, bad.count), (vec![("a.png", 0)], 8));
        assert_eq!(bad.first.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        let wants =
            ["no tab", "no file name", "no class", "0 to 1", "\"bird\"", "one class", "line 1", "one file name"];
        for (line, want) in lines.iter().zip(wants) {
            let text = format!("a.png\t0\n{line}");
            let (_, bad) = parse(&text, &two());
            let [(2, reason)] = &bad.first[..] else { panic!("{line:?}: {bad:?}") };
            assert!(reason.contains(want), "{want}: {reason}");
        }
    }

    #[test]
    fn files_that_are_no_truth_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("truth.tsv");
        let refused = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            read(root.path(), &file, &two()).unwrap_err().to_string()
        };
        assert!(refused(b"a.png\t0\n\xff\xfe\t1\n").contains("line 2 is not UTF-8"));
        assert!(refused(b"\n \n").contains("lists no picture"));
        let many = refused("x\n".repeat(9).as_bytes());
        assert!(many.contains("line 1: ") && many.contains("line 5: ") && !many.contains("line 6: "), "{many}");
        assert!(many.contains("and 4 more") && many.contains("truth.tsv"), "{many}");
        assert!(read(root.path(), &root.path().join("none"), &two()).unwrap_err().to_string().contains("none"));
        assert!(read(root.path(), root.path(), &two()).is_err(), "a folder is no truth file");
    }
}
