//! What the tests of `pull` share: a cache of their own, a list of one small network, a server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::run::text;
use super::server::{Reply, Request, Server};

pub const NAME: &str = "tiny_v1";
pub const FILE: &str = "tiny_v1.safetensors";
pub const CHECKPOINT: &str = "tests/data/cifar/S4.safetensors";
pub const CAT: &str = "assets/cat.png";

/// The network that is served.
pub fn payload() -> Vec<u8> {
    read(CHECKPOINT)
}

pub fn read(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub struct Bench {
    folder: tempfile::TempDir,
    pub server: Server,
}

impl Bench {
    /// A server and a list of one file, of which neither size nor hash are known.
    pub fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let bench = Bench { folder: tempfile::tempdir().unwrap(), server: Server::start(answer) };
        bench.list(|_| ());
        bench
    }

    /// Writes the list anew, with a change to its entry.
    pub fn list(&self, change: impl FnOnce(&mut Value)) {
        let mut entry = json!({
            "name": NAME, "architecture": "qarepvgg-cifar", "form": "train", "file": FILE,
            "url": format!("{}/tiny", self.server.address),
            "licence": {"name": "Test-1.0", "url": "https://example.org/licence"}, "source": "https://example.org/tiny",
            "preprocess": {"input": 32, "crop_ratio": 1.0, "interpolation": "bilinear",
                "mean": [0.4914, 0.4822, 0.4465], "std": [0.2470, 0.2435, 0.2616]},
            "labels": "cifar10"
        });
        change(&mut entry);
        let list = json!({"schema_version": 1, "entries": [entry]});
        std::fs::write(self.path("list.json"), list.to_string()).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file in the cache.
    pub fn cached(&self, name: &str) -> PathBuf {
        self.path("weights").join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.env("FOVEATE_CACHE", self.folder.path()).env("FOVEATE_REGISTRY", self.path("list.json"));
        for proxy in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(proxy).env_remove(proxy.to_uppercase());
        }
        for variable in ["FOVEATE_OFFLINE", "FOVEATE_MIRROR", "FOVEATE_TIMEOUT"] {
            command.env_remove(variable);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn pull(&self) -> Output {
        self.run(&["pull", NAME])
    }

    /// Pulls, and asserts that the cache then holds just that file, whole.
    pub fn pulls(&self, bytes: &[u8]) -> String {
        let output = self.pull();
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert!(std::fs::read(self.cached(FILE)).unwrap() == bytes, "another file came");
        let recorded = std::fs::read_to_string(self.cached(&format!("{FILE}.sha256"))).unwrap();
        assert_eq!(recorded, format!("{}  {FILE}\n", sha256(bytes)));
        assert_eq!(self.leftovers(), Vec::<String>::new());
        stderr
    }

    /// Runs, and asserts that it fails with a message that has every one of `wants`, and that there is
    /// no file in the cache that was not there before.
    pub fn refuses(&self, args: &[&str], wants: &[&str]) -> String {
        let there = self.cached(FILE).exists();
        let output = self.run(args);
        assert_fails(&output, wants);
        assert_eq!(self.cached(FILE).exists(), there);
        text(&output.stderr)
    }

    /// What is in the cache beside the file, its hash and its lock.
    pub fn leftovers(&self) -> Vec<String> {
        let expected = [FILE.to_owned(), format!("{FILE}.sha256"), format!("{FILE}.lock")];
        let names = std::fs::read_dir(self.path("weights")).unwrap();
        let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !expected.contains(name)).collect()
    }

    /// The first bytes that were asked for, per request.
    pub fn ranges(&self) -> Vec<Option<String>> {
        self.server.requests().into_iter().map(|request| request.range).collect()
    }
}

pub fn assert_fails(output: &Output, wants: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty() && !stderr.contains("panicked"), "{stderr}");
    for want in wants {
        assert!(stderr.contains(want), "{want:?} is not in: {stderr}");
    }
}
