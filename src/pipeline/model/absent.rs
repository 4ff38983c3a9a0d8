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

#[cfg(test)]
mod tests {
    use crate::pipeline::description::Description;
    use crate::pipeline::plan::Plan;

    /// A pipeline with a model says at its key what is missing, and how to have it.
    #[test]
    fn a_build_without_models_names_the_feature() {
        let text =
            "[pass.model]\nmesh = \"turntable.gltf\"\nsize = \"8x8\"\n[sink.s]\ninput = \"model\"\nkind = \"null\"\n";
        let description = Description::parse("p.toml", text).unwrap();
        let Err(error) = Plan::new(&description, None) else { panic!("there is a model") };
        let words = error.to_string();
        for expected in ["p.toml:2:8", "turntable.gltf: this build draws no models", "the cargo feature mesh"] {
            assert!(words.contains(expected), "{expected}\n{words}");
        }
    }
}
