//! `trt-deploy init`: writes a small fleet file, filled in as far as can be known.

mod template;

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use self::template::{Host, ModelDraft, Preset, Template};
use super::Context;
use crate::bundle;
use crate::fleet::{FleetError, images_at};

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model to start with; its inputs are looked up
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// A folder, a glob or a list of images to calibrate with
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// How an image becomes the model's input
    #[arg(long, value_name = "PRESET", default_value = "imagenet")]
    preprocess: Preset,
    /// A device, as HOST or USER@HOST; may be repeated
    #[arg(long, value_name = "HOST")]
    device: Vec<Host>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
    /// Print the file and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the reference of every key and write nothing
    #[arg(long, conflicts_with_all = ["onnx", "images", "device", "force"])]
    reference: bool,
}

/// The reference of every key, with its defaults.
const REFERENCE: &str = include_str!("../../../configs/fleet.yaml");

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    file: &'a Path,
    written: bool,
    text: &'a str,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let (ui, file) = (&context.ui, context.config.as_path());
    let dry = args.dry_run || args.reference;
    // Said before the model is read, and checked once more when the file is put into place.
    if !dry && !args.force && file.symlink_metadata().is_ok() {
        return Err(FleetError::Exists { file: file.to_owned() }.into());
    }
    let text = if args.reference { REFERENCE.to_owned() } else { draft(args, context)?.to_string() };
    if dry {
        ui.print(text.trim_end());
    } else {
        write(file, &text, args.force)?;
        ui.say(format_args!("wrote {}; next: `trt-deploy fleet validate`", file.display()));
    }
    ui.json(&Outcome { file, written: !dry, text: &text })?;
    Ok(ExitCode::SUCCESS)
}

/// Looks at what the user named.
fn draft(args: &Args, context: &Context) -> anyhow::Result<Template> {
    let folder = context.config.parent().unwrap_or(Path::new(""));
    let model = args.onnx.as_ref().map(|onnx| -> anyhow::Result<_> {
        let model = bundle::load(onnx)?;
        Ok(ModelDraft {
            name: template::name_of(onnx),
            onnx: seen_from(folder, onnx)?,
            has_qdq: model.has_qdq(),
            inputs: model.inputs(),
        })
    });
    let images = args.images.as_ref().map(|images| -> anyhow::Result<_> {
        let text = seen_from(folder, images)?;
        let count = images_at(&text, &context.config)?.len();
        context.ui.say(format_args!("images in {}: {count}", images.display()));
        Ok(text)
    });
    Ok(Template {
        model: model.transpose()?,
        images: images.transpose()?,
        preprocess: args.preprocess,
        devices: args.device.clone(),
    })
}

/// `path`, which is relative to the working folder, as the fleet file in `folder` must write it.
fn seen_from(folder: &Path, path: &Path) -> io::Result<String> {
    let seen = if folder.as_os_str().is_empty() {
        path.to_owned()
    } else {
        let (path, folder) = (std::path::absolute(path)?, std::path::absolute(folder)?);
        path.strip_prefix(&folder).map(Path::to_owned).unwrap_or(path)
    };
    let text = seen.to_str().map(str::to_owned);
    text.ok_or_else(|| io::Error::other(format!("the path is not UTF-8: {}", seen.display())))
}

/// Writes the whole file or none of it.
fn write(file: &Path, text: &str, replace: bool) -> Result<(), FleetError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = || -> io::Result<()> {
        // The umask takes away what the user does not give to everybody.
        let permissions = Permissions::from_mode(0o666);
        let mut temporary =
            tempfile::Builder::new().prefix(".trt-deploy").permissions(permissions).tempfile_in(folder)?;
        temporary.write_all(text.as_bytes())?;
        temporary.as_file().sync_all()?;
        if replace {
            // A link stays one: what it points to is replaced.
            let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
            temporary.persist(target)?;
        } else {
            temporary.persist_noclobber(file)?;
        }
        File::open(folder)?.sync_all()
    };
    written().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => FleetError::Exists { file: file.to_owned() },
        _ => FleetError::Write { file: file.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_never_overwritten_without_force_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trt-deploy.yaml");
        write(&file, "one", false).unwrap();
        let error = write(&file, "two", false).unwrap_err();
        assert!(matches!(error, FleetError::Exists { .. }) && error.hint().unwrap().contains("--force"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "one");
        write(&file, "two", true).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(matches!(write(&folder.path().join("no/f"), "", false), Err(FleetError::Write { .. })));
    }

    #[test]
    fn paths_are_written_as_the_fleet_file_sees_them() {
        assert_eq!(seen_from(Path::new(""), Path::new("m/a.onnx")).unwrap(), "m/a.onnx");
        assert_eq!(seen_from(Path::new("/fleet"), Path::new("/fleet/m/a.onnx")).unwrap(), "m/a.onnx");
        assert_eq!(seen_from(Path::new("/fleet"), Path::new("/m/a.onnx")).unwrap(), "/m/a.onnx");
    }
}
