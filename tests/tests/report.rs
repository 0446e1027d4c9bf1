//! The page that `calibrate`, `evaluate` and `report` write, of a real calibration, in a real browser.

use e2e::{Host, models};
use test_support::browser::{Browser, Visit};

const FLEET: &str = "models:
  net:
    onnx: net.onnx
    precision: int8
    calibration: {images: photos, preprocess: {size: 16}, count: 40, algorithm: auto, backend: rten,
                  max-undecodable: 0.5}
";

/// A small network; photographs of which two are the same, one is of one colour and one is broken.
fn host() -> Host {
    let host = Host::new();
    host.write("net.onnx", models::convolutions(16, 4, 2));
    models::photographs(&host.path("photos"), 22);
    let copy = std::fs::read(host.path("photos/photo004.jpg")).unwrap();
    host.write("photos/photo004-again.jpg", copy);
    image_of_one_colour(&host);
    host.write("photos/broken.jpg", "no picture");
    host.write("trt-deploy.yaml", FLEET);
    host
}

fn image_of_one_colour(host: &Host) {
    let path = host.path("photos/grey.png");
    image::RgbImage::from_pixel(64, 64, image::Rgb([90; 3])).save(path).unwrap();
}

fn looked_at(browser: &Browser, host: &Host, page: &str) -> Visit {
    let visit = browser.visit(&format!("file://{}", host.path(page).display()));
    assert_eq!(visit.console, [""; 0], "{page}");
    assert_eq!(visit.requests, [""; 0], "{page}");
    visit
}

#[test]
fn pages_of_every_verb_hold_what_was_found_and_fetch_nothing() {
    let Some(browser) = Browser::find() else { return };
    let host = host();
    host.run(&["calibrate", "net", "--report", "calibrated.html"]).ok();
    host.run(&["evaluate", "net", "--report", "evaluated.html"]).ok();
    host.run(&["report", "net", "--layers"]).ok();
    let pages = ["calibrated.html", "evaluated.html", "calibration/net.html"];
    let [calibrated, evaluated, reported] = pages.map(|page| looked_at(&browser, &host, page).dom);
    for dom in [&calibrated, &evaluated, &reported] {
        // Samples, the choice of `auto` with every candidate, coverage and a histogram of each of the tensors.
        for words in [
            "Contact sheet",
            "data:image/jpeg",
            "broken.jpg",
            "Choice of the algorithm",
            "relu0",
            "5 of 5 shown",
        ] {
            assert!(dom.contains(words), "{words}");
        }
        for algorithm in ["entropy", "percentile:99.99", "percentile:99.9", "mse", "minmax"] {
            assert!(dom.matches(&format!("<code>{algorithm}</code>")).count() >= 5, "{algorithm}");
        }
    }
    let is_seen = |word: &str| [&calibrated, &evaluated, &reported].map(|dom| dom.contains(word));
    assert_eq!(is_seen("Side by side"), [false, true, true]);
    assert_eq!(is_seen("Layers, the costliest first"), [false, false, true]);
    assert_eq!(is_seen("What each tensor loses was not measured"), [true, false, false]);
}

#[test]
fn a_page_names_samples_that_are_alike_or_show_nothing_and_those_that_are_gone() {
    let host = host();
    // All of them calibrate.
    host.write("trt-deploy.yaml", FLEET.replace("auto", "minmax"));
    host.run(&["calibrate", "net", "--report", "page.html"]).ok();
    let page = std::fs::read_to_string(host.path("page.html")).unwrap();
    let alike = page.split("Near-duplicates").nth(1).and_then(|rest| rest.split("</ul>").next()).unwrap();
    assert!(alike.contains("photo004.jpg") && alike.contains("photo004-again.jpg"), "{alike}");
    let flat = page.split("Near-constant").nth(1).and_then(|rest| rest.split("</ul>").next()).unwrap();
    assert!(flat.contains("grey.png") && !flat.contains("photo"), "{flat}");
    assert_eq!(page.matches("alt=\"Sample ").count(), 24, "all that were counted");

    std::fs::remove_file(host.path("photos/photo001.jpg")).unwrap();
    host.run(&["report", "net", "-o", "later.html"]).ok();
    let later = std::fs::read_to_string(host.path("later.html")).unwrap();
    assert!(later.contains("1 of 24 samples are no longer where they were"), "{}", &later[..3000]);
}
