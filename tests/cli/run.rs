//! Running the program.

use std::process::{Command, Output};

use serde_json::Value;

/// Runs the program in the repository root. It opens no connection, and has no weights in a cache.
pub fn foveate(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/cache without weights");
    command.env("FOVEATE_OFFLINE", "1").env("FOVEATE_CACHE", cache).env_remove("FOVEATE_REGISTRY");
    command.output().unwrap()
}

/// Output as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs, and asserts failure with that exit code and a message that has every one of `wants`.
pub fn fails(code: i32, args: &[&str], wants: &[&str]) {
    let output = foveate(args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?} wrote to stdout: {}", text(&output.stdout));
    assert!(!stderr.contains("panicked"), "{stderr}");
    for want in wants {
        assert!(stderr.contains(want), "{args:?}: {want:?} is not in: {stderr}");
    }
}

/// The lines of JSON on stdout, of a run that went well.
pub fn json_lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
