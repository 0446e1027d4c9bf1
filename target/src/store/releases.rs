//! Releases of a model, and the one symlink that says which is active.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trt_wire::message::VerifyOutcome;
use trt_wire::{BuildPlan, EngineKey, Manifest, ModelName, ReleaseId};

use super::{Result, Store, StoreError, document, durable, now};

/// A release as its folder describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its identity.
    pub id: ReleaseId,
    /// What it was made of.
    pub manifest: Manifest,
    /// The engine it points to.
    pub engine: EngineKey,
    /// How this release came to that engine, with the reasons. `None` for releases of the first agents.
    ///
    /// The engine's own record says why it was built, maybe for another release: one that asks for INT8 and gets FP16
    /// instead shares its engine with one that asked for FP16.
    pub plan: Option<BuildPlan>,
    /// Whether the engine was proven.
    pub verify: VerifyOutcome,
    /// When it was last activated, and what was active before.
    pub activation: Option<Activation>,
}

/// What is to become a release.
#[derive(Debug, Clone, Copy)]
pub struct NewRelease<'a> {
    /// Its identity.
    pub id: ReleaseId,
    /// What it is made of.
    pub manifest: &'a Manifest,
    /// An engine that is in the store.
    pub engine: EngineKey,
    /// How it came to that engine, with the reasons.
    pub plan: &'a BuildPlan,
    /// Whether the engine was proven.
    pub verify: &'a VerifyOutcome,
}

/// `activation.json`: written before `current` is switched, so that `rollback` knows the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// Seconds since 1970 by the device's clock.
    pub time: u64,
    /// The release that was active before.
    pub previous: Option<ReleaseId>,
}

impl Store {
    /// The folder of a model.
    pub fn model_dir(&self, model: &ModelName) -> PathBuf {
        self.root.join("models").join(model.as_str())
    }

    /// The path that applications open.
    pub fn engine_path(&self, model: &ModelName) -> PathBuf {
        self.model_dir(model).join("current/engine/engine.plan")
    }

    fn release_dir(&self, model: &ModelName, id: ReleaseId) -> PathBuf {
        self.model_dir(model).join("releases").join(id.full())
    }

    /// Makes a release. Its folder appears complete or not at all.
    ///
    /// If the folder is there, its documents are written anew: they may be those of another version of the agent.
    pub fn add_release(&self, release: &NewRelease<'_>) -> Result<()> {
        let target = self.release_dir(&release.manifest.model, release.id);
        if target.is_dir() {
            return write_documents(&target, release);
        }
        let releases = self.model_dir(&release.manifest.model).join("releases");
        let prepare = || {
            durable::create_dir(&releases)?;
            let staging = tempfile::Builder::new().prefix(".tmp-").tempdir_in(&releases)?;
            durable::set_mode(staging.path(), 0o755)?;
            Ok(staging)
        };
        let staging = prepare().map_err(StoreError::io(&target))?;
        write_documents(staging.path(), release)?;
        let commit = || {
            let link = Path::new("../../../../engines").join(release.engine.full());
            durable::replace_symlink(&staging.path().join("engine"), &link)?;
            durable::rename(&staging.keep(), &target)
        };
        commit().map_err(StoreError::io(&target))
    }

    /// A release by its id.
    pub fn release(&self, model: &ModelName, id: ReleaseId) -> Result<Option<Release>> {
        let dir = self.release_dir(model, id);
        if !dir.is_dir() {
            return Ok(None);
        }
        let link = dir.join("engine");
        let engine = fs::read_link(&link).map_err(StoreError::io(&link))?;
        let engine = engine.file_name().and_then(|name| name.to_str()?.parse().ok());
        let engine = engine
            .ok_or_else(|| StoreError::io(&link)(io::Error::other("the symlink does not name an engine")))?;
        Ok(Some(Release {
            id,
            engine,
            manifest: document::read(&dir.join("manifest.json"))?,
            plan: if_there(&dir.join("plan.json"))?,
            verify: document::read(&dir.join("verify.json"))?,
            activation: if_there(&dir.join("activation.json"))?,
        }))
    }

