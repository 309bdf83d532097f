//! Paths that lead to no file: folders, devices, sockets, pipes, as every argument that names one.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use super::run::{fails, foveate, text};

const CAT: &str = "assets/cat.png";
const MODEL: &str = "assets/cifar10-qarepvgg.safetensors";
const PICTURES: &str = "tests/data/cifar10";

/// Every argument that names a file to read, in place of which `@` stands; `%` is where nothing is.
const READ: [&[&str]; 18] = [
    &["classify", "@", "--device", "cpu"],
    &["classify", CAT, "--model", "@"],
    &["classify", CAT, "--labels", "@"],
    &["eval", PICTURES, "--truth", "@", "--device", "cpu"],
    &["eval", PICTURES, "--compare", "@", "--device", "cpu"],
    &["features", "@", "--device", "cpu", "-o", "%"],
    &["fuse", "@", "-o", "%"],
    &["info", "@"],
    &["quantize", "@", "--calib", PICTURES, "-o", "%"],
    &["analyze", "@", "--calib", PICTURES],
    &["report", "tests/data/bench/v1.json", "--baseline", "@"],
    &["report", "@", "--baseline", "tests/data/bench/v1.json"],
    &["predict", "--profile", "@"],
    &["pull", "--list", "--registry", "@"],
    &["verify", "--repro", "@"],
    &["bench", "--model", "@"],
    &["plan", "--model", "@"],
    &["tune", "--model", "@"],
];

/// And a folder of pictures.
const FOLDERS: [&[&str]; 4] = [
    &["classify", CAT, "--device", "cpu", "--precision", "w8a8", "--calib", "@"],
    &["eval", "@", "--device", "cpu"],
    &["quantize", MODEL, "--calib", "@", "-o", "%"],
    &["analyze", MODEL, "--calib", "@"],
];

fn refused(args: &[&str], path: &Path, want: &str) {
    let (path, scratch) = (path.to_str().unwrap(), tempfile::tempdir().unwrap());
    let none = scratch.path().join("none");
    let meant = |arg: &&str| match *arg {
        "@" => path.to_owned(),
        "%" => none.to_str().unwrap().to_owned(),
        arg => arg.to_owned(),
    };
    let args: Vec<String> = args.iter().map(meant).collect();
    fails(1, &args.iter().map(String::as_str).collect::<Vec<_>>(), &[path, want]);
    assert!(!none.is_file());
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn what_is_no_file_is_refused_wherever_a_file_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let [socket, folder] = ["socket", "folder"].map(|name| scratch.path().join(name));
    let _socket = UnixListener::bind(&socket).unwrap();
    fs::create_dir(&folder).unwrap();
    let [zero, urandom] = ["/dev/zero", "/dev/urandom"].map(Path::new);
    for args in READ {
        for (path, what) in [(zero, "a device"), (urandom, "a device"), (&socket, "a socket"), (&folder, "a folder")] {
            refused(args, path, &format!("it is {what}, not a file"));
        }
    }
    for args in FOLDERS {
        for path in [zero, &socket] {
            refused(args, path, "cannot read folder");
        }
    }
}

#[test]
fn empty_files_are_refused_wherever_a_file_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let empty = scratch.path().join("empty");
    File::create(&empty).unwrap();
    // A label file may have no line, if the network has no class.
    for args in READ.into_iter().filter(|args| !args.contains(&"--labels")) {
        refused(args, &empty, "");
    }
    refused(&["classify", CAT, "--labels", "@"], Path::new("/dev/null"), "it is a device");
    refused(&["classify", CAT, "--model", "@"], &empty, "is an empty file");
    refused(&["classify", "@", "--device", "cpu"], &empty, "the file is empty");
}

/// `<(…)` and `/dev/stdin`.
#[test]
fn pipes_are_read() {
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.env("FOVEATE", env!("CARGO_BIN_EXE_foveate")).env("FOVEATE_OFFLINE", "1").output().unwrap()
    };
    let labels = (0..10).map(|class| format!("class {class}\\n")).collect::<String>();
    for script in [
        format!("cat {CAT} | $FOVEATE classify /dev/stdin --device cpu"),
        format!("cat {MODEL} | $FOVEATE classify {CAT} --model /dev/stdin --device cpu"),
        format!("printf '{labels}' | $FOVEATE classify {CAT} --labels /dev/stdin --device cpu"),
    ] {
        let output = shell(&script);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let first = if script.contains("labels") { "class 3" } else { "cat" };
        assert!(output.status.success() && stdout.lines().nth(1).unwrap().trim_start().starts_with(first), "{stderr}");
    }
}

/// What a pipe or a device takes replaces nothing, so `--force` is not asked for; and where it is stdout, lines go to
/// stderr.
#[test]
fn outputs_go_into_pipes() {
    let scratch = tempfile::tempdir().unwrap();
    let [file, pipe] = ["file", "pipe"].map(|name| scratch.path().join(name));
    mkfifo(&pipe);
    let made = foveate(&["fuse", MODEL, "-o", file.to_str().unwrap()]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let whole = fs::read(&file).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    let output = foveate(&["fuse", MODEL, "-o", pipe.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(reader.join().unwrap() == whole, "another file came through the pipe");
    assert!(text(&output.stdout).contains("731504 bytes"), "{}", text(&output.stdout));
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    // The test's own end of a pipe is stdout.
    let output = foveate(&["fuse", MODEL, "-o", "/dev/stdout"]);
    assert!(output.status.success() && output.stdout == whole, "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("731504 bytes"), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2, "nothing is left beside them");
}

/// In a folder of pictures, what is no file is passed over, and said once.
#[test]
fn special_files_among_pictures_are_passed_over() {
    let scratch = tempfile::tempdir().unwrap();
    let class = scratch.path().join("cat");
    fs::create_dir(&class).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(CAT), class.join("cat.png")).unwrap();
    mkfifo(&class.join("pipe.png"));
    let _socket = UnixListener::bind(class.join("socket.png")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", class.join("zero.png")).unwrap();
    let folder = scratch.path().to_str().unwrap();
    for args in [
        &["classify", CAT, "--device", "cpu", "--precision", "w8a8", "--calib", folder][..],
        &["eval", folder, "--device", "cpu"],
    ] {
        let output = foveate(args);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let said = "passed over: pipes, sockets or devices (3): \"pipe.png\", \"socket.png\", \"zero.png\"";
        assert_eq!(stderr.matches(said).count(), 1, "{stderr}");
    }
}

/// What users hold by mistake: a model for a picture, and the other way round.
#[test]
fn wrong_kinds_are_called_by_name_from_a_pipe_too() {
    fails(1, &["classify", MODEL, "--device", "cpu"], &["a safetensors file, not a picture", "--model"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    command.args(["info", "/dev/stdin"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    running.stdin.take().unwrap().write_all(b"GIF89a\x01\0\x01\0\0\0\0;").unwrap();
    let output = running.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.code() == Some(1) && stderr.contains("/dev/stdin: is a GIF picture"), "{stderr}");
}
