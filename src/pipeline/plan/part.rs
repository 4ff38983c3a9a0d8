//! What stands by itself in a description: sources, shaders and the values of their uniforms, what a sink takes.
//!
//! In: one part. Out: what it is, or everything that is wrong with it.
//! Not here: how the parts fit together (`graph`, `plan`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result, nearest};

use super::super::description::{Description, Pass, Spanned, Style, Uniform, did_you_mean};
use super::super::faults::Faults;
use super::super::model::Model;
use super::super::parameters::ParameterSet;
use super::super::shader::{BUILT_IN, Declared, Entry, Shader};
use super::super::sink::{self, Shape};
use super::super::source::{Opened, Opening};
use super::Setting;

/// Fails where a sink does not take pictures of `shape`.
pub(super) fn check_sink(description: &Description, plan: &sink::Plan, shape: &Shape) -> Result<()> {
    plan.check(shape).map_err(|error| {
        let name = &plan.name;
        let given = &description.sinks[name.as_str()];
        let span = given.file.as_ref().map_or(given.input.span(), |file| file.span());
        // What the pictures are is decided by what feeds the sink.
        let (key, span) = match error.op() {
            "format" => ("input", given.input.span()),
            key => (key, span),
        };
        description.error(format!("sink.{name}.{key}"), error.detail(), span).with_hint_of(&error)
    })
}

pub(super) fn open_source(description: &Description, name: &str, opening: Opening<'_>) -> Result<Opened> {
    let source = &description.sources[name];
    Opened::with(description, name, source, opening).map_err(|error| {
        // That the file is not there, or is a folder, is a mistake in the text; what is in it is not.
        // So it is which files a pattern takes.
        match (&source.file, error.kind(), error.op()) {
            (Some(file), ErrorKind::NotFound | ErrorKind::InvalidInput, "open" | "size") => {
                let key = if error.op() == "size" { "size" } else { "file" };
                let key = format!("source.{name}.{key}");
                description.error(key, error.detail(), file.span()).with_hint_of(&error)
            }
            _ => error,
        }
    })
}

/// Looks at what stands by itself where the whole is wrong already: sources, shaders and their values.
pub(super) fn the_rest(description: &Description, mut faults: Faults) -> Error {
    for name in description.sources.keys().map(Spanned::get_ref) {
        if !faults.is_broken("source", name) {
            faults.take(open_source(description, name, Opening::Look));
        }
    }
    let mut parameters = ParameterSet::collect(description, &mut faults);
    let mut known = HashMap::new();
    for (name, pass) in &description.passes {
        if let Some(mesh) = &pass.mesh
            && let Err(error) = Model::open(&description.resolve(&mesh.get_ref().0.file))
        {
            let key = format!("pass.{name}.mesh");
            faults.add(description.error(key, error.detail(), mesh.span()).with_hint_of(&error));
        }
        if pass.shader_file().is_some() {
            authored(description, name.get_ref(), pass, &mut known, &mut parameters, &mut faults);
        }
    }
    faults.into_result().err().unwrap_or_else(|| Error::failed("plan", "nothing is wrong"))
}

/// The shader of a pass that names one, and the values of its uniforms.
pub(super) fn authored(
    description: &Description,
    name: &str,
    pass: &Pass,
    known: &mut HashMap<PathBuf, Option<Arc<Shader>>>,
    parameters: &mut ParameterSet,
    faults: &mut Faults,
) -> Option<(Arc<Shader>, Vec<Setting>)> {
    let (key, file) = pass.shader_file()?;
    let path = description.resolve(file.get_ref());
    let open = || {
        let inputs: Vec<&str> = pass.inputs.0.iter().map(|(input, _)| input.get_ref().as_str()).collect();
        let shader = match key {
            "compute" => Shader::open_compute(&path),
            "wgpu" => Shader::open_wgsl(&path, &inputs),
            _ => Shader::open(&path),
        };
        let shader = shader.map(Arc::new);
        shader.map_err(|error| match (error.kind(), error.span()) {
            (ErrorKind::NotFound | ErrorKind::InvalidInput | ErrorKind::Unsupported, None) => {
                description.error(format!("pass.{name}.{key}"), error.detail(), file.span()).with_hint_of(&error)
            }
            _ => error,
        })
    };
    let shader = match known.get(&path) {
        // Of WGSL the inputs' names are a part.
        Some(Some(shader)) if key != "wgpu" => shader.clone(),
        // A file that is not there is missed by each pass that names it; what is in it is said once.
        _ => {
            let shader = faults.take(open());
            known.insert(path, shader.clone());
            shader?
        }
    };
    let is_shadertoy = key == "shader" && pass.style.as_ref().is_some_and(|style| *style.get_ref() == Style::Shadertoy);
    if (shader.entry == Entry::MainImage) != is_shadertoy {
        if !faults.is_broken("pass", name) {
            let path = file.get_ref().display();
            let (detail, hint) = match is_shadertoy {
                true => (format!("{path} has no mainImage"), "remove style = \"shadertoy\""),
                false => (format!("{path} has mainImage, as on shadertoy.com"), "add style = \"shadertoy\""),
            };
            faults.add(description.error(format!("pass.{name}.{key}"), detail, file.span()).with_hint(hint));
        }
        return None;
    }
    if faults.is_broken("pass", name) {
        return None;
    }
    let before = faults.count();
    let values = values(description, name, pass, file, &shader, parameters, faults);
    (faults.count() == before).then_some((shader, values))
}

