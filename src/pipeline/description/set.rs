//! Values from the command line in place of those of the file: `--set KEY=VALUE`.
//!
//! In: an assignment. Out: the description with it, or the nearest key. Not here: what the values mean.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result, nearest};

use super::{Description, Named, Spanned, Text, Uniform, did_you_mean};

impl Description {
    /// Changes one value: `PARAMETER=VALUE` (or `parameter.NAME=VALUE`), `pass.NAME.UNIFORM=VALUE` (or
    /// `pass.NAME.uniforms.UNIFORM`), `pass.NAME.size=…`, `source.NAME.file=…`, `source.NAME.frames=…`, `sink.NAME.file=…`, `sink.NAME.every=…`, `optimize=…`.
    ///
    /// # Errors
    /// `Config`: no such key (with the nearest), a value of the wrong type.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let error = |detail: String| Error::new(ErrorKind::Config, "--set", format!("{assignment}: {detail}"));
        let (key, value) = assignment
            .split_once('=')
            .ok_or_else(|| error("expected KEY=VALUE".into()).with_hint("e.g. --set pass.grade.exposure=1.2"))?;
        let parts: Vec<&str> = key.trim().split('.').collect();
        let place = |value: Uniform| Spanned::new(0..0, value);
        match parts.as_slice() {
            ["pass", name, key] | ["pass", name, "uniforms", key] => {
                let pass = find_mut(&mut self.passes, "pass", name).map_err(error)?;
                if *key == "size" && parts.len() == 3 {
                    let size = value.parse().map_err(|wrong: Error| error(wrong.detail().to_owned()))?;
                    pass.size = Some(Spanned::new(0..0, Text(size)));
                    return Ok(());
                }
                let known = pass.uniforms.keys().map(|name| name.get_ref().as_str());
                if !pass.uniforms.contains_key(*key) {
                    let hint = did_you_mean(key, known);
                    return Err(error(format!("pass \"{name}\" sets no uniform \"{key}\"")).with_hint(hint));
                }
                let uniform = Uniform::from_text(value).map_err(error)?;
                pass.uniforms.insert(Spanned::new(0..0, (*key).to_owned()), place(uniform));
            }
            ["optimize"] => self.optimize = value.parse().map_err(error)?,
            ["source", name, "file"] => {
                find_mut(&mut self.sources, "source", name).map_err(error)?.file =
                    Some(Spanned::new(0..0, absolute(value)))
            }
            ["source", name, "frames"] => {
                let frames = value.parse().map_err(|_| error("expected a number of frames".into()))?;
                find_mut(&mut self.sources, "source", name).map_err(error)?.frames = Some(Spanned::new(0..0, frames));
            }
            ["sink", name, "file"] => {
                find_mut(&mut self.sinks, "sink", name).map_err(error)?.file = Some(Spanned::new(0..0, value.into()))
            }
            ["sink", name, "every"] => {
                let every = value.parse().map_err(|_| error("expected a number of frames".into()))?;
                find_mut(&mut self.sinks, "sink", name).map_err(error)?.every = Some(Spanned::new(0..0, every));
            }
            ["parameter", name] | [name] if parts.len() == 2 || self.parameters.contains_key(*name) => {
                let value = Uniform::from_text(value).map_err(error)?;
                let parameter = find_mut(&mut self.parameters, "parameter", name).map_err(error)?;
                parameter.default = place(value);
            }
            _ => {
                let hint = match parts.as_slice() {
                    [name] => nearest(name, self.parameters.keys().map(|name| name.get_ref().as_str())),
                    _ => None,
                };
                if let Some(name) = hint {
                    return Err(error("no such parameter".into()).with_hint(format!("did you mean \"{name}\"?")));
                }
                return Err(error("no such key".into()).with_hint(
                    "keys: PARAMETER, pass.NAME.UNIFORM, pass.NAME.size, source.NAME.file, source.NAME.frames, sink.NAME.file, sink.NAME.every, optimize",
                ));
            }
        }
        Ok(())
    }
}

/// A path from the command line is relative to the current directory, not to the pipeline file.
fn absolute(path: &str) -> PathBuf {
    if path == "-" {
        return path.into();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

fn find_mut<'a, T>(parts: &'a mut Named<T>, kind: &str, name: &str) -> Result<&'a mut T, String> {
    let hint = did_you_mean(name, parts.keys().map(|name| name.get_ref().as_str()));
    parts.get_mut(name).ok_or_else(|| format!("there is no {kind} \"{name}\"; {hint}"))
}
