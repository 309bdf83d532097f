//! Published weights: everything that servers, networks and disks do instead of handing over a file.

use std::net::TcpListener;

use super::pull_bench::{Bench, CAT, FILE, NAME, assert_fails, payload, read, sha256};
use super::run::text;
use super::server::{Length, Reply};

const ONE: &str = "\"one\"";
const TWO: &str = "\"two\"";
const CUT: usize = 200_000;

fn bytes_from(byte: usize) -> Option<String> {
    Some(format!("bytes={byte}-"))
}

#[test]
fn a_connection_that_breaks_is_resumed() {
    let body = payload();
    let bench = Bench::new(move |request| match request.index {
        0 | 1 => Reply::file(request, &body, ONE).cut(CUT),
        _ => Reply::file(request, &body, ONE),
    });
    let stderr = bench.pulls(&payload());
    assert_eq!(bench.ranges(), [None, bytes_from(CUT), bytes_from(2 * CUT)]);
    assert!(stderr.contains("200000 of 825064 bytes") && stderr.contains("trying again"), "{stderr}");
}

#[test]
fn a_silent_server_is_given_up_on_and_asked_again() {
    let body = payload();
    let bench = Bench::new(move |request| match request.index {
        0 => Reply::file(request, &body, ONE).cut(CUT).silent(),
        _ => Reply::file(request, &body, ONE),
    });
    let output = bench.command(&["pull", NAME]).env("FOVEATE_TIMEOUT", "1").output().unwrap();
    assert!(output.status.success() && text(&output.stderr).contains("timeout"), "{}", text(&output.stderr));
    assert_eq!(bench.ranges(), [None, bytes_from(CUT)]);
    for bad in ["soon", "0", "-1", "1e9"] {
        let output = bench.command(&["pull", "--force", NAME]).env("FOVEATE_TIMEOUT", bad).output().unwrap();
        assert_fails(&output, &["FOVEATE_TIMEOUT", bad]);
    }
}

#[test]
fn a_server_that_ignores_ranges_sends_all_again() {
    let body = payload();
    let bench = Bench::new(move |request| {
        let reply = Reply::new(200, &body).header("ETag", ONE);
        if request.index == 0 { reply.cut(CUT) } else { reply }
    });
    let stderr = bench.pulls(&payload());
    assert!(stderr.contains("starting over"), "{stderr}");
    assert_eq!(bench.ranges(), [None, bytes_from(CUT)]);
}

/// A file that changes on the way is not put together of two halves, whether the server heeds
/// `If-Range` or not.
#[test]
fn a_changed_file_is_fetched_from_the_start() {
    for heeds in [true, false] {
        // Of the same length: the entity tag alone tells.
        let other: Vec<u8> = payload().into_iter().rev().collect();
        let body = payload();
        let bench = Bench::new(move |request| match (request.index, request.range.is_some()) {
            (0, _) => Reply::file(request, &other, ONE).cut(CUT),
            (_, true) if !heeds => Reply::part(&body, CUT, TWO),
            _ => Reply::file(request, &body, TWO),
        });
        bench.pulls(&payload());
        let requests = bench.server.requests();
        assert_eq!(requests[1].range, bytes_from(CUT));
        assert_eq!(requests[1].if_range.as_deref(), Some(ONE));
        assert_eq!(requests.len(), if heeds { 2 } else { 3 });
    }
}

/// Nothing tells whether the file is the same: only a published hash would notice, so without one it
/// begins anew.
#[test]
fn without_a_validator_only_a_known_hash_lets_resume() {
    for known in [false, true] {
        let body = payload();
        let bench = Bench::new(move |request| {
            let mut reply = Reply::file(request, &body, ONE);
            reply.headers.retain(|(name, _)| *name != "ETag");
            if request.index == 0 { reply.cut(CUT) } else { reply }
        });
        if known {
            bench.list(|entry| entry["sha256"] = sha256(&payload()).into());
        }
        bench.pulls(&payload());
        assert_eq!(bench.ranges()[1], if known { bytes_from(CUT) } else { None });
    }
}

#[test]
fn parts_that_do_not_fit_are_thrown_away() {
    // A part of another place, and one longer than the file.
    let body = payload();
    let bench = Bench::new(move |request| match request.index {
        0 => Reply::file(request, &body, ONE).cut(CUT),
        1 => Reply::part(&body, CUT + 7, ONE),
        2 => Reply::new(200, &body).header("ETag", ONE).cut(CUT),
        3 => Reply::new(416, b""),
        4 => Reply::new(206, &body).header("ETag", ONE),
        _ => Reply::file(request, &body, ONE),
    });
    // The fifth answer is a part that nobody asked for.
    bench.refuses(&["pull", NAME], &["HTTP 206"]);
    assert_eq!(bench.ranges(), [None, bytes_from(CUT), None, bytes_from(CUT), None]);
    bench.pulls(&payload());
}

