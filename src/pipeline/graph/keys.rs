//! Which keys of a pass go together.
//!
//! In: one pass of a description. Out: its [`Kind`], how often and when it is drawn; errors with the place.
//! Not here: its inputs' names (`graph`), files (`plan`).

use std::ops::Range;

use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::gles::compute::image_format;
use crate::layout::Constraints;

use super::super::description::{Compute, Description, Mesh, Pass, Spanned, Style, did_you_mean};
use super::super::expression::{Expression, Wrong};
use super::super::pass::compute::TARGET;

/// What a pass does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Gives its input as it is.
    Copy,
    /// A fragment shader with `pixel` or `main`.
    Shader,
    /// A fragment shader with `mainImage`; its inputs are named `iChannel0` to `iChannel3`.
    Shadertoy,
    /// The second input over the first.
    Overlay,
    /// The second input mixed into the first.
    Blend,
    /// A model; with a shader of its surfaces, or without.
    Mesh,
    /// A compute shader that stores the target.
    Compute,
    /// A shader in WGSL, drawn by wgpu.
    Wgpu,
}

/// When a pass is drawn.
#[derive(Clone, Debug)]
pub struct Enable {
    expression: Expression,
    key: String,
    origin: super::super::description::Origin,
    place: Range<usize>,
}

impl Enable {
    /// Whether the pass is drawn in this frame.
    ///
    /// # Errors
    /// `Config` with the place: division by zero, a number beyond 64 bits.
    pub fn holds(&self, frame: u64) -> Result<bool> {
        self.expression.holds(frame).map_err(|wrong| {
            let place = inside(&self.origin.text, &self.place, &wrong);
            let error = Error::new(crate::error::ErrorKind::Config, self.key.clone(), wrong.detail);
            error.with_span(crate::error::Span::new(&self.origin.path, self.origin.text.clone(), place))
        })
    }
}

/// What a pass wants of its target's memory.
pub(super) fn layout(description: &Description, name: &str, pass: &Pass) -> Result<Constraints> {
    let Some(layout) = &pass.layout else { return Ok(Constraints::NONE) };
    layout.get_ref().constraints().map_err(|error| {
        let key = format!("pass.{name}.layout.{}", error.op());
        description.error(key, error.detail(), layout.span())
    })
}

/// The place of `wrong` in the file, where the expression stands there as it is; else the whole value.
fn inside(text: &str, value: &Range<usize>, wrong: &Wrong) -> Range<usize> {
    let written = text.get(value.clone()).unwrap_or_default();
    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| written.starts_with(quotes));
    match quotes {
        Some(quotes) if !written.contains('\\') && !written.contains('\n') && !wrong.range.is_empty() => {
            let start = value.start + quotes.len();
            start + wrong.range.start..start + wrong.range.end
        }
        _ => value.clone(),
    }
}

