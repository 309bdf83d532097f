//! The command that would repair a network.

use foveate::analyze::{Analysis, BUDGET_DB};

use super::Analyze;

/// `foveate quantize` for that model, to be pasted into a shell; `None` for random weights, which it does
/// not take.
pub fn command(args: &Analyze, model: &std::path::Path, arch: Option<&String>, analysis: &Analysis) -> Option<String> {
    if args.random {
        return None;
    }
    let stem = model.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
    let mut words = vec!["foveate".to_owned(), "quantize".to_owned(), quoted(&model.to_string_lossy())];
    words.extend(["--calib".to_owned(), quoted(&args.calib.to_string_lossy())]);
    if let Some(arch) = arch {
        words.extend(["--arch".to_owned(), quoted(arch)]);
    }
    if args.use_ema {
        words.push("--use-ema".to_owned());
    }
    if falls_short(analysis) {
        words.extend(["--keep-float".to_owned(), "auto".to_owned()]);
    }
    words.extend(["-o".to_owned(), quoted(&format!("{stem}-int8.safetensors"))]);
    Some(words.join(" "))
}

/// Whether the default repairs leave too much noise.
pub fn falls_short(analysis: &Analysis) -> bool {
    analysis.repaired.as_ref().is_some_and(|repaired| repaired.noise.below(BUDGET_DB))
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+=:@%,".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        return word.to_owned();
    }
    let inner = word.replace('\'', "'\\''");
    // A path that begins with a dash would be taken for an option.
    if word.starts_with('-') { format!("'./{inner}'") } else { format!("'{inner}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        let cases = [
            ("nets/S0.safetensors", "nets/S0.safetensors"),
            ("my nets/a.pth", "'my nets/a.pth'"),
            ("it's $HOME; rm", "'it'\\''s $HOME; rm'"),
            ("-o", "'./-o'"),
            ("", "''"),
        ];
        for (word, expected) in cases {
            assert_eq!(quoted(word), expected);
        }
    }
}
