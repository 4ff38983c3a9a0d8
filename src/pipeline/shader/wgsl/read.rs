//! Reads and checks WGSL by naga, which is what wgpu compiles it with.

use std::fmt::Write as _;
use std::ops::Range;

use wgpu::naga;
use wgpu::naga::valid::{Capabilities, ValidationFlags, Validator};
use wgpu::naga::{Handle, Module, ScalarKind, TypeInner};

use super::{Number, Place, UNIFORMS, Wgsl, Wrong};
use crate::error::ErrorKind;
use crate::pipeline::shader::Declared;

/// The first binding of an input.
pub(in crate::pipeline) const FIRST_INPUT: u32 = 2;

fn wrong(detail: impl Into<String>, range: Option<Range<usize>>) -> Wrong {
    Wrong { kind: ErrorKind::Shader, detail: detail.into(), range, hint: None }
}

/// What follows the author's text.
fn generated(inputs: &[&str], has_uniforms: bool) -> String {
    let mut text = String::from(
        "\nstruct DfFrame { resolution: vec2f, time: f32, frame: i32 }\n\
         @group(0) @binding(0) var<uniform> df_frame: DfFrame;\n\
         @group(0) @binding(1) var df_sampler: sampler;\n\
         var<private> resolution: vec2f;\nvar<private> time: f32;\nvar<private> frame: i32;\n",
    );
    let mut sizes = String::new();
    for (name, binding) in inputs.iter().zip(FIRST_INPUT..) {
        let _ = write!(
            text,
            "@group(0) @binding({binding}) var df_{name}: texture_2d<f32>;\n\
             var<private> {name}_size: vec2f;\n\
             fn {name}(uv: vec2f) -> vec4f {{ return textureSampleLevel(df_{name}, df_sampler, uv, 0.0); }}\n\
             fn {name}_texel(at: vec2i) -> vec4f {{\n\
             return textureLoad(df_{name}, clamp(at, vec2i(0), vec2i(textureDimensions(df_{name})) - 1), 0);\n}}\n"
        );
        let _ = writeln!(sizes, "{name}_size = vec2f(textureDimensions(df_{name}));");
    }
    if has_uniforms {
        let _ = writeln!(text, "@group(1) @binding(0) var<uniform> uniforms: {UNIFORMS};");
    }
    let _ = write!(
        text,
        "@vertex fn df_vertex(@builtin(vertex_index) index: u32) -> @builtin(position) vec4f {{\n\
         return vec4f(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);\n}}\n\
         @fragment fn df_fragment(@builtin(position) df_at: vec4f) -> @location(0) vec4f {{\n\
         resolution = df_frame.resolution;\ntime = df_frame.time;\nframe = df_frame.frame;\n{sizes}\
         return pixel(df_at.xy / df_frame.resolution);\n}}\n"
    );
    text
}

/// Whether the author declares the struct of uniforms.
fn declares_uniforms(text: &str) -> bool {
    let plain = super::blanked(text);
    let words: Vec<&str> =
        plain.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|pair| pair == ["struct", UNIFORMS])
}

/// The uniforms, and the whole text; `entry` is the place of the entry function.
pub(super) fn read(text: &str, inputs: &[&str], entry: Range<usize>) -> Result<(Vec<Declared>, Wgsl), Wrong> {
    let has_uniforms = declares_uniforms(text);
    let whole = format!("{text}{}", generated(inputs, has_uniforms));
    // What is generated is right: where an error is there alone, the entry function is not what it calls.
    let place = |places: Vec<Range<usize>>| {
        let is_nowhere = places.is_empty();
        let authors = places.into_iter().filter(|range| range.start < text.len());
        // Errors name the parts around them too.
        match authors.min_by_key(|range| range.len()) {
            Some(range) => (Some(range.start..range.end.min(text.len())), true),
            None => ((!is_nowhere).then(|| entry.clone()), false),
        }
    };
    let about = |message: String, (range, is_authors): (Option<Range<usize>>, bool), notes: String| {
        let mut wrong = wrong(message, range);
        wrong.hint = match (is_authors, notes.is_empty()) {
            (true, false) => Some(notes),
            (true, true) => None,
            (false, _) => Some(format!(
                "the pass calls pixel(uv: vec2f) -> vec4f, and declares resolution, time, frame{}",
                inputs.iter().map(|name| format!(", {name}, {name}_texel, {name}_size")).collect::<String>()
            )),
        };
        wrong
    };
    let module = naga::front::wgsl::parse_str(&whole).map_err(|error| {
        let labels = error.labels().filter_map(|(span, _)| span.to_range()).take(1).collect();
        let said: Vec<&str> = error.labels().map(|(_, words)| words).filter(|words| !words.is_empty()).collect();
        let detail = match said.as_slice() {
            [] => error.message().to_owned(),
            said => format!("{} ({})", error.message(), said.join("; ")),
        };
        about(detail, place(labels), error.notes().collect::<Vec<_>>().join("; "))
    })?;
    for (handle, global) in module.global_variables.iter() {
        let range = module.global_variables.get_span(handle).to_range();
        if global.binding.is_some() && range.as_ref().is_some_and(|range| range.start < text.len()) {
            let mut wrong = wrong("a pass has no bindings of its own", range);
            wrong.hint = Some(format!("pictures are inputs, and numbers members of struct {UNIFORMS}"));
            return Err(wrong);
        }
    }
    if let Some(own) = module.entry_points.iter().find(|entry| !entry.name.starts_with("df_")) {
        let range = text.find(&format!("fn {}", own.name)).map(|at| at..at + own.name.len() + 3);
        let mut wrong = wrong(format!("{} is an entry point: a pass has its own", own.name), range);
        wrong.hint = Some("leave @vertex, @fragment and @compute out, and write fn pixel(uv: vec2f) -> vec4f".into());
        return Err(wrong);
    }
    Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).map_err(|error| {
        let range = place(error.spans().filter_map(|(span, _)| span.to_range()).collect());
        about(innermost(error.as_inner()), range, String::new())
    })?;
    let (uniforms, places, bytes) = if has_uniforms { uniforms(&module, text)? } else { Default::default() };
    Ok((uniforms, Wgsl { text: whole, bytes, places }))
}