    /// The release before `id`, as far as that can still be told: whatever else of `id` cannot be read does not matter.
    pub fn way_back(&self, model: &ModelName, id: ReleaseId) -> Option<ReleaseId> {
        let path = self.release_dir(model, id).join("activation.json");
        document::read::<Activation>(&path).ok()?.previous
    }

    /// The active release's id.
    pub fn current(&self, model: &ModelName) -> Result<Option<ReleaseId>> {
        let link = self.model_dir(model).join("current");
        match fs::read_link(&link) {
            Ok(target) => Ok(target.file_name().and_then(|name| name.to_str()?.parse().ok())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&link)(error)),
        }
    }

    /// Switches `current`. `previous` is what [`Store::previous`] will say from now on.
    pub fn activate(&self, model: &ModelName, id: ReleaseId, previous: Option<ReleaseId>) -> Result<()> {
        let path = self.release_dir(model, id).join("activation.json");
        document::write(&path, &Activation { time: now(), previous })?;
        let link = self.model_dir(model).join("current");
        let target = Path::new("releases").join(id.full());
        durable::replace_symlink(&link, &target).map_err(StoreError::io(&link))
    }

    /// Leaves a model without an active release: a first activation was taken back.
    pub fn deactivate(&self, model: &ModelName) -> Result<()> {
        let link = self.model_dir(model).join("current");
        fs::remove_file(&link)
            .and_then(|()| durable::sync_dir(&self.model_dir(model)))
            .map_err(StoreError::io(&link))
    }

    /// Where a rollback of the active release would go, if that release is still here.
    pub fn previous(&self, model: &ModelName) -> Result<Option<ReleaseId>> {
        let Some(current) = self.current(model)? else { return Ok(None) };
        let previous = self.way_back(model, current);
        Ok(previous.filter(|id| self.release_dir(model, *id).is_dir()))
    }

    /// All releases of a model, by id.
    pub fn releases(&self, model: &ModelName) -> Result<Vec<ReleaseId>> {
        let dir = self.model_dir(model).join("releases");
        let names = names_in(&dir)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// All models, by name.
    pub fn models(&self) -> Result<Vec<ModelName>> {
        let names = names_in(&self.root.join("models"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }
}

fn write_documents(dir: &Path, release: &NewRelease<'_>) -> Result<()> {
    document::write_manifest(&dir.join("manifest.json"), release.manifest)?;
    document::write(&dir.join("plan.json"), release.plan)?;
    document::write(&dir.join("verify.json"), release.verify)
}

fn if_there<T: document::Document>(path: &Path) -> Result<Option<T>> {
    if path.exists() { document::read(path).map(Some) } else { Ok(None) }
}

fn names_in(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io(dir)(error)),
    };
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use trt_wire::{BuildSpec, Failure, ModelSummary, Precision, Verification};

    use super::super::BuildRecord;
    use super::*;

    /// Documents as the first agents wrote them.
    const FORMAT_1: [(&str, &str); 4] = [
        ("manifest.json", include_str!("format-1/manifest.json")),
        ("verify.json", include_str!("format-1/verify.json")),
        ("activation.json", include_str!("format-1/activation.json")),
        ("engine/build.json", include_str!("format-1/build.json")),
    ];

    fn record() -> BuildRecord {
        serde_json::from_str(FORMAT_1[3].1).unwrap()
    }

    /// The store that an agent of the first version left, with one active release; and its id.
    fn old_store(dir: &Path) -> (Store, ModelName, ReleaseId) {
        let (store, id, model) = (Store::open(dir).unwrap(), ReleaseId::of(b"old"), "net".parse().unwrap());
        let (release, engine) = (store.release_dir(&model, id), store.engine_dir(record().key));
        fs::create_dir_all(&release).unwrap();
        fs::create_dir_all(&engine).unwrap();
        let link = Path::new("../../../../engines").join(record().key.full());
        std::os::unix::fs::symlink(link, release.join("engine")).unwrap();
        for (name, text) in FORMAT_1 {
            fs::write(release.join(name), text).unwrap();
        }
        fs::write(engine.join("engine.plan"), "plan").unwrap();
        let current = Path::new("releases").join(id.full());
        std::os::unix::fs::symlink(current, store.model_dir(&model).join("current")).unwrap();
        (store, model, id)
    }

    fn manifest() -> Manifest {
        Manifest {
            format: Manifest::FORMAT,
            model: "m".parse().unwrap(),
            files: vec![],
            table: None,
            summary: ModelSummary {
                opset: 13,
                has_qdq: false,
                inputs: vec![],
                outputs: vec![],
                operators: BTreeMap::new(),
            },
            build: BuildSpec::new(Precision::Fp32),
            verification: Verification { required: false },
            hook: None,
        }
    }

    #[test]
    fn activation_and_rollback_walk_the_chain_of_releases() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (manifest, model) = (manifest(), "m".parse().unwrap());
        let [a, b] = [ReleaseId::of(b"a"), ReleaseId::of(b"b")];
        let engine = EngineKey::of(b"engine");
        let verify = VerifyOutcome::NotVerified { because: "no GPU".into() };
        let plan = record().plan;
        for id in [a, b] {
            let previous = store.current(&model).unwrap();
            let release = NewRelease { id, manifest: &manifest, engine, plan: &plan, verify: &verify };
            store.add_release(&release).unwrap();
            store.activate(&model, id, previous).unwrap();
        }
        assert_eq!(store.current(&model).unwrap(), Some(b));
        assert_eq!(store.previous(&model).unwrap(), Some(a));
        let release = store.release(&model, b).unwrap().unwrap();
        assert_eq!((release.engine, &release.manifest), (engine, &manifest));
        assert_eq!(release.plan, Some(plan));
        store.activate(&model, a, None).unwrap();
        assert_eq!(store.current(&model).unwrap(), Some(a));
        assert_eq!(store.previous(&model).unwrap(), None);
        assert_eq!(store.releases(&model).unwrap().len(), 2);
        assert_eq!(store.models().unwrap(), [model]);
    }

    #[test]
    fn a_release_that_the_first_agents_activated_is_still_active_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (store, model, id) = old_store(dir.path());
        assert_eq!((store.current(&model).unwrap(), store.previous(&model).unwrap()), (Some(id), None));
        let release = store.release(&model, id).unwrap().unwrap();
        assert_eq!((release.plan, release.engine), (None, record().key));
        assert_eq!(store.engine(release.engine).unwrap(), Some(record()));
        assert_eq!(store.last_build_ms(&model), Some(1200));
    }

    #[test]
    fn a_release_of_a_newer_agent_says_so_and_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (store, model, id) = old_store(dir.path());
        let plan = record().plan;
        let old = store.release(&model, id).unwrap().unwrap();
        let path = store.release_dir(&model, id).join("verify.json");
        fs::write(&path, r#"{"format": 9, "verification": "blessed"}"#).unwrap();
        let error = store.release(&model, id).unwrap_err();
        assert!(matches!(error, StoreError::OtherVersion { format: 9, .. }), "{error:?}");
        assert!(!Failure::from(error).hint.unwrap().contains("remove"));
        let (manifest, engine, verify) = (&old.manifest, old.engine, &old.verify);
        store.add_release(&NewRelease { id, manifest, engine, plan: &plan, verify }).unwrap();
        let renewed = store.release(&model, id).unwrap().unwrap();
        assert_eq!(renewed, Release { plan: Some(plan), ..old });
    }

    #[test]
    fn the_way_back_does_not_depend_on_what_else_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let (store, model, id) = old_store(dir.path());
        let before = ReleaseId::of(b"before");
        fs::create_dir(store.release_dir(&model, before)).unwrap();
        store.activate(&model, id, Some(before)).unwrap();
        fs::write(store.release_dir(&model, id).join("manifest.json"), "{").unwrap();
        assert!(store.release(&model, id).is_err());
        assert_eq!(store.previous(&model).unwrap(), Some(before));
        fs::write(store.release_dir(&model, id).join("activation.json"), "{").unwrap();
        assert_eq!((store.way_back(&model, id), store.previous(&model).unwrap()), (None, None));
    }
}
