//! The page and the picture of `foveate report` in a browser, where Chromium is at hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::bench::record;
use super::run::{foveate, text};

/// Chromium: what `CHROMIUM` names, or the first in the path. Without one the test says so and is skipped.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let found =
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|file| file.is_file());
    let browser = named.or(found);
    if browser.is_none() {
        println!("skipped: no Chromium in the path, and CHROMIUM names none");
    }
    browser
}

/// What a page's document is once it has been shown in a window of that width, and what the browser logged.
fn shown(browser: &Path, page: &Path, width: u32) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]);
    command.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--enable-logging=stderr",
        "--dump-dom",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).arg(format!("--window-size={width},800"));
    let output = command.arg(format!("file://{}", page.display())).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    (text(&output.stdout), log)
}

/// What pages say on the console: errors, and what a page may not load.
fn console(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("CONSOLE")).collect()
}

#[test]
fn the_page_and_the_picture_are_at_home_in_a_browser() {
    let Some(browser) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text_of = |path: &Path| path.to_str().unwrap().to_owned();
    let [minutes, profile, networks] =
        ["minutes.json", "profile.json", "networks.json"].map(|name| text_of(&path(name)));
    let [page, picture] = ["page.html", "picture.svg"].map(path);
    let first = record(folder.path(), "first.json", |i| 900.0 + f64::from(i));
    let run = |args: &[&str]| {
        let output = foveate(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    };
    run(&["bench", "--device", "cpu", "--sustained", "0.003", "-o", &minutes]);
    let models = ["--model", "repnext-m0,mobileone-s0", "--random", "--warm-ups", "0", "--runs", "2", "--seconds", "0"];
    run(&[&["bench", "--device", "cpu", "-o", &networks][..], &models].concat());
    run(&["profile", "--device", "cpu", "--runs", "1", "-o", &profile]);
    let [to, drawn] = [&page, &picture].map(|path| text_of(path));
    run(&["report", &first, &minutes, &networks, &profile, "-o", &to, "--picture", &drawn]);

    let (dom, log) = shown(&browser, &page, 1280);
    assert!(dom.contains("To copy") && dom.contains("class=\"flame s0\""), "{dom:.500}");
    assert_eq!(console(&log), Vec::<&str>::new());
    let (dom, log) = shown(&browser, &picture, 1280);
    assert!(dom.contains("repnext-m0") && !dom.contains("parsererror"), "{dom:.2000}");
    assert_eq!(console(&log), Vec::<&str>::new());

    let html = std::fs::read_to_string(&page).unwrap();
    // The check can fail: what a page may not load is told.
    let bad = path("bad.html");
    std::fs::write(&bad, html.replace("<main>", "<main><img src=\"https://example.invalid/a.png\">")).unwrap();
    assert!(!console(&shown(&browser, &bad, 1280).1).is_empty());
    // A script that the page itself may not run says how wide it became.
    let measured = path("measured.html");
    let policy = html.find("<meta http-equiv").map(|from| (from, from + html[from..].find('>').unwrap() + 1)).unwrap();
    let script =
        "<script>document.title = 'width ' + innerWidth + ' ' + document.documentElement.scrollWidth</script></body>";
    let free = [&html[..policy.0], &html[policy.1..]].concat().replace("</body>", script);
    std::fs::write(&measured, free).unwrap();
    for width in [390, 1280] {
        let (dom, _) = shown(&browser, &measured, width);
        let title = dom.split("<title>width ").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap();
        let widths: Vec<u32> = title.split(' ').map(|number| number.parse().unwrap()).collect();
        assert!(widths[0] <= width.max(500) && widths[1] <= widths[0], "{width}: {title}");
    }
}