/// What the pass does, by which of the keys is there.
pub(super) fn kind(description: &Description, name: &str, place: Range<usize>, pass: &Pass) -> Result<Kind> {
    let keys = [
        ("shader", pass.shader.as_ref().map(|value| value.span()), Kind::Shader),
        ("overlay", pass.overlay.as_ref().map(|value| value.span()), Kind::Overlay),
        ("blend", pass.blend.as_ref().map(|value| value.span()), Kind::Blend),
        ("mesh", pass.mesh.as_ref().map(|value| value.span()), Kind::Mesh),
        ("compute", pass.compute.as_ref().map(|value| value.span()), Kind::Compute),
        ("wgpu", pass.wgpu.as_ref().map(|value| value.span()), Kind::Wgpu),
    ];
    let mut given: Vec<_> = keys.iter().filter_map(|(key, span, kind)| Some((*key, span.clone()?, *kind))).collect();
    given.sort_by_key(|(_, span, _)| span.start);
    if pass.mesh.is_some() {
        // Its surfaces may have a shader.
        given.retain(|(.., kind)| *kind != Kind::Shader);
    }
    let error = |key: &str, detail: String, span: Range<usize>| {
        let key = if key.is_empty() { format!("pass.{name}") } else { format!("pass.{name}.{key}") };
        description.error(key, detail, span)
    };
    let one_of = "a pass has one of shader, overlay, blend, mesh, compute and wgpu";
    let (key, span, kind) = match given.as_slice() {
        [one] => one.clone(),
        [] => {
            return Err(error("", format!("it does nothing: {one_of}"), place)
                .with_hint("e.g. shader = \"FILE.frag\", or blend = \"multiply\""));
        }
        [(first, ..), (second, span, _), ..] => {
            let detail = format!("{first} and {second} are both there: {one_of}");
            return Err(error(second, detail, span.clone()).with_hint("remove one of them, or make two passes"));
        }
    };
    let has_uniforms = pass.shader_file().is_some();
    if let Some((uniform, _)) = pass.uniforms.iter().next().filter(|_| !has_uniforms) {
        let detail = format!("a pass with {key} has no shader of its own that could declare \"{uniform}\"");
        return Err(error("uniforms", detail, uniform.span()));
    }
    if let Some(style) = pass.style.as_ref().filter(|_| kind != Kind::Shader) {
        return Err(error("style", format!("a pass with {key} has no dialect"), style.span()).with_hint("remove it"));
    }
    let inputs = pass.inputs.0.len();
    let input_span = |index: usize| pass.inputs.0.get(index).map_or(span.clone(), |(_, from)| from.span());
    let opacity = match kind {
        Kind::Overlay => pass.overlay.as_ref().map(|overlay| overlay.get_ref().opacity),
        Kind::Blend => pass.blend.as_ref().map(|blend| blend.get_ref().0.opacity),
        _ => None,
    };
    if let Some(opacity) = opacity {
        if inputs != 2 {
            let detail = format!("{key} takes two inputs, the lower picture first: {inputs} given");
            return Err(
                error("inputs", detail, input_span(2)).with_hint("e.g. inputs = [\"camera\", \"logo\"], camera below")
            );
        }
        if !(0.0..=1.0).contains(&opacity) {
            return Err(error(key, format!("opacity {opacity}: expected 0 to 1"), span));
        }
    }
    if let (Kind::Overlay, Some(overlay)) = (kind, &pass.overlay) {
        let scale = overlay.get_ref().scale.0;
        if scale.of(100) <= 0.0 {
            return Err(error(key, "scale: expected more than 0, e.g. 0.5 or \"30%\"".into(), overlay.span()));
        }
    }
    if let (Kind::Compute, Some(compute)) = (kind, &pass.compute) {
        check_compute(description, name, pass, compute)?;
    }
    if let (Kind::Wgpu, Some(file)) = (kind, &pass.wgpu) {
        check_wgpu(description, name, pass, file.span())?;
    }
    if let (Kind::Mesh, Some(mesh)) = (kind, &pass.mesh) {
        check_mesh(description, name, pass, mesh)?;
    }
    match pass.style.as_ref().map(|style| *style.get_ref()) {
        Some(Style::Shadertoy) if inputs > 4 => {
            let detail = format!("shadertoy shaders have four channels: {inputs} inputs given");
            Err(error("inputs", detail, input_span(4)))
        }
        Some(Style::Shadertoy) => Ok(Kind::Shadertoy),
        _ => Ok(kind),
    }
}

fn check_compute(description: &Description, name: &str, pass: &Pass, compute: &Spanned<Compute>) -> Result<()> {
    let at =
        |key: &str, detail: String, span: Range<usize>| description.error(format!("pass.{name}.{key}"), detail, span);
    if let Some((key, words)) = compute.get_ref().0.wrong() {
        return Err(at("compute", format!("{key}: {words}"), compute.span()));
    }
    if let Some(repeat) = pass.repeat.as_ref().filter(|repeat| *repeat.get_ref() > 1) {
        let error = at("repeat", "a compute shader is run once a frame".into(), repeat.span());
        return Err(error.with_hint("loop inside of it, or make several passes"));
    }
    if let Some((input, _)) = pass.inputs.0.iter().find(|(input, _)| input.get_ref() == TARGET) {
        let detail = format!("\"{TARGET}\" is the image that a compute shader stores");
        return Err(at("inputs", detail, input.span()).with_hint("give the input another name"));
    }
    let fourcc = pass.format.as_ref().map_or(Fourcc::ABGR8888, |format| format.get_ref().0);
    // YUV is drawn from RGB of 8 bits; of more bits it would be of a format that is not stored.
    let format = fourcc.format()?;
    let stored = if format.is_yuv() && format.component_bits == 8 { Fourcc::ABGR8888 } else { fourcc };
    image_format(stored).map(|_| ()).map_err(|error| {
        let span = pass.format.as_ref().map_or(compute.span(), |format| format.span());
        at("format", error.detail().to_owned(), span).with_hint(error.hint().unwrap_or_default())
    })
}