fn sampler_hint(name: &str) -> String {
    format!("pictures are inputs: add inputs = {{ {name} = \"SOURCE\" }}, call {name}() or {name}(uv), declare nothing")
}

/// The value of every uniform that the shader declares.
fn values(
    description: &Description,
    name: &str,
    pass: &Pass,
    file: &Spanned<PathBuf>,
    shader: &Shader,
    parameters: &mut ParameterSet,
    faults: &mut Faults,
) -> Vec<Setting> {
    let is_built_in = |uniform: &str| {
        let sizes = pass.inputs.0.iter().any(|(input, _)| uniform.strip_suffix("_size") == Some(input.get_ref()));
        sizes || BUILT_IN.contains(&uniform)
    };
    let declared: Vec<&Declared> = shader.uniforms.iter().filter(|uniform| !is_built_in(&uniform.name)).collect();
    for (given, value) in &pass.uniforms {
        let key = format!("pass.{name}.uniforms.{given}");
        let Some(uniform) = declared.iter().find(|uniform| uniform.name == *given.get_ref()) else {
            if is_built_in(given.get_ref()) {
                let detail = format!("the run sets \"{given}\" itself");
                faults.add(description.error(key, detail, given.span()).with_hint("remove it"));
                continue;
            }
            let detail = format!("{} declares no uniform \"{given}\"", file.get_ref().display());
            let hint = did_you_mean(given.get_ref(), declared.iter().map(|uniform| uniform.name.as_str()));
            faults.add(description.error(key, detail, given.span()).with_hint(hint));
            continue;
        };
        let wanted = uniform.components();
        let mut numbers = value.get_ref().numbers();
        let mut whose = given.get_ref().clone();
        if let Uniform::Parameter(parameter) = value.get_ref() {
            whose = format!("${parameter}");
            numbers = match parameters.value(parameter) {
                Some(numbers) => numbers.to_vec(),
                None if faults.is_broken("parameter", parameter) => continue,
                None => {
                    let detail = format!("there is no parameter \"{parameter}\"");
                    let hint = match parameters.iter().next() {
                        Some(_) => parameters.nearest(parameter),
                        None => format!("add [parameter.{parameter}] with default = …"),
                    };
                    faults.add(description.error(key, detail, value.span()).with_hint(hint));
                    continue;
                }
            };
        }
        let count = numbers.len();
        if wanted != Some(count) {
            let detail = match (wanted, value.get_ref()) {
                (Some(wanted), Uniform::Parameter(_)) => {
                    format!("{whose} has {count} numbers, {} {given} has {wanted}", uniform.kind)
                }
                (Some(wanted), _) => format!("{count} numbers given, {} {given} has {wanted}", uniform.kind),
                (None, _) => format!("{} {given} cannot be set from a description", uniform.kind),
            };
            let error = description.error(key, detail, value.span());
            faults.add(if uniform.is_sampler() { error.with_hint(sampler_hint(given.get_ref())) } else { error });
            continue;
        }
        let whole = uniform.is_whole();
        let fits = |number: &f64| number.fract() == 0.0 && number.abs() < f64::from(i32::MAX);
        if whole && !numbers.iter().all(fits) {
            let detail = format!("{} {given} takes whole numbers", uniform.kind);
            faults.add(description.error(key, detail, value.span()));
            continue;
        }
        if let (true, Uniform::Parameter(parameter)) = (whole, value.get_ref()) {
            let taken = parameters.take_whole(parameter);
            faults.take(taken.map_err(|detail| description.error(key, detail, value.span())));
        }
    }
    let mut values = Vec::new();
    for uniform in declared {
        let Some(value) = pass.uniforms.get(uniform.name.as_str()) else {
            let span = file.span();
            let detail = format!("the shader declares {} {}, and no value is given", uniform.kind, uniform.name);
            let hint = match uniform.is_sampler() {
                true => sampler_hint(&uniform.name),
                false => format!("add uniforms = {{ {} = … }}", uniform.name),
            };
            // The uniform may have been meant by a name that is wrong.
            let is_meant = pass.uniforms.keys().any(|given| {
                nearest(given.get_ref(), [uniform.name.as_str()]).is_some()
                    && !shader.uniforms.iter().any(|declared| declared.name == *given.get_ref())
            });
            if !is_meant {
                faults.add(description.error(format!("pass.{name}.uniforms"), detail, span).with_hint(hint));
            }
            continue;
        };
        let (numbers, parameter) = match value.get_ref() {
            Uniform::Parameter(name) => (parameters.value(name).unwrap_or_default().to_vec(), Some(name.clone())),
            value => (value.numbers(), None),
        };
        values.push(Setting { uniform: uniform.clone(), numbers, parameter });
    }
    values
}
