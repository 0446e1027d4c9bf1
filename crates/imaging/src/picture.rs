//! Pixels in the one form that the rest of the crate knows.

use crate::ImagingError;

/// A decoded image: interleaved 8-bit red, green, blue, rows from the top, no padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `3 * width * height` bytes.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Checks what public fields cannot promise: that there are pixels, and as many as the size says.
    ///
    /// # Errors
    /// [`ImagingError::ZeroSize`] and [`ImagingError::PictureLength`].
    pub fn check(&self) -> Result<(), ImagingError> {
        if self.width == 0 || self.height == 0 {
            return Err(ImagingError::ZeroSize { width: self.width, height: self.height });
        }
        let expected = u64::from(self.width) * u64::from(self.height) * 3;
        let found = self.pixels.len();
        if found as u64 != expected {
            return Err(ImagingError::PictureLength { expected, found });
        }
        Ok(())
    }
}
