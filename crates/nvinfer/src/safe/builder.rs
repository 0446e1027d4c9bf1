//! The builder, optimization profiles, and what is built.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use super::c_string;
use super::config::BuilderConfig;
use super::library::Library;
use super::network::Network;
use crate::error::Error;
use crate::result;
use crate::sys::slots;
use crate::sys::types::Dims64;
use crate::sys::values::{ShapeSelector, Typing};
use crate::version::Version;

/// Makes networks and configurations, and builds engines from them. Stays on the thread that made it.
///
/// Proven with real TensorRT-RTX 1.4, 1.5, 1.6 and 1.7. For TensorRT 8, 10 and 11 the same code takes the other columns of the
/// tables, which recorder libraries have confirmed; a real one has not built with it yet.
pub struct Builder {
    inner: Rc<result::Builder>,
}

impl Builder {
    /// Makes a builder, whose first calls check that the library has the interface of its version.
    ///
    /// Errors: [`Error::Creation`] (often: no usable GPU), [`Error::AbiMismatch`].
    pub fn new(library: &Library) -> Result<Builder, Error> {
        let inner = Rc::new(result::Builder::new(library.inner.clone())?);
        Ok(Builder { inner })
    }

    /// The library's version.
    pub fn version(&self) -> Version {
        self.inner.version()
    }

    /// How many deep learning accelerators this device has.
    pub fn dla_cores(&self) -> Result<u32, Error> {
        Ok(self.inner.dla_cores()?.max(0) as u32)
    }

    /// Whether the GPU computes faster in FP16. TensorRT 8 and 10; the others are not asked for precisions.
    pub fn has_fast_fp16(&self) -> Result<bool, Error> {
        Ok(self.inner.has_fast(&slots::builder::PLATFORM_HAS_FAST_FP16)?)
    }

    /// Whether the GPU computes faster in INT8. TensorRT 8 and 10; the others are not asked for precisions.
    pub fn has_fast_int8(&self) -> Result<bool, Error> {
        Ok(self.inner.has_fast(&slots::builder::PLATFORM_HAS_FAST_INT8)?)
    }

    /// Limits the threads of builds. TensorRT 8.4 and later. [`Error::Rejected`] for 0 and less.
    pub fn set_max_threads(&mut self, threads: i32) -> Result<(), Error> {
        self.inner.set_max_threads(threads)
    }

    /// Makes an empty network. [`Error::Unsupported`] if the version does not know that typing.
    pub fn create_network(&self, typing: Typing) -> Result<Network, Error> {
        let flags = typing.network_flags(self.version())?;
        Ok(Network::new(result::Network::new(self.inner.clone(), flags)?))
    }

    /// Makes a configuration with TensorRT's defaults.
    pub fn create_config(&self) -> Result<BuilderConfig, Error> {
        Ok(BuilderConfig { inner: result::Config::new(self.inner.clone())? })
    }

    /// Makes an optimization profile, which a network with dynamic inputs needs.
    pub fn create_profile(&self) -> Result<OptimizationProfile, Error> {
        Ok(OptimizationProfile { inner: result::Profile::new(self.inner.clone())? })
    }

    /// Builds an engine and serializes it. Takes seconds to hours.
    ///
    /// Errors: [`Error::Build`] with what TensorRT recorded, [`Error::Cancelled`] if the configuration's progress
    /// callback asked to stop, [`Error::Foreign`] for a network or configuration of another builder.
    pub fn build(&self, network: &Network, config: &BuilderConfig) -> Result<HostMemory, Error> {
        for (what, owner) in [("network", &network.inner.builder), ("configuration", &config.inner.builder)] {
            if !Rc::ptr_eq(owner, &self.inner) {
                return Err(Error::Foreign { what });
            }
        }
        let monitor = config.inner.monitor.as_deref();
        monitor.inspect(|monitor| monitor.reset());
        match self.inner.build(&network.inner, &config.inner)? {
            Some(inner) => Ok(HostMemory { inner }),
            None if monitor.is_some_and(|monitor| monitor.is_cancelled()) => Err(Error::Cancelled),
            None => Err(Error::Build { recorded: self.inner.take_errors() }),
        }
    }
}

/// The shapes that one input may take: each as long as the input has dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeRange {
    /// The smallest extents.
    pub min: Vec<i64>,
    /// The extents to choose kernels for.
    pub opt: Vec<i64>,
    /// The largest extents.
    pub max: Vec<i64>,
}

/// A set of shape ranges, one per dynamic input, for [`BuilderConfig::add_profile`].
pub struct OptimizationProfile {
    pub(super) inner: result::Profile,
}

impl OptimizationProfile {
    /// Sets the range of an input.
    ///
    /// Errors: [`Error::Rejected`] unless min <= opt <= max in each dimension, [`Error::Shape`] for more than 8
    /// dimensions. Whether the input exists is seen in the build only.
    pub fn set(&mut self, input: &str, range: &ShapeRange) -> Result<(), Error> {
        let name = c_string("input name", input)?;
        let shapes = [
            (ShapeSelector::Min, &range.min),
            (ShapeSelector::Opt, &range.opt),
            (ShapeSelector::Max, &range.max),
        ];
        for (selector, shape) in shapes {
            let misfit = || Error::Shape { input: input.into(), shape: shape.clone() };
            let dims = Dims64::new(shape).ok_or_else(misfit)?;
            self.inner.set(&name, selector, &dims)?.ok_or_else(misfit)?;
        }
        self.inner.check()
    }
}

/// Bytes that TensorRT allocated: a serialized engine or timing cache.
pub struct HostMemory {
    pub(super) inner: result::HostMemory,
}

impl HostMemory {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.inner.as_slice()
    }
}

impl Deref for HostMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for HostMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostMemory({} bytes)", self.len())
    }
}
