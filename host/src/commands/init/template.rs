//! The text of a new fleet file.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use trt_onnx::{Dim, TensorInfo};

/// The presets of `preprocess`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Torchvision's classifiers
    Imagenet,
    /// Ultralytics' YOLO
    Yolo,
    /// Stretched to the input's size, from 0 to 1
    Plain,
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Imagenet => "imagenet",
            Self::Yolo => "yolo",
            Self::Plain => "plain",
        })
    }
}

/// A device on the command line: `HOST` or `USER@HOST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    user: Option<String>,
    host: String,
}

/// A text that is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a device is `HOST` or `USER@HOST`")]
pub struct HostError;

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (user, host) = text.split_once('@').map_or((None, text), |(user, host)| (Some(user), host));
        let fits = user.into_iter().chain([host]).all(crate::fleet::is_host);
        if fits { Ok(Self { user: user.map(str::to_owned), host: host.to_owned() }) } else { Err(HostError) }
    }
}

/// What is known about the model.
#[derive(Debug, Clone)]
pub struct ModelDraft {
    pub name: String,
    pub onnx: String,
    pub has_qdq: bool,
    pub inputs: Vec<TensorInfo>,
}

/// What goes into the file; `None` becomes an example.
#[derive(Debug, Clone)]
pub struct Template {
    pub model: Option<ModelDraft>,
    pub images: Option<String>,
    pub preprocess: Preset,
    pub devices: Vec<Host>,
}

/// A side of a picture to start with where the model leaves it open.
const SIDE: i64 = 640;

/// A file's name without its extension, as far as a model's name can hold it.
pub fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    as_name(&stem, "model")
}

/// `text` with everything replaced that a name cannot hold.
fn as_name(text: &str, otherwise: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = text.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    let name: String = name.trim_start_matches(['.', '_', '-']).chars().take(64).collect();
    if name.is_empty() { otherwise.to_owned() } else { name }
}

/// A YAML string, quoted unless it cannot be mistaken. A JSON string is a double-quoted YAML string.
fn quoted(text: &str) -> String {
    let plain = text.contains(|c: char| c.is_ascii_alphabetic())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || "./".contains(c))
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b))
        && !["null", "true", "false", "yes", "no", "on", "off"].contains(&text.to_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.as_ref();
        f.write_str(
            "# What trt-deploy calibrates and where it deploys it. Every key and its default:\n\
             # trt-deploy init --reference\n\nmodels:\n",
        )?;
        writeln!(f, "  {}:", quoted(model.map_or("model", |model| &model.name)))?;
        writeln!(f, "    onnx: {}", quoted(model.map_or("models/model.onnx", |model| &model.onnx)))?;
        f.write_str("    precision: int8   # or fp16, fp32\n")?;
        f.write_str("    # on-unsupported: fp16   # what devices without INT8 get (Jetson Nano, TX2); without it they are refused\n")?;
        if let Some(model) = model {
            shapes(f, &model.inputs)?;
        }
        if model.is_some_and(|model| model.has_qdq) {
            f.write_str(
                "    # The model is quantized already (it holds Q/DQ nodes): it needs no calibration.\n",
            )?;
        } else {
            self.calibration(f)?;
        }
        f.write_str(
            "    # This version cannot run engines on the device to prove them, and activates them unproven only if \
             told to.\n    verify: {required: false}\n",
        )?;
        self.devices(f)
    }
}

impl Template {
    fn calibration(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "    calibration:\n      # A folder, a glob or a list (.txt) of images like those that the model will see; \
             about 500 are enough\n",
        )?;
        writeln!(f, "      images: {}", quoted(self.images.as_deref().unwrap_or("photos")))?;
        writeln!(
            f,
            "      # CHECK: how an image becomes the model's input, which must be what the model was trained with:\n      \
             # imagenet, yolo, plain, or a map\n      preprocess: {}",
            self.preprocess
        )
    }

    fn devices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "\n# Push to devices by name, by group, or by label: trt-deploy push -l site=lab\ndevices:\n",
        )?;
        if self.devices.is_empty() {
            f.write_str(
                "  jetson-nano: {}   # this is its host name, too\n  # jetson-orin:\n  #   host: 192.168.7.31\n  \
                 #   user: ada\n  #   labels: {site: lab}\n",
            )?;
        }
        let mut names: Vec<String> = Vec::new();
        for Host { user, host } in &self.devices {
            let base = as_name(host, "device");
            let more = (2..).map(|n| format!("{}-{n}", &base[..base.len().min(56)]));
            let name = std::iter::once(base.clone()).chain(more).find(|name| !names.contains(name));
            let name = name.unwrap_or(base);
            let host = (name != *host).then(|| format!("host: {}", quoted(host)));
            let user = user.as_ref().map(|user| format!("user: {}", quoted(user)));
            let keys: Vec<_> = host.into_iter().chain(user).collect();
            writeln!(f, "  {}: {{{}}}", quoted(&name), keys.join(", "))?;
            names.push(name);
        }
        Ok(())
    }
}

