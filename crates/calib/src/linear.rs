//! A histogram as TensorRT is described to keep it: the first batch decides the width of the bins.
//!
//! Source: NVIDIA's MLPerf Inference v0.5 submission (`closed/NVIDIA/calibration.md`): the range is set by the first
//! batch and doubled as needed, with bins of the same width and more of them. So the result depends on the order.

/// The number of bins over the range of the first batch.
pub const LINEAR: usize = 2048;

/// A histogram of the magnitudes of one tensor in equal bins, which grow in number but never in width.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearHistogram {
    /// The width of a bin; 0 before the first value that is not 0.
    width: f64,
    /// `LINEAR` times a power of two, or none before the first value that is not 0.
    bins: Vec<u64>,
    /// Zeros seen before there was a width; they belong to the first bin.
    zeros: u64,
    min: f32,
    max: f32,
    count: u64,
    nan: u64,
    infinite: u64,
}

impl Default for LinearHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl LinearHistogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self {
            width: 0.0,
            bins: Vec::new(),
            zeros: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            count: 0,
            nan: 0,
            infinite: 0,
        }
    }

    /// Counts the values of one batch.
    pub fn add(&mut self, values: &[f32]) {
        let (mut least, mut greatest) = (f32::INFINITY, f32::NEG_INFINITY);
        for x in values {
            match x {
                x if x.is_nan() => self.nan += 1,
                x if x.is_infinite() => self.infinite += 1,
                x => {
                    (least, greatest) = (least.min(x + 0.0), greatest.max(x + 0.0));
                    self.count += 1;
                }
            }
        }
        if least > greatest {
            return;
        }
        (self.min, self.max) = (self.min.min(least), self.max.max(greatest));
        let amax = f64::from(greatest.max(-least));
        if self.bins.is_empty() {
            if amax == 0.0 {
                self.zeros += values.iter().filter(|x| x.is_finite()).count() as u64;
                return;
            }
            self.width = amax / LINEAR as f64;
            self.bins = vec![0; LINEAR];
            self.bins[0] = self.zeros;
        }
        while amax > self.width * self.bins.len() as f64 {
            self.bins.resize(2 * self.bins.len(), 0);
        }
        let last = self.bins.len() - 1;
        for x in values.iter().filter(|x| x.is_finite()) {
            self.bins[((f64::from(x.abs()) / self.width) as usize).min(last)] += 1;
        }
    }

    /// The greatest magnitude among finite values, exactly; `None` before the first.
    pub fn amax(&self) -> Option<f32> {
        (self.count > 0).then(|| self.max.max(-self.min).abs())
    }

    /// The least finite value, exactly; `None` before the first.
    pub fn min(&self) -> Option<f32> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest finite value, exactly; `None` before the first.
    pub fn max(&self) -> Option<f32> {
        (self.count > 0).then_some(self.max)
    }

    /// The number of finite values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The number of NaN.
    pub fn nan(&self) -> u64 {
        self.nan
    }

    /// The number of infinities of both signs.
    pub fn infinite(&self) -> u64 {
        self.infinite
    }

    /// The width of a bin, and the counts: none before the first value that is not 0.
    pub fn bins(&self) -> (f64, &[u64]) {
        (self.width, &self.bins)
    }
}
