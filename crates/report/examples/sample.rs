//! Writes a report of made-up numbers and its figures, to look at how they are laid out:
//! `cargo run -p trt-report --example sample -- FOLDER [TENSORS]`.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::path::Path;
use std::{env, fs};

use trt_report::plot::{self, Look};
use trt_report::terminal::{self, Style};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args().skip(1);
    let folder = args.next().ok_or("name a folder")?;
    let tensors = args.next().map_or(Ok(60), |text| text.parse())?;
    let folder = Path::new(&folder);
    let data = sample::report(tensors);
    fs::write(folder.join("report.html"), trt_report::html(&data))?;
    let looks = [("light", Look::Light), ("dark", Look::Dark)];
    for (name, look) in looks {
        let svg = plot::histogram(&data.tensors[1], look);
        fs::write(folder.join(format!("{name}.png")), plot::png(&svg, 2.0)?)?;
        fs::write(folder.join(format!("{name}.svg")), svg.to_string())?;
    }
    let style = Style::of(Some(100), |name| env::var(name).ok());
    for tensor in data.tensors.iter().take(8) {
        println!("{}", terminal::histogram(tensor, &style));
    }
    Ok(())
}