/// The inputs that have open dimensions, with a number for each of them.
fn shapes(f: &mut fmt::Formatter<'_>, inputs: &[TensorInfo]) -> fmt::Result {
    let is_open = |dim: &Dim| !matches!(dim, Dim::Fixed(size) if *size > 0);
    let open: Vec<_> = inputs.iter().filter(|input| input.dims.iter().any(is_open)).collect();
    if open.is_empty() {
        return Ok(());
    }
    f.write_str(
        "    # CHECK: the model leaves dimensions of these inputs open. One list fixes them,\n    \
         # {min: [...], opt: [...], max: [...]} lets them vary.\n    shapes:\n",
    )?;
    for input in open {
        let sizes = input.dims.iter().enumerate().map(|(axis, dim)| match dim {
            Dim::Fixed(size) if *size > 0 => *size,
            _ if axis >= 2 => SIDE,
            _ => 1,
        });
        let sizes: Vec<_> = sizes.map(|size| size.to_string()).collect();
        writeln!(f, "      {}: [{}]", quoted(&input.name), sizes.join(", "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_what_a_file_or_host_is_called() {
        for (file, name) in [
            ("models/yolov5s.onnx", "yolov5s"),
            ("PP OCR (v4).onnx", "PP-OCR--v4-"),
            ("_x.onnx", "x"),
            ("ä.onnx", "model"),
            ("", "model"),
        ] {
            assert_eq!(name_of(Path::new(file)), name, "{file}");
        }
    }

    #[test]
    fn strings_that_yaml_could_mistake_are_quoted() {
        for (text, yaml) in [
            ("models/a.onnx", "models/a.onnx"),
            ("on", "\"on\""),
            ("0", "\"0\""),
            ("a b", "\"a b\""),
            ("x: y", "\"x: y\""),
            ("~", "\"~\""),
            ("<<", "\"<<\""),
        ] {
            assert_eq!(quoted(text), yaml);
            assert_eq!(serde_yaml::from_str::<String>(yaml).unwrap(), text);
        }
    }

    #[test]
    fn devices_are_hosts_with_or_without_a_user() {
        assert!("ada@nano".parse::<Host>().is_ok() && "10.0.0.1".parse::<Host>().is_ok());
        for bad in ["", "@", "ada@", "a@b@c", "-oProxyCommand=x", "a b"] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }

    fn template() -> Template {
        let input = |name: &str, dims: &[Option<i64>]| TensorInfo {
            name: name.to_owned(),
            elem_type: 1,
            dims: dims.iter().map(|dim| dim.map_or(Dim::Unknown, Dim::Fixed)).collect(),
        };
        Template {
            model: Some(ModelDraft {
                name: "detector".into(),
                onnx: "my models/detector.onnx".into(),
                has_qdq: false,
                inputs: vec![input("x", &[None, Some(3), None, None]), input("fixed", &[Some(1), Some(2)])],
            }),
            images: Some("photos/*.jpg".into()),
            preprocess: Preset::Yolo,
            devices: ["ada@nano", "fe80::1", "nano"].map(|host| host.parse().unwrap()).into(),
        }
    }

    #[test]
    fn the_file_says_what_is_known_and_marks_what_is_guessed() {
        insta::assert_snapshot!(template(), @r#"
        # What trt-deploy calibrates and where it deploys it. Every key and its default:
        # trt-deploy init --reference

        models:
          detector:
            onnx: "my models/detector.onnx"
            precision: int8   # or fp16, fp32
            # on-unsupported: fp16   # what devices without INT8 get (Jetson Nano, TX2); without it they are refused
            # CHECK: the model leaves dimensions of these inputs open. One list fixes them,
            # {min: [...], opt: [...], max: [...]} lets them vary.
            shapes:
              x: [1, 3, 640, 640]
            calibration:
              # A folder, a glob or a list (.txt) of images like those that the model will see; about 500 are enough
              images: "photos/*.jpg"
              # CHECK: how an image becomes the model's input, which must be what the model was trained with:
              # imagenet, yolo, plain, or a map
              preprocess: yolo
            # This version cannot run engines on the device to prove them, and activates them unproven only if told to.
            verify: {required: false}

        # Push to devices by name, by group, or by label: trt-deploy push -l site=lab
        devices:
          nano: {user: ada}
          fe80--1: {host: "fe80::1"}
          nano-2: {host: nano}
        "#);
    }

    #[test]
    fn whatever_is_written_can_be_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trt-deploy.yaml");
        let empty = Template { model: None, images: None, devices: Vec::new(), ..template() };
        let mut quantized = template();
        quantized.model.as_mut().unwrap().has_qdq = true;
        for (template, devices) in [(template(), 3), (empty, 1), (quantized, 3)] {
            std::fs::write(&file, template.to_string()).unwrap();
            let fleet = crate::fleet::Fleet::load(&file).unwrap();
            assert_eq!((fleet.models.len(), fleet.devices.len()), (1, devices));
        }
    }
}
