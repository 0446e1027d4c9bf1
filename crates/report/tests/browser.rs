//! The page in a browser: it runs its script and nothing else, fetches nothing, and shows what it should.
//!
//! The browser is what `TRT_TEST_BROWSER` names, else Chromium where `PATH` has one (Debian: `chromium-headless-shell`).

mod sample;

use std::fs;
use std::path::Path;

use test_support::browser::Browser;

/// What a page looks like.
fn screenshot(browser: &Browser, address: &str, size: (u32, u32), dark: bool) -> image::RgbImage {
    let path = browser.path("screen.png");
    let look = format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 });
    let (size, file) =
        (format!("--window-size={},{}", size.0, size.1), format!("--screenshot={}", path.display()));
    browser.run(&[&look, &size, &file, address]);
    read(&path)
}

fn read(path: &Path) -> image::RgbImage {
    image::load_from_memory(&fs::read(path).unwrap()).unwrap().to_rgb8()
}

/// The longest vertical run of a colour.
fn tallest(picture: &image::RgbImage, colour: [u8; 3]) -> u32 {
    let mut tallest = 0;
    for x in 0..picture.width() {
        let mut run = 0;
        for y in 0..picture.height() {
            run = if picture.get_pixel(x, y).0 == colour { run + 1 } else { 0 };
            tallest = tallest.max(run);
        }
    }
    tallest
}

#[test]
fn the_page_runs_its_script_only_and_fetches_nothing() {
    let Some(browser) = Browser::find() else { return };
    let visit = browser.visit(&browser.page("report.html", &trt_report::html(&sample::report(12))));
    assert_eq!(visit.console, [""; 0]);
    assert_eq!(visit.requests, [""; 0]);
    for section in [
        "results",
        "choice",
        "pictures",
        "ranking",
        "coverage",
        "tensors",
        "dataset",
        "propagated",
        "provenance",
    ] {
        assert!(visit.dom.contains(&format!("<section id=\"{section}\"")), "{section}");
    }
    // One for each tensor, and the one of all of them.
    assert_eq!(visit.dom.matches("<svg").count(), 13);
    assert_eq!(visit.dom.matches("<script").count(), 1, "no name became a script");
    assert!(visit.dom.contains("12 of 12 shown"), "the script was kept from running");
}

#[test]
fn a_page_that_did_worse_would_be_noticed() {
    let Some(browser) = Browser::find() else { return };
    let html = trt_report::html(&sample::report(2));
    let fetch = "<img src=\"http://127.0.0.1:9/x.png\">";
    let stopped =
        browser.visit(&browser.page("a.html", &html.replace("<footer>", &format!("{fetch}<footer>"))));
    assert_eq!((stopped.console.len(), stopped.requests.len()), (1, 0), "{:?}", stopped.console);
    let script =
        browser.visit(&browser.page("b.html", &html.replace("<footer>", "<script>1</script><footer>")));
    assert_eq!(script.console.len(), 1, "{:?}", script.console);
    let open = browser.visit(&browser.page("c.html", fetch));
    assert!(!open.requests.is_empty());
}

#[test]
fn a_link_opens_a_histogram_whose_bars_and_threshold_are_seen_in_both_looks() {
    let Some(browser) = Browser::find() else { return };
    let address = browser.page("report.html", &trt_report::html(&sample::report(6)));
    let looks = [
        (false, [255, 255, 255], [0x35, 0x68, 0xa8], [0xb4, 0x43, 0x0b]),
        (true, [0x14, 0x17, 0x1c], [0x6f, 0xa3, 0xe0], [0xff, 0x9d, 0x5c]),
    ];
    for (dark, paper, bar, accent) in looks {
        let closed = screenshot(&browser, &address, (1280, 6500), dark);
        // As high as the page is, so that the link does not scroll: a headless browser draws from the top.
        let open = screenshot(&browser, &format!("{address}#t1"), (1280, 6500), dark);
        assert_eq!(open.get_pixel(2, 2).0, paper);
        assert!(tallest(&closed, bar) < 20, "links and dots only: {}", tallest(&closed, bar));
        assert!(tallest(&open, bar) > 100, "bars: {}", tallest(&open, bar));
        assert!(tallest(&closed, accent) < 130 && tallest(&open, accent) > 150, "{}", tallest(&open, accent));
    }
}

#[test]
fn a_narrow_page_is_no_wider_than_its_window() {
    let Some(browser) = Browser::find() else { return };
    let html = trt_report::html(&sample::report(6));
    // Another page measures it: the report itself lets no script in.
    let measure = "<script>document.title = 'too wide by ' + (document.documentElement.scrollWidth - innerWidth)</script>";
    let start = html.find("<meta http-equiv").unwrap();
    let end = start + html[start..].find('>').unwrap() + 1;
    let open = format!("{}{}{measure}", &html[..start], &html[end..]);
    let (dom, _) = browser.run(&["--window-size=500,900", "--dump-dom", &browser.page("open.html", &open)]);
    assert!(
        dom.contains("<title>too wide by 0</title>"),
        "{:?}",
        dom.find("too wide").map(|at| &dom[at..at + 40])
    );
}
