//! Models in a build without the feature `mesh`: there are none.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A model that cannot be.
#[derive(Debug)]
pub struct Model {
    /// The file.
    pub files: Vec<PathBuf>,
    never: std::convert::Infallible,
}

impl Model {
    /// Says that this build reads no models.
    ///
    /// # Errors
    /// `Unsupported`, always.
    pub fn open(path: &Path) -> Result<Self> {
        let detail = format!("{}: this build draws no models", path.display());
        Err(Error::unsupported("glTF", detail)
            .with_hint("build it with the cargo feature mesh, which is on by default"))
    }

    /// No number is returned: there is no model.
    pub fn triangles(&self) -> usize {
        match self.never {}
    }

    /// As [`Model::triangles`].
    pub fn draw_count(&self) -> usize {
        match self.never {}
    }
}
