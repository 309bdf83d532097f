//! Tells release builds what `git describe` says of the checkout that they are made from, for the records of
//! benchmarks. Other builds do without: they would be compiled anew with every commit.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    let Ok(root) = std::env::var("CARGO_MANIFEST_DIR") else { return };
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&root).args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // An unpacked release may lie in somebody else's checkout.
    let same = |top: &String| Path::new(top).canonicalize().ok() == Path::new(&root).canonicalize().ok();
    if git(&["rev-parse", "--show-toplevel"]).filter(same).is_none() {
        return;
    }
    // What is committed, and what differs from it.
    for part in ["src", "shaders", "assets", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={part}");
    }
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(&root).join(path).exists())
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    if let Some(version) = git(&["describe", "--always", "--dirty", "--tags", "--abbrev=12"]) {
        println!("cargo::rustc-env=FOVEATE_GIT={version}");
    }
}
