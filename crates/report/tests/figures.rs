//! Figures and the page as text: snapshots, and what must hold for any names and numbers.

mod sample;

use trt_calib::{Counts, Mode};
use trt_report::plot::{self, Look};
use trt_report::terminal::{self, Style};
use trt_report::*;

/// Ten values that halve in number, with two thresholds.
fn small() -> TensorReport {
    let mut counts = Counts::new(Mode::Canonical);
    let values: Vec<f32> =
        (0..10u32).flat_map(|bar| std::iter::repeat_n((bar as f32 + 0.5) / 10.0, 512 >> bar)).collect();
    counts.add(&values);
    let mut tensor = TensorReport::new("conv1/relu:0", &counts);
    tensor.bars = Bars { width: 0.1, counts: (0..10).map(|bar| 512 >> bar).collect() };
    tensor.with_threshold("entropy", 0.42, true, &counts).with_threshold("minmax", 0.95, false, &counts)
}

const PLAIN: Style = Style { width: 60, height: 6, unicode: true, colour: false };

#[test]
fn figures_look_as_they_did() {
    insta::assert_snapshot!("svg", plot::histogram(&small(), Look::Inside).to_string().replace("><", ">\n<"));
    insta::assert_snapshot!("unicode", terminal::histogram(&small(), &PLAIN));
    insta::assert_snapshot!("ascii", terminal::histogram(&small(), &Style { unicode: false, ..PLAIN }));
}

#[test]
fn a_terminal_without_unicode_gets_ascii_and_without_colour_no_escapes() {
    for at in 0..12 {
        let mut tensor = sample::tensor(at);
        tensor.name = "a\u{1b}[31mb".into();
        for width in [0, 40, 61, 100, 1000] {
            let plain = terminal::histogram(&tensor, &Style { width, unicode: false, ..PLAIN });
            assert!(plain.bytes().all(|byte| byte == b'\n' || (b' '..0x7f).contains(&byte)), "{plain}");
            let most = width.clamp(Style::NARROWEST, 132);
            let unicode = terminal::histogram(&tensor, &Style { width, ..PLAIN });
            assert!(!unicode.contains('\u{1b}'));
            let drawn = |line: &&str| line.chars().nth(6).is_some_and(|c| "┤└".contains(c));
            assert!(unicode.lines().filter(drawn).all(|line| line.chars().count() <= most), "{unicode}");
        }
        let coloured = terminal::histogram(&tensor, &Style { colour: true, ..PLAIN });
        let bare = coloured.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest));
        let starts = coloured.split('\u{1b}').next().unwrap_or_default().to_owned();
        let bare: String = starts + &bare.skip(1).collect::<String>();
        assert_eq!(bare, terminal::histogram(&tensor, &PLAIN), "colour is all that is added");
    }
}

#[test]
fn numbers_that_no_counting_gives_draw_something_all_the_same() {
    let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0, 5e-324, 1e308];
    for width in odd {
        for value in odd {
            let mut tensor = small();
            tensor.bars = Bars { width, counts: vec![u64::MAX, 0, 1] };
            tensor.thresholds.iter_mut().for_each(|mark| (mark.value, mark.beyond) = (value, Some(value)));
            (tensor.sqnr_db, tensor.own_db) = (Some(value), Some(width));
            assert!(plot::png(&plot::histogram(&tensor, Look::Light), 1.0).is_ok(), "{width} {value}");
            assert!(terminal::histogram(&tensor, &PLAIN).contains("conv1/relu:0"), "{width} {value}");
            let data = ReportData { tensors: vec![tensor; 3], ..ReportData::default() };
            assert!(trt_report::html(&data).ends_with("</html>"), "{width} {value}");
        }
    }
}

