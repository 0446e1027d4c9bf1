//! Ranks parameters of the entropy search by how well they make the table that somebody else made.
//!
//! `cargo run --release -p trt-calib --example fit -- HISTOGRAMS TABLE [--json] [--top N]`; `scripts/compare-entropy`
//! runs it.

use std::process::ExitCode;

use serde_json::json;
use trt_calib::{
    Agreement, Algorithm, CalibrationTable, EntropyParams, Fit, HistogramSet, Method, Preset, agreement, fit,
};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let (mut files, mut as_json, mut top) = (Vec::new(), false, 20);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => as_json = true,
            "--top" => top = arguments.next().ok_or("`--top` needs a number")?.parse()?,
            _ => files.push(argument),
        }
    }
    let [histograms, table] = &files[..] else { return Err("give a file of histograms and a table".into()) };
    let set = HistogramSet::parse(&std::fs::read(histograms)?)?;
    let table = CalibrationTable::parse(&std::fs::read(table)?)?;
    let ranked = fit(&set, &table);
    let Some(best) = ranked.first() else { return Err("the table names none of the tensors counted".into()) };
    let others = ["minmax", "percentile:99.9", "percentile:99.99", "percentile:99.999", "mse", "legacy"];
    let mut rows: Vec<(String, Agreement)> = Vec::new();
    for name in others {
        let method = Method::from(name.parse::<Algorithm>()?);
        rows.extend(agreement(&set, &table, &method).map(|agreement| (name.to_owned(), agreement)));
    }
    if as_json {
        let fits: Vec<_> = ranked.iter().take(top).map(record).collect();
        let other =
            |(name, found): &(String, Agreement)| json!({"algorithm": name, "agreement": figures(found)});
        let others: Vec<_> = rows.iter().map(other).collect();
        println!("{:#}", json!({"mode": set.mode, "entropy": fits, "others": others}));
        return Ok(());
    }
    println!("{} tensors in common, counted in mode {}", best.agreement.compared, set.mode);
    println!("{:>9} {:>9} {:>9}  parameters", "equal", "1 bin", "median");
    for Fit { params, agreement } in ranked.iter().take(top) {
        println!("{}  entropy: {}", line(agreement), describe(params));
    }
    for (name, agreement) in &rows {
        println!("{}  {name}", line(agreement));
    }
    Ok(())
}

fn line(found: &Agreement) -> String {
    let percent = |part: usize| 100.0 * part as f64 / found.compared as f64;
    let (equal, near) = (percent(found.equal), percent(found.within_a_bin));
    format!("{equal:>8.1}% {near:>8.1}% {:>8.3}%", 100.0 * found.median_difference)
}

/// The preset, or what departs from the nearest one.
fn describe(params: &EntropyParams) -> String {
    let map = |params: &EntropyParams| match serde_json::to_value(params) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    let departures = |preset: Preset| {
        let (own, base) = (map(params), map(&preset.params()));
        let changed = own.iter().filter(|(key, value)| base.get(*key) != Some(value));
        // What is the default is not written.
        let reset = base.keys().filter(|key| !own.contains_key(*key));
        let changed = changed.map(|(key, value)| format!("{key}={}", value.to_string().trim_matches('"')));
        changed.chain(reset.map(|key| format!("{key}=default"))).collect::<Vec<_>>()
    };
    let nearest =
        Preset::ALL.into_iter().map(|preset| (departures(preset), preset)).min_by_key(|(d, _)| d.len());
    nearest.map_or(String::new(), |(departures, preset)| {
        [vec![preset.to_string()], departures].concat().join(" ")
    })
}

fn record(found: &Fit) -> serde_json::Value {
    json!({"params": found.params, "text": describe(&found.params), "agreement": figures(&found.agreement)})
}

fn figures(found: &Agreement) -> serde_json::Value {
    json!({
        "compared": found.compared,
        "equal": found.equal,
        "within_a_bin": found.within_a_bin,
        "median_difference": found.median_difference,
    })
}