#[test]
fn errors_of_the_server() {
    let body = payload();
    let bench = Bench::new(move |request| match request.index {
        0 => Reply::new(500, b"oops"),
        1 => Reply::new(503, b""),
        _ => Reply::file(request, &body, ONE),
    });
    let stderr = bench.pulls(&payload());
    assert!(stderr.contains("HTTP 500") && stderr.contains("HTTP 503"), "{stderr}");

    let tries = |status| {
        let bench = Bench::new(move |_| Reply::new(status, b"no"));
        bench.refuses(&["pull", NAME], &[&format!("HTTP {status}"), &bench.server.address]);
        bench.server.requests().len()
    };
    assert_eq!([404, 403, 418].map(tries), [1, 1, 1]);
}

#[test]
fn tries_end_and_the_next_command_goes_on() {
    let body = payload();
    let bench = Bench::new(move |request| match request.index {
        0..5 => Reply::file(request, &body, ONE).cut(1000),
        5 => Reply::new(502, b""),
        _ => Reply::file(request, &body, ONE),
    });
    bench.refuses(&["pull", NAME], &["after 5000 of 825064", "gave up after 5 tries", "5000 bytes are kept"]);
    bench.pulls(&payload());
    let starts = [0, 1000, 2000, 3000, 4000, 5000, 5000];
    assert_eq!(bench.ranges(), starts.map(|byte| bytes_from(byte).filter(|_| byte > 0)));
}

#[test]
fn a_wrong_hash_keeps_nothing() {
    let body = payload();
    let bench = Bench::new(move |request| Reply::file(request, &body, ONE));
    bench.list(|entry| entry["sha256"] = "0".repeat(64).into());
    bench.refuses(&["pull", NAME], &[&sha256(&payload()), &"0".repeat(64), "nothing of it is kept"]);
    assert_eq!(bench.leftovers(), Vec::<String>::new());
}

#[test]
fn wrong_sizes_are_refused() {
    let body = payload();
    let bench = Bench::new(move |request| Reply::file(request, &body, ONE));
    bench.list(|entry| entry["size"] = 825_063.into());
    bench.refuses(&["pull", NAME], &["825064 bytes", "825063"]);
    // A rounded size of one million leaves room for two.
    let claims = Bench::new(|_| Reply::new(200, b"x").length(Length::Claimed(1 << 60)));
    claims.refuses(&["pull", NAME], &[&(1u64 << 60).to_string(), "more than"]);
    claims.list(|entry| entry["size_mb"] = 1.0.into());
    claims.refuses(&["pull", NAME], &["more than the 2050000"]);
    assert_eq!(claims.server.requests().len(), 2);

    let body = payload();
    let endless = Bench::new(move |_| Reply::new(200, &body).length(Length::Untold));
    endless.list(|entry| entry["size"] = 100_000.into());
    endless.refuses(&["pull", NAME], &["more than 100000 bytes"]);
    endless.list(|entry| entry["size"] = 1_000_000.into());
    endless.refuses(&["pull", NAME], &["825064 bytes", "1000000"]);
    assert_eq!(endless.leftovers(), Vec::<String>::new());
}

#[test]
fn log_in_pages_and_other_files_are_told_from_weights() {
    const PAGE: &[u8] = b"\n<!DOCTYPE html><html><body>Please log in</body></html>";
    let typed = Bench::new(|_| Reply::new(200, PAGE).header("Content-Type", "text/HTML; charset=utf-8"));
    let untyped = Bench::new(|_| Reply::new(200, PAGE));
    let zipped = Bench::new(|_| Reply::new(200, &payload()).header("Content-Encoding", "gzip"));
    let other = Bench::new(|_| Reply::new(200, &read("tests/data/golden/mobileone_tiny.train.safetensors")));
    let cut = Bench::new(|_| Reply::new(200, &payload()[..400_000]));
    for (bench, want) in [
        (&typed, "web page"),
        (&untyped, "web page"),
        (&zipped, "compressed (gzip)"),
        (&other, "MobileOne"),
        (&cut, "truncated"),
    ] {
        let stderr = bench.refuses(&["pull", NAME], &[want]);
        assert_eq!(bench.leftovers(), Vec::<String>::new(), "{stderr}");
        assert!(!bench.cached(&format!("{FILE}.sha256")).exists(), "{stderr}");
        assert_eq!(bench.server.requests().len(), 1);
    }
}