#[test]
fn the_environment_says_what_a_terminal_can_show() {
    type Case = (Option<usize>, &'static [(&'static str, &'static str)], bool, bool);
    let cases: [Case; 7] = [
        (Some(80), &[("LANG", "en_GB.UTF-8")], true, true),
        (Some(80), &[("LANG", "en_GB.UTF-8"), ("NO_COLOR", "1")], true, false),
        (Some(80), &[("LANG", "en_GB.UTF-8"), ("NO_COLOR", "")], true, true),
        (Some(80), &[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")], false, true),
        (Some(80), &[("LC_CTYPE", "de_DE.utf8"), ("TERM", "dumb")], true, false),
        (None, &[("LANG", "C.UTF-8")], true, false),
        (None, &[], false, false),
    ];
    for (width, variables, unicode, colour) in cases {
        let find = |name: &str| variables.iter().find(|own| own.0 == name).map(|own| own.1.to_owned());
        let style = Style::of(width, find);
        assert_eq!((style.unicode, style.colour), (unicode, colour), "{width:?} {variables:?}");
    }
}

#[test]
fn a_plot_becomes_pixels_with_text_where_no_font_is_installed() {
    let picture = |tensor: &TensorReport, look| {
        let bytes = plot::png(&plot::histogram(tensor, look), 2.0).unwrap();
        image::load_from_memory(&bytes).unwrap().to_rgb8()
    };
    let count = |picture: &image::RgbImage, colour: [u8; 3]| {
        picture.pixels().filter(|pixel| pixel.0 == colour).count()
    };
    let light = picture(&small(), Look::Light);
    assert_eq!(light.width(), 1280);
    assert!(count(&light, [0x35, 0x68, 0xa8]) > 50_000, "bars");
    assert!(count(&light, [0xb4, 0x43, 0x0b]) > 1_000, "the threshold and its name");
    assert!(count(&picture(&small(), Look::Dark), [0x6f, 0xa3, 0xe0]) > 50_000);
    // The heading is nothing but text.
    let ink = |name: &str| {
        let picture = picture(&TensorReport { name: name.into(), ..small() }, Look::Light);
        picture.enumerate_pixels().filter(|(_, y, pixel)| *y < 50 && pixel.0[0] < 100).count()
    };
    assert!(ink("WWWWWW") > 2 * ink("iiiiii") && ink("iiiiii") > 20);
    assert!(matches!(
        plot::png(&plot::histogram(&small(), Look::Light), 0.0),
        Err(ReportError::Scale { .. })
    ));
    assert!(matches!(
        plot::png(&plot::histogram(&small(), Look::Light), 1e9),
        Err(ReportError::Scale { .. })
    ));
    for at in 0..12 {
        // A name of a stranger must not break the drawing.
        picture(&TensorReport { name: sample::HOSTILE.into(), ..sample::tensor(at) }, Look::Light);
    }
    let all: Vec<TensorReport> = (0..12).map(sample::tensor).collect();
    assert!(plot::png(&plot::sqnr(&all, Look::Light).unwrap(), 1.0).is_ok());
}

/// The page without what fills it: elements with their ids and classes, each kind of row once.
fn outline(html: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        let end = rest.find('>').unwrap();
        let tag = &rest[1..end];
        let name = tag.split([' ', '/']).next().unwrap();
        if ["section", "h1", "h2", "h3", "caption", "nav", "main", "header", "footer", "script", "img"]
            .contains(&name)
        {
            let text = rest[end + 1..].split('<').next().unwrap().trim();
            let text = if ["script", "img"].contains(&name) { "" } else { text };
            let line = format!("{} {text}", tag.split(" src=").next().unwrap()).trim_end().to_owned();
            if lines.last() != Some(&line) {
                lines.push(line);
            }
        }
        rest = &rest[end..];
    }
    lines.join("\n")
}

#[test]
fn the_page_has_its_parts_in_order() {
    insta::assert_snapshot!("outline", outline(&trt_report::html(&sample::report(12))));
    insta::assert_snapshot!("outline_of_nothing", outline(&trt_report::html(&ReportData::default())));
}

#[test]
fn no_name_gets_out_of_its_place() {
    let mut data = sample::report(12);
    let hostile = || sample::HOSTILE.to_owned();
    data.provenance.model = hostile();
    data.provenance.created = hostile();
    data.notes.push(format!("`{}`", hostile()));
    data.results[0].outputs[0].group = Some(hostile());
    let html = trt_report::html(&data);
    assert!(html.matches("&lt;script&gt;").count() > 10, "the names are there");
    assert_eq!(html.matches("<script").count(), 1);
    assert!(!html.contains("alert('x')</script>") && !html.contains("\"onload"));
    assert!(!html.contains(['\u{202e}', '\u{1b}']));
    assert!(!html.contains(" style=\""), "styles stand in the sheet");
}

#[test]
fn the_page_names_no_address_outside() {
    let html = trt_report::html(&sample::report(12));
    let outside: Vec<&str> = html.split("://").skip(1).map(|rest| &rest[..20.min(rest.len())]).collect();
    assert!(outside.iter().all(|rest| rest.starts_with("www.w3.org/2000/svg")), "{outside:?}");
    assert!(html.contains("default-src 'none'") && !html.contains("script-src 'unsafe"));
}

#[test]
fn a_page_of_yolov5l_stays_small() {
    let html = trt_report::html(&sample::report(560));
    assert!(html.len() < 6 << 20, "{}", html.len());
    assert_eq!(html.matches("<svg").count(), 561);
}

#[test]
fn data_survives_json() {
    let data = sample::report(12);
    let text = serde_json::to_string(&data).unwrap();
    assert_eq!(serde_json::from_str::<ReportData>(&text).unwrap(), data);
    assert_eq!(serde_json::from_str::<ReportData>("{}").unwrap(), ReportData::default());
}

#[test]
fn a_sidecar_says_where_a_table_comes_from() {
    let hash = "11".repeat(32);
    let sidecar = serde_json::json!({
        "format": 1, "tool_version": "0.1.0", "created": "2026-05-04T09:30:00Z", "table": hash,
        "model": { "file": "net.onnx", "hash": hash, "external": { "net.data": hash } },
        "dataset": { "count": 9, "requested": 10, "seed": 7, "fingerprint": hash },
        "preprocessing": { "resize": "letterbox" }, "shapes": { "images": [1, 3, 640, 640] }, "batch": 4,
        "algorithm": "mse", "auto": { "because": "why" },
        "backend": { "name": "rten", "version": "0.27", "settings": { "threads": "8" } }, "tensors": {},
    });
    let sidecar = trt_calib::Sidecar::parse(sidecar.to_string().as_bytes()).unwrap();
    let found = Provenance::of(&sidecar, "net.calib");
    let texts = [&found.model, &found.table, &found.algorithm, &found.mode, &found.backend, &found.tool];
    assert_eq!(
        texts,
        ["net.onnx", "net.calib", "auto: mse", "canonical", "rten 0.27 (threads 8)", "trt-deploy 0.1.0"]
    );
    let more =
        |label: &str| found.more.iter().find(|fact| fact.label == label).map(|fact| fact.value.as_str());
    assert_eq!(more("Shape of `images`"), Some("1x3x640x640"));
    assert_eq!(more("Samples"), Some("9 of 10 asked for"));
    assert_eq!(more("Preprocessing"), Some("{\"resize\":\"letterbox\"}"));
    assert!(more("Hash of `net.data`").is_some());
}
