//! The models that passes draw.
//!
//! In: a description and its graph. Out: opened models, each file read once, and the keys that go with them.
//! Not here: how a model is drawn (`pass::mesh`).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::layout::Size;
use crate::pipeline::description::{Description, MeshKeys};
use crate::pipeline::faults::Faults;
use crate::pipeline::graph::Graph;
use crate::pipeline::model::Model;

/// The keys of the passes that draw a model.
pub(super) fn mesh_keys(
    description: &Description,
    models: &BTreeMap<String, Arc<Model>>,
) -> BTreeMap<String, MeshKeys> {
    let keys = |name: &String| Some(description.passes.get(name.as_str())?.mesh.as_ref()?.get_ref().0.clone());
    models.keys().filter_map(|name| Some((name.clone(), keys(name)?))).collect()
}

/// The models that passes draw, each file read once; with the keys that speak of what is in them checked.
pub(super) fn open_models(
    description: &Description,
    graph: &Graph,
    sizes: &[Size],
    faults: &mut Faults,
) -> BTreeMap<String, Arc<Model>> {
    let mut files: HashMap<PathBuf, Arc<Model>> = HashMap::new();
    let mut models = BTreeMap::new();
    for (node, _size) in graph.passes.iter().zip(sizes) {
        let Some(mesh) = node.described.as_ref().and_then(|name| description.passes[name.as_str()].mesh.as_ref())
        else {
            continue;
        };
        let keys = &mesh.get_ref().0;
        let at_key = |error: Error| {
            description.error(format!("pass.{}.mesh", node.name), error.detail(), mesh.span()).with_hint_of(&error)
        };
        let path = description.resolve(&keys.file);
        let model = match files.get(&path) {
            Some(model) => Some(model.clone()),
            None => faults.take(Model::open(&path).map_err(at_key)).map(Arc::new),
        };
        let Some(model) = model else { continue };
        #[cfg(feature = "mesh")]
        {
            faults.take(crate::pipeline::model::view::View::new(&model, keys, *_size).map_err(at_key));
            for what in &model.left_out {
                tracing::warn!(pass = node.name, model = %path.display(), "not drawn: {what}");
            }
        }
        files.insert(path, model.clone());
        models.insert(node.name.clone(), model);
    }
    models
}
