//! TensorRT's plugin library, and those of users.

use std::path::Path;

use super::library::{SharedLibrary, TensorRt};
use crate::error::LoadError;
use crate::sys::types::{Bool, Ptr, Text};

/// `initLibNvInferPlugins(logger, namespace)`.
type Initialise = unsafe extern "C" fn(Ptr, Text) -> Bool;

impl TensorRt {
    /// Registers the plugins of TensorRT's own plugin library.
    pub fn init_plugins(&self, plugins: &SharedLibrary) -> Result<(), LoadError> {
        // SAFETY: the type of the function in NVIDIA's headers, the same in every release.
        let initialise: Initialise = unsafe { plugins.function("initLibNvInferPlugins") }?;
        self.logger.take_errors();
        // SAFETY: the logger lives forever, the empty namespace is a static string. Calling it again does no harm.
        if unsafe { initialise(self.logger.as_ptr(), c"".as_ptr()) } == 0 {
            let (path, recorded) = (plugins.name().into(), self.logger.take_errors());
            return Err(LoadError::PluginsRefused { path, recorded });
        }
        Ok(())
    }

    /// Loads a library whose static constructors register plugins.
    pub fn load_plugin(&self, path: &Path) -> Result<(), LoadError> {
        let failed = |reason| LoadError::Plugin { path: path.into(), reason };
        // Some plugin libraries are linked without TensorRT and expect its symbols in the program.
        SharedLibrary::expose(&self.path).map_err(failed)?;
        SharedLibrary::open(path).map(drop).map_err(failed)
    }
}
