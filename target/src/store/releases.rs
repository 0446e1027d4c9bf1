//! Releases of a model, and the one symlink that says which is active.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trt_wire::message::VerifyOutcome;
use trt_wire::{EngineKey, Manifest, ModelName, ReleaseId};

use super::{Result, Store, StoreError, durable, now, read_json};

/// A release as its folder describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its identity.
    pub id: ReleaseId,
    /// What it was made of.
    pub manifest: Manifest,
    /// The engine it points to.
    pub engine: EngineKey,
    /// Whether the engine was proven.
    pub verify: VerifyOutcome,
    /// When it was last activated, and what was active before.
    pub activation: Option<Activation>,
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

    /// Makes a release of an engine that is in the store. Its folder appears complete or not at all.
    pub fn add_release(
        &self,
        id: ReleaseId,
        manifest: &Manifest,
        engine: EngineKey,
        verify: &VerifyOutcome,
    ) -> Result<()> {
        let target = self.release_dir(&manifest.model, id);
        if target.is_dir() {
            let path = target.join("verify.json");
            return durable::write_json(&path, verify).map_err(StoreError::io(&path));
        }
        let releases = self.model_dir(&manifest.model).join("releases");
        let commit = || {
            durable::create_dir(&releases)?;
            let staging = tempfile::Builder::new().prefix(".tmp-").tempdir_in(&releases)?;
            durable::set_mode(staging.path(), 0o755)?;
            durable::write_json(&staging.path().join("manifest.json"), manifest)?;
            durable::write_json(&staging.path().join("verify.json"), verify)?;
            let link = Path::new("../../../../engines").join(engine.full());
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
        let activation = dir.join("activation.json");
        Ok(Some(Release {
            id,
            engine,
            manifest: read_json(&dir.join("manifest.json"))?,
            verify: read_json(&dir.join("verify.json"))?,
            activation: if activation.exists() { Some(read_json(&activation)?) } else { None },
        }))
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
        durable::write_json(&path, &Activation { time: now(), previous }).map_err(StoreError::io(&path))?;
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
        let previous = self.release(model, current)?.and_then(|release| release.activation?.previous);
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

    use trt_wire::{BuildSpec, ModelSummary, Precision, Verification};

    use super::*;

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
        for id in [a, b] {
            let previous = store.current(&model).unwrap();
            store.add_release(id, &manifest, engine, &verify).unwrap();
            store.activate(&model, id, previous).unwrap();
        }
        assert_eq!(store.current(&model).unwrap(), Some(b));
        assert_eq!(store.previous(&model).unwrap(), Some(a));
        let release = store.release(&model, b).unwrap().unwrap();
        assert_eq!((release.engine, &release.manifest), (engine, &manifest));
        store.activate(&model, a, None).unwrap();
        assert_eq!(store.current(&model).unwrap(), Some(a));
        assert_eq!(store.previous(&model).unwrap(), None);
        assert_eq!(store.releases(&model).unwrap().len(), 2);
        assert_eq!(store.models().unwrap(), [model]);
    }
}