fn check_wgpu(description: &Description, name: &str, pass: &Pass, place: Range<usize>) -> Result<()> {
    let at =
        |key: &str, detail: String, span: Range<usize>| description.error(format!("pass.{name}.{key}"), detail, span);
    if let Some(repeat) = pass.repeat.as_ref().filter(|repeat| *repeat.get_ref() > 1) {
        let error = at("repeat", "a shader of wgpu is drawn once a frame".into(), repeat.span());
        return Err(error.with_hint("loop inside of it, or make several passes"));
    }
    let fourcc = pass.format.as_ref().map_or(Fourcc::ABGR8888, |format| format.get_ref().0);
    let bits = fourcc.format()?.component_bits;
    if bits > 8 {
        let span = pass.format.as_ref().map_or(place, |format| format.span());
        let detail = format!("{fourcc} has {bits} bits: what wgpu draws here has 8");
        return Err(at("format", detail, span).with_hint("draw ABGR8888, or write the pass in GLSL"));
    }
    Ok(())
}

fn check_mesh(description: &Description, name: &str, pass: &Pass, mesh: &Spanned<Mesh>) -> Result<()> {
    let keys = &mesh.get_ref().0;
    let error = |detail: String| description.error(format!("pass.{name}.mesh"), detail, mesh.span());
    if let Some((key, words)) = keys.wrong() {
        return Err(error(format!("{key}: {words}")));
    }
    if let Some(repeat) = pass.repeat.as_ref().filter(|repeat| *repeat.get_ref() > 1) {
        let detail = "a model is drawn once a frame";
        let error = description.error(format!("pass.{name}.repeat"), detail, repeat.span());
        return Err(error.with_hint("remove it"));
    }
    let inputs = || pass.inputs.0.iter().map(|(input, _)| input.get_ref().as_str());
    if let Some(texture) = keys.texture.as_deref().filter(|texture| !inputs().any(|input| input == *texture)) {
        let hint = match pass.inputs.0.is_empty() {
            true => format!("add inputs = [\"{texture}\"]"),
            false => did_you_mean(texture, inputs()),
        };
        return Err(error(format!("texture: the pass has no input \"{texture}\"")).with_hint(hint));
    }
    if let Some((input, from)) = pass.inputs.0.first().filter(|_| keys.texture.is_none() && pass.shader.is_none()) {
        let detail = format!("nothing reads the input \"{input}\"");
        let error = description.error(format!("pass.{name}.inputs"), detail, from.span());
        return Err(error.with_hint(format!("to show it on the model: mesh = {{ …, texture = \"{input}\" }}")));
    }
    Ok(())
}

/// How often a pass is drawn.
pub(super) fn repeat(description: &Description, name: &str, pass: &Pass) -> Result<u32> {
    let Some(repeat) = &pass.repeat else { return Ok(1) };
    let error = |detail: &str| Err(description.error(format!("pass.{name}.repeat"), detail, repeat.span()));
    match *repeat.get_ref() {
        0 => error("0: a pass is drawn at least once"),
        1 => Ok(1),
        1025.. => error("a pass is drawn at most 1024 times"),
        _ if pass.inputs.0.is_empty() => error("each draw reads the result of the last as its first input: add one"),
        repeat => Ok(repeat),
    }
}

/// When a pass is drawn.
pub(super) fn enable(description: &Description, name: &str, pass: &Pass) -> Result<Option<Enable>> {
    let Some(text) = &pass.enable else { return Ok(None) };
    let key = format!("pass.{name}.enable");
    match Expression::parse(text.get_ref()) {
        Ok(expression) => Ok(Some(Enable { expression, key, origin: description.origin.clone(), place: text.span() })),
        Err(wrong) => {
            let place = inside(&description.origin.text, &text.span(), &wrong);
            let error = description.error(key, wrong.detail, place);
            Err(error.with_hint("e.g. enable = \"frame >= 10 && frame % 2 == 0\""))
        }
    }
}