/// Where no hash is published, the first file's holds.
#[test]
fn what_was_fetched_first_is_trusted_and_nothing_else() {
    let body = payload();
    let mut changed = payload();
    *changed.last_mut().unwrap() ^= 1;
    let after = changed.clone();
    let bench = Bench::new(move |request| Reply::file(request, if request.index == 0 { &body } else { &after }, ONE));
    bench.pulls(&payload());
    // Damage in the cache.
    std::fs::write(bench.cached(FILE), &changed).unwrap();
    let wants = [sha256(&payload()), sha256(&changed), format!("pull --force {NAME}"), FILE.to_owned()];
    let wants = wants.each_ref().map(String::as_str);
    bench.refuses(&["classify", CAT, "--model", NAME], &wants);
    bench.refuses(&["pull", NAME], &wants);
    assert_eq!(bench.server.requests().len(), 1);
    // Another file at the publisher's.
    std::fs::remove_file(bench.cached(FILE)).unwrap();
    bench.refuses(&["pull", NAME], &[wants[0], wants[1], "changed the file"]);
    assert!(bench.run(&["pull", "--force", NAME]).status.success());
    bench.pulls(&changed);
    std::fs::write(bench.cached(&format!("{FILE}.sha256")), "nonsense").unwrap();
    bench.refuses(&["pull", NAME], &["holds no SHA-256", "--force"]);
}

#[test]
fn nobody_answers() {
    let bench = Bench::new(|_| Reply::new(500, b""));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let stderr = bench.refuses(&["pull", NAME, "--mirror", &closed], &[&closed, "refused"]);
    assert!(!stderr.contains("trying again"), "{stderr}");
    for mirror in ["http://", "example.org", "ftp://example.org", "file:///tmp", "http://a b"] {
        bench.refuses(&["pull", NAME, "--mirror", mirror], &[mirror, "no http or https address"]);
    }
    assert_eq!(bench.server.requests(), []);
}

#[test]
fn proxies_of_the_environment_are_used() {
    let bench = Bench::new(|_| Reply::new(403, b""));
    bench.list(|entry| entry["url"] = "http://weights.invalid/tiny".into());
    let output = bench.command(&["pull", NAME]).env("http_proxy", &bench.server.address).output().unwrap();
    assert_fails(&output, &["http://weights.invalid/tiny"]);
    let requests = bench.server.requests();
    assert!(requests.len() == 1 && requests[0].path.contains("weights.invalid"), "{requests:?}");
}

#[test]
fn caches_that_cannot_be_used() {
    let body = payload();
    let bench = Bench::new(move |request| Reply::file(request, &body, ONE));
    let file = bench.path("list.json");
    let output = bench.command(&["pull", NAME]).env("FOVEATE_CACHE", &file).output().unwrap();
    assert_fails(&output, &["list.json", "FOVEATE_CACHE"]);
    std::fs::create_dir_all(bench.cached(FILE)).unwrap();
    bench.refuses(&["pull", NAME], &["no regular file"]);
    std::fs::remove_dir(bench.cached(FILE)).unwrap();
    std::fs::create_dir_all(bench.cached(&format!("{FILE}.part"))).unwrap();
    bench.refuses(&["pull", NAME], &["tiny_v1.safetensors.part", "FOVEATE_CACHE"]);
    std::fs::remove_dir(bench.cached(&format!("{FILE}.part"))).unwrap();
    bench.pulls(&payload());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_says_so() {
    let body = payload();
    let bench = Bench::new(move |request| Reply::file(request, &body, ONE));
    std::fs::create_dir_all(bench.path("weights")).unwrap();
    std::os::unix::fs::symlink("/dev/full", bench.cached(&format!("{FILE}.part"))).unwrap();
    bench.refuses(&["pull", NAME], &["No space left", "free some space", "FOVEATE_CACHE"]);
    assert_eq!(bench.server.requests().len(), 1);
}

#[test]
fn lists_of_ones_own_are_checked() {
    let bench = Bench::new(|_| Reply::new(404, b""));
    bench.list(|entry| entry["file"] = "../../escape".into());
    bench.refuses(&["pull", NAME], &["list.json", NAME, "../../escape"]);
    std::fs::write(bench.path("list.json"), [0xff, 0xfe]).unwrap();
    bench.refuses(&["pull", NAME], &["list.json"]);
    bench.refuses(&["pull", NAME, "--registry", "no/such/list.json"], &["no/such/list.json"]);
    std::fs::remove_file(bench.path("list.json")).unwrap();
    bench.refuses(&["classify", CAT, "--model", "repnext-m1"], &["list.json"]);
    assert_eq!(bench.server.requests(), []);
}

#[test]
fn names_that_lead_out_of_the_cache_are_no_names() {
    let bench = Bench::new(|_| Reply::new(404, b""));
    for name in ["../../../etc/passwd", "/etc/passwd", "..", "a\\..\\b", "timm/../../x", ""] {
        bench.refuses(&["pull", name], &["unknown model"]);
    }
    assert_eq!(bench.server.requests(), []);
}