/// What an error comes from; what is around it speaks of naga's own numbers.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    without_numbers(&last.to_string())
}

/// naga names expressions by numbers of its own: ` Some([22])`, ` [22]`.
fn without_numbers(text: &str) -> String {
    let mut words = text.to_owned();
    for (open, close) in [(" Some([", "])"), (" [", "]")] {
        while let Some(at) = words.find(open) {
            let number = words[at + open.len()..].find(|c: char| !c.is_ascii_digit());
            let Some(end) = number.filter(|length| *length > 0).map(|length| at + open.len() + length) else { break };
            if !words[end..].starts_with(close) {
                break;
            }
            words.replace_range(at..end + close.len(), "");
        }
    }
    words
}

/// Every member of the struct of uniforms.
fn uniforms(module: &Module, text: &str) -> Result<(Vec<Declared>, Vec<Place>, usize), Wrong> {
    let found = module.types.iter().find(|(_, kind)| kind.name.as_deref() == Some(UNIFORMS));
    let Some((handle, TypeInner::Struct { members, span })) = found.map(|(handle, kind)| (handle, &kind.inner)) else {
        return Err(wrong(format!("{UNIFORMS} is no struct"), None));
    };
    let range = module.types.get_span(handle).to_range().filter(|range| range.end <= text.len());
    let (mut declared, mut places) = (Vec::new(), Vec::new());
    for member in members {
        let name = member.name.clone().unwrap_or_default();
        let Some((kind, elements, place)) = place_of(module, member.ty, member.offset as usize) else {
            let mut wrong = wrong(format!("{UNIFORMS}.{name}: values of this type cannot be set"), range);
            wrong.hint = Some("use f32, i32, u32, their vectors, matrices of f32, and arrays of these".into());
            return Err(wrong);
        };
        declared.push(Declared { name, kind, elements });
        places.push(place);
    }
    Ok((declared, places, *span as usize))
}

/// A type's name, how many elements it has, and where each number lies.
fn place_of(module: &Module, kind: Handle<naga::Type>, offset: usize) -> Option<(String, usize, Place)> {
    let number = |scalar: &naga::Scalar| match (scalar.kind, scalar.width) {
        (ScalarKind::Float, 4) => Some((Number::Float, "f")),
        (ScalarKind::Sint, 4) => Some((Number::Int, "i")),
        (ScalarKind::Uint, 4) => Some((Number::Uint, "u")),
        _ => None,
    };
    match &module.types[kind].inner {
        TypeInner::Scalar(scalar) => {
            let (number, letter) = number(scalar)?;
            Some((format!("{letter}32"), 1, Place { offsets: vec![offset], number }))
        }
        TypeInner::Vector { size, scalar } => {
            let (number, letter) = number(scalar)?;
            let count = *size as usize;
            let offsets = (0..count).map(|index| offset + index * 4).collect();
            Some((format!("vec{count}{letter}"), 1, Place { offsets, number }))
        }
        TypeInner::Matrix { columns, rows, scalar } => {
            let (number, letter) = number(scalar)?;
            let (columns, rows) = (*columns as usize, *rows as usize);
            // A column lies at a multiple of what its vector is aligned to.
            let stride = if rows == 2 { 8 } else { 16 };
            let column = |at: usize| (0..rows).map(move |row| offset + at * stride + row * 4);
            let offsets = (0..columns).flat_map(column).collect();
            Some((format!("mat{columns}x{rows}{letter}"), 1, Place { offsets, number }))
        }
        TypeInner::Array { base, size: naga::ArraySize::Constant(count), stride } => {
            let (count, stride) = (count.get() as usize, *stride as usize);
            let (kind, one, first) = place_of(module, *base, offset)?;
            let elements = (0..count).flat_map(|at| first.offsets.iter().map(move |offset| offset + at * stride));
            let place = Place { offsets: elements.collect(), number: first.number };
            // An array in an array is not among what a description says.
            (one == 1).then_some((kind, count, place))
        }
        _ => None,
    }
}
