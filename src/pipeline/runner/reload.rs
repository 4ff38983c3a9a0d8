//! What an edited pipeline file changes in a run that goes on: shaders, uniforms and parameters, and nothing else.
//!
//! In: the description as it was and as it is now. Out: [`Programs`] for the same passes, or why a new run is needed.
//! Not here: seeing that a file changed (the command line), compiling (`pass`).

use std::ops::Range;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::error::Result;
use crate::layout::Size;

use super::super::description::Description;
use super::super::graph::Graph;
use super::super::plan::{Programs, Sizes};
use super::super::shader::Shader;

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Passes whose shaders were compiled anew.
    pub compiled: Vec<String>,
    /// Values were given anew.
    pub values: bool,
    /// The files that were read: a change of one of them is the next reload.
    pub files: Vec<PathBuf>,
}

/// What a run needs to know of its beginning.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) description: Description,
    pub(super) graph: Graph,
    /// Of the sources and of the passes' targets.
    pub(super) sizes: [Vec<Size>; 2],
}

impl Base {
    /// The shaders and values that `description` gives to the passes of this run.
    pub(super) fn read(&self, description: &Description) -> Result<Programs> {
        let tables = (self.description.origin.text.parse::<Table>(), description.origin.text.parse::<Table>());
        if let ((Ok(old), Ok(new)), Ok(places)) = (tables, DeTable::parse(&description.origin.text))
            && let Some((key, place)) = difference(&old, &new, places.get_ref(), &[])
        {
            let error = description.error(key, "changed: a run that goes on does not take this", place);
            return Err(error.with_hint("it takes shaders, uniforms and parameters; start it again for the rest"));
        }
        let [sources, targets] = &self.sizes;
        Programs::new(description, &self.graph, Sizes { sources, targets })
    }

    /// Values of uniforms or parameters are written differently.
    pub(super) fn values_differ(&self, other: &Self) -> bool {
        let values = |base: &Self| -> Option<(Option<Value>, Vec<Option<Value>>)> {
            let table: Table = base.description.origin.text.parse().ok()?;
            let passes = table.get("pass").and_then(Value::as_table).into_iter().flat_map(Table::values);
            let uniforms = passes.map(|pass| pass.get("uniforms").cloned()).collect();
            Some((table.get("parameter").cloned(), uniforms))
        };
        values(self) != values(other)
    }
}

/// The first key that differs, beside those that may change, and its place in the new text.
fn difference(old: &Table, new: &Table, places: &DeTable<'_>, path: &[&str]) -> Option<(String, Range<usize>)> {
    let may_change = |key: &str| match path {
        [] => key == "parameter",
        ["pass", _] => matches!(key, "uniforms" | "shader"),
        _ => false,
    };
    let mut keys: Vec<&String> = new.keys().chain(old.keys()).filter(|key| !may_change(key)).collect();
    keys.dedup();
    for key in keys {
        let here = [path, &[key.as_str()]].concat();
        let place = places.get_key_value(key.as_str());
        if let (Some(Value::Table(old)), Some(Value::Table(new))) = (old.get(key), new.get(key))
            && let Some(DeValue::Table(places)) = place.map(|(_, place)| place.get_ref())
        {
            match difference(old, new, places, &here) {
                None => continue,
                found => return found,
            }
        }
        if old.get(key) != new.get(key) {
            return Some((here.join("."), place.map_or(0..0, |(key, value)| key.span().start..value.span().end)));
        }
    }
    None
}

/// Both give the same program.
pub(super) fn is_same(one: Option<&Shader>, other: Option<&Shader>) -> bool {
    let text = |shader: &Shader| (shader.text.clone(), shader.version, shader.extensions.clone());
    one.map(text) == other.map(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "[source.a]\npattern = \"bars\"\nsize = \"8x8\"\n[pass.p]\nshader = \"a\"\nuniforms = { x = 1 }\nsize = \"4x4\"\n[sink.s]\ninput = \"p\"\n";

    fn difference_of(after: &str) -> Option<(String, usize)> {
        let (old, new) = (BEFORE.parse().unwrap(), after.parse().unwrap());
        let found = difference(&old, &new, DeTable::parse(after).unwrap().get_ref(), &[]);
        found.map(|(key, place)| (key, after[..place.start].matches('\n').count() + 1))
    }

    #[test]
    fn only_shaders_and_values_may_change() {
        let edit = |from: &str, to: &str| difference_of(&BEFORE.replace(from, to));
        assert_eq!(edit("", ""), None);
        assert_eq!(edit("shader = \"a\"", "shader = \"b\""), None);
        assert_eq!(edit("x = 1", "x = \"$p\""), None);
        assert_eq!(edit("[sink.s]", "# new\n[parameter.p]\ndefault = 1\n[sink.s]"), None);
        assert_eq!(edit("4x4", "5x5"), Some(("pass.p.size".into(), 7)));
        assert_eq!(edit("\"bars\"", "\"checker\""), Some(("source.a.pattern".into(), 2)));
        assert_eq!(edit("size = \"4x4\"\n", ""), Some(("pass.p.size".into(), 1)));
        assert_eq!(edit("[sink.s]", "[sink.t]\ninput = \"p\"\n[sink.s]"), Some(("sink.t".into(), 8)));
        assert_eq!(edit("[sink.s]", "frames = 3\n[sink.s]"), Some(("pass.p.frames".into(), 8)));
    }
}
