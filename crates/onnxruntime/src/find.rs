//! Where `libonnxruntime` may be.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The names by which the system's loader may know it.
const SYSTEM: [&str; 2] = ["libonnxruntime.so.1", "libonnxruntime.so"];

/// A place where the library was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The caller named it.
    Named(PathBuf),
    /// The environment variable `ORT_DYLIB_PATH` names it.
    Variable(PathBuf),
    /// The folder `onnxruntime/capi` of a Python.
    Python(PathBuf),
    /// `python3` was asked, and has no package `onnxruntime`, or there is no `python3`.
    NoPython,
    /// The system's loader knows it by this name.
    System(&'static str),
}

impl Place {
    /// The library in this place, if there is one; of the system's, its name.
    pub(crate) fn library(&self) -> Option<PathBuf> {
        match self {
            Self::Named(path) | Self::Variable(path) => path.exists().then(|| path.clone()),
            Self::Python(folder) => newest_in(folder),
            Self::NoPython => None,
            Self::System(name) => Some(PathBuf::from(name)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(path) => write!(f, "`{}`", path.display()),
            Self::Variable(path) => write!(f, "`{}` (from `ORT_DYLIB_PATH`)", path.display()),
            Self::Python(folder) => write!(f, "`{}`", folder.display()),
            Self::NoPython => f.write_str("the packages of `python3`"),
            Self::System(name) => write!(f, "the system's libraries (`{name}`)"),
        }
    }
}

/// The places to look in, in order. What a user names is the only one.
///
/// `variable` reads the environment, and `python` asks the installed Python, which takes a moment: it comes after the
/// environments that are active.
pub(crate) fn places(
    named: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    python: impl FnOnce() -> Option<PathBuf>,
) -> Vec<Place> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = named {
        return vec![Place::Named(path.to_owned())];
    }
    if let Some(path) = set("ORT_DYLIB_PATH") {
        return vec![Place::Variable(path)];
    }
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(set);
    let mut places: Vec<Place> =
        active.flat_map(|environment| site_packages(&environment)).map(in_site_packages).collect();
    if !places.iter().any(|place| place.library().is_some()) {
        let asked = python().map_or(Place::NoPython, in_site_packages);
        places.extend(Some(asked).filter(|place| !places.contains(place)));
    }
    places.extend(SYSTEM.map(Place::System));
    places
}

/// Where `python3` has the package, without importing it: that would load the library, and take a second.
pub(crate) fn ask_python() -> Option<PathBuf> {
    const WHERE: &str = "import importlib.util, os\n\
                         spec = importlib.util.find_spec('onnxruntime')\n\
                         print(os.path.dirname(os.path.dirname(spec.origin)) if spec and spec.origin else '', end='')";
    let mut python = Command::new("python3");
    let asked = python.args(["-c", WHERE]).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let folder = String::from_utf8(asked.ok()?.stdout).ok()?;
    (!folder.is_empty()).then(|| PathBuf::from(folder))
}

/// The folders of packages in a virtual environment.
fn site_packages(environment: &Path) -> Vec<PathBuf> {
    let versions = fs::read_dir(environment.join("lib")).into_iter().flatten().flatten();
    let pythons = versions.filter(|entry| entry.file_name().to_string_lossy().starts_with("python"));
    let mut folders: Vec<PathBuf> =
        pythons.map(|python| python.path().join("site-packages")).filter(|folder| folder.is_dir()).collect();
    folders.sort();
    folders
}

fn in_site_packages(folder: PathBuf) -> Place {
    Place::Python(folder.join("onnxruntime/capi"))
}

/// `libonnxruntime.so.1.N.M` in a folder, the last one by name if an upgrade has left several.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.flatten();
    let is_it = |name: &str| name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.");
    files.filter(|file| is_it(&file.file_name().to_string_lossy())).map(|file| file.path()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_names_is_the_only_place() {
        let set = |name: &str| (name == "ORT_DYLIB_PATH").then(|| OsString::from("/opt/ort.so"));
        let nobody = || unreachable!("python is not asked");
        let named = places(Some(Path::new("/mine.so")), set, nobody);
        assert_eq!(named, [Place::Named("/mine.so".into())]);
        assert_eq!(places(None, set, nobody), [Place::Variable("/opt/ort.so".into())]);
    }

    #[test]
    fn python_is_asked_only_where_the_active_environment_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let capi = folder.path().join("lib/python3.12/site-packages/onnxruntime/capi");
        fs::create_dir_all(&capi).unwrap();
        let set = |name: &str| match name {
            "VIRTUAL_ENV" => Some(folder.path().into()),
            "ORT_DYLIB_PATH" => Some(OsString::new()),
            _ => None,
        };
        let system = SYSTEM.map(Place::System);
        let asked = places(None, set, || Some("/py".into()));
        let python = Place::Python("/py/onnxruntime/capi".into());
        assert_eq!(asked, [&[Place::Python(capi.clone()), python], &system[..]].concat());

        for name in
            ["libonnxruntime.so.1.24.4", "libonnxruntime.so.1.32.0", "libonnxruntime_providers_shared.so"]
        {
            fs::write(capi.join(name), "").unwrap();
        }
        let none = places(None, |_| None, || None);
        assert_eq!(none, [&[Place::NoPython], &system[..]].concat());
        let found = places(None, set, || unreachable!("python is not asked"));
        assert_eq!(found[1..], system);
        assert_eq!(found[0].library(), Some(capi.join("libonnxruntime.so.1.32.0")));
    }
}
